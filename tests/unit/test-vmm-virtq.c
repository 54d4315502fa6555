/* test-vmm-virtq.c - rings, well-formed and not, without a device. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <string.h>

#include "hypervisor-backend/vmm/virtq.h"

#define SIZE 8
#define DESC UINT64_C(0x1000)
#define AVAIL UINT64_C(0x2000)
#define USED UINT64_C(0x3000)
#define TABLE UINT64_C(0x4000)
#define DATA UINT64_C(0x10000)
#define MAX_BYTES 65536

struct fixture {
    struct gmem *mem;
    struct virtq q;
    struct iovec iov[SIZE + 2];
    struct virtq_chain c;
    struct vring_desc *desc, *table;
    uint16_t *avail, *used;
};

static struct virtq_setup
defaults(void)
{
    return (struct virtq_setup){.desc = DESC,
                                .avail = AVAIL,
                                .used = USED,
                                .size = SIZE,
                                .indirect = true,
                                .max_bytes = MAX_BYTES};
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtq_setup s = defaults();

    assert_int_equal(
        gmem_new(2 * GUEST_MIB, &(struct gmem_options){0}, &f->mem, NULL), 0);
    f->desc = gmem_ptr(f->mem, DESC, 4096);
    f->avail = gmem_ptr(f->mem, AVAIL, 4096);
    f->used = gmem_ptr(f->mem, USED, 4096);
    f->table = gmem_ptr(f->mem, TABLE, 4096);
    assert_int_equal(virtq_start(&f->q, f->mem, &s), 0);
    f->c.iov = f->iov;
    f->c.room = ARRAY_SIZE(f->iov);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    virtq_stop(&f->q);
    gmem_free(f->mem);
    free(f);
    return 0;
}

static void
restart(struct fixture *f, const struct virtq_setup *s)
{
    virtq_stop(&f->q);
    memset(f->avail, 0, 4096);
    memset(f->used, 0, 4096);
    assert_int_equal(virtq_start(&f->q, f->mem, s), 0);
}

static void
put(struct vring_desc *d, uint64_t addr, uint32_t len, unsigned flags,
    unsigned next)
{
    *d = (struct vring_desc){addr, len, (uint16_t)flags, (uint16_t)next};
}

static void
offer(struct fixture *f, uint16_t head)
{
    f->avail[2 + f->avail[1] % f->q.setup.size] = head;
    f->avail[1]++;
}

static void
expect_fault(struct fixture *f, const char *word)
{
    assert_int_equal(virtq_pop(&f->q, &f->c), -EBADMSG);
    assert_non_null(strstr(f->q.fault, word));
    /* and it stays so */
    assert_int_equal(virtq_pop(&f->q, &f->c), -EBADMSG);
    assert_false(virtq_arm(&f->q));
}

static void
start__refuses_bad_areas(void **state)
{
    struct fixture *f = *state;
    struct virtq q = {0};
    struct virtq_setup s;
    uint64_t end = gmem_size(f->mem);

#define BAD(field, value)                                                      \
    do {                                                                       \
        s = defaults();                                                        \
        s.field = (value);                                                     \
        assert_int_equal(virtq_start(&q, f->mem, &s), -EBADMSG);               \
        assert_false(q.live);                                                  \
    } while (0)
    BAD(size, 0);
    BAD(size, 7);
    BAD(size, 2 * VIRTQ_MAX_SIZE);
    BAD(desc, DESC + 8);
    BAD(avail, AVAIL + 1);
    BAD(used, USED + 2);
    BAD(desc, end - 16);
    BAD(desc, UINT64_MAX - 15);
    BAD(avail, end - 2);
    BAD(used, end);
    BAD(used, GUEST_WINDOW);
#undef BAD
}

static void
pop__direct_chain_is_split_by_direction(void **state)
{
    struct fixture *f = *state;
    char text[8] = {0};

    put(&f->desc[3], DATA, 4, VRING_DESC_F_NEXT, 1);
    put(&f->desc[1], DATA + 100, 6, VRING_DESC_F_NEXT, 0);
    put(&f->desc[0], DATA + 200, 512, VRING_DESC_F_WRITE, 0);
    memcpy(gmem_ptr(f->mem, DATA, 4), "abcd", 4);
    memcpy(gmem_ptr(f->mem, DATA + 100, 6), "efghij", 6);
    assert_int_equal(virtq_pop(&f->q, &f->c), 0);
    offer(f, 3);
    assert_int_equal(virtq_pop(&f->q, &f->c), 1);
    assert_int_equal(f->c.head, 3);
    assert_int_equal(f->c.n_out, 2);
    assert_int_equal(f->c.n_in, 1);
    assert_int_equal(f->c.out_len, 10);
    assert_int_equal(f->c.in_len, 512);
    assert_int_equal(virtq_copy_out(&f->c, 2, text, 7), 7);
    assert_string_equal(text, "cdefghi");
    assert_int_equal(virtq_copy_out(&f->c, 9, text, 7), 1);
    assert_int_equal(virtq_copy_out(&f->c, 10, text, 7), 0);
    assert_int_equal(virtq_copy_in(&f->c, 510, "xyz", 3), 2);
    assert_memory_equal(gmem_ptr(f->mem, DATA + 200 + 510, 2), "xy", 2);
    assert_int_equal(virtq_pop(&f->q, &f->c), 0);
    virtq_push(&f->q, 3, 512);
    assert_int_equal(f->used[1], 0); /* not shown yet */
    assert_true(virtq_publish(&f->q));
    assert_int_equal(f->used[1], 1);
    assert_int_equal(*(uint32_t *)(void *)&f->used[2], 3);
    assert_int_equal(*(uint32_t *)(void *)&f->used[4], 512);
    assert_false(virtq_publish(&f->q));
}

static void
pop__indirect_chain_is_followed(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, 16, VRING_DESC_F_NEXT, 5);
    put(&f->desc[5], TABLE, 32, VRING_DESC_F_INDIRECT, 0);
    put(&f->table[0], DATA + 16, 16, VRING_DESC_F_NEXT, 1);
    put(&f->table[1], DATA + 32, 1, VRING_DESC_F_WRITE, 0);
    offer(f, 0);
    assert_int_equal(virtq_pop(&f->q, &f->c), 1);
    assert_int_equal(f->c.n_out, 2);
    assert_int_equal(f->c.n_in, 1);
}

static void
pop__full_queue_in_one_chain_is_fine(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < SIZE; i++)
        put(&f->desc[i], DATA + i, 1, i + 1 < SIZE ? VRING_DESC_F_NEXT : 0,
            i + 1);
    offer(f, 0);
    assert_int_equal(virtq_pop(&f->q, &f->c), 1);
    assert_int_equal(f->c.n_out, SIZE);
}

static void
pop__cycle_ends(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, 1, VRING_DESC_F_NEXT, 1);
    put(&f->desc[1], DATA, 1, VRING_DESC_F_NEXT, 0);
    offer(f, 0);
    expect_fault(f, "longer than the queue");
}

static void
pop__cycle_in_indirect_table_ends(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], TABLE, 4096, VRING_DESC_F_INDIRECT, 0);
    put(&f->table[0], DATA, 1, VRING_DESC_F_NEXT, 0);
    offer(f, 0);
    expect_fault(f, "cycle");
}

static void
pop__indirect_rules_are_kept(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup s = defaults();
    unsigned ind = VRING_DESC_F_INDIRECT;
    const struct {
        struct vring_desc d;
        const char *fault;
    } bad[] = {
        {{TABLE, 16, (uint16_t)(ind | VRING_DESC_F_NEXT), 1}, "next one"},
        {{TABLE, 0, (uint16_t)ind, 0}, "odd size"},
        {{TABLE, 24, (uint16_t)ind, 0}, "odd size"},
        {{TABLE + 4, 16, (uint16_t)ind, 0}, "odd size"},
        {{GUEST_WINDOW, 16, (uint16_t)ind, 0}, "outside"},
        {{UINT64_MAX - 15, 32, (uint16_t)ind, 0}, "outside"},
        {{TABLE, 0xfffffff0, (uint16_t)ind, 0}, "outside"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        restart(f, &s);
        f->desc[0] = bad[i].d;
        put(&f->table[0], DATA, 1, 0, 0);
        offer(f, 0);
        expect_fault(f, bad[i].fault);
    }
    restart(f, &s); /* a table in a table */
    put(&f->desc[0], TABLE, 32, ind, 0);
    put(&f->table[0], TABLE, 16, ind, 0);
    offer(f, 0);
    expect_fault(f, "nested");
    restart(f, &s); /* index past the table */
    put(&f->table[0], DATA, 1, VRING_DESC_F_NEXT, 2);
    offer(f, 0);
    expect_fault(f, "out of range");
    s.indirect = false;
    restart(f, &s);
    offer(f, 0);
    expect_fault(f, "negotiated");
}

static void
pop__bad_buffers_are_refused(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup s = defaults();
    uint64_t end = gmem_size(f->mem);
    const struct {
        uint64_t addr;
        uint32_t len;
    } bad[] = {
        {DATA, 0},
        {end, 1},
        {end - 1, 2},
        {UINT64_MAX, 1},
        {UINT64_MAX - 1, 4096},
        {GUEST_WINDOW, 16},
        {GMEM_HOLE_START - 1, 2},
        {DATA, MAX_BYTES + 1},
        {DATA, UINT32_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        restart(f, &s);
        put(&f->desc[0], bad[i].addr, bad[i].len, 0, 0);
        offer(f, 0);
        expect_fault(f, "");
    }
}

static void
pop__sum_of_lengths_is_capped(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, MAX_BYTES, VRING_DESC_F_NEXT, 1);
    put(&f->desc[1], DATA, 1, VRING_DESC_F_WRITE, 0);
    offer(f, 0);
    expect_fault(f, "too long");
}

static void
pop__readable_after_writable_is_refused(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
    put(&f->desc[1], DATA, 1, 0, 0);
    offer(f, 0);
    expect_fault(f, "after a writable");
}

static void
pop__indexes_out_of_range_are_refused(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup s = defaults();

    offer(f, SIZE);
    expect_fault(f, "head index");
    restart(f, &s);
    put(&f->desc[0], DATA, 1, VRING_DESC_F_NEXT, SIZE);
    offer(f, 0);
    expect_fault(f, "descriptor index");
    restart(f, &s);
    f->avail[1] = SIZE + 1;
    expect_fault(f, "ran too far");
    restart(f, &s);
    f->avail[1] = 0xffff; /* backwards */
    expect_fault(f, "ran too far");
}

static void
pop__head_offered_twice_is_bounded(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, 1, 0, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        offer(f, 0);
        assert_int_equal(virtq_pop(&f->q, &f->c), 1);
    }
    offer(f, 0);
    expect_fault(f, "ran too far");
}

/* Used up but not published: the guest cannot know, so it may not offer. */
static void
pop__head_offered_before_it_was_seen_used_is_bounded(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, 1, 0, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        offer(f, 0);
        assert_int_equal(virtq_pop(&f->q, &f->c), 1);
        virtq_push(&f->q, 0, 0);
    }
    offer(f, 0);
    expect_fault(f, "ran too far");
}

static void
pop__more_segments_than_room_is_refused(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, 1, VRING_DESC_F_NEXT, 1);
    put(&f->desc[1], DATA, 1, 0, 0);
    f->c.room = 1;
    offer(f, 0);
    expect_fault(f, "too many");
}

static void
notify__flags_suppress(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[0], DATA, 1, 0, 0);
    virtq_disarm(&f->q);
    assert_int_equal(f->used[0], VRING_USED_F_NO_NOTIFY);
    assert_false(virtq_arm(&f->q));
    assert_int_equal(f->used[0], 0);
    offer(f, 0);
    assert_true(virtq_arm(&f->q)); /* came while we armed */
    assert_int_equal(virtq_pop(&f->q, &f->c), 1);
    virtq_push(&f->q, 0, 0);
    f->avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
    assert_false(virtq_publish(&f->q));
    offer(f, 0);
    assert_int_equal(virtq_pop(&f->q, &f->c), 1);
    virtq_push(&f->q, 0, 0);
    f->avail[0] = 0;
    assert_true(virtq_publish(&f->q));
}

static void
notify__event_index_decides(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup s = defaults();
    uint16_t *used_event = &f->avail[2 + SIZE];
    uint16_t *avail_event = &f->used[2 + 4 * SIZE];

    s.event_idx = true;
    restart(f, &s);
    put(&f->desc[0], DATA, 1, 0, 0);
    *used_event = 2; /* tell me when the third was used */
    for (unsigned i = 0; i < 5; i++) {
        offer(f, 0);
        assert_int_equal(virtq_pop(&f->q, &f->c), 1);
        virtq_push(&f->q, 0, 0);
        assert_int_equal(virtq_publish(&f->q), i == 2);
    }
    assert_false(virtq_arm(&f->q));
    assert_int_equal(*avail_event, 5);
    virtq_disarm(&f->q);
    assert_int_equal(f->used[0], 0); /* flags stay 0 with EVENT_IDX */
}

static void
indexes__wrap_at_65536(void **state)
{
    struct fixture *f = *state;

    put(&f->desc[2], DATA, 1, 0, 0);
    for (unsigned i = 0; i < 70000; i++) {
        offer(f, 2);
        assert_int_equal(virtq_pop(&f->q, &f->c), 1);
        virtq_push(&f->q, 2, 1);
        assert_true(virtq_publish(&f->q));
    }
    assert_int_equal(f->used[1], 70000 % 65536);
}

static void
slice__cuts_pieces(void **state)
{
    char a[4], b[8];
    struct iovec iov[] = {{a, 4}, {b, 8}}, out[2];

    (void)state;
    assert_int_equal(virtq_slice(iov, 2, 2, 6, out, 2), 2);
    assert_ptr_equal(out[0].iov_base, a + 2);
    assert_int_equal(out[0].iov_len, 2);
    assert_ptr_equal(out[1].iov_base, b);
    assert_int_equal(out[1].iov_len, 4);
    assert_int_equal(virtq_slice(iov, 2, 12, 6, out, 2), 0);
    assert_int_equal(virtq_slice(iov, 2, 4, 100, out, 2), 1);
    assert_int_equal(out[0].iov_len, 8);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(start__refuses_bad_areas),
        T(pop__direct_chain_is_split_by_direction),
        T(pop__indirect_chain_is_followed),
        T(pop__full_queue_in_one_chain_is_fine),
        T(pop__cycle_ends),
        T(pop__cycle_in_indirect_table_ends),
        T(pop__indirect_rules_are_kept),
        T(pop__bad_buffers_are_refused),
        T(pop__sum_of_lengths_is_capped),
        T(pop__readable_after_writable_is_refused),
        T(pop__indexes_out_of_range_are_refused),
        T(pop__head_offered_twice_is_bounded),
        T(pop__head_offered_before_it_was_seen_used_is_bounded),
        T(pop__more_segments_than_room_is_refused),
        T(notify__flags_suppress),
        T(notify__event_index_decides),
        T(indexes__wrap_at_65536),
        T(slice__cuts_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
