#!/bin/bash
# 20-e2e-libvirt.t - a stock kernel through API, agent, libvirt and QEMU: the
# essential steps by plain HTTP, the console by the CLI on a terminal, times
# and files compared with what can be seen from outside.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is typed is for the guest's shell
# shellcheck disable=SC2154 # set by cloud.sh
. "$(dirname "$0")/cloud.sh"

command -v qemu-system-x86_64 >/dev/null ||
    tap_skip_all "qemu-system-x86_64 is missing"
command -v dpkg >/dev/null || tap_skip_all "needs Debian's packages"
[ "$(id -u)" = 0 ] || tap_skip_all "QEMU by libvirt needs root here"

image=$top_builddir/demo-image
tap_ok "the demo image is there" \
    "$top_srcdir/tools/virga-demo-image" "$image" --disk || tap_done
tap_ok "the controller starts" cloud_controller || tap_done
tap_ok "an agent joins" cloud_agent n1 libvirt || tap_done
rest GET /v1/nodes/n1
tap_ok "accel auto was decided" eval 'field .accel | grep -qxE "kvm|tcg"'
tap_diag "accel: $(field .accel)"

# console LOG-FILE: what the API has of the instance's console.
console() {
    rest GET "/v1/instances/$1/console-log?limit=1048576" &&
        [ "$http" = 200 ]
}

ready_lines() {
    console "$1" && grep -ac 'virga-guest ready: ' "$body"
}

# ready_again INSTANCE N: it said so more than N times.
ready_again() {
    [ "$(ready_lines "$1")" -gt "$2" ]
}

# When a process that is no child of ours ends: "SECONDS.MICROSECONDS" into a
# file.
watch_end() {
    spawn python3 -c '
import os, select, sys, time
pid, out = int(sys.argv[1]), sys.argv[2]
fd = os.pidfd_open(pid)
open(out + ".watching", "w").close()
select.select([fd], [], [])
t = time.time()
with open(out + ".new", "w") as f:
    f.write("%.6f\n" % t)
os.rename(out + ".new", out)' "$1" "$2"
    wait_for 10 test -e "$2.watching"
}

# When it began, in the clock of the outside.
begin_of() {
    python3 -c '
import os, sys
stat = open("/proc/%s/stat" % sys.argv[1]).read().rsplit(")", 1)[1].split()
boot = [l for l in open("/proc/stat") if l.startswith("btime")][0].split()[1]
import time
up = float(open("/proc/uptime").read().split()[0])
age = up - int(stat[19]) / os.sysconf("SC_CLK_TCK")
print("%.3f" % (time.time() - age))' "$1"
}

usage_of() {
    rest GET "/v1/usage?instance=$1" && field '.items[0].running_seconds'
}

# A guest begins to run after its QEMU's process (which is seen to the moment)
# and before the API says that it runs; in between libvirt prepares it, which
# takes as long as the machine is busy. Its end is seen to the moment.
#
# between A LOW HIGH LIMIT: A is in the range, or off it by LIMIT at most.
between() {
    echo "reported $1 s, seen from outside $2 to $3 s"
    awk -v a="$1" -v l="$2" -v h="$3" -v m="$4" \
        'BEGIN { exit !(a >= l - m && a <= h + m) }'
}

now() {
    date +%s.%N
}

# minus A B…: A less all the others
minus() {
    awk 'BEGIN { r = ARGV[1]; for (i = 2; i < ARGC; i++) r -= ARGV[i];
        printf "%.3f\n", r }' "$@"
}

state_is() {
    rest GET "/v1/instances/$1" && [ "$(field .state)" = "$2" ]
}

# pty NAME SECONDS: the console on a terminal, by the script on stdin.
pty() {
    python3 "$(dirname "$0")/pty-talk.py" "$T/pty.$1.log" "$2" \
        "$virga" instance console "$1" >"$T/talk.$1.out" 2>&1 ||
        { cat "$T/talk.$1.out"; return 1; }
}

rest POST /v1/flavors \
    -d '{"name":"small","vcpus":1,"memory_bytes":268435456,"disk_bytes":67108864}'
tap_is "a flavor is made" "$http" 201

# upload IMAGE PART FILE
upload() {
    rest_ok 200 PUT "/v1/images/$1/parts/$2" -T "$3" \
        -H 'Content-Type: application/octet-stream' || return
    [ "$(field ".parts[] | select(.name == \"$2\").sha256")" = \
        "$(sha256sum "$3" | cut -d' ' -f1)" ]
}

cmdline=$(cat "$image/cmdline")
jq -n --arg c "$cmdline virga.name=web" '{name: "kernel-image", cmdline: $c,
    parts: [{name: "kernel"}, {name: "initrd"}]}' >"$T/request"
tap_ok "an image is made" rest_ok 201 POST /v1/images -d @"$T/request"
tap_is "it waits for its parts" "$(field .state)" pending
tap_ok "an instance of it is refused for now" rest_ok 409 POST /v1/instances \
    -d '{"name":"early","image":"kernel-image","flavor":"small"}'
tap_ok "the kernel is uploaded" upload kernel-image kernel "$image/vmlinuz"
tap_ok "the initrd is uploaded" upload kernel-image initrd "$image/initrd.img"
tap_is "the image is active" "$(field .state)" active

# ---- create ----

t0=$(now)
tap_ok "create: 201" rest_ok 201 POST /v1/instances \
    -H 'Idempotency-Key: e2e-1' \
    -d '{"name":"web","image":"kernel-image","flavor":"small"}'
id=$(field .id)
tap_is "create: a transient state" "$(field .state)" creating
tap_is "create: its operation succeeds" "$(operation_ends)" succeeded || {
    cat "$body"
    tap_done
}
seen=$(now)
tap_diag "created and running after $(minus "$seen" "$t0") s"
tap_ok "it runs" state_is web running
started=$(field .started_at)
pid=$(guest_pid "$id")
tap_ok "a QEMU runs for it" test -n "$pid" || tap_done
watch_end "$pid" "$T/end.1"
begin=$(begin_of "$pid")
tap_ok "started_at is when QEMU began" between \
    "$(date -d "$started" +%s.%N)" "$begin" "$seen" 0.1
tap_ok "the guest's ready line by the API" wait_for 120 ready_again web 0 ||
    tap_done
tap_diag "$(grep -a 'virga-guest ready' "$body")"
tap_ok "with the kernel of the image" grep -qaE \
    'virga-guest ready: web kernel=6\.[0-9]+\.[0-9]+[^ ]*cloud' "$body"

# ---- console ----

tap_ok "console on a terminal: log in, ask, read the answer, Ctrl-]" pty web 60 \
    <<'TALK'
expect Ctrl-\] leaves
send \r
expect login:
send root\r
expect Virga demo guest
send echo "$((6 * 7))-$(id -un)-$(cat /proc/sys/kernel/ostype)"\r
expect ^42-root-Linux
send until mount | grep -q " /data "; do usleep 100000; done; echo data-is-"there"\r
expect ^data-is-there
send date +%s >/data/note; echo kept >>/data/note; sync; echo note-"written"\r
expect ^note-written
send \x1d
status 0
TALK
tap_ok "console by a pipe: the same shell answers" eval '
    echo "echo piped-\$((2 + 3))" |
        "$virga" instance console web --linger 3s >"$T/piped" &&
        tr -d "\r" <"$T/piped" | grep -qx "piped-5"'
tap_ok "stats: the guest used its processor" eval '
    rest_ok 200 GET /v1/instances/web/stats && [ "$(field .cpu_ns)" -gt 0 ]'

# ---- stop by the power button ----

tap_ok "usage of what runs is open" eval \
    'rest_ok 200 GET "/v1/usage?instance=web" &&
        [ "$(field ".items[0].open")" = true ]'
t0=$(date +%s)
tap_ok "stop: 202" rest_ok 202 POST /v1/instances/web/stop
tap_is "stop: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "stop: long before the grace time of 60 s" \
    test $(($(date +%s) - t0)) -lt 45
tap_ok "stop: the instance is stopped" state_is web stopped
tap_is "stop: because it was asked" "$(field .stop_reason)" requested
tap_ok "stop: QEMU has ended" wait_for 10 test -s "$T/end.1"
tap_ok "stop: the guest heard its power button" eval \
    'console web && grep -qa "virga-guest: power button" "$body"'
tap_ok "stop: and powered itself off" grep -qa 'Power down' "$body"
tap_ok "stop: no force was used" eval \
    '! grep -E "did not power off|ending it" "$T/n1.log"'
end=$(cat "$T/end.1")
low=$(minus "$end" "$seen") high=$(minus "$end" "$begin")
used=$(usage_of "$id")
tap_ok "usage is the time that the guest ran, within 1 s" between "$used" \
    "$low" "$high" 1
tap_diag "usage $used s, the guest ran $low to $high s"
tap_is "usage is closed" "$(field '.items[0].open')" false

# ---- start again, reboot ----

before=$(ready_lines web)
tap_ok "start: 202" rest_ok 202 POST /v1/instances/web/start
tap_is "start: its operation succeeds" "$(operation_ends)" succeeded
seen2=$(now)
pid=$(guest_pid "$id")
watch_end "$pid" "$T/end.2"
begin2=$(begin_of "$pid")
tap_ok "start: ready again" wait_for 120 ready_again web "$before"
tap_ok "start: the disk kept what was written" pty web 60 <<'TALK'
send \r
expect login:
send root\r
expect Virga demo guest
send echo "found=$(sed -n 2p /data/note)"\r
expect ^found=kept
send \x1d
status 0
TALK
before=$(ready_lines web)
tap_ok "reboot: 202" rest_ok 202 POST /v1/instances/web/reboot
tap_is "reboot: its operation succeeds" "$(operation_ends)" succeeded
seen3=$(now)
tap_ok "reboot: runs" state_is web running
tap_is "reboot: is its third run" "$(field .run)" 3
tap_ok "reboot: the run before has ended" wait_for 10 test -s "$T/end.2"
pid=$(guest_pid "$id")
watch_end "$pid" "$T/end.3"
begin3=$(begin_of "$pid")
tap_ok "reboot: ready again" wait_for 120 ready_again web "$before"

# ---- delete ----

tap_ok "an image in use is not deleted" rest_ok 409 DELETE \
    /v1/images/kernel-image
tap_ok "delete: 202" rest_ok 202 DELETE /v1/instances/web
tap_is "delete: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "delete: QEMU has ended" wait_for 10 test -s "$T/end.3"
tap_ok "delete: no such instance" rest_ok 404 GET "/v1/instances/$id"
tap_is "delete: no process is left" "$(guests_left)" ""
tap_is "delete: no file is left on the node" \
    "$(find "$T/n1" -path "*/log/*" -prune -o -name "*$id*" -print)" ""
tap_ok "delete: no domain is left" eval \
    '! grep -rqs "$id" "$T/n1/libvirt/etc" "$T/n1/libvirt/run" \
        "$T/n1/libvirt/lib"'
rest GET /v1/nodes/n1
tap_is "delete: nothing is claimed" \
    "$(field '"\(.vcpus_claimed) \(.memory_claimed_bytes) \(.instances)"')" \
    "0 0 0"
end=$(awk '{ s += $1 } END { printf "%.6f", s }' "$T"/end.[123])
low=$(minus "$end" "$seen" "$seen2" "$seen3")
high=$(minus "$end" "$begin" "$begin2" "$begin3")
used=$(usage_of "$id")
tap_ok "usage of all three runs, within 1 s" between "$used" "$low" "$high" 1
tap_diag "usage $used s, the guest ran $low to $high s in three runs"

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
tap_ok "disk boot: log in, ask, read the answer" pty disk-1 60 <<'TALK'
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
    'console disk-1 && grep -qa "Power down" "$body" &&
        ! grep -E "did not power off|ending it" "$T/n1.log"'
tap_ok "disk boot: delete" rest_ok 202 DELETE /v1/instances/disk-1
tap_is "disk boot: its operation succeeds" "$(operation_ends)" succeeded
tap_is "disk boot: no file is left on the node" \
    "$(find "$T/n1" -path "*/log/*" -prune -o -name "*$id*" -print)" ""
tap_ok "an image that nothing uses is deleted" rest_ok 204 DELETE \
    /v1/images/disk-image

tap_ok "the agent stops in good order" cloud_end "$agent"
tap_ok "the controller stops in good order" cloud_end "$controller"
tap_done
