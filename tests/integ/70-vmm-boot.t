#!/bin/bash
# 70-vmm-boot.t - virga-vmm boots Debian's stock kernel, as bzImage and as ELF,
# on real KVM with nested paging: in a test host that QEMU emulates, so on any
# machine. See tests/vmm/host-init for what runs in there.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

command -v qemu-system-x86_64 >/dev/null ||
    tap_skip_all "qemu-system-x86_64 is missing"
command -v dpkg-deb >/dev/null || tap_skip_all "needs Debian's packages"
image=$top_builddir/demo-image
"$top_srcdir/tools/virga-demo-image" "$image" >"$T/image.log" 2>&1 ||
    tap_skip_all "no demo image: $(tail -n 1 "$T/image.log")"

host=$T/host
log=$T/host.log
mkdir -p "$host"/{bin,lib} "$T/busybox" "$T/kernel"

# newest NAME: the image's own packages, as its cache holds them.
newest() {
    find "${VIRGA_CACHE:-$image/cache}" -name "$1_*.deb" -printf '%T@ %p\n' |
        sort -n | tail -n 1 | cut -d ' ' -f 2-
}

make_host() {
    local name file

    dpkg-deb --fsys-tarfile "$(newest busybox-static)" |
        tar -x -C "$T/busybox" --wildcards '*/busybox' || return 1
    dpkg-deb --fsys-tarfile "$(newest 'linux-image-*-cloud-amd64')" |
        tar -x -C "$T/kernel" --wildcards '*/irqbypass.ko' '*/kvm.ko' \
            '*/kvm-amd.ko' '*/tun.ko' || return 1
    cp "$T/busybox/bin/busybox" "$host/bin/" || return 1
    for name in irqbypass kvm kvm-amd tun; do
        find "$T/kernel" -name "$name.ko" -exec cp {} "$host/lib/" \;
    done
    cp "$image"/{vmlinuz,initrd.img} "$host/" &&
        cp "$top_srcdir/tests/vmm/host-init" "$host/init" &&
        chmod 755 "$host/init" &&
        cp "$top_builddir/virga-vmm" "$host/bin/" || return 1
    echo "$(cat "$image/cmdline") mitigations=off nokaslr" >"$host/cmdline"
    # The loader and what the program is linked with, where it looks.
    ldd "$host/bin/virga-vmm" | grep -o '/[^ ]*' | while read -r file; do
        mkdir -p "$host${file%/*}"
        cp -L "$file" "$host$file"
    done
    (cd "$host" && find . | "$T/busybox/bin/busybox" cpio -o -H newc) \
        >"$T/host.img"
}

"$top_builddir/tests/vmm/vmlinux" "$image/vmlinuz" "$host/vmlinux" ||
    tap_skip_all "cannot take the ELF kernel out of $image/vmlinuz"
tap_ok "the test host is made" make_host || {
    tap_done
    exit
}

run_host() {
    timeout 600 qemu-system-x86_64 -accel tcg,thread=single \
        -cpu EPYC,+svm,+npt -smp 1 -m 1024 -nodefaults -nographic \
        -serial stdio -no-reboot -kernel "$image/vmlinuz" \
        -initrd "$T/host.img" -append "console=ttyS0 panic=-1 quiet \
mitigations=off nokaslr cryptomgr.notests no_timer_check tsc=reliable" \
        </dev/null >"$log" 2>&1
}
tap_ok "the test host runs to its end" run_host
tr -d '\r' <"$log" >"$T/all"

saw() {
    grep -qF -- "$1" "$T/all"
}
tap_ok "the host's KVM has nested paging" saw "host: nested paging Y"
tap_ok "bzImage: the guest comes up" saw "case bzimage: guest ready"
tap_ok "bzImage: the console takes input" saw "case bzimage: Virga demo guest"
tap_ok "bzImage: the disk is written" saw "case bzimage: data 42"
tap_ok "bzImage: a file system is on it" saw "case bzimage: magic ef53"
tap_ok "bzImage: the file's bytes are on it" saw "case bzimage: content on disk"
tap_ok "bzImage: the power button ends it well" saw "case bzimage: status 0"
tap_ok "bzImage: no exit failed" saw 'kind="error"} 0'
tap_ok "ELF: the guest comes up by its PVH entry" saw "case elf: guest ready"
tap_ok "ELF: both processors are up" saw "case elf: cpus 2"
tap_ok "ELF: the disk is read" saw "case elf: disk content"
tap_ok "ELF: it has the entropy device" saw "elf| /dev/hwrng"
tap_ok "ELF: pings are answered over the tap" saw "case elf: 2 packets received"
tap_ok "ELF: the NIC has its address" saw "case elf: 52:54:00:00:00:02"
tap_ok "ELF: a reboot is told as a reset" saw "case elf: status 3"
tap_ok "panic: the guest comes up" saw "case panic: guest ready"
tap_ok "panic: it is told as a panic" saw "case panic: status 5"
tap_done
