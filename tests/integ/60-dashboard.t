#!/bin/bash
# 60-dashboard.t - the page in a real browser, against a live controller and
# an agent with the simulated hypervisor. Chromium is driven by chromedriver
# (W3C WebDriver) with curl and jq: nothing is fetched from anywhere.
#
#   VIRGA_SHOTS=FOLDER   leaves screenshots there
# shellcheck disable=SC2317,SC2016 # functions are called by name and by eval
. "$(dirname "$0")/tap.sh"

for tool in chromium chromedriver curl jq; do
    command -v "$tool" >/dev/null ||
        tap_skip_all "$tool is not installed (see tools/packages)"
done

# ---- the browser ----

element='element-6066-11e4-a52e-4f735466cecf' # the standard's name for it
session=

# wd METHOD PATH [JSON]: one command; prints its value, fails on an error.
wd() {
    local reply

    reply=$(curl -s --max-time 60 -X "$1" "$driver$2" \
        -H 'Content-Type: application/json' ${3+-d "$3"}) || return
    jq -r '.value | if type == "object" and has("error")
        then error(.message) else . end' <<<"$reply"
}

# js SCRIPT ARGUMENT…: runs in the page; prints what it returns.
js() {
    local script=$1

    shift
    wd POST "$session/execute/sync" "$(jq -n --arg s "$script" \
        '{script: $s, args: $ARGS.positional}' --args -- "$@")"
}

find_one() {
    wd POST "$session/element" "$(jq -n --arg v "$1" \
        '{using: "css selector", value: $v}')" | jq -r ".[\"$element\"]"
}

# As a person does: fails on what is hidden, disabled or covered.
click() {
    local id

    id=$(find_one "$1") && wd POST "$session/element/$id/click" '{}'
}

# type_in SELECTOR TEXT: replaces the text and presses Enter.
type_in() {
    local id

    id=$(find_one "$1") && wd POST "$session/element/$id/clear" '{}' &&
        wd POST "$session/element/$id/value" \
            "$(jq -n --arg t "$2" '{text: ($t + "\ue007")}')"
}

# text SELECTOR: what a reader sees there; nothing if it is hidden.
text() {
    js 'const e = document.querySelector(arguments[0]);
        return e && e.checkVisibility() ? e.innerText : "";' "$1"
}

row() {
    js 'for (const r of document.querySelectorAll(`#${arguments[0]} tbody tr`))
          if (r.cells[0].innerText === arguments[1])
            return [...r.cells].map((c) => c.innerText).join(" | ");
        return "";' "$@"
}

has() { # COMMAND… WANT: the output has it
    local want=${*: -1}

    "${@:1:$#-1}" | grep -qF -- "$want"
}

# A button of an instance's row, by the name that screen readers speak.
button() {
    echo "#instances button[aria-label='$1']:not([hidden]):enabled"
}

shot() {
    [ -z "${VIRGA_SHOTS:-}" ] || wd GET "$session/screenshot" |
        base64 -d >"$VIRGA_SHOTS/$1.png"
}

size() {
    wd POST "$session/window/rect" "{\"width\":$1,\"height\":$2}"
}

quit_browser() {
    [ -z "$session" ] || wd DELETE "$session" >/dev/null
    session=
}
trap 'quit_browser; tap_exit' EXIT

start_browser() {
    local sandbox='[]' id

    [ "$(id -u)" != 0 ] || sandbox='["no-sandbox"]'
    # Nothing but this machine has a name or an address.
    id=$(wd POST "" "$(jq -n --argjson s "$sandbox" --arg d "$T/profile" '
      {capabilities: {alwaysMatch: {browserName: "chrome",
        acceptInsecureCerts: true, "goog:chromeOptions": {
          binary: "/usr/bin/chromium",
          args: (["headless=new", "disable-dev-shm-usage", "disable-gpu",
            "disable-background-networking", "disable-component-update",
            "user-data-dir=" + $d,
            "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
            + $s)}}}}')" | jq -r .sessionId) && [ "$id" != null ] &&
        session=/$id
}

# ---- the cloud ----

start_controller() {
    spawn "$top_builddir/virga-controllerd" --state-dir "$T/controller" \
        --listen "$1" --dashboard-dir "$top_srcdir/dashboard" \
        >"$T/controller.log" 2>&1
    controller=$spawned
    wait_for 20 grep -q 'msg="ready"' "$T/controller.log"
}

virga() {
    "$top_builddir/virga" "$@"
}

token() {
    virga token create "$@" -o json | jq -r .token
}

start_cloud() {
    start_controller 127.0.0.1:0 || return
    VIRGA_URL=$(sed -n 's/.*url=\(https:[^ ]*\).*/\1/p' "$T/controller.log")
    VIRGA_CA=$T/controller/pki/ca.crt
    VIRGA_TOKEN=$(cat "$T/controller/admin.token")
    export VIRGA_URL VIRGA_CA VIRGA_TOKEN
    virga node token -o json | jq -r .token >"$T/join" || return
    spawn "$top_builddir/virga-agentd" --state-dir "$T/agent" \
        --controller "$VIRGA_URL" --name node-1 --driver sim \
        --join-token-file "$T/join" >"$T/agent.log" 2>&1
    wait_for 20 has virga node show node-1 -o json '"up"' || return
    # What tells a kernel: "HdrS" at 0x202 (the boot protocol of Linux).
    { head -c 514 /dev/zero && printf HdrS && head -c 512 /dev/zero; } \
        >"$T/kernel"
    virga flavor create small --vcpus 1 --memory 256M --disk 1G &&
        virga image create tiny --kernel "$T/kernel" --public --wait &&
        virga project create acme
}

tap_ok "controller and agent start" start_cloud || tap_done
spawn chromedriver --port=0 >"$T/chromedriver.log" 2>&1
wait_for 20 grep -q 'successfully on port' "$T/chromedriver.log"
driver=http://127.0.0.1:$(sed -n 's/.*successfully on port \([0-9]*\).*/\1/p' \
    "$T/chromedriver.log")/session
tap_ok "browser starts" start_browser || tap_done
size 1200 1000 >/dev/null
tap_ok "page opens" wd POST "$session/url" "{\"url\":\"$VIRGA_URL/\"}"

# ---- signing in ----

tap_ok "sign-in form is shown" wait_for 5 has text '#login' 'Sign in'
tap_is "the token's field has the focus" \
    "$(js 'return document.activeElement.id')" token
shot sign-in
type_in '#token' vt1.wrong >/dev/null
tap_ok "wrong token: says so" wait_for 5 \
    has text '#error' 'This token is not valid'
tap_is "wrong token: nothing else is shown" "$(text '#app')" ""
type_in '#token' 'vt1.€' >/dev/null
tap_ok "what cannot be a token: says so" wait_for 5 \
    has text '#error' 'This is not a token.'
type_in '#token' "$VIRGA_TOKEN" >/dev/null
tap_ok "right token: who it is" wait_for 5 has text '#who' 'admin (operator)'
tap_is "right token: no error is left" "$(text '#error')" ""
tap_ok "empty cloud: says so" wait_for 5 \
    has text '#instances' 'No instances yet.'
tap_ok "operator sees the node" wait_for 5 has row nodes node-1 up
tap_ok "the token is in no address" eval \
    '! has js "return location.href + document.referrer" "$VIRGA_TOKEN"'

# ---- an instance's life ----

launch() {
    curl -sf --cacert "$VIRGA_CA" -H "Authorization: Bearer $VIRGA_TOKEN" \
        -H 'Content-Type: application/json' "$VIRGA_URL/v1/instances" \
        -d "{\"name\":\"$1\",\"image\":\"tiny\",\"flavor\":\"small\"}"
}

tap_ok "instance is created through the API" launch web-1
tap_ok "it shows up and runs" wait_for 15 has row instances web-1 \
    'web-1 | running | small | tiny | default | node-1'
launch web-2 >/dev/null
wait_for 15 has row instances web-2 running
shot instances
tap_ok "usage grows" wait_for 10 eval \
    'row usage web-1 | grep -qE "^web-1 \| [1-9][0-9]* s \| 0\.[0-9]{3}"'
tap_ok "usage has its sum" eval 'text "#usage-sum" | grep -qE "^[1-9][0-9]* s"'
tap_ok "its creation is among the operations" has text '#operations' \
    'instance.create'

id=$(virga instance show web-1 -o json | jq -r .id)
log=$T/agent/instances/$id/console.log
printf '\033[31m<img src=x onerror="document.title=1"></pre><b>bold\033[0m\n' \
    >>"$log"
tap_ok "log: is opened" click "$(button 'Log web-1')"
tap_ok "log: shows what the guest wrote" wait_for 5 \
    has text '#log-text' 'web-1 ready'
tap_ok "log: markup is text, colours are dropped" has text '#log-text' \
    '<img src=x onerror="document.title=1"></pre><b>bold'
tap_is "log: nothing in it became an element" "$(js \
    'return document.querySelector("#log-text").childElementCount')" 0
echo 'written later' >>"$log"
tap_ok "log: goes on while it is open" wait_for 10 \
    has text '#log-text' 'written later'
shot log
tap_ok "log: is closed" click '#log-close'

tap_ok "stop: asks first" eval \
    'click "$(button "Stop web-1")" && has text "#confirm" "Stop web-1?"'
shot confirm
click '#confirm [data-answer=no]' >/dev/null
tap_is "stop: cancelled, nothing happens" \
    "$(virga instance show web-1 -o json | jq -r .state)" running
click "$(button 'Stop web-1')" >/dev/null
tap_ok "stop: confirmed" click '#confirm [data-answer=yes]'
tap_ok "stop: its end is seen" wait_for 15 has row instances web-1 stopped
tap_is "stop: the controller says the same" \
    "$(virga instance show web-1 -o json | jq -r .state)" stopped
tap_ok "start: by a click, without a question" eval \
    'click "$(button "Start web-1")" &&
     wait_for 15 has row instances web-1 running'
tap_ok "delete: the row goes" eval 'click "$(button "Delete web-1")" &&
    click "#confirm [data-answer=yes]" &&
    wait_for 15 eval "[ -z \"\$(row instances web-1)\" ]"'
tap_is "delete: the focus is not lost to a dead row" \
    "$(js 'return document.activeElement.isConnected')" true

# ---- trouble ----

port=${VIRGA_URL##*:}
kill "$controller"
tap_ok "controller stops in good order while the page asks" eval \
    'wait_for 15 eval "! running $controller" && wait "$controller"'
tap_ok "controller gone: says so" wait_for 10 \
    has text '#error' 'The controller cannot be reached.'
tap_ok "controller gone: what was known stays" has row instances web-2 running
shot outage
start_controller "127.0.0.1:$port"
tap_ok "controller back: goes on by itself" wait_for 30 eval \
    '[ -z "$(text "#error")" ] && has row nodes node-1 up'

# ---- a tenant on a phone ----

click '#sign-out' >/dev/null
tap_is "signed out: nothing is kept" \
    "$(js 'return sessionStorage.length + document.querySelectorAll(
           "tbody tr").length')" 0
member=$(token phone --role member --project acme)
VIRGA_TOKEN=$member launch mine >/dev/null
# The narrowest window that a desktop's Chromium makes is wider than a phone:
# its emulation is not.
wd POST "$session/goog/cdp/execute" '{"cmd":
    "Emulation.setDeviceMetricsOverride", "params": {"width": 360,
    "height": 740, "deviceScaleFactor": 2, "mobile": true}}' >/dev/null
type_in '#token' "$member" >/dev/null
tap_ok "tenant: sees its own" wait_for 15 has row instances mine running
tap_is "tenant: and no other's" "$(row instances web-2)" ""
tap_is "tenant: has no nodes" "$(text '#nodes')" ""
tap_ok "phone: the page is no wider than the screen" eval \
    '[ "$(js "return document.documentElement.scrollWidth")" -le 360 ]'
tap_ok "phone: the buttons are within reach" eval \
    'click "$(button "Reboot mine")" && click "#confirm [data-answer=yes]" &&
     wait_for 15 has row instances mine running'
shot phone
wd POST "$session/goog/cdp/execute" '{"cmd": "Emulation.setEmulatedMedia",
    "params": {"features": [{"name": "prefers-color-scheme",
    "value": "dark"}]}}' >/dev/null
tap_is "dark where the reader prefers it" "$(js 'return getComputedStyle(
    document.body).backgroundColor')" 'rgb(17, 23, 29)'
shot phone-dark
virga token list -o json | jq -r '.[] | select(.name == "phone") | .id' |
    while read -r t; do virga token delete "$t"; done
tap_ok "revoked token: signed out, with the reason" wait_for 10 eval \
    'has text "#error" "This token is not valid" && has text "#login" Token'

# ---- what is served ----

page_headers() {
    curl -s --cacert "$VIRGA_CA" -D - -o /dev/null "$VIRGA_URL/"
}
tap_ok "scripts and styles from this server only" has page_headers \
    "default-src 'none'; script-src 'self'; style-src 'self'"
for file in .. %2e%2e%2findex.html .hidden automake.mk ../style.css; do
    tap_is "no other file: $file" "$(curl -s --path-as-is -o /dev/null \
        --cacert "$VIRGA_CA" -w '%{http_code}' \
        "$VIRGA_URL/dashboard/$file")" 404
done

quit_browser
tap_done
