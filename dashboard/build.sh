#!/bin/bash
# build.sh - builds the page as it is committed under dist/: with the locked
# packages, in a copy of this folder in the build folder, which it prints.
#
#   build.sh BUILD-FOLDER
set -euo pipefail

top_srcdir=$(cd "$(dirname "$0")/.." && pwd)
top_builddir=$(cd "${1:?usage: build.sh BUILD-FOLDER}" && pwd)
# shellcheck source=tests/integ/npm.sh
. "$top_srcdir/tests/integ/npm.sh"

copy=$top_builddir/npm/dashboard
# What was removed from the source must not stay in the copy.
rm -rf "$copy/src" "$copy/test" "$copy/dist"
mkdir -p "$top_builddir/npm/schemas"
cp "$top_srcdir/schemas/openapi.json" "$top_builddir/npm/schemas/"
npm_install dashboard >&2
cd "$npm_dir"
rm -rf dist
npm run --silent types >&2
npx --no-install vite build --logLevel warn >&2
echo "$npm_dir"
