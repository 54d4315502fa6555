/* progress.c - where the work on instances is, for the next report; see
 * core.h. What is over within a moment is never told: most work is. */
#include <config.h>

#include <string.h>
#include <utlist.h>

#include "agentd/core-private.h"
#include "common/clock.h"
#include "common/mem.h"

#define MOMENT_US (US_PER_S / 2)
/* As the table of api_progress has it. */
#define WHY_MAX 1024

void
progress_drop(struct core *c, struct inst *in)
{
    struct progress *n = in->news;

    if (!n)
        return;
    in->news = NULL;
    if (n->listed)
        DL_DELETE(c->news, n);
    free(n->why);
    free(n);
}

void
core_clear_progress(struct core *c, struct inst *in)
{
    pthread_mutex_lock(&c->lock);
    progress_drop(c, in);
    pthread_mutex_unlock(&c->lock);
}

/* A hypervisor's words may hold anything; JSON takes no more than UTF-8. */
static char *
clean_copy(const char *why)
{
    char *copy = why ? strndup(why, WHY_MAX) : NULL;

    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = '?';
    return copy;
}

void
core_set_progress(struct core *c, struct inst *in, int64_t run,
                  const char *step, const char *why)
{
    char *copy _cleanup_(freep) = clean_copy(why && *why ? why : NULL);
    bool first = false;

    pthread_mutex_lock(&c->lock);
    struct progress *n = in->news;
    /* A step that is only begun again keeps its reason until it is over. */
    if (in->gone || (n && n->run == run && streq(n->step, step) &&
                     (!copy || streq(n->why, copy)))) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    if (!n) {
        n = in->news = xnew(struct progress);
        n->in = in;
    }
    n->run = run;
    n->step = step;
    free(n->why);
    n->why = TAKE_PTR(copy);
    n->mark = ++c->news_mark;
    if (!n->listed) {
        first = !c->news;
        n->listed = true;
        n->since_us = clock_mono_us();
        DL_APPEND(c->news, n);
    }
    pthread_mutex_unlock(&c->lock);
    if (first && c->cfg.on_progress)
        c->cfg.on_progress(c->cfg.arg);
}

void
core_progress(struct core *c, size_t max, struct codec_list *ret,
              uint64_t *ret_mark)
{
    int64_t before = clock_mono_us() - MOMENT_US;
    struct progress *n;

    pthread_mutex_lock(&c->lock);
    *ret_mark = c->news_mark;
    DL_FOREACH(c->news, n)
    {
        if (ret->n == max || n->since_us > before)
            break;
        struct api_progress *p = codec_list_add(&table_progress, ret);
        p->instance_id = xstrdup(n->in->id);
        p->run = n->run;
        p->step = xstrdup(n->step);
        p->reason = xstrdup(n->why);
        n->sent = *ret_mark;
    }
    pthread_mutex_unlock(&c->lock);
}

void
core_progress_told(struct core *c, uint64_t mark)
{
    struct progress *n, *next;

    pthread_mutex_lock(&c->lock);
    DL_FOREACH_SAFE(c->news, n, next)
    {
        /* Not what has changed since, nor what did not go along. */
        if (n->sent != mark || n->mark > mark)
            continue;
        DL_DELETE(c->news, n);
        n->listed = false;
    }
    pthread_mutex_unlock(&c->lock);
}

int64_t
core_progress_wait(struct core *c)
{
    int64_t wait = -1;

    pthread_mutex_lock(&c->lock);
    if (c->news)
        wait = MAX(c->news->since_us + MOMENT_US - clock_mono_us(), INT64_C(0));
    pthread_mutex_unlock(&c->lock);
    return wait;
}
