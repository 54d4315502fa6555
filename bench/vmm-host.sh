#!/bin/bash
# bench/vmm-host.sh - virga-vmm beside QEMU's microvm with stock kernels, on
# real KVM with nested paging in an emulated host (tests/integ/testhost.sh):
# time from exec to userspace, block operations and their CPU time, frames
# over a tap. The host is emulated, so that only ratios mean anything. Prints
# JSON lines. Run it in the build folder; BENCH_PARTS="boot blk net" or some of
# these, or "vhost".
# shellcheck source=tests/integ/tap.sh
. "$(dirname "$0")/../tests/integ/tap.sh"
# shellcheck source=tests/integ/testhost.sh
. "$(dirname "$0")/../tests/integ/testhost.sh"
here=$(cd "$(dirname "$0")" && pwd)
testhost_modules vhost_iotlb vhost tap vhost_net brd
testhost_memory=2048
guest=$T/guest

# QEMU's own files.
mkdir -p "$host/usr/share/qemu" "$guest"/{bin,lib,proc,sys,dev}
for file in bios-microvm.bin pvh.bin linuxboot_dma.bin; do
    cp -L "/usr/share/qemu/$file" "$host/usr/share/qemu/"
done

# The guest: the same modules for both, in the demo image's order.
zcat -f "$image/initrd.img" | (cd "$T/kernel" && cpio -id --quiet 2>/dev/null)
cp "$T/kernel/bin/busybox" "$guest/bin/"
grep -oE '[a-z_-]+\.ko' "$T/kernel/etc/modules-order" | sed 's/\.ko$//' |
    grep -vE 'evdev|button|pvpanic|balloon|rng' >"$guest/lib/order"
while read -r module; do
    cp "$T/kernel/lib/$module.ko" "$guest/lib/"
done <"$guest/lib/order"
cp bench/guests/load "$guest/bin/"
cp "$here/guests/guest-init" "$guest/init"
chmod 755 "$guest/init"
(cd "$guest" && find . | "$T/kernel/bin/busybox" cpio -o -H newc) >"$T/bench.img"

cp "$T/bench.img" "$host/bench.img"
parts=${BENCH_PARTS:-boot blk net}
echo "$parts" >"$host/parts"
testhost_make "$here/guests/host-init" "$top_builddir/virga-vmm" \
    bench/guests/load bench/guests/vmm-watch \
    "$(command -v qemu-system-x86_64)" || exit
# Time in the host is counted in its instructions: whatever else this machine
# does, the figures stay the same. With vhost-net the host stood still so.
clock=(-icount "shift=1,sleep=off")
[[ $parts != *vhost* ]] || clock=()
testhost_run "${clock[@]}" || exit
sed -n '/^bench-begin/,/^bench-end/p' "$T/all"
tap_finished=yes
