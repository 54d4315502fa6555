#!/bin/bash
# 80-vmm-many.t - 200 VMs of the embedded VMM at once, jailed, each with a
# cgroup: how fast they are made, and that nothing of them stays, however they
# and the process that started them end. tests/vmm/many.c starts them.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2154 # set by tap.sh

# In namespaces of our own what is left can be told from the work of others,
# and goes with us, whatever happens.
if [ "$(id -u)" = 0 ] && command -v unshare >/dev/null &&
    [ "${1:-}" != inside ]; then
    exec unshare --fork --kill-child --pid --mount --net --mount-proc \
        "$0" inside
fi
. "$(dirname "$0")/tap.sh"
[ "$(id -u)" = 0 ] || tap_skip_all "the driver vmm needs root"
command -v unshare >/dev/null || tap_skip_all "unshare is missing"
{ : <>/dev/kvm; } 2>/dev/null || tap_skip_all "/dev/kvm does not open"

many=$top_builddir/tests/vmm/many
n=200
slice=virga-many-${T##*.}
mkdir "$T/d" "$T/d/s" "$T/d/i"
# Programs of our own name, so that those of others are not taken for them.
tap_ok "the programs are there" cp "$many" \
    "$top_builddir"/{virga-vmm,virga-usernet,tests/vmm/idle.elf} "$T/d/" ||
    tap_done

slices() {
    find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$slice"
}

clean() {
    local dir

    tap_exit
    slices | while read -r dir; do
        find "$dir" -depth -type d -exec rmdir {} \; 2>/dev/null
    done
}
trap clean EXIT

# All that a VM may leave behind, complete: every process here, alive or not
# reaped, every namespace that one of them is in or a mount holds, mounts,
# sockets, devices of the network, cgroups, files.
everything() {
    local dir name

    for dir in /proc/[0-9]*; do
        read -r name 2>/dev/null <"$dir/comm" || continue
        case $name in
        many | virga-* | kvm-* | *idle*) echo "process $name" ;;
        *) [ -e "$dir/exe" ] || echo "process $name has no program" ;;
        esac
    done
    find /proc/[0-9]*/ns -type l -printf 'namespace %l\n' 2>/dev/null | sort -u
    cut -d ' ' -f 3- /proc/self/mountinfo | sed 's/^/mount /'
    sed 's/^[^ ]* [^ ]*//;s/ [0-9]* / /' /proc/net/unix | sort |
        sed 's/^/socket /'
    sed 's/:.*//;s/^/net /' /proc/net/dev
    slices | while read -r dir; do
        find "$dir" -type d
    done | sort | sed 's/^/cgroup /'
    # The folders of the VMs themselves are their owner's, not the driver's.
    find "$T/d" -path "$T/d/i" -prune -o -printf '%y %p\n' | sort
}

nothing_more() {
    everything >"$T/after"
    diff "$T/before" "$T/after"
}

programs() { # NAME: how many processes run it
    find /proc/[0-9]*/exe -maxdepth 0 -lname "$T/d/$1" 2>/dev/null | wc -l
}

# facts FIELD: what the status of all VMMs' threads says there.
facts() {
    find /proc/[0-9]*/exe -maxdepth 0 -lname "$T/d/virga-vmm" 2>/dev/null |
        while read -r exe; do
            sed -n "s/^$1:[[:space:]]*//p" "${exe%exe}"task/*/status
        done | sort -u
}

# begin ARGUMENT…: in the background; its output in $T/said, its input from
# descriptor 7.
begin() {
    rm -f "$T/in"
    mkfifo "$T/in"
    exec 7<>"$T/in"
    : >"$T/said"
    # A command in the background has no other input than it is told here.
    "$many" "$@" <"$T/in" >"$T/said" 2>>"$T/many.log" 7>&- &
    pid=$!
    tap_pids+=("$pid")
}

said() {
    grep -q "^$1" "$T/said" || ! running "$pid"
}

is_up() { # N
    wait_for 300 said up
    tap_is "all are up" "$(sed -n 's/^up //p' "$T/said")" "$1" || tap_done
    tap_is "each is a process" "$(programs virga-vmm)" "$1"
    [ "$alone" = yes ] || tap_ok "what they need is seen" eval '! nothing_more'
    tap_is "each is another user" "$(facts Uid | wc -l)" "$1"
    tap_is "each thread has a filter" "$(facts Seccomp)" 2
    tap_is "each thread has no capabilities" "$(facts CapEff)" 0000000000000000
    tap_is "each has a cgroup" "$(slices | head -n 1 | while read -r dir; do
        find "$dir" -mindepth 1 -type d | wc -l
    done)" "$1"
}

# Less is asked of two processors that have more than four programs at work
# (the load when the test began), in proportion.
is_fast() {
    local rate

    rate=$(sed -n 's/^rate \([0-9.]*\) .*/\1/p' "$T/said")
    tap_diag "$(grep rate "$T/said" | sed 's/^rate /per second: /'), load $1"
    tap_ok "at least 20 per second were made" awk -v r="$rate" -v l="$1" \
        'BEGIN { exit !(r >= 20 * (l > 4 ? 4 / l : 1)) }'
}

is_over() {
    echo >&7
    wait_for 300 eval "! running $pid"
    wait "$pid"
    tap_is "all end as they should" $? 0
    tap_diag "$(grep '^ended' "$T/said")"
    tap_ok "nothing of them is left" wait_for 20 nothing_more
}

pass() { # NICS HOW
    local load

    read -r load _ </proc/loadavg
    begin run "$T/d" "$slice" "$n" "$1" "$2"
    is_up "$n"
    [ "$1" = 0 ] || tap_is "each has a network" "$(programs virga-usernet)" "$n"
    is_fast "$load"
    is_over
}

# The state folder and the slice are there to stay.
alone=yes
begin run "$T/d" "$slice" 1 0 force
is_up 1
echo >&7
wait_for 60 eval "! running $pid"
wait "$pid"
tap_is "one alone ends as it should" $? 0 || tap_done
everything >"$T/before"
alone=no

tap_diag "ended by force"
pass 0 force
tap_diag "with a network each; half of them ended by the power button"
pass 1 button

tap_diag "the process that starts them is killed on the way"
begin hold "$T/d" "$slice" "$n" 1
half_started() {
    [ "$(grep -c started "$T/said")" -ge $((n / 2)) ] || ! running "$pid"
}
wait_for 300 half_started
kill -KILL "$pid"
wait "$pid" 2>/dev/null
started=$(grep -c '^started' "$T/said")
tap_ok "it was on the way" eval \
    '[ "$started" -ge $((n / 2)) ] && [ "$started" -lt "$n" ]' || tap_done
begin adopt "$T/d" "$slice" "$n" 1 button
wait_for 300 said up
adopted=$(sed -n 's/^up //p' "$T/said")
tap_diag "it said of $started that they run; adopted: ${adopted:-none}"
# Of those that it had not told, one by each worker may run.
tap_ok "all that it had told were adopted" test "${adopted:-0}" -ge "$started"
tap_ok "and no more than it can have started" test "${adopted:-0}" -le \
    $((started + 4))
is_up "$adopted"
is_over
tap_done
