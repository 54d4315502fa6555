#!/bin/bash
# 72-vmm-control.t - virga-vmm serve and its control socket, with the
# bare-metal guests of tests/vmm, which run wherever /dev/kvm opens.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

vmm=$top_builddir/virga-vmm
guests=$top_builddir/tests/vmm

command -v python3 >/dev/null || tap_skip_all "python3 is missing"
{ : <>/dev/kvm; } 2>/dev/null || tap_skip_all "/dev/kvm does not open"

# begin GUEST [JSON]: a VM in the background, in a folder of its own.
n=0
begin() {
    n=$((n + 1))
    F=$T/vm$n
    mkdir "$F"
    spawn python3 "$top_srcdir/tests/vmm/serve.py" "$vmm" "$F" \
        "$guests/$1.elf" "${2:-{\}}" >"$F/out" 2>"$T/vm$n.log"
    wait_for 60 answers
}
# Without a socket, or at its end, there is nothing to wait for.
answers() {
    ! running "$spawned" || ctl describe >/dev/null 2>&1
}
ctl() {
    timeout 60 "$vmm" ctl "$F/control" "$@"
}
# json FILE-OR-STDIN PYTHON: prints an expression of the document d.
json() {
    python3 -c "import json,sys; d=json.load(sys.stdin); print($1)"
}
facts() {
    ctl describe | json "$1"
}
status_of() { # of the VM, once it has ended; sets got
    got=0
    wait "$spawned" || got=$?
}
logged() {
    grep -q -e "$1" "$F/console"
}

# ---- one VM, asked all kinds of things ----
begin irq '{"cmdline": "x"}'
wait_for 60 logged waiting
tap_is "describe: who it is" "$(facts 'd["id"],d["name"],d["run"],d["state"],d["cpus"],d["memory"]["bytes"]')" \
    "0192 web-1 3 running 1 16777216"
tap_is "describe: what every VM has" \
    "$(facts 'sorted(x["kind"] for x in d["devices"])')" "['balloon', 'rng']"
tap_is "describe: versions" "$(facts 'd["versions"]["protocol"]')" "[1]"
tap_ok "pause" ctl pause
tap_ok "pause again" ctl pause
tap_is "it is paused" "$(facts 'd["state"]')" paused
tap_ok "resume" ctl resume
tap_ok "resume again" ctl resume
tap_is "it runs" "$(facts 'd["state"]')" running
tap_ok "stats" ctl stats
tap_is "stats: exits have been counted" \
    "$(ctl stats | json 'd["vcpus"][0]["exits"]["pio"] > 10 and d["vcpus"][0]["guest_ns"] > 0')" True

# The console, both ways, for two at once.
mkfifo "$F/keys"
exec 8<>"$F/keys"
spawned_vm=$spawned
# What runs in the background reads from nowhere unless it says so itself.
# shellcheck disable=SC2016 # for the inner shell
spawn sh -c 'exec "$0" ctl "$1/control" console <"$1/keys"' "$vmm" "$F" \
    >"$F/one"
one=$spawned
spawn "$vmm" ctl "$F/control" console </dev/null >"$F/two"
two=$spawned
spawned=$spawned_vm
echoed() { # FILE: the guest gives back what it hears
    printf k >&8
    grep -q kk "$1"
}
tap_ok "what a console client types comes back" wait_for 60 echoed "$F/one"
tap_ok "and to the other, too" wait_for 60 echoed "$F/two"
tap_ok "and to the log" wait_for 60 logged kk
kill "$one" "$two"
exec 8>&-
spawn "$vmm" ctl "$F/control" wait >"$F/wait"
waiter=$spawned
spawned=$spawned_vm
tap_ok "the VM knows of one who waits" wait_for 60 \
    eval '[ "$(facts "d[\"waiting\"]")" = 1 ]'
tap_ok "power button" ctl power-button
status_of
tap_is "the guest powers off" "$got" 0
tap_ok "it had heard the button" logged 'button ok'
wait "$waiter"
tap_is "wait says so" "$(json 'd["end"]' <"$F/wait")" power-off
tap_is "and the end record" "$(json 'd["end"],d["at_us"] > 10**15' <"$F/end")" \
    "power-off True"

# ---- pause stops the guest ----
begin end '{"cmdline": "r"}' # resets for ever
tap_ok "it resets" wait_for 60 eval '[ "$(grep -c begin "$F/console")" -gt 3 ]'
ctl pause >/dev/null
before=$(stat -c %s "$F/console")
ctl describe >/dev/null # a turn of the loop has passed
tap_is "no output while paused" "$(stat -c %s "$F/console")" "$before"
tap_is "it counts resets" "$(facts 'd["resets"] > 2')" True
ctl resume >/dev/null
tap_ok "output again" wait_for 60 \
    eval "[ \"\$(stat -c %s '$F/console')\" -gt $before ]"
# The more often it resets at once the longer it rests: no processor's time is
# burnt. Its own time in 2 s is compared, not the wall's.
rests() {
    [ "$(ctl stats | json 'd["events"].get("vmm_reset_rests", 0)')" -gt 3 ]
}
tap_ok "an endless reset has to rest" wait_for 60 rests
tap_ok "stop" ctl stop
status_of
tap_is "stopped is status 6" "$got" 6
tap_is "and the record" "$(json 'd["end"]' <"$F/end")" stopped

# ---- every end has its record ----
for case in p:0:power-off t:4:triple-fault k:5:panic; do
    IFS=: read -r letter status name <<<"$case"
    begin end "{\"cmdline\": \"$letter\"}"
    status_of
    tap_is "$name is status $status" "$got" "$status"
    tap_is "$name is the record" "$(json 'd["end"]' <"$F/end")" "$name"
done
begin end '{"cmdline": "r", "on_reset": "exit"}'
status_of
tap_is "reset with exit is status 3" "$got" 3
tap_is "reset is the record" "$(json 'd["end"]' <"$F/end")" reset
begin end '{"cmdline": "r", "restarts_max": 2}'
status_of
tap_is "restarts_max ends it" "$got" 3
tap_is "after so many" "$(grep -c begin "$F/console")" 3
begin end '{"cmdline": "h"}'
kill -KILL "$spawned"
status_of
tap_is "a killed one is status 137" "$got" 137
tap_ok "and has an empty record" eval "[ -e '$F/end' ] && [ ! -s '$F/end' ]"

# ---- begun paused; reset from outside; devices ----
truncate -s 1M "$T/disk" "$T/disk2"
begin end "{\"cmdline\": \"h\", \"paused\": true, \"disks\": [{\"name\":
    \"root\", \"fd\": {\"open\": \"$T/disk\", \"flags\": \"rw\"},
    \"serial\": \"S1\"}]}"
tap_is "begun paused" "$(facts 'd["state"]')" paused
tap_is "nothing runs" "$(stat -c %s "$F/console")" 0
tap_ok "start" ctl start
tap_ok "it runs then" wait_for 60 logged begin
tap_is "reset" "$(ctl reset)" "{}"
tap_ok "it begins anew" wait_for 60 \
    eval "[ \"\$(grep -c begin '$F/console')\" = 2 ]"
disk='[(x["name"],x["capacity_bytes"],x["serial"]) for x in d["devices"] if x["kind"]=="disk"]'
tap_is "with its disk" "$(facts "$disk")" "[('root', 1048576, 'S1')]"
tap_ok "attach a disk" ctl attach-disk "$T/disk2,name=data,ro"
names='[x["name"] for x in d["devices"] if x["kind"]=="disk"]'
tap_is "it is there" "$(facts "$names")" "['root', 'data']"
refused() { # WHAT-IT-SAYS ARGUMENT…
    local text=$1 got=0

    shift
    ctl "$@" >/dev/null 2>"$T/refused" || got=$?
    [ "$got" = 1 ] && grep -q -e "$text" "$T/refused"
}
tap_ok "the name is taken" refused /disk/name attach-disk "$T/disk2,name=data"
tap_ok "a folder is no disk" refused /disk/fd attach-disk "$T,name=x,ro"
ctl reset >/dev/null
tap_ok "it stays over a reset" wait_for 60 \
    eval "[ \"\$(grep -c begin '$F/console')\" = 3 ]"
tap_is "it has stayed" "$(facts "$names")" "['root', 'data']"
tap_ok "detach by force" ctl detach-disk data,force
tap_is "it is gone" "$(facts "$names")" "['root']"
tap_ok "a disk that is not there" refused /disk detach-disk data
truncate -s 3M "$T/disk"
tap_is "resize" "$(ctl resize-disk root)" '{"bytes":3145728}'
tap_ok "resize to another size" refused /bytes resize-disk root,bytes=1M
tap_ok "limits" ctl limits disk=root,iops=50,bps=1M
tap_is "limits are told" \
    "$(facts '[x["limits"]["ops_per_s"] for x in d["devices"] if x["kind"]=="disk"]')" "[50]"
tap_is "balloon" "$(ctl balloon 1M | json 'd["target_bytes"]')" 1048576
tap_ok "balloon beyond memory" refused /target_bytes balloon 1G
tap_ok "a NIC that is not there" refused /nic link net0 up
tap_is "stats of a disk" "$(ctl stats | json 'len(d["disks"][0]["latency"])')" 24

# ---- connections ----
cat >"$T/many.py" <<'PY'
import socket, sys
path, wait = sys.argv[1], b'{"v":1,"id":5,"do":"wait"}\n'
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s
all = [connect() for _ in range(16)]
for s in all[:15]:
    s.sendall(wait)
all[15].sendall(b'{"v":1,"id":1,"do":"describe"}\n')
assert b'"running"' in all[15].recv(65536)
more = connect()
assert b"too_many_connections" in more.recv(65536)
assert more.recv(1) == b""
all[15].sendall(b"x" * 70000)
try:
    while all[15].recv(65536):
        pass
except ConnectionResetError:
    pass  # not all of the line was read
all[15] = connect()
all[15].sendall(b'{"v":1,"id":2,"do":"stop"}\n')
assert all[15].recv(65536) == b'{"v":1,"id":2,"result":{}}\n'
for s in all[:15]:
    got = s.recv(65536)
    assert b'"id":5,"result":{"end":"stopped"' in got, got
PY
tap_ok "16 connections, all told of the end" \
    timeout 60 python3 "$T/many.py" "$F/control"
status_of
tap_is "it was stopped" "$got" 6

# ---- descriptions that are refused ----
bad() { # FIELD JSON
    local text

    begin end "$2"
    status_of
    [ "$got" = 1 ] && grep -q -e "$1" "$T/vm$n.log" || return 1
    if [ -s "$F/end" ]; then
        text=$(json 'd["end"],d["error"]["field"]' <"$F/end")
        [ "$text" = "error $1" ]
    fi
}
while IFS='|' read -r field text; do
    tap_ok "refused: $field in ${text:-nothing}" bad "$field" "$text"
done <<BAD
/version|{"version": 2}
/frob|{"frob": 1}
/cpus|{"cpus": 0}
/memory/bytes|{"memory": {"bytes": 1048577}}
/kvm_fd|{"kvm_fd": {"open": "/dev/null", "flags": "rw"}}
/kvm_fd|{"kvm_fd": null}
/kvm_fd|{"kvm_fd": 900}
/kernel_fd|{"kernel_fd": {"open": "/"}}
/kernel_fd|{"kernel_fd": {"open": "/etc/passwd", "flags": "path"}}
/kernel_fd|{"kernel_fd": 2}
/initrd_fd|{"initrd_fd": {"same": "kernel_fd"}}
/control_fd|{"control_fd": {"socket": "stream"}}
/console_log_fd|{"console_log_fd": {"open": "$T/plain", "flags": "w"}}
/end_fd|{"end_fd": {"open": "/dev/null", "flags": "w"}}
/disks/0/fd|{"disks": [{"name": "a", "fd": {"open": "$T/disk"}}]}
/disks/0/fd|{"disks": [{"name": "a", "fd": 900}]}
/disks/0/fd|{"disks": [{"name": "a", "fd": {"open": "/dev/null", "flags": "rw"}}]}
/disks/1/name|{"disks": [{"name": "a", "fd": 900}, {"name": "a", "fd": 901}]}
/nics/0/fds/0|{"nics": [{"name": "a", "fds": [900], "mac": "52:54:00:00:00:01"}]}
/nics/0/mac|{"nics": [{"name": "a", "kind": "packets", "fds": [{"socket": "seqpacket"}], "mac": "53:54:00:00:00:01"}]}
/vsock/listen_fd|{"vsock": {"cid": 3, "listen_fd": {"socket": "stream"}}}
/consoles/0/fd|{"consoles": [{"name": "a", "fd": {"open": "/etc/passwd"}}]}
/jail/root_fd|{"jail": {"root_fd": {"open": "/etc/passwd"}, "uid": 5, "gid": 5}}
BAD
status() { # WANT ARGUMENT…
    local want=$1 got=0

    shift
    timeout 60 "$vmm" "$@" </dev/null >"$T/out" 2>"$T/err.log" || got=$?
    [ "$got" = "$want" ]
}
tap_ok "no JSON" eval 'echo hello | status 1 serve 9 9<&0'
tap_ok "a description without end" \
    eval 'status 1 serve 9 9< <(head -c 300000 /dev/zero | tr "\0" " ") &&
    grep -q 262144 "$T/err.log"'
tap_ok "no such descriptor" status 1 serve 99
tap_ok "no number" status 2 serve x
tap_ok "no argument" status 2 serve

# ---- the same by options ----
F=$T/byhand
mkdir "$F"
spawn "$vmm" run --memory 16M --kernel "$guests/irq.elf" --control "$F/control" \
    --console-log "$F/console" --name hand --id h1 --paused \
    --disk "$T/disk,name=d1,serial=abc,iops=5" \
    --vsock "cid=5,socket=$F/vsock,guest=$F/vs" --metrics "$F/metrics" \
    </dev/null >"$F/out" 2>"$T/byhand.log"
tap_ok "run --control" wait_for 60 ctl describe
tap_is "the socket is its owner's" "$(stat -c %a "$F/control")" 600
tap_is "describe knows the options" \
    "$(facts 'd["id"],d["name"],d["state"],sorted(x["kind"] for x in d["devices"])')" \
    "h1 hand paused ['balloon', 'disk', 'rng', 'vsock']"
ctl start >/dev/null
tap_ok "--console-log" wait_for 60 logged waiting
ctl power-button >/dev/null
status_of
tap_is "ends by the button" "$got" 0
tap_ok "the sockets are gone" eval "[ ! -e '$F/control' ] && [ ! -e '$F/vsock' ]"
tap_ok "metrics have the disk" \
    grep -q 'disk_operations_total{device="d1",op="read"}' "$F/metrics"
tap_ok "metrics are whole" eval "tail -n 1 '$F/metrics' | grep -q '# EOF'"
# A folder that is not there: no end, nor a restart, depends on it.
unwritten() { # WANT BEGINNINGS LETTER OPTION…
    local want=$1 begins=$2 letter=$3 got=0

    shift 3
    rm -f "$F/console"
    timeout 60 "$vmm" run --memory 16M --kernel "$guests/end.elf" \
        --cmdline "$letter" --console-log "$F/console" \
        --metrics "$F/none/metrics" "$@" </dev/null >"$F/out" \
        2>"$T/unwritten.log" || got=$?
    [ "$got" = "$want" ] && grep -q "metrics not written" "$T/unwritten.log" &&
        [ "$(grep -c begin "$F/console")" = "$begins" ]
}
tap_ok "metrics not written: power off is one" unwritten 0 1 p
tap_ok "metrics not written: resets go on" unwritten 3 3 r --restarts-max 2
tap_ok "ctl: no VM there" refused 'No such file' describe
tap_ok "ctl: usage" status 2 ctl
tap_ok "ctl: no such request" status 2 ctl "$F/control" frobnicate
tap_ok "ctl: a missing argument" status 2 ctl "$F/control" balloon
tap_done
