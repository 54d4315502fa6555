# tap.sh - TAP for tests written in bash: source it first.
#
#   tap_ok DESCRIPTION COMMAND…     passes when the command returns 0
#   tap_is DESCRIPTION GOT WANT     passes when both are the same text
#   tap_skip DESCRIPTION REASON     one case that cannot run here
#   tap_skip_all REASON             nothing of this file can run here; exits
#   tap_diag TEXT…                  a line for the log
#   tap_done                        last line of the test: plan, exit status
#   wait_for SECONDS COMMAND…       until it returns 0; fails at the deadline
#   spawn COMMAND…                  in the background, its id in $spawned;
#                                   ended with the test if it still runs
#
# $T is a private folder, removed at the end unless a case failed: then its
# *.log files are shown and the folder stays. The script's death before
# tap_done is a failure (no plan is printed).
# shellcheck shell=bash

set -u
export LC_ALL=C
T=$(mktemp -d "${TMPDIR:-/tmp}/virga-test.XXXXXX")
export XDG_CONFIG_HOME=$T/config # no session of whoever runs the tests
tap_n=0
tap_failed=0
tap_finished=no
tap_pids=()
# shellcheck disable=SC2034 # for the tests
top_srcdir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034 # make runs tests in the top build folder
top_builddir=${VIRGA_BUILD:-$PWD}

tap_diag() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

tap_result() { # STATUS DESCRIPTION
    tap_n=$((tap_n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $tap_n - $2"
    else
        echo "not ok $tap_n - $2"
        tap_failed=$((tap_failed + 1))
    fi
    return "$1"
}

tap_ok() {
    local what=$1 status=0

    shift
    "$@" >"$T/tap_ok.log" 2>&1 || status=$?
    [ "$status" = 0 ] || {
        tap_diag "failed with $status: $*"
        tail -n 20 "$T/tap_ok.log" | tr -d '\r' | sed 's/^/#   /'
    }
    tap_result "$status" "$what"
}

tap_is() {
    local status=0

    [ "$2" = "$3" ] || {
        status=1
        tap_diag "got:  $2"
        tap_diag "want: $3"
    }
    tap_result "$status" "$1"
}

tap_skip() {
    tap_n=$((tap_n + 1))
    echo "ok $tap_n - $1 # SKIP $2"
}

tap_skip_all() {
    echo "1..0 # SKIP $*"
    tap_finished=yes
    exit 0
}

tap_done() {
    echo "1..$tap_n"
    tap_finished=yes
    [ "$tap_failed" = 0 ]
    exit
}

wait_for() {
    local deadline=$(($(date +%s%N) + $1 * 1000000000))

    shift
    until "$@"; do
        [ "$(date +%s%N)" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

spawn() {
    "$@" &
    spawned=$!
    tap_pids+=("$spawned")
}

# By the shell's own list: once a child has ended, its number may be given to
# any other process.
running() {
    case " $(jobs -pr | tr '\n' ' ') " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

tap_exit() {
    local pid log

    for pid in ${tap_pids[@]+"${tap_pids[@]}"}; do
        running "$pid" && kill "$pid" 2>/dev/null
    done
    for pid in ${tap_pids[@]+"${tap_pids[@]}"}; do
        wait_for 10 eval "! running $pid" || kill -KILL "$pid" 2>/dev/null
    done
    if [ "$tap_failed" = 0 ] && [ $tap_finished = yes ]; then
        rm -rf "$T"
        return
    fi
    for log in "$T"/*.log; do
        [ -s "$log" ] || continue
        tap_diag "--- ${log##*/}"
        tail -n 40 "$log" | tr -d '\r' | sed 's/^/#   /'
    done
    tap_diag "kept: $T"
}
trap tap_exit EXIT
trap 'exit 130' INT TERM
