/* bench/wire.h - many HTTPS clients on one thread, for benchmarks.
 * Role:      keep-alive HTTP/1.1 connections over GnuTLS, driven by epoll:
 *            one request at a time each. It measures, so it does as little
 *            as it can: replies need a Content-Length, and the server's
 *            certificate is not checked (the cloud is the benchmark's own).
 * Ownership: the caller owns each struct wire, which must live until
 *            wire_close().
 * Threads:   a loop and its wires belong to one thread.
 * Errors:    done() with status 0: the connection failed or was closed. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

struct wire_loop {
    int ep;
    struct sockaddr_in to;
    gnutls_certificate_credentials_t cred;
    int64_t handshakes, bytes_in;
};

struct wire {
    struct wire_loop *loop;
    int fd; /* -1: closed */
    gnutls_session_t tls;
    bool connected, shaken;
    bool deaf;                     /* never reads once its request is out */
    struct buf out;                /* what is not sent yet */
    struct buf in;                 /* the reply so far */
    bool busy;                     /* a request waits for its reply */
    uint32_t from_ip;              /* host order; 0: any */
    void (*ready)(struct wire *w); /* TLS is up; may be NULL */
    void (*done)(struct wire *w, int status, const char *body, size_t n);
    void *arg;
};

void wire_loop_init(struct wire_loop *l, const struct sockaddr_in *to,
                    gnutls_certificate_credentials_t cred);
void wire_loop_release(struct wire_loop *l);
/* Handles what happened, waiting for at most timeout_us. */
void wire_poll(struct wire_loop *l, int64_t timeout_us);

/* Connects; ready() follows. Fields behind `from_ip` are the caller's. */
void wire_open(struct wire_loop *l, struct wire *w);
void wire_close(struct wire *w);
/* `request`: head and body as they go out. Before ready() it is kept. */
void wire_send(struct wire *w, const void *request, size_t n);

#endif
