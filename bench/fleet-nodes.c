/* fleet-nodes.c - many nodes in one thread; see fleet-nodes.h.
 *
 *   token -> join -> certificate          (three load connections' worth of
 *                                          parallel joins, then closed)
 *   open -> report host -> poll since=0 -> [report ->] poll since=SEQ ... */
#include <config.h>

#include "bench/fleet-nodes.h"

#include <string.h>
#include <sys/random.h>

#include <gnutls/abstract.h>

#include "api/resources.h"
#include "bench/wire.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/pki.h"

#define JOINERS 64
#define OPENING_MAX 64
#define RETRY_US (2 * US_PER_S)

struct node {
    struct wire w; /* first */
    struct nodes *all;
    int number;
    gnutls_pcert_st cert;
    bool joined, is_up, first_report;
    int64_t since, observed_seq, acked_seq, retry_us;
    struct codec_list pending; /* of struct api_observation */
};

struct joiner {
    struct wire w;
    struct nodes *all;
    struct node *node; /* whom it joins; NULL: none left */
};

struct nodes {
    struct fleet *f;
    struct wire_loop loop, plain;
    struct node *list;
    int next_join, next_open, opening;
    char *csr;
    gnutls_privkey_t key;
};

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "bench-fleet: %s: %s\n", what, why);
    exit(1);
}

static void
send_request(struct wire *w, const char *method, const char *path,
             const char *bearer, const struct buf *body)
{
    struct buf b _cleanup_(buf_release) = {0};

    buf_addf(&b, "%s %s HTTP/1.1\r\nHost: virga\r\n", method, path);
    if (bearer)
        buf_addf(&b, "Authorization: Bearer %s\r\n", bearer);
    if (body)
        buf_addf(&b,
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 body->len);
    buf_adds(&b, "\r\n");
    if (body)
        buf_add(&b, body->data, body->len);
    wire_send(w, b.data, b.len);
}

/* ---- joining ---- */

static void
join_next(struct joiner *j)
{
    struct buf body _cleanup_(buf_release) = {0};

    if (j->all->next_join == j->all->f->n) {
        j->node = NULL;
        wire_close(&j->w);
        return;
    }
    j->node = &j->all->list[j->all->next_join++];
    buf_adds(&body, "{\"ttl_s\":600}");
    send_request(&j->w, "POST", "/v1/join-tokens", j->all->f->bearer, &body);
}

static void
take_certificate(struct node *n, const struct api_joined *a)
{
    gnutls_datum_t pem = {(unsigned char *)a->certificate,
                          (unsigned)strlen(a->certificate)};

    if (gnutls_pcert_import_x509_raw(&n->cert, &pem, GNUTLS_X509_FMT_PEM, 0) <
        0)
        die("certificate", "cannot be read");
    n->joined = true;
    atomic_fetch_add(&n->all->f->joined, 1);
}

static void
join_done(struct wire *w, int status, const char *body, size_t len)
{
    struct joiner *j = (struct joiner *)w;
    struct api_join_token t = {0};
    struct api_joined a = {0};

    if (status != 201)
        die("join", status ? body : "connection lost");
    /* A join token's reply has "token", a join's "certificate". */
    if (strstr(body, "\"certificate\"")) {
        if (codec_decode(&table_joined, CODEC_REPLY, body, len, &a, NULL) < 0)
            die("join", body);
        take_certificate(j->node, &a);
        codec_clear(&table_joined, &a);
        join_next(j);
        return;
    }
    if (codec_decode(&table_join_token, CODEC_REPLY, body, len, &t, NULL) < 0)
        die("join token", body);
    char name[64];
    struct buf b _cleanup_(buf_release) = {0};
    struct api_join in = {.token = t.token, .name = name, .csr = j->all->csr};
    snprintf(name, sizeof(name), "%s-%d", j->all->f->prefix, j->node->number);
    codec_encode(&table_join, &in, &b);
    send_request(&j->w, "POST", "/v1/join", NULL, &b);
    codec_clear(&table_join_token, &t);
}

static void
join_ready(struct wire *w)
{
    join_next((struct joiner *)w);
}

/* ---- a node's life ---- */

static void
poll_again(struct node *n)
{
    char path[96];

    snprintf(path, sizeof(path), "/v1/agent/desired?since=%lld&wait=%ds",
             (long long)n->since, n->all->f->wait_s);
    send_request(&n->w, "GET", path, NULL, NULL);
}

static void
report(struct node *n)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct api_host host = {.driver = (char *)"sim",
                            .accel = (char *)"none",
                            .agent_version = (char *)"bench",
                            .hypervisor = (char *)"bench",
                            .vcpus = 64,
                            .memory_bytes = INT64_C(512) << 30,
                            .disk_bytes = INT64_C(8) << 40};
    struct api_report r = {.observations = n->pending,
                           .host = n->first_report ? NULL : &host};

    codec_encode(&table_report, &r, &b);
    send_request(&n->w, "POST", "/v1/agent/report", NULL, &b);
}

static void
observe(struct node *n, const struct api_desired_instance *d)
{
    struct api_observation *o = codec_list_add(&table_observation, &n->pending);

    o->seq = ++n->observed_seq;
    o->instance_id = xstrdup(d->id);
    o->run = d->run;
    o->state = d->power == POWER_RUNNING   ? OBSERVED_RUNNING
               : d->power == POWER_STOPPED ? OBSERVED_STOPPED
                                           : OBSERVED_DELETED;
    if (o->state == OBSERVED_STOPPED)
        o->reason = xstrdup("requested");
}

/* Most answers say that nothing is new. */
static bool
is_empty(const char *body, int64_t *ret_seq)
{
    const char *p = strstr(body, "\"instances\":[]");
    const char *s = strstr(body, "\"seq\":");

    if (!p || !s || strstr(body, "\"more\":true"))
        return false;
    *ret_seq = strtoll(s + 6, NULL, 10);
    return true;
}

static void
take_desired(struct node *n, const char *body, size_t len)
{
    struct api_desired d = {0};

    atomic_fetch_add(&n->all->f->polls, 1);
    if (is_empty(body, &n->since)) {
        poll_again(n);
        return;
    }
    if (codec_decode(&table_desired, CODEC_PEER, body, len, &d, NULL) < 0)
        die("desired state", body);
    const struct api_desired_instance *i = d.instances.items;
    for (size_t k = 0; k < d.instances.n; k++)
        observe(n, &i[k]);
    n->since = d.seq;
    codec_clear(&table_desired, &d);
    if (n->pending.n)
        report(n);
    else
        poll_again(n);
}

static void
take_ack(struct node *n)
{
    atomic_fetch_add(&n->all->f->reports, 1);
    atomic_fetch_add(&n->all->f->observed, (int64_t)n->pending.n);
    codec_list_clear(&table_observation, &n->pending);
    if (!n->first_report) {
        n->first_report = true;
        atomic_fetch_add(&n->all->f->up, 1);
        n->all->opening--;
        n->is_up = true;
    }
    poll_again(n);
}

static void
node_done(struct wire *w, int status, const char *body, size_t len)
{
    struct node *n = (struct node *)w;

    if (status == 200 && strstr(body, "\"instances\":"))
        take_desired(n, body, len);
    else if (status == 200)
        take_ack(n);
    else {
        if (status)
            fprintf(stderr, "bench-fleet: node: %d %s\n", status, body);
        atomic_fetch_add(&n->all->f->failed, 1);
        if (!n->is_up)
            n->all->opening--;
        else
            atomic_fetch_sub(&n->all->f->up, 1);
        n->is_up = n->first_report = false;
        wire_close(w);
        n->retry_us = clock_mono_us() + RETRY_US;
    }
}

static void
node_ready(struct wire *w)
{
    report((struct node *)w);
}

static int
give_certificate(gnutls_session_t s, const gnutls_datum_t *ca, int n_ca,
                 const gnutls_pk_algorithm_t *algos, int n_algos,
                 gnutls_pcert_st **cert, unsigned *n_cert,
                 gnutls_privkey_t *key)
{
    struct node *n = gnutls_session_get_ptr(s);

    *cert = &n->cert;
    *n_cert = 1;
    *key = n->all->key;
    return 0;
}

static void
open_some(struct nodes *a, int64_t now)
{
    for (int i = 0; i < a->f->n && a->opening < OPENING_MAX; i++) {
        struct node *n = &a->list[(a->next_open + i) % a->f->n];

        if (!n->joined || n->w.fd >= 0 || n->retry_us > now)
            continue;
        a->opening++;
        wire_open(&a->loop, &n->w);
    }
}

static void
make_key(struct nodes *a)
{
    char *pem _cleanup_(freep) = NULL;
    struct err e _cleanup_(err_release) = {0};

    if (pki_make_request("bench", &pem, &a->csr, &e) < 0)
        die("key", e.message);
    gnutls_datum_t d = {(unsigned char *)pem, (unsigned)strlen(pem)};
    if (gnutls_privkey_init(&a->key) < 0 ||
        gnutls_privkey_import_x509_raw(a->key, &d, GNUTLS_X509_FMT_PEM, NULL,
                                       0) < 0)
        die("key", "cannot be read");
}

static void
join_all(struct nodes *a)
{
    static struct joiner joiners[JOINERS];

    for (int i = 0; i < JOINERS; i++) {
        joiners[i] = (struct joiner){
            .w = {.ready = join_ready, .done = join_done}, .all = a};
        wire_open(&a->plain, &joiners[i].w);
    }
    while (atomic_load(&a->f->joined) < a->f->n)
        wire_poll(&a->plain, 100000);
    for (int i = 0; i < JOINERS; i++)
        wire_close(&joiners[i].w);
}

void *
nodes_run(void *fleet)
{
    struct fleet *f = fleet;
    struct nodes a = {.f = f};
    gnutls_certificate_credentials_t none, mine;
    int64_t next = 0;

    gnutls_certificate_allocate_credentials(&none);
    gnutls_certificate_allocate_credentials(&mine);
    gnutls_certificate_set_retrieve_function2(mine, give_certificate);
    make_key(&a);
    wire_loop_init(&a.plain, &f->to, none);
    wire_loop_init(&a.loop, &f->to, mine);
    a.list = xcalloc((size_t)f->n, sizeof(*a.list));
    for (int i = 0; i < f->n; i++)
        /* An address of its own each: 127.1.x.y. */
        a.list[i] = (struct node){.w = {.fd = -1,
                                        .ready = node_ready,
                                        .done = node_done,
                                        .from_ip = 0x7f010000u +
                                                   (uint32_t)(i / 250 * 256) +
                                                   (uint32_t)(i % 250) + 1},
                                  .all = &a,
                                  .number = i};
    join_all(&a);
    while (!atomic_load(&f->stop)) {
        int64_t now = clock_mono_us();

        if (atomic_load(&f->up) + a.opening < f->n && now >= next) {
            open_some(&a, now);
            next = now + 5000;
        }
        wire_poll(&a.loop, 20000);
    }
    for (int i = 0; i < f->n; i++) {
        wire_close(&a.list[i].w);
        codec_list_clear(&table_observation, &a.list[i].pending);
        gnutls_pcert_deinit(&a.list[i].cert);
    }
    free(a.list);
    free(a.csr);
    wire_loop_release(&a.plain);
    wire_loop_release(&a.loop);
    gnutls_privkey_deinit(a.key);
    gnutls_certificate_free_credentials(none);
    gnutls_certificate_free_credentials(mine);
    return NULL;
}
