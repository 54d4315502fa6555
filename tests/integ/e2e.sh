# e2e.sh - the life of an instance through API, agent, hypervisor and a stock
# kernel, a step a function, the same for each driver: source it after setting
# $e2e_driver (libvirt or vmm), instead of cloud.sh (which it sources). Times
# and files are compared with what can be seen from outside.
#
#   e2e_cloud            a controller and the agent n1
#   e2e_image            the flavor "small" and the image "kernel-image"
#   e2e_create NAME [MORE-JSON]
#                        an instance of it, until its guest is ready; $id
#   e2e_console NAME     a shell on a terminal and through a pipe; a file is
#                        written to its disk
#   e2e_stop NAME        by the power button; its usage
#   e2e_start NAME       again; its disk is as it was
#   e2e_reboot NAME      by the API
#   e2e_delete NAME      nothing is left; usage of all its runs
#   e2e_end              agent and controller stop
#
# Steps take $e2e_patience seconds at most for what a guest does.
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is typed is for the guest's shell
# shellcheck disable=SC2154 # set by cloud.sh
# shellcheck disable=SC2034 # for the tests
. "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

e2e_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
e2e_patience=${e2e_patience:-120}
# How far a time may be off that two processes saw.
e2e_slack=${e2e_slack:-0.1}
# Between questions whether a guest is ready.
e2e_pause=${e2e_pause:-0.05}
image=$top_builddir/demo-image

if [ "$e2e_driver" = vmm ]; then
    e2e_program="virga-vmm"
    # A VM is jailed: its command line names nothing. Its cgroup does, and
    # that of its network's process.
    guests_left() {
        local exe

        find /proc/[0-9]*/exe -maxdepth 0 \( -lname '*/virga-vmm' -o \
            -lname '*/virga-usernet' \) 2>/dev/null | while read -r exe; do
            grep -qs "/$e2e_slice/" "${exe%exe}cgroup" || continue
            exe=${exe#/proc/}
            echo "${exe%/exe}"
        done
    }
    guest_pid() {
        jq -r .pid "$T/n1/vmm/vms/$1/vm.json"
    }
else
    e2e_program=QEMU
fi

# What the API has of the instance's console, in $body.
console() {
    rest GET "/v1/instances/$1/console-log?limit=1048576" &&
        [ "$http" = 200 ]
}

ready_lines() {
    console "$1" && grep -ac 'virga-guest ready: ' "$body"
}

# ready_again INSTANCE N: it said so more than N times.
ready_again() {
    [ "$(ready_lines "$1")" -gt "$2" ] || { sleep "$e2e_pause"; false; }
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
    wait_for 20 test -e "$2.watching"
}

# When it began, in the clock of the outside.
begin_of() {
    python3 -c '
import os, sys, time
stat = open("/proc/%s/stat" % sys.argv[1]).read().rsplit(")", 1)[1].split()
up = float(open("/proc/uptime").read().split()[0])
age = up - int(stat[19]) / os.sysconf("SC_CLK_TCK")
print("%.3f" % (time.time() - age))' "$1"
}

usage_of() {
    rest GET "/v1/usage?instance=$1" && field '.items[0].running_seconds'
}

# A guest begins to run after its hypervisor's process (which is seen to the
# moment) and before the API says that it runs; in between it is prepared,
# which takes as long as the machine is busy. Its end is seen to the moment.
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

# pty NAME: the console on a terminal, by the script on stdin.
pty() {
    python3 "$e2e_here/pty-talk.py" "$T/pty.$1.log" "$e2e_patience" \
        "$virga" instance console "$1" >"$T/talk.$1.out" 2>&1 ||
        { cat "$T/talk.$1.out"; return 1; }
}

# e2e_run_began WHEN: a run of the instance whose life is watched was there at
# that time. Sets $pid, and its end will be known.
e2e_run_began() {
    pid=$(guest_pid "$id") && [ -n "$pid" ] || return 1
    seen+=("$1")
    runs=$((runs + 1))
    watch_end "$pid" "$T/end.$e2e_name.$runs"
    begin+=("$(begin_of "$pid")")
}

# The program of the latest run has ended.
e2e_run_ended() {
    wait_for 20 test -s "$T/end.$e2e_name.$runs"
}

# Usage agrees with all the runs so far, which have ended.
e2e_usage_agrees() { # DESCRIPTION
    local end low high used

    end=$(cat "$T/end.$e2e_name".? | awk '{ s += $1 } END { printf "%.6f", s }')
    low=$(minus "$end" "${seen[@]}") high=$(minus "$end" "${begin[@]}")
    used=$(usage_of "$id")
    tap_ok "$1" between "$used" "$low" "$high" 1
    tap_diag "usage $used s, the guest ran $low to $high s in $runs runs"
}

e2e_agent() {
    local args=()

    [ "$e2e_driver" = vmm ] && args=(--vmm-cgroup "$e2e_slice")
    cloud_agent n1 "$e2e_driver" ${args[@]+"${args[@]}"} "$@"
}

e2e_cloud() {
    tap_ok "the controller starts" cloud_controller || tap_done
    tap_ok "an agent joins with driver $e2e_driver" e2e_agent || tap_done
    rest GET /v1/nodes/n1
    tap_is "the node's driver is $e2e_driver" "$(field .driver)" "$e2e_driver"
    tap_diag "accel: $(field .accel), traits: $(field '.traits | join(" ")')"
}

# upload IMAGE PART FILE
upload() {
    rest_ok 200 PUT "/v1/images/$1/parts/$2" -T "$3" \
        -H 'Content-Type: application/octet-stream' || return
    [ "$(field ".parts[] | select(.name == \"$2\").sha256")" = \
        "$(sha256sum "$3" | cut -d' ' -f1)" ]
}

e2e_image() {
    local cmdline

    rest POST /v1/flavors -d '{"name":"small","vcpus":1,
        "memory_bytes":268435456,"disk_bytes":67108864}'
    tap_is "a flavor is made" "$http" 201
    cmdline=$(cat "$image/cmdline")
    jq -n --arg c "$cmdline virga.name=guest" '{name: "kernel-image",
        cmdline: $c, parts: [{name: "kernel"}, {name: "initrd"}]}' \
        >"$T/request"
    tap_ok "an image is made" rest_ok 201 POST /v1/images -d @"$T/request"
    tap_is "it waits for its parts" "$(field .state)" pending
    tap_ok "an instance of it is refused for now" rest_ok 409 POST \
        /v1/instances \
        -d '{"name":"early","image":"kernel-image","flavor":"small"}'
    tap_ok "the kernel is uploaded" upload kernel-image kernel \
        "$image/vmlinuz"
    tap_ok "the initrd is uploaded" upload kernel-image initrd \
        "$image/initrd.img"
    tap_is "the image is active" "$(field .state)" active
}

e2e_create() {
    local t0 t1 started

    e2e_name=$1 runs=0 seen=() begin=()
    t0=$(now)
    tap_ok "create: 201" rest_ok 201 POST /v1/instances \
        -H "Idempotency-Key: e2e-$1" -d "{\"name\":\"$1\",
            \"image\":\"kernel-image\",\"flavor\":\"small\"${2:-}}"
    id=$(field .id)
    tap_is "create: a transient state" "$(field .state)" creating
    tap_is "create: its operation succeeds" "$(operation_ends)" succeeded || {
        cat "$body"
        tap_done
    }
    t1=$(now)
    tap_diag "created and running after $(minus "$t1" "$t0") s"
    tap_ok "it runs" state_is "$1" running
    started=$(field .started_at)
    tap_ok "a $e2e_program runs for it" e2e_run_began "$t1" || tap_done
    tap_ok "started_at is when its $e2e_program began" between \
        "$(date -d "$started" +%s.%N)" "${begin[0]}" "${seen[0]}" "$e2e_slack"
    tap_ok "the guest's ready line by the API" wait_for "$e2e_patience" \
        ready_again "$1" 0 || tap_done
    tap_diag "$(grep -a 'virga-guest ready' "$body")"
    tap_ok "with the kernel of the image" grep -qaE \
        'virga-guest ready: guest kernel=6\.[0-9]+\.[0-9]+[^ ]*cloud' "$body"
}

e2e_console() {
    tap_ok "console on a terminal: log in, ask, read the answer, Ctrl-]" \
        pty "$1" <<'TALK'
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
            "$virga" instance console "'"$1"'" --linger 3s >"$T/piped" &&
            tr -d "\r" <"$T/piped" | grep -qx "piped-5"'
    tap_ok "stats: the guest used its processor" eval "
        rest_ok 200 GET /v1/instances/$1/stats && [ \"\$(field .cpu_ns)\" -gt 0 ]"
}

e2e_no_force() {
    ! grep -E 'did not power off|ending it' "$T/n1.log"
}

e2e_stop() {
    local t0

    tap_ok "usage of what runs is open" eval \
        'rest_ok 200 GET "/v1/usage?instance='"$1"'" &&
            [ "$(field ".items[0].open")" = true ]'
    t0=$(date +%s)
    tap_ok "stop: 202" rest_ok 202 POST "/v1/instances/$1/stop"
    tap_is "stop: its operation succeeds" "$(operation_ends)" succeeded
    tap_ok "stop: long before the grace time of 60 s" \
        test $(($(date +%s) - t0)) -lt 45
    tap_ok "stop: the instance is stopped" state_is "$1" stopped
    tap_is "stop: because it was asked" "$(field .stop_reason)" requested
    tap_ok "stop: $e2e_program has ended" e2e_run_ended
    tap_ok "stop: the guest heard its power button" eval \
        "console $1 && grep -qa 'virga-guest: power button' \"\$body\""
    tap_ok "stop: and powered itself off" grep -qa 'Power down' "$body"
    tap_ok "stop: no force was used" e2e_no_force
    e2e_usage_agrees "usage is the time that the guest ran, within 1 s"
    tap_is "usage is closed" "$(field '.items[0].open')" false
}

e2e_start() {
    local before

    before=$(ready_lines "$1")
    tap_ok "start: 202" rest_ok 202 POST "/v1/instances/$1/start"
    tap_is "start: its operation succeeds" "$(operation_ends)" succeeded
    tap_ok "start: a $e2e_program runs for it" e2e_run_began "$(now)"
    tap_ok "start: ready again" wait_for "$e2e_patience" ready_again "$1" \
        "$before"
    tap_ok "start: the disk kept what was written" pty "$1" <<'TALK'
send \r
expect login:
send root\r
expect Virga demo guest
send echo "found=$(sed -n 2p /data/note)"\r
expect ^found=kept
send \x1d
status 0
TALK
}

e2e_reboot() {
    local before t1

    before=$(ready_lines "$1")
    tap_ok "reboot: 202" rest_ok 202 POST "/v1/instances/$1/reboot"
    tap_is "reboot: its operation succeeds" "$(operation_ends)" succeeded
    t1=$(now)
    tap_ok "reboot: runs" state_is "$1" running
    tap_is "reboot: is its next run" "$(field .run)" $((runs + 1))
    tap_ok "reboot: the run before has ended" e2e_run_ended
    tap_ok "reboot: a $e2e_program runs for it" e2e_run_began "$t1"
    tap_ok "reboot: ready again" wait_for "$e2e_patience" ready_again "$1" \
        "$before"
}

e2e_delete() {
    tap_ok "an image in use is not deleted" rest_ok 409 DELETE \
        /v1/images/kernel-image
    tap_ok "delete: 202" rest_ok 202 DELETE "/v1/instances/$1"
    tap_is "delete: its operation succeeds" "$(operation_ends)" succeeded
    tap_ok "delete: $e2e_program has ended" e2e_run_ended
    tap_ok "delete: no such instance" rest_ok 404 GET "/v1/instances/$id"
    tap_ok "delete: no process is left" wait_for 10 eval \
        '[ -z "$(guests_left)" ]'
    tap_is "delete: no file is left on the node" \
        "$(find "$T/n1" -path "*/log/*" -prune -o -name "*$id*" -print)" ""
    rest GET /v1/nodes/n1
    tap_is "delete: nothing is claimed" "$(field \
        '"\(.vcpus_claimed) \(.memory_claimed_bytes) \(.instances)"')" "0 0 0"
    e2e_usage_agrees "usage of all runs, within 1 s"
}

e2e_end() {
    tap_ok "the agent stops in good order" cloud_end "$agent"
    tap_ok "the controller stops in good order" cloud_end "$controller"
}
