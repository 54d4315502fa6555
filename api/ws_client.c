/* ws_client.c - the client's side of a WebSocket handshake; see ws.h. */
#include <config.h>

#include "api/ws.h"

#include <poll.h>
#include <string.h>

#include "api/resources.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/httpc.h"
#include "common/mem.h"

#define HEAD_MAX 16384
#define HANDSHAKE_US (15 * US_PER_S)

/* Reads until `want` bytes after the head's end are there (or the stream
 * ends); the head's length, or negative errno. */
static int
read_head(struct httpc_raw *raw, struct buf *in)
{
    int64_t deadline = clock_mono_us() + HANDSHAKE_US;
    char chunk[4096];

    for (;;) {
        const char *end = in->len ? strstr(buf_str(in), "\r\n\r\n") : NULL;

        if (end)
            return (int)(end + 4 - in->data);
        if (in->len > HEAD_MAX)
            return -EMSGSIZE;
        if (clock_mono_us() > deadline)
            return -ETIMEDOUT;
        ssize_t r = httpc_raw_recv(raw, chunk, sizeof(chunk));
        if (r == -EAGAIN) {
            struct pollfd p = {.fd = httpc_raw_fd(raw), .events = POLLIN};

            poll(&p, 1, 500);
            continue;
        }
        if (r <= 0)
            return r < 0 ? (int)r : -EPROTO;
        buf_add(in, chunk, (size_t)r);
    }
}

/* A refusal carries a problem document after its head. */
static int
refused(struct httpc_raw *raw, struct buf *in, int head, struct err *reterr)
{
    struct api_problem p = {0};
    char chunk[4096];
    const char *cl = strcasestr(buf_str(in), "\r\nContent-Length:");
    long want = cl ? strtol(cl + 17, NULL, 10) : 0;
    int64_t deadline = clock_mono_us() + 2 * US_PER_S;

    int status = in->len > 12 ? (int)strtol(in->data + 9, NULL, 10) : 0;
    want = MIN(want, (long)HEAD_MAX);
    while ((long)in->len - head < want && clock_mono_us() < deadline) {
        ssize_t r = httpc_raw_recv(raw, chunk, sizeof(chunk));

        if (r == -EAGAIN) {
            struct pollfd pfd = {.fd = httpc_raw_fd(raw), .events = POLLIN};

            poll(&pfd, 1, 200);
        } else if (r <= 0) {
            break;
        } else {
            buf_add(in, chunk, (size_t)r);
        }
    }
    int number = status == 404                    ? -ENOENT
                 : status == 401 || status == 403 ? -EACCES
                 : status == 409                  ? -EBUSY
                 : status == 503                  ? -EAGAIN
                                                  : -EPROTO;
    if (codec_decode(&table_problem, CODEC_REPLY, in->data + head,
                     in->len - (size_t)head, &p, NULL) == 0 &&
        p.detail)
        err_set(reterr, number, p.code ? p.code : "refused", "%s", p.detail);
    else
        err_set(reterr, number, "refused",
                "the server refused the connection (status %d)", status);
    codec_clear(&table_problem, &p);
    return number;
}

int
ws_client_open(struct httpc *c, const char *path, struct httpc_raw **ret,
               struct buf *leftover, struct err *reterr)
{
    struct buf rq _cleanup_(buf_release) = {0};
    struct buf in _cleanup_(buf_release) = {0};
    char key[WS_KEY_SIZE], accept[WS_ACCEPT_SIZE];
    struct httpc_raw *raw = NULL;

    ws_key(key);
    int r = ws_accept(key, accept);
    if (r == 0)
        r = httpc_raw_open(c, &raw, reterr);
    if (r < 0)
        return r;
    buf_addf(&rq,
             "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: %s\r\n",
             path, httpc_host(c), key);
    if (httpc_auth_header(c))
        buf_addf(&rq, "%s\r\n", httpc_auth_header(c));
    buf_adds(&rq, "\r\n");
    r = httpc_raw_send(raw, rq.data, rq.len);
    int head = r < 0 ? r : read_head(raw, &in);
    if (head < 0) {
        httpc_raw_close(raw);
        return err_errno(reterr, head, "WebSocket handshake");
    }
    if (strncmp(in.data, "HTTP/1.1 101", 12) != 0) {
        r = refused(raw, &in, head, reterr);
        httpc_raw_close(raw);
        return r;
    }
    if (!memmem(in.data, (size_t)head, accept, strlen(accept))) {
        httpc_raw_close(raw);
        return err_set(reterr, -EPROTO, "bad_handshake",
                       "the server's WebSocket handshake is wrong");
    }
    buf_add(leftover, in.data + head, in.len - (size_t)head);
    *ret = raw;
    return 0;
}
