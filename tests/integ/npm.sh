# npm.sh - programs from npm's registry for tests in bash: source it behind
# tap.sh.
#
#   npm_install FOLDER   copies FOLDER of the source, which has a package.json
#                        and its lock file, to a folder of the build and
#                        installs there exactly what is locked; its name is in
#                        $npm_dir. Downloads are kept in $VIRGA_CACHE.
# shellcheck shell=bash

npm_install() {
    local from=$top_srcdir/$1 stamp

    npm_dir=$top_builddir/npm/$1
    mkdir -p "$npm_dir"
    stamp=$(cat "$from/package.json" "$from/package-lock.json" | sha256sum)
    (cd "$from" && find . -name node_modules -prune -o -type f -print0 |
        xargs -0 cp --parents -t "$npm_dir") || return
    [ "$(cat "$npm_dir/.installed" 2>/dev/null)" != "$stamp" ] || return 0
    # Nothing of what is installed is run by the installation.
    (cd "$npm_dir" && npm ci --ignore-scripts --no-audit --no-fund \
        --cache "${VIRGA_CACHE:-$top_builddir/cache}/npm" --prefer-offline) ||
        return
    echo "$stamp" >"$npm_dir/.installed"
}
