#!/bin/bash
# 78-vmm-devices.t - virga-vmm's devices by the command line, with the small
# guests of tests/vmm: those that use a device, then those that lie to it.
# After each the metrics must hold as many faults as the guest has seen, and
# the log no more lines than that.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

vmm=$top_builddir/virga-vmm
guests=$top_builddir/tests/vmm

{ : <>/dev/kvm; } 2>/dev/null || tap_skip_all "/dev/kvm does not open"

# The value of one counter of the last run; 0 if it was never hit.
counted() {
    local n

    n=$(sed -n "s/^virga_vmm_events_total{event=\"$1\"} //p" "$T/metrics")
    echo "${n:-0}"
}

# guest NAME OPTION…: runs it to its end and believes it only if it says so.
guest() {
    local name=$1 status=0

    shift
    rm -f "$T/metrics"
    timeout -k 5 -s HUP 120 "$vmm" run --kernel "$guests/$name.elf" \
        --memory 8M --metrics "$T/metrics" "$@" </dev/null \
        >"$T/out" 2>"$T/err.log" || status=$?
    cat "$T/out" "$T/err.log"
    [ "$status" = 0 ] && ! grep -q FAILED "$T/out" &&
        grep -q "^${name//-/ } end\$\|^${name#virtio-} end\$" "$T/out"
}

# The same, and what the VMM knows of it.
liar() {
    local seen counted logged

    guest "$@" || return 1
    seen=$(sed -n 's/^faults //p' "$T/out")
    counted=$(counted vmm_virtio_needs_reset)
    logged=$(grep -c 'guest broke the rules' "$T/err.log")
    echo "seen $seen, counted $counted, logged $logged"
    [ "$counted" = "$seen" ] && [ "$logged" -le "$counted" ] &&
        [ "$((logged + $(counted log_line_suppressed)))" -ge "$counted" ]
}

truncate -s 1M "$T/disk" "$T/second"
tap_ok "disks" guest virtio-blk --disk "$T/disk" --disk "$T/second,ro"
tap_is "what the guest wrote is in the file" \
    "$(dd if="$T/disk" bs=1 skip=4096 count=5 status=none)" virga
tap_ok "disks past the page cache" guest virtio-blk --disk "$T/disk,direct" \
    --disk "$T/second,ro"
tap_ok "entropy" guest virtio-rng
tap_ok "balloon" guest virtio-balloon
cp "$T/disk" "$T/before"
tap_ok "lies to a disk" liar hostile-blk --disk "$T/disk"
tap_ok "the disk is as it was" cmp "$T/disk" "$T/before"
tap_ok "lies to the entropy device" liar hostile-rng --disk "$T/disk"
tap_ok "lies to the balloon" liar hostile-balloon
tap_ok "memory around the hole" liar hostile-high --memory 5G \
    --disk "$T/disk"
tap_ok "ports, configuration space, BARs" liar hostile-pci --cpus 2 \
    --disk "$T/disk"
for letter in b r; do
    tap_ok "memory that changes ($letter)" guest hostile-flip --cpus 2 \
        --cmdline $letter --disk "$T/disk"
done
has_option() {
    "$vmm" run --help | grep -q -e "$1"
}

# A tap, with the network stack of a namespace of its own behind it.
if [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null &&
    [ -c /dev/net/tun ] && command -v ip >/dev/null; then
    export -f guest liar counted
    export T vmm guests
    # shellcheck disable=SC2016 # for the inner shell
    in_netns() {
        unshare -n bash -c 'set -eu
            ip tuntap add dev vtest0 mode tap vnet_hdr
            ip addr add 192.0.2.1/24 dev vtest0
            ip link set vtest0 up
            "$@" --net tap=vtest0' netns "$@"
    }
    tap_ok "a NIC on a tap" in_netns guest virtio-net --cmdline a
    tap_ok "lies to a NIC" in_netns liar hostile-net
else
    tap_skip "a NIC on a tap" "needs root, /dev/net/tun and ip"
fi

if ! has_option --vsock; then
    tap_skip "sockets" "virga-vmm run has no option for them"
elif ! command -v python3 >/dev/null; then
    tap_skip "sockets" "python3 is missing"
else
    spawn python3 "$top_srcdir/tests/vmm/stream-echo" "$T/v_5000"
    wait_for 20 test -S "$T/v_5000"
    tap_ok "sockets, called by the guest" guest virtio-vsock \
        --vsock "cid=3,guest=$T/v"
    tap_ok "lies to the sockets" liar hostile-vsock --vsock "cid=3,guest=$T/v"
    spawn guest virtio-vsock --cmdline l \
        --vsock "cid=3,guest=$T/v,socket=$T/v" >"$T/spawned.log"
    tap_ok "the guest listens" wait_for 60 grep -q listening "$T/out"
    tap_is "sockets, called by the host" \
        "$(python3 "$top_srcdir/tests/vmm/stream-echo" --call "$T/v" 7 \
            "some words")" "some words"
    got=0
    wait "$spawned" || got=$?
    tap_is "and the guest ends well" "$got" 0
fi

if ! has_option --console; then
    tap_skip "console" "virga-vmm run has no option for it"
elif ! command -v python3 >/dev/null; then
    tap_skip "console" "python3 is missing"
else
    spawn python3 "$top_srcdir/tests/vmm/stream-echo" --console "$T/c1" \
        "typed words" >"$T/console.out"
    typist=$spawned
    spawn python3 "$top_srcdir/tests/vmm/stream-echo" "$T/c2"
    wait_for 20 test -S "$T/c1"
    tap_ok "console" guest virtio-console --console "name=one,path=$T/c1"
    got=0
    wait "$typist" || got=$?
    tap_is "what it said" "$got $(cat "$T/console.out")" \
        "0 hello from the guest
typed words"
    wait_for 20 test -S "$T/c2"
    tap_ok "lies to the console" liar hostile-console \
        --console "name=one,path=$T/c2"
fi

# The guest that others use in numbers.
spawn "$vmm" run --memory 8M --kernel "$guests/idle.elf" </dev/null \
    >"$T/out" 2>"$T/err.log"
wait_for 60 grep -q idle "$T/out"
kill -TERM "$spawned"
got=0
wait "$spawned" || got=$?
tap_is "an idle guest ends by the power button" "$got" 0
tap_done
