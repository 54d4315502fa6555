#!/bin/bash
# bench/fleet.sh - a controller with thousands of nodes, under load and abuse:
# starts one, then bench-fleet plays the nodes and the tenants. JSON lines.
#   bench/fleet.sh [BENCH-FLEET-OPTION...]    run in the build folder
# CONTROLLERD_OPTIONS: further options of the controller.
set -euo pipefail
export LC_ALL=C
build=$PWD
T=$(mktemp -d "${TMPDIR:-/tmp}/virga-bench.XXXXXX")
pids=()
cleanup() {
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
    wait
    rm -rf "$T"
}
trap cleanup EXIT

# shellcheck disable=SC2086 # several options
"$build/virga-controllerd" --state-dir "$T/c" --listen 127.0.0.1:0 \
    --vcpu-overcommit-permille 1000000 --max-connections 19000 --rate-limit 0 \
    --address-rate-limit 0 \
    ${CONTROLLERD_OPTIONS:-} 2>"$T/c.log" &
controller=$!
pids+=("$controller")
end=$((SECONDS + 20))
until grep -qs 'msg="ready"' "$T/c.log"; do
    [ $SECONDS -lt $end ] || { cat "$T/c.log" >&2; exit 1; }
    sleep 0.01
done
VIRGA_URL=$(sed -n 's/.*msg="ready" url=//p' "$T/c.log")
VIRGA_CA=$T/c/pki/ca.crt
VIRGA_TOKEN=$(cat "$T/c/admin.token")
export VIRGA_URL VIRGA_CA VIRGA_TOKEN

"$build/virga" flavor create small --vcpus 1 --memory 16M --disk 0 >/dev/null
head -c 1024 /dev/zero >"$T/kernel"
printf HdrS | dd of="$T/kernel" bs=1 seek=514 conv=notrunc status=none
"$build/virga" image create img --kernel "$T/kernel" >/dev/null 2>&1
"$build/bench/bench-api" -F "$T"
if ! "$build/bench/bench-fleet" -p "$controller" "$@"; then
    tail -n 20 "$T/c.log" >&2
    exit 1
fi
du -k "$T/c/controller.db" "$T/c/controller.db-wal" |
    awk '{printf "{\"bench\":\"file.%s\",\"kib\":%d}\n", $2 ~ /wal/ ? "wal" : "database", $1}'
curl -s --cacert "$VIRGA_CA" -H "Authorization: Bearer $VIRGA_TOKEN" \
    "$VIRGA_URL/metrics" |
    awk -F'[" ]' '/^virga_events_total/ {printf "{\"bench\":\"counter.%s\",\"value\":%d}\n", $2, $NF}'
