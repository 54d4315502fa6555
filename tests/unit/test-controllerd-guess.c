/* test-controllerd-guess.c - buckets against guessing, by a clock of our own.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "controllerd/guess.h"

#define T0 INT64_C(1000000000)
#define HOME "192.0.2.1"

static int
setup(void **state)
{
    *state = guess_new();
    return 0;
}

static int
teardown(void **state)
{
    guess_free(*state);
    return 0;
}

/* How many attempts pass at that moment, at most `max`. */
static int
passes(struct guess *g, const char *user, const char *remote, int64_t now,
       int max)
{
    int n = 0;

    while (n < max && guess_try(g, user, remote, now) == 0)
        n++;
    return n;
}

static void
user__burst_then_one_by_one(void **state)
{
    struct guess *g = *state;

    assert_int_equal(passes(g, "ada", HOME, T0, 1000), GUESS_USER_BURST);
    assert_int_equal(guess_try(g, "ada", HOME, T0), GUESS_USER_US);
    assert_int_equal(guess_try(g, "ada", HOME, T0 + 1), GUESS_USER_US - 1);
    /* Waiting as long as it said is enough, and asking costs nothing. */
    assert_int_equal(passes(g, "ada", HOME, T0 + GUESS_USER_US - 1, 9), 0);
    assert_int_equal(passes(g, "ada", HOME, T0 + GUESS_USER_US, 9), 1);
    assert_int_equal(passes(g, "ada", HOME, T0 + 4 * GUESS_USER_US, 9), 3);
    /* After a long time it is full, and no fuller. */
    assert_int_equal(passes(g, "ada", HOME, T0 + 1000 * GUESS_USER_US, 1000),
                     GUESS_USER_BURST);
    assert_int_equal(passes(g, "bob", HOME, T0 + 2000 * GUESS_USER_US, 1000),
                     GUESS_USER_BURST);
}

static void
remote__many_names_share_it(void **state)
{
    struct guess *g = *state;
    int n = 0;

    for (int i = 0; i < 1000; i++) {
        char name[32];

        snprintf(name, sizeof(name), "name-%d", i);
        n += guess_try(g, name, HOME, T0) == 0;
    }
    assert_int_equal(n, GUESS_REMOTE_BURST);
    assert_int_equal(guess_try(g, "x", HOME, T0), GUESS_REMOTE_US);
    assert_int_equal(guess_try(g, "x", "192.0.2.2", T0), 0);
    assert_int_equal(guess_try(g, "x", HOME, T0 + GUESS_REMOTE_US), 0);
}

static void
join__failed_ones_use_up_their_address_alone(void **state)
{
    struct guess *g = *state;
    int n = 0;

    for (int i = 0; i < 1000; i++) /* those that were right */
        if (guess_join(g, HOME, T0) == 0) {
            guess_join_back(g, HOME, T0);
            n++;
        }
    assert_int_equal(n, 1000);
    for (n = 0; guess_join(g, HOME, T0) == 0; n++)
        ;
    assert_int_equal(n, GUESS_REMOTE_BURST);
    assert_int_equal(guess_join(g, HOME, T0), GUESS_REMOTE_US);
    assert_int_equal(guess_join(g, "192.0.2.2", T0), 0);
    assert_int_equal(guess_try(g, "ada", HOME, T0), 0);
    assert_int_equal(guess_join(g, HOME, T0 + GUESS_REMOTE_US), 0);
    /* Of IPv6 a network is one guesser. */
    for (n = 0; n < GUESS_REMOTE_BURST; n++)
        assert_int_equal(guess_join(g, "2001:db8::1", T0), 0);
    assert_int_not_equal(guess_join(g, "2001:db8::2", T0), 0);
}

/* A refusal by one bucket takes nothing from the other. */
static void
refusal__takes_nothing(void **state)
{
    struct guess *g = *state;

    passes(g, "ada", HOME, T0, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_not_equal(guess_try(g, "ada", HOME, T0), 0);
    int left = 0;
    for (int i = 0; i < 1000; i++) {
        char name[32];

        snprintf(name, sizeof(name), "name-%d", i);
        left += guess_try(g, name, HOME, T0) == 0;
    }
    assert_int_equal(left, GUESS_REMOTE_BURST - GUESS_USER_BURST);
}

static void
ipv6__a_network_is_one_address(void **state)
{
    struct guess *g = *state;
    int n = 0;

    for (int i = 0; i < 1000; i++) {
        char name[32], from[64];

        snprintf(name, sizeof(name), "name-%d", i);
        snprintf(from, sizeof(from), "2001:db8:1:2:%x::1", i);
        n += guess_try(g, name, from, T0) == 0;
    }
    assert_int_equal(n, GUESS_REMOTE_BURST);
    assert_int_equal(guess_try(g, "x", "2001:db8:1:3::1", T0), 0);
    /* IPv4 in IPv6 is not one network, but the address in it. */
    assert_int_equal(passes(g, "y", "::ffff:192.0.2.9", T0, 1000),
                     GUESS_USER_BURST);
    guess_known(g, "z", "192.0.2.9", T0);
    passes(g, "z", "192.0.2.77", T0, 1000);
    assert_int_equal(guess_try(g, "z", "::ffff:192.0.2.9", T0), 0);
}

static void
right__gives_back(void **state)
{
    struct guess *g = *state;

    for (int i = 0; i < 10 * GUESS_REMOTE_BURST; i++) {
        assert_int_equal(guess_try(g, "ada", HOME, T0), 0);
        guess_right(g, "ada", HOME, T0);
    }
    for (int i = 0; i < 10 * GUESS_REMOTE_BURST; i++) {
        assert_int_equal(guess_try(g, "bob", HOME, T0), 0);
        guess_back(g, "bob", HOME, T0);
    }
    assert_int_equal(passes(g, "bob", HOME, T0, 1000), GUESS_USER_BURST);
}

/* Strangers empty the user's bucket; where the user is at home stands another,
 * which guesses from there can empty, too. */
static void
stranger__shuts_nobody_out_at_home(void **state)
{
    struct guess *g = *state;

    assert_int_equal(guess_try(g, "ada", HOME, T0), 0);
    guess_right(g, "ada", HOME, T0);
    for (int i = 0; i < 250; i++) {
        char from[32];

        snprintf(from, sizeof(from), "198.51.100.%d", i);
        passes(g, "ada", from, T0, 1000);
    }
    assert_int_not_equal(guess_try(g, "ada", "203.0.113.1", T0), 0);
    assert_int_equal(passes(g, "ada", HOME, T0, 1000), GUESS_USER_BURST);
}

/* However many names and addresses come, memory is bounded, and those in use
 * stay. */
static void
table__forgets_the_oldest(void **state)
{
    struct guess *g = *state;

    for (int i = 0; i < 2 * GUESS_MAX; i++) {
        char name[32], from[32];

        snprintf(name, sizeof(name), "name-%d", i);
        snprintf(from, sizeof(from), "10.%d.%d.%d", i >> 16, i >> 8 & 255,
                 i & 255);
        assert_int_equal(guess_try(g, name, from, T0), 0);
        if (i % 1000 == 0)
            passes(g, "ada", HOME, T0, 1000);
    }
    assert_int_not_equal(guess_try(g, "ada", "10.200.0.1", T0), 0);
}

static void *
many_tries(void *arg)
{
    int64_t passed = 0;

    for (int i = 0; i < 20000; i++) {
        passed += guess_try(arg, "ada", HOME, T0) == 0;
        if (i % 100 == 0) {
            char name[32];

            snprintf(name, sizeof(name), "name-%d", i);
            guess_known(arg, name, HOME, T0);
        }
    }
    return (void *)(intptr_t)passed;
}

static void
threads__share_one_bucket(void **state)
{
    pthread_t t[4];
    intptr_t sum = 0;

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, many_tries, *state), 0);
    for (int i = 0; i < 4; i++) {
        void *n;

        assert_int_equal(pthread_join(t[i], &n), 0);
        sum += (intptr_t)n;
    }
    assert_int_equal(sum, GUESS_USER_BURST);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(user__burst_then_one_by_one),
        T(remote__many_names_share_it),
        T(join__failed_ones_use_up_their_address_alone),
        T(refusal__takes_nothing),
        T(ipv6__a_network_is_one_address),
        T(right__gives_back),
        T(stranger__shuts_nobody_out_at_home),
        T(table__forgets_the_oldest),
        T(threads__share_one_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
