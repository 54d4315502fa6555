#!/bin/bash
# 60-dashboard.t - the page in a real browser, against a live controller and
# an agent with the simulated hypervisor: tests/browser/dashboard.mjs, driven
# by Playwright. Only the packages come from elsewhere, once.
#
#   VIRGA_SHOTS=FOLDER   leaves screenshots there
# shellcheck disable=SC2154 # set by tap.sh and npm.sh
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/npm.sh"

for tool in chromium node npm; do
    command -v "$tool" >/dev/null ||
        tap_skip_all "$tool is not installed (see docs/DEPENDENCIES.md)"
done
top_builddir=$(cd "$top_builddir" && pwd)
npm_install tests/browser >"$T/npm.log" 2>&1 || {
    tap_ok "the browser's driver is installed" tail -n 5 "$T/npm.log" false
    tap_done
}
export top_srcdir top_builddir
rm -rf "$T" && tap_finished=yes
exec node "$npm_dir/dashboard.mjs"
