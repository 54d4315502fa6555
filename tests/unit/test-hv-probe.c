/* test-hv-probe.c - the measurement of /dev/kvm: bounded in time, honest about
 * what it found, and without a trace in the calling thread. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"

static void
probe__is_bounded_and_says_why(void **state)
{
    sigset_t before, after, pending;
    char why[200] = "";
    int64_t start;

    sigprocmask(SIG_BLOCK, NULL, &before);
    for (int i = 0; i < 3; i++) {
        start = clock_mono_us();
        int yes = hv_probe_kvm(why, sizeof(why));
        /* 0.3 s by contract; the rest is for a loaded test machine. */
        assert_true(clock_mono_us() - start < US_PER_S);
        assert_non_null(strstr(why, "/dev/kvm"));
        assert_true(yes >= 0);
        if (yes)
            assert_non_null(strstr(why, ": hardware speed"));
    }
    print_message("# %s\n", why);
    sigprocmask(SIG_BLOCK, NULL, &after);
    sigpending(&pending);
    for (int s = 1; s < SIGRTMAX; s++)
        assert_true(!sigismember(&pending, s) &&
                    sigismember(&before, s) == sigismember(&after, s));
}

static void
probe__deadline_cuts_the_loop_with_a_rate(void **state)
{
    char why[200] = "";
    double per_s = 0;
    int r = hv_probe_kvm_rate("/dev/kvm", 20, &per_s, why, sizeof(why));

    if (r < 0) {
        print_message("# SKIP no KVM here: %s\n", why);
        skip();
    }
    assert_true(per_s > 1000);
    assert_true(per_s < 1e12);
}

static void
probe__no_kvm_is_no_with_the_reason(void **state)
{
    char why[200];
    double per_s;

    assert_int_equal(
        hv_probe_kvm_rate("/nonexistent", 20, &per_s, why, sizeof(why)),
        -ENOENT);
    assert_non_null(strstr(why, "/nonexistent"));
    /* A file that is no KVM. */
    assert_int_equal(
        hv_probe_kvm_rate("/dev/null", 20, &per_s, why, sizeof(why)), -ENOTTY);
    assert_non_null(strstr(why, "KVM_GET_API_VERSION"));
}

/* At each of the descriptors that it takes. */
static void
probe__lack_of_descriptors_is_no_answer(void **state)
{
    char why[200] = "";
    struct rlimit all, few;
    int next = dup(0), last = next, yes;

    if (access("/dev/kvm", R_OK | W_OK) < 0 ||
        hv_probe_kvm(why, sizeof(why)) < 0)
        skip();
    assert_true(next > 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = all;
    do {
        few.rlim_cur = (rlim_t)last++;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        yes = hv_probe_kvm(why, sizeof(why));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
        assert_true(yes >= 0 || yes == -EMFILE);
    } while (yes < 0);
    /* /dev/kvm, the VM, its vCPU. */
    assert_true(last - next > 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe__is_bounded_and_says_why),
        cmocka_unit_test(probe__deadline_cuts_the_loop_with_a_rate),
        cmocka_unit_test(probe__lack_of_descriptors_is_no_answer),
        cmocka_unit_test(probe__no_kvm_is_no_with_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
