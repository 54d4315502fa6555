/* test-vmm-balloon.c - the balloon: pages really go back to the host. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <linux/virtio_balloon.h>
#include <string.h>
#include <sys/mman.h>

#include "hypervisor-backend/vmm/dev_balloon.h"

#define F(name) VIRTIO_BIT(VIRTIO_BALLOON_F_##name)
#define MEM (16 * GUEST_MIB)

struct fixture {
    struct guest g;
    struct dev_balloon *d;
    uint64_t list, pages; /* pages: 1 MiB to give away */
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    guest_new(&f->g, MEM);
    assert_int_equal(dev_balloon_new(f->g.mem, f->g.loop, true, &f->d), 0);
    guest_plug(&f->g, dev_balloon_virtio(f->d), DEV_BALLOON_CLASS);
    f->list = guest_alloc(&f->g, 2 * GUEST_MIB, 4096);
    f->pages = guest_alloc(&f->g, GUEST_MIB, 4096);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    guest_unplug(&f->g);
    dev_balloon_free(f->d);
    guest_free(&f->g);
    free(f);
    return 0;
}

static unsigned
resident(struct fixture *f, uint64_t gpa, uint64_t len)
{
    unsigned char vec[256];
    unsigned n = 0;

    assert_int_equal(mincore(guest_at(&f->g, gpa, len), len, vec), 0);
    for (unsigned i = 0; i < len / 4096; i++)
        n += vec[i] & 1;
    return n;
}

static void
send_list(struct fixture *f, unsigned q, const uint32_t *pfn, unsigned n)
{
    struct guest_seg s = {f->list, n * 4, false};

    memcpy(guest_at(&f->g, f->list, n * 4), pfn, n * 4);
    guest_send(&f->g, &f->g.q[q], &s, 1);
    guest_wait(&f->g, &f->g.q[q]);
}

static void
inflate__gives_pages_to_the_host(void **state)
{
    struct fixture *f = *state;
    struct dev_balloon_stats st;
    uint32_t pfn[256];

    guest_start(&f->g, 0, 2);
    memset(guest_at(&f->g, f->pages, GUEST_MIB), 'x', GUEST_MIB);
    assert_int_equal(resident(f, f->pages, GUEST_MIB), 256);
    for (unsigned i = 0; i < 200; i++)
        pfn[i] = (uint32_t)(f->pages >> 12) + i;
    send_list(f, 0, pfn, 200);
    assert_int_equal(resident(f, f->pages, GUEST_MIB), 56);
    assert_int_equal(*(char *)guest_at(&f->g, f->pages, 1), 0);
    assert_int_equal(*(char *)guest_at(&f->g, f->pages + 200 * 4096, 1), 'x');
    send_list(f, 1, pfn, 100);
    dev_balloon_stats(f->d, &st);
    assert_int_equal(st.inflated_bytes, 200 * 4096);
    assert_int_equal(st.deflated_bytes, 100 * 4096);
    assert_int_equal(st.bad_pages, 0);
}

static void
inflate__bad_page_numbers_are_skipped(void **state)
{
    struct fixture *f = *state;
    struct dev_balloon_stats st;
    uint32_t good = (uint32_t)(f->pages >> 12);
    const uint32_t pfn[] = {0xffffffff, 0,          0xfffffffe,      0xffffffff,
                            MEM >> 12,  0xd0000,    0xc0000,         good,
                            0x00100000, 0x80000000, (MEM >> 12) - 1, MEM >> 12};

    guest_start(&f->g, 0, 2);
    memset(guest_at(&f->g, f->pages, 8192), 'x', 8192);
    send_list(f, 0, pfn, ARRAY_SIZE(pfn));
    dev_balloon_stats(f->d, &st);
    assert_int_equal(st.inflated_bytes, 3 * 4096); /* 0, good and the last */
    assert_int_equal(st.bad_pages, ARRAY_SIZE(pfn) - 3);
    assert_int_equal(*(char *)guest_at(&f->g, f->pages, 1), 0);
    assert_int_equal(*(char *)guest_at(&f->g, f->pages + 4096, 1), 'x');
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
}

static void
list__of_wrong_shape_needs_reset(void **state)
{
    struct fixture *f = *state;
    struct guest_seg bad[] = {{f->list, 5, false},
                              {f->list, 4, true},
                              {f->list, GUEST_MIB + 4, false}};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        guest_start(&f->g, 0, 2);
        guest_send(&f->g, &f->g.q[0], &bad[i], 1);
        guest_wait_needs_reset(&f->g);
        guest_reset(&f->g);
    }
}

static void
report__free_pages_go_back(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s[] = {{f->pages, 64 * 4096, true},
                            {f->pages + 128 * 4096, 64 * 4096, true}};
    struct guest_seg bad = {f->pages, 4096, false};
    struct dev_balloon_stats st;

    /* without statistics the third queue is for reports */
    guest_start(&f->g, F(REPORTING), 3);
    memset(guest_at(&f->g, f->pages, GUEST_MIB), 'x', GUEST_MIB);
    guest_send(&f->g, &f->g.q[2], s, 2);
    guest_wait(&f->g, &f->g.q[2]);
    assert_int_equal(resident(f, f->pages, GUEST_MIB), 128);
    guest_reset(&f->g);
    guest_start(&f->g, F(REPORTING) | F(STATS_VQ), 4);
    memset(guest_at(&f->g, f->pages, GUEST_MIB), 'x', GUEST_MIB);
    guest_send(&f->g, &f->g.q[3], s, 1);
    guest_wait(&f->g, &f->g.q[3]);
    assert_int_equal(resident(f, f->pages, GUEST_MIB), 192);
    dev_balloon_stats(f->d, &st);
    assert_int_equal(st.reported_bytes, 3 * 64 * 4096);
    guest_send(&f->g, &f->g.q[3], &bad, 1);
    guest_wait_needs_reset(&f->g);
}

static void
statistics__are_asked_for_and_kept(void **state)
{
    struct fixture *f = *state;
    struct virtio_balloon_stat s[] = {{VIRTIO_BALLOON_S_MEMFREE, 1234567},
                                      {VIRTIO_BALLOON_S_AVAIL, 7},
                                      {999, 5},
                                      {0xffff, 6}};
    struct guest_seg seg = {f->list, sizeof(s), false};
    struct dev_balloon_stats st;

    assert_int_equal(dev_balloon_poll_stats(f->d), -EAGAIN);
    guest_start(&f->g, F(STATS_VQ), 3);
    assert_int_equal(dev_balloon_poll_stats(f->d), -EAGAIN);
    memcpy(guest_at(&f->g, f->list, sizeof(s)), s, sizeof(s));
    guest_send(&f->g, &f->g.q[2], &seg, 1);
    guest_settle(&f->g);
    dev_balloon_stats(f->d, &st);
    assert_int_equal(st.updates, 1);
    assert_int_equal(st.tag[VIRTIO_BALLOON_S_MEMFREE], 1234567);
    assert_int_equal(st.tags_present, 1U << VIRTIO_BALLOON_S_MEMFREE |
                                          1U << VIRTIO_BALLOON_S_AVAIL);
    assert_int_equal(dev_balloon_poll_stats(f->d), 0);
    guest_wait(&f->g, &f->g.q[2]);
    assert_int_equal(dev_balloon_poll_stats(f->d), -EAGAIN);
    /* two buffers at once are against the rules */
    guest_send(&f->g, &f->g.q[2], &seg, 1);
    guest_send(&f->g, &f->g.q[2], &seg, 1);
    guest_wait_needs_reset(&f->g);
    assert_int_equal(dev_balloon_poll_stats(f->d), -EAGAIN);
}

/* Of all the VM's figures none could be read otherwise. */
static void
statistics__that_no_reader_takes_are_skipped(void **state)
{
    struct fixture *f = *state;
    struct virtio_balloon_stat s[] = {
        {VIRTIO_BALLOON_S_MEMFREE, UINT64_MAX},
        {VIRTIO_BALLOON_S_AVAIL, (uint64_t)INT64_MAX + 1},
        {VIRTIO_BALLOON_S_MEMTOT, INT64_MAX}};
    struct guest_seg seg = {f->list, sizeof(s), false};
    struct dev_balloon_stats st;

    guest_start(&f->g, F(STATS_VQ), 3);
    memcpy(guest_at(&f->g, f->list, sizeof(s)), s, sizeof(s));
    guest_send(&f->g, &f->g.q[2], &seg, 1);
    guest_settle(&f->g);
    dev_balloon_stats(f->d, &st);
    assert_int_equal(st.updates, 1);
    assert_int_equal(st.tags_present, 1U << VIRTIO_BALLOON_S_MEMTOT);
    assert_true(st.tag[VIRTIO_BALLOON_S_MEMTOT] == INT64_MAX);
}

static void
target__is_shown_and_answered(void **state)
{
    struct fixture *f = *state;
    struct dev_balloon_stats st;

    guest_start(&f->g, F(DEFLATE_ON_OOM), 2);
    assert_int_equal(dev_balloon_set_target(f->d, MEM + 1), -EINVAL);
    assert_int_equal(dev_balloon_set_target(f->d, UINT64_MAX), -EINVAL);
    assert_int_equal(dev_balloon_set_target(f->d, 4 * GUEST_MIB), 0);
    assert_int_equal(guest_interrupts(&f->g, 0), 1);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE, 4), 1024);
    guest_write(&f->g, VPCI_DEVICE + 4, 4, 1000);
    guest_write(&f->g, VPCI_DEVICE, 4, 0); /* read-only */
    dev_balloon_stats(f->d, &st);
    assert_int_equal(st.target_bytes, 4 * GUEST_MIB);
    assert_int_equal(st.actual_bytes, 1000 * 4096);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE, 4), 1024);
    guest_reset(&f->g);
    dev_balloon_stats(f->d, &st);
    assert_int_equal(st.actual_bytes, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(inflate__gives_pages_to_the_host),
        T(inflate__bad_page_numbers_are_skipped),
        T(list__of_wrong_shape_needs_reset),
        T(report__free_pages_go_back),
        T(statistics__are_asked_for_and_kept),
        T(statistics__that_no_reader_takes_are_skipped),
        T(target__is_shown_and_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
