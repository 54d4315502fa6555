#!/bin/bash
# 21-quickstart.t - quickstart brings up a cloud with a real guest from a copy
# of the source tree: again, stopped, after a crash, removed. What has been
# compiled and downloaded before is used again. (What it must not touch:
# 12-quickstart.t.)
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is in single quotes runs elsewhere
# shellcheck disable=SC2154 # set by cloud.sh
. "$(dirname "$0")/cloud.sh"

[ "$(id -u)" = 0 ] || tap_skip_all "needs root"
command -v qemu-system-x86_64 >/dev/null ||
    tap_skip_all "qemu-system-x86_64 is missing"
command -v dpkg >/dev/null || tap_skip_all "needs Debian's packages"

unset VIRGA_URL VIRGA_CA VIRGA_TOKEN VIRGA_DRIVER
src=$T/src
export VIRGA_HOME=$T/home
# None that the system may give to a client while the daemons are down.
VIRGA_PORT=$(python3 -c '
import random, socket
below = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
while True:
    port = random.randrange(below // 2, below)
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", port))
    except OSError:
        continue
    print(port)
    break')
export VIRGA_PORT
out=$T/out.log

# The sources without any build folder in them.
copy_sources() {
    local exclude=() dir

    while read -r dir; do
        exclude+=(--exclude="./${dir#"$top_srcdir/"}")
    done < <(find "$top_srcdir" -maxdepth 3 -name config.status \
        -exec dirname {} \;)
    mkdir "$src"
    tar -C "$top_srcdir" --exclude=./.git --exclude=./.virga \
        --exclude=./autom4te.cache ${exclude[@]+"${exclude[@]}"} -c . |
        tar -C "$src" -x
    chmod -R u+w "$src"
}

# Objects of this build, younger than their sources, so that only the linking
# is left. Those of another kind (sanitizers) would not fit.
reuse_objects() {
    mkdir -p "$VIRGA_HOME/build"
    : >"$VIRGA_HOME/.virga-home"
    ! grep -q -- '^SAN_CFLAGS = .*-f' "$top_builddir/Makefile" || return 0
    (cd "$top_builddir" &&
        find . -name '*.o' ! -path './tests/*' ! -path './demo-image/*' \
            ! -path './_*' -print0 | tar -c --null -T -) |
        tar -C "$VIRGA_HOME/build" -x
    find "$VIRGA_HOME/build" -name '*.o' -exec touch {} +
}

reuse_image() {
    "$top_srcdir/tools/virga-demo-image" "$top_builddir/demo-image" &&
        cp -a "$top_builddir/demo-image" "$VIRGA_HOME/image" &&
        cp -a "${VIRGA_CACHE:-$top_builddir/demo-image/cache}" \
            "$VIRGA_HOME/cache"
}

# quick STATUS ARGUMENT…: quickstart ends with it; its time in $took_ms.
quick() {
    local want=$1 got=0 t0

    shift
    t0=$(date +%s%N)
    env -u VIRGA_CACHE "$src/quickstart" "$@" >"$out" 2>&1 </dev/null || got=$?
    took_ms=$((($(date +%s%N) - t0) / 1000000))
    [ "$got" = "$want" ] && return
    cat "$out"
    return 1
}

says() {
    grep -qE -- "$1" "$out" || { cat "$out"; return 1; }
}

# in_shell COMMAND…: as a person would, in a plain shell.
in_shell() {
    env -i HOME="$T" PATH=/usr/bin:/bin HERE="$VIRGA_HOME" sh -euc \
        ". \"\$HERE/env\"; $1"
}

# demo FIELD
demo() {
    in_shell 'virga instance show demo -o json' | jq -r ".$1"
}

daemon_pid() {
    cut -d' ' -f1 "$VIRGA_HOME/run/$1.pid"
}

# Daemons that quickstart left behind are no children of this shell.
end_all() {
    [ ! -e "$VIRGA_HOME/.virga-home" ] ||
        "$src/quickstart" stop >"$T/last-stop.log" 2>&1 </dev/null
    cloud_exit
}
trap end_all EXIT

tap_ok "sources are copied" copy_sources
tap_ok "objects are used again" reuse_objects
tap_ok "the demo image is used again" reuse_image

tap_ok "quickstart runs through" quick 0 || tap_done
tap_diag "took $took_ms ms: $(grep -E '^ +ok' "$out" | sed 's/  */ /g' |
    tr '\n' ';')"
tap_ok "it shows each step with its time" says '^ +ok +[0-9.]+s +agent has joined'
tap_ok "it shows the guest's ready line" says 'virga-guest ready: demo'
tap_ok "it shows the instance" says '^state: +running'
tap_ok "it shows usage" says 'RUNNING_SECONDS'
tap_ok "it says where the API is" says "https://127.0.0.1:$VIRGA_PORT/v1/"
tap_ok "it says how to stop" says '^Stop +\./quickstart stop'
tap_is "secrets are for the owner alone" \
    "$(stat -c %a "$VIRGA_HOME/env" "$VIRGA_HOME/controller/admin.token" |
        sort -u)" 600
tap_ok "the env file works in a plain shell" in_shell 'virga instance list'
tap_is "sourcing it twice adds to PATH once" \
    "$(in_shell '. "$HERE/env"; echo "$PATH"' | tr : '\n' |
        grep -cx "$VIRGA_HOME/build")" 1
id=$(demo id)
guest=$(guest_pid "$id")
tap_ok "the guest is a QEMU of ours" test -n "$guest"
tap_ok "status: all runs" quick 0 status

tap_ok "quickstart again" quick 0
tap_ok "again: quick" test "$took_ms" -lt 30000
tap_diag "took $took_ms ms"
tap_is "again: the same instance, not even restarted" \
    "$(demo '| "\(.id) \(.run)"') $(guest_pid "$id")" "$id 1 $guest"

# Both daemons die at once; the guest does not.
kill -KILL "$(daemon_pid controller)" "$(daemon_pid agent)"
tap_ok "status after a crash: something is missing" quick 1 status
tap_ok "quickstart after a crash" quick 0
tap_is "after a crash: the same guest" \
    "$(demo '| "\(.id) \(.run)"') $(guest_pid "$id")" "$id 1 $guest"

tap_ok "stop" quick 0 stop
tap_is "stop: no guest is left" "$(guests_left)" ""
tap_ok "stop: nobody listens" eval \
    '! (exec 3<>"/dev/tcp/127.0.0.1/$VIRGA_PORT") 2>/dev/null'
tap_ok "stop again: harmless" quick 0 stop
tap_ok "status: says what does not run" quick 1 status

tap_ok "start again" quick 0
tap_diag "took $took_ms ms"
tap_is "start again: the same instance, its second run" \
    "$(demo '| "\(.id) \(.run)"')" "$id 2"
tap_ok "start again: usage of both runs is there" in_shell \
    'virga usage --instance demo -o json | jq -e ".items[0].intervals == 2"'

tap_ok "reset" quick 0 reset
tap_ok "reset: all is removed" test ! -e "$VIRGA_HOME"
tap_is "reset: no guest is left" "$(guests_left)" ""
tap_ok "reset: nobody listens" eval \
    '! (exec 3<>"/dev/tcp/127.0.0.1/$VIRGA_PORT") 2>/dev/null'
tap_ok "reset again: harmless" quick 0 reset
tap_done
