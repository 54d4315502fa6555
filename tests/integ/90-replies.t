#!/bin/bash
# 90-replies.t - every reply that the other integration tests had from the API
# is one that the API's document has (tests/openapi/replies.mjs: ajv). It runs
# after them (replies.mk).
# shellcheck disable=SC2154 # set by tap.sh and npm.sh
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/npm.sh"
for name in jq node npm; do
    command -v "$name" >/dev/null || tap_skip_all "$name is missing"
done
tap_ok "the checkers are installed" npm_install tests/openapi || tap_done

node "$npm_dir/replies.mjs" "$top_srcdir/schemas/openapi.json" \
    "${VIRGA_RECORD:-$top_builddir/npm/replies}" >"$T/lines" 2>"$T/log"
status=$?
[ "$status" = 0 ] || tap_diag "$(tail -n 20 "$T/log")"
while IFS= read -r line; do
    tap_is "$(jq -r '"\(.operation): \(.statuses | to_entries | map("\(.key)x\(.value)") | join(" "))"' <<<"$line")" \
        "$(jq -r '.faults[]' <<<"$line")" ""
done < <(jq -c 'select(.operation)' "$T/lines")
all=$(jq -r 'select(.all != null) | .all' "$T/lines")
tap_diag "$all replies; none of: $(jq -r \
    'select(.all != null) | .without | join(", ")' "$T/lines")"
tap_ok "replies were kept" [ "${all:-0}" -gt 0 ]
tap_is "the checker came to its end" "$status" \
    "$(jq -e 'select(.faults | numbers > 0)' "$T/lines" >/dev/null && echo 1 || echo 0)"
tap_done
