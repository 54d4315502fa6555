# lib.sh - what `check` and `quickstart` share: packages, builds, steps.
# shellcheck shell=bash disable=SC2154 # the caller sets $top
#
# Every step writes all of its output to a log file of its own and shows one
# line. A step that fails says which it was, why (the log's last lines) and
# where the log is.

# Never a question, never a prompt, whatever the terminal.
export DEBIAN_FRONTEND=noninteractive

# packages_of GROUP...: the packages of these groups in tools/packages.
packages_of() {
    local group

    for group in "$@"; do
        sed -n "s/^$group: *//p" "$top/tools/packages"
    done | tr -s ' ' '\n' | sort -u
}

missing_packages() {
    local name

    for name in $(packages_of "$@"); do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == \
            installed ]] || echo "$name"
    done
}

apt_install() {
    # Adds only: what would remove a package is for a person to decide.
    apt-get -q install -y --no-install-recommends --no-remove "$@" </dev/null
}

# install_packages GROUP...: those that are missing; asks apt nothing if none
# are.
install_packages() {
    install_missing "$@" || return
    [[ " $* " != *" run "* ]] || libvirt_user
}

# Debian's libvirt, run as root, does not open without its own user and group,
# which libvirt-daemon-system makes; that package also wants systemd and its
# own daemon. The numbers are those that Debian has reserved for them.
libvirt_user() {
    getent group libvirt-qemu >/dev/null ||
        groupadd --system --gid 64055 libvirt-qemu || return
    getent passwd libvirt-qemu >/dev/null ||
        useradd --system --uid 64055 --gid libvirt-qemu \
            --home-dir /var/lib/libvirt --no-create-home \
            --shell /usr/sbin/nologin libvirt-qemu
}

install_missing() {
    local missing=()

    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: nothing is installed; needed are:"
        packages_of "$@" | xargs echo
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    if [[ ${#missing[@]} == 0 ]]; then
        echo "all packages are there"
        return 0
    fi
    if [[ $(id -u) != 0 ]]; then
        echo "missing packages, and only root can install them; as root:"
        echo "apt-get install --no-install-recommends ${missing[*]}"
        return 1
    fi
    echo "installing: ${missing[*]}"
    apt_install "${missing[@]}" && return
    # A fresh machine has no package lists, an old one has outdated ones.
    echo "once more with fresh package lists"
    apt-get -q update </dev/null && apt_install "${missing[@]}"
}

# make_configure: writes ./configure if it is missing or out of date.
make_configure() {
    [[ -x $top/configure && -f $top/Makefile.in &&
        ! $top/configure.ac -nt $top/configure ]] ||
        (cd "$top" && autoreconf -i)
}

# configure_in FOLDER ARGUMENT...: unless it was configured so already.
configure_in() {
    local dir=$1

    shift
    mkdir -p "$dir"
    if [[ -f $dir/Makefile && ! $top/configure -nt $dir/config.status &&
        $(cat "$dir/.configured" 2>/dev/null) == "$*" ]]; then
        echo "configured already"
        return 0
    fi
    (cd "$dir" && "$top/configure" "$@" && echo "$*" >.configured)
}

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

# elapsed FROM_MS: "12.3s"
elapsed() {
    local ms=$(($(now_ms) - $1))

    printf '%d.%ds' $((ms / 1000)) $((ms % 1000 / 100))
}

# run_step LOG NAME COMMAND...: one line with its time; 0 when it succeeded.
# On a terminal the line shows up at once and is completed at the end.
run_step() {
    local log=$1 name=$2 t0 status=0

    shift 2
    t0=$(now_ms)
    mkdir -p "$(dirname "$log")"
    [[ -t 1 ]] && printf '   … %s' "$name"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [[ -t 1 ]] && printf '\r\033[K'
    if [[ $status == 0 ]]; then
        printf '   ok  %7s  %s\n' "$(elapsed "$t0")" "$name"
        return 0
    fi
    printf 'FAILED %7s  %s (exit status %d)\n' "$(elapsed "$t0")" "$name" \
        "$status"
    # Of many tests at once, those that failed say more than the last lines.
    grep -E '^(FAIL|ERROR): ' "$log" | head -n 60 | tr -d '\r' |
        sed 's/^/       | /'
    tail -n 12 "$log" | tr -d '\r' | sed 's/^/       | /'
    echo "       whole log: $log"
    return "$status"
}
