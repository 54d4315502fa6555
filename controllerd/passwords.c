/* passwords.c - the pool that hashes passwords; see passwords.h.
 *
 * Invariant: each job that was taken in gets exactly one done(). */
#include <config.h>

#include "controllerd/passwords.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <sys/resource.h>

#include "common/count.h"
#include "common/mem.h"

/* RFC 9106 section 4 asks for as much memory as one can afford: these are
 * libsodium's figures for interactive use, 64 MiB and two passes. */
#define OPS crypto_pwhash_OPSLIMIT_INTERACTIVE
#define MEM crypto_pwhash_MEMLIMIT_INTERACTIVE
#define NICE 2
#define THREADS_MAX 8u

_Static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_STRBYTES, "libsodium's");

/* The parameters are those above; salt and hash are made up. */
const char passwords_nobody[PASSWORD_HASH_SIZE] =
    "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

struct passwords {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct password_job *head, **tail; /* lock */
    unsigned n, max;                   /* lock: waiting */
    bool stop;                         /* lock */
    unsigned n_threads;
    pthread_t threads[THREADS_MAX];
};

void
password_wipe(char **p)
{
    if (*p)
        sodium_memzero(*p, strlen(*p));
    freep(p);
}

/* 1 when it is the one, 0 when not. */
static int
verify(const char *hash, const char *password)
{
    errno = 0;
    if (crypto_pwhash_str_verify(hash, password, strlen(password)) == 0)
        return 1;
    return errno == ENOMEM ? -ENOMEM : 0;
}

static int
work(struct password_job *job)
{
    int r = 1;

    if (job->check) {
        r = verify(job->hash, job->check);
        if (r == 0 && job->make) {
            r = verify(job->hash, job->make);
            job->already = r == 1;
            return r < 0 ? r : 0;
        }
    }
    if (r < 0)
        return r;
    job->right = r == 1;
    if (r == 1 && job->make &&
        crypto_pwhash_str(job->made, job->make, strlen(job->make), OPS, MEM) !=
            0)
        return -ENOMEM;
    return 0;
}

/* The same texts give the same print, and another text another one. */
static int
take_print(struct password_job *job)
{
    /* With the NUL between them; in one piece, so that all of it is wiped. */
    size_t check = job->check ? strlen(job->check) : 0;
    size_t make = job->make ? strlen(job->make) : 0, n = check + 1 + make;
    char *both = xcalloc(1, n);

    if (check)
        memcpy(both, job->check, check);
    if (make)
        memcpy(both + check + 1, job->make, make);
    int r = crypto_pwhash(job->print, sizeof(job->print), both, n, job->salt,
                          OPS, MEM, crypto_pwhash_ALG_ARGON2ID13);

    sodium_memzero(both, n);
    free(both);
    return r != 0 ? -ENOMEM : 0;
}

static int
work_and_print(struct password_job *job)
{
    int r = work(job);

    if (r < 0 || !job->want_print || !(job->right || job->already))
        return r;
    return take_print(job);
}

static void
finish(struct password_job *job, int result)
{
    password_wipe(&job->check);
    password_wipe(&job->make);
    job->result = result;
    job->done(job);
}

static void *
pool_main(void *arg)
{
    struct passwords *p = arg;

    /* On Linux this is the calling thread's own. */
    if (setpriority(PRIO_PROCESS, 0, NICE) < 0)
        COUNT(password_priority_failed);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->head && !p->stop)
            pthread_cond_wait(&p->wake, &p->lock);
        struct password_job *job = p->head;

        if (!job)
            break;
        p->head = job->next;
        if (!p->head)
            p->tail = &p->head;
        p->n--;
        bool stop = p->stop;
        pthread_mutex_unlock(&p->lock);
        finish(job, stop ? -EAGAIN : work_and_print(job));
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int
passwords_start(unsigned threads, unsigned queue_max, struct passwords **ret,
                struct err *reterr)
{
    struct passwords *p;
    int r = 0;

    if (sodium_init() < 0)
        return err_set(reterr, -EIO, "sodium", "libsodium does not start");
    p = xnew(struct passwords);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->tail = &p->head;
    p->max = queue_max;
    for (unsigned i = 0; i < MIN(threads, THREADS_MAX) && r == 0; i++) {
        r = pthread_create(&p->threads[i], NULL, pool_main, p);
        if (r == 0) {
            pthread_setname_np(p->threads[i], "password");
            p->n_threads++;
        }
    }
    if (r != 0) {
        passwords_stop(p);
        passwords_free(p);
        return err_errno(reterr, -r, "cannot start a thread");
    }
    *ret = p;
    return 0;
}

void
passwords_stop(struct passwords *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    p->n_threads = 0;
    while (p->head) { /* of a pool that could not get all its threads */
        struct password_job *job = p->head;

        p->head = job->next;
        finish(job, -EAGAIN);
    }
    p->tail = &p->head;
}

void
passwords_free(struct passwords *p)
{
    if (!p)
        return;
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int
passwords_submit(struct passwords *p, struct password_job *job)
{
    int r = 0;

    job->next = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->stop || p->n >= p->max) {
        r = -EAGAIN;
    } else {
        *p->tail = job;
        p->tail = &job->next;
        p->n++;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    if (r < 0) {
        COUNT(password_queue_full);
        password_wipe(&job->check);
        password_wipe(&job->make);
    }
    return r;
}
