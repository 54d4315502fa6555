#!/bin/bash
# 13-shellcheck.t - every shell script is clean under shellcheck.
. "$(dirname "$0")/tap.sh"

command -v shellcheck >/dev/null ||
    tap_skip_all "shellcheck is missing (package shellcheck)"
cd "$top_srcdir" || exit 1

# By their first line, wherever they are; not what a build left behind.
scripts=$(find . -maxdepth 3 \
    \( -name node_modules -o -name .git -o -name .virga -o -name build-aux \
    -o -name 'build*' -type d -o -name 'virga-[0-9]*' \) -prune -o \
    -type f -size -200k -print | sort | while read -r file; do
    case $file in
    ./configure | ./config.status) continue ;;
    */lib.sh | */tap.sh) echo "$file" ;;
    *) head -n 1 "$file" | grep -aqE '^#!/(usr/)?bin/(env )?(ba|da)?sh' &&
        echo "$file" ;;
    esac
done)
[ -n "$scripts" ] || tap_ok "scripts are found" false
for script in $scripts; do
    tap_ok "$script" shellcheck -S warning -x -P SCRIPTDIR -P tests/integ "$script"
done
tap_done
