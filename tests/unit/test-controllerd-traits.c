/* test-controllerd-traits.c - words of nodes and parts of images as bits, and
 * that the scheduler places by them. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/mem.h"
#include "controllerd/traits.h"
#include "scheduler/sched.h"

#define NODE_A "0197b3a0-0000-7000-8000-00000000000a"
#define NODE_B "0197b3a0-0000-7000-8000-00000000000b"

static uint64_t
node(const char *a, const char *b)
{
    struct codec_list words = {0};

    if (a)
        codec_strings_add(&words, a);
    if (b)
        codec_strings_add(&words, b);
    uint64_t mask = traits_of_node(&words);
    codec_strings_clear(&words);
    return mask;
}

static uint64_t
image(int first, int second)
{
    struct api_image_part parts[2] = {{.name = first}, {.name = second}};
    struct api_image m = {.parts = {parts, second < 0 ? 1 : 2}};

    return traits_of_image(&m);
}

static void
traits__image_needs_what_it_boots_by(void **state)
{
    uint64_t kernel = node("kernel-boot", NULL), disk = node("disk-boot", NULL);

    assert_true(kernel && disk && !(kernel & disk));
    assert_true(image(PART_KERNEL, -1) == kernel);
    assert_true(image(PART_KERNEL, PART_INITRD) == kernel);
    assert_true(image(PART_DISK, PART_KERNEL) == kernel);
    assert_true(image(PART_DISK, -1) == disk);
    assert_true(node("kernel-boot", "disk-boot") == (kernel | disk));
}

static void
traits__unknown_words_count_for_nothing(void **state)
{
    assert_true(node("teleport", NULL) == 0);
    assert_true(node("kernel-boot", "teleport") == node("kernel-boot", NULL));
    assert_true(node("disk-boot2", "disk") == 0);
}

static void
traits__verbs_need_what_the_driver_says(void **state)
{
    char *words[] = {(char *)"kernel-boot", (char *)"pause"};
    struct codec_list l = {words, 2}, none = {0};

    assert_false(traits_of_need(NEED_PAUSE) & ~traits_of_node(&l));
    assert_true(traits_of_need(NEED_CONSOLE) & ~traits_of_node(&l));
    assert_true(traits_of_need(NEED_STATS) & ~traits_of_node(&l));
    assert_false(traits_of_need(NEED_STATS) & ~traits_of_node(&none));
    assert_non_null(
        strstr(traits_lacking(traits_of_need(NEED_STATS)), "(stats)"));
}

static void
traits__node_that_tells_none_is_asked_for_all(void **state)
{
    assert_true(node(NULL, NULL) == UINT64_MAX);
}

static void
set(struct sched *s, const char *id, uint64_t traits)
{
    struct sched_node n = {.id = id,
                           .capacity = {4, 1 << 20, 1 << 20},
                           .vcpu_ratio_permille = 1000,
                           .memory_ratio_permille = 1000,
                           .disk_ratio_permille = 1000,
                           .up = true,
                           .schedulable = true,
                           .traits = traits};
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(sched_node_set(s, &n, &e), 0);
}

static void
traits__placement_follows_and_refusal_names_the_lack(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct err e _cleanup_(err_release) = {0};
    uint64_t need = image(PART_DISK, -1);
    struct sched_request rq = {.need = {1, 1, 1},
                               .traits_required = need,
                               .traits_lacking = traits_lacking(need)};
    char got[ID_SIZE];

    set(s, NODE_A, node("kernel-boot", NULL));
    set(s, NODE_B, node("kernel-boot", "disk-boot"));
    assert_int_equal(sched_place(s, &rq, got, NULL, &e), 0);
    assert_string_equal(got, NODE_B);
    /* Its driver is another one from now on. */
    set(s, NODE_B, node("kernel-boot", "pause"));
    assert_int_equal(sched_place(s, &rq, got, NULL, &e), -ENOSPC);
    assert_string_equal(e.message,
                        "no node fits: 2 without firmware to boot a disk "
                        "(disk-boot)");
    rq.traits_required = image(PART_KERNEL, -1);
    assert_non_null(strstr(traits_lacking(rq.traits_required), "kernel-boot"));
    assert_int_equal(sched_place(s, &rq, got, NULL, &e), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traits__image_needs_what_it_boots_by),
        cmocka_unit_test(traits__unknown_words_count_for_nothing),
        cmocka_unit_test(traits__verbs_need_what_the_driver_says),
        cmocka_unit_test(traits__node_that_tells_none_is_asked_for_all),
        cmocka_unit_test(traits__placement_follows_and_refusal_names_the_lack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
