/* call_password.c - a call that waits for the pool that hashes passwords.
 *
 *   handler --call_password()--> suspended, the job in the queue
 *      pool: done() --http_resume()--> handler again: call_password_done() */
#include <config.h>

#include "controllerd/ctl.h"

#include <sodium.h>
#include <string.h>

#include "common/mem.h"

struct work {
    struct password_job job;
    struct call *c;
};

static void
work_free(void *p)
{
    struct work *w = p;

    sodium_memzero(w->job.hash, sizeof(w->job.hash));
    free(w);
}

static void
hashed(struct password_job *job)
{
    struct work *w = (struct work *)job; /* its first member */

    if (job->result == 0 && job->want_print) {
        memcpy(w->c->print, job->print, sizeof(job->print));
        w->c->has_print = true;
    }
    http_resume(w->c->rq);
}

_Static_assert(PASSWORD_SALT_SIZE <= HASH_LEN, "a part of a hash");

static void
ask_print(struct call *c, struct password_job *job)
{
    const char *key = http_header(c->rq, "Idempotency-Key");
    unsigned char hash[HASH_LEN];

    if (!key || !c->who.key_owner[0] || !streq(c->rq->method, "POST"))
        return;
    struct hash *h = hash_begin();
    hash_add(h, c->who.key_owner, strlen(c->who.key_owner) + 1);
    hash_add(h, key, strlen(key) + 1);
    hash_add(h, c->rq->path, strlen(c->rq->path));
    hash_end(h, hash);
    memcpy(job->salt, hash, sizeof(job->salt));
    job->want_print = true;
}

/* The body's text has the password in it, which must outlive the hashing
 * neither in memory nor, as a quick hash of the body, in the row of an
 * Idempotency-Key. What stands for it from here on is the body without, and
 * c->print. */
static void
forget_body(struct call *c)
{
    struct buf *b = &c->rq->body;

    if (b->len)
        sodium_memzero(b->data, b->len);
    buf_clear(b);
    codec_encode_request(c->m.route->in, c->in, b);
}

int
call_password(struct call *c, char **check, const char *hash, char **make)
{
    struct work *w = xnew(struct work);

    w->c = c;
    w->job.done = hashed;
    w->job.check = check ? TAKE_PTR(*check) : NULL;
    w->job.make = make ? TAKE_PTR(*make) : NULL;
    if (hash)
        snprintf(w->job.hash, sizeof(w->job.hash), "%s", hash);
    ask_print(c, &w->job);
    forget_body(c);
    c->work = w;
    c->work_free = work_free;
    http_suspend(c->rq);
    if (passwords_submit(c->ctl->passwords, &w->job) < 0) {
        w->job.result = -EAGAIN;
        http_resume(c->rq);
    }
    return CALL_WAIT;
}

int
call_password_done(struct call *c, struct password_job **ret)
{
    struct work *w = c->work;

    if (w->job.result == -EAGAIN && atomic_load(&c->ctl->stopping))
        return err_set(&c->err, -EAGAIN, "shutting_down",
                       "the controller is stopping");
    if (w->job.result < 0)
        return err_set(&c->err, -EAGAIN, "busy",
                       "too many passwords are being checked: try again");
    *ret = &w->job;
    return 0;
}

void
call_work(struct call *c, void *work, void (*fn)(void *work))
{
    if (c->work && c->work_free)
        c->work_free(c->work);
    c->work = work;
    c->work_free = fn;
}
