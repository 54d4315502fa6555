#!/bin/bash
# 35-openapi.t - the API's document, by programs that others wrote: Spectral
# for the document, ajv for each reply of a live controller to requests that
# fast-check makes from the document (tests/openapi/live.mjs), right and wrong
# ones. OPENAPI_RUNS (requests for each operation) and OPENAPI_SEED repeat or
# deepen a run.
# shellcheck disable=SC2154,SC2089,SC2090 # set by cloud.sh and npm.sh; JSON
. "$(dirname "$0")/cloud.sh"
. "$(dirname "$0")/npm.sh"
for name in curl jq node npm; do
    command -v "$name" >/dev/null || tap_skip_all "$name is missing"
done
runs=${OPENAPI_RUNS:-120}
seed=${OPENAPI_SEED:-$(date +%j)} # another one each day, and it is told

tap_ok "the checkers are installed" npm_install tests/openapi || tap_done
cp "$top_srcdir/schemas/openapi.json" "$npm_dir/"
lint() {
    (cd "$npm_dir" && node_modules/.bin/spectral lint --fail-severity=warn \
        --ruleset .spectral.yaml openapi.json)
}
tap_ok "Spectral has nothing to say against the document" lint

tap_is "each operation has a success" "$(jq -r '.paths[][] | select([.responses |
    keys[] | select(test("^(101|2..)$"))] | length == 0) | .operationId' \
    "$npm_dir/openapi.json")" ""

# Nobody else is here to be kept from harm.
tap_ok "the controller starts" cloud_controller --rate-limit 0 \
    --address-rate-limit 0 --connections-per-second 0 || tap_done
tap_ok "an agent joins" cloud_agent n1 sim || tap_done

# Two tenants with the same things; only the names tell them apart.
printf 'MZ' >"$T/kernel"
head -c 1022 /dev/zero >>"$T/kernel"
printf HdrS | dd of="$T/kernel" bs=1 seek=514 conv=notrunc status=none

make() { # PATH JSON: the object's id
    rest_ok 201 POST "$1" -d "$2" >&2 && field .id
}
furnish() { # WORD PROJECT TOKEN
    VIRGA_TOKEN=$3
    make /v1/images "{\"name\":\"$1-image\",\"parts\":[{\"name\":\"kernel\"}]}" &&
        rest_ok 200 PUT "/v1/images/$1-image/parts/kernel" -T "$T/kernel" \
            -H 'Content-Type: application/octet-stream' >&2 &&
        make /v1/instances "{\"name\":\"$1-one\",\"image\":\"$1-image\",\"flavor\":\"small\"}" &&
        make /v1/instances "{\"name\":\"$1-two\",\"image\":\"$1-image\",\"flavor\":\"small\"}"
}
token() { # NAME ROLE [PROJECT]
    rest_ok 201 POST /v1/tokens -d "$(jq -n --arg n "$1" --arg r "$2" \
        --arg p "${3:-}" '{name:$n,role:$r} + if $p == "" then {} else {project:$p} end')" \
        >&2 && field .token
}
furnished() {
    local role

    rest_ok 201 POST /v1/flavors -d '{"name":"small","vcpus":1,"memory_bytes":16777216,"disk_bytes":0}'
    rest_ok 201 POST /v1/projects -d '{"name":"acme"}' || return
    rest_ok 201 POST /v1/projects -d '{"name":"canary-project"}' || return
    field .id >"$T/canaries"
    for role in reader member admin billing; do
        token "$role" "$role" acme >"$T/token.$role" || return
    done
    rest_ok 201 POST /v1/users -d "$LOGIN_USER" || return
    token "canary-token" admin canary-project >"$T/token.canary" || return
    (furnish canary canary-project "$(cat "$T/token.canary")") >>"$T/canaries" ||
        return
    (furnish acme acme "$(cat "$T/token.admin")") >"$T/names" || return
    # Its names may be asked for, too; some are never said to anybody, so that
    # where they show they came from there.
    (furnish hidden canary-project "$(cat "$T/token.canary")") >>"$T/canaries" ||
        return
    printf '%s\n' acme-image acme-one acme-two acme small kernel disk n1 \
        default canary-image canary-one canary-two canary-project canary-token |
        cat - "$T/canaries" >>"$T/names"
    printf '%s\n' hidden-image hidden-one hidden-two >>"$T/canaries"
}
LOGIN=$(jq -nc '{user: "fuzz-user", password: "correct horse battery"}')
LOGIN_USER=$(jq -c '{name: .user, password, project: "acme", role: "admin"}' \
    <<<"$LOGIN")
export LOGIN
tap_ok "two tenants have the same" furnished || tap_done

tap_ok "the committed document is the live one" eval \
    'rest_ok 200 GET /v1/openapi.json && diff <(jq -S . "$body") <(jq -S . "$npm_dir/openapi.json")'

list() { jq -R . "$@" | jq -sc .; }
NAMES=$(list "$T/names")
CANARIES=$(list "$T/canaries")
TOKENS=$(jq -n --arg reader "$(cat "$T/token.reader")" \
    --arg member "$(cat "$T/token.member")" \
    --arg admin "$(cat "$T/token.admin")" \
    --arg billing "$(cat "$T/token.billing")" --arg bad vt1.00 '$ARGS.named')
export NAMES CANARIES TOKENS
tap_diag "$runs requests for each operation, seed $seed"
node "$npm_dir/live.mjs" "$npm_dir/openapi.json" "$runs" "$seed" \
    >"$T/lines" 2>"$T/live.log"
status=$?
[ "$status" = 0 ] || tap_diag "$(tail -n 20 "$T/live.log")"
while IFS= read -r line; do
    fault=$(jq -r '.fault // empty' <<<"$line")
    [ -z "$fault" ] || tap_diag "$(jq -r '"\(.fault)\nrepeat: OPENAPI_SEED=\(.seed)\n\(.counterexample)"' <<<"$line")"
    tap_is "$(jq -r '"\(.operation): \(.statuses | to_entries | map("\(.key)x\(.value)") | join(" "))"' <<<"$line")" \
        "${fault:+fault}" ""
done <"$T/lines"
tap_is "every operation was called" "$(wc -l <"$T/lines")" \
    "$(jq '[.paths[] | keys[]] | length' "$npm_dir/openapi.json")"
tap_is "the checker came to its end" "$status" \
    "$(grep -q '"fault"' "$T/lines" && echo 1 || echo 0)"
rest_ok 200 GET /healthz
tap_is "the controller lives, and as the same process" \
    "$http $(running "$controller" && echo yes)" "200 yes"
tap_done
