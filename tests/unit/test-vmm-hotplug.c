/* test-vmm-hotplug.c - disks and NICs that come and go, and guests that do not
 * play along. The test is the guest's vCPU; memory, bus and interrupts are
 * those of vmm-guest.c. Over 800 lines: all cases share the guest that this
 * test plays, with its slots and counters. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/devices-private.h"
#include "hypervisor-backend/vmm/platform.h"

#define GPE_STATUS (PLATFORM_PM_PORT + PLATFORM_PM_GPE)
#define GPE_ENABLE (GPE_STATUS + 2)
#define GPE_BIT (1u << PLATFORM_HOTPLUG_GPE)
#define MEM (4 * GUEST_MIB)
#define DISK_BYTES GUEST_MIB

struct fixture {
    struct guest g;
    struct irq irq, messages;
    struct pm *pm;
    struct devices_host host;
    struct devices *d;
    bool sci;
    int coupled;        /* irqfds */
    unsigned max_slot;  /* of them */
    _Atomic int events; /* ioeventfds */
    unsigned n_gone;
    char gone[64];
};

static int
line(void *self, unsigned gsi, bool level)
{
    struct fixture *f = self;

    assert_int_equal(gsi, PLATFORM_SCI_IRQ);
    f->sci = level;
    return 0;
}

static int
msi(void *self, uint64_t address, uint32_t data)
{
    struct fixture *f = self;

    return irq_msi(&f->g.irq, address, data);
}

static int
msi_eventfd(void *self, unsigned slot, int fd, uint64_t address, uint32_t data)
{
    struct fixture *f = self;

    (void)address;
    (void)data;
    f->max_slot = MAX(f->max_slot, slot);
    f->coupled += fd >= 0 ? 1 : -1;
    return 0;
}

static const struct irq_ops irq_ops = {
    .line = line, .msi = msi, .msi_eventfd = msi_eventfd};
static const struct irq_ops message_ops = {.line = line, .msi = msi};

static int
event_add(void *self, uint64_t addr, int fd)
{
    struct fixture *f = self;

    (void)addr;
    (void)fd;
    f->events++;
    return 0;
}

static void
event_del(void *self, uint64_t addr, int fd)
{
    struct fixture *f = self;

    (void)addr;
    (void)fd;
    f->events--;
}

static void
end_ignored(void *arg, enum vm_end end)
{
    (void)arg;
    (void)end;
}

static const struct end_sink sink = {.tell = end_ignored};

static void
detached(void *arg, enum devices_kind kind, const char *name)
{
    struct fixture *f = arg;

    f->n_gone++;
    snprintf(f->gone, sizeof(f->gone), "%s %s", devices_kind_name(kind), name);
}

static struct devices_config
config(struct fixture *f)
{
    return (struct devices_config){.detached = detached, .detached_arg = f};
}

static void
power_on(struct fixture *f)
{
    guest_new(&f->g, MEM);
    pci_free(f->g.pci); /* devices make their own */
    f->g.pci = NULL;
    f->irq = (struct irq){&irq_ops, f};
    f->messages = (struct irq){&message_ops, f};
    f->pm = pm_new(&f->irq, PLATFORM_SCI_IRQ, &sink);
    assert_int_equal(bus_add(f->g.bus, BUS_PIO, PLATFORM_PM_PORT,
                             PLATFORM_PM_LEN, &pm_bus_ops, f->pm),
                     0);
    f->host = (struct devices_host){.gmem = f->g.mem,
                                    .bus = f->g.bus,
                                    .irq = &f->irq,
                                    .pm = f->pm,
                                    .end = &sink,
                                    .ioevent = {event_add, event_del, f}};
}

static void
power_off(struct fixture *f)
{
    guest_free(&f->g);
    pm_free(f->pm);
}

static int
set_up(void **state)
{
    struct fixture *f = xnew(struct fixture);
    struct devices_config cfg = config(f);

    power_on(f);
    assert_int_equal(devices_new_on(&f->host, &cfg, &f->d, NULL), 0);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    devices_free(f->d);
    assert_int_equal(f->events, 0);
    assert_int_equal(f->coupled, 0);
    power_off(f);
    free(f);
    return 0;
}

static int
disk_fd(void)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
    return fd;
}

static unsigned
attach(struct fixture *f, const char *name)
{
    struct devices_disk disk = {.name = name, .fd = disk_fd()};
    struct err e = {0};
    unsigned slot = 0;

    if (devices_attach_disk(f->d, &disk, &slot, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(disk.fd, -1);
    return slot;
}

static unsigned
attach_nic(struct fixture *f, const char *name, int *ret_peer)
{
    struct devices_nic nic = {.name = name, .n_queues = 1, .mac = {2}};
    unsigned slot = 0;
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd),
                     0);
    nic.fds[0] = fd[0];
    *ret_peer = fd[1];
    assert_int_equal(devices_attach_nic(f->d, &nic, &slot, NULL), 0);
    return slot;
}

static uint32_t
in(struct fixture *f, uint64_t port, unsigned size)
{
    uint64_t v = 0;

    assert_true(bus_access(f->g.bus, BUS_PIO, port, size, false, &v));
    return (uint32_t)v;
}

static void
out(struct fixture *f, uint64_t port, unsigned size, uint64_t v)
{
    assert_true(bus_access(f->g.bus, BUS_PIO, port, size, true, &v));
}

#define REG(name) (PLATFORM_HOTPLUG_PORT + HOTPLUG_##name)

static bool
present(struct fixture *f, unsigned slot)
{
    return guest_cfg_read(&f->g, slot, 0, 2) == 0x1af4;
}

static bool
readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* A rare branch's counter. */
struct seek {
    const char *name;
    uint64_t value;
};

static void
seek(const char *name, uint64_t value, void *arg)
{
    struct seek *s = arg;

    if (streq(name, s->name))
        s->value = value;
}

static uint64_t
strays(void)
{
    struct seek s = {.name = "vmm_hotplug_stray_eject"};

    count_each(seek, &s);
    return s.value;
}

static void
note(void *arg, const struct devices_info *info)
{
    *(struct devices_info *)arg = *info;
}

static unsigned
count_in(const char *path)
{
    DIR *dir _cleanup_(closedirp) = opendir(path);
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    return n;
}

/* As acpiphp does: looks, clears, ejects what it is asked for. */
static void
guest_lets_go(struct fixture *f)
{
    uint32_t down = in(f, REG(DOWN), 4);

    out(f, REG(DOWN), 4, down);
    for (unsigned i = 0; i < 32; i++)
        if (down & (1u << i))
            out(f, REG(EJECT), 4, 1u << i);
}

/* --- the guest is told --- */

static void
attach__guest_is_told_by_an_event(void **state)
{
    struct fixture *f = *state;
    unsigned slot;

    assert_int_equal(in(f, REG(UP), 4), 0);
    out(f, GPE_ENABLE, 2, GPE_BIT);
    assert_false(f->sci);
    slot = attach(f, "a");
    assert_true(present(f, slot));
    assert_true(f->sci);
    assert_int_equal(in(f, GPE_STATUS, 2), GPE_BIT);
    assert_int_equal(in(f, REG(UP), 4), 1u << slot);
    /* ones clear the status, zeros leave it */
    out(f, GPE_STATUS, 2, (uint16_t)~GPE_BIT);
    assert_true(f->sci);
    out(f, GPE_STATUS, 1, GPE_BIT);
    assert_false(f->sci);
    assert_int_equal(in(f, GPE_STATUS, 2), 0);
    out(f, REG(UP), 4, 1u << slot);
    assert_int_equal(in(f, REG(UP), 4), 0);
    /* masked: noted, and told as soon as it may be */
    out(f, GPE_ENABLE, 2, 0);
    attach(f, "b");
    assert_false(f->sci);
    out(f, GPE_ENABLE, 1, GPE_BIT);
    assert_true(f->sci);
}

static void
detach__gone_after_the_guests_eject(void **state)
{
    struct fixture *f = *state;
    unsigned slot = attach(f, "a");
    struct devices_info info = {0};

    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    assert_int_equal(in(f, REG(DOWN), 4), 1u << slot);
    assert_int_equal(devices_find(f->d, DEVICES_DISK, "a", note, &info), 0);
    assert_true(info.detaching);
    devices_events(f->d);
    assert_true(present(f, slot)); /* it has not answered */
    assert_false(readable(devices_event_fd(f->d)));
    guest_lets_go(f);
    assert_true(present(f, slot)); /* not on the vCPU's thread */
    assert_true(readable(devices_event_fd(f->d)));
    devices_events(f->d);
    assert_false(readable(devices_event_fd(f->d)));
    assert_false(present(f, slot));
    assert_int_equal(f->n_gone, 1);
    assert_string_equal(f->gone, "disk a");
    assert_int_equal(devices_find(f->d, DEVICES_DISK, "a", note, &info),
                     -ENOENT);
    /* name and slot can be had again */
    assert_int_equal(attach(f, "a"), slot);
    assert_int_equal(in(f, REG(DOWN), 4), 0);
}

static void
detach__silent_guest_is_asked_again_or_forced(void **state)
{
    struct fixture *f = *state;
    unsigned slot = attach(f, "a");

    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    out(f, REG(DOWN), 4, ~0u); /* seen, and no more */
    assert_int_equal(in(f, REG(DOWN), 4), 0);
    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    assert_int_equal(in(f, REG(DOWN), 4), 1u << slot);
    assert_int_equal(f->n_gone, 0);
    assert_int_equal(devices_detach_disk(f->d, "a", true, NULL), 0);
    assert_int_equal(f->n_gone, 1); /* the first one's answer */
    assert_true(present(f, slot));  /* as long as the guest believes in it */
    assert_int_equal(devices_detach_disk(f->d, "a", true, NULL), -ENOENT);
}

static void
force__slot_rests_until_the_guest_lets_go(void **state)
{
    struct fixture *f = *state;
    unsigned a = attach(f, "a"), b;
    uint64_t before;

    assert_int_equal(devices_detach_disk(f->d, "a", true, NULL), 0);
    assert_int_equal(f->n_gone, 0); /* nobody waits */
    assert_int_equal(in(f, REG(UP), 4), 0);
    assert_int_equal(in(f, REG(DOWN), 4), 1u << a);
    b = attach(f, "b");
    assert_int_not_equal(b, a);
    before = strays();
    guest_lets_go(f);
    assert_int_equal(strays(), before);
    devices_events(f->d);
    assert_int_equal(f->n_gone, 0);
    assert_int_equal(attach(f, "c"), a);
    /* It had let go, only nobody had looked yet: nothing more to tell. */
    assert_int_equal(devices_detach_disk(f->d, "b", false, NULL), -EINPROGRESS);
    guest_lets_go(f);
    assert_int_equal(devices_detach_disk(f->d, "b", true, NULL), 0);
    assert_int_equal(in(f, REG(DOWN), 4), 0);
    devices_events(f->d);
    assert_int_equal(f->n_gone, 1);
    assert_int_equal(attach(f, "d"), b);
    assert_true(present(f, b));
}

/* A guest without ACPI never lets go: its slots come into use when there are
 * no others, and an eject that comes too late hits nothing. */
static void
force__resting_slots_are_the_last_resort(void **state)
{
    struct fixture *f = *state;
    unsigned slot = 0;

    for (unsigned i = 0; i < 40; i++) {
        slot = attach(f, "a");
        if (i < 39)
            assert_int_equal(devices_detach_disk(f->d, "a", true, NULL), 0);
    }
    assert_int_equal(in(f, REG(DOWN), 4) & (1u << slot), 0);
    out(f, REG(EJECT), 4, 1u << slot);
    devices_events(f->d);
    assert_true(present(f, slot));
}

/* --- guests that do not play along --- */

static void
eject__what_nobody_asked_for_is_counted_and_ignored(void **state)
{
    struct fixture *f = *state;
    unsigned a = attach(f, "a"), b = attach(f, "b");
    uint64_t before = strays(), v = 1u << a;

    out(f, REG(EJECT), 4, 1u << a); /* not asked */
    out(f, REG(EJECT), 4, 1);       /* the host bridge */
    out(f, REG(EJECT), 4, 1u << 31);
    out(f, REG(EJECT), 4, 0);
    out(f, REG(EJECT), 4, ~0u);
    assert_int_equal(strays(), before + 5);
    assert_false(readable(devices_event_fd(f->d)));
    devices_events(f->d);
    assert_true(present(f, a));
    assert_int_equal(guest_cfg_read(&f->g, 0, 0, 2), 0x1b36);
    assert_int_equal(in(f, REG(EJECT), 4), 0);
    /* odd widths and places answer nothing */
    assert_false(bus_access(f->g.bus, BUS_PIO, REG(EJECT), 1, true, &v));
    assert_false(bus_access(f->g.bus, BUS_PIO, REG(EJECT), 2, true, &v));
    out(f, REG(EJECT) - 1, 4, ~0u);
    assert_false(bus_access(f->g.bus, BUS_PIO, REG(EJECT) + 1, 4, true, &v));
    /* one that was asked for, together with all others, and twice */
    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    before = strays();
    out(f, REG(EJECT), 4, ~0u);
    out(f, REG(EJECT), 4, 1u << a);
    assert_int_equal(strays(), before + 2);
    devices_events(f->d);
    out(f, REG(EJECT), 4, 1u << a);
    assert_int_equal(strays(), before + 3);
    devices_events(f->d);
    assert_int_equal(f->n_gone, 1);
    assert_false(present(f, a));
    assert_true(present(f, b));
}

static void
eject__asked_again_after_it_changes_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned slot = attach(f, "a");

    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    guest_lets_go(f);
    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    assert_int_equal(in(f, REG(DOWN), 4), 0);
    devices_events(f->d);
    assert_int_equal(f->n_gone, 1);
    assert_false(present(f, slot));
}

/* Reads sector 0 to data; the status goes behind 8 KiB. */
static void
offer_read(struct guest *g, struct guest_queue *q, uint64_t data)
{
    const struct guest_seg segs[] = {
        {data - 4096, sizeof(struct virtio_blk_outhdr), false},
        {data, 4096, true},
        {data + 8192 + q->avail_idx % 64, 1, true}};

    guest_offer(g, q, guest_chain(g, q, segs, ARRAY_SIZE(segs)));
}

/* A driver that works on the disk, with so many reads offered. */
static struct guest_queue *
drive(struct fixture *f, unsigned slot, unsigned n_reads, uint64_t *ret_data)
{
    struct guest *g = &f->g;
    struct guest_queue *q;

    guest_drive(g, f->d->slots[slot]->v, slot);
    guest_start(g, 0, 1);
    q = &g->q[0];
    *ret_data = guest_alloc(g, 64 * 1024, 4096) + 4096;
    memset(guest_at(g, *ret_data - 4096, 60 * 1024), 0x55, 60 * 1024);
    /* VIRTIO_BLK_T_IN, sector 0 */
    memset(guest_at(g, *ret_data - 4096, 16), 0, 16);
    for (unsigned i = 0; i < n_reads; i++)
        offer_read(g, q, *ret_data);
    return q;
}

/* By looking: there may be no interrupts here. */
static void
wait_used(struct guest_queue *q, struct guest *g, struct vring_used_elem *e)
{
    while (!guest_used(g, q, e))
        sched_yield();
}

static void
force__driver_at_work_gets_errors_until_it_lets_go(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    struct devices_info info;
    struct vring_used_elem e;
    struct guest_queue *q;
    struct stat want, st;
    char path[32];
    uint64_t data, v = 0;
    unsigned slot = attach(f, "a");

    q = drive(f, slot, 16, &data);
    guest_kick(g, q);
    assert_int_equal(fstat(f->d->slots[slot]->want.disk.fd, &want), 0);
    assert_int_equal(devices_detach_disk(f->d, "a", true, NULL), 0);
    assert_int_equal(devices_find(f->d, DEVICES_DISK, "a", note, &info),
                     -ENOENT);
    for (int fd = 0; fd < 256; fd++) { /* nobody has it open */
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        assert_true(stat(path, &st) < 0 || st.st_ino != want.st_ino ||
                    st.st_dev != want.st_dev);
    }
    for (unsigned i = 0; i < 16; i++)
        wait_used(q, g, &e);
    memset(guest_at(g, data, 1), 0x55, 1);
    offer_read(g, q, data);
    guest_kick(g, q);
    wait_used(q, g, &e);
    assert_int_equal(*(uint8_t *)guest_at(g, data + 8192 + 16, 1),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(*(uint8_t *)guest_at(g, data, 1), 0x55);
    /* A pause holds for it, too. */
    devices_pause(f->d);
    offer_read(g, q, data);
    guest_kick(g, q);
    devices_resume(f->d);
    wait_used(q, g, &e);
    guest_reset(g);
    guest_lets_go(f);
    assert_true(readable(devices_event_fd(f->d)));
    devices_events(f->d);
    assert_false(present(f, slot));
    assert_false(bus_access(g->bus, BUS_MMIO, g->bar, 4, false, &v));
    assert_int_equal(v, 0xffffffff);
    assert_int_equal(f->events, 0);
    assert_int_equal(f->n_gone, 0);
}

static void
force__nics_driver_sees_the_end_of_its_reset(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    int peer _cleanup_(closep) = -1;
    unsigned slot = attach_nic(f, "n", &peer);
    uint64_t v = 0;
    char byte;

    guest_drive(g, f->d->slots[slot]->v, slot);
    guest_start(g, 0, 2);
    assert_int_equal(devices_detach_nic(f->d, "n", true, NULL), 0);
    assert_int_equal(recv(peer, &byte, 1, 0), 0); /* closed at once */
    assert_false(present(f, slot));
    guest_write(g, COMMON(device_status), 1, 0);
    assert_int_equal(guest_status(g), 0);
    assert_int_equal(guest_read(g, COMMON(queue_select), 2), 0);
    guest_kick(g, &g->q[0]);
    guest_lets_go(f);
    devices_events(f->d);
    assert_false(bus_access(g->bus, BUS_MMIO, g->bar, 4, false, &v));
    assert_int_equal(v, 0xffffffff);
}

static void
force__requests_that_wait_are_failed(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    const struct rate_limits l = {.ops_per_s = 1, .ops_burst = 1};
    unsigned slot = attach(f, "a"), failed = 0;
    struct vring_used_elem e;
    struct guest_queue *q;
    uint64_t data;

    assert_int_equal(devices_disk_limits(f->d, "a", &l, NULL), 0);
    q = drive(f, slot, 16, &data);
    guest_kick(g, q);
    assert_int_equal(devices_detach_disk(f->d, "a", true, NULL), 0);
    for (unsigned i = 0; i < 16; i++) {
        uint8_t status;

        wait_used(q, g, &e);
        status = *(uint8_t *)guest_at(g, data + 8192 + i, 1);
        assert_true(status == VIRTIO_BLK_S_OK || status == VIRTIO_BLK_S_IOERR);
        failed += status == VIRTIO_BLK_S_IOERR;
    }
    assert_true(failed >= 14); /* at a request a second */
}

static void
force__husk_gives_way_to_what_is_there(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    int peer _cleanup_(closep) = -1;
    unsigned a = attach_nic(f, "n", &peer), b;
    uint64_t place;

    guest_drive(g, f->d->slots[a]->v, a);
    place = g->bar;
    assert_int_equal(devices_detach_nic(f->d, "n", true, NULL), 0);
    b = attach(f, "b");
    guest_drive(g, f->d->slots[b]->v, b);
    assert_int_not_equal(g->bar, place);
    guest_cfg_write(g, b, 0x10, 4, (uint32_t)place);
    g->bar = place;
    guest_write(g, COMMON(device_status), 1, 1);
    assert_int_equal(guest_status(g), 1);
    guest_lets_go(f); /* and the end of the husk does not touch it */
    devices_events(f->d);
    assert_int_equal(guest_status(g), 1);
}

static void
detach__a_driver_that_never_let_go_is_safe_too(void **state)
{
    struct fixture *f = *state;
    struct guest_queue *q;
    unsigned slot = attach(f, "a");
    uint64_t data;

    q = drive(f, slot, 8, &data);
    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    guest_kick(&f->g, q);
    guest_lets_go(f); /* without a reset of the device */
    devices_events(f->d);
    assert_false(present(f, slot));
    assert_int_equal(f->n_gone, 1);
}

/* --- pause --- */

static void
pause__nothing_changes_until_resumed(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;
    struct guest_queue *q;
    unsigned slot = attach(f, "a");
    uint64_t data;

    q = drive(f, slot, 16, &data);
    devices_pause(f->d);
    devices_pause(f->d);
    guest_kick(&f->g, q);
    assert_int_equal(devices_detach_disk(f->d, "a", false, NULL), -EINPROGRESS);
    guest_lets_go(f);
    devices_events(f->d);
    assert_true(present(f, slot));
    assert_false(readable(devices_event_fd(f->d)));
    /* started with the rings full: whatever was taken before is finished */
    while (guest_used(&f->g, q, &e))
        ;
    pthread_mutex_lock(&f->g.v->lock);
    assert_int_equal(f->g.v->queues[0].vq.in_flight, 0);
    pthread_mutex_unlock(&f->g.v->lock);
    assert_false(guest_used(&f->g, q, &e));
    slot = attach(f, "b");
    assert_true(f->d->slots[slot]->v->paused);
    devices_resume(f->d);
    assert_false(f->d->slots[slot]->v->paused);
    assert_true(readable(devices_event_fd(f->d)));
    devices_events(f->d);
    assert_int_equal(f->n_gone, 1);
}

/* A device whose work takes as long as the test wants. */
struct slow {
    struct virtio *v;
    bool busy, hooked;
    _Atomic bool paused;
};

static void
slow_queue(void *self, unsigned q)
{
    (void)self;
    (void)q;
}

static bool
slow_reset(void *self)
{
    (void)self;
    return true;
}

static bool
slow_idle(void *self)
{
    return !((struct slow *)self)->busy;
}

static void
slow_update(void *self)
{
    struct slow *s = self;

    s->hooked = s->v->paused;
}

static void *
slow_pauser(void *arg)
{
    struct slow *s = arg;

    virtio_pause(s->v);
    s->paused = true;
    return NULL;
}

static void
pause__waits_for_what_is_in_flight(void **state)
{
    static const struct virtio_type type = {.name = "slow",
                                            .queue = slow_queue,
                                            .reset = slow_reset,
                                            .idle = slow_idle,
                                            .update = slow_update};
    struct fixture *f = *state;
    struct slow s = {.busy = true};
    pthread_t t;
    bool seen;

    assert_int_equal(
        virtio_new(&type, &s, f->g.mem, f->g.loop, 1, 16, 4096, &s.v), 0);
    assert_int_equal(pthread_create(&t, NULL, slow_pauser, &s), 0);
    do {
        pthread_mutex_lock(&s.v->lock);
        seen = s.v->paused;
        pthread_mutex_unlock(&s.v->lock);
    } while (!seen);
    assert_false(s.paused);
    pthread_mutex_lock(&s.v->lock);
    assert_true(s.hooked);
    s.busy = false;
    virtio_idle(s.v);
    pthread_mutex_unlock(&s.v->lock);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_true(s.paused);
    virtio_resume(s.v);
    assert_false(s.hooked);
    virtio_stop(s.v);
    virtio_free(s.v);
}

/* --- one run after another --- */

static void
reset__next_run_has_what_is_attached(void **state)
{
    struct fixture *f = *state;
    struct devices_info info = {0};
    unsigned a = attach(f, "a"), b = attach(f, "b"), c = attach(f, "c"), n, x;
    int peer _cleanup_(closep) = -1, fd;
    char byte = 'x';

    n = attach_nic(f, "n", &peer);
    fd = f->d->slots[b]->want.disk.fd;
    assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
    assert_int_equal(devices_nic_link(f->d, "n", false, NULL), 0);
    assert_int_equal(devices_detach_disk(f->d, "a", true, NULL), 0);
    assert_int_equal(devices_detach_disk(f->d, "c", false, NULL), -EINPROGRESS);
    devices_pause(f->d);
    devices_leave(f->d);
    assert_string_equal(f->gone, "disk c");
    assert_int_equal(f->n_gone, 1);
    assert_int_equal(f->events, 0);
    assert_int_equal(f->coupled, 0);
    /* between the runs: known, but not to be changed */
    assert_int_equal(devices_find(f->d, DEVICES_DISK, "b", note, &info), 0);
    assert_int_equal(devices_nic_link(f->d, "n", true, NULL), -ENOENT);
    assert_int_equal(devices_balloon_target(f->d, 0, NULL), -ENOENT);
    assert_int_equal(devices_balloon_poll(f->d), -EAGAIN);
    /* but to be attached and detached */
    x = attach(f, "x");
    assert_int_equal(x, a);
    assert_int_equal(attach(f, "y"), c);
    assert_int_equal(devices_detach_disk(f->d, "y", false, NULL), 0);
    assert_int_equal(f->n_gone, 1);
    devices_events(f->d);
    power_off(f);
    power_on(f);
    assert_int_equal(devices_enter_on(f->d, &f->host, NULL), 0);
    assert_true(present(f, b)); /* in the same slot */
    assert_true(present(f, n));
    assert_true(present(f, x));
    assert_false(present(f, c));
    assert_int_equal(in(f, REG(UP), 4), 0); /* it was there all the time */
    assert_int_equal(devices_find(f->d, DEVICES_DISK, "b", note, &info), 0);
    assert_int_equal(info.disk.capacity_bytes, DISK_BYTES);
    assert_int_equal(devices_find(f->d, DEVICES_NIC, NULL, note, &info), 0);
    assert_false(info.nic.link_up);
    assert_int_equal(attach(f, "c"), c);
    /* the peer still has the NIC's other end */
    assert_false(readable(peer));
}

static void
reset__failed_start_can_be_tried_again(void **state)
{
    struct fixture *f = *state;
    unsigned slot = attach(f, "a");
    struct err e = {0};
    uint64_t v = 0;

    devices_leave(f->d);
    assert_int_equal(bus_add(f->g.bus, BUS_PIO, REG(UP), 1, &pm_bus_ops, f->pm),
                     0);
    assert_int_equal(devices_enter_on(f->d, &f->host, &e), -EEXIST);
    assert_true(e.message[0] != '\0');
    assert_false(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, false, &v));
    bus_remove(f->g.bus, BUS_PIO, REG(UP));
    assert_int_equal(devices_enter_on(f->d, &f->host, NULL), 0);
    assert_true(present(f, slot));
}

/* --- what is refused --- */

static void
refuse_disk(struct fixture *f, struct devices_disk disk, int want,
            const char *pointer)
{
    struct err e = {0};
    unsigned slot = 77;

    assert_int_equal(devices_attach_disk(f->d, &disk, &slot, &e), want);
    assert_int_equal(disk.fd, -1);
    assert_int_equal(slot, 77);
    if (pointer) {
        assert_int_equal(e.n_details, 1);
        assert_string_equal(e.details[0].pointer, pointer);
    }
    err_release(&e);
}

static void
attach__bad_descriptions_leave_nothing(void **state)
{
    struct fixture *f = *state;
    char longest[DEVICES_NAME_SIZE + 1];
    unsigned before;
    int pipes[2];

    attach(f, "a");
    attach(f, NULL);
    before = count_in("/proc/self/fd");
    memset(longest, 'n', sizeof(longest));
    longest[DEVICES_NAME_SIZE] = '\0';
    refuse_disk(f, (struct devices_disk){.name = "a", .fd = disk_fd()}, -EEXIST,
                "/name");
    refuse_disk(f, (struct devices_disk){.name = "disk0", .fd = disk_fd()},
                -EEXIST, "/name"); /* made for the second one */
    refuse_disk(f, (struct devices_disk){.name = "", .fd = disk_fd()}, -EINVAL,
                "/name");
    refuse_disk(f, (struct devices_disk){.name = "a\nb", .fd = disk_fd()},
                -EINVAL, "/name");
    refuse_disk(f, (struct devices_disk){.name = longest, .fd = disk_fd()},
                -EINVAL, "/name");
    refuse_disk(f, (struct devices_disk){.fd = -1}, -EINVAL, "/fd");
    refuse_disk(f, (struct devices_disk){.fd = 12345}, -EINVAL, "/fd");
    refuse_disk(f, (struct devices_disk){.fd = disk_fd(), .queues = 17},
                -EINVAL, "/queues");
    refuse_disk(f,
                (struct devices_disk){.fd = disk_fd(),
                                      .serial = "123456789012345678901"},
                -EINVAL, "/serial");
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    close(pipes[1]);
    refuse_disk(f, (struct devices_disk){.fd = pipes[0]}, -EINVAL, NULL);
    assert_int_equal(count_in("/proc/self/fd"), before);
    for (unsigned i = 2; i < DEVICES_MAX_DISKS; i++)
        attach(f, NULL);
    before = count_in("/proc/self/fd");
    refuse_disk(f, (struct devices_disk){.fd = disk_fd()}, -ENOSPC, NULL);
    assert_int_equal(count_in("/proc/self/fd"), before);
}

static void
refuse_nic(struct fixture *f, struct devices_nic nic, const char *pointer)
{
    struct err e = {0};
    unsigned slot = 77;

    if (!nic.fds[0])
        nic.fds[0] = disk_fd();
    assert_int_equal(devices_attach_nic(f->d, &nic, &slot, &e), -EINVAL);
    if (nic.n_queues)
        assert_int_equal(nic.fds[0], -1);
    else
        closep(&nic.fds[0]);
    assert_int_equal(e.n_details, 1);
    assert_string_equal(e.details[0].pointer, pointer);
    err_release(&e);
}

static void
attach__bad_nics_leave_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned before = count_in("/proc/self/fd");

    refuse_nic(f, (struct devices_nic){.n_queues = 0}, "/fds");
    refuse_nic(f, (struct devices_nic){.n_queues = 1, .fds = {-1}}, "/fds");
    refuse_nic(f, (struct devices_nic){.n_queues = 1, .mtu = 67}, "/mtu");
    refuse_nic(f, (struct devices_nic){.n_queues = 1, .mac = {1}}, "/mac");
    assert_int_equal(count_in("/proc/self/fd"), before);
}

static void
new__error_names_the_device_and_closes_all(void **state)
{
    struct fixture *f = *state;
    unsigned before = count_in("/proc/self/fd");
    struct devices_disk disks[] = {{.name = "a", .fd = disk_fd()},
                                   {.name = "a", .fd = disk_fd()},
                                   {.name = "c", .fd = disk_fd()}};
    struct devices_config cfg = config(f);
    struct devices *d = NULL;
    struct err e = {0};

    cfg.disks = disks;
    cfg.n_disks = ARRAY_SIZE(disks);
    assert_int_equal(devices_new_on(&f->host, &cfg, &d, &e), -EEXIST);
    assert_string_equal(e.details[0].pointer, "/disks/1/name");
    assert_null(d);
    for (size_t i = 0; i < ARRAY_SIZE(disks); i++)
        assert_int_equal(disks[i].fd, -1);
    assert_int_equal(count_in("/proc/self/fd"), before);
    err_release(&e);
}

/* --- changes --- */

static void
control__changes_are_found_again(void **state)
{
    struct fixture *f = *state;
    const struct rate_limits l = {.ops_per_s = 5}, m = {.bytes_per_s = 7};
    struct dev_balloon_stats b;
    struct devices_info info = {0};
    int peer _cleanup_(closep) = -1;
    unsigned slot = attach(f, "a");
    uint64_t bytes = 0;

    attach_nic(f, "n", &peer);
    assert_int_equal(ftruncate(f->d->slots[slot]->want.disk.fd, 2 * DISK_BYTES),
                     0);
    assert_int_equal(devices_resize_disk(f->d, "a", &bytes, NULL), 0);
    assert_int_equal(bytes, 2 * DISK_BYTES);
    assert_int_equal(devices_disk_limits(f->d, "a", &l, NULL), 0);
    assert_int_equal(devices_find(f->d, DEVICES_DISK, "a", note, &info), 0);
    assert_int_equal(info.slot, slot);
    assert_int_equal(info.disk.capacity_bytes, 2 * DISK_BYTES);
    assert_int_equal(info.disk.limits.ops_per_s, 5);
    assert_int_equal(info.disk.queues, 1);
    assert_int_equal(devices_nic_limits(f->d, "n", &l, NULL, NULL), 0);
    assert_int_equal(devices_nic_limits(f->d, "n", NULL, &m, NULL), 0);
    assert_int_equal(devices_nic_link(f->d, "n", false, NULL), 0);
    assert_int_equal(devices_find(f->d, DEVICES_NIC, "n", note, &info), 0);
    assert_int_equal(info.nic.rx.ops_per_s, 5);
    assert_int_equal(info.nic.tx.bytes_per_s, 7);
    assert_false(info.nic.link_up);
    assert_int_equal(info.nic.mac[0], 2);
    assert_int_equal(devices_balloon_target(f->d, MEM + 4096, NULL), -EINVAL);
    assert_int_equal(devices_balloon_target(f->d, GUEST_MIB, NULL), 0);
    devices_balloon_stats(f->d, &b);
    assert_int_equal(b.target_bytes, GUEST_MIB);
    assert_int_equal(devices_balloon_poll(f->d), -EAGAIN);
    /* the wrong kind, no name, no such name */
    assert_int_equal(devices_resize_disk(f->d, "n", &bytes, NULL), -ENOENT);
    assert_int_equal(devices_resize_disk(f->d, NULL, &bytes, NULL), -ENOENT);
    assert_int_equal(devices_disk_limits(f->d, "x", &l, NULL), -ENOENT);
    assert_int_equal(devices_nic_limits(f->d, "a", &l, NULL, NULL), -ENOENT);
    assert_int_equal(devices_detach_nic(f->d, "a", false, NULL), -ENOENT);
    assert_int_equal(devices_detach_disk(f->d, NULL, true, NULL), -ENOENT);
}

/* --- nothing grows --- */

/* Our own: io_uring's workers are the kernel's, which ends them when it likes.
 */
static unsigned
count_threads(void)
{
    DIR *dir _cleanup_(closedirp) = opendir("/proc/self/task");
    const struct dirent *e;
    unsigned n = 0;

    assert_non_null(dir);
    while ((e = readdir(dir))) {
        struct buf name _cleanup_(buf_release) = {0};
        char path[320];

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
        /* one that ended meanwhile is none */
        n += e->d_name[0] != '.' && fs_read(path, 64, &name, NULL) == 0 &&
             strncmp(buf_str(&name), "iou-", 4) != 0;
    }
    return n;
}

static void
threads__each_disk_has_its_own_and_nics_share_one(void **state)
{
    struct fixture *f = *state;
    int peer _cleanup_(closep) = -1, other _cleanup_(closep) = -1;
    unsigned before = count_threads(); /* one is for entropy and balloon */

    attach(f, "a");
    assert_int_equal(count_threads(), before + 1);
    attach(f, "b");
    assert_int_equal(count_threads(), before + 2);
    attach_nic(f, "n", &peer);
    assert_int_equal(count_threads(), before + 3);
    attach_nic(f, "m", &other);
    assert_int_equal(count_threads(), before + 3);
}

static void
cycles__a_thousand_leave_nothing_behind(void **state)
{
    struct fixture *f = *state;
    unsigned fds, threads, irqs, disk, nic;
    unsigned asked = 0;
    int peer = -1, coupled, events;
    uint64_t data;

    /* The first of each makes its class's thread. */
    for (unsigned i = 0; i < 1001; i++) {
        bool force = i % 3 == 2;

        asked += force ? 0 : 2;

        disk = attach(f, "a");
        nic = attach_nic(f, "n", &peer);
        assert_true(disk <= 8 && nic <= 8);
        f->g.heap = 0x10000;
        if (i % 2)
            drive(f, disk, 4, &data);
        else
            guest_cfg_write(&f->g, disk, 4, 2, 6);
        assert_int_equal(devices_detach_disk(f->d, "a", force, NULL),
                         force ? 0 : -EINPROGRESS);
        assert_int_equal(devices_detach_nic(f->d, "n", force, NULL),
                         force ? 0 : -EINPROGRESS);
        guest_lets_go(f);
        devices_events(f->d);
        closep(&peer);
        if (i == 0) {
            fds = count_in("/proc/self/fd");
            threads = count_threads();
            assert_true(threads >= 4); /* with ours */
            irqs = pci_irq_slots_taken(f->d->pci);
            coupled = f->coupled;
            events = f->events;
        }
    }
    assert_int_equal(count_in("/proc/self/fd"), fds);
    assert_int_equal(count_threads(), threads);
    assert_int_equal(pci_irq_slots_taken(f->d->pci), irqs);
    assert_int_equal(f->coupled, coupled);
    assert_int_equal(f->events, events);
    assert_true(f->max_slot < 32);
    assert_int_equal(f->n_gone, asked);
}

/* --- vCPUs at work meanwhile --- */

struct vcpu_thread {
    struct fixture *f;
    struct bus *bus;
    _Atomic bool stop;
};

static void *
hostile_vcpu(void *arg)
{
    struct vcpu_thread *t = arg;
    unsigned seed = 1;

    while (!t->stop) {
        uint64_t v = ~0u, slot = (seed = seed * 1103515245 + 12345) >> 27 & 7;

        bus_access(t->bus, BUS_PIO, REG(EJECT), 4, true, &v);
        v = ~0u;
        bus_access(t->bus, BUS_PIO, REG(UP), 4, true, &v);
        v = 0x80000000u | slot << 11 | 4;
        bus_access(t->bus, BUS_PIO, 0xcf8, 4, true, &v);
        v = seed & 0x10000 ? 6 : 0;
        bus_access(t->bus, BUS_PIO, 0xcfc, 2, true, &v);
        for (unsigned i = 0; i < 8; i++) {
            uint64_t bar = PLATFORM_PCI_WINDOW + i * VPCI_BAR_SIZE;

            v = seed & 0xf;
            bus_access(t->bus, BUS_MMIO, bar + COMMON(device_status), 1, true,
                       &v);
            bus_access(t->bus, BUS_MMIO, bar + VPCI_NOTIFY, 2, true, &v);
        }
    }
    return NULL;
}

static void
count_one(void *arg, const struct devices_info *info)
{
    *(unsigned *)arg += info->slot != 0;
}

static void *
watcher(void *arg)
{
    struct vcpu_thread *t = arg;

    while (!t->stop) {
        struct dev_balloon_stats b;
        unsigned n = 0;

        devices_walk(t->f->d, count_one, &n);
        assert_true(n >= 2);
        devices_balloon_stats(t->f->d, &b);
    }
    return NULL;
}

static void
threads__vcpus_eject_and_access_at_any_time(void **state)
{
    struct fixture *f = *state;
    struct vcpu_thread t = {.f = f, .bus = f->g.bus};
    pthread_t vcpu[2], watch;
    struct err e = {0};

    for (unsigned run = 0; run < 4; run++) {
        t.stop = false;
        for (size_t i = 0; i < ARRAY_SIZE(vcpu); i++)
            assert_int_equal(pthread_create(&vcpu[i], NULL, hostile_vcpu, &t),
                             0);
        assert_int_equal(pthread_create(&watch, NULL, watcher, &t), 0);
        for (unsigned i = 0; i < 40; i++) {
            int peer _cleanup_(closep) = -1, r;

            attach(f, "a");
            attach_nic(f, "n", &peer);
            r = devices_detach_disk(f->d, "a", i % 4 == 0, &e);
            if (i % 5 == 0)
                devices_pause(f->d);
            devices_events(f->d);
            devices_resume(f->d);
            /* These ejects come without end: the wait ends. */
            for (unsigned gone = f->n_gone; r && gone == f->n_gone;) {
                struct pollfd p = {devices_event_fd(f->d), POLLIN, 0};

                if (!device_find(f->d, DEVICES_DISK, "a", NULL))
                    break;
                assert_int_equal(poll(&p, 1, 10000), 1);
                devices_events(f->d);
            }
            assert_int_equal(devices_detach_nic(f->d, "n", true, &e), 0);
        }
        attach(f, "a");
        assert_int_equal(devices_detach_disk(f->d, "a", false, &e),
                         -EINPROGRESS);
        t.stop = true;
        for (size_t i = 0; i < ARRAY_SIZE(vcpu); i++)
            pthread_join(vcpu[i], NULL);
        pthread_join(watch, NULL);
        /* The reset comes while an eject may be waiting. */
        devices_leave(f->d);
        assert_int_equal(devices_enter_on(f->d, &f->host, &e), 0);
    }
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(attach__guest_is_told_by_an_event),
        CASE(detach__gone_after_the_guests_eject),
        CASE(detach__silent_guest_is_asked_again_or_forced),
        CASE(force__slot_rests_until_the_guest_lets_go),
        CASE(force__resting_slots_are_the_last_resort),
        CASE(eject__what_nobody_asked_for_is_counted_and_ignored),
        CASE(eject__asked_again_after_it_changes_nothing),
        CASE(force__driver_at_work_gets_errors_until_it_lets_go),
        CASE(force__nics_driver_sees_the_end_of_its_reset),
        CASE(force__requests_that_wait_are_failed),
        CASE(force__husk_gives_way_to_what_is_there),
        CASE(detach__a_driver_that_never_let_go_is_safe_too),
        CASE(pause__nothing_changes_until_resumed),
        CASE(pause__waits_for_what_is_in_flight),
        CASE(reset__next_run_has_what_is_attached),
        CASE(reset__failed_start_can_be_tried_again),
        CASE(attach__bad_descriptions_leave_nothing),
        CASE(attach__bad_nics_leave_nothing),
        CASE(new__error_names_the_device_and_closes_all),
        CASE(threads__each_disk_has_its_own_and_nics_share_one),
        CASE(control__changes_are_found_again),
        CASE(cycles__a_thousand_leave_nothing_behind),
        CASE(threads__vcpus_eject_and_access_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
