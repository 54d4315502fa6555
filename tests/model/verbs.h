/* tests/model/verbs.h - what tenants and operators ask of the cloud.
 * Role:      every verb is a row in the table of its subject; tenants.c picks
 *            and sends them, reply.c holds what every reply is held to.
 * Ownership: a todo belongs to the cloud and has its call.   Threads: one.
 * Errors:    cloud_fail(). */
#ifndef TESTS_MODEL_VERBS_H
#define TESTS_MODEL_VERBS_H

#include "tests/model/cloud.h"

/* Whose calls it is for. */
enum verb_who { WHO_ANY, WHO_SESSION, WHO_NOBODY };

struct verb {
    const char *name;
    int weight;
    /* Fills method, path and body; false: there is nothing to do it to. */
    bool (*make)(struct ctx *x, struct todo *t);
    /* A reply of success came. */
    void (*done)(struct ctx *x, struct todo *t);
    enum api_role role;   /* least */
    const char *refusals; /* the codes with which it may be refused */
    enum verb_who who;
    bool billing; /* the role billing may do it, too */
};

#define VERB(NAME, WEIGHT, MAKE, DONE, ROLE, REFUSALS, ...)                    \
    {                                                                          \
        .name = NAME, .weight = WEIGHT, .make = MAKE, .done = DONE,            \
        .role = ROLE, .refusals = REFUSALS, __VA_ARGS__                        \
    }

/* Each ends with a row without a name. */
extern const struct verb verbs_create[], verbs_life[], verbs_access[],
    verbs_read[];

/* Codes of what finds no room. */
#define VERB_FULL "no_capacity nodes_settling "

/* ---- for verbs (verbs.c) ---- */

/* Whether what belongs to the project is the caller's to see. */
bool verb_sees(const struct todo *t, int project);
/* One that the caller may see; now and then one of another tenant, which
 * t->foreign says. */
struct minst *verb_pick_inst(struct ctx *x, struct todo *t);
/* By id, or by name where that says the same. */
bool verb_path_inst(struct ctx *x, struct todo *t, const char *method,
                    const char *tail);
/* Into t->name: one that others may have, or one of its own that tells of its
 * project. */
void verb_name(struct ctx *x, struct todo *t);
void verb_ask(struct todo *t, const char *method, const char *path, ...)
    _printf_(3, 4);
/* Appends to the body. */
void verb_say(struct todo *t, const char *fmt, ...) _printf_(2, 3);
/* The reply, as the API says that it looks. */
void verb_decode(struct ctx *x, const struct todo *t,
                 const struct codec_table *table, void *out);
void verb_done_nothing(struct ctx *x, struct todo *t);
/* The caller may do this, by role and scope. */
bool verb_allowed(const struct todo *t);
/* What a token or session may do, and where, at this moment. */
enum api_role verb_role(struct cloud *c, const struct actor *a);
int verb_project(struct cloud *c, const struct actor *a);
/* NULL: it is a token. */
struct muser *verb_user(struct cloud *c, const struct actor *a);
/* Ends the user's sessions but one, which may be NULL. */
void verb_end_sessions(struct cloud *c, const struct muser *u,
                       const struct actor *but);

/* ---- sending (tenants.c) ---- */

struct rig_call *tenants_call(const struct todo *t, const char *key);

/* ---- replies (reply.c) ---- */

/* The call is over: what it means for the model. */
void reply_took(struct ctx *x, struct todo *t);
/* All pages of a list whose first the reply is, one after the other; path is
 * that of the first, with a query. Each is held to what every reply is. */
void reply_pages(struct ctx *x, struct todo *t, const char *path,
                 struct buf *out);

#endif
