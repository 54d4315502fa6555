#!/bin/bash
# 76-vmm-net.t - a guest's network on real KVM in an emulated test host: two
# queue pairs on a tap, the same by vhost-net with pause, limits, link and
# reset, and virga-usernet. See tests/vmm/host-init-net.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

. "$(dirname "$0")/testhost.sh"

testhost_modules vhost_iotlb vhost tap vhost_net
tap_ok "the test host is made" testhost_make \
    /tmp/init-vhost "$top_builddir/virga-vmm" \
    "$top_builddir/virga-usernet" "$top_builddir/tests/vmm/pair" || {
    tap_done
    exit
}
# shellcheck disable=SC2034 # for testhost_run
testhost_seconds=1200
tap_ok "the test host runs to its end" testhost_run
tap_ok "two pairs: all four queues are there" saw "case own: queues 4 mtu 1400"
tap_ok "two pairs: a file to the guest arrives whole" saw "case own: down "
tap_ok "two pairs: a file from the guest does" saw "case own: up same"
tap_ok "two pairs: the driver's own address is taken" \
    saw "case own: 1 packets received"
tap_ok "two pairs: the guest ends well" saw "case own: status 0"
tap_ok "vhost: the host has it" saw "host: vhost-net"
tap_ok "vhost: a file to the guest arrives whole" saw "case vhost: down1 "
tap_ok "vhost: a file from the guest does" saw "case vhost: up1 same"
tap_ok "vhost: the kernel moved them" saw "case vhost: the kernel moved them"
tap_ok "vhost: a pause and its end leave the rings whole" \
    saw "case vhost: down2 "
tap_ok "vhost: files pass with a limit" saw "case vhost: up3 same"
tap_ok "vhost: with a limit the process moves them" \
    saw "case vhost: with a limit we moved them"
tap_ok "vhost: files pass without it again" saw "case vhost: up4 same"
tap_ok "vhost: then the kernel moves them again" \
    saw "case vhost: the kernel moved them again"
tap_ok "vhost: nothing passes while the link is down" \
    saw "case vhost: 0 packets received"
tap_ok "vhost: files pass when it is up" saw "case vhost: down5 "
tap_ok "vhost: it works after a reset" saw "case vhost: 2 packets received"
asked_well() {
    ! grep -qE 'case vhost: (.* failed|no counters)' "$T/all"
}
tap_ok "vhost: every request is answered well" asked_well
tap_ok "vhost: the guest ends well" saw "case vhost: status 0"
tap_ok "user network: the guest has its address" \
    saw "case user: inet 10.0.2.15/24"
tap_ok "user network: a file from this machine arrives whole" \
    saw "case user: down "
tap_ok "user network: the guest ends well" saw "case user: status 0"
tap_done
