# e2e-life.sh - what a tenant does to an instance that runs, seen by a guest with
# a stock kernel: user data and keys, pause, resize, rebuild. The same for each
# driver: source it after e2e.sh, with its cloud and image made.
#
#   e2e_life NAME     an instance of that name, from its creation to its end
#
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is typed is for the guest's shell
# shellcheck disable=SC2154 # set by e2e.sh

life_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPl5z9rBxtKFTO7bDNjEOsSXjZzMIfSUJqLQxjRcXn0M"

# says TEXT: a line of the console's log is it, whatever a prompt has begun.
life_says() {
    console "$life_name" && tr -d '\r' <"$body" | grep -qaF -- "$1"
}

life_verb() { # VERB [JSON]
    local more=()

    [ $# -lt 2 ] || more=(-d "$2")
    tap_ok "$1: 202" rest_ok 202 POST "/v1/instances/$life_name/$1" \
        ${more[@]+"${more[@]}"}
    tap_is "$1: its operation succeeds" "$(operation_ends)" succeeded ||
        tap_diag "$(cat "$body")"
}

life_ready() { # WHAT BEFORE: ready lines that there were
    tap_ok "$1: ready" wait_for "$e2e_patience" ready_again "$life_name" "$2" ||
        tap_diag "$(console "$life_name" && tail -c 1500 "$body")"
}

# The number of the last beat; beats follow each other without a gap.
life_beats() {
    console "$life_name" &&
        tr -d '\r' <"$body" | sed -n 's/.*virga-beat \([0-9]*\)$/\1/p' | awk '
            NR > 1 && $1 != last + 1 { bad = 1 }
            { last = $1 }
            END { print bad ? "gap" : last + 0 }'
}

life_beats_beyond() {
    local now

    now=$(life_beats)
    if [ "${now:-0}" != gap ] && [ "${now:-0}" -gt "$1" ]; then
        return 0
    fi
    sleep "$e2e_pause"
    return 1
}

life_create() {
    rest POST /v1/flavors -d '{"name":"large","vcpus":2,
        "memory_bytes":335544320,"disk_bytes":100663296}'
    tap_is "life: a larger flavor is made" "$http" 201
    tap_ok "life: a keypair is stored" rest_ok 201 POST /v1/keypairs \
        -d "{\"name\":\"ada\",\"public_key\":\"$life_key ada: \\\"#1\\\"\"}"
    tap_ok "life: 201" rest_ok 201 POST /v1/instances -d "{
        \"name\":\"$life_name\",\"image\":\"kernel-image\",\"flavor\":\"small\",
        \"keypairs\":[\"ada\"],\"user_data\":\"#!/bin/sh\\necho 'a: \\\"b\\\"'\\n\"}"
    id=$(field .id)
    tap_is "life: its operation succeeds" "$(operation_ends)" succeeded || {
        cat "$body"
        tap_done
    }
    life_ready life 0
    tap_ok "user data: the guest sees who it is" life_says \
        "virga-guest meta-data: instance-id: \"$id\""
    tap_ok "user data: and its name" life_says \
        "virga-guest meta-data: local-hostname: \"$life_name\""
    tap_ok "user data: and the key, its comment quoted" life_says \
        "virga-guest meta-data:   - \"$life_key ada: \\\"#1\\\"\""
    tap_ok "user data: the guest sees its first line" life_says \
        "virga-guest user-data: #!/bin/sh"
    tap_ok "user data: and its second" life_says \
        "virga-guest user-data: echo 'a: \"b\"'"
    rest GET "/v1/instances/$id/user-data"
    tap_is "user data: the API has the same" "$(cat "$body")" \
        "$(printf "#!/bin/sh\necho 'a: \"b\"'")"
}

life_pause() {
    local halted now

    tap_ok "pause: something is done in the guest, a beat ever so often" \
        pty "$life_name" <<'TALK'
send \r
expect login:
send root\r
expect Virga demo guest
send until mount | grep -q " /data "; do usleep 100000; done; date >/data/mark; sync; echo mark-"set"\r
expect ^mark-set
send (n=0; while usleep 200000; do n=$((n + 1)); echo "virga-beat $n" >/dev/console; done) & echo beat-"set"\r
expect beat-set
send \x1d
status 0
TALK
    tap_ok "pause: it beats" wait_for "$e2e_patience" life_beats_beyond 1
    life_verb pause
    tap_ok "pause: it is paused" state_is "$life_name" paused
    halted=$(life_beats)
    sleep 2 # the time in which nothing must happen
    now=$(life_beats)
    tap_is "pause: no beat in 2 s" "$now" "$halted"
    life_verb resume
    tap_ok "resume: it runs" state_is "$life_name" running
    tap_ok "resume: it beats on where it was" wait_for "$e2e_patience" \
        life_beats_beyond "$halted"
    tap_is "resume: as the same run" "$(rest GET "/v1/instances/$life_name" &&
        field .run)" 1
}

# What the guest's shell answers to some questions.
life_size() { # CPUS, MIB OF DISK, MARKS ON IT, MEMORY IN 32 MIB
    pty "$life_name" <<TALK
send \r
expect login:
send root\r
expect Virga demo guest
send until mount | grep -q " /data "; do usleep 100000; done; echo data-is-"there"\r
expect ^data-is-there
send echo "cpus=\$(grep -c ^processor /proc/cpuinfo) disk=\$((\$(cat /sys/block/vda/size) / 2048)) mark=\$(ls /data | grep -c mark)"\r
expect ^cpus=$1 disk=$2 mark=$3
send awk '/MemTotal/ { print "memory=" int(\$2 / 32768) }' /proc/meminfo\r
expect ^memory=$4
send \x1d
status 0
TALK
}

life_resize() {
    local before

    before=$(ready_lines "$life_name")
    life_verb resize '{"flavor":"large"}'
    life_ready resize "$before"
    # Of 320 MiB the kernel keeps a part: 8 or 9 times 32 MiB.
    tap_ok "resize: the guest has two processors, 96 MiB of disk, more memory" \
        life_size 2 96 1 '[89]'
}

life_rebuild() {
    local before

    before=$(ready_lines "$life_name")
    life_verb rebuild '{"image":"kernel-image",
        "user_data":"#cloud-config\nother: true\n"}'
    life_ready rebuild "$before"
    tap_ok "rebuild: the guest sees the new user data" life_says \
        "virga-guest user-data: other: true" ||
        tap_diag "$(grep -a 'virga-guest user-data' "$body")"
    tap_ok "rebuild: its disk is another one, of the same size" \
        life_size 2 96 0 '[89]'
    tap_is "rebuild: the old disk is gone from the node" \
        "$(find "$T/n1/instances/$id" -name 'root*' | wc -l)" 1
}

life_end() {
    life_verb stop
    tap_ok "life: nobody was ended by force" e2e_no_force
    tap_ok "life: delete: 202" rest_ok 202 DELETE "/v1/instances/$life_name"
    tap_is "life: its operation succeeds" "$(operation_ends)" succeeded
    tap_is "life: no file is left on the node" \
        "$(find "$T/n1" -path "*/log/*" -prune -o -name "*$id*" -print)" ""
}

e2e_life() {
    life_name=$1
    life_create
    life_pause
    life_resize
    life_rebuild
    life_end
}
