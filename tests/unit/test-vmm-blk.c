/* test-vmm-blk.c - the disk, with io_uring, without it, and with O_DIRECT. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/stat.h>

#include "common/count.h"
#include "hypervisor-backend/vmm/dev_blk.h"

#define SECTORS 4096U
#define F(name) VIRTIO_BIT(VIRTIO_BLK_F_##name)
#define ALL (F(FLUSH) | F(DISCARD) | F(WRITE_ZEROES) | F(SEG_MAX))

struct fixture {
    struct guest g;
    struct dev_blk *d;
    char path[64];
    int fd; /* the test's own */
    uint64_t header, status, data;
};

struct variant {
    bool direct, no_io_uring, read_only;
    unsigned n_queues;
    struct rate_limits limits;
};

static struct fixture *
make(const struct variant *v)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dev_blk_options o = {.direct = v->direct,
                                .no_io_uring = v->no_io_uring,
                                .read_only = v->read_only,
                                .n_queues = v->n_queues,
                                .limits = v->limits,
                                .serial = "serial-0123456789-cut-here"};

    snprintf(f->path, sizeof(f->path), "/tmp/virga-blk-XXXXXX");
    f->fd = mkstemp(f->path);
    assert_true(f->fd >= 0);
    assert_int_equal(ftruncate(f->fd, SECTORS * 512), 0);
    for (unsigned i = 0; i < 16; i++) {
        char sector[512];

        memset(sector, 'A' + (int)i, sizeof(sector));
        assert_int_equal(pwrite(f->fd, sector, 512, i * 512), 512);
    }
    guest_new(&f->g, 16 * GUEST_MIB);
    o.fd = open(f->path, O_RDWR | O_CLOEXEC);
    assert_true(o.fd >= 0);
    assert_int_equal(dev_blk_new(f->g.mem, f->g.loop, &o, &f->d, NULL), 0);
    guest_plug(&f->g, dev_blk_virtio(f->d), DEV_BLK_CLASS);
    f->header = guest_alloc(&f->g, 4096, 4096);
    f->status = guest_alloc(&f->g, 4096, 4096);
    f->data = guest_alloc(&f->g, 4 * GUEST_MIB, 4096);
    return f;
}

static void
destroy(struct fixture *f)
{
    guest_unplug(&f->g);
    dev_blk_free(f->d);
    guest_free(&f->g);
    close(f->fd);
    unlink(f->path);
    free(f);
}

static int
setup(void **state)
{
    struct fixture *f = make(&(struct variant){0});

    guest_start(&f->g, ALL, 1);
    *state = f;
    return 0;
}

static int
setup_no_uring(void **state)
{
    struct fixture *f = make(&(struct variant){.no_io_uring = true});

    guest_start(&f->g, ALL, 1);
    *state = f;
    return 0;
}

static int
setup_direct(void **state)
{
    struct fixture *f = make(&(struct variant){.direct = true});

    guest_start(&f->g, ALL, 1);
    *state = f;
    return 0;
}

/* No flush feature: every write is durable. */
static int
setup_write_through(void **state)
{
    struct fixture *f = make(&(struct variant){0});

    guest_start(&f->g, (ALL & ~F(FLUSH)), 1);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    destroy(*state);
    return 0;
}

static void
set_header(struct fixture *f, uint32_t type, uint64_t sector)
{
    struct virtio_blk_outhdr h = {.type = type, .sector = sector};

    memcpy(guest_at(&f->g, f->header, sizeof(h)), &h, sizeof(h));
    *(uint8_t *)guest_at(&f->g, f->status, 1) = 0xee;
}

static uint8_t
status(struct fixture *f)
{
    return *(uint8_t *)guest_at(&f->g, f->status, 1);
}

/* One request over queue 0; its status byte. */
static uint8_t
ask(struct fixture *f, uint32_t type, uint64_t sector, uint64_t data,
    uint32_t len)
{
    bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    struct guest_seg s[] = {
        {f->header, 16, false}, {data, len, in}, {f->status, 1, true}};

    set_header(f, type, sector);
    if (!len)
        s[1] = s[2];
    guest_send(&f->g, &f->g.q[0], s, len ? 3 : 2);
    guest_wait(&f->g, &f->g.q[0]);
    return status(f);
}

static void
read__gives_the_file(void **state)
{
    struct fixture *f = *state;
    uint8_t *p = guest_at(&f->g, f->data, 4096);

    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 3, f->data, 1024), 0);
    assert_int_equal(p[0], 'D');
    assert_int_equal(p[511], 'D');
    assert_int_equal(p[512], 'E');
    assert_int_equal(p[1024], 0);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS - 8, f->data, 4096), 0);
    assert_int_equal(p[0], 0);
}

static void
write__reaches_the_file(void **state)
{
    struct fixture *f = *state;
    char back[1024];

    memset(guest_at(&f->g, f->data, 1024), 'w', 1024);
    assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 100, f->data, 1024), 0);
    assert_int_equal(ask(f, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
    assert_int_equal(pread(f->fd, back, 1024, 100 * 512), 1024);
    assert_int_equal(back[0], 'w');
    assert_int_equal(back[1023], 'w');
    assert_int_equal(pread(f->fd, back, 1, 102 * 512), 1);
    assert_int_equal(back[0], 0);
}

/* Section 2.7.4: a device must not rely on how a request is cut. */
static void
framing__any_cut_is_understood(void **state)
{
    struct fixture *f = *state;
    uint64_t d = f->data;
    struct guest_seg w[] = {
        {f->header, 5, false}, {f->header + 5, 11, false}, {d, 100, false},
        {d + 100, 412, false}, {d + 512, 512, false},      {f->status, 1, true},
    };
    struct guest_seg one_out[] = {{d, 16 + 512, false}, {f->status, 1, true}};
    struct guest_seg one_in[] = {{f->header, 16, false}, {d, 513, true}};
    uint8_t *p = guest_at(&f->g, d, 4096);
    char back[1024];

    set_header(f, VIRTIO_BLK_T_OUT, 50);
    memset(p, 'x', 512);
    memset(p + 512, 'y', 512);
    guest_send(&f->g, &f->g.q[0], w, 6);
    guest_wait(&f->g, &f->g.q[0]);
    assert_int_equal(status(f), 0);
    assert_int_equal(pread(f->fd, back, 1024, 50 * 512), 1024);
    assert_int_equal(back[511], 'x');
    assert_int_equal(back[512], 'y');
    /* header and data in one */
    set_header(f, VIRTIO_BLK_T_OUT, 60);
    memcpy(p, guest_at(&f->g, f->header, 16), 16);
    memset(p + 16, 'z', 512);
    guest_send(&f->g, &f->g.q[0], one_out, 2);
    guest_wait(&f->g, &f->g.q[0]);
    assert_int_equal(status(f), 0);
    assert_int_equal(pread(f->fd, back, 512, 60 * 512), 512);
    assert_int_equal(back[0], 'z');
    assert_int_equal(back[511], 'z');
    /* data and status in one */
    set_header(f, VIRTIO_BLK_T_IN, 60);
    memset(p, 0xee, 513);
    guest_send(&f->g, &f->g.q[0], one_in, 2);
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, 513);
    assert_int_equal(p[0], 'z');
    assert_int_equal(p[512], 0);
}

static void
large__request_of_odd_memory_moves(void **state)
{
    struct fixture *f = *state;
    uint32_t len = 512 * 1024;
    uint64_t odd = f->data + 3;
    uint8_t *p = guest_at(&f->g, odd, len);
    char back[512];

    for (uint32_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i / 512 + i);
    assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 8, odd, len), 0);
    assert_int_equal(pread(f->fd, back, 512, 8 * 512 + 300 * 512), 512);
    assert_memory_equal(back, p + 300 * 512, 512);
    memset(p, 0, len);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 8, odd, len), 0);
    for (uint32_t i = 0; i < len; i++)
        if (p[i] != (uint8_t)(i / 512 + i))
            fail_msg("byte %u differs", i);
}

struct tally {
    uint64_t no_uring, bounced;
};

static void
tally_one(const char *name, uint64_t value, void *arg)
{
    struct tally *t = arg;

    if (strcmp(name, "vmm_file_without_io_uring") == 0)
        t->no_uring = value;
    if (strcmp(name, "vmm_file_bounced") == 0)
        t->bounced = value;
}

/* The variants of these tests are what they say: a quiet fallback would let
 * them pass without testing anything. */
static void
variants__are_in_use(void **state)
{
    struct tally before = {0}, after = {0};
    struct fixture *f;

    (void)state;
    count_each(tally_one, &before);
    f = make(&(struct variant){.direct = true});
    count_each(tally_one, &after);
    if (after.no_uring != before.no_uring) {
        destroy(f);
        print_message("# SKIP io_uring is not allowed here\n");
        skip();
    }
    guest_start(&f->g, ALL, 1);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, f->data, 512), 0);
    count_each(tally_one, &after);
    assert_int_equal(after.bounced, before.bounced);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, f->data + 1, 512), 0);
    count_each(tally_one, &after);
    if (after.bounced == before.bounced)
        print_message("# the file system here does no O_DIRECT\n");
    destroy(f);
    f = make(&(struct variant){.no_io_uring = true});
    count_each(tally_one, &after);
    assert_int_equal(after.no_uring, before.no_uring + 1);
    destroy(f);
}

static void
bounds__outside_is_an_error(void **state)
{
    struct fixture *f = *state;
    static const uint64_t bad[] = {SECTORS,
                                   SECTORS - 1,
                                   UINT64_MAX,
                                   UINT64_MAX - 1,
                                   UINT64_MAX >> 9,
                                   (UINT64_C(1) << 55),
                                   (UINT64_C(1) << 63)};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(ask(f, VIRTIO_BLK_T_IN, bad[i], f->data, 1024),
                         VIRTIO_BLK_S_IOERR);
        assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, bad[i], f->data, 1024),
                         VIRTIO_BLK_S_IOERR);
    }
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, f->data, 511),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 0, f->data, 513),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS - 2, f->data, 1024), 0);
    struct stat st;
    assert_int_equal(fstat(f->fd, &st), 0);
    assert_int_equal(st.st_size, SECTORS * 512);
}

static void
type__unknown_is_unsupported(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, 77, 0, f->data, 512), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(ask(f, UINT32_MAX, 0, 0, 0), VIRTIO_BLK_S_UNSUPP);
}

static void
serial__is_twenty_bytes(void **state)
{
    struct fixture *f = *state;
    uint8_t *p = guest_at(&f->g, f->data, 64);

    memset(p, 0xee, 64);
    assert_int_equal(ask(f, VIRTIO_BLK_T_GET_ID, 0, f->data, 20), 0);
    assert_memory_equal(p, "serial-0123456789-cu", 20);
    assert_int_equal(p[20], 0xee);
    assert_int_equal(ask(f, VIRTIO_BLK_T_GET_ID, 0, f->data, 19),
                     VIRTIO_BLK_S_IOERR);
}

static void
malformed__needs_reset_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct guest_seg head_only[] = {{f->header, 16, false}};
    struct guest_seg short_header[] = {{f->header, 15, false},
                                       {f->status, 1, true}};
    struct guest_seg no_out[] = {{f->status, 1, true}};
    const struct {
        struct guest_seg *s;
        unsigned n;
    } bad[] = {{head_only, 1}, {short_header, 2}, {no_out, 1}};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        set_header(f, VIRTIO_BLK_T_IN, 0);
        guest_send(&f->g, &f->g.q[0], bad[i].s, bad[i].n);
        guest_wait_needs_reset(&f->g);
        guest_reset(&f->g);
        guest_start(&f->g, ALL, 1);
        assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, f->data, 512), 0);
    }
}

static uint8_t
ask_ranges(struct fixture *f, uint32_t type,
           const struct virtio_blk_discard_write_zeroes *r, unsigned n)
{
    memcpy(guest_at(&f->g, f->data, n * sizeof(*r)), r, n * sizeof(*r));
    return ask(f, type, 0, f->data, n * sizeof(*r));
}

static void
zeroes__ranges_are_cleared(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_discard_write_zeroes r[] = {
        {.sector = 2, .num_sectors = 2},
        {.sector = 6, .num_sectors = 1, .flags = 1},
        {.sector = 9, .num_sectors = 0},
    };
    char back[16 * 512];

    assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, r, 3), 0);
    assert_int_equal(pread(f->fd, back, sizeof(back), 0), sizeof(back));
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(back[i * 512],
                         i == 2 || i == 3 || i == 6 ? 0 : 'A' + (int)i);
}

static void
discard__frees_or_keeps(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_discard_write_zeroes r[] = {
        {.sector = 0, .num_sectors = 8},
    };
    struct stat st;

    assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_DISCARD, r, 1), 0);
    assert_int_equal(fstat(f->fd, &st), 0);
    assert_int_equal(st.st_size, SECTORS * 512);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 8, f->data, 512), 0);
    assert_int_equal(*(char *)guest_at(&f->g, f->data, 1), 'I');
}

static void
ranges__bad_ones_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct virtio_blk_discard_write_zeroes io[] = {
        {.sector = SECTORS, .num_sectors = 1},
        {.sector = UINT64_MAX, .num_sectors = 2},
        {.sector = 0, .num_sectors = UINT32_MAX},
        {.sector = SECTORS - 1, .num_sectors = 2},
    };
    static const struct virtio_blk_discard_write_zeroes flags = {.num_sectors =
                                                                     1,
                                                                 .flags = 2},
                                                        unmap = {.num_sectors =
                                                                     1,
                                                                 .flags = 1};
    struct virtio_blk_discard_write_zeroes many[17] = {{0}};

    for (size_t i = 0; i < ARRAY_SIZE(io); i++) {
        assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_DISCARD, &io[i], 1),
                         VIRTIO_BLK_S_IOERR);
        assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, &io[i], 1),
                         VIRTIO_BLK_S_IOERR);
    }
    assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, &flags, 1),
                     VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_DISCARD, &unmap, 1),
                     VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_DISCARD, many, 17),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_DISCARD, many, 16), 0);
    assert_int_equal(ask(f, VIRTIO_BLK_T_DISCARD, 0, f->data, 15),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(ask(f, VIRTIO_BLK_T_DISCARD, 0, 0, 0), VIRTIO_BLK_S_IOERR);
}

static void
resize__is_seen_and_enforced(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(guest_read(&f->g, VPCI_DEVICE, 8), SECTORS);
    assert_int_equal(ftruncate(f->fd, 2 * SECTORS * 512), 0);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS, f->data, 512),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(dev_blk_resized(f->d), 0);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE, 8), 2 * SECTORS);
    assert_int_equal(guest_interrupts(&f->g, 0), 1);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS, f->data, 512), 0);
    assert_int_equal(ftruncate(f->fd, 512), 0);
    /* the file shrank under us: an error, not old data */
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 8, f->data, 512),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(dev_blk_resized(f->d), 0);
    assert_int_equal(dev_blk_capacity(f->d), 512);
    assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 1, f->data, 512),
                     VIRTIO_BLK_S_IOERR);
}

static void
reset__with_io_in_flight_drains(void **state)
{
    struct fixture *f = *state;
    struct dev_blk_stats st;

    set_header(f, VIRTIO_BLK_T_IN, 0);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 20; i++) {
            struct guest_seg s[] = {{f->header, 16, false},
                                    {f->data + i * 65536, 65536, true},
                                    {f->status, 1, true}};

            guest_offer(&f->g, &f->g.q[0],
                        guest_chain(&f->g, &f->g.q[0], s, 3));
        }
        guest_kick(&f->g, &f->g.q[0]);
        guest_reset(&f->g);
        /* nothing writes to the guest any more */
        memset(guest_at(&f->g, f->data, 20 * 65536), 0x55, 20 * 65536);
        guest_start(&f->g, ALL, 1);
        guest_settle(&f->g);
        uint8_t *p = guest_at(&f->g, f->data, 20 * 65536);
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(p[i * 65536], 0x55);
    }
    dev_blk_stats(f->d, &st);
    assert_int_equal(st.errors, 0);
}

struct served {
    struct guest *g;
    unsigned n, want;
};

static bool
all_served(void *arg)
{
    struct served *s = arg;
    struct vring_used_elem e;

    for (unsigned q = 0; q < 4; q++)
        while (guest_used(s->g, &s->g->q[q], &e))
            s->n++;
    return s->n >= s->want;
}

static void
queues__more_than_the_depth_all_complete(void **state)
{
    struct fixture *f = make(&(struct variant){.n_queues = 4});
    struct served served = {.g = &f->g, .want = 0};
    struct dev_blk_stats st;

    (void)state;
    guest_start(&f->g, ALL | F(MQ), 4);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 34, 2), 4);
    set_header(f, VIRTIO_BLK_T_IN, 0);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned q = 0; q < 4; q++) {
            for (unsigned i = 0; i < GUEST_QUEUE / 3; i++) {
                struct guest_seg s[] = {
                    {f->header, 16, false},
                    {f->data + (q * 32 + i) * 4096, 4096, true},
                    {f->status, 1, true}};

                guest_offer(&f->g, &f->g.q[q],
                            guest_chain(&f->g, &f->g.q[q], s, 3));
                served.want++;
            }
            guest_kick(&f->g, &f->g.q[q]);
        }
        guest_wait_for(&f->g, all_served, &served);
    }
    dev_blk_stats(f->d, &st);
    assert_int_equal(st.reads, served.want);
    assert_int_equal(st.read_bytes, (uint64_t)served.want * 4096);
    uint64_t counted = 0;
    for (unsigned i = 0; i < DEV_BLK_BUCKETS; i++)
        counted += st.latency[i];
    assert_int_equal(counted, served.want);
    destroy(f);
}

static void
read_only__writes_fail(void **state)
{
    struct fixture *f = make(&(struct variant){.read_only = true});
    struct virtio_blk_discard_write_zeroes r = {.num_sectors = 1};

    (void)state;
    assert_int_equal(guest_offered(&f->g) & (F(RO) | F(DISCARD)), F(RO));
    guest_start(&f->g, F(RO) | F(FLUSH), 1);
    assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 0, f->data, 512),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(ask_ranges(f, VIRTIO_BLK_T_DISCARD, &r, 1),
                     VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, f->data, 512), 0);
    assert_int_equal(*(char *)guest_at(&f->g, f->data, 1), 'A');
    destroy(f);
}

static void
rate__holds_back_and_lets_go(void **state)
{
    /* A burst of 4, then one each 20 ms: 8 requests take 4 waits at least. */
    struct fixture *f =
        make(&(struct variant){.limits = {.ops_per_s = 50, .ops_burst = 4}});
    struct dev_blk_stats st;
    uint64_t began = rate_now_ns();

    (void)state;
    guest_start(&f->g, ALL, 1);
    set_header(f, VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < 8; i++) {
        struct guest_seg s[] = {{f->header, 16, false},
                                {f->data + i * 512, 512, true},
                                {f->status, 1, true}};

        guest_send(&f->g, &f->g.q[0], s, 3);
    }
    for (unsigned i = 0; i < 8; i++)
        guest_wait(&f->g, &f->g.q[0]);
    assert_true(rate_now_ns() - began >= 70 * UINT64_C(1000000));
    dev_blk_stats(f->d, &st);
    assert_true(st.throttled >= 4);
    /* a limit that would take minutes, lifted */
    dev_blk_set_limits(f->d, &(struct rate_limits){.bytes_per_s = 1});
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, f->data, 4096), 0);
    struct guest_seg s[] = {
        {f->header, 16, false}, {f->data, 512, true}, {f->status, 1, true}};
    guest_send(&f->g, &f->g.q[0], s, 3);
    guest_settle(&f->g);
    dev_blk_set_limits(f->d, &(struct rate_limits){0});
    guest_wait(&f->g, &f->g.q[0]);
    /* a reset while held back leaves nothing behind */
    dev_blk_set_limits(f->d, &(struct rate_limits){.bytes_per_s = 1});
    assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, f->data, 4096), 0);
    guest_send(&f->g, &f->g.q[0], s, 3);
    guest_reset(&f->g);
    destroy(f);
}

static void
open__what_is_no_disk_is_refused(void **state)
{
    struct guest g;
    struct dev_blk *d;
    struct err e = {0};
    int fd[2];

    (void)state;
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    guest_new(&g, GUEST_MIB);
    assert_int_equal(dev_blk_new(g.mem, g.loop,
                                 &(struct dev_blk_options){.fd = fd[0]}, &d,
                                 &e),
                     -EINVAL);
    assert_true(e.message[0]);
    err_release(&e);
    assert_int_equal(
        dev_blk_new(g.mem, g.loop,
                    &(struct dev_blk_options){.fd = fd[0], .n_queues = 17}, &d,
                    NULL),
        -EINVAL);
    guest_free(&g);
    close(fd[0]);
    close(fd[1]);
}

#define V(name, setup_fn)                                                      \
    {                                                                          \
#name " (" #setup_fn ")", name, setup_fn, teardown, NULL               \
    }
#define T(name)                                                                \
    V(name, setup), V(name, setup_no_uring), V(name, setup_direct),            \
        V(name, setup_write_through)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(read__gives_the_file),
        T(write__reaches_the_file),
        T(framing__any_cut_is_understood),
        T(large__request_of_odd_memory_moves),
        T(bounds__outside_is_an_error),
        T(type__unknown_is_unsupported),
        T(serial__is_twenty_bytes),
        T(malformed__needs_reset_and_recovers),
        T(zeroes__ranges_are_cleared),
        T(discard__frees_or_keeps),
        T(ranges__bad_ones_are_refused),
        T(resize__is_seen_and_enforced),
        T(reset__with_io_in_flight_drains),
        cmocka_unit_test(variants__are_in_use),
        cmocka_unit_test(queues__more_than_the_depth_all_complete),
        cmocka_unit_test(read_only__writes_fail),
        cmocka_unit_test(rate__holds_back_and_lets_go),
        cmocka_unit_test(open__what_is_no_disk_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
