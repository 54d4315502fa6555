/* api/ws.h - WebSocket frames and handshake (RFC 6455), without I/O.
 * Role:      the console travels in binary frames between client, controller
 *            and agent; this is the codec that all three use.
 * Ownership: buffers are the caller's.
 * Threads:   reentrant.
 * Errors:    -EAGAIN needs more bytes; -EPROTO breaks the protocol (close the
 *            connection); -EMSGSIZE over WS_PAYLOAD_MAX. */
#ifndef API_WS_H
#define API_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define WS_PAYLOAD_MAX 65536
#define WS_KEY_SIZE 25    /* base64 of 16 bytes, NUL */
#define WS_ACCEPT_SIZE 29 /* base64 of SHA-1, NUL */

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

struct ws_frame {
    enum ws_opcode opcode;
    bool fin;
    const unsigned char *payload; /* inside the input buffer, unmasked */
    size_t len;
};

/* Takes one frame off the front of `in`: unmasks it in place. from_client
 * says which masking rule applies (RFC 6455 section 5.1). Returns the number
 * of bytes to buf_consume() once the payload was used. */
int ws_decode(struct buf *in, bool from_client, struct ws_frame *ret)
    __attribute__((warn_unused_result));
/* Appends one frame; as_client masks it with random bytes. */
void ws_encode(enum ws_opcode opcode, const void *payload, size_t len,
               bool as_client, struct buf *out);
/* A random Sec-WebSocket-Key, and the Sec-WebSocket-Accept that answers it. */
void ws_key(char out[WS_KEY_SIZE]);
int ws_accept(const char *key, char out[WS_ACCEPT_SIZE])
    __attribute__((warn_unused_result));

struct httpc;
struct httpc_raw;
struct err;

/* Client side: connects, upgrades path, and leaves bytes that came after the
 * reply's head in *leftover. A refusal is -EPROTO with the server's words. */
int ws_client_open(struct httpc *c, const char *path, struct httpc_raw **ret,
                   struct buf *leftover, struct err *reterr)
    __attribute__((warn_unused_result));

#endif
