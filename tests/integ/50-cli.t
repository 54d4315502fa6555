#!/bin/bash
# 50-cli.t - the command against a live controller, with simulated guests:
# every command, every form of output, exit codes, hints, no secret shown.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # jq's expressions
# shellcheck disable=SC2154 # set by cloud.sh
. "$(dirname "$0")/cloud.sh"

unset VIRGA_URL VIRGA_CA VIRGA_TOKEN
tap_ok "the controller starts" cloud_controller || tap_done
tap_ok "an agent joins" cloud_agent n1 sim || tap_done

out=$T/out
err=$T/err

# v STATUS ARGUMENT…: the command ends with it; output in $out and $err.
v() {
    local want=$1 got=0

    shift
    echo "$1 ${2-} ${3-}" >>"$T/tried"
    "$virga" "$@" >"$out" 2>"$err" </dev/null || got=$?
    [ "$got" = "$want" ] && return
    echo "virga $*: exit status $got, not $want"
    cat "$out" "$err"
    return 1
}

# try STATUS ARGUMENT…: a case of its own.
try() {
    tap_ok "virga ${*:2}: exit status $1" v "$@"
}

says() {
    grep -qE -- "$1" "$out" || { cat "$out" "$err"; return 1; }
}

hints() {
    grep -qE -- "$1" "$err" || { cat "$out" "$err"; return 1; }
}

# j EXPRESSION: of the JSON that was printed.
j() {
    jq -er "$1" "$out"
}

head -c 8192 /dev/zero >"$T/kernel"
printf HdrS | dd of="$T/kernel" bs=1 seek=514 conv=notrunc 2>/dev/null
head -c 65536 /dev/urandom >"$T/disk"
echo initrd >"$T/initrd"

# ---- reaching the controller ----

try 0 whoami -o json
tap_is "whoami: role" "$(j .role)" operator
try 0 --version
try 0 help
try 0 help instance stop
tap_ok "help shows an example" says 'virga instance stop web-1'
try 0 instance stop --help
try 2 nonsense
try 2 instance
try 2 instance nonsense
try 2 instance show
try 2 instance show a b
try 2 instance list --nonsense
try 2 instance list -o xml
tap_ok "wrong use hints" hints '^hint: '
try 2 flavor create f --vcpus x --memory 1G
try 2 flavor create f --memory 1G
tap_ok "what is missing is named" hints 'vcpus'
tap_ok "no token: 5" env -u VIRGA_TOKEN bash -c \
    '"$1" whoami 2>"$2"; [ $? = 5 ]' - "$virga" "$err"
tap_ok "no token: hints" hints 'hint: .*VIRGA_TOKEN'
tap_ok "wrong token: 5" env VIRGA_TOKEN=vt1.wrong bash -c \
    '"$1" whoami 2>"$2"; [ $? = 5 ]' - "$virga" "$err"
tap_ok "wrong token: is not shown" eval '! grep -q vt1.wrong "$err"'
tap_ok "nobody listens: 6" env VIRGA_URL=https://127.0.0.1:1 bash -c \
    '"$1" whoami 2>"$2"; [ $? = 6 ]' - "$virga" "$err"
tap_ok "nobody listens: hints" hints 'hint: .*virga-controllerd running'
tap_ok "a CA that is not known: 6 and a hint" bash -c '
    env -u VIRGA_CA "$1" whoami 2>"$2"; [ $? = 6 ] &&
        grep -q "hint: .*VIRGA_CA" "$2"' - "$virga" "$err"
tap_ok "plain HTTP to elsewhere is refused" bash -c \
    '! VIRGA_URL=http://192.0.2.1:1 timeout 5 "$1" whoami 2>"$2"' \
    - "$virga" "$err"
echo "$VIRGA_TOKEN" >"$T/token-file"
tap_ok "--token-file, --url, --ca" env -u VIRGA_TOKEN -u VIRGA_URL -u VIRGA_CA \
    "$virga" whoami --token-file "$T/token-file" --url "$VIRGA_URL" \
    --ca "$VIRGA_CA"

# ---- what there is to launch ----

try 0 flavor list
try 0 flavor create small --vcpus 1 --memory 64M --disk 1G
try 4 flavor create small --vcpus 1 --memory 64M
tap_ok "a name that is taken is told" hints 'small'
try 2 flavor create odd --vcpus 1 --memory 65M5
try 7 flavor create odd --vcpus 65 --memory 64M
try 7 flavor create Big --vcpus 1 --memory 64M
tap_ok "the field at fault is named" hints '/name: '
try 0 flavor show small -o json
flavor_id=$(j .id)
tap_is "flavor: memory" "$(j .memory_bytes)" $((64 << 20))
try 0 flavor show "$flavor_id"
try 3 flavor show none
tap_ok "what is not there: hints" hints 'hint: .*virga flavor list'

try 0 image create tiny --kernel "$T/kernel" --initrd "$T/initrd" \
    --cmdline quiet --wait
try 0 image show tiny -o json
tap_is "image: active" "$(j .state)" active
tap_is "image: parts" "$(j '[.parts[].name] | join(" ")')" "kernel initrd"
image_id=$(j .id)
try 0 image show "$image_id"
try 0 image create raw --disk "$T/disk" --format raw --public
try 0 image show raw -o json
tap_is "image: public" "$(j .public)" true
try 7 image create bad --kernel "$T/disk"
tap_ok "a kernel that is none: the reason" hints 'neither a Linux kernel'
try 3 image show bad
try 2 image create nothing
tap_ok "image without files: told" hints 'kernel|disk'
tap_ok "a file that is not there" bash -c \
    '"$1" image create x --disk /nonexistent/file 2>"$2"; [ $? != 0 ] &&
        grep -q /nonexistent/file "$2"' - "$virga" "$err"
try 0 image list -o json
tap_is "images" "$(j 'map(.name) | sort | join(" ")')" "raw tiny"

# ---- instances ----

try 0 launch tiny -o json
tap_ok "launch without a name: gets one" j '.name | test("^[a-z0-9-]+$")'
tap_is "launch without a flavor: the only one" "$(j .flavor)" small
auto=$(j .name)
try 0 launch tiny web --flavor small --wait
tap_ok "--wait: a line for each step, no terminal tricks" eval \
    'grep -q . "$err" && ! grep -q "$(printf "\r")\|$(printf "\033")" "$err"'
try 4 launch tiny web --flavor small
try 7 launch none web2 --flavor small
tap_ok "launch of no image: hints" hints 'hint: .*virga image list'
try 0 instance show web -o json
tap_is "instance: runs" "$(j .state)" running
id=$(j .id)
try 0 instance show "$id"
tap_ok "a table for people" says '^state: +running'
try 0 instance wait web
try 0 instance wait "$auto"
try 0 instance list
tap_ok "a list has its head" says '^ID +NAME'
try 0 instance list --limit 1 -o json
tap_is "--limit" "$(j length)" 1
try 0 instance list --project default -o json
tap_is "--project" "$(j length)" 2
try 3 instance list --project none
try 0 instance log web
tap_ok "log: what the guest wrote" says 'virga-sim: web ready, run 1'
try 0 instance log web --tail 6
tap_is "log --tail: that many bytes" "$(wc -c <"$out")" 6
try 0 instance stats web -o json
tap_ok "stats" j '.cpu_ns >= 0'
tap_ok "console by a pipe: echoes" bash -c \
    'printf "hello\n" | "$1" instance console web --linger 2s | grep -q hello' \
    - "$virga"
tap_ok "console on a terminal: echoes, Ctrl-] leaves" bash -c \
    'printf "%s\n" "expect Ctrl-\] leaves" "send ping-pong\\r" \
        "expect ping-pong" "send \\x1d" "status 0" |
        python3 "$1" "$2/pty.log" 20 "$3" instance console web' \
    - "$(dirname "$0")/pty-talk.py" "$T" "$virga"
try 3 instance console none
try 0 instance stop web --wait
try 4 instance stop web
tap_ok "a wrong state: hints" hints 'hint: .*virga instance show'
try 4 instance console web
try 0 instance start web --wait
try 0 instance reboot web -w
try 0 instance set web --restart never -o json
tap_ok "instance set: the policy" says '"restart_policy": "never"'
try 2 instance set web
tap_ok "instance set: what to change must be said" hints restart
try 2 instance set web --restart often
tap_ok "instance set: the words are named" hints on-failure
try 0 instance show web -o json
tap_is "reboot: a third run" "$(j .run)" 3
try 0 instance pause web --wait
try 0 instance resume web --wait
try 0 instance rename web shop
try 0 instance rename shop web
try 0 instance label web env=prod,tier= -o json
tap_is "labels: all of them" "$(j '.labels.env + .labels.tier + "!"')" 'prod!'
try 2 instance label web env
tap_ok "labels: what they look like" hints KEY=VALUE
try 0 instance label web
try 0 instance protect web
try 4 instance rebuild web --image tiny --wait
try 0 instance unprotect web
try 4 instance resize web --flavor small --wait
try 0 instance lock web
try 4 instance stop web
tap_ok "locked: it says so" hints locked
try 0 instance unlock web -o json
tap_is "unlocked" "$(j .locked)" null
try 0 instance stop "$id" --force --wait
try 3 instance start none
try 0 operation list --limit 3 -o json
tap_is "operations" "$(j length)" 3
op=$(j '.[0].id')
try 0 operation show "$op"
try 0 operation wait "$op"
try 3 operation show 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77
try 0 operation list --stuck -o json
tap_is "nothing is stuck" "$(j length)" 0
try 4 operation cancel "$op"
try 4 operation retry "$op"
try 4 operation undo "$op"
tap_ok "undo: why not" hints "did not fail"
try 2 operation show not-an-id
try 0 usage -o json
tap_ok "usage: both instances" j '.items | length == 2'
try 0 usage --instance web --from 1h
try 0 usage --from 2026-01-01 --to 2026-01-02 -o json
tap_ok "usage of a time when nothing was" j '.items | length == 0'
try 0 usage --project default -o csv
try 2 usage --from someday
try 8 launch tiny big --flavor "$(
    "$virga" flavor create big --vcpus 64 --memory 4T -o json | jq -r .name)"
tap_ok "no room: says why and hints" hints 'hint: .*virga node list'
try 2 launch tiny which
tap_ok "several flavors: all are named" hints 'small.*big|big.*small'

# ---- the forms of output ----

# The same rows in JSON and CSV: field names first, RFC 4180.
same_csv() {
    "$virga" "$@" -o json >"$T/rows.json" &&
        "$virga" "$@" -o csv >"$T/rows.csv" &&
        python3 - "$T/rows.json" "$T/rows.csv" <<'PY'
import csv, json, sys
want = json.load(open(sys.argv[1]))
want = want if isinstance(want, list) else [want]
got = list(csv.DictReader(open(sys.argv[2], newline="")))
assert len(got) == len(want), (len(got), len(want))
for w, g in zip(want, got):
    for key, value in w.items():
        if isinstance(value, (dict, list)):
            continue
        text = {True: "true", False: "false", None: ""}.get(value, str(value)) \
            if not isinstance(value, int) or isinstance(value, bool) \
            else str(value)
        assert g[key] == text, (key, g[key], text)
PY
}

# The same values in YAML: as far as a reader of flat maps and lists goes.
same_yaml() {
    "$virga" "$@" -o json >"$T/rows.json" &&
        "$virga" "$@" -o yaml >"$T/rows.yaml" &&
        python3 - "$T/rows.json" "$T/rows.yaml" <<'PY'
import json, sys
want = json.load(open(sys.argv[1]))
lines = [l for l in open(sys.argv[2]).read().splitlines() if l.strip()
         and l != "---"]
def scalar(text):
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'")
def block(depth):
    out = None
    while lines:
        line = lines[0]
        indent = len(line) - len(line.lstrip())
        if indent < depth:
            break
        text = line.lstrip()
        if text.startswith("- "):
            out = [] if out is None else out
            lines[0] = " " * (indent + 2) + text[2:]
            if ": " in text or text.endswith(":"):
                out.append(block(indent + 2))
            else:
                out.append(scalar(lines.pop(0).strip()))
            continue
        if isinstance(out, list):
            break
        out = {} if out is None else out
        lines.pop(0)
        key, _, rest = text.partition(":")
        if rest.strip():
            out[scalar(key)] = scalar(rest.strip())
        elif lines and (len(lines[0]) - len(lines[0].lstrip()) > indent or
                        lines[0].lstrip().startswith("- ")):
            nxt = len(lines[0]) - len(lines[0].lstrip())
            out[scalar(key)] = block(nxt)
        else:
            out[scalar(key)] = None
    return out
got = block(0)
assert got == want, "\n%r\n%r" % (got, want)
PY
}

for what in "instance list" "instance show web" "flavor list" \
    "operation list" "token list" "project list"; do
    # shellcheck disable=SC2086 # into words
    tap_ok "$what: csv has what json has" same_csv $what
    # shellcheck disable=SC2086
    tap_ok "$what: yaml has what json has" same_yaml $what
done
tap_ok "image show: yaml has what json has" same_yaml image show tiny
tap_ok "an empty list: json" eval \
    'v 0 usage --from 2026-01-01 --to 2026-01-02 -o json && j type'
try 0 -o json instance list
tap_ok "options in front of the command" j 'type == "array"'
for i in 1 2 3 4 5; do
    try 0 project create "p$i"
done
try 4 project create p1
try 0 project list -o json
tap_is "projects" "$(j length)" 6

# ---- projects, tokens, nodes ----

try 0 project show p1 -o json
project_id=$(j .id)
try 0 project show "$project_id"
try 0 token create ci --role member --project p1 --expires 1h
secret=$(head -n 1 "$out")
tap_ok "a new token is the first line" eval \
    '[ "${secret#vt1.}" != "$secret" ]'
tap_ok "it works" env VIRGA_TOKEN="$secret" "$virga" whoami
tap_ok "what its role may not: 5" env VIRGA_TOKEN="$secret" bash -c \
    '"$1" node list 2>"$2"; [ $? = 5 ] && grep -q "hint: .*whoami" "$2"' \
    - "$virga" "$err"
tap_ok "what it may not see: 3" env VIRGA_TOKEN="$secret" bash -c \
    '"$1" instance show web 2>"$2"; [ $? = 3 ]' - "$virga" "$err"
try 2 token create x --role emperor
try 0 token list
tap_ok "a list of tokens shows no secret" eval \
    '! grep -q "vt1\." "$out"'
try 0 token delete ci
tap_ok "revoked: 5" env VIRGA_TOKEN="$secret" bash -c \
    '"$1" whoami 2>"$2"; [ $? = 5 ]' - "$virga" "$err"

# ---- quotas, keypairs, many instances of one description ----

try 0 quota show
try 0 quota show p2 -o json
tap_is "quota: the default" "$(j .limits.instances)" 20
try 0 quota set p2 --instances 3 --memory 1G --disk unlimited -o json
tap_is "quota set: what was given" \
    "$(j '.limits | "\(.instances) \(.memory_bytes) \(.disk_bytes)"')" \
    "3 1073741824 -1"
tap_is "quota set: the rest stays" "$(j .limits.vcpus)" 40
try 2 quota set p2
try 2 quota set p2 --vcpus many
try 3 quota set none --vcpus 1
rm -f "$T/key" "$T/key.pub"
ssh-keygen -q -t ed25519 -N "" -C me@here -f "$T/key"
try 0 keypair create laptop "$T/key.pub" -o json
tap_is "keypair: its fingerprint" "$(j .fingerprint)" \
    "$(ssh-keygen -l -f "$T/key.pub" | cut -d' ' -f2)"
try 2 keypair create oops "$T/key"
tap_ok "a private key is not sent" hints '\.pub'
try 2 keypair create oops "$T/kernel"
try 4 keypair create laptop "$T/key.pub"
try 0 keypair create there "$T/key.pub" --project p2
try 0 keypair list -o json
tap_is "keypairs" "$(j length)" 2
try 0 keypair show laptop
printf '#cloud-config\n' >"$T/seed"
try 0 launch tiny lab --flavor small --count 2 --label env=prod -l tier=web \
    --keypair laptop --user-data "$T/seed" --wait -o json
tap_is "launch --count: names, in the end they run" \
    "$(j 'map("\(.name) \(.state)") | join(",")')" \
    "lab-1 running,lab-2 running"
tap_is "launch: what was given" \
    "$(j '.[0] | [.labels.env, .labels.tier, .keypairs[0]] | join(" ")')" \
    "prod web laptop"
try 0 instance user-data lab-1
tap_is "instance user-data" "$(cat "$out")" "#cloud-config"
try 0 instance list --label env=prod --label tier -o json
tap_is "instance list --label" "$(j 'map(.name) | join(" ")')" "lab-1 lab-2"
try 0 instance list --filter 'name=lab-2,!label.none' -l env -o json
tap_is "instance list --filter" "$(j 'map(.name) | join(" ")')" "lab-2"
try 7 instance list --filter colour=red
try 0 flavor create priced --vcpus 1 --memory 64M --price 0.0125
try 0 launch tiny dry --flavor priced --count 4 --lock --protect \
    --dry-run -o json
tap_is "launch --dry-run: fits, and its price" \
    "$(j '"\(.fits) \(.count) \(.price_per_hour)"')" "true 4 0.0500"
try 3 instance show dry-1
try 0 launch raw few --flavor small --count 9 --policy fit --project p2 -o json
tap_is "launch --policy fit: what the quota allows" "$(j length)" 3
try 8 launch raw more --flavor small --project p2
tap_ok "over quota: the numbers" hints 'instances: 3 of 3'
try 0 launch raw table --flavor small --count 1 --dry-run
try 2 launch tiny x --flavor small --policy fit
try 2 launch tiny x --flavor small --label env
try 2 launch tiny x --flavor small --user-data "$T/kernel"
for i in $("$virga" instance list --project p2 -o json | jq -r '.[].id') \
    lab-1 lab-2; do
    try 0 instance delete "$i" --wait
done
try 0 keypair delete laptop
try 3 keypair show laptop
try 0 project delete p1
try 3 project delete p1
try 0 node list
try 0 node show n1 -o json
tap_is "node: up" "$(j .state)" up
node_id=$(j .id)
try 0 node cordon n1
try 8 launch tiny nowhere --flavor small
try 0 node uncordon "$node_id"
try 0 node token --ttl 10m
tap_ok "a join token is the first line" eval \
    'head -n 1 "$out" | grep -q "^vj1\."'
try 4 node delete n1
try 4 image delete tiny

# ---- what happened ----

try 0 events -o json
tap_ok "events: instances'" j 'map(.kind) | index("instance.created") != null'
try 0 events --kinds 'node.*' -o json
tap_ok "events: of a kind" j 'length > 0 and all(.kind | startswith("node."))'
try 0 events --since "$(j '.[0].seq')" --kinds 'node.*' --limit 1
try 7 events --since nonsense
tap_ok "events --follow: goes on until it is ended" bash -c '
    "$1" events --follow >"$2" &
    follower=$!
    until grep -q "node.changed .*node n1" "$2" || [ "$SECONDS" -gt 60 ]; do
        "$1" node cordon n1 >/dev/null && "$1" node uncordon n1 >/dev/null
    done
    kill "$follower"
    wait "$follower"
    grep -q "node.changed .*node n1" "$2"' - "$virga" "$out"
try 0 webhook create ops https://example.com/hook --kinds 'none.*,nothing' \
    --disabled -o json
tap_ok "webhook: its secret is shown" j '.secret | startswith("whsec_")'
tap_is "webhook: kinds" "$(j '.kinds | join(" ")')" "none.* nothing"
try 4 webhook create ops https://example.com/hook
try 7 webhook create bad ftp://example.com/
try 7 webhook create bad http://127.0.0.1/
try 0 webhook list
try 0 webhook enable ops -o json
tap_is "webhook: enabled" "$(j .disabled)" false
try 0 webhook disable ops
try 0 webhook show ops -o json
tap_is "webhook: its secret is not shown again" "$(j .secret)" null
try 0 webhook redeliver ops
try 0 webhook dead-letters ops -o json
tap_is "webhook: no dead letters" "$(j length)" 0
try 3 webhook dead-letter delete ops 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77
try 0 webhook create loud https://example.com/hook --disabled --debug
tap_ok "--debug does not show its secret" eval '! grep -q whsec_ "$err"'
try 0 webhook delete ops
try 0 webhook delete loud
try 3 webhook show ops
try 0 audit list --filter method=DELETE,status=204 --path /v1/webhooks -o json
tap_is "audit: what was deleted" "$(j 'map(.path) | join(" ")')" \
    "/v1/webhooks/loud /v1/webhooks/ops"
try 0 audit list --limit 3
try 7 audit list --filter nonsense=1

# ---- --debug ----

try 0 whoami --debug
tap_ok "--debug shows the request" hints 'GET /v1/whoami'
tap_ok "--debug does not show the token" eval \
    '! grep -qF -- "$VIRGA_TOKEN" "$err"'
try 0 token create dbg --debug
secret=$(head -n 1 "$out")
tap_ok "--debug does not show a new token" eval \
    '[ -n "$secret" ] && ! grep -qF -- "$secret" "$err"'
try 0 node token --debug
secret=$(head -n 1 "$out")
tap_ok "--debug does not show a join token" eval \
    '[ -n "$secret" ] && ! grep -qF -- "$secret" "$err"'

# ---- the end ----

tap_ok "output that cannot be written: an error" bash -c \
    '"$1" instance list -o json >/dev/full 2>"$2"; [ $? = 1 ] && grep -q . "$2"' \
    - "$virga" "$err"
tap_ok "log --follow: goes on until it is ended" bash -c '
    timeout --preserve-status -s INT 2 "$1" instance log "$3" --follow >"$2"
    grep -q ready "$2"' - "$virga" "$out" "$auto"
try 0 instance delete web --wait
try 0 instance delete "$auto" -w
try 3 instance show web
try 0 image delete tiny
try 0 image delete raw
try 0 flavor delete small
try 0 flavor delete "big"
# ---- users, who sign in ----

echo "correct horse battery" >"$T/password"
echo "staple and wire" >"$T/password.new"
echo "not it" >"$T/password.wrong"
session=$XDG_CONFIG_HOME/virga/session
operator=$VIRGA_TOKEN url=$VIRGA_URL ca=$VIRGA_CA

# as_user STATUS ARGUMENT…: with nothing but what a login kept.
as_user() {
    local status=0

    unset VIRGA_TOKEN VIRGA_URL VIRGA_CA
    v "$@" || status=$?
    export VIRGA_TOKEN=$operator VIRGA_URL=$url VIRGA_CA=$ca
    return $status
}

try 0 project create users
try 0 user create ada --project users --role admin \
    --password-file "$T/password" -o json
tap_is "user create: role" "$(j .role)" admin
try 0 user create joe --password-file "$T/password"
try 4 user create joe --password-file "$T/password"
try 2 user create eve
tap_ok "without a terminal a file is asked for" hints 'in a file'
try 0 user list
tap_ok "user list" says '^[0-9a-f-]{36} +ada '
try 0 user show ada
tap_ok "no password is shown" test -z "$(grep -r 'argon2\|correct' "$out")"
try 0 project member add users joe --role reader
try 0 project member list users -o csv
tap_ok "project member list" says ',joe,reader'
try 0 project member remove users joe
try 2 project member add users joe
try 2 project member
try 2 project member frob users
try 0 help project member
tap_ok "help of a verb of two words" says 'project member add PROJECT USER'
try 5 login --user ada --password-file "$T/password.wrong"
tap_ok "nothing is kept of a login that failed" test ! -e "$session"
try 0 login --user ada --password-file "$T/password"
tap_is "the session's file is the user's alone" "$(stat -c %a "$session")" 600
tap_ok "the secret is not shown" test -z "$(grep vs1 "$out" "$err")"
tap_ok "further commands need nothing else" as_user 0 whoami -o json
tap_is "whoami: the user" "$(j .user_name)" ada
tap_ok "a token goes before it" v 0 whoami -o json
tap_is "whoami: the token" "$(j .token_name)" admin
tap_ok "a token with scopes" as_user 0 token create part \
    --scope images:read,instances:write -o json
tap_is "its scopes" "$(j '.scopes | join(" ")')" "images:read instances:write"
tap_ok "a secret is for no other controller" eval '
    (unset VIRGA_TOKEN; v 5 whoami --url "${url/127.0.0.1/localhost}")'
tap_ok "passwd" as_user 0 passwd --old-password-file "$T/password" \
    --password-file "$T/password.new"
tap_ok "passwd: a wrong one" as_user 7 passwd \
    --old-password-file "$T/password.wrong" --password-file "$T/password"
tap_ok "--debug shows no password" as_user 0 login --user ada --debug \
    --password-file "$T/password.new"
tap_ok "--debug: nothing of it" test -z \
    "$(grep 'staple\|vs1.[0-9a-f]' "$out" "$err")"
tap_ok "session list" as_user 0 session list -o json
tap_is "two sessions" "$(jq length "$out")" 2
other=$(j '.[] | select(.current | not) | .id')
tap_ok "session use" as_user 0 session use users -o json
tap_is "session use: the role there" "$(j .role)" admin
tap_ok "session use: another's project" as_user 3 session use default
tap_ok "session end" as_user 0 session end "$other"
tap_ok "one session" eval 'as_user 0 session list -o json &&
    [ "$(jq length "$out")" = 1 ]'
tap_ok "a password from standard input" eval '
    "$virga" login --user ada --password-file - <"$T/password.new" >"$out" 2>&1'
try 0 user disable ada
tap_ok "who is disabled is signed out" as_user 5 whoami
tap_ok "and is told what to do" hints 'virga login'
try 0 user enable ada
try 0 login --user ada --password-file "$T/password.new" --project users
try 0 logout
tap_ok "nothing is left of it" test ! -e "$session"
try 3 logout
try 0 user delete ada

try 3 node delete nowhere --force
try 0 admin backup "$T/backup.tar.gz"
tap_ok "a backup is an archive" tar -tzf "$T/backup.tar.gz"

tap_ok "an empty list in each form" eval '
    v 0 instance list && v 0 instance list -o csv && v 0 instance list -o yaml &&
    v 0 instance list -o json && [ "$(jq -c . "$out")" = "[]" ]'
tap_ok "the agent stops in good order" cloud_end "$agent"
try 0 node list -o json

"$virga" help | awk '/^  [a-z]/ { print $1 ($2 ~ /^[a-z]+$/ ? " " $2 : "") }' \
    >"$T/commands"
tap_ok "the help lists commands" test "$(wc -l <"$T/commands")" -ge 35
tap_is "every command was tried" "$(while read -r command; do
    grep -qE "^$command( |\$)" "$T/tried" || echo "$command"
done <"$T/commands")" ""
tap_ok "the controller stops in good order" cloud_end "$controller"
try 6 instance list
tap_done
