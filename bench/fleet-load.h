/* bench/fleet-load.h - load on the API with honest latencies, and abuse of it.
 * Role:      load_run() sends requests either open loop (at a rate, whatever
 *            the server does; a latency counts from the moment at which the
 *            request was due, so that a stall is not hidden by the requests
 *            which it delayed) or closed loop (as fast as they are answered).
 *            abuse_start() is another client that means harm, on a thread of
 *            its own.
 * Threads:   one load at a time per struct load.   Errors: counted. */
#ifndef BENCH_FLEET_LOAD_H
#define BENCH_FLEET_LOAD_H

#include "bench/wire.h"

struct load {
    struct sockaddr_in to;
    const char *bearer;
    int connections;
    double rate;   /* per second; 0: closed loop */
    int64_t total; /* requests; 0: until seconds are over */
    double seconds;
    uint32_t from_ip;
    /* Appends the request's head and body; i counts from 0. */
    void (*make)(struct buf *out, int64_t i, void *arg);
    void (*reply)(const char *body, size_t n, void *arg); /* may be NULL */
    void *arg;
    int good_status;
    /* Results. */
    int64_t *us; /* latencies, sorted */
    int64_t done, failed, cap;
    double took_s;
};

void load_run(struct load *l);
void load_release(struct load *l);
int64_t load_percentile(const struct load *l, double p);

enum abuse_kind {
    ABUSE_IDLE,       /* connects, shakes hands, says nothing */
    ABUSE_SLOW_HEAD,  /* a byte of a header now and then */
    ABUSE_SLOW_BODY,  /* the same with the body */
    ABUSE_DEAF,       /* asks for big lists and does not read them */
    ABUSE_BAD_TOKEN,  /* as fast as they are refused */
    ABUSE_BAD_JSON,   /* the same with a valid token */
    ABUSE_HANDSHAKES, /* connects, shakes hands, goes, again and again */
    ABUSE_NONE, /* takes a processor, and leaves the controller alone: what
                 * a flood costs that shares the machine with it */
};
struct abuse;
/* Returns once every connection is there (or was refused). */
struct abuse *abuse_start(const struct sockaddr_in *to, const char *bearer,
                          enum abuse_kind kind, int connections);
/* How often it got what it wanted; frees it. */
int64_t abuse_stop(struct abuse *a, int64_t *ret_lost);

#endif
