#!/bin/bash
# 61-docs.t - the guides and man pages say what is there.
. "$(dirname "$0")/tap.sh"
cd "$top_srcdir" || exit 1

# keys PROGRAM: every option that the program itself knows, without dashes.
keys() {
    "$top_builddir/$1" --help | sed -n 's/^  --\([a-z-]*\) .*/\1/p'
}

# lacks PAGE: reads words, prints those that the page lacks.
lacks() {
    local page word

    page=$(sed 's/\\-/-/g; s/\\f.//g' "docs/man/$1")
    while read -r word; do
        grep -qE -- "(^|[^a-z-]|--)$word([^a-z-]|\$)" <<<"$page" || echo "$word"
    done
}

for program in virga-controllerd virga-agentd; do
    keys "$program" >"$T/$program.keys"
    tap_ok "$program: knows options" grep -qx log-level "$T/$program.keys"
    tap_is "virga-conf(5) names every key of $program" \
        "$(grep -vxE 'help|version' "$T/$program.keys" | lacks virga-conf.5)" ""
    tap_is "$program(8) names every key" \
        "$(grep -vxE 'help|version' "$T/$program.keys" |
            lacks "$program.8")" ""
done

# Of programs whose options are no settings: every --option of the help.
options() {
    "$top_builddir/$1" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u
}
vmm_words() { # of options and requests: "[,name=NAME]", "tap=NAME"
    {
        "$top_builddir/virga-vmm" --help
        "$top_builddir/virga-vmm" ctl --help
    } | grep -oE '[[ ,|][a-z_]+=|\[,[a-z]+\]' | grep -oE '[a-z_]+' | sort -u
}
vmm_requests() {
    "$top_builddir/virga-vmm" ctl --help | sed 1,3d |
        grep -oE '(^  |, )[a-z][a-z-]+' | grep -oE '[a-z-]+$' | sort -u
}
options virga-vmm >"$T/vmm.options"
vmm_words >"$T/vmm.words"
vmm_requests >"$T/vmm.requests"
tap_ok "virga-vmm: knows options" grep -qx -- --hugepages "$T/vmm.options"
tap_ok "virga-vmm: they have words" grep -qx iops "$T/vmm.words"
tap_ok "virga-vmm: knows requests" grep -qx power-button "$T/vmm.requests"
tap_is "virga-vmm(1) names every option" \
    "$(sed 's/^--//' "$T/vmm.options" | lacks virga-vmm.1)" ""
tap_is "virga-vmm(1) names every word of theirs" \
    "$(lacks virga-vmm.1 <"$T/vmm.words")" ""
tap_is "virga-vmm(1) names every request" \
    "$(lacks virga-vmm.1 <"$T/vmm.requests")" ""
options virga-usernet >"$T/usernet.options"
tap_ok "virga-usernet: knows options" grep -qx -- --isolated \
    "$T/usernet.options"
tap_is "virga-usernet(8) names every option" \
    "$(sed 's/^--//' "$T/usernet.options" | lacks virga-usernet.8)" ""

for page in docs/man/*.[1-9]; do
    if command -v man >/dev/null; then
        tap_is "$page: formats without a warning" "$(man --warnings \
            -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)" ""
    else
        tap_skip "$page: formats without a warning" "man is not installed"
    fi
done

# Files that the guides point to.
for guide in README.md docs/*.md hypervisor-backend/*/README.md; do
    tap_is "$guide: its links lead somewhere" "$(
        grep -oE '\]\([^)#]+' "$guide" | cut -c 3- | grep -v '^https\?:' |
            while read -r to; do
                [ -e "$(dirname "$guide")/$to" ] || echo "$to"
            done)" ""
done

# What the guides call by name: functions, and tests among the invariants.
for guide in README.md docs/ARCHITECTURE.md docs/HACKING.md; do
    tap_is "$guide: its functions exist" "$(
        grep -oE '`[a-z_0-9]+\(\)`' "$guide" | tr -d '`()' | sort -u |
            while read -r name; do
                grep -rqwF --include='*.[ch]' -- "$name" common api \
                    scheduler metering hypervisor-backend agentd \
                    controllerd cli || case $name in
                    mkostemp | strcspn) ;; # of the C library
                    *) echo "$name" ;;
                    esac
            done)" ""
done
tap_is "docs/ARCHITECTURE.md: the tests of the invariants exist" "$(
    grep -oE '`([a-z_0-9]+__[a-z_0-9]+|[0-9]{2}-[a-z-]+\.t)`' \
        docs/ARCHITECTURE.md | tr -d '`' | sort -u | while read -r name; do
        case $name in
        *.t) [ -e "tests/integ/$name" ] || echo "$name" ;;
        *) grep -rqw -- "^$name" tests/unit || echo "$name" ;;
        esac
    done)" ""
tap_done
