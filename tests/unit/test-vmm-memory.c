/* test-vmm-memory.c - guest memory as the host sees it: huge pages, merging,
 * and what the balloon gives back. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "common/cleanup.h"
#include "hypervisor-backend/vmm/dev_balloon.h"

#define MEM (64 * GUEST_MIB)
#define GIVEN (32 * GUEST_MIB) /* what the guest gives back */
#define SLACK (4 * GUEST_MIB)  /* what else the process may do meanwhile */
#define PAGES ((uint32_t)(GIVEN / 4096))

static bool
read_text(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f)
        return false;
    n = fread(buf, 1, size - 1, f);
    buf[n] = 0;
    fclose(f);
    return n > 0;
}

static uint64_t
rss(void)
{
    char text[256];
    uint64_t pages = 0;

    assert_true(read_text("/proc/self/statm", text, sizeof(text)));
    assert_int_equal(sscanf(text, "%*u %" SCNu64, &pages), 1);
    return pages * 4096;
}

/* A line's value in /proc/self/smaps for the mapping that holds p; the text
 * after the colon. */
static bool
smaps(const void *p, const char *key, char *out, size_t size)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    bool inside = false, found = false;
    unsigned long from, to;

    assert_non_null(f);
    while (!found && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (inside && strncmp(line, key, strlen(key)) == 0) {
            snprintf(out, size, "%s", line + strlen(key));
            found = true;
        }
    }
    fclose(f);
    return found;
}

static uint64_t
smaps_kib(const void *p, const char *key)
{
    char text[64];
    uint64_t n = 0;

    assert_true(smaps(p, key, text, sizeof(text)));
    assert_int_equal(sscanf(text, "%" SCNu64, &n), 1);
    return n;
}

static struct gmem *
make(uint64_t size, struct gmem_options o)
{
    struct gmem *g = NULL;
    struct err e = {0};

    if (gmem_new(size, &o, &g, &e) < 0)
        fail_msg("%s", e.message);
    return g;
}

/* --- pages of 2 MiB --- */

static bool
setting_is(const char *path, const char *a, const char *b)
{
    char text[128];

    return read_text(path, text, sizeof(text)) &&
           (strstr(text, a) || strstr(text, b));
}

static void
huge__is_asked_for_on_either_kind(void **state)
{
    static const char *const setting[] = {
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/kernel/mm/transparent_hugepage/shmem_enabled"};
    static const char *const shows[] = {"AnonHugePages:", "ShmemPmdMapped:"};
    char flags[256];

    (void)state;
    for (unsigned shared = 0; shared < 2; shared++) {
        struct gmem *g =
            make(8 * GUEST_MIB, (struct gmem_options){.shared = shared});
        char *p = gmem_ptr(g, 0, 8 * GUEST_MIB);

        memset(p, 1, 8 * GUEST_MIB);
        assert_true(smaps(p, "VmFlags:", flags, sizeof(flags)));
        assert_non_null(strstr(flags, " hg"));
        assert_non_null(strstr(flags, " dd")); /* and no core dump of it */
        if (!setting_is(setting[shared], "[always]",
                        shared ? "[advise]" : "[madvise]"))
            print_message("# SKIP %s: this host gives none\n", setting[shared]);
        else if (smaps_kib(p, shows[shared]) == 0)
            print_message("# none of 4 were to be had\n");
        gmem_free(g);
    }
}

static void
hugetlb__without_pages_says_so(void **state)
{
    char text[32];
    struct err e = {0};
    struct gmem *g = NULL;

    (void)state;
    if (read_text("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
                  text, sizeof(text)) &&
        strcmp(text, "0\n") != 0) {
        print_message("# SKIP this host has some\n");
        skip();
    }
    for (unsigned shared = 0; shared < 2; shared++) {
        struct gmem_options o = {.hugepages = true, .shared = shared};

        assert_true(gmem_new(4 * GUEST_MIB, &o, &g, &e) < 0);
        assert_null(g);
        assert_string_equal(e.code, "no_huge_pages");
        assert_non_null(strstr(e.message, "2 MiB"));
        err_release(&e);
        e = (struct err){0};
    }
}

/* --- merging --- */

static void
ksm__only_if_asked_for(void **state)
{
    struct gmem *g = make(4 * GUEST_MIB, (struct gmem_options){0});
    char flags[256];

    (void)state;
    assert_true(smaps(gmem_ptr(g, 0, 1), "VmFlags:", flags, sizeof(flags)));
    assert_null(strstr(flags, " mg"));
    gmem_free(g);
    if (access("/sys/kernel/mm/ksm/run", R_OK) < 0) {
        print_message("# SKIP this kernel has no KSM\n");
        skip();
    }
    g = make(4 * GUEST_MIB, (struct gmem_options){.ksm = true});
    assert_true(smaps(gmem_ptr(g, 0, 1), "VmFlags:", flags, sizeof(flags)));
    assert_non_null(strstr(flags, " mg"));
    gmem_free(g);
}

static void
ksm__where_it_cannot_be_is_refused(void **state)
{
    static const struct gmem_options bad[] = {{.ksm = true, .shared = true},
                                              {.ksm = true, .hugepages = true}};
    struct gmem *g = NULL;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(gmem_new(4 * GUEST_MIB, &bad[i], &g, NULL), -EINVAL);
    assert_null(g);
}

static uint64_t
merged(void)
{
    char text[32];
    uint64_t n = 0;

    assert_true(read_text("/sys/kernel/mm/ksm/pages_sharing", text, 32));
    assert_int_equal(sscanf(text, "%" SCNu64, &n), 1);
    return n;
}

static void
ksm__merges_equal_pages(void **state)
{
    const struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
    char text[32];
    struct gmem *g;
    uint64_t before;
    char *p;

    (void)state;
    if (!read_text("/sys/kernel/mm/ksm/run", text, sizeof(text)) ||
        text[0] != '1') {
        print_message("# SKIP the host's /sys/kernel/mm/ksm/run is not 1\n");
        skip();
    }
    before = merged();
    g = make(16 * GUEST_MIB, (struct gmem_options){.ksm = true});
    p = gmem_ptr(g, 0, 16 * GUEST_MIB);
    for (uint64_t i = 0; i < 16 * GUEST_MIB; i += 4096)
        memset(p + i, 0x5a, 4096);
    for (unsigned i = 0; i < 500 && merged() < before + 1000; i++)
        nanosleep(&nap, NULL);
    assert_true(merged() >= before + 1000);
    gmem_free(g);
}

/* --- the balloon --- */

struct fixture {
    struct guest g;
    struct dev_balloon *d;
    uint64_t list, pages;
};

static void
plug(struct fixture *f, bool shared)
{
    guest_new_with(&f->g, MEM, &(struct gmem_options){.shared = shared});
    assert_int_equal(dev_balloon_new(f->g.mem, f->g.loop, true, &f->d), 0);
    guest_plug(&f->g, dev_balloon_virtio(f->d), DEV_BALLOON_CLASS);
    f->list = guest_alloc(&f->g, PAGES * 4, 4096);
    f->pages = guest_alloc(&f->g, GIVEN, 2 * GUEST_MIB);
    memset(guest_at(&f->g, f->pages, GIVEN), 'x', GIVEN);
}

static void
unplug(struct fixture *f)
{
    guest_unplug(&f->g);
    dev_balloon_free(f->d);
    guest_free(&f->g);
}

static void
shrank(uint64_t before)
{
    uint64_t now = rss();

    if (before < now || before - now < GIVEN - SLACK)
        fail_msg("%" PRIu64 " KiB before, %" PRIu64 " after", before >> 10,
                 now >> 10);
}

static void
inflate__shrinks_the_process(void **state)
{
    struct fixture f;
    struct dev_balloon_stats st;
    uint64_t before;

    (void)state;
    for (unsigned shared = 0; shared < 2; shared++) {
        plug(&f, shared);
        guest_start(&f.g, 0, 2);
        for (uint32_t i = 0; i < PAGES; i++)
            ((uint32_t *)guest_at(&f.g, f.list, PAGES * 4))[i] =
                (uint32_t)(f.pages >> 12) + i;
        before = rss();
        for (uint32_t i = 0; i < PAGES; i += 1024) { /* as Linux sends them */
            struct guest_seg s = {f.list + i * 4, 1024 * 4, false};

            guest_send(&f.g, &f.g.q[0], &s, 1);
            guest_wait(&f.g, &f.g.q[0]);
        }
        shrank(before);
        dev_balloon_stats(f.d, &st);
        assert_int_equal(st.inflated_bytes, GIVEN);
        assert_int_equal(*(char *)guest_at(&f.g, f.pages, 1), 0);
        unplug(&f);
    }
}

static void
report__shrinks_the_process(void **state)
{
    struct fixture f;
    struct dev_balloon_stats st;
    uint64_t before;

    (void)state;
    for (unsigned shared = 0; shared < 2; shared++) {
        plug(&f, shared);
        guest_start(&f.g, VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING), 3);
        before = rss();
        for (uint64_t at = 0; at < GIVEN; at += 2 * GUEST_MIB) {
            struct guest_seg s = {f.pages + at, 2 * GUEST_MIB, true};

            guest_send(&f.g, &f.g.q[2], &s, 1);
            guest_wait(&f.g, &f.g.q[2]);
        }
        shrank(before);
        dev_balloon_stats(f.d, &st);
        assert_int_equal(st.reported_bytes, GIVEN);
        unplug(&f);
    }
}

/* Memory that nobody touches costs nothing, wherever it lies. */
static void
large__costs_what_is_used(void **state)
{
    uint64_t before = rss();
    struct gmem *g = make(UINT64_C(5) << 30, (struct gmem_options){0});

    (void)state;
    memset(gmem_ptr(g, GMEM_HOLE_END, 4096), 1, 4096);
    memset(gmem_ptr(g, GMEM_HOLE_START - 4096, 4096), 1, 4096);
    assert_true(rss() < before + 2 * SLACK);
    gmem_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(huge__is_asked_for_on_either_kind),
        cmocka_unit_test(hugetlb__without_pages_says_so),
        cmocka_unit_test(ksm__only_if_asked_for),
        cmocka_unit_test(ksm__where_it_cannot_be_is_refused),
        cmocka_unit_test(ksm__merges_equal_pages),
        cmocka_unit_test(inflate__shrinks_the_process),
        cmocka_unit_test(report__shrinks_the_process),
        cmocka_unit_test(large__costs_what_is_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
