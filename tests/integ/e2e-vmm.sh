#!/bin/bash
# e2e-vmm.sh - the life of instances with the driver vmm, on a machine whose
# KVM runs guests with nested paging; 79-vmm-e2e.t makes it one. Beyond the
# steps of e2e.sh: the jail in force, network, deaths of agent and VMM.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is typed is for the guest's shell
# shellcheck disable=SC2154 # set by e2e.sh
# shellcheck disable=SC2034 # for e2e.sh
e2e_driver=vmm
e2e_slice=virga
e2e_patience=240
# Here all takes long: a program's start alone some hundredths of a second.
# Each question delays the guest that is asked about.
e2e_slack=1
e2e_pause=0.5
. "$(dirname "$0")/e2e.sh"
. "$(dirname "$0")/e2e-life.sh"

# All that a VM may leave behind, complete and in order. (Programs are few:
# each takes its time here.)
everything() {
    find /proc/[0-9]*/exe -maxdepth 0 -lname '*/virga-*' \
        -printf 'process %l\n' 2>/dev/null | sort
    find /proc/[0-9]*/ns -type l -printf 'namespace %l\n' 2>/dev/null | sort -u
    cut -d ' ' -f 3-5 /proc/self/mountinfo | sort
    find /sys/fs/cgroup/ -type d -printf 'cgroup %p\n' | sort
    find /sys/class/net/ -mindepth 1 -printf 'net %p\n' | sort
    # The cache of images is there to stay.
    find "$T/n1" -path "$T/n1/images" -prune -o -printf '%y %p\n' | sort
}

# As before any VM was made.
nothing_more() {
    everything >"$T/after"
    diff "$T/before" "$T/after"
}

status() { # FIELD, of process $pid
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"
}

# of_threads FIELD: what it is on one or another of them.
of_threads() {
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid"/task/*/status | sort -u
}

jail() {
    local p uid group

    uid=$(status Uid | cut -f 1)
    tap_ok "jail: a user of its own" test "$uid" -ge 1879048192
    tap_is "jail: in all four places" "$(status Uid)" \
        "$(printf '%s\t%s\t%s\t%s' "$uid" "$uid" "$uid" "$uid")"
    for p in CapInh CapPrm CapEff CapBnd CapAmb; do
        tap_is "jail: $p is empty on each thread" "$(of_threads $p)" \
            0000000000000000
    done
    tap_is "jail: no new privileges for any thread" "$(of_threads NoNewPrivs)" 1
    tap_is "jail: a filter on every thread" "$(of_threads Seccomp)" 2
    tap_is "jail: the first of its pid namespace" "$(status NSpid | cut -f 2)" 1
    for p in cgroup ipc mnt net pid uts; do
        tap_ok "jail: the namespace $p is its own" test \
            "$(readlink "/proc/$pid/ns/$p")" != "$(readlink "/proc/$$/ns/$p")"
    done
    tap_is "jail: one mount" "$(wc -l <"/proc/$pid/mountinfo")" 1
    tap_is "jail: nothing in its root but the folder of its sockets" \
        "$(ls -A "/proc/$pid/root/")" vsock
    group=/sys/fs/cgroup/$e2e_slice/$id
    tap_is "cgroup: the VM's" "$(cat "/proc/$pid/cgroup")" \
        "0::/$e2e_slice/$id"
    tap_ok "cgroup: memory for the guest and a little more" between \
        "$(cat "$group/memory.max")" $((256 << 20)) $((320 << 20)) 0
    tap_ok "cgroup: memory in use is counted" test \
        "$(cat "$group/memory.current")" -gt $((16 << 20))
    tap_ok "cgroup: a weight" between "$(cat "$group/cpu.weight")" 1 10000 0
    tap_ok "cgroup: processes and threads are bounded" between \
        "$(cat "$group/pids.max")" 1 1000 0
    tap_is "cgroup: holds the VM and its network" "$(while read -r p; do
        readlink "/proc/$p/exe"
    done <"$group/cgroup.procs" | sort)" "$top_builddir/virga-usernet
$top_builddir/virga-vmm"
    # KVM has a thread of its own in there: it runs no program.
    for p in $(cat "$group/cgroup.procs"); do
        [ "$p" = "$pid" ] || [ ! -e "/proc/$p/exe" ] && continue
        tap_ok "network: another user" test \
            "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$p/status")" -gt \
            "$uid"
        tap_is "network: no capabilities, no new privileges" \
            "$(sed -nE 's/^(CapEff|CapPrm|NoNewPrivs):\t//p' \
                "/proc/$p/status" | tr '\n' ' ')" \
            "0000000000000000 0000000000000000 1 "
    done
}

# ---- one instance ----

e2e_cloud
tap_is "the node boots kernels, with no firmware" "$(field '[.traits |
    index("kernel-boot", "disk-boot") != null] | join(" ")')" "true false"
e2e_image
everything >"$T/before"
e2e_create web
jail
tap_is "the root disk is raw, and as large as the flavor says" \
    "$(stat -c '%s %n' "$T/n1/instances/$id"/root.*)" \
    "67108864 $T/n1/instances/$id/root.raw"
e2e_console web
tap_ok "the guest has a lease, and a disk of the flavor's size" pty web <<'TALK'
send \r
send until grep -qx 10.0.2.15 /run/ip; do usleep 100000; done; echo lease-"there"\r
expect ^lease-there
send echo "sectors $(cat /sys/block/vda/size)"\r
expect ^sectors 131072
send \x1d
status 0
TALK

before=$(ready_lines web)
tap_ok "the guest reboots itself" pty web <<'TALK'
send \r
send reboot\r
expect virga-guest ready
send \x1d
status 0
TALK
tap_ok "a reboot in the guest: ready again" wait_for "$e2e_patience" \
    ready_again web "$before"
tap_is "a reboot in the guest: the same process" "$(guest_pid "$id")" "$pid"
tap_ok "a reboot in the guest: it runs" state_is web running
tap_is "a reboot in the guest: it is the same run" "$(field .run)" 1
tap_is "a reboot in the guest: billed on" "$(usage_of web >/dev/null &&
    field '.items[0] | "\(.intervals) \(.open)"')" "1 true"
e2e_stop web
e2e_start web
e2e_reboot web
e2e_delete web
tap_ok "delete: nothing at all is left" wait_for 10 nothing_more

# ---- what a tenant does to one that runs ----

e2e_life life
tap_ok "life: nothing at all is left" wait_for 10 nothing_more

# ---- the agent's death ----

e2e_create one
tap_ok "something is kept in the memory of its guest" pty one <<'TALK'
send \r
expect login:
send root\r
expect Virga demo guest
send echo this-boot >/tmp/mark; echo mark-"set"\r
expect ^mark-set
send \x1d
status 0
TALK
tap_ok "another instance: 201" rest_ok 201 POST /v1/instances \
    -d '{"name":"two","image":"kernel-image","flavor":"small",
        "restart_policy":"on-failure"}'
two=$(field .id)
tap_is "another instance: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "another instance: ready" wait_for "$e2e_patience" ready_again two 0
both="$(guest_pid "$id") $(guest_pid "$two")"
kill -KILL "$agent"
wait "$agent" 2>/dev/null
tap_ok "the agent is killed: both VMs go on" eval \
    'for p in $both; do [ -e "/proc/$p/root/vsock" ] || exit; done'
tap_ok "another agent starts" e2e_agent
tap_is "it has adopted the same VMs" \
    "$(guest_pid "$id") $(guest_pid "$two")" "$both"
for name in one two; do
    tap_ok "$name runs" state_is $name running
    tap_is "$name was not started again" "$(field .run)" 1
    tap_ok "stats of $name" rest_ok 200 GET /v1/instances/$name/stats
done
rest GET /v1/nodes/n1
tap_is "no VM is unknown to it" "$(field '.quarantined | length')" 0
tap_ok "the first one's guest answers, in the same boot" pty one <<'TALK'
send \r
send echo "mark=$(cat /tmp/mark)"\r
expect ^mark=this-boot
send \x1d
status 0
TALK
tap_ok "the second one's too" pty two <<'TALK'
send \r
expect login:
send \x1d
status 0
TALK

# ---- force ----

tap_ok "stop by force: 202" rest_ok 202 POST /v1/instances/one/stop \
    -d '{"force":true}'
tap_is "stop by force: its operation succeeds" "$(operation_ends)" succeeded
tap_ok "stop by force: its process has ended" e2e_run_ended
tap_ok "stop by force: it is stopped" state_is one stopped
tap_ok "stop by force: the guest was not asked" eval \
    'console one && ! grep -qa "virga-guest: power button" "$body"'
e2e_usage_agrees "usage of a run that two agents saw, within 1 s"

# ---- a VMM's death ----

# Within a second is what 74-vmm-agent.t holds it to; here, where a question
# alone may take that long, within the time of some questions more: the report
# may have to make its connection first.
died() {
    rest GET /v1/instances/two && [ "$(field .last_end_reason)" = crashed ]
}
before=$(ready_lines two)
t0=$(now)
died
cost=$(minus "$(now)" "$t0")
watch_end "${both#* }" "$T/end.two"
kill -KILL "${both#* }"
# Memory and all that is given back before a process is dead.
wait_for 60 test -s "$T/end.two"
tap_ok "a VMM is killed: it is reported" wait_for 30 died
took=$(minus "$(now)" "$(cat "$T/end.two")")
tap_diag "reported after $took s, in which a question takes $cost s"
tap_ok "a VMM is killed: it is reported without delay" awk -v t="$took" -v c="$cost" \
    'BEGIN { exit !(t <= 1 + 15 * c) }'
tap_ok "a VMM is killed: its restart policy starts it again" wait_for 60 eval \
    'state_is two running && [ "$(field .run)" = 2 ]'
tap_is "a VMM is killed: it was restarted once" "$(field .restart_count)" 1
tap_ok "a VMM is killed: its guest is ready again" wait_for "$e2e_patience" \
    ready_again two "$before"
for name in one two; do
    tap_ok "delete $name: 202" rest_ok 202 DELETE /v1/instances/$name
    tap_is "delete $name: its operation succeeds" "$(operation_ends)" succeeded
done
tap_ok "nothing at all is left" wait_for 10 nothing_more

# ---- what the machine is good for is measured ----

first=$agent
rest POST /v1/nodes/n1/cordon
cloud_agent n2 auto --vmm-cgroup virga-auto >/dev/null
tap_ok "driver auto says what it chose, and why" grep -E \
    'msg="chose the driver" driver=(vmm|libvirt) why="[^"]+"' "$T/n2.log"
tap_diag "$(grep 'chose the driver' "$T/n2.log")"
running "$agent" && cloud_end "$agent"
agent=$first
e2e_end
tap_done
