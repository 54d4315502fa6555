/* controllerd/events.h - what happened, told to whoever listens.
 * Role:      events are rows, inserted in the transaction of the change that
 *            caused them: by the store for instances and operations, by the
 *            dispatcher for what a handler says that it touched
 *            (call_touched()). After the commit one thread reads them, once,
 *            and hands them to every subscriber: streams of server-sent
 *            events and waiting calls.
 * Ownership: a subscription is its call's, in c->work.
 * Threads:   any, where not said otherwise.
 * Errors:    -EAGAIN with the reason when there are too many streams.
 * Invariant: a subscriber gets every event that it may see after its cursor,
 *            once and in order; what it does not take waits in the database,
 *            not in memory.
 * Source:    WHATWG HTML, section 9.2 (server-sent events). */
#ifndef CONTROLLERD_EVENTS_H
#define CONTROLLERD_EVENTS_H

#include "controllerd/ctl.h"

#define EVENT_KINDS_MAX 1024 /* bytes of a list of patterns */

/* ---- which events (event_text.c) ---- */

struct event_filter {
    char project_id[ID_SIZE];    /* "": of every project, and of none */
    bool admin;                  /* also those of tokens, users and the like */
    char kinds[EVENT_KINDS_MAX]; /* "instance.*,node.up"; "": all */
};

bool event_wanted(const struct event_filter *f, const struct api_event *e);
/* Whether it is a list of patterns, in letters that kinds are made of. */
bool event_kinds_valid(const char *kinds);
/* One event in the form of section 9.2.5, ready to send. */
void event_sse(const struct api_event *e, struct buf *out);
/* "reset": what was after the number that was asked for is gone, or never
 * was; the events after from_seq follow. */
void event_sse_reset(int64_t from_seq, int64_t first_seq, int64_t last_seq,
                     struct buf *out);

/* ---- listening (events.c) ---- */

int events_start(struct ctl *ctl, struct err *reterr) _must_check_;
/* Ends every stream; later ones end at once. */
void events_stop(struct ctl *ctl);
/* After http_stop(). */
void events_free(struct ctl *ctl);
/* Replies without end that are open. */
int events_streams(struct ctl *ctl);
/* After a commit; costs nothing while nobody listens. */
void events_committed(struct ctl *ctl);
/* A token, session or membership is gone: streams that rest on it end. */
void events_recheck(struct ctl *ctl);

/* Makes the call's reply a stream of what is after `after`. */
int events_stream(struct call *c, const struct event_filter *f,
                  const struct buf *first, int64_t after) _must_check_;
/* Suspends the call until there is an event after `after`, or its deadline. */
int events_wait(struct call *c, const struct event_filter *f, int64_t after);

/* A node's state changed: written as an event of its own, and into its row,
 * with the time when it was heard of last. */
void events_node(struct ctl *ctl, const char *node_id, const char *kind,
                 int64_t seen_at);

/* What a write made or changed, where neither its reply nor its path says so:
 * kind is "token.created"; one without '.' names the resource for the audit
 * log alone. Inside write(). */
void call_touched(struct call *c, const char *kind, const char *id,
                  const char *name, const char *project_id);
/* The object of a reply, from which the event of a write is made. */
void call_replies(struct call *c, const struct codec_table *t, const void *obj);
/* Stores the event of a write; of the dispatcher. */
int events_of_call(struct call *c, struct db *db) _must_check_;

#endif
