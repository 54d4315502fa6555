#!/bin/bash
# 46-guest-life.t - user data and keys, pause, resize and rebuild with a stock
# kernel in QEMU, by the guest's own account; also what pausing and an agent's
# death do to each other, and a disk that QEMU itself has halted. The driver
# vmm goes through the same steps in 79-vmm-e2e.t.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is typed is for the guest's shell
# shellcheck disable=SC2154 # set by e2e.sh
# shellcheck disable=SC2034 # for e2e.sh
e2e_driver=libvirt
. "$(dirname "$0")/e2e.sh"
. "$(dirname "$0")/e2e-life.sh"

command -v qemu-system-x86_64 >/dev/null ||
    tap_skip_all "qemu-system-x86_64 is missing"
command -v dpkg >/dev/null || tap_skip_all "needs Debian's packages"
[ "$(id -u)" = 0 ] || tap_skip_all "QEMU by libvirt needs root here"

tap_ok "the demo image is there" \
    "$top_srcdir/tools/virga-demo-image" "$image" || tap_done
e2e_cloud
e2e_image
e2e_life life

# ---- a paused guest and its agent's death ----

tap_ok "another instance: 201" rest_ok 201 POST /v1/instances \
    -d '{"name":"two","image":"kernel-image","flavor":"small"}'
id=$(field .id)
tap_is "another instance: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "another instance: ready" wait_for "$e2e_patience" ready_again two 0
tap_ok "without user data it has no disk for that" eval \
    '[ ! -e "$T/n1/instances/$id/seed.iso" ] &&
        ! grep -qa "virga-guest meta-data" "$body"'
tap_ok "pause it: 202" rest_ok 202 POST /v1/instances/two/pause
tap_is "pause it: its operation succeeds" "$(operation_ends)" succeeded
before=$(guest_pid "$id")
kill -KILL "$agent"
wait "$agent" 2>/dev/null
tap_ok "another agent starts" e2e_agent
tap_is "it has the same guest" "$(guest_pid "$id")" "$before"
tap_ok "it is paused still" state_is two paused
tap_ok "resume it: 202" rest_ok 202 POST /v1/instances/two/resume
tap_is "resume it: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "its guest answers, in the same boot" pty two <<'TALK'
send \r
expect login:
send \x1d
status 0
TALK
tap_ok "pause it again: 202" rest_ok 202 POST /v1/instances/two/pause
tap_is "pause it again: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "stop what is paused: 202" rest_ok 202 POST /v1/instances/two/stop
tap_is "stop what is paused: its operation succeeds" "$(operation_ends)" \
    succeeded
tap_ok "it heard its power button" eval \
    'console two && grep -qa "virga-guest: power button" "$body" && e2e_no_force'
tap_ok "delete it: 202" rest_ok 202 DELETE /v1/instances/two
tap_is "delete it: its operation succeeds" "$(operation_ends)" succeeded
e2e_end
tap_done
