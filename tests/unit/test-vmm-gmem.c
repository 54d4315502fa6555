/* test-vmm-gmem.c - guest memory: layout, bounds, giving back. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>

#include "hypervisor-backend/vmm/gmem.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct gmem *
make(uint64_t size, bool shared)
{
    struct gmem_options o = {.shared = shared};
    struct err e = {0};
    struct gmem *g = NULL;

    assert_int_equal(gmem_new(size, &o, &g, &e), 0);
    return g;
}

static void
new__bad_size_refused(void **state)
{
    static const uint64_t bad[] = {
        0, 1, MIB - 1, MIB + 1, UINT64_MAX, UINT64_MAX & ~(MIB - 1), 5 << 12};
    struct gmem_options o = {0};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e = {0};
        struct gmem *g = NULL;

        assert_int_equal(gmem_new(bad[i], &o, &g, &e), -EINVAL);
        assert_null(g);
        assert_string_equal(e.code, "invalid");
        err_release(&e);
    }
}

static void
layout__small_is_one_region_at_zero(void **state)
{
    const struct gmem_region *r;
    struct gmem *g = make(3 * MIB, false);

    assert_int_equal(gmem_size(g), 3 * MIB);
    assert_int_equal(gmem_regions(g, &r), 1);
    assert_int_equal(r[0].gpa, 0);
    assert_int_equal(r[0].size, 3 * MIB);
    assert_int_equal(r[0].fd, -1);
    /* Huge pages on both sides want the same alignment. */
    assert_int_equal((uintptr_t)r[0].host % (2 * MIB), 0);
    gmem_free(g);
}

static void
layout__large_goes_around_the_hole(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        const struct gmem_region *r;
        struct gmem *g = make(5 * GIB, shared);
        unsigned char *last;

        assert_int_equal(gmem_regions(g, &r), 2);
        assert_int_equal(r[0].gpa + r[0].size, GMEM_HOLE_START);
        assert_int_equal(r[1].gpa, GMEM_HOLE_END);
        assert_int_equal(r[0].size + r[1].size, 5 * GIB);
        assert_true((r[0].fd >= 0) == shared);
        assert_int_equal(r[1].fd_offset, shared ? r[0].size : 0);
        last = gmem_ptr(g, GMEM_HOLE_START - 1, 1);
        assert_non_null(last);
        *last = 0x5a;
        last = gmem_ptr(g, GMEM_HOLE_END, 1);
        assert_non_null(last);
        assert_int_equal(*last, 0);
        *last = 0xa5;
        assert_int_equal(*(unsigned char *)gmem_ptr(g, GMEM_HOLE_START - 1, 1),
                         0x5a);
        /* One byte into the hole, from either side, and across it. */
        assert_null(gmem_ptr(g, GMEM_HOLE_START - 1, 2));
        assert_null(gmem_ptr(g, GMEM_HOLE_START, 1));
        assert_null(gmem_ptr(g, GMEM_HOLE_END - 1, 1));
        assert_null(gmem_ptr(g, GMEM_HOLE_END - 1, 2));
        assert_null(gmem_ptr(g, 0, 5 * GIB));
        assert_non_null(gmem_ptr(g, 6 * GIB - 1, 1));
        assert_null(gmem_ptr(g, 6 * GIB, 1));
        gmem_free(g);
    }
}

static void
ptr__wrap_and_overrun_refused(void **state)
{
    struct gmem *g = make(4 * MIB, false);
    char c[2] = "";

    assert_non_null(gmem_ptr(g, 0, 4 * MIB));
    assert_null(gmem_ptr(g, 0, 0));
    assert_null(gmem_ptr(g, 0, 4 * MIB + 1));
    assert_null(gmem_ptr(g, 1, 4 * MIB));
    assert_null(gmem_ptr(g, 4 * MIB - 1, UINT64_MAX));
    assert_null(gmem_ptr(g, 4 * MIB - 1, UINT64_MAX - 4 * MIB + 2));
    assert_null(gmem_ptr(g, UINT64_MAX, 1));
    assert_null(gmem_ptr(g, UINT64_MAX, 2));
    assert_int_equal(gmem_write(g, 4 * MIB - 1, c, 2), -EFAULT);
    assert_int_equal(gmem_read(g, UINT64_MAX, c, 2), -EFAULT);
    assert_int_equal(gmem_write(g, UINT64_MAX, c, 0), 0);
    c[0] = 7;
    assert_int_equal(gmem_write(g, 4 * MIB - 1, c, 1), 0);
    c[0] = 0;
    assert_int_equal(gmem_read(g, 4 * MIB - 1, c, 1), 0);
    assert_int_equal(c[0], 7);
    gmem_free(g);
}

static void
discard__only_whole_pages_inside(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        struct gmem *g = make(4 * MIB, shared);
        unsigned char *p = gmem_ptr(g, 0, 4 * MIB);

        memset(p, 0xee, 5 * 4096);
        assert_int_equal(gmem_discard(g, 100, 3 * 4096), 0);
        assert_int_equal(p[4095], 0xee);
        assert_int_equal(p[4096], 0);
        assert_int_equal(p[3 * 4096 - 1], 0);
        assert_int_equal(p[3 * 4096], 0xee);
        /* Less than a page: nothing. */
        assert_int_equal(gmem_discard(g, 1, 4095), 0);
        assert_int_equal(p[1], 0xee);
        assert_int_equal(gmem_discard(g, 4 * MIB - 4096, 8192), -EFAULT);
        assert_int_equal(gmem_discard(g, 4096, UINT64_MAX), -EFAULT);
        assert_int_equal(gmem_discard(g, 0, 0), 0);
        gmem_free(g);
    }
}

static void
shared__descriptor_holds_the_bytes_and_cannot_shrink(void **state)
{
    const struct gmem_region *r;
    struct gmem *g = make(2 * MIB, true);
    unsigned char c = 0;

    assert_int_equal(gmem_write(g, 12345, "x", 1), 0);
    assert_int_equal(gmem_regions(g, &r), 1);
    assert_int_equal(pread(r[0].fd, &c, 1, 12345), 1);
    assert_int_equal(c, 'x');
    assert_int_equal(ftruncate(r[0].fd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_true(fcntl(r[0].fd, F_GETFD) & FD_CLOEXEC);
    gmem_free(g);
}

/* Asked by a system call, which says EFAULT where a load would trap. */
static void
guard__beyond_the_ends_faults(void **state)
{
    struct gmem *g = make(2 * MIB, false);
    volatile char *p = gmem_ptr(g, 0, 2 * MIB);
    ssize_t at[] = {-1, 2 * (ssize_t)MIB};

    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        int pipefd[2];

        assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
        assert_int_equal(write(pipefd[1], (const void *)(p + at[i]), 1), -1);
        assert_int_equal(errno, EFAULT);
        close(pipefd[0]);
        close(pipefd[1]);
    }
    gmem_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new__bad_size_refused),
        cmocka_unit_test(layout__small_is_one_region_at_zero),
        cmocka_unit_test(layout__large_goes_around_the_hole),
        cmocka_unit_test(ptr__wrap_and_overrun_refused),
        cmocka_unit_test(discard__only_whole_pages_inside),
        cmocka_unit_test(shared__descriptor_holds_the_bytes_and_cannot_shrink),
        cmocka_unit_test(guard__beyond_the_ends_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
