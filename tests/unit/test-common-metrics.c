/* test-common-metrics.c - figures as OpenMetrics and as the older text. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/mem.h"
#include "common/metrics.h"

static void
hist__counts_up_to_each_bound(void **state)
{
    static struct metrics_hist h;
    struct buf b _cleanup_(buf_release) = {0};

    metrics_observe(&h, 100);
    metrics_observe(&h, 101);
    metrics_observe(&h, -5); /* a clock that was set back */
    metrics_observe(&h, INT64_C(3600) * 1000000);
    assert_int_equal(metrics_hist_count(&h), 4);
    metrics_hist(&b, "x_seconds", "a=\"b\"", &h);
    assert_non_null(
        strstr(buf_str(&b), "x_seconds_bucket{a=\"b\",le=\"0.0001\"} 2\n"));
    assert_non_null(
        strstr(buf_str(&b), "x_seconds_bucket{a=\"b\",le=\"0.00025\"} 3\n"));
    assert_non_null(strstr(buf_str(&b),
                           "x_seconds_bucket{a=\"b\",le=\"10.0\"} 3\n"
                           "x_seconds_bucket{a=\"b\",le=\"+Inf\"} 4\n"
                           "x_seconds_count{a=\"b\"} 4\n"
                           "x_seconds_sum{a=\"b\"} 3600.000201\n"));
    buf_clear(&b);
    metrics_hist(&b, "x_seconds", NULL, &h);
    assert_non_null(strstr(buf_str(&b), "x_seconds_bucket{le=\"+Inf\"} 4\n"
                                        "x_seconds_count 4\n"));
}

static void
fill(struct buf *b)
{
    buf_clear(b);
    metrics_counter(b, "x_reads", NULL, "Reads of counter x.", 7);
    metrics_gauge(b, "x_size_bytes", "bytes", "Its size.", 9);
    metrics_end(b);
}

static void
negotiate__openmetrics_unless_text_is_asked_for(void **state)
{
    static const char *const open[] = {
        NULL, "*/*", "text/html",
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"};
    struct buf b _cleanup_(buf_release) = {0};

    for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
        fill(&b);
        assert_non_null(strstr(metrics_negotiate(open[i], &b), "openmetrics"));
        assert_string_equal(buf_str(&b), "# TYPE x_reads counter\n"
                                         "# HELP x_reads Reads of counter x.\n"
                                         "x_reads_total 7\n"
                                         "# TYPE x_size_bytes gauge\n"
                                         "# UNIT x_size_bytes bytes\n"
                                         "# HELP x_size_bytes Its size.\n"
                                         "x_size_bytes 9\n"
                                         "# EOF\n");
    }
    fill(&b);
    assert_non_null(
        strstr(metrics_negotiate("text/plain;version=0.0.4", &b), "0.0.4"));
    assert_string_equal(buf_str(&b),
                        "# TYPE x_reads_total counter\n"
                        "# HELP x_reads_total Reads of counter x.\n"
                        "x_reads_total 7\n"
                        "# TYPE x_size_bytes gauge\n"
                        "# HELP x_size_bytes Its size.\n"
                        "x_size_bytes 9\n");
}

static void
negotiate__nothing_stays_nothing(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};

    assert_non_null(metrics_negotiate("text/plain", &b));
    assert_int_equal(b.len, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hist__counts_up_to_each_bound),
        cmocka_unit_test(negotiate__openmetrics_unless_text_is_asked_for),
        cmocka_unit_test(negotiate__nothing_stays_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
