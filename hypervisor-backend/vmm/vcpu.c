/* vcpu.c - the virtual processors; see vcpu.h.
 * How a running vCPU is brought out of the guest without a race: the kicker
 * sets `want`, then the vCPU's immediate_exit, then sends the signal. The
 * vCPU clears immediate_exit first and looks at `want` after: whatever order
 * they meet in, either it sees the new `want`, or KVM_RUN returns at once.
 * The signal has a handler that does nothing; its use is the EINTR. */
#include <config.h>

#include "hypervisor-backend/vmm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/cpuid.h"
#include "hypervisor-backend/vmm/cpuid_model.h"
#include "hypervisor-backend/vmm/jail.h"
#include "hypervisor-backend/vmm/msr.h"

#define KICK_SIGNAL SIGRTMIN
#define STACK_BYTES (256u << 10)

enum want { WANT_RUN, WANT_PAUSE, WANT_STOP };

struct vcpu {
    struct vcpus *group;
    unsigned id;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    /* Written by the owner alone, read by anyone. */
    _Atomic uint64_t exits[VCPU_EXITS], unclaimed, guest_ns, vmm_ns;
};

struct vcpus {
    struct kvm *kvm;
    struct bus *bus;
    const struct end_sink *sink;
    _Atomic int want;
    pthread_mutex_t lock; /* running, and changes of want */
    pthread_cond_t changed;
    unsigned running;   /* threads not parked and not ended */
    unsigned n_threads; /* started, not yet joined */
    unsigned n;
    struct vcpu cpu[];
};

const char *
vcpu_exit_name(enum vcpu_exit e)
{
    static const char *const names[VCPU_EXITS] = {
        "pio", "mmio", "halt", "kick", "shutdown", "error", "other"};

    return names[e];
}

static void
on_kick(int signo)
{
}

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* One writer: no locked instruction needed. */
static void
add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
        memory_order_relaxed);
}

static int
set_cpuid(struct vcpu *c, const struct kvm_cpuid2 *supported)
{
    size_t bytes = sizeof(*supported) + (supported->nent + CPUID_SPARE) *
                                            sizeof(supported->entries[0]);
    struct kvm_cpuid2 *own = xmalloc(bytes);
    int r;

    memcpy(own, supported, bytes);
    cpuid_prepare(own, c->id, c->group->n, c->group->kvm->tsc_deadline);
    r = kvm_ioctl(c->fd, KVM_SET_CPUID2, own);
    if (r >= 0)
        r = msr_boot(c->fd, own);
    free(own);
    return r;
}

static int
vcpu_open(struct vcpu *c, const struct kvm_cpuid2 *supported,
          struct err *reterr)
{
    struct kvm *k = c->group->kvm;
    int r;

    c->fd = kvm_ioctl(k->vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)c->id);
    if (c->fd < 0)
        return err_errno(reterr, c->fd, "vCPU %u", c->id);
    c->run =
        mmap(NULL, k->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    if (c->run == MAP_FAILED) {
        c->run = NULL;
        return err_errno(reterr, -errno, "state of vCPU %u", c->id);
    }
    r = set_cpuid(c, supported);
    if (r < 0)
        return err_errno(reterr, r, "CPUID and registers of vCPU %u", c->id);
    return 0;
}

int
vcpus_new(struct kvm *k, struct bus *bus, const struct end_sink *sink,
          const struct vcpus_options *o, struct vcpus **ret, struct err *reterr)
{
    unsigned n = o->n;
    struct sigaction sa = {.sa_handler = on_kick}; /* no SA_RESTART */
    struct kvm_cpuid2 *supported = NULL;
    struct vcpus *v;
    int r;

    if (n < 1 || n > k->max_vcpus)
        return err_set(reterr, -EINVAL, "invalid",
                       "this host's KVM takes 1 to %u vCPUs", k->max_vcpus);
    v = xcalloc(1, sizeof(*v) + n * sizeof(v->cpu[0]));
    v->kvm = k;
    v->bus = bus;
    v->sink = sink;
    v->n = n;
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->changed, NULL);
    for (unsigned i = 0; i < n; i++) {
        v->cpu[i].group = v;
        v->cpu[i].id = i;
        v->cpu[i].fd = -1;
    }
    if (sigaction(KICK_SIGNAL, &sa, NULL) < 0)
        r = err_errno(reterr, -errno, "signal handler");
    else
        r = kvm_supported_cpuid(k, &supported);
    if (r < 0)
        err_errno(reterr, r, "KVM_GET_SUPPORTED_CPUID");
    else
        r = cpuid_model_apply(o->cpu_model, supported, reterr);
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = vcpu_open(&v->cpu[i], supported, reterr);
    free(supported);
    if (r < 0) {
        vcpus_free(v);
        return r;
    }
    *ret = v;
    return 0;
}

void
vcpus_free(struct vcpus *v)
{
    if (!v)
        return;
    vcpus_stop(v);
    for (unsigned i = 0; i < v->n; i++) {
        if (v->cpu[i].run)
            munmap(v->cpu[i].run, v->kvm->run_bytes);
        closep(&v->cpu[i].fd);
    }
    pthread_cond_destroy(&v->changed);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

/* Flat segments, as in the table that boot.c wrote. */
static void
set_segments(struct kvm_sregs *s, bool long_mode)
{
    struct kvm_segment seg = {
        .limit = 0xffffffff, .present = 1, .s = 1, .g = 1};

    seg.selector = 0x10;
    seg.type = 11; /* code, readable, accessed */
    seg.l = long_mode;
    seg.db = !long_mode;
    s->cs = seg;
    seg.selector = 0x18;
    seg.type = 3; /* data, writable, accessed */
    seg.l = 0;
    seg.db = 1;
    s->ds = s->es = s->fs = s->gs = s->ss = seg;
    s->tr = (struct kvm_segment){
        .selector = 0x20, .limit = 0x67, .type = 11, .present = 1};
    s->ldt = (struct kvm_segment){.type = 2, .unusable = 1};
    s->gdt.base = BOOT_GDT;
    s->gdt.limit = 5 * 8 - 1;
    s->idt.base = 0;
    s->idt.limit = 0;
}

int
vcpus_boot(struct vcpus *v, const struct boot_entry *entry, struct err *reterr)
{
    struct kvm_regs regs = {
        .rip = entry->rip, .rsi = entry->rsi, .rbx = entry->rbx, .rflags = 2};
    struct kvm_sregs s;
    int r;

    r = kvm_ioctl(v->cpu[0].fd, KVM_GET_SREGS, &s);
    if (r < 0)
        return err_errno(reterr, r, "KVM_GET_SREGS");
    set_segments(&s, entry->mode == BOOT_LONG);
    s.cr0 = 0x11; /* protected mode, x87 there */
    s.cr4 = 0;
    s.efer = 0;
    if (entry->mode == BOOT_LONG) {
        s.cr0 |= 0x80000000;
        s.cr3 = BOOT_PML4;
        s.cr4 = 0x20;           /* PAE */
        s.efer = 0x100 | 0x400; /* long mode, enabled and active */
    }
    r = kvm_ioctl(v->cpu[0].fd, KVM_SET_SREGS, &s);
    if (r == 0)
        r = kvm_ioctl(v->cpu[0].fd, KVM_SET_REGS, &regs);
    return r < 0 ? err_errno(reterr, r, "registers of vCPU 0") : 0;
}

static void
do_pio(struct vcpu *c)
{
    struct kvm_run *run = c->run;
    unsigned char *p = (unsigned char *)run + run->io.data_offset;
    bool write = run->io.direction == KVM_EXIT_IO_OUT;

    /* A string operation comes as one exit with many items. */
    for (uint32_t i = 0; i < run->io.count; i++, p += run->io.size) {
        uint64_t value = 0;

        memcpy(&value, p, run->io.size);
        if (!bus_access(c->group->bus, BUS_PIO, run->io.port, run->io.size,
                        write, &value))
            add(&c->unclaimed, 1);
        if (!write)
            memcpy(p, &value, run->io.size);
    }
}

static void
do_mmio(struct vcpu *c)
{
    struct kvm_run *run = c->run;
    uint64_t value = 0;
    unsigned len = MIN(run->mmio.len, (uint32_t)sizeof(run->mmio.data));

    memcpy(&value, run->mmio.data, len);
    if (!bus_access(c->group->bus, BUS_MMIO, run->mmio.phys_addr, len,
                    run->mmio.is_write, &value))
        add(&c->unclaimed, 1);
    if (!run->mmio.is_write)
        memcpy(run->mmio.data, &value, len);
}

/* KVM can not go on with this vCPU: say all that is known of why. */
static void
log_failure(struct vcpu *c, int run_errno)
{
    struct kvm_run *run = c->run;
    struct kvm_regs regs = {0};

    if (kvm_ioctl(c->fd, KVM_GET_REGS, &regs) < 0)
        regs.rip = 0;
    if (run_errno)
        log_error("vCPU cannot run", "vcpu=%u error=\"%s\" rip=0x%llx", c->id,
                  strerrordesc_np(run_errno), (unsigned long long)regs.rip);
    else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
        log_error(
            "processor refused to enter the guest",
            "vcpu=%u reason=0x%llx rip=0x%llx", c->id,
            (unsigned long long)run->fail_entry.hardware_entry_failure_reason,
            (unsigned long long)regs.rip);
    else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        log_error("KVM failed", "vcpu=%u suberror=%u data=0x%llx rip=0x%llx",
                  c->id, run->internal.suberror,
                  (unsigned long long)(run->internal.ndata > 0
                                           ? run->internal.data[0]
                                           : 0),
                  (unsigned long long)regs.rip);
    else
        log_error("exit of an unknown kind", "vcpu=%u kind=%u rip=0x%llx",
                  c->id, run->exit_reason, (unsigned long long)regs.rip);
}

static void
end_run(struct vcpu *c, enum vm_end end)
{
    end_tell(c->group->sink, end);
    /* Whatever the sink makes of it, this vCPU must not spin. */
    vcpus_request_stop(c->group);
}

static enum vcpu_exit
handle_exit(struct vcpu *c)
{
    switch (c->run->exit_reason) {
    case KVM_EXIT_IO:
        do_pio(c);
        return VCPU_EXIT_PIO;
    case KVM_EXIT_MMIO:
        do_mmio(c);
        return VCPU_EXIT_MMIO;
    case KVM_EXIT_HLT:
        return VCPU_EXIT_HALT;
    case KVM_EXIT_INTR:
        return VCPU_EXIT_KICK;
    case KVM_EXIT_SHUTDOWN:
        end_run(c, VM_END_TRIPLE_FAULT);
        return VCPU_EXIT_SHUTDOWN;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_IOAPIC_EOI:
        return VCPU_EXIT_OTHER;
    default:
        log_failure(c, 0);
        end_run(c, VM_END_ERROR);
        return VCPU_EXIT_ERROR;
    }
}

static enum vcpu_exit
run_once(struct vcpu *c)
{
    uint64_t before = now_ns(), after;
    enum vcpu_exit kind;
    int r = ioctl(c->fd, KVM_RUN, 0), saved = errno;

    after = now_ns();
    add(&c->guest_ns, after - before);
    if (r == 0) {
        kind = handle_exit(c);
    } else if (saved == EINTR || saved == EAGAIN) {
        kind = VCPU_EXIT_KICK;
    } else {
        log_failure(c, saved);
        end_run(c, VM_END_ERROR);
        kind = VCPU_EXIT_ERROR;
    }
    add(&c->exits[kind], 1);
    add(&c->vmm_ns, now_ns() - after);
    return kind;
}

/* Parks while there is a pause. False: it is over. */
static bool
may_run(struct vcpus *v)
{
    bool run;

    if (atomic_load(&v->want) == WANT_RUN)
        return true;
    pthread_mutex_lock(&v->lock);
    v->running--;
    pthread_cond_broadcast(&v->changed);
    while (atomic_load(&v->want) == WANT_PAUSE)
        pthread_cond_wait(&v->changed, &v->lock);
    run = atomic_load(&v->want) == WANT_RUN;
    if (run)
        v->running++;
    pthread_mutex_unlock(&v->lock);
    return run;
}

static void *
vcpu_thread(void *arg)
{
    struct vcpu *c = arg;
    char name[16];

    snprintf(name, sizeof(name), "vcpu%u", c->id);
    /* For people; by the thread itself: for another one it takes a file of
     * /proc. */
    (void)pthread_setname_np(pthread_self(), name);
    jail_thread(JAIL_THREAD_VCPU);
    for (;;) {
        __atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (!may_run(c->group))
            return NULL;
        run_once(c);
    }
}

int
vcpus_start(struct vcpus *v, struct err *reterr)
{
    pthread_attr_t attr;
    sigset_t block, old;
    int r = 0;

    pthread_attr_init(&attr);
    /* Sanitizers want more; the C library has a minimum of its own. */
    r = -pthread_attr_setstacksize(
        &attr, MAX((size_t)STACK_BYTES, (size_t)sysconf(_SC_THREAD_STACK_MIN)));
    sigfillset(&block);
    sigdelset(&block, KICK_SIGNAL);
    if (r == 0)
        r = -pthread_sigmask(SIG_SETMASK, &block, &old);
    if (r < 0) {
        pthread_attr_destroy(&attr);
        return err_errno(reterr, r, "vCPU threads");
    }
    pthread_mutex_lock(&v->lock);
    for (unsigned i = 0; r == 0 && i < v->n; i++) {
        r = -pthread_create(&v->cpu[i].thread, &attr, vcpu_thread, &v->cpu[i]);
        if (r < 0)
            break;
        v->n_threads++;
        v->running++;
    }
    pthread_mutex_unlock(&v->lock);
    pthread_attr_destroy(&attr);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r < 0) {
        vcpus_stop(v);
        return err_errno(reterr, r, "vCPU threads");
    }
    return 0;
}

/* Lock held, so that no thread ends or is joined meanwhile. */
static void
kick_all(struct vcpus *v)
{
    for (unsigned i = 0; i < v->n_threads; i++) {
        __atomic_store_n(&v->cpu[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        pthread_kill(v->cpu[i].thread, KICK_SIGNAL);
    }
}

/* STOP is final. */
static void
set_want(struct vcpus *v, enum want want)
{
    if (atomic_load(&v->want) != WANT_STOP)
        atomic_store(&v->want, (int)want);
    pthread_cond_broadcast(&v->changed);
    if (want != WANT_RUN)
        kick_all(v);
}

void
vcpus_pause(struct vcpus *v)
{
    pthread_mutex_lock(&v->lock);
    set_want(v, WANT_PAUSE);
    while (v->running > 0)
        pthread_cond_wait(&v->changed, &v->lock);
    pthread_mutex_unlock(&v->lock);
}

void
vcpus_resume(struct vcpus *v)
{
    if (atomic_load(&v->want) != WANT_PAUSE)
        return;
    /* Tells the guest's watchdogs that it was not its fault; -EINVAL where
     * the guest has no such clock. */
    for (unsigned i = 0; i < v->n; i++) {
        int r = kvm_ioctl(v->cpu[i].fd, KVM_KVMCLOCK_CTRL, NULL);

        if (r < 0 && r != -EINVAL)
            log_debug("no clock control", "vcpu=%u errno=%d", i, -r);
    }
    pthread_mutex_lock(&v->lock);
    set_want(v, WANT_RUN);
    pthread_mutex_unlock(&v->lock);
}

void
vcpus_request_stop(struct vcpus *v)
{
    pthread_mutex_lock(&v->lock);
    set_want(v, WANT_STOP);
    pthread_mutex_unlock(&v->lock);
}

void
vcpus_stop(struct vcpus *v)
{
    unsigned n;

    /* From here on nobody sends signals to the threads: they have theirs, and
     * a joined thread must get none. */
    pthread_mutex_lock(&v->lock);
    set_want(v, WANT_STOP);
    n = v->n_threads;
    v->n_threads = 0;
    pthread_mutex_unlock(&v->lock);
    for (unsigned i = 0; i < n; i++)
        pthread_join(v->cpu[i].thread, NULL);
}

unsigned
vcpus_count(const struct vcpus *v)
{
    return v->n;
}

void
vcpus_stats(struct vcpus *v, unsigned i, struct vcpu_stats *ret)
{
    const struct vcpu *c = &v->cpu[i];

    for (size_t k = 0; k < VCPU_EXITS; k++)
        ret->exits[k] =
            atomic_load_explicit(&c->exits[k], memory_order_relaxed);
    ret->unclaimed = atomic_load_explicit(&c->unclaimed, memory_order_relaxed);
    ret->guest_ns = atomic_load_explicit(&c->guest_ns, memory_order_relaxed);
    ret->vmm_ns = atomic_load_explicit(&c->vmm_ns, memory_order_relaxed);
}
