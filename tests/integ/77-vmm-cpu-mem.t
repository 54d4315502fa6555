#!/bin/bash
# 77-vmm-cpu-mem.t - stock guests look at their processor, memory, clocks and
# console port, in a test host that QEMU emulates. See tests/vmm/cpu-mem-init.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

. "$(dirname "$0")/testhost.sh"

testhost_memory=1536
testhost_seconds=900
testhost_modules virtio_console vsock vmw_vsock_virtio_transport_common \
    vmw_vsock_virtio_transport
tap_ok "the test host is made" testhost_make \
    "$top_srcdir/tests/vmm/cpu-mem-init" "$top_builddir/virga-vmm" \
    "$top_builddir/tests/vmm/unix-talk" \
    "$top_builddir/tests/vmm/vsock-echo" || {
    tap_done
    exit
}
tap_ok "the test host runs to its end" testhost_run
tap_ok "what happens there happens to its end" saw "host: done"

# flag NAME: whether the guest's processor says that it has it.
flag() {
    grep -q "^cpu| flags=.* $1\( \|$\)" "$T/all"
}

no_flag() {
    grep -q '^cpu| flags=' "$T/all" && ! flag "$1"
}

tap_ok "a model beyond the host is refused, by the names of what it lacks" \
    saw "this host cannot be a x86-64-v4; missing: avx512f"
for name in host x86-64-v2 x86-64-v3; do
    tap_ok "this host can be a $name" grep -q "^case models: $name  *yes" \
        "$T/all"
done
tap_ok "it says why it is no x86-64-v4" \
    grep -q '^case models: x86-64-v4  *no .*missing: avx512f ' "$T/all"
tap_ok "the guest sees the model" saw "model=Virga vCPU x86-64-v2"
for name in fpu nx lm syscall cx16 pni ssse3 sse4_1 sse4_2 popcnt lahf_lm \
    hypervisor; do
    tap_ok "x86-64-v2 has $name" flag "$name"
done
for name in avx avx2 fma bmi1 aes xsave sha_ni rdrand smep svm rdtscp; do
    tap_ok "x86-64-v2 has no $name, though the host does" no_flag "$name"
done
tap_ok "four processors are up" saw "case smp: cpus=4"
tap_ok "the clock is the hypervisor's or the counter" saw "case cpu: clock="
no_old_clock() {
    grep -q '^cpu| clocks=' "$T/all" &&
        ! grep -q '^cpu| clocks=.*\(hpet\|acpi_pm\)' "$T/all"
}
tap_ok "there is no older clock to fall back on" no_old_clock
tap_ok "the guest knows the time" saw "case cpu: the guest knows the time"
tap_ok "a disk in use is nobody else's" \
    saw "case lock: virga-vmm: disk disk0: /tmp/disk: the disk is in use"
tap_ok "a named port takes and gives" saw "case port: answer 42 first"
tap_ok "and serves the next client" saw "case port: answer 43 second"
tap_ok "freed memory goes back to the host" \
    saw "case cpu: reporting shrinks the process"
tap_ok "the host calls a socket of the guest" saw "case vsock: guest heard one"
tap_ok "the guest calls a socket of the host" saw "case cpu: host heard two"
tap_ok "the balloon is asked for" saw '"target_bytes":134217728'
tap_ok "and takes memory from the process" \
    saw "case cpu: balloon shrinks the process"
tap_ok "the power button ends it" saw "case cpu: status 0"
tap_ok "memory lies around the hole below 4 GiB" saw "case large: high=4"
tap_ok "and the guest ends well" saw "case large: status 0"
if saw "case ksm: none in this host"; then
    tap_skip "equal pages are merged" "the test host's kernel cannot"
else
    tap_ok "equal pages are merged" saw "case ksm: equal pages are one"
fi
tap_done
