/* fuzz-ws.c - a stream of WebSocket frames. The first byte says whose, and
 * in which pieces it arrives: cut anywhere it must give the same frames. */
#include <config.h>

#include <string.h>

#include "api/ws.h"
#include "common/hash.h"
#include "tests/fuzz/fuzz.h"

/* Takes all frames off `in`; adds each to the hash. 0 or the error. */
static int
take_all(struct buf *in, bool from_client, struct hash *h)
{
    struct ws_frame f;

    for (;;) {
        size_t before = in->len;
        int r = ws_decode(in, from_client, &f);

        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            return r;
        FUZZ_CHECK(r >= 2 && (size_t)r <= before);
        FUZZ_CHECK(f.len <= WS_PAYLOAD_MAX);
        FUZZ_CHECK(f.opcode < WS_CLOSE || (f.fin && f.len <= 125));
        FUZZ_CHECK((const char *)f.payload + f.len <= in->data + in->len);
        hash_add(h, &f.opcode, sizeof(f.opcode));
        hash_add(h, &f.len, sizeof(f.len));
        hash_add(h, f.payload, f.len);
        buf_consume(in, (size_t)r);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole _cleanup_(buf_release) = {0};
    struct buf parts _cleanup_(buf_release) = {0};
    unsigned char a[HASH_LEN], b[HASH_LEN];
    int r = 0;

    if (size == 0)
        return 0;
    bool from_client = data[0] & 1;
    size_t step = (size_t)(data[0] >> 1) + 1;
    data++;
    size--;
    struct hash *h = hash_begin();
    buf_add(&whole, data, size);
    int want = take_all(&whole, from_client, h);
    hash_end(h, a);
    h = hash_begin();
    for (size_t at = 0; at < size && r == 0; at += step) {
        buf_add(&parts, data + at, size - at < step ? size - at : step);
        r = take_all(&parts, from_client, h);
    }
    hash_end(h, b);
    FUZZ_CHECK(r == want);
    FUZZ_CHECK(memcmp(a, b, HASH_LEN) == 0);

    /* And what we send ourselves comes back. */
    struct buf out _cleanup_(buf_release) = {0};
    struct ws_frame f;
    size_t len = size < WS_PAYLOAD_MAX ? size : WS_PAYLOAD_MAX;
    ws_encode(WS_BINARY, data, len, from_client, &out);
    FUZZ_CHECK(ws_decode(&out, from_client, &f) == (int)out.len);
    FUZZ_CHECK(f.len == len && memcmp(f.payload, data, len) == 0);
    return 0;
}
