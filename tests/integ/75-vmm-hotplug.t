#!/bin/bash
# 75-vmm-hotplug.t - disks and NICs come and go while Debian's stock kernel
# runs, by ACPI, on real KVM in a test host that QEMU emulates.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/testhost.sh"

tap_ok "the test host is made" testhost_make \
    "$top_srcdir/tests/vmm/hotplug-init" \
    "$top_builddir/virga-vmm" || {
    tap_done
    exit
}
tap_ok "the test host runs to its end" testhost_run
tap_ok "a disk comes" saw "case hotplug: came a=1"
tap_ok "it has its size" saw "case hotplug: size a=32768"
tap_ok "it has its serial number" saw "case hotplug: serial=a."
tap_ok "it is written" saw "case hotplug: bytes are in the file"
tap_ok "it grows" saw "case hotplug: grown=65536"
tap_ok "the guest lets it go" saw "case hotplug: ctl detach-disk a: done"
tap_ok "it is gone" saw "case hotplug: gone a=1"
tap_ok "a NIC comes" saw "case hotplug: came n=1"
tap_ok "it carries packets" saw "case hotplug: 2 packets received"
tap_ok "it is gone" saw "case hotplug: gone n=1"
tap_ok "a disk goes while it is written" \
    saw "case hotplug: ctl detach-disk b: done"
tap_ok "the writer gets an error" saw "case hotplug: writer=1."
tap_ok "the guest goes on" saw "case hotplug: alive=1"
tap_ok "a disk is pulled out while it is written" \
    saw "case hotplug: puller=1."
tap_ok "it is gone" saw "case hotplug: gone p=1"
tap_ok "a NIC is pulled out" saw "case hotplug: gone m=1"
tap_ok "disks come again" saw "case hotplug: came k=1"
tap_ok "a reset keeps them" saw "case hotplug: kept=k,l."
tap_ok "with what is on them" saw "case hotplug: bytes=hotplug"
tap_ok "and they can go" saw "case hotplug: ctl detach-disk k: done"
tap_ok "what stays is described" saw "case hotplug: l is described"
tap_ok "what went is not" saw "case hotplug: k is not"
tap_ok "the guest powers off" saw "case hotplug: status 0"
tap_done
