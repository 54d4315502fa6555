#!/bin/bash
# 20-e2e-libvirt.t - a stock kernel through API, agent, libvirt and QEMU: the
# essential steps by plain HTTP, the console by the CLI on a terminal (e2e.sh
# has them); then a disk that firmware boots.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is typed is for the guest's shell
# shellcheck disable=SC2154 # set by e2e.sh
e2e_driver=libvirt
. "$(dirname "$0")/e2e.sh"

command -v qemu-system-x86_64 >/dev/null ||
    tap_skip_all "qemu-system-x86_64 is missing"
command -v dpkg >/dev/null || tap_skip_all "needs Debian's packages"
[ "$(id -u)" = 0 ] || tap_skip_all "QEMU by libvirt needs root here"

tap_ok "the demo image is there" \
    "$top_srcdir/tools/virga-demo-image" "$image" --disk || tap_done
e2e_cloud
tap_ok "accel auto was decided" eval 'field .accel | grep -qxE "kvm|tcg"'
e2e_image
e2e_create web
e2e_console web
e2e_stop web
e2e_start web
e2e_reboot web
e2e_delete web
tap_ok "delete: no domain is left" eval \
    '! grep -rqs "$id" "$T/n1/libvirt/etc" "$T/n1/libvirt/run" \
        "$T/n1/libvirt/lib"'

# ---- a disk that firmware boots ----

tap_ok "a disk image is made" rest_ok 201 POST /v1/images \
    -d '{"name":"disk-image","parts":[{"name":"disk","format":"qcow2"}]}'
tap_ok "the disk is uploaded" upload disk-image disk "$image/disk.qcow2"
tap_ok "disk boot: 201" rest_ok 201 POST /v1/instances \
    -d '{"name":"disk-1","image":"disk-image","flavor":"small"}'
if [ "$(jq -r '.errors[0].code // empty' "$body")" = disk_too_small ]; then
    tap_done
fi
id=$(field .id)
tap_is "disk boot: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "disk boot: ready" wait_for 150 ready_again disk-1 0 || tap_done
tap_diag "$(grep -a 'virga-guest ready' "$body")"
tap_ok "disk boot: log in, ask, read the answer" pty disk-1 <<'TALK'
send \r
expect login:
send root\r
expect Virga demo guest
send echo "$((6 * 7))-$(id -un)"\r
expect ^42-root
send \x1d
status 0
TALK
tap_ok "disk boot: stop" rest_ok 202 POST /v1/instances/disk-1/stop
tap_is "disk boot: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "disk boot: the guest powered itself off" eval \
    'console disk-1 && grep -qa "Power down" "$body" && e2e_no_force'
tap_ok "disk boot: delete" rest_ok 202 DELETE /v1/instances/disk-1
tap_is "disk boot: its operation succeeds" "$(operation_ends)" succeeded
tap_is "disk boot: no file is left on the node" \
    "$(find "$T/n1" -path "*/log/*" -prune -o -name "*$id*" -print)" ""
tap_ok "an image that nothing uses is deleted" rest_ok 204 DELETE \
    /v1/images/disk-image
e2e_end
tap_done
