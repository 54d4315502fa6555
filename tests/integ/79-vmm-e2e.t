#!/bin/bash
# 79-vmm-e2e.t - instances with the driver vmm from end to end: e2e-vmm.sh,
# run with all of the cloud's programs in a test host that has virtualization
# with nested paging and a file system of its own. What it says there is said
# here.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2154 # set by testhost.sh
. "$(dirname "$0")/tap.sh"
for name in curl jq python3 mke2fs; do
    command -v "$name" >/dev/null || tap_skip_all "$name is missing"
done
for name in virga virga-agentd virga-controllerd virga-usernet virga-vmm; do
    [ -x "$top_builddir/$name" ] || tap_skip_all "$name is not built"
done
. "$(dirname "$0")/testhost.sh"

root=$T/root
programs=(awk basename bash cat chmod cp curl cut date diff dirname env find
    grep head id jq ls mkdir mktemp mv readlink rm sed seq sh sha256sum sleep
    sort stat tail test tr uname wc)

# Python as far as the tests' helpers need it, where it looks for itself.
python_files() {
    python3 -I -S -c '
import os, pty, re, select, signal, site, sys, termios, time
import encodings.latin_1, encodings.unicode_escape, encodings.ascii
print(os.path.realpath(sys.executable))
for m in list(sys.modules.values()):
    for f in getattr(m, "__file__", None), getattr(m, "__cached__", None):
        if f and os.path.isabs(f) and os.path.exists(f):
            print(f)'
}

add() { # SOURCE [PATH]: into the root file system
    host=$root testhost_add "$1" "${2:-$1}"
}

make_root() {
    local name file

    mkdir -p "$root"/{bin,dev,etc,proc,run,sys,tmp,virga/build/demo-image} &&
        mkdir -p "$root/virga/src/tests/integ" || return
    for name in "${programs[@]}"; do
        add "$(type -P "$name")" "/bin/$name" || return
    done
    python_files >"$T/python.files" || return
    while read -r file; do
        add "$file" || return
    done <"$T/python.files"
    ln -s "$(head -n 1 "$T/python.files")" "$root/bin/python3"
    for name in virga virga-agentd virga-controllerd virga-usernet virga-vmm
    do
        add "$top_builddir/$name" "/virga/build/$name" || return
    done
    cp "$image"/{vmlinuz,initrd.img,cmdline} "$root/virga/build/demo-image/"
    cp "$top_srcdir"/tests/integ/{tap,cloud,e2e,e2e-life,e2e-vmm}.sh \
        "$top_srcdir/tests/integ/pty-talk.py" "$root/virga/src/tests/integ/" ||
        return
    add "$top_builddir/tests/unit/test-hv-vmm-spawn" \
        /bin/test-hv-vmm-spawn || return
    cp "$host/bin/busybox" "$root/bin/"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
    cat >"$root/main" <<'MAIN'
export PATH=/bin VIRGA_BUILD=/virga/build HOME=/tmp
busybox mkdir -p /dev/pts
busybox mount -t devpts -o mode=620 devpts /dev/pts
busybox mount -t cgroup2 none /sys/fs/cgroup
busybox hostname host
# Where one processor is all there is, what may happen between two does.
/bin/test-hv-vmm-spawn >/tmp/unit 2>&1
echo "unit: $?"
bash /virga/src/tests/integ/e2e-vmm.sh </dev/null 2>&1 | sed -u 's/^/tap: /'
echo "host: done"
busybox poweroff -f
MAIN
    mke2fs -q -F -t ext4 -L root -d "$root" "$T/disk.img" 1G
}

testhost_modules virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev \
    virtio virtio_pci virtio_blk
# shellcheck disable=SC2034 # for testhost_run
testhost_memory=2048 testhost_seconds=1500
tap_ok "the test host is made" testhost_make \
    "$top_srcdir/tests/vmm/e2e-init" || tap_done
tap_ok "its root file system is made" make_root || tap_done
tap_ok "the test host runs to its end" testhost_run \
    -drive "file=$T/disk.img,format=raw,if=none,id=root,cache=unsafe" \
    -device virtio-blk-pci,drive=root
tap_ok "with nested paging" saw "host: nested paging Y"
tap_ok "test-hv-vmm-spawn passes there" saw "unit: 0"

# Its own results, counted anew; its plan says whether it came to its end.
sed -n 's/^tap: //p' "$T/all" >"$T/tap"
results=0
while IFS= read -r line; do
    case $line in
    "ok "*) tap_result 0 "${line#ok * - }" ;;
    "not ok "*) tap_result 1 "${line#not ok * - }" ;;
    *)
        tap_diag "$line"
        continue
        ;;
    esac
    results=$((results + 1))
done <"$T/tap"
tap_is "all that was planned there was done" "$(grep '^1\.\.' "$T/tap")" \
    "1..$results"
tap_done
