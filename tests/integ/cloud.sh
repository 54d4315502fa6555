# cloud.sh - a private controller and agents for tests written in bash: source
# it instead of tap.sh (which it sources). All state is under $T, the port is
# a free one; everything it started has ended when the test has.
#
#   cloud_controller [OPTION…]    starts it, waits until it is ready; sets
#                                 $controller and exports VIRGA_URL, VIRGA_CA,
#                                 VIRGA_TOKEN (the operator's)
#   cloud_agent NAME DRIVER [OPTION…]
#                                 starts one, waits until its node is up; sets
#                                 $agent
#   cloud_end PID                 SIGTERM, waits for the end; its exit status
#   rest METHOD PATH [CURL-OPTION…]
#                                 plain HTTP: body in $body, its status in
#                                 $http; the JSON text is printed by
#   field JQ-EXPRESSION           an expression over $body, raw
#   operation_ends                waits for the operation in $body, prints its
#                                 state
#   guest_pid INSTANCE-ID         the hypervisor process of a guest
#   guests_left                   hypervisor processes that use $T
# shellcheck shell=bash disable=SC2034 # variables are for the tests

. "$(dirname "${BASH_SOURCE[0]}")/tap.sh"

virga=$top_builddir/virga
body=$T/body
cloud_dir=$T/c
: >"$body"

# Hypervisor processes whose command line names our folder: "PID" lines.
guests_left() {
    local dir exe

    for dir in /proc/[0-9]*; do
        exe=$(readlink "$dir/exe" 2>/dev/null) || continue
        case ${exe##*/} in
        qemu-system-*) ;;
        *) continue ;;
        esac
        if tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | grep -qF -- "$T/"; then
            echo "${dir#/proc/}"
        fi
    done
}

guest_pid() {
    local pid

    for pid in $(guests_left); do
        if tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null |
            grep -qF -- "$1"; then
            echo "$pid"
            return
        fi
    done
    return 1
}

# Guests outlive their agent by design; not the test.
cloud_exit() {
    local pid

    for pid in ${tap_pids[@]+"${tap_pids[@]}"}; do
        running "$pid" && kill "$pid" 2>/dev/null
    done
    for pid in ${tap_pids[@]+"${tap_pids[@]}"}; do
        wait_for 10 eval "! running $pid" || kill -KILL "$pid" 2>/dev/null
    done
    for pid in $(guests_left); do
        tap_diag "a guest is left: process $pid"
        kill -KILL "$pid" 2>/dev/null
    done
    tap_exit
}
trap cloud_exit EXIT

cloud_end() {
    local pid=$1

    kill "$pid" 2>/dev/null
    wait_for 20 eval "! running $pid" || {
        tap_diag "process $pid does not end"
        kill -KILL "$pid"
    }
    wait "$pid"
}

# ready_url LOG: the address that a controller says it listens on.
ready_url() {
    sed -n 's/.* msg=.*ready.* url=\([^ ]*\).*/\1/p;' "$1" | tail -n 1
}

cloud_is_ready() {
    running "$controller" || return 0 # no use to wait on
    [ -n "$(ready_url "$T/controller.log")" ]
}

cloud_controller() {
    : >"$T/controller.log"
    spawn "$top_builddir/virga-controllerd" --state-dir "$cloud_dir" \
        --listen "${cloud_listen:-127.0.0.1:0}" "$@" 2>>"$T/controller.log"
    controller=$spawned
    wait_for 30 cloud_is_ready && running "$controller" || return 1
    export VIRGA_URL VIRGA_CA VIRGA_TOKEN
    VIRGA_URL=$(ready_url "$T/controller.log")
    cloud_listen=${VIRGA_URL#https://} # the same one after a restart
    VIRGA_CA=$cloud_dir/pki/ca.crt
    VIRGA_TOKEN=$(cat "$cloud_dir/admin.token")
    rest GET /readyz && [ "$http" = 200 ]
}

node_is_up() {
    running "$agent" || return 0
    rest GET "/v1/nodes/$1" && [ "$(field .state)" = up ]
}

cloud_agent() {
    local name=$1 driver=$2 args=()

    shift 2
    if [ ! -e "$T/$name/identity/node.id" ]; then
        rest POST /v1/join-tokens -d '{"ttl_s":600}' && [ "$http" = 201 ] ||
            return 1
        field .token >"$T/$name.token"
        args=(--join-token-file "$T/$name.token")
    fi
    spawn "$top_builddir/virga-agentd" --state-dir "$T/$name" \
        --controller "$VIRGA_URL" --name "$name" --driver "$driver" \
        --heartbeat 1s ${args[@]+"${args[@]}"} "$@" 2>>"$T/$name.log"
    agent=$spawned
    wait_for 60 node_is_up "$name" && running "$agent"
}

rest() {
    local method=$1 path=$2 type=()

    shift 2
    case " $* " in
    *" -d "*) type=(-H "Content-Type: application/json") ;;
    esac
    http=$(curl -sS --max-time 90 --cacert "$VIRGA_CA" -X "$method" \
        -H "Authorization: Bearer $VIRGA_TOKEN" -o "$body" \
        -w '%{http_code}' \
        ${type[@]+"${type[@]}"} "$@" "$VIRGA_URL$path" 2>"$T/curl.log")
}

field() {
    jq -r "$1" "$body"
}

# rest_ok STATUS METHOD PATH…: for tap_ok; shows what came when it was another.
rest_ok() {
    local want=$1

    shift
    rest "$@" && [ "$http" = "$want" ] && return
    echo "$1 $2: status $http, not $want"
    cat "$T/curl.log" "$body"
    return 1
}

# Waits for the operation in $body as a client does, by its own long poll;
# prints how it ended.
operation_ends() {
    local id deadline=$(($(date +%s) + 120))

    id=$(field '.operation_id // .id')
    until rest GET "/v1/operations/$id?wait=20s" &&
        [ "$(field .state)" != running ]; do
        [ "$(date +%s)" -lt "$deadline" ] || break
    done
    field .state
}
