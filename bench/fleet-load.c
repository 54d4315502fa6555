/* fleet-load.c - load on the API; see fleet-load.h. */
#include <config.h>

#include "bench/fleet-load.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

struct slot {
    struct wire w; /* first */
    struct running *r;
    int64_t due_us;
    bool listed; /* among the idle ones */
};

struct running {
    struct load *l;
    struct wire_loop loop;
    struct slot *slots;
    struct slot **idle;
    int n_idle, open;
    int64_t sent, start_us, end_us;
    double next_us;
};

static void
record(struct load *l, int64_t us)
{
    if (l->done == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 4096;
        l->us = xrealloc(l->us, (size_t)l->cap * sizeof(*l->us));
    }
    l->us[l->done++] = us;
}

static bool
over(const struct running *r, int64_t now)
{
    return r->l->total ? r->sent >= r->l->total : now >= r->end_us;
}

/* A connection may be lost and come back while it stands in the list. */
static void
put_idle(struct slot *s)
{
    if (s->listed || s->due_us)
        return;
    s->listed = true;
    s->r->idle[s->r->n_idle++] = s;
}

static struct slot *
take_idle(struct running *r)
{
    struct slot *s = r->idle[--r->n_idle];

    s->listed = false;
    return s;
}

static void
send_one(struct running *r, struct slot *s, int64_t due)
{
    struct buf b _cleanup_(buf_release) = {0};

    s->due_us = due;
    r->l->make(&b, r->sent++, r->l->arg);
    wire_send(&s->w, b.data, b.len);
}

static void
slot_done(struct wire *w, int status, const char *body, size_t n)
{
    struct slot *s = (struct slot *)w;
    struct load *l = s->r->l;

    if (!status && !w->busy && !s->due_us) { /* lost before it was used */
        wire_open(&s->r->loop, w);
        return;
    }
    int64_t now = clock_mono_us();
    record(l, now - s->due_us);
    s->due_us = 0;
    if (status != l->good_status && l->failed++ == 0)
        fprintf(stderr, "bench-fleet: %d %.300s\n", status, body);
    if (!status) {
        wire_open(&s->r->loop, w);
        return;
    }
    if (l->reply)
        l->reply(body, n, l->arg);
    if (l->rate == 0 && !over(s->r, now))
        send_one(s->r, s, now);
    else
        put_idle(s);
}

static void
slot_ready(struct wire *w)
{
    struct slot *s = (struct slot *)w;

    s->r->open++;
    put_idle(s);
}

/* Sends what is due; how long nothing more will be. */
static int64_t
send_due(struct running *r, int64_t now)
{
    struct load *l = r->l;

    if (l->rate == 0) {
        while (r->n_idle && !over(r, now))
            send_one(r, take_idle(r), now);
        return 10000;
    }
    /* Due ones that find no idle connection wait, and their clock runs. */
    while (r->next_us <= (double)now && r->n_idle && !over(r, now)) {
        send_one(r, take_idle(r), (int64_t)r->next_us);
        r->next_us += 1e6 / l->rate;
    }
    return r->n_idle ? MAX((int64_t)r->next_us - now, INT64_C(0)) : 10000;
}

static int
by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

void
load_run(struct load *l)
{
    struct running r = {.l = l};
    gnutls_certificate_credentials_t none;

    l->done = l->failed = 0;
    gnutls_certificate_allocate_credentials(&none);
    wire_loop_init(&r.loop, &l->to, none);
    r.slots = xcalloc((size_t)l->connections, sizeof(*r.slots));
    r.idle = xcalloc((size_t)l->connections, sizeof(struct slot *));
    for (int i = 0; i < l->connections; i++) {
        r.slots[i] = (struct slot){.w = {.ready = slot_ready,
                                         .done = slot_done,
                                         .from_ip = l->from_ip},
                                   .r = &r};
        wire_open(&r.loop, &r.slots[i].w);
    }
    while (r.open < l->connections)
        wire_poll(&r.loop, 10000);
    r.start_us = clock_mono_us();
    r.end_us = r.start_us + (int64_t)(l->seconds * 1e6);
    r.next_us = (double)r.start_us;
    for (;;) {
        int64_t now = clock_mono_us();
        int64_t wait = send_due(&r, now);

        if (over(&r, now) && r.n_idle == l->connections)
            break;
        wire_poll(&r.loop, wait);
    }
    l->took_s = (double)(clock_mono_us() - r.start_us) / 1e6;
    qsort(l->us, (size_t)l->done, sizeof(*l->us), by_value);
    for (int i = 0; i < l->connections; i++)
        wire_close(&r.slots[i].w);
    free(r.slots);
    free(r.idle);
    wire_loop_release(&r.loop);
    gnutls_certificate_free_credentials(none);
}

void
load_release(struct load *l)
{
    free(l->us);
    l->us = NULL;
    l->cap = 0;
}

int64_t
load_percentile(const struct load *l, double p)
{
    return l->done ? l->us[(int64_t)((double)(l->done - 1) * p)] : 0;
}
