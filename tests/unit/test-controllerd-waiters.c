/* test-controllerd-waiters.c - agents' long polls: answered from memory while
 * nothing is new, and never missing a change, whatever comes in between. The
 * linker's --wrap puts the test beneath the HTTP server. */
#include <config.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "controllerd/handlers.h"
#include "tests/unit/store-fixture.h"

#define NODES 3
#define CHANGES 400
#define INSTANCES 4 /* of each node */

struct poller {
    struct http_req rq; /* first */
    struct fixture *f;
    sem_t resumed;
    char since[32], wait[16];
    _Atomic int suspended;
    int64_t got; /* the highest seq that it was told */
    int answers, empty;
};

struct fixture {
    struct store_fixture s;
    struct ctl ctl;
    struct store_instance i[NODES][INSTANCES];
    int64_t last[NODES]; /* the writer's, until it has ended */
    struct poller p[NODES * 2];
    _Atomic int running; /* changes are still to come */
};

static const char *const node_ids[NODES] = {UUID("0011"), UUID("0012"),
                                            UUID("0013")};

/* ---- beneath the server ---- */

const char *__wrap_http_query(struct http_req *rq, const char *name);
void __wrap_http_suspend(struct http_req *rq);
void __wrap_http_resume(struct http_req *rq);

const char *
__wrap_http_query(struct http_req *rq, const char *name)
{
    struct poller *p = (struct poller *)rq;

    return streq(name, "since")  ? p->since
           : streq(name, "wait") ? p->wait
                                 : NULL;
}

void
__wrap_http_suspend(struct http_req *rq)
{
    struct poller *p = (struct poller *)rq;

    if (atomic_fetch_add(&p->suspended, 1) != 0)
        abort(); /* suspended twice */
}

void
__wrap_http_resume(struct http_req *rq)
{
    struct poller *p = (struct poller *)rq;

    if (atomic_fetch_sub(&p->suspended, 1) != 1)
        abort(); /* resumed what was not suspended */
    sem_post(&p->resumed);
}

/* ---- rows ---- */

static void
add_rows(struct fixture *f)
{
    char name[32], id[ID_SIZE];

    add_project(f->s.db, P1, "p");
    for (int n = 0; n < NODES; n++) {
        struct store_node row = {
            .a = {.id = (char *)node_ids[n], .name = name, .created_at = T0},
            .fingerprint = (char *)"f"};

        snprintf(name, sizeof(name), "n%d", n);
        assert_int_equal(store_node_insert(f->s.db, &row), 0);
        for (int k = 0; k < INSTANCES; k++) {
            struct store_instance *i = &f->i[n][k];

            id_new(id);
            snprintf(name, sizeof(name), "i%d-%d", n, k);
            i->a = (struct api_instance){
                .id = xstrdup(id),
                .project_id = xstrdup(P1),
                .name = xstrdup(name),
                .flavor = xstrdup("f"),
                .flavor_id = xstrdup(FLV1),
                .image = xstrdup("m"),
                .image_id = xstrdup(IMG1),
                .node_id = xstrdup(node_ids[n]),
                .operation_id = xstrdup(UUID("0041")),
                .vcpus = 1,
                .memory_bytes = 1 << 20,
                .run = 1,
                .generation = 1,
                .created_at = T0,
            };
            i->power = POWER_STOPPED;
            i->seq = f->last[n] = n * INSTANCES + k + 1;
            assert_int_equal(store_instance_insert(f->s.db, i), 0);
        }
    }
}

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);
    struct err e _cleanup_(err_release) = {0};

    store_fixture_open(&f->s);
    add_rows(f);
    f->ctl.cfg.node_lapse_us = 3600 * US_PER_S;
    f->ctl.cfg.request_timeout_us = 60 * US_PER_S;
    f->ctl.cfg.vcpu_overcommit_permille = 1000;
    f->ctl.cfg.memory_overcommit_permille = 1000;
    f->ctl.cfg.disk_overcommit_permille = 1000;
    assert_int_equal(nodes_start(&f->ctl, f->s.db, &e), 0);
    assert_int_equal(waiters_start(&f->ctl), 0);
    for (size_t k = 0; k < ARRAY_SIZE(f->p); k++) {
        f->p[k].f = f;
        sem_init(&f->p[k].resumed, 0, 0);
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    waiters_stop(&f->ctl);
    nodes_stop(&f->ctl);
    free(f->ctl.waiters);
    for (int n = 0; n < NODES; n++)
        for (int k = 0; k < INSTANCES; k++)
            store_instance_release(&f->i[n][k]);
    for (size_t k = 0; k < ARRAY_SIZE(f->p); k++)
        sem_destroy(&f->p[k].resumed);
    int r = store_fixture_close(&f->s);
    free(f);
    return r;
}

/* ---- polls ---- */

static int64_t
seq_of(const struct buf *reply)
{
    const char *p = strstr(buf_str(reply), "\"seq\":");

    return p ? strtoll(p + 6, NULL, 10) : -1;
}

/* One poll to its end, as dispatch.c does it. */
static void
poll_once(struct poller *p, struct db *db, int node, const char *wait)
{
    struct call c = {.ctl = &p->f->ctl, .rq = &p->rq};
    int r;

    c.m.route = &api_routes[ROUTE_AGENT_DESIRED];
    memcpy(c.who.node_id, node_ids[node], ID_SIZE);
    snprintf(p->since, sizeof(p->since), "%lld", (long long)p->got);
    snprintf(p->wait, sizeof(p->wait), "%s", wait);
    while ((r = h_agent_desired(&c, db)) == CALL_WAIT)
        while (sem_wait(&p->resumed) != 0)
            ;
    if (r != 0)
        abort();
    p->answers++;
    if (strstr(buf_str(&p->rq.reply), "\"instances\":[]"))
        p->empty++;
    p->got = MAX(seq_of(&p->rq.reply), p->got);
    buf_release(&p->rq.reply);
    buf_release(&p->rq.headers);
    p->rq.status = 0;
}

static void *
poller_main(void *arg)
{
    struct poller *p = arg;
    struct fixture *f = p->f;
    int node = (int)(p - f->p) % NODES;
    struct err e _cleanup_(err_release) = {0};
    struct db *db _cleanup_(db_closep) = NULL;

    if (store_open(f->s.path, false, &db, &e) < 0)
        abort();
    /* A missed change would hold a poll for its minute, and be counted. */
    while (atomic_load(&f->running) || p->got < f->last[node])
        poll_once(p, db, node, "60s");
    return NULL;
}

static void
change(struct fixture *f, int64_t seq, unsigned *rnd)
{
    int n = rand_r(rnd) % NODES, k = rand_r(rnd) % INSTANCES;
    struct store_instance *i = &f->i[n][k];

    i->seq = seq;
    assert_int_equal(db_exec(f->s.db, "BEGIN IMMEDIATE", NULL), 0);
    assert_int_equal(store_instance_update(f->s.db, i, 0), 0);
    assert_int_equal(db_exec(f->s.db, "COMMIT", NULL), 0);
    if (rand_r(rnd) % 4 == 0)
        sched_yield(); /* between the commit and its notice */
    f->last[n] = seq;
    waiters_notify(&f->ctl, waiters_key(node_ids[n]));
}

static void
desired__no_change_is_missed(void **state)
{
    struct fixture *f = *state;
    pthread_t t[NODES * 2];
    unsigned rnd = 7;
    int64_t seq = NODES * INSTANCES;

    atomic_store(&f->running, 1);
    for (size_t k = 0; k < ARRAY_SIZE(t); k++)
        assert_int_equal(pthread_create(&t[k], NULL, poller_main, &f->p[k]), 0);
    for (int k = 0; k < CHANGES; k++) {
        change(f, ++seq, &rnd);
        if (rand_r(&rnd) % 3 == 0)
            usleep((useconds_t)(rand_r(&rnd) % 400));
    }
    /* The last change of each node comes after running is false: every poller
     * sees the end of `last` by it. */
    for (int n = 0; n < NODES; n++)
        f->i[n][0].seq = f->last[n] = ++seq;
    atomic_store(&f->running, 0);
    for (int n = 0; n < NODES; n++) {
        assert_int_equal(store_instance_update(f->s.db, &f->i[n][0], 0), 0);
        waiters_notify(&f->ctl, waiters_key(node_ids[n]));
    }
    for (size_t k = 0; k < ARRAY_SIZE(t); k++)
        pthread_join(t[k], NULL);
    for (size_t k = 0; k < ARRAY_SIZE(t); k++) {
        assert_int_equal(f->p[k].got, f->last[k % NODES]);
        assert_int_equal(f->p[k].empty, 0);
        assert_true(f->p[k].answers > 1);
    }
}

/* Nothing is read from the database when nothing can be new: a statement that
 * is not there would fail. */
static void
desired__idle_poll_needs_no_database(void **state)
{
    struct fixture *f = *state;
    struct poller *p = &f->p[0];

    p->got = 0;
    poll_once(p, f->s.db, 0, "0s"); /* everything */
    assert_int_equal(p->got, f->last[0]);
    int64_t start = clock_mono_us();
    poll_once(p, NULL, 0, "300ms");
    assert_int_equal(p->empty, 1);
    assert_true(clock_mono_us() - start >= 300000);
    assert_int_equal(p->got, f->last[0]);
    /* Another start than the one that was looked at needs a look. */
    p->got = f->last[0] - 1;
    poll_once(p, f->s.db, 0, "60s");
    assert_int_equal(p->got, f->last[0]);
}

/* Deadlines beyond the wheel's round, in the past, and stopping. */
static void
wait__ends_at_its_deadline_or_the_stop(void **state)
{
    struct fixture *f = *state;
    struct call late = {.ctl = &f->ctl, .rq = &f->p[0].rq};
    struct call past = {.ctl = &f->ctl, .rq = &f->p[1].rq};
    uint64_t key = waiters_key("nobody");

    late.deadline_us = clock_mono_us() + 500 * US_PER_S;
    assert_int_equal(waiters_wait(&late, key, waiters_version(&f->ctl, key)),
                     CALL_WAIT);
    assert_int_equal(waiters_wait(&past, key, waiters_version(&f->ctl, key)),
                     CALL_WAIT);
    while (sem_wait(&f->p[1].resumed) != 0)
        ;
    assert_int_equal(atomic_load(&f->p[0].suspended), 1);
    waiters_notify(&f->ctl, waiters_key("somebody else"));
    assert_int_equal(atomic_load(&f->p[0].suspended), 1);
    waiters_notify(&f->ctl, key);
    assert_int_equal(atomic_load(&f->p[0].suspended), 0);
}

int
main(void)
{
#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(desired__no_change_is_missed),
        T(desired__idle_poll_needs_no_database),
        T(wait__ends_at_its_deadline_or_the_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
