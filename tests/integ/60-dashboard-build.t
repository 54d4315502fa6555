#!/bin/bash
# 60-dashboard-build.t - the page's source: types, style, unit tests; and that
# what is committed under dashboard/dist is what the source builds, byte for
# byte.
# shellcheck disable=SC2154 # set by tap.sh
. "$(dirname "$0")/tap.sh"

for tool in node npm; do
    command -v "$tool" >/dev/null ||
        tap_skip_all "$tool is not installed (see docs/DEPENDENCIES.md)"
done

dist=$top_srcdir/dashboard/dist
build() {
    copy=$("$top_srcdir/dashboard/build.sh" "$top_builddir")
}
tap_ok "the page is built" build || tap_done
tap_ok "dist/ is what the source builds (else: make dashboard)" \
    diff -r "$dist" "$copy/dist"

# Each case of the unit tests is one of this test.
unit_tests() {
    local line status=0

    (cd "$copy" && node_modules/.bin/vitest run --reporter=tap-flat) \
        >"$T/vitest.log" 2>&1 || status=$?
    while read -r line; do
        case $line in
        "ok "*" - "*) tap_result 0 "${line#* - }" ;;
        "not ok "*" - "*) tap_result 1 "${line#* - }" ;;
        esac
    done < <(sed 's/ # time=.*//' "$T/vitest.log")
    return "$status"
}

in_copy() {
    (cd "$copy" && "$@")
}
tap_ok "types are right" in_copy node_modules/.bin/tsc
tap_ok "eslint finds nothing" in_copy node_modules/.bin/eslint .
tap_ok "layout is prettier's" in_copy node_modules/.bin/prettier --check .
tap_ok "layout of the browser's tests, too" in_copy \
    node_modules/.bin/prettier --check --config .prettierrc.json \
    "$top_srcdir"/tests/browser/*.mjs
unit_tests
tap_is "unit tests end well" "$?" 0

# ---- what is served ----

tap_ok "no inline script or style" \
    eval '! grep -nE "<style|style=|<script>|javascript:| on[a-z]+=" \
    "$dist/index.html"'
tap_ok "nothing names an outside host" eval '! grep -noE \
    "(https?:)?//[a-z0-9.-]+\.[a-z]+" "$dist"/*.{html,css,js} |
    grep -v "www.w3.org/\(1998\|1999\|2000\)"'
tap_ok "names of all but index.html have a hash" eval \
    '! ls "$dist" | grep -vE "^index\.html$|-[0-9a-f]{8}\.(js|css|svg)$"'
tap_done
