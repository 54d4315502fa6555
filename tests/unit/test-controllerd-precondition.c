/* test-controllerd-precondition.c - which If-Match headers hold. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "controllerd/ctl.h"

static void
if_match__holds_for_the_generation(void **state)
{
    static const char *const good[] = {
        "\"7\"",         "*",
        " * ",           "\"1\",\"7\"",
        "\"7\" , \"9\"", "W/\"1\",\"7\"",
        "\t\"7\"\t",     ",\"8\", ,\"7\",",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (if_match(good[i], 7) != 1)
            fail_msg("%s", good[i]);
}

static void
if_match__other_or_weak_tag_does_not_hold(void **state)
{
    static const char *const other[] = {
        "\"6\"", "W/\"7\"", "\"07\"", "\"77\"", "\"\"", "\"*\"", "\"x,7\"",
    };

    for (size_t i = 0; i < ARRAY_SIZE(other); i++)
        if (if_match(other[i], 7) != 0)
            fail_msg("%s", other[i]);
}

static void
if_match__malformed_is_refused(void **state)
{
    static const char *const bad[] = {
        "",        ",",       "7",       "\"7",     "7\"",     "\"7\"\"7\"",
        "*,\"7\"", "\"7\",*", "w/\"7\"", "\"7\" 7", "\"7 7\"", "**",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (if_match(bad[i], 7) != -EINVAL)
            fail_msg("%s", bad[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(if_match__holds_for_the_generation),
        cmocka_unit_test(if_match__other_or_weak_tag_does_not_hold),
        cmocka_unit_test(if_match__malformed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
