#!/bin/bash
# 73-vmm-jail.t - the jail of a virga-vmm that runs, looked at from outside;
# then, in a test host, a stock kernel with every device in it: nothing that a
# VM needs is taken away. See tests/vmm/jail-run.c for who starts it.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

vmm=$top_builddir/virga-vmm
guests=$top_builddir/tests/vmm
run=$top_builddir/tests/vmm/jail-run
[ "$(id -u)" = 0 ] || tap_skip_all "only root can make a jail"
# A process that is jailed writes no leak report.
export ASAN_OPTIONS=detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}

# One of its own: groups of other tests that run meanwhile have theirs.
id=018f0000-0000-7000-8000-$(printf %012x $$)
mkdir "$T/jails"

# jailed CMDLINE OPTION…: until it ends; what jail-run says is in $T/said.
jailed() {
    local letter=$1

    shift
    rm -f "$T/ctl" "$T/console" "$T/end"
    timeout 60 "$run" "$vmm" "$T/jails" "$id" cmdline="$letter" \
        log="$T/console" end="$T/end" control="$T/ctl" "$@" \
        >"$T/said" 2>"$T/vmm.log"
}

# begin CMDLINE OPTION…: likewise, in the background; $pid is the VM's.
said_pid() {
    grep -q '^pid' "$T/said" && grep -q 'begin\|waiting' "$T/console"
}
begin() {
    local letter=$1

    shift
    rm -f "$T/ctl" "$T/console" "$T/end"
    : >"$T/said"
    spawn "$run" "$vmm" "$T/jails" "$id" cmdline="$letter" \
        log="$T/console" end="$T/end" control="$T/ctl" "$@" \
        >"$T/said" 2>"$T/vmm.log"
    wait_for 60 said_pid
    pid=$(sed -n 's/^pid //p' "$T/said")
}

ask() { # REQUEST
    echo "$1" | timeout 20 "$run" talk "$T/ctl" >"$T/reply"
}

ended() {
    grep -q '^end' "$T/said"
}

status() { # FIELD
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"
}

inside() {
    if ! { : <>/dev/kvm; } 2>/dev/null; then
        tap_skip "all that runs a guest" "/dev/kvm does not open"
        return
    fi
    local p kernel="$guests/end.elf"

    for p in p:power-off t:triple-fault k:panic; do
        tap_ok "a jailed guest ends: ${p#*:}" jailed "${p%:*}" \
            kernel="$kernel"
        tap_ok "and says so" grep -q "\"end\":\"${p#*:}\"" "$T/end"
    done
    tap_is "its directory is removed" "$(ls "$T/jails")" ""
    truncate -s 1M "$T/disk"
    begin h kernel="$kernel" cpus=2 vsock="$T/vs" disk="$T/disk" \
        cgroup="virga-test-$$" memory=16777216
    tap_ok "a guest runs" test -d "/proc/$pid"

    tap_is "its user, in all four places" "$(status Uid)" \
        "$(printf '1000001\t1000001\t1000001\t1000001')"
    tap_is "its group, in all four places" "$(status Gid)" \
        "$(printf '1000001\t1000001\t1000001\t1000001')"
    tap_is "no other groups" "$(status Groups | tr -d ' ')" ""
    for p in CapInh CapPrm CapEff CapBnd CapAmb; do
        tap_is "$p is empty" "$(status $p)" 0000000000000000
    done
    tap_is "no new privileges" "$(status NoNewPrivs)" 1
    tap_is "it is the first of its pid namespace" \
        "$(status NSpid | cut -f 2)" 1
    tap_is "a filter on every thread" \
        "$(sed -n 's/^Seccomp:[[:space:]]*//p' "/proc/$pid"/task/*/status |
            sort -u)" 2
    tap_is "two filters on all but the first" \
        "$(sed -n 's/^Seccomp_filters:[[:space:]]*//p' \
            "/proc/$pid"/task/*/status | sort | uniq -c |
            awk '{ printf "%s:%s ", $2, ($1 > 1 ? "many" : $1) }')" \
        "1:1 2:many "
    for p in cgroup ipc mnt net pid uts; do
        tap_ok "the namespace $p is its own" test \
            "$(readlink "/proc/$pid/ns/$p")" != "$(readlink "/proc/self/ns/$p")"
    done
    tap_is "its root holds what was put there" \
        "$(ls -A "/proc/$pid/root/")" vsock
    tap_is "it has one mount" "$(wc -l <"/proc/$pid/mountinfo")" 1
    for p in ro nosuid nodev noexec; do
        tap_ok "which is $p" grep -q "/$id / [a-z,]*\\b$p\\b" \
            "/proc/$pid/mountinfo"
    done
    # Sockets, eventfds and the like have no path; of those that have one,
    # it has what the starter named, and the input of a shell's background.
    for p in "/proc/$pid"/fd/*; do
        readlink "$p"
    done | grep '^/' | grep -v '^/memfd:' | sort -u >"$T/files"
    tap_is "its files are those it was given" "$(cat "$T/files")" \
        "$(printf '%s\n' /dev/kvm "$T/console" "$T/disk" "$T/end" \
            "$T/vmm.log" "$T/said" /dev/null "$(readlink -f "$kernel")" |
            sort -u)"
    tap_is "its limit of core files is 0" \
        "$(sed -n 's/^Max core file size *//p' "/proc/$pid/limits" |
            tr -s ' ')" "0 0 bytes "
    tap_ok "it is in its control group" grep -q "virga-test-$$/$id" \
        "/proc/$pid/cgroup"
    tap_ok "its loopback is down" sh -c \
        "! grep -qv '^Inter\\|face\\|lo:' /proc/$pid/net/dev"

    tap_ok "it answers on its control socket" ask '{"v":1,"do":"describe"}'
    tap_ok "and describes itself" grep -q '"result"' "$T/reply"
    tap_ok "it pauses" ask '{"v":1,"do":"pause"}'
    tap_ok "it resumes" ask '{"v":1,"do":"resume"}'
    tap_ok "it stops" ask '{"v":1,"do":"stop"}'
    tap_ok "and ends" wait_for 20 ended
    tap_is "in the ordinary way" "$(grep '^end' "$T/said")" "end 6"
    tap_ok "its control group is removed" sh -c \
        "! find /sys/fs/cgroup -maxdepth 4 -name '$id' | grep ."
    find /sys/fs/cgroup -maxdepth 4 -name "virga-test-$$" -exec rmdir {} +

    # A guest that resets: the VM is built anew under the filter.
    begin r kernel="$kernel"
    resets() {
        [ "$(grep -c 'end begin' "$T/console")" -ge 5 ]
    }
    tap_ok "a reset begins anew, again and again" wait_for 60 resets
    ask '{"v":1,"do":"stop"}'
    tap_ok "until it is stopped" wait_for 20 ended
    tap_is "and nothing was killed" "$(grep '^end' "$T/said")" "end 6"
}
inside

# --- a stock kernel with all devices ---
. "$(dirname "$0")/testhost.sh"
tap_ok "the test host is made" testhost_make \
    "$top_srcdir/tests/vmm/jail-init" "$vmm" "$run" \
    "$top_builddir/tests/unit/test-vmm-jail" \
    "$top_builddir/tests/unit/test-hv-cgroup" \
    "$top_builddir/tests/unit/test-hv-jaildir" || {
    tap_done
    exit
}
tap_ok "the test host runs to its end" testhost_run
tap_ok "control groups are of version 2 there" saw "host: cgroup cpu"
for name in test-hv-jaildir test-hv-cgroup 'test-vmm-jail jail__*' \
    'test-vmm-jail main__*'; do
    tap_ok "$name passes there" saw "unit $name: 0"
done
tap_ok "the guest comes up" saw "case jail: guest ready"
tap_ok "it takes what is typed" saw "case jail: Virga demo guest"
tap_ok "it writes its disk" saw "case jail: data 42"
tap_ok "it reads the entropy device" saw "case jail: random 64"
tap_ok "pings are answered" saw "case jail: 2 packets received"
tap_ok "the balloon is blown up" saw "case jail: ballooned"
tap_ok "it reboots" saw "case jail: second boot"
tap_ok "its disk is as it was" saw "case jail: disk content"
tap_ok "pings are answered again" saw "case jail: again 2 packets received"
tap_ok "its end is by the power button" saw '"end":"power-off"'
tap_ok "nothing was killed" saw "case jail: end 0"
tap_ok "all is removed" saw "case jail: left 0"
tap_done
