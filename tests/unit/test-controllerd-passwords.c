/* test-controllerd-passwords.c - the pool that hashes passwords. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "common/mem.h"
#include "controllerd/passwords.h"

/* A job whose end can be waited for. */
struct one {
    struct password_job job;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int done; /* lock: how often done() was called */
};

static void
ended(struct password_job *job)
{
    struct one *o = (struct one *)job;

    pthread_mutex_lock(&o->lock);
    o->done++;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
}

static void
prepare(struct one *o, const char *check, const char *hash, const char *make)
{
    *o = (struct one){.job.done = ended};
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->wake, NULL);
    o->job.check = xstrdup(check);
    o->job.make = xstrdup(make);
    snprintf(o->job.hash, sizeof(o->job.hash), "%s", hash ? hash : "");
}

static void
await(struct one *o)
{
    pthread_mutex_lock(&o->lock);
    while (!o->done)
        pthread_cond_wait(&o->wake, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

static void
run(struct passwords *p, struct one *o, const char *check, const char *hash,
    const char *make)
{
    prepare(o, check, hash, make);
    assert_int_equal(passwords_submit(p, &o->job), 0);
    await(o);
    assert_int_equal(o->done, 1);
    assert_int_equal(o->job.result, 0);
    assert_null(o->job.check);
    assert_null(o->job.make);
}

static struct passwords *
start(unsigned threads, unsigned queue)
{
    struct passwords *p = NULL;

    assert_int_equal(passwords_start(threads, queue, &p, NULL), 0);
    return p;
}

static void
stop(struct passwords *p)
{
    passwords_stop(p);
    passwords_free(p);
}

static void
hash__fits_its_password_only(void **state)
{
    struct passwords *p = start(1, 4);
    struct one a, b, o;

    run(p, &a, NULL, NULL, "correct horse");
    run(p, &b, NULL, NULL, "correct horse");
    assert_string_not_equal(a.job.made, b.job.made); /* by their salts */
    assert_memory_equal(a.job.made, "$argon2id$", 10);
    run(p, &o, "correct horse", a.job.made, NULL);
    assert_true(o.job.right);
    run(p, &o, "correct horsf", a.job.made, NULL);
    assert_false(o.job.right);
    run(p, &o, "", a.job.made, NULL);
    assert_false(o.job.right);
    stop(p);
}

static void
change__needs_the_old_one(void **state)
{
    struct passwords *p = start(1, 4);
    struct one a, o;

    run(p, &a, NULL, NULL, "first");
    run(p, &o, "first", a.job.made, "second");
    assert_true(o.job.right);
    assert_false(o.job.already);
    assert_string_not_equal(o.job.made, a.job.made);
    run(p, &o, "wrong", a.job.made, "second");
    assert_false(o.job.right || o.job.already);
    assert_string_equal(o.job.made, "");
    /* Repeated: what is to be set is set. */
    run(p, &o, "older", a.job.made, "first");
    assert_false(o.job.right);
    assert_true(o.job.already);
    stop(p);
}

/* The same parameters as any other hash, so that checking against it takes the
 * same time; and no password has it. */
static void
nobody__is_like_any_other(void **state)
{
    struct passwords *p = start(1, 4);
    struct one o;

    assert_int_equal(crypto_pwhash_str_needs_rehash(
                         passwords_nobody, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                         crypto_pwhash_MEMLIMIT_INTERACTIVE),
                     0);
    run(p, &o, "guess", passwords_nobody, NULL);
    assert_false(o.job.right);
    stop(p);
}

static void
hash__damaged_row_fits_nothing(void **state)
{
    struct passwords *p = start(1, 4);
    struct one o;

    run(p, &o, "x", "", NULL);
    assert_false(o.job.right);
    run(p, &o, "x", "$argon2id$v=19$m=65536,t=2,p=1$AAAA", NULL);
    assert_false(o.job.right);
    stop(p);
}

/* Without threads what is taken in waits. */
static void
queue__is_bounded_and_given_back(void **state)
{
    enum { N = 12, ROOM = 8 };
    struct passwords *p = start(0, ROOM);
    struct one o[N], late;

    for (int i = 0; i < N; i++) {
        prepare(&o[i], NULL, NULL, "some password");
        assert_int_equal(passwords_submit(p, &o[i].job),
                         i < ROOM ? 0 : -EAGAIN);
        assert_int_equal(o[i].done, 0);
        if (i >= ROOM)
            assert_null(o[i].job.make); /* wiped all the same */
    }
    passwords_stop(p);
    for (int i = 0; i < ROOM; i++) {
        assert_int_equal(o[i].done, 1);
        assert_int_equal(o[i].job.result, -EAGAIN);
        assert_null(o[i].job.make);
    }
    prepare(&late, NULL, NULL, "late");
    assert_int_equal(passwords_submit(p, &late.job), -EAGAIN);
    assert_int_equal(late.done, 0);
    passwords_free(p);
}

struct crowd {
    struct passwords *p;
    struct one o[12];
};

static void *
submit_some(void *arg)
{
    struct crowd *c = arg;

    for (size_t i = 0; i < ARRAY_SIZE(c->o); i++) {
        prepare(&c->o[i], NULL, NULL, "some password");
        if (passwords_submit(c->p, &c->o[i].job) < 0)
            c->o[i].done = -1;
    }
    return NULL;
}

/* Whenever the stop comes: what was taken in is done or given back, once. */
static void
stop__in_the_middle_loses_nothing(void **state)
{
    static struct crowd c[3];
    struct passwords *p = start(2, 16);
    pthread_t t[ARRAY_SIZE(c)];

    for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
        c[i].p = p;
        assert_int_equal(pthread_create(&t[i], NULL, submit_some, &c[i]), 0);
    }
    passwords_stop(p);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        for (size_t k = 0; k < ARRAY_SIZE(c[i].o); k++) {
            struct one *o = &c[i].o[k];

            assert_null(o->job.make);
            if (o->done < 0)
                continue;
            assert_int_equal(o->done, 1);
            if (o->job.result == 0)
                assert_memory_equal(o->job.made, "$argon2id$", 10);
            else
                assert_int_equal(o->job.result, -EAGAIN);
        }
    passwords_free(p);
}

static void
print_of(struct passwords *p, const char *check, const char *hash,
         const char *make, char salt, unsigned char out[PASSWORD_PRINT_SIZE])
{
    struct one o;

    prepare(&o, check, hash, make);
    o.job.want_print = true;
    memset(o.job.salt, salt, sizeof(o.job.salt));
    assert_int_equal(passwords_submit(p, &o.job), 0);
    await(&o);
    assert_int_equal(o.job.result, 0);
    memcpy(out, o.job.print, PASSWORD_PRINT_SIZE);
}

static void
print__tells_passwords_apart(void **state)
{
    struct passwords *p = start(1, 4);
    unsigned char a[PASSWORD_PRINT_SIZE], b[PASSWORD_PRINT_SIZE];
    unsigned char none[PASSWORD_PRINT_SIZE] = {0};
    struct one o;

    print_of(p, NULL, NULL, "correct horse", 1, a);
    print_of(p, NULL, NULL, "correct horse", 1, b);
    assert_memory_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, none, sizeof(a));
    print_of(p, NULL, NULL, "correct horsf", 1, b);
    assert_memory_not_equal(a, b, sizeof(a));
    print_of(p, NULL, NULL, "correct horse", 2, b);
    assert_memory_not_equal(a, b, sizeof(a));
    /* Two of them: which is which counts. */
    run(p, &o, NULL, NULL, "correct");
    print_of(p, "correct", o.job.made, "horse", 1, a);
    run(p, &o, NULL, NULL, "corrects");
    print_of(p, "corrects", o.job.made, "horse", 1, b);
    assert_memory_not_equal(a, b, sizeof(a));
    /* None of a check that failed. */
    print_of(p, "wrong", o.job.made, "horse", 1, b);
    assert_memory_equal(b, none, sizeof(b));
    stop(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash__fits_its_password_only),
        cmocka_unit_test(change__needs_the_old_one),
        cmocka_unit_test(print__tells_passwords_apart),
        cmocka_unit_test(nobody__is_like_any_other),
        cmocka_unit_test(hash__damaged_row_fits_nothing),
        cmocka_unit_test(queue__is_bounded_and_given_back),
        cmocka_unit_test(stop__in_the_middle_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
