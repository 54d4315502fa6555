/* ws.c - WebSocket frames and accept keys; see ws.h (RFC 6455). */
#include <config.h>

#include "api/ws.h"

#include <gnutls/crypto.h>
#include <string.h>

#include "common/id.h"

int
ws_decode(struct buf *in, bool from_client, struct ws_frame *ret)
{
    unsigned char *p = (unsigned char *)in->data;
    size_t head = 2, len;

    if (in->len < 2)
        return -EAGAIN;
    bool masked = p[1] & 0x80;
    unsigned opcode = p[0] & 0x0f;
    if ((p[0] & 0x70) || masked != from_client)
        return -EPROTO; /* reserved bits; 5.1: clients mask, servers do not */
    if (opcode > WS_BINARY && (opcode < WS_CLOSE || opcode > WS_PONG))
        return -EPROTO;
    len = p[1] & 0x7f;
    if (opcode >= WS_CLOSE && (len > 125 || !(p[0] & 0x80)))
        return -EPROTO; /* 5.5: control frames are short and whole */
    if (len == 126) {
        if (in->len < 4)
            return -EAGAIN;
        len = (size_t)p[2] << 8 | p[3];
        if (len < 126)
            return -EPROTO; /* 5.2: in as few bytes as there can be */
        head = 4;
    } else if (len == 127) {
        uint64_t big = 0;

        if (in->len < 10)
            return -EAGAIN;
        for (int i = 0; i < 8; i++)
            big = big << 8 | p[2 + i];
        if (big > WS_PAYLOAD_MAX)
            return -EMSGSIZE;
        if (big < 65536)
            return -EPROTO;
        len = (size_t)big;
        head = 10;
    }
    if (len > WS_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (masked)
        head += 4;
    if (in->len < head + len)
        return -EAGAIN;
    if (masked)
        for (size_t i = 0; i < len; i++)
            p[head + i] ^= p[head - 4 + (i & 3)];
    *ret = (struct ws_frame){
        .opcode = (enum ws_opcode)opcode,
        .fin = p[0] & 0x80,
        .payload = p + head,
        .len = len,
    };
    return (int)(head + len);
}

void
ws_encode(enum ws_opcode opcode, const void *payload, size_t len,
          bool as_client, struct buf *out)
{
    unsigned char h[14], mask[4];
    size_t n = 2;

    h[0] = (unsigned char)(0x80 | opcode);
    if (len < 126) {
        h[1] = (unsigned char)len;
    } else if (len < 65536) {
        h[1] = 126;
        h[2] = (unsigned char)(len >> 8);
        h[3] = (unsigned char)len;
        n = 4;
    } else {
        h[1] = 127;
        for (int i = 0; i < 8; i++)
            h[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    if (as_client) {
        h[1] |= 0x80;
        id_random(mask, sizeof(mask));
        memcpy(h + n, mask, 4);
        n += 4;
    }
    buf_add(out, h, n);
    size_t at = out->len;
    buf_add(out, payload, len);
    if (as_client)
        for (size_t i = 0; i < len; i++)
            out->data[at + i] ^= (char)mask[i & 3];
}

static void
base64(const void *data, size_t n, char *out, size_t out_size)
{
    gnutls_datum_t in = {(unsigned char *)data, (unsigned)n}, b64;

    if (gnutls_base64_encode2(&in, &b64) < 0)
        abort();
    snprintf(out, out_size, "%.*s", (int)b64.size, (char *)b64.data);
    gnutls_free(b64.data);
}

void
ws_key(char out[WS_KEY_SIZE])
{
    unsigned char r[16];

    id_random(r, sizeof(r));
    base64(r, sizeof(r), out, WS_KEY_SIZE);
}

int
ws_accept(const char *key, char out[WS_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[64 + sizeof(guid)];
    unsigned char digest[20];

    if (strnlen(key, 65) > 64)
        return -EINVAL;
    int n = snprintf(text, sizeof(text), "%s%s", key, guid);
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, text, (size_t)n, digest) < 0)
        return -EIO;
    base64(digest, sizeof(digest), out, WS_ACCEPT_SIZE);
    return 0;
}
