#!/bin/bash
# 10-demo-image.t - the demo image boots as QEMU runs it for libvirt, answers
# on its console, keeps its data disk and obeys the power button.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is typed is for the guest's shell
# shellcheck disable=SC2054 # QEMU's options hold commas
. "$(dirname "$0")/tap.sh"

command -v qemu-system-x86_64 >/dev/null ||
    tap_skip_all "qemu-system-x86_64 is missing"
command -v dpkg >/dev/null || tap_skip_all "needs Debian's packages"

image=$top_builddir/demo-image
make_image() {
    "$top_srcdir/tools/virga-demo-image" "$image" --disk
}
tap_ok "the image is made" make_image || tap_done

files_state() {
    stat -c '%n %i %Y %s' "$image"/{vmlinuz,initrd.img,cmdline,disk.qcow2}
}
before=$(files_state)
tap_ok "making it again succeeds" make_image
tap_is "making it again changes nothing" "$(files_state)" "$before"
tap_ok "the initramfs is at most 4 MiB" \
    test "$(stat -c %s "$image/initrd.img")" -le $((4 << 20))

# boot NAME QEMU-ARGUMENT…: starts a guest; console.NAME.log gets its console,
# $serial and $qmp are where to write to it and to QEMU.
boot() {
    local name=$1 d

    shift
    d=$T/$name
    mkdir "$d"
    mkfifo "$d"/{ser,qmp}.{in,out}
    console=$T/console.$name.log
    # Kept open here, so that writing never waits for a guest that is gone.
    exec 5<>"$d/ser.in" 6<>"$d/qmp.in"
    spawn cat "$d/ser.out" >"$console"
    spawn cat "$d/qmp.out" >"$T/qmp.$name.log"
    spawn qemu-system-x86_64 -name "$name" \
        -machine q35 -accel tcg -cpu max -smp 1 -m 256 \
        -nodefaults -no-user-config -display none -no-reboot \
        -chardev "pipe,id=ser,path=$d/ser" -device isa-serial,chardev=ser \
        -chardev "pipe,id=qmp,path=$d/qmp" -mon chardev=qmp,mode=control \
        -device virtio-rng-pci -device virtio-balloon-pci \
        -device pvpanic "$@" >"$T/qemu.$name.log" 2>&1
    qemu=$spawned
    serial=$d/ser.in
    qmp=$d/qmp.in
    echo '{"execute":"qmp_capabilities"}' >"$qmp"
}

# seen TEXT: it is on the console.
seen() {
    grep -qE -- "$1" "$console"
}

# Either it shows up or the guest is dead: no need to wait for the deadline.
seen_or_dead() {
    seen "$1" || ! running "$qemu"
}

await() {
    wait_for "$1" seen_or_dead "$2"
    seen "$2"
}

type_line() {
    echo "$1" >"$serial"
}

power_button() {
    echo '{"execute":"system_powerdown"}' >"$qmp"
}

ended_well() {
    wait_for 15 eval "! running $qemu" && wait "$qemu"
}

kernel_args=(-kernel "$image/vmlinuz" -initrd "$image/initrd.img")
cmdline=$(cat "$image/cmdline")
# A network of the guest alone, as the driver gives it.
user_net=(-netdev user,id=n0,restrict=on
    -device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56)

# 1. Direct kernel boot with a blank data disk.
truncate -s 64M "$T/data.raw"
data_disk=(-drive "file=$T/data.raw,format=raw,if=none,id=d0"
    -device virtio-blk-pci,drive=d0)
boot direct "${kernel_args[@]}" "${user_net[@]}" "${data_disk[@]}" \
    -append "$cmdline virga.name=first virga.mark=m1 virga.tick=1"
tap_ok "direct boot: ready line with name, kernel and address" await 60 \
    '^virga-guest ready: first kernel=6\.[^ ]+ ip=10\.0\.2\.15 up=[0-9.]+s' ||
    tap_done
tap_diag "$(grep -a 'ready:' "$console")"
tap_ok "direct boot: mark from the kernel command line" seen \
    '^virga-guest mark: m1'
tap_ok "direct boot: login prompt" await 20 'first login:'
type_line root
tap_ok "direct boot: root logs in, told where" await 20 'Virga demo guest'
# The tty's echo shows what is typed; only the shell makes these into one.
type_line 'echo "$((6 * 7))"-"$(id -un)"'
tap_ok "direct boot: the shell answers" await 20 '42-root'
type_line 'for m in /etc/modules-order; do xargs -n 1 basename <$m; done |
 sed "s/.ko//;s/-/_/g" | while read -r m; do
 [ -d /sys/module/$m ] || echo "lost=$m"; done; echo modules-"checked"'
tap_ok "direct boot: module list is checked" await 20 '^modules-checked'
tap_ok "direct boot: every driver is loaded" eval '! seen "^lost="'
type_line 'netstat -ltun | grep -vc -e Active -e Proto -e :68 | sed s/^/open=/'
tap_ok "direct boot: no network service listens" await 20 '^open=0'
tap_ok "direct boot: ticks go on" await 20 'virga-guest tick: 3'
tap_ok "blank disk becomes the data disk" await 20 \
    '^virga-guest data: /dev/vda formatted'
type_line 'echo kept > /data/note && sync && echo note-"written"'
tap_ok "data disk takes a file" await 20 '^note-written'
t0=$(date +%s%N)
power_button
tap_ok "power button ends the guest in good order" ended_well
took=$((($(date +%s%N) - t0) / 1000000))
tap_diag "power button to end: $took ms"
tap_ok "power button is named on the console" seen \
    '^virga-guest: power button'
tap_ok "power button takes effect within 5 s" test "$took" -lt 5000

# 2. The same disk again; a network where nobody answers.
boot again "${kernel_args[@]}" "${data_disk[@]}" \
    -netdev hubport,id=n0,hubid=0 -device virtio-net-pci,netdev=n0 \
    -append "$cmdline"
tap_ok "no DHCP answer: ready without an address" await 60 \
    '^virga-guest ready: virga kernel=6\.[^ ]+ ip=none up=' || tap_done
await 20 'login:' && type_line root && await 20 'Virga demo guest'
type_line 'echo "note=$(cat /data/note)"'
tap_ok "data disk keeps its file over stop and start" await 20 '^note=kept'
type_line 'poweroff'
tap_ok "poweroff in the guest ends it in good order" ended_well

# 3. No network device, no disk.
boot bare "${kernel_args[@]}" -append "$cmdline"
tap_ok "no NIC, no disk: ready" await 60 \
    '^virga-guest ready: virga kernel=6\.[^ ]+ ip=none up=' || tap_done
await 20 'login:' && type_line root && await 20 'Virga demo guest'
type_line 'echo c > /proc/sysrq-trigger'
tap_ok "a panic ends the guest" wait_for 20 eval "! running $qemu"
tap_ok "a panic is reported by pvpanic" grep -q GUEST_PANICKED \
    "$T/qmp.bare.log"

# 4. The disk image, by firmware.
cp "$image/disk.qcow2" "$T/disk.qcow2"
boot disk "${user_net[@]}" \
    -drive "file=$T/disk.qcow2,format=qcow2,if=none,id=d0" \
    -device virtio-blk-pci,drive=d0,bootindex=1
tap_ok "disk boot: ready line" await 90 \
    '^virga-guest ready: virga kernel=6\.[^ ]+ ip=10\.0\.2\.15 up=' || tap_done
tap_diag "$(grep -a 'ready:' "$console")"
tap_ok "disk boot: login prompt" await 20 'virga login:'
type_line root
await 20 'Virga demo guest'
type_line 'echo "$((6 * 7))"-"$(id -un)"'
tap_ok "disk boot: the shell answers" await 20 '42-root'
tap_ok "disk boot: the boot disk is left alone" eval \
    '! seen "^virga-guest data:"'
power_button
tap_ok "disk boot: power button ends the guest" ended_well

tap_done
