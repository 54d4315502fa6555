/* probe.c - does /dev/kvm run guest code at hardware speed?
 * That it opens proves nothing: nested and software KVMs may interpret every
 * instruction, a thousand times too slow for a real guest. So a counted loop
 * is run in 64-bit mode with paging, where an ordinary guest spends its time.
 *
 * The time limit needs neither a signal handler nor a second thread: a timer
 * signals this thread, in which the signal is blocked except inside KVM_RUN
 * (KVM_SET_SIGNAL_MASK). KVM_RUN then returns EINTR and the signal is taken
 * off the queue here. See the kernel's Documentation/virt/kvm/api.rst.
 *
 * Guest memory, 64 KiB from physical 0, identity-mapped by one 2 MiB page:
 *   0x1000 PML4   0x2000 PDPT   0x3000 page directory   0x4000 code */
#include <config.h>

#include "hypervisor-backend/hv-private.h"

#include <errno.h>

#ifdef HAVE_LINUX_KVM_H
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"

#define GUEST_BYTES 0x10000
#define CODE_AT 0x4000
#define LOOPS 5000000u
#define INSTRUCTIONS_PER_LOOP 2
/* Below the slowest real machine, far above any interpreter. */
#define HARDWARE_PER_S 200e6
#define RUNS 3
#define DEADLINE_MS 200

/* dec ecx; jnz back to it; hlt (which exits: there is no interrupt chip) */
static const unsigned char code[] = {0xff, 0xc9, 0x75, 0xfc, 0xf4};

struct probe {
    int kvm, vm, vcpu;
    unsigned char *mem;
    struct kvm_run *run;
    size_t run_bytes;
};

static void
probe_release(struct probe *p)
{
    if (p->run)
        munmap(p->run, p->run_bytes);
    if (p->mem)
        munmap(p->mem, GUEST_BYTES);
    closep(&p->vcpu);
    closep(&p->vm);
    closep(&p->kvm);
}

static void
put64(unsigned char *mem, size_t at, uint64_t v)
{
    memcpy(mem + at, &v, sizeof(v));
}

/* 64-bit mode, flat: Intel SDM volume 3, sections 4.5 and 9.8.5. */
static int
set_long_mode(struct probe *p)
{
    struct kvm_segment seg = {
        .limit = 0xffffffff, .present = 1, .s = 1, .g = 1};
    struct kvm_sregs s;

    if (ioctl(p->vcpu, KVM_GET_SREGS, &s) < 0)
        return -errno;
    put64(p->mem, 0x1000, 0x2003);        /* present, writable */
    put64(p->mem, 0x2000, 0x3003);        /* the same */
    put64(p->mem, 0x3000, 0x0000 | 0x83); /* and a 2 MiB page */
    seg.selector = 8;
    seg.type = 11; /* code, readable, accessed */
    seg.l = 1;
    s.cs = seg;
    seg.selector = 16;
    seg.type = 3; /* data, writable, accessed */
    seg.l = 0;
    seg.db = 1;
    s.ds = s.es = s.fs = s.gs = s.ss = seg;
    s.cr3 = 0x1000;
    s.cr4 |= 0x20;           /* PAE */
    s.cr0 |= 0x80000001;     /* PG, PE */
    s.efer |= 0x100 | 0x400; /* LME, LMA */
    return ioctl(p->vcpu, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int
probe_open(struct probe *p, const char *path, const char **ret_step)
{
    struct kvm_userspace_memory_region region = {.memory_size = GUEST_BYTES};
    int n;

    *ret_step = "open";
    p->kvm = open(path, O_RDWR | O_CLOEXEC);
    if (p->kvm < 0)
        return -errno;
    *ret_step = "KVM_GET_API_VERSION";
    n = ioctl(p->kvm, KVM_GET_API_VERSION, 0);
    if (n != KVM_API_VERSION)
        return n < 0 ? -errno : -EPROTO;
    *ret_step = "KVM_CREATE_VM";
    p->vm = ioctl(p->kvm, KVM_CREATE_VM, 0);
    if (p->vm < 0)
        return -errno;
    *ret_step = "guest memory";
    p->mem = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->mem == MAP_FAILED) {
        p->mem = NULL;
        return -errno;
    }
    region.userspace_addr = (uintptr_t)p->mem;
    if (ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return -errno;
    *ret_step = "KVM_CREATE_VCPU";
    p->vcpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
    if (p->vcpu < 0)
        return -errno;
    n = ioctl(p->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (n < (int)sizeof(*p->run))
        return n < 0 ? -errno : -EPROTO;
    p->run_bytes = (size_t)n;
    p->run = mmap(NULL, p->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                  p->vcpu, 0);
    if (p->run == MAP_FAILED) {
        p->run = NULL;
        return -errno;
    }
    *ret_step = "KVM_SET_SREGS";
    memcpy(p->mem + CODE_AT, code, sizeof(code));
    return set_long_mode(p);
}

/* CPU time, not wall time: another process in between must not make a good
 * machine look bad. */
static double
cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One loop to its end or to the signal. 1 ended, 0 out of time. */
static int
run_once(struct probe *p, double *ret_per_s)
{
    struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2, .rcx = LOOPS};
    double start, spent;
    bool late;

    if (ioctl(p->vcpu, KVM_SET_REGS, &regs) < 0)
        return -errno;
    start = cpu_seconds();
    late = ioctl(p->vcpu, KVM_RUN, 0) < 0;
    if (late && errno != EINTR && errno != EAGAIN)
        return -errno;
    spent = cpu_seconds() - start;
    if (!late && p->run->exit_reason != KVM_EXIT_HLT)
        return -EPROTO;
    if (ioctl(p->vcpu, KVM_GET_REGS, &regs) < 0)
        return -errno;
    *ret_per_s = (double)(LOOPS - (uint32_t)regs.rcx) * INSTRUCTIONS_PER_LOOP /
                 MAX(spent, 1e-6);
    return !late;
}

/* The kernel's sigset: 64 bits. */
static int
set_run_mask(struct probe *p, int signo)
{
    /* struct kvm_signal_mask with its array in place. */
    struct {
        uint32_t len;
        uint64_t mask;
    } __attribute__((packed)) m = {
        .len = sizeof(uint64_t),
        .mask = ~(UINT64_C(1) << (signo - 1)),
    };

    return ioctl(p->vcpu, KVM_SET_SIGNAL_MASK, &m) < 0 ? -errno : 0;
}

static int
run_until(struct probe *p, int deadline_ms, double *ret_per_s)
{
    int signo = SIGRTMAX - 3;
    struct sigevent sev = {.sigev_notify = SIGEV_THREAD_ID,
                           .sigev_signo = signo};
    /* Again and again: the first one may fire just before KVM_RUN. */
    struct itimerspec its = {
        .it_value = {deadline_ms / 1000, deadline_ms % 1000 * 1000000L},
        .it_interval = {0, 10000000}};
    struct timespec none = {0};
    sigset_t set, old;
    timer_t timer;
    double best = 0;
    int r;

    sev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    sigemptyset(&set);
    sigaddset(&set, signo);
    r = -pthread_sigmask(SIG_BLOCK, &set, &old);
    if (r < 0)
        return r;
    r = set_run_mask(p, signo);
    if (r == 0 && timer_create(CLOCK_MONOTONIC, &sev, &timer) < 0)
        r = -errno;
    if (r == 0) {
        if (timer_settime(timer, 0, &its, NULL) < 0)
            r = -errno;
        for (int i = 0; r >= 0 && i < RUNS; i++) {
            double rate = 0;

            r = run_once(p, &rate);
            if (r >= 0)
                best = MAX(best, rate);
            if (r == 0)
                break;
        }
        timer_delete(timer);
    }
    while (sigtimedwait(&set, NULL, &none) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r < 0)
        return r;
    *ret_per_s = best;
    return 0;
}

int
hv_probe_kvm_rate(const char *path, int deadline_ms, double *ret_per_s,
                  char *ret_why, size_t why_size)
{
    struct probe p _cleanup_(probe_release) = {.kvm = -1, .vm = -1, .vcpu = -1};
    const char *step;
    int r = probe_open(&p, path, &step);

    if (r == 0) {
        step = "KVM_RUN";
        r = run_until(&p, deadline_ms, ret_per_s);
    }
    if (r < 0)
        snprintf(ret_why, why_size, "%s: %s: %s", path, step,
                 strerrordesc_np(-r));
    return r;
}

/* This process or the machine has run out of something, for now. */
static bool
is_lack(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EAGAIN;
}

int
hv_probe_kvm(char *ret_why, size_t why_size)
{
    const char *path = "/dev/kvm";
    double per_s;
    int r = hv_probe_kvm_rate(path, DEADLINE_MS, &per_s, ret_why, why_size);

    if (r < 0)
        return is_lack(r) ? r : 0;
    snprintf(ret_why, why_size, "%s executes %.1f million instructions/s: %s",
             path, per_s / 1e6,
             per_s >= HARDWARE_PER_S
                 ? "hardware speed"
                 : "not hardware speed (200 million is the least)");
    return per_s >= HARDWARE_PER_S;
}

#else

int
hv_probe_kvm_rate(const char *path, int deadline_ms, double *ret_per_s,
                  char *ret_why, size_t why_size)
{
    snprintf(ret_why, why_size, "built without KVM's headers");
    return -ENOSYS;
}

int
hv_probe_kvm(char *ret_why, size_t why_size)
{
    double per_s;

    return hv_probe_kvm_rate("", 0, &per_s, ret_why, why_size) == 0;
}

#endif
