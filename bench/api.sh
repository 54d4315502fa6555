#!/bin/bash
# bench/api.sh - the control plane measured as a whole: API creates and lists
# with durable commits, an agent's start until it has joined, and the memory
# of each daemon, with one node of the sim driver. Prints JSON lines.
#   bench/api.sh [CREATES] [CONNECTIONS]      run in the build folder
set -euo pipefail
export LC_ALL=C
n=${1:-10000}
connections=${2:-32}
build=$PWD
T=$(mktemp -d "${TMPDIR:-/tmp}/virga-bench.XXXXXX")
pids=()
cleanup() {
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
    wait
    rm -rf "$T"
}
trap cleanup EXIT

now_ms() { date +%s%3N; }
# until SECONDS COMMAND...: a condition with a deadline.
until_ok() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || { echo "bench: gave up: $*" >&2; exit 1; }
        sleep 0.01
    done
}
rss() { # NAME PID
    awk -v name="$1" -v n="$3" '/^VmRSS/ {rss=$2} /^VmHWM/ {hwm=$2}
        END {printf "{\"bench\":\"%s\",\"instances\":%d,\"rss_kib\":%d,\"peak_kib\":%d}\n", name, n, rss, hwm}' "/proc/$2/status"
}
"$build/virga-controllerd" --state-dir "$T/c" --listen 127.0.0.1:0 \
    --vcpu-overcommit-permille 1000000 --rate-limit 0 2>"$T/c.log" &
controller=$!
pids+=("$controller")
until_ok 20 grep -qs 'msg="ready"' "$T/c.log"
VIRGA_URL=$(sed -n 's/.*msg="ready" url=//p' "$T/c.log")
VIRGA_CA=$T/c/pki/ca.crt
VIRGA_TOKEN=$(cat "$T/c/admin.token")
export VIRGA_URL VIRGA_CA VIRGA_TOKEN

"$build/virga" node token >"$T/token"
start=$(now_ms)
"$build/virga-agentd" --state-dir "$T/a" --controller "$VIRGA_URL" \
    --join-token-file "$T/token" --driver sim --name bench \
    --sim-options cpus=1000,memory_mib=100000000 2>"$T/a.log" &
agent=$!
pids+=("$agent")
until_ok 20 grep -qs 'msg="node is up"' "$T/c.log"
echo "{\"bench\":\"agent.start_to_up\",\"ms\":$(($(now_ms) - start))}"

rss controllerd.memory "$controller" 0
rss agentd.memory "$agent" 0
"$build/virga" flavor create small --vcpus 1 --memory 16M --disk 0 >/dev/null
head -c 1024 /dev/zero >"$T/kernel"
printf HdrS | dd of="$T/kernel" bs=1 seek=514 conv=notrunc status=none
"$build/virga" image create img --kernel "$T/kernel" >/dev/null 2>&1
"$build/bench/bench-api" -F "$T"
start=$(now_ms)
cpu0=$(awk '{print $14 + $15}' "/proc/$controller/stat")
"$build/bench/bench-api" -n "$n" -c "$connections"
all_running() {
    [ "$("$build/virga" instance list -o csv | grep -c ,creating,)" = 0 ]
}
until_ok 120 all_running
echo "{\"bench\":\"api.create_to_all_running\",\"ms\":$(($(now_ms) - start)),\"controllerd_cpu_ms\":$((10 * ($(awk '{print $14 + $15}' "/proc/$controller/stat") - cpu0)))}"
rss controllerd.memory "$controller" "$n"
rss agentd.memory "$agent" "$n"
