/* test-api-ws.c - WebSocket frames of all sizes, whole and in crumbs, and
 * what breaks the protocol (RFC 6455). */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/ws.h"
#include "common/id.h"
#include "common/mem.h"

static const size_t sizes[] = {0,   1,     2,     124,   125,  126,
                               127, 65534, 65535, 65536, 4096, 1000};

static char *
noise(size_t n)
{
    char *p = xmalloc(n + 1);

    id_random(p, n);
    return p;
}

static void
frame__of_every_size_comes_back(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (int client = 0; client < 2; client++) {
            struct buf b _cleanup_(buf_release) = {0};
            char *data _cleanup_(freep) = noise(sizes[i]);
            struct ws_frame f;

            ws_encode(WS_BINARY, data, sizes[i], client, &b);
            size_t whole = b.len;
            buf_adds(&b, "rest");
            assert_int_equal(ws_decode(&b, client, &f), whole);
            assert_int_equal(f.opcode, WS_BINARY);
            assert_true(f.fin);
            assert_int_equal(f.len, sizes[i]);
            assert_memory_equal(f.payload, data, sizes[i]);
            buf_consume(&b, whole);
            assert_string_equal(buf_str(&b), "rest");
        }
}

/* A client's payload never stands on the wire as it is (section 5.3). */
static void
encode__client_masks_with_fresh_keys(void **state)
{
    struct buf a _cleanup_(buf_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};
    static const char text[] = "the very same words, long enough";

    ws_encode(WS_TEXT, text, sizeof(text), true, &a);
    ws_encode(WS_TEXT, text, sizeof(text), true, &b);
    assert_int_equal(a.len, b.len);
    assert_memory_not_equal(a.data, b.data, a.len);
    assert_null(memmem(a.data, a.len, text, sizeof(text)));
    assert_int_equal((unsigned char)a.data[1] & 0x80, 0x80);
}

static void
decode__byte_by_byte_waits_for_the_whole(void **state)
{
    for (int client = 0; client < 2; client++)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            struct buf all _cleanup_(buf_release) = {0};
            struct buf in _cleanup_(buf_release) = {0};
            char *data _cleanup_(freep) = noise(sizes[i]);
            struct ws_frame f;

            ws_encode(WS_TEXT, data, sizes[i], client, &all);
            for (size_t k = 0; k + 1 < all.len; k++) {
                buf_addc(&in, all.data[k]);
                assert_int_equal(ws_decode(&in, client, &f), -EAGAIN);
            }
            buf_addc(&in, all.data[all.len - 1]);
            assert_int_equal(ws_decode(&in, client, &f), all.len);
            assert_int_equal(f.len, sizes[i]);
            assert_memory_equal(f.payload, data, sizes[i]);
        }
}

static void
decode__nothing_yet_waits(void **state)
{
    struct buf empty = {0};
    struct ws_frame f;

    assert_int_equal(ws_decode(&empty, true, &f), -EAGAIN);
}

static void
decode__fragments_keep_their_marks(void **state)
{
    static const unsigned char first[] = {0x01, 0x01, 'a'};
    static const unsigned char more[] = {0x00, 0x01, 'b'};
    static const unsigned char last[] = {0x80, 0x01, 'c'};
    struct buf b _cleanup_(buf_release) = {0};
    struct ws_frame f;

    buf_add(&b, first, 3);
    buf_add(&b, more, 3);
    buf_add(&b, last, 3);
    assert_int_equal(ws_decode(&b, false, &f), 3);
    assert_int_equal(f.opcode, WS_TEXT);
    assert_false(f.fin);
    buf_consume(&b, 3);
    assert_int_equal(ws_decode(&b, false, &f), 3);
    assert_int_equal(f.opcode, WS_CONTINUATION);
    assert_false(f.fin);
    buf_consume(&b, 3);
    assert_int_equal(ws_decode(&b, false, &f), 3);
    assert_true(f.fin);
    assert_int_equal(*f.payload, 'c');
}

static void
decode__broken_protocol_is_refused(void **state)
{
    static const struct {
        unsigned char bytes[10];
        size_t n;
        bool from_client;
        int want;
    } bad[] = {
        {{0xc2, 0x00}, 2, false, -EPROTO}, /* RSV1 */
        {{0xa2, 0x00}, 2, false, -EPROTO}, /* RSV2 */
        {{0x92, 0x00}, 2, false, -EPROTO}, /* RSV3 */
        {{0x82, 0x00}, 2, true, -EPROTO},  /* a client must mask */
        {{0x82, 0x80}, 2, false, -EPROTO}, /* a server must not */
        {{0x83, 0x00}, 2, false, -EPROTO}, /* opcodes 3 to 7 */
        {{0x87, 0x00}, 2, false, -EPROTO},
        {{0x8b, 0x00}, 2, false, -EPROTO}, /* 11 to 15 */
        {{0x8f, 0x00}, 2, false, -EPROTO},
        {{0x09, 0x00}, 2, false, -EPROTO},        /* a fragmented ping */
        {{0x88, 126, 0, 126}, 4, false, -EPROTO}, /* a long close */
        {{0x82, 126, 0, 125}, 4, false, -EPROTO}, /* 125 in two bytes */
        {{0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
         10,
         false,
         -EPROTO}, /* 65535 in eight */
        {{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1}, 10, false, -EMSGSIZE},
        {{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, 10, false, -EMSGSIZE},
        {{0x82, 255, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
         10,
         true,
         -EMSGSIZE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct buf b _cleanup_(buf_release) = {0};
        struct ws_frame f;

        buf_add(&b, bad[i].bytes, bad[i].n);
        if (ws_decode(&b, bad[i].from_client, &f) != bad[i].want)
            fail_msg("case %zu gives %d", i,
                     ws_decode(&b, bad[i].from_client, &f));
    }
}

static void
accept__is_that_of_the_rfc(void **state)
{
    char out[WS_ACCEPT_SIZE];

    /* RFC 6455 section 1.3 */
    assert_int_equal(ws_accept("dGhlIHNhbXBsZSBub25jZQ==", out), 0);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void
accept__long_key_is_refused(void **state)
{
    char out[WS_ACCEPT_SIZE], key[66];

    memset(key, 'a', 65);
    key[65] = '\0';
    assert_int_equal(ws_accept(key, out), -EINVAL);
    key[64] = '\0';
    assert_int_equal(ws_accept(key, out), 0);
}

static void
key__is_16_random_bytes_in_base64(void **state)
{
    char a[WS_KEY_SIZE], b[WS_KEY_SIZE];

    ws_key(a);
    ws_key(b);
    assert_int_equal(strlen(a), 24);
    assert_string_equal(a + 22, "==");
    assert_string_not_equal(a, b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame__of_every_size_comes_back),
        cmocka_unit_test(encode__client_masks_with_fresh_keys),
        cmocka_unit_test(decode__byte_by_byte_waits_for_the_whole),
        cmocka_unit_test(decode__nothing_yet_waits),
        cmocka_unit_test(decode__fragments_keep_their_marks),
        cmocka_unit_test(decode__broken_protocol_is_refused),
        cmocka_unit_test(accept__is_that_of_the_rfc),
        cmocka_unit_test(accept__long_key_is_refused),
        cmocka_unit_test(key__is_16_random_bytes_in_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
