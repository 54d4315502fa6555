#!/bin/bash
# 12-quickstart.t - quickstart touches nothing that is not its own: folders,
# ports, processes. (What it brings up is tested end to end elsewhere.)
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is in single quotes runs elsewhere
. "$(dirname "$0")/tap.sh"

export VIRGA_HOME=$T/home
unset VIRGA_PORT
out=$T/out.log

# runs STATUS ARGUMENT…: quickstart ends with that status.
runs() {
    local want=$1 got=0

    shift
    "$top_srcdir/quickstart" "$@" >"$out" 2>&1 </dev/null || got=$?
    cat "$out"
    [ "$got" = "$want" ]
}

says() {
    grep -qF -- "$1" "$out"
}

# The same identity that quickstart writes down.
identity() {
    local stat

    stat=$(cat "/proc/$1/stat")
    stat=${stat##*) }
    # shellcheck disable=SC2086 # into words
    set -- $stat
    echo "$(cat /proc/sys/kernel/random/boot_id) ${20}"
}

marked_home() {
    mkdir -p "$VIRGA_HOME/run"
    : >"$VIRGA_HOME/.virga-home"
}

tap_ok "unknown command: usage error" runs 2 nonsense
tap_ok "unknown command: says what there is" says "./quickstart reset"
tap_ok "stop without state: harmless" runs 0 stop
tap_ok "reset without state: harmless" runs 0 reset
tap_ok "status without state: says so" runs 1 status
tap_ok "looking makes no folder" test ! -e "$VIRGA_HOME"

mkdir "$VIRGA_HOME"
echo precious >"$VIRGA_HOME/file"
tap_ok "reset refuses a folder of others" runs 1 reset
tap_ok "start refuses a folder of others" runs 1 start
tap_is "which keeps its contents" "$(cat "$VIRGA_HOME"/*)" precious
rm -r "$VIRGA_HOME"

# A port that something else listens on.
spawn perl -MIO::Socket::INET -e '
    my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")
        or die "listen: $!";
    open(my $f, ">", "$ARGV[0].new") or die;
    print $f $s->sockport, "\n"; close($f);
    rename("$ARGV[0].new", $ARGV[0]) or die;
    while (my $c = $s->accept) { close($c) }' "$T/port"
wait_for 10 test -s "$T/port"
busy=$(cat "$T/port")
export VIRGA_PORT=$busy
tap_ok "port in use: start fails" runs 1 start
tap_ok "port in use: says which" says "port $busy on 127.0.0.1 is in use"
tap_ok "port in use: says how to choose another" says "VIRGA_PORT="
tap_ok "port in use: says where the log is" says "$VIRGA_HOME/log/"
tap_ok "port in use: nothing was built" test ! -e "$VIRGA_HOME/build"
export VIRGA_PORT=99999
tap_ok "a port that is none: start fails" runs 1 start
tap_ok "a port that is none: says so" says "VIRGA_PORT=99999"
unset VIRGA_PORT
rm -r "$VIRGA_HOME"

# Process ids that belong to somebody else by now.
marked_home
spawn sleep 1000
foreign=$spawned
echo "$foreign $(cat /proc/sys/kernel/random/boot_id) 1" \
    >"$VIRGA_HOME/run/controller.pid"
echo "$foreign" >"$VIRGA_HOME/run/agent.pid"
tap_ok "stop with outdated process ids succeeds" runs 0 stop
tap_ok "a process of others is not signalled" running "$foreign"
echo "nonsense" >"$VIRGA_HOME/run/agent.pid"
tap_ok "stop with an unreadable process id succeeds" runs 0 stop

# Our own ones, by identity and by the folder that they use.
spawn sleep 1000
ours=$spawned
echo "$ours $(identity "$ours")" >"$VIRGA_HOME/run/agent.pid"
cp "$(command -v sleep)" "$T/virga-vmm"
spawn bash -c 'exec -a "virga-vmm $0" "$1" 1000' \
    "$VIRGA_HOME/agent/vm" "$T/virga-vmm"
guest=$spawned
# One that names nothing, as in a jail, but has our file open.
mkdir -p "$VIRGA_HOME/agent" "$T/elsewhere/agent"
spawn bash -c 'exec -a "virga-vmm serve 9" "$1" 1000 9>>"$0"' \
    "$VIRGA_HOME/agent/console.log" "$T/virga-vmm"
silent_guest=$spawned
spawn bash -c 'exec -a "virga-vmm $0" "$1" 1000 9>>"$0"' \
    "$T/elsewhere/agent/vm" "$T/virga-vmm"
other_guest=$spawned
wait_for 10 eval \
    '[ "$(readlink /proc/$guest/exe)" = "$T/virga-vmm" ]' &&
    wait_for 10 eval \
        '[ "$(readlink /proc/$other_guest/exe)" = "$T/virga-vmm" ]' &&
    wait_for 10 eval \
        '[ "$(readlink /proc/$silent_guest/exe)" = "$T/virga-vmm" ]'
tap_ok "status without a controller fails" runs 1 status
tap_ok "status names what runs" says "agent runs (process $ours"
tap_ok "reset stops and removes" runs 0 reset
tap_ok "our daemon was ended" eval "! running $ours"
tap_ok "our guest was ended" eval "! running $guest"
tap_ok "our guest that names nothing was ended" eval "! running $silent_guest"
tap_ok "a guest of others goes on" running "$other_guest"
tap_ok "the folder is gone" test ! -e "$VIRGA_HOME"

tap_done
