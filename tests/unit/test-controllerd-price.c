/* test-controllerd-price.c - exact decimal prices. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/mem.h"
#include "controllerd/price.h"

static void
price_valid__takes_plain_decimals_only(void **state)
{
    static const char *const good[] = {"0",  "0.0",    "7",
                                       "10", "0.0125", "123456789012.1234567"};
    static const char *const bad[] = {"",   "-1",    "+1",   "01",  "00",
                                      "1.", ".5",    "1e3",  "1,5", " 1",
                                      "1 ", "1.2.3", "00.5", "x"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!price_valid(good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (price_valid(bad[i]))
            fail_msg("%s", bad[i]);
}

static void
price_times__is_exact(void **state)
{
    static const struct {
        const char *price;
        unsigned n;
        const char *want;
    } cases[] = {
        {"0.0125", 1, "0.0125"},
        {"0.0125", 4, "0.0500"},
        {"0.0125", 1000, "12.5000"},
        {"0.1", 3, "0.3"},
        {"0", 1000, "0"},
        {"12.50", 0, "0.00"},
        {"99", 99, "9801"},
        {"9.99", 1000, "9990.00"},
        {"99999999999999999.99", 1000, "99999999999999999990.00"},
        {"99999999999999999999", 4294967295u, "429496729499999999995705032705"},
        {"0.99999999999999999999", 4294967295u,
         "4294967294.99999999995705032705"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *got _cleanup_(freep) = price_times(cases[i].price, cases[i].n);

        assert_string_equal(got, cases[i].want);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(price_valid__takes_plain_decimals_only),
        cmocka_unit_test(price_times__is_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
