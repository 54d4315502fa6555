/* fleet-abuse.c - a client that means harm; see fleet-load.h. */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "bench/fleet-load.h"
#include "common/clock.h"
#include "common/mem.h"

#define OPENING_MAX 32
#define DRIP_US 500000
#define REOPEN_US 1000000

struct abuser {
    struct wire w; /* first */
    struct abuse *a;
    int64_t next_us;
    bool opened;
};

struct abuse {
    pthread_t thread;
    struct wire_loop loop;
    gnutls_certificate_credentials_t none;
    enum abuse_kind kind;
    const char *bearer;
    int n, opening;
    struct abuser *list;
    int64_t hits;
    _Atomic int64_t lost;
    _Atomic int settled, stop;
};

static void
attack(struct abuser *u)
{
    static const char bad_json[] = "{\"name\":\"x\",\"flavor\":[[[[[[]]]]]]";
    struct buf b _cleanup_(buf_release) = {0};

    switch (u->a->kind) {
    case ABUSE_IDLE:
        return;
    case ABUSE_SLOW_HEAD:
        buf_adds(&b, "GET /v1/instances HTTP/1.1\r\nHost: v\r\nX-Slow: ");
        break;
    case ABUSE_SLOW_BODY:
        buf_addf(&b,
                 "POST /v1/instances HTTP/1.1\r\nHost: v\r\nAuthorization: "
                 "Bearer %s\r\nContent-Type: application/json\r\n"
                 "Content-Length: 100000\r\n\r\n{",
                 u->a->bearer);
        break;
    case ABUSE_DEAF:
        u->w.deaf = true;
        buf_addf(&b,
                 "GET /v1/instances?limit=1000 HTTP/1.1\r\nHost: v\r\n"
                 "Authorization: Bearer %s\r\n\r\n",
                 u->a->bearer);
        break;
    case ABUSE_BAD_TOKEN:
        buf_adds(&b, "GET /v1/instances HTTP/1.1\r\nHost: v\r\n"
                     "Authorization: Bearer vt1.wrong\r\n\r\n");
        break;
    case ABUSE_BAD_JSON:
        buf_addf(&b,
                 "POST /v1/instances HTTP/1.1\r\nHost: v\r\nAuthorization: "
                 "Bearer %s\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 u->a->bearer, sizeof(bad_json) - 1, bad_json);
        break;
    case ABUSE_HANDSHAKES:
        u->a->hits++;
        shutdown(u->w.fd, SHUT_RDWR); /* progress() sees the end */
        return;
    case ABUSE_NONE:
        return;
    }
    wire_send(&u->w, b.data, b.len);
}

static void
settle(struct abuser *u)
{
    if (u->opened)
        return;
    u->opened = true;
    u->a->opening--;
    atomic_fetch_add(&u->a->settled, 1);
}

static void
ready(struct wire *w)
{
    struct abuser *u = (struct abuser *)w;

    settle(u);
    u->next_us = clock_mono_us() + DRIP_US;
    attack(u);
}

static void
done(struct wire *w, int status, const char *body, size_t n)
{
    struct abuser *u = (struct abuser *)w;

    settle(u);
    if (status) {
        u->a->hits++;
        attack(u);
        return;
    }
    if (u->a->kind == ABUSE_HANDSHAKES) {
        wire_open(&u->a->loop, w);
        return;
    }
    atomic_fetch_add(&u->a->lost, 1);
    u->next_us = clock_mono_us() + REOPEN_US;
}

static void
tick(struct abuse *a, int64_t now)
{
    for (int i = 0; i < a->n; i++) {
        struct abuser *u = &a->list[i];

        if (!u->opened && u->w.fd < 0 && a->opening < OPENING_MAX) {
            a->opening++;
            wire_open(&a->loop, &u->w);
        } else if (u->opened && u->next_us <= now) {
            u->next_us = now + DRIP_US;
            if (u->w.fd < 0)
                wire_open(&a->loop, &u->w);
            else if (u->w.shaken &&
                     (a->kind == ABUSE_SLOW_HEAD || a->kind == ABUSE_SLOW_BODY))
                wire_send(&u->w, "x", 1);
        }
    }
}

static void *
abuse_main(void *arg)
{
    struct abuse *a = arg;
    int64_t next = 0;

    while (!atomic_load(&a->stop)) {
        int64_t now = clock_mono_us();

        if (now >= next) {
            tick(a, now);
            next = now + 5000;
        }
        if (a->kind != ABUSE_NONE)
            wire_poll(&a->loop, 5000);
    }
    return NULL;
}

/* A flood comes from one client; who only holds connections has gathered many
 * addresses, since one gets no more than its share. */
static uint32_t
address_of(enum abuse_kind kind, int i)
{
    return kind == ABUSE_IDLE || kind == ABUSE_SLOW_HEAD ||
                   kind == ABUSE_SLOW_BODY
               ? 0x7f000003u + (uint32_t)i % 100
               : 0x7f000002u;
}

struct abuse *
abuse_start(const struct sockaddr_in *to, const char *bearer,
            enum abuse_kind kind, int connections)
{
    struct abuse *a = xnew(struct abuse);
    struct timespec ts = {.tv_nsec = 10000000};

    a->kind = kind;
    a->bearer = bearer;
    a->n = connections;
    gnutls_certificate_allocate_credentials(&a->none);
    wire_loop_init(&a->loop, to, a->none);
    a->list = xcalloc((size_t)connections, sizeof(*a->list));
    for (int i = 0; i < connections; i++)
        a->list[i] = (struct abuser){.w = {.fd = -1,
                                           .ready = ready,
                                           .done = done,
                                           .from_ip = address_of(kind, i)},
                                     .a = a};
    if (pthread_create(&a->thread, NULL, abuse_main, a) != 0)
        abort();
    while (atomic_load(&a->settled) < connections)
        nanosleep(&ts, NULL);
    return a;
}

int64_t
abuse_stop(struct abuse *a, int64_t *ret_lost)
{
    atomic_store(&a->stop, 1);
    pthread_join(a->thread, NULL);
    for (int i = 0; i < a->n; i++)
        wire_close(&a->list[i].w);
    int64_t hits = a->hits;
    *ret_lost = atomic_load(&a->lost);
    wire_loop_release(&a->loop);
    gnutls_certificate_free_credentials(a->none);
    free(a->list);
    free(a);
    return hits;
}
