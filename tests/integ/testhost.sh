# testhost.sh - a test host with hardware virtualization on any machine: QEMU
# emulates an AMD machine with SVM and nested paging, in which a stock Debian
# kernel with kvm_amd and our own programs run. Source it after tap.sh.
#
#   testhost_make INIT [FILE…]  a host in $host whose first program is the
#                               script INIT; each FILE (a program of ours, or
#                               SOURCE:/PATH/IN/HOST) comes along with the
#                               libraries that it is linked with
#   testhost_modules NAME…      more modules in /lib/NAME.ko; before make
#   testhost_run [QEMU-OPTION…] boots it and waits for its end; what it said
#                               is in $T/all, without carriage returns
#   saw TEXT                    whether it said that
#
# In the host: /bin/busybox, /lib/{irqbypass,kvm,kvm-amd,tun}.ko, /vmlinuz,
# /vmlinux (ELF), /initrd.img and /cmdline of the demo guest. INIT loads the
# modules itself (tests/vmm/host-lib does) and powers off at the end.
# shellcheck shell=bash

command -v qemu-system-x86_64 >/dev/null ||
    tap_skip_all "qemu-system-x86_64 is missing"
command -v dpkg-deb >/dev/null || tap_skip_all "needs Debian's packages"
image=$top_builddir/demo-image
"$top_srcdir/tools/virga-demo-image" "$image" >"$T/image.log" 2>&1 ||
    tap_skip_all "no demo image: $(tail -n 1 "$T/image.log")"

host=$T/host
log=$T/host.log
testhost_wanted=(irqbypass kvm kvm-amd tun)
mkdir -p "$host"/{bin,lib,tmp,etc} "$T/busybox" "$T/kernel"

# testhost_newest NAME: the image's own packages, as its cache holds them.
testhost_newest() {
    find "${VIRGA_CACHE:-$image/cache}" -name "$1_*.deb" -printf '%T@ %p\n' |
        sort -n | tail -n 1 | cut -d ' ' -f 2-
}

testhost_modules() {
    testhost_wanted+=("$@")
}

# testhost_add SOURCE PATH-IN-HOST: a file, and where it is a program, the
# loader and libraries, where it looks for them.
testhost_add() {
    local file

    mkdir -p "$host${2%/*}" && cp -L "$1" "$host$2" || return 1
    ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r file; do
        [ -e "$host$file" ] && continue
        mkdir -p "$host${file%/*}" && cp -L "$file" "$host$file" || return 1
    done
}

testhost_make() {
    local init=$1 name file patterns=()

    shift
    dpkg-deb --fsys-tarfile "$(testhost_newest busybox-static)" |
        tar -x -C "$T/busybox" --wildcards '*/busybox' || return 1
    for name in "${testhost_wanted[@]}"; do
        patterns+=("*/$name.ko")
    done
    dpkg-deb --fsys-tarfile "$(testhost_newest 'linux-image-*-cloud-amd64')" |
        tar -x -C "$T/kernel" --wildcards "${patterns[@]}" || return 1
    cp "$T/busybox/bin/busybox" "$host/bin/" || return 1
    for name in "${testhost_wanted[@]}"; do
        find "$T/kernel" -name "$name.ko" -exec cp {} "$host/lib/" \;
        [ -e "$host/lib/$name.ko" ] || return 1
    done
    cp "$image"/{vmlinuz,initrd.img} "$host/" &&
        "$top_builddir/tests/vmm/vmlinux" "$image/vmlinuz" "$host/vmlinux" &&
        cp "$top_srcdir/tests/vmm/host-lib" "$host/lib/host-lib" &&
        cp "$init" "$host/init" && chmod 755 "$host/init" || return 1
    echo "$(cat "$image/cmdline") mitigations=off nokaslr" >"$host/cmdline"
    for file in "$@"; do
        case $file in
        *:/*) testhost_add "${file%%:*}" "${file#*:}" || return 1 ;;
        *) testhost_add "$file" "/bin/${file##*/}" || return 1 ;;
        esac
    done
    (cd "$host" && find . | "$T/busybox/bin/busybox" cpio -o -H newc) \
        >"$T/host.img"
}

testhost_run() {
    local status=0

    timeout "${testhost_seconds:-600}" qemu-system-x86_64 \
        -accel tcg,thread=single -cpu EPYC,+svm,+npt -smp 1 \
        -m "${testhost_memory:-1024}" -nodefaults -nographic \
        -serial stdio -no-reboot -kernel "$image/vmlinuz" \
        -initrd "$T/host.img" -append "console=ttyS0 panic=-1 quiet \
mitigations=off nokaslr cryptomgr.notests no_timer_check tsc=reliable" \
        "$@" </dev/null >"$log" 2>&1 || status=$?
    tr -d '\r' <"$log" >"$T/all"
    return "$status"
}

saw() {
    grep -qF -- "$1" "$T/all"
}
