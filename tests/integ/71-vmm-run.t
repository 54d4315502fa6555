#!/bin/bash
# 71-vmm-run.t - the command line of virga-vmm: what it refuses, how it ends,
# the terminal. With the bare-metal guests of tests/vmm, which run wherever
# /dev/kvm opens.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

vmm=$top_builddir/virga-vmm
guests=$top_builddir/tests/vmm

# status WANT ARGUMENT…: runs it with nothing to read.
status() {
    local want=$1 got=0

    shift
    timeout 60 "$vmm" "$@" </dev/null >"$T/out" 2>"$T/err.log" || got=$?
    [ "$got" = "$want" ] || {
        tap_diag "status $got"
        return 1
    }
}

refused() { # WHAT-IT-SAYS ARGUMENT…
    local text=$1

    shift
    status 2 "$@" && grep -q -e "$text" "$T/err.log"
}
tap_ok "--help" status 0 --help
tap_ok "no command" refused usage
tap_ok "an unknown command" refused usage frobnicate
tap_ok "an unknown option" refused unrecognized run --frobnicate
tap_ok "no kernel" refused --kernel run
for cpus in 0 65 -1 x '' 1x 99999999999999999999; do
    tap_ok "--cpus '$cpus'" refused --cpus run --kernel x --cpus "$cpus"
done
for memory in 0 x -5M '' 1Q; do
    tap_ok "--memory '$memory'" refused --memory run --kernel x \
        --memory "$memory"
done
tap_ok "--on-reset x" refused --on-reset run --kernel x --on-reset x
tap_ok "--disk without a path" refused --disk run --kernel x --disk ,ro
tap_ok "--disk with another format" refused --disk run --kernel x \
    --disk a,format=qcow2

failed() { # WHAT-IT-SAYS ARGUMENT…
    local text=$1

    shift
    status 1 "$@" && grep -q -e "$text" "$T/err.log"
}
tap_ok "a kernel that is not there" failed 'nowhere: No such' run \
    --kernel "$T/nowhere"
if ! { : <>/dev/kvm; } 2>/dev/null; then
    tap_skip "all that runs a guest" "/dev/kvm does not open"
    tap_done
    exit
fi
tap_ok "a kernel that is a folder" failed 'kernel file' run --kernel "$T"
tap_ok "a kernel that is none" failed 'neither ELF' run \
    --kernel "$top_srcdir/tests/vmm/guest.inc"
tap_ok "a program as a kernel" failed 'ELF kernel' run --kernel /bin/true
tap_ok "memory in odd bytes" failed 'multiple of' run --memory 12345 \
    --kernel "$guests/end.elf"
tap_ok "a disk that is not there" failed 'nodisk: No such' run \
    --kernel "$guests/end.elf" --disk "$T/nodisk"
tap_ok "a disk that is a folder" failed "$T" run \
    --kernel "$guests/end.elf" --disk "$T,ro"
tap_ok "a command line that is too long" failed 'command line' run \
    --kernel "$guests/end.elf" --cmdline "$(head -c 70000 /dev/zero | tr '\0' x)"

# The list of processor models, and that it is true.
tap_ok "cpu-models lists" status 0 cpu-models
cp "$T/out" "$T/models"
tap_ok "cpu-models: the host is the host" grep -q '^host  *yes ' "$T/models"
says_what_is_missing() {
    [ "$(grep -c . "$T/models")" -gt 4 ] &&
        ! grep -vqE '^[^ ]+ +(yes|no .* \(missing: .+\)$)' "$T/models" &&
        ! grep -q ' yes .*(missing' "$T/models"
}
tap_ok "cpu-models says what is missing where it is" says_what_is_missing
model_is() { # NAME yes|no
    local want=1

    [ "$2" = yes ] && want=0
    status $want run --kernel "$guests/end.elf" --memory 16M --cmdline p \
        --cpu-model "$1"
}
while read -r name can _; do
    tap_ok "$name: $can" model_is "$name" "$can"
done <"$T/models"
tap_ok "cpu-models takes no word" refused usage cpu-models x

end() { # LETTER STATUS OPTION…
    local letter=$1 want=$2

    shift 2
    status "$want" run --kernel "$guests/end.elf" --memory 16M \
        --cmdline "$letter" "$@" && grep -q 'end begin' "$T/out"
}
tap_ok "power-off is status 0" end p 0
tap_ok "reset is status 3" end r 3 --on-reset exit
tap_ok "so is one by the chipset's register" end c 3 --on-reset exit
tap_ok "triple fault is status 4" end t 4
tap_ok "panic is status 5" end k 5
tap_ok "metrics are written" end p 0 --metrics "$T/metrics"
tap_ok "metrics are whole" grep -q '^# EOF' "$T/metrics"
tap_ok "64 processors start" status 0 run --kernel "$guests/smp.elf" \
    --cpus 64 --memory 16M --cmdline p
tap_is "and all have come" "$(sed -n 's/^cpus //p' "$T/out")" \
    "0000000000000040 ids fffffffffffffffe"

# start LETTER: a guest in the background, once it has begun.
has_begun() {
    grep -q 'begin' "$T/out" || ! running "$spawned"
}
start() {
    : >"$T/out"
    spawn "$vmm" run --memory 16M "$@" </dev/null >"$T/out" 2>"$T/err.log"
    wait_for 60 has_begun
}
ended() {
    ! running "$spawned"
}
start --kernel "$guests/irq.elf"
wait_for 60 grep -q waiting "$T/out"
kill -TERM "$spawned"
got=0
wait "$spawned" || got=$?
tap_is "SIGTERM is the power button" "$got $(tail -n 1 "$T/out")" "0 button ok"
start --kernel "$guests/end.elf" --cmdline h
kill -TERM "$spawned"
sleep 0.1
tap_ok "a guest without ears goes on" running "$spawned"
kill -TERM "$spawned"
got=0
wait "$spawned" || got=$?
tap_is "the second SIGTERM stops it" "$got" 6
start --kernel "$guests/end.elf" --cmdline r
resets() {
    [ "$(grep -c 'end begin' "$T/out")" -ge 5 ]
}
tap_ok "a reset begins anew, again and again" wait_for 60 resets
kill -HUP "$spawned"
got=0
wait "$spawned" || got=$?
tap_is "SIGHUP stops it" "$got" 6

if command -v script >/dev/null; then
    # What is typed comes late enough for the guest to be up; the marker in
    # the output says so.
    mkfifo "$T/keys"
    exec 8<>"$T/keys"
    # shellcheck disable=SC2016 # for the inner shell
    inner='stty -g; "$0" run --memory 16M --kernel "$1"; echo "status $?"; stty -g'
    cat >"$T/inner" <<INNER
exec sh -c '$inner' "$vmm" "$guests/irq.elf"
INNER
    : >"$T/out"
    # In a shell of its own: what runs in the background reads from nowhere.
    # shellcheck disable=SC2016 # for the inner shell
    spawn sh -c 'exec script -qec "sh $0/inner" /dev/null \
        <"$0/keys" >"$0/out"' "$T"
    wait_for 60 grep -q waiting "$T/out"
    printf 'typed' >&8
    tap_ok "what is typed reaches the guest" wait_for 60 grep -q typed "$T/out"
    printf '\003' >&8 # Ctrl-C is the guest's
    printf 'more' >&8
    tap_ok "Ctrl-C does not end it" wait_for 60 grep -q more "$T/out"
    printf '\035' >&8
    tap_ok "Ctrl-] ends it" wait_for 60 grep -q 'status 6' "$T/out"
    wait_for 60 ended
    tr -d '\r' <"$T/out" >"$T/tty"
    tap_is "the terminal is as before" "$(tail -n 1 "$T/tty")" \
        "$(head -n 1 "$T/tty")"
    exec 8>&-
else
    tap_skip "the terminal" "script (package bsdutils) is missing"
fi
tap_done
