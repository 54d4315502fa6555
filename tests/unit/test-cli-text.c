/* test-cli-text.c - foreign bytes, the console's keys and frames, masking. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/ws.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/text.h"
#include "common/mem.h"

static const struct {
    const char *in, *out;
} streams[] = {
    {"plain\r\n\ttext\n", "plain\r\n\ttext\n"},
    {"a\033[31;1mred\033[0mb", "aredb"},
    {"a\033]0;title\007b", "ab"},
    {"a\033]0;title\033\\b", "ab"},
    {"a\033]0;no end\nb", "a\nb"},
    {"a\033Pq#0;2\033\\b", "ab"},
    {"a\033(Bb\033=c\033cd", "abcd"},
    {"a\a\b\x7f\x0e"
     "b",
     "ab"},
    {"a\033\033[1mb", "ab"},
    {"a\033[1\nb", "a\nb"},
    {"a\033\nb", "a\nb"},
    {"Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x90\xa7",
     "Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x90\xa7"},
    {"a\xc2\x9b"
     "31mb",
     "a31mb"}, /* CSI as a C1 control */
    {"a\xff"
     "b\xc3"
     "c",
     "a\xef\xbf\xbd"
     "b\xef\xbf\xbd"
     "c"},
    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
    {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
    {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"a\xe2\x82\033[1mb", "a\xef\xbf\xbd"
                          "b"},
};

static void
filter__drops_what_steers_a_terminal(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        struct text_filter f = {0};
        struct buf out _cleanup_(buf_release) = {0};

        text_filter(&f, streams[i].in, strlen(streams[i].in), &out);
        assert_string_equal(buf_str(&out), streams[i].out);
    }
}

static void
filter__chunks_make_no_difference(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        struct text_filter f = {0};
        struct buf out _cleanup_(buf_release) = {0};

        for (const char *p = streams[i].in; *p; p++)
            text_filter(&f, p, 1, &out);
        assert_string_equal(buf_str(&out), streams[i].out);
    }
}

static void
filter__string_without_end_hides_little(void **state)
{
    struct text_filter f = {0};
    struct buf out _cleanup_(buf_release) = {0};

    text_filter(&f, "\033]", 2, &out);
    for (int i = 0; i < 10000; i++)
        text_filter(&f, "x", 1, &out);
    assert_true(out.len > 5000);
}

/* Whatever bytes come, nothing but the permitted controls leaves. */
static void
filter__any_bytes_leave_no_control(void **state)
{
    struct text_filter f = {0};
    struct buf out _cleanup_(buf_release) = {0};
    uint32_t x = 12345;

    for (int i = 0; i < 200000; i++) {
        unsigned char c;

        x = x * 1664525 + 1013904223;
        c = (unsigned char)(x >> 24);
        if ((x >> 16 & 7) == 0)
            c = "\033[]\\P\xc2\x9b"[x >> 8 & 7];
        text_filter(&f, &c, 1, &out);
    }
    for (size_t i = 0; i < out.len; i++) {
        unsigned char c = (unsigned char)out.data[i];

        assert_true(c >= 0x20 || c == '\n' || c == '\t' || c == '\r');
        assert_int_not_equal(c, 0x7f);
        if (c == 0xc2)
            assert_true((unsigned char)out.data[i + 1] >= 0xa0);
    }
    for (size_t i = 0; i < out.len;) {
        int n = text_utf8((unsigned char *)out.data + i, out.len - i);

        assert_true(n > 0);
        i += (size_t)n;
    }
}

static void
clean__controls_become_visible(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};

    text_clean("a\nb\033[1m\xc2\x85\xfe Z\xc3\xbc", &out);
    assert_string_equal(buf_str(&out), "a?b?[1m?\xef\xbf\xbd Z\xc3\xbc");
    assert_int_equal(text_width("Z\xc3\xbcrich"), 6);
}

static void
typed__escape_key_ends_it(void **state)
{
    bool leave;

    assert_int_equal(console_typed("ls\r", 3, &leave), 3);
    assert_false(leave);
    assert_int_equal(console_typed("ls\x1d rm", 6, &leave), 2);
    assert_true(leave);
    assert_int_equal(console_typed("\x1d", 1, &leave), 0);
    assert_true(leave);
    assert_int_equal(console_typed("\0\x1d", 2, &leave), 1);
    assert_true(leave);
}

static void
frames__output_ping_and_close(void **state)
{
    struct buf in _cleanup_(buf_release) = {0};
    struct buf out _cleanup_(buf_release) = {0};
    struct buf reply _cleanup_(buf_release) = {0};
    struct ws_frame pong;
    size_t whole;

    ws_encode(WS_BINARY, "login: ", 7, false, &in);
    ws_encode(WS_PING, "hi", 2, false, &in);
    ws_encode(WS_BINARY, "root", 4, false, &in);
    whole = in.len;
    in.len = whole - 1; /* its last byte is still under way */
    assert_int_equal(console_frames(&in, &out, &reply), 1);
    assert_string_equal(buf_str(&out), "login: ");
    assert_true(ws_decode(&reply, true, &pong) > 0);
    assert_int_equal(pong.opcode, WS_PONG);
    assert_memory_equal(pong.payload, "hi", 2);
    in.len++;
    assert_int_equal(console_frames(&in, &out, &reply), 1);
    assert_string_equal(buf_str(&out), "login: root");
    ws_encode(WS_CLOSE, "", 0, false, &in);
    assert_int_equal(console_frames(&in, &out, &reply), 0);
}

static void
frames__masked_by_a_server_is_refused(void **state)
{
    struct buf in _cleanup_(buf_release) = {0};
    struct buf out _cleanup_(buf_release) = {0};
    struct buf reply _cleanup_(buf_release) = {0};

    ws_encode(WS_BINARY, "x", 1, true, &in);
    assert_int_equal(console_frames(&in, &out, &reply), -EPROTO);
    assert_int_equal(out.len, 0);
}

static void
mask__secrets_never_show(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"GET /?x=vt1.s3cret&y", "GET /?x=***&y"},
        {"{\"id\":1,\"token\":\"vj1.a.b\",\"x\":\"token\"}",
         "{\"id\":1,\"token\":\"***\",\"x\":\"token\"}"},
        {"{\"token\" : \"abc\"}", "{\"token\" : \"***\"}"},
        {"{\"token\":\"cut off in the mid", "{\"token\":\"***"},
        {"{\"token\":null}", "{\"token\":null}"},
        {"\"token\"", "\"token\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out _cleanup_(buf_release) = {0};

        cli_debug_mask(cases[i][0], strlen(cases[i][0]), "vt1.s3cret", &out);
        assert_string_equal(buf_str(&out), cases[i][1]);
    }
}

static void
debug_stream__lines_are_whole_and_clean(void **state)
{
    int fds[2];
    char got[256] = "";

    assert_int_equal(pipe(fds), 0);
    FILE *f = cli_debug_open(fds[1], "s3cret");
    fputs("> a s3", f);
    fputs("cret b\033[1m\r\n<< {\"tok", f);
    fputs("en\":\"new\"}", f);
    fclose(f);
    assert_true(read(fds[0], got, sizeof(got) - 1) > 0);
    /* In a pipe, what was written before is all there. */
    assert_string_equal(got, "> a *** b?[1m\n<< {\"token\":\"***\"}\n");
    close(fds[0]);
    close(fds[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter__drops_what_steers_a_terminal),
        cmocka_unit_test(filter__chunks_make_no_difference),
        cmocka_unit_test(filter__string_without_end_hides_little),
        cmocka_unit_test(filter__any_bytes_leave_no_control),
        cmocka_unit_test(clean__controls_become_visible),
        cmocka_unit_test(typed__escape_key_ends_it),
        cmocka_unit_test(frames__output_ping_and_close),
        cmocka_unit_test(frames__masked_by_a_server_is_refused),
        cmocka_unit_test(mask__secrets_never_show),
        cmocka_unit_test(debug_stream__lines_are_whole_and_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
