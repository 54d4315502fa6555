#!/bin/bash
# 74-vmm-agent.t - instances of the embedded VMM through API and agent, with a
# bare-metal guest as their kernel (tests/vmm/talk.S): life, console, death of
# the agent, death of a VMM, metrics; at the end nothing is left.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # evaluated later
# shellcheck disable=SC2154 # set by cloud.sh
. "$(dirname "$0")/cloud.sh"

[ "$(id -u)" = 0 ] || tap_skip_all "the driver vmm needs root"
{ [ -r /dev/kvm ] && [ -w /dev/kvm ]; } ||
    tap_skip_all "/dev/kvm cannot be opened"
guest=$top_builddir/tests/vmm/talk.elf
[ -r "$guest" ] || tap_skip_all "no guest $guest: make check builds it"

slice=virga-test-${T##*.}

# Processes in our slice: "PID" lines.
in_slice() {
    grep -ls -- "/$slice/" /proc/[0-9]*/cgroup | sed 's,/proc/\([0-9]*\)/.*,\1,'
}

# vmms: those of them that are virga-vmm.
vmms() {
    local pid

    for pid in $(in_slice); do
        [ "$(readlink "/proc/$pid/exe")" = "$top_builddir/virga-vmm" ] &&
            echo "$pid"
    done
}

slices() {
    find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$slice"
}

clean_slice() {
    local pid

    for pid in $(in_slice); do
        tap_diag "process $pid is left"
        kill -KILL "$pid" 2>/dev/null
    done
    wait_for 10 eval '[ -z "$(in_slice)" ]'
    slices | while read -r dir; do
        find "$dir" -depth -type d -exec rmdir {} \; 2>/dev/null
    done
    cloud_exit
}
trap clean_slice EXIT

start_agent() {
    cloud_agent n1 vmm --vmm-binary "$top_builddir/virga-vmm" \
        --vmm-cgroup "$slice" --guest-network "$network" --stop-grace 20s \
        --metrics-listen 127.0.0.1:0
}

# The instance's process, by the driver's record.
pid_of() {
    jq -r .pid "$T/n1/vmm/vms/$1/vm.json"
}

state_is() {
    rest GET "/v1/instances/$1" && [ "$(field .state)" = "$2" ]
}

# log_has INSTANCE TEXT [TIMES]
log_has() {
    rest GET "/v1/instances/$1/console-log?limit=1048576" &&
        [ "$(grep -ac -- "$2" "$body")" -ge "${3:-1}" ]
}

create() {
    rest_ok 201 POST /v1/instances \
        -d "{\"name\":\"$1\",\"image\":\"talk\",\"flavor\":\"tiny\"${2:-}}"
}

network=none
[ -x "$top_builddir/virga-usernet" ] && network=isolated
tap_ok "the controller starts" cloud_controller || tap_done
tap_ok "an agent joins with driver vmm" start_agent || tap_done
rest GET /v1/nodes/n1
tap_is "the node's driver" "$(field .driver)" vmm
tap_is "the node boots kernels only" \
    "$(field '.traits | contains(["kernel-boot"])')" true
tap_is "the node has no firmware" \
    "$(field '.traits | index("disk-boot")')" null

rest POST /v1/flavors \
    -d '{"name":"tiny","vcpus":1,"memory_bytes":16777216,"disk_bytes":1048576}'
rest POST /v1/images -d '{"name":"talk","parts":[{"name":"kernel"}]}'
tap_ok "the guest is uploaded" rest_ok 200 PUT /v1/images/talk/parts/kernel \
    -T "$guest" -H 'Content-Type: application/octet-stream'

# ---- life ----

tap_ok "an instance is created" create web
web=$(field .id)
tap_is "it comes up" "$(operation_ends)" succeeded || tap_done
tap_ok "its guest prints to the console log" wait_for 30 log_has web 'talk ready'
tap_is "one virga-vmm runs" "$(vmms | wc -l)" 1
tap_ok "its disk is raw" test -f "$T/n1/instances/$web/root.raw"
if [ "$network" = none ]; then
    tap_skip "its network is a process beside it" "virga-usernet is not built"
else
    tap_is "its network is a process beside it" "$(in_slice | wc -l)" 2
fi
uid=$(awk '/^Uid:/ { print $2 }' "/proc/$(pid_of "$web")/status")
tap_ok "it runs as a user of its own" test "$uid" -ge 1879048192

talk() {
    printf '%s' "$1" | timeout 30 "$virga" instance console web \
        --linger 1s 2>/dev/null | grep -aq -- "$2"
}
tap_ok "the console answers" wait_for 30 talk hello hello

# ---- metrics ----

port=$(sed -n 's/.*msg="serving metrics" port=\([0-9]*\).*/\1/p' "$T/n1.log" |
    tail -n 1)
metrics() {
    curl -sS --max-time 20 "http://127.0.0.1:$port$1" >"$T/metrics"
}
tap_ok "/metrics answers" metrics /metrics
tap_is "/metrics ends as it must" "$(tail -n 1 "$T/metrics")" "# EOF"
tap_ok "/metrics has the VM's exits" grep -q \
    "^virga_vmm_exits_total{instance=\"$web\",vcpu=\"0\",kind=\"pio\"} [1-9]" \
    "$T/metrics"
tap_ok "/metrics has the agent's counters" \
    grep -q '^virga_agent_events' "$T/metrics"
lint() {
    curl -sS --max-time 20 -H 'Accept: text/plain' \
        "http://127.0.0.1:$port/metrics" | promtool check metrics
}
if command -v promtool >/dev/null; then
    tap_ok "/metrics: promtool has nothing to say" lint
else
    tap_skip "/metrics: promtool has nothing to say" "it is not installed"
fi
tap_is "no other page is there" "$(curl -sS -o /dev/null -w '%{http_code}' \
    "http://127.0.0.1:$port/")" 404

# ---- its share of the node ----

rest POST /v1/flavors -d '{"name":"bound","vcpus":1,"memory_bytes":16777216,
    "disk_bytes":1048576,"cpu_shares":150,"cpu_limit_percent":40,
    "cpu_reservation_percent":1,"disk_iops":11,"disk_bytes_per_second":22222,
    "net_bytes_per_second":33333}'
rest POST /v1/instances \
    -d '{"name":"bound","image":"talk","flavor":"bound"}'
bound=$(field .id)
tap_is "an instance with limits comes up" "$(operation_ends)" succeeded
"$top_builddir/virga-vmm" ctl "$T/n1/vmm/vms/$bound/control.sock" describe \
    >"$T/describe"
# limit KIND MEMBER
limit() {
    jq -c ".devices[] | select(.kind == \"$1\") | $2" "$T/describe"
}
tap_is "its disk is bounded" \
    "$(limit disk '[.limits.ops_per_s, .limits.bytes_per_s]')" '[11,22222]'
if [ "$network" = none ]; then
    tap_skip "its network is bounded" "virga-usernet is not built"
else
    tap_is "its network is bounded" \
        "$(limit nic '[.rx_limits.bytes_per_s, .tx_limits.bytes_per_s]')" \
        '[33333,33333]'
fi
# cgroup_says V2 V1: the first line of either file of its group.
cgroup_says() {
    find /sys/fs/cgroup -mindepth 2 -maxdepth 4 -path "*/$slice/$bound/*" \
        \( -name "$1" -o -name "$2" \) -exec head -n 1 {} +
}
weight=$(cgroup_says cpu.weight cpu.shares)
if [ -z "$weight" ]; then
    tap_skip "its processors are shared and bounded" "no controller for them"
else
    tap_ok "its processors are shared and bounded" eval \
        'case "$weight $(cgroup_says cpu.max cpu.cfs_quota_us)" in
         "150 40000 100000" | "1536 40000") ;; *) false ;; esac'
fi
rest DELETE /v1/instances/bound
tap_is "it is deleted" "$(operation_ends)" succeeded

rest POST /v1/images -d '{"name":"firmware","parts":[{"name":"disk"}]}'
head -c 4096 /dev/zero >"$T/disk"
rest PUT /v1/images/firmware/parts/disk -T "$T/disk" \
    -H 'Content-Type: application/octet-stream'
tap_ok "an image without a kernel is not placed here" rest_ok 507 POST \
    /v1/instances -d '{"name":"none","image":"firmware","flavor":"tiny"}'
tap_ok "for want of firmware" grep -q \
    'without firmware to boot a disk (disk-boot)' "$body"

# ---- deaths ----

tap_ok "a second instance is created" create other \
    ',"restart_policy":"never"'
other=$(field .id)
tap_is "it comes up" "$(operation_ends)" succeeded
tap_ok "its guest is ready" wait_for 30 log_has other 'talk ready'
before=$(vmms | sort)
kill -KILL "$agent"
wait "$agent" 2>/dev/null
tap_is "the agent is killed, the VMs go on" "$(vmms | sort)" "$before"
tap_ok "the agent starts again" start_agent
tap_is "the same VMs run" "$(vmms | sort)" "$before"
tap_ok "the node's instances are running" eval \
    'state_is web running && state_is other running'
tap_ok "the console answers after the adoption" wait_for 30 talk again again

t0=$(date +%s%N)
kill -KILL "$(pid_of "$other")"
tap_ok "the death of a VMM is told" wait_for 20 \
    eval '! state_is other running'
took=$((($(date +%s%N) - t0) / 1000000))
tap_diag "told after $took ms"
tap_ok "and that within a second" test "$took" -lt 1000
tap_ok "the other one goes on" state_is web running
kill -KILL "$(pid_of "$web")"
tap_ok "one with a restart policy is started again" wait_for 30 \
    log_has web 'talk ready' 2
tap_ok "and runs" wait_for 20 state_is web running

# ---- stop, start, delete ----

rest POST /v1/instances/web/stop
tap_is "stop presses the power button" "$(operation_ends)" succeeded
tap_ok "the guest heard it" log_has web 'talk off'
tap_ok "it is stopped" state_is web stopped
rest POST /v1/instances/web/start
tap_is "it is started again" "$(operation_ends)" succeeded
tap_ok "and runs anew" wait_for 30 log_has web 'talk ready' 3
for name in web other; do
    rest DELETE "/v1/instances/$name"
    tap_is "$name is deleted" "$(operation_ends)" succeeded
done
left() {
    in_slice
    find "$T/n1/vmm" "$T/n1/instances" -mindepth 1 -name "*-*-*"
    slices | while read -r dir; do
        find "$dir" -mindepth 1 -type d
    done
}
nothing_left() {
    left >"$T/left.log"
    [ ! -s "$T/left.log" ]
}
tap_ok "no process, folder or cgroup is left" wait_for 10 nothing_left
cloud_end "$agent"
tap_is "the agent ends properly" "$?" 0
tap_done
