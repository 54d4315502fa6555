#!/bin/bash
# 70-vmm-boot.t - virga-vmm boots Debian's stock kernel, as bzImage and as ELF,
# on real KVM with nested paging: in a test host that QEMU emulates, so on any
# machine. See tests/vmm/host-init for what runs in there.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

. "$(dirname "$0")/testhost.sh"

tap_ok "the test host is made" testhost_make \
    "$top_srcdir/tests/vmm/host-init" "$top_builddir/virga-vmm" || {
    tap_done
    exit
}
tap_ok "the test host runs to its end" testhost_run
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
