/* auth_cache.c - tokens, sessions and users in memory; see auth_cache.h. */
#include <config.h>

#include "controllerd/auth_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <uthash.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

struct membership {
    char project_id[ID_SIZE];
    enum api_role role;
};

struct user {
    char id[ID_SIZE], name[64], password[PASSWORD_HASH_SIZE];
    bool is_operator, disabled;
    struct membership *in;
    size_t n_in;
    UT_hash_handle hh, hh_name;
};

/* A token, or with `user` a session. */
struct cred {
    unsigned char hash[HASH_LEN];
    char id[ID_SIZE], project_id[ID_SIZE], name[64];
    struct user *user;
    char maker_id[ID_SIZE]; /* a token's, if a user made it */
    enum api_role role;     /* a token's */
    struct scopes scopes;
    bool cookie;
    int64_t expires_at;
    _Atomic int64_t seen_us;
    int64_t told_us; /* the seen_us that was told last */
    UT_hash_handle hh, hh_id;
};

struct auth_cache {
    pthread_rwlock_t lock;
    struct cred *by_hash, *by_id; /* lock */
    struct user *users, *by_name; /* lock */
};

struct auth_cache *
auth_cache_new(void)
{
    struct auth_cache *ac = xnew(struct auth_cache);

    pthread_rwlock_init(&ac->lock, NULL);
    return ac;
}

static void
cred_free(struct auth_cache *ac, struct cred *c)
{
    HASH_DEL(ac->by_hash, c);
    HASH_DELETE(hh_id, ac->by_id, c);
    free(c);
}

static void
user_free(struct auth_cache *ac, struct user *u)
{
    HASH_DEL(ac->users, u);
    HASH_DELETE(hh_name, ac->by_name, u);
    free(u->in);
    free(u);
}

void
auth_cache_free(struct auth_cache *ac)
{
    struct cred *c, *next;
    struct user *u, *next_user;

    if (!ac)
        return;
    HASH_ITER(hh, ac->by_hash, c, next)
    {
        cred_free(ac, c);
    }
    HASH_ITER(hh, ac->users, u, next_user)
    {
        user_free(ac, u);
    }
    pthread_rwlock_destroy(&ac->lock);
    free(ac);
}

static struct user *
user_find(struct auth_cache *ac, const char *ref)
{
    struct user *u;

    if (id_valid(ref))
        HASH_FIND_STR(ac->users, ref, u);
    else
        HASH_FIND(hh_name, ac->by_name, ref, strlen(ref), u);
    return u;
}

static struct cred *
cred_find(struct auth_cache *ac, const char *id)
{
    struct cred *c;

    HASH_FIND(hh_id, ac->by_id, id, strlen(id), c);
    return c;
}

/* With the lock held for writing. */
static void
cred_put(struct auth_cache *ac, struct cred *c)
{
    struct cred *old = cred_find(ac, c->id);

    if (old)
        cred_free(ac, old);
    HASH_ADD(hh, ac->by_hash, hash, sizeof(c->hash), c);
    HASH_ADD(hh_id, ac->by_id, id, strlen(c->id), c);
}

void
auth_cache_put_token(struct auth_cache *ac, const struct store_token *t)
{
    struct cred *c = xnew(struct cred);

    memcpy(c->hash, t->hash, sizeof(c->hash));
    snprintf(c->id, sizeof(c->id), "%s", t->a.id);
    snprintf(c->name, sizeof(c->name), "%s", t->a.name);
    snprintf(c->project_id, sizeof(c->project_id), "%s",
             t->a.project ? t->a.project : "");
    snprintf(c->maker_id, sizeof(c->maker_id), "%s",
             t->a.user_id ? t->a.user_id : "");
    c->role = (enum api_role)t->a.role;
    c->expires_at = t->a.expires_at;
    if (scopes_parse(&t->a.scopes, &c->scopes, NULL) < 0) {
        /* A row of another version, with a group that is no more: what is
         * not understood must not become everything. */
        COUNT(auth_scope_unknown);
        c->scopes = (struct scopes){.limited = true};
    }
    pthread_rwlock_wrlock(&ac->lock);
    cred_put(ac, c);
    pthread_rwlock_unlock(&ac->lock);
}

void
auth_cache_put_user(struct auth_cache *ac, const struct store_user *row)
{
    const struct api_membership *m = row->a.memberships.items;
    size_t n = row->a.memberships.n;
    struct membership *in = xcalloc(n + 1, sizeof(*in));

    for (size_t i = 0; i < n; i++) {
        snprintf(in[i].project_id, ID_SIZE, "%s", m[i].project_id);
        in[i].role = (enum api_role)m[i].role;
    }
    pthread_rwlock_wrlock(&ac->lock);
    struct user *u = user_find(ac, row->a.id);
    if (!u) { /* ids and names do not change */
        u = xnew(struct user);
        snprintf(u->id, sizeof(u->id), "%s", row->a.id);
        snprintf(u->name, sizeof(u->name), "%s", row->a.name);
        HASH_ADD_STR(ac->users, id, u);
        HASH_ADD(hh_name, ac->by_name, name, strlen(u->name), u);
    }
    snprintf(u->password, sizeof(u->password), "%s", row->password);
    u->is_operator = row->a.is_operator;
    u->disabled = row->a.disabled;
    free(u->in);
    u->in = in;
    u->n_in = n;
    pthread_rwlock_unlock(&ac->lock);
}

void
auth_cache_put_session(struct auth_cache *ac, const struct store_session *s)
{
    struct cred *c = xnew(struct cred);

    memcpy(c->hash, s->hash, sizeof(c->hash));
    snprintf(c->id, sizeof(c->id), "%s", s->a.id);
    snprintf(c->project_id, sizeof(c->project_id), "%s",
             s->a.project_id ? s->a.project_id : "");
    c->cookie = s->cookie;
    c->expires_at = s->a.expires_at;
    c->told_us = s->a.last_seen_at;
    atomic_store(&c->seen_us, s->a.last_seen_at);
    pthread_rwlock_wrlock(&ac->lock);
    c->user = user_find(ac, s->a.user_id);
    if (c->user)
        cred_put(ac, c);
    else
        freep(&c);
    pthread_rwlock_unlock(&ac->lock);
}

/* ---- what goes ---- */

void
auth_cache_drop_token(struct auth_cache *ac, const char *id)
{
    pthread_rwlock_wrlock(&ac->lock);
    struct cred *c = cred_find(ac, id);
    if (c)
        cred_free(ac, c);
    pthread_rwlock_unlock(&ac->lock);
}

void
auth_cache_drop_session(struct auth_cache *ac, const char *id)
{
    auth_cache_drop_token(ac, id);
}

/* With the lock held for writing. */
static void
drop_sessions(struct auth_cache *ac, const struct user *u, const char *except)
{
    struct cred *c, *next;

    HASH_ITER(hh, ac->by_hash, c, next)
    {
        if (c->user == u && !streq(c->id, except))
            cred_free(ac, c);
    }
}

void
auth_cache_drop_sessions(struct auth_cache *ac, const char *user_id,
                         const char *except)
{
    pthread_rwlock_wrlock(&ac->lock);
    struct user *u = user_find(ac, user_id);
    if (u)
        drop_sessions(ac, u, except);
    pthread_rwlock_unlock(&ac->lock);
}

void
auth_cache_drop_user(struct auth_cache *ac, const char *id)
{
    pthread_rwlock_wrlock(&ac->lock);
    struct user *u = user_find(ac, id);
    if (u) {
        drop_sessions(ac, u, NULL);
        user_free(ac, u);
    }
    pthread_rwlock_unlock(&ac->lock);
}

void
auth_cache_drop_project(struct auth_cache *ac, const char *id)
{
    struct cred *c, *next;
    struct user *u, *next_user;

    pthread_rwlock_wrlock(&ac->lock);
    HASH_ITER(hh, ac->by_hash, c, next)
    {
        if (!streq(c->project_id, id))
            continue;
        if (c->user)
            c->project_id[0] = '\0';
        else
            cred_free(ac, c);
    }
    HASH_ITER(hh, ac->users, u, next_user)
    {
        size_t n = 0;

        for (size_t i = 0; i < u->n_in; i++)
            if (!streq(u->in[i].project_id, id))
                u->in[n++] = u->in[i];
        u->n_in = n;
    }
    pthread_rwlock_unlock(&ac->lock);
}

/* Sessions only: a token that has expired keeps its row, and says so. */
void
auth_cache_drop_expired(struct auth_cache *ac, int64_t now_us)
{
    struct cred *c, *next;

    pthread_rwlock_wrlock(&ac->lock);
    HASH_ITER(hh, ac->by_hash, c, next)
    {
        if (c->user && c->expires_at <= now_us)
            cred_free(ac, c);
    }
    pthread_rwlock_unlock(&ac->lock);
}

/* ---- questions ---- */

static void
fill_token(const struct cred *c, struct principal *p)
{
    memcpy(p->token_id, c->id, sizeof(c->id));
    memcpy(p->token_name, c->name, sizeof(c->name));
    memcpy(p->project_id, c->project_id, sizeof(c->project_id));
    memcpy(p->key_owner, c->id, sizeof(c->id));
    memcpy(p->maker_id, c->maker_id, sizeof(c->maker_id));
    p->role = c->role;
    p->scopes = c->scopes;
}

static void
fill_session(const struct cred *c, struct principal *p)
{
    const struct user *u = c->user;

    memcpy(p->session_id, c->id, sizeof(c->id));
    memcpy(p->user_id, u->id, sizeof(u->id));
    memcpy(p->maker_id, u->id, sizeof(u->id));
    memcpy(p->user_name, u->name, sizeof(u->name));
    p->cookie = c->cookie;
    p->role = u->is_operator ? ROLE_OPERATOR : ROLE_NONE;
    for (size_t i = 0; i < u->n_in && !u->is_operator; i++)
        if (strcmp(u->in[i].project_id, c->project_id) == 0) {
            p->role = u->in[i].role;
            memcpy(p->project_id, c->project_id, sizeof(c->project_id));
        }
    snprintf(p->key_owner, sizeof(p->key_owner), "%s/%s", p->user_id,
             p->project_id);
}

bool
auth_cache_find(struct auth_cache *ac, const unsigned char hash[HASH_LEN],
                bool by_cookie, int64_t now_us, struct principal *ret)
{
    struct cred *c;

    pthread_rwlock_rdlock(&ac->lock);
    HASH_FIND(hh, ac->by_hash, hash, HASH_LEN, c);
    if (c && (c->cookie != by_cookie || (c->user && c->user->disabled)))
        c = NULL;
    if (c) {
        *ret = (struct principal){.expires_at = c->expires_at};
        memcpy(ret->hash, hash, HASH_LEN);
        if (c->user)
            fill_session(c, ret);
        else
            fill_token(c, ret);
        if (c->user && now_us - atomic_load(&c->seen_us) >= 60 * US_PER_S)
            atomic_store(&c->seen_us, now_us);
    }
    pthread_rwlock_unlock(&ac->lock);
    return c != NULL;
}

bool
auth_cache_password(struct auth_cache *ac, const char *ref, char id[ID_SIZE],
                    char hash[PASSWORD_HASH_SIZE])
{
    pthread_rwlock_rdlock(&ac->lock);
    const struct user *u = user_find(ac, ref);
    bool found = u && !u->disabled;

    if (found) {
        memcpy(id, u->id, sizeof(u->id));
        memcpy(hash, u->password, sizeof(u->password));
    }
    pthread_rwlock_unlock(&ac->lock);
    return found;
}

void
auth_cache_each_seen(struct auth_cache *ac,
                     void (*fn)(const char *id, int64_t at_us, void *arg),
                     void *arg)
{
    struct cred *c, *next;

    /* For writing: told_us changes. */
    pthread_rwlock_wrlock(&ac->lock);
    HASH_ITER(hh, ac->by_hash, c, next)
    {
        int64_t seen = atomic_load(&c->seen_us);

        if (!c->user || seen == c->told_us)
            continue;
        c->told_us = seen;
        fn(c->id, seen, arg);
    }
    pthread_rwlock_unlock(&ac->lock);
}

/* ---- for tests ---- */

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
dump_cred(const struct cred *c, struct buf *out)
{
    char hex[HASH_HEX_SIZE];

    id_hex(c->hash, sizeof(c->hash), hex);
    buf_addf(out, "%s %s %s %s %s in=%s role=%d %d:%x:%x cookie=%d until=%lld",
             c->user ? "session" : "token", c->id, hex, c->name,
             c->user          ? c->user->id
             : c->maker_id[0] ? c->maker_id
                              : "-",
             c->project_id, c->role, c->scopes.limited, c->scopes.read,
             c->scopes.write, c->cookie, (long long)c->expires_at);
}

static void
dump_user(const struct user *u, struct buf *out)
{
    struct codec_list in = {0};

    buf_addf(out, "user %s %s %s operator=%d disabled=%d", u->id, u->name,
             u->password, u->is_operator, u->disabled);
    for (size_t i = 0; i < u->n_in; i++) {
        char text[ID_SIZE + 16];

        snprintf(text, sizeof(text), " %s:%d", u->in[i].project_id,
                 u->in[i].role);
        codec_strings_add(&in, text);
    }
    if (in.n)
        qsort(in.items, in.n, sizeof(char *), by_text);
    for (size_t i = 0; i < in.n; i++)
        buf_adds(out, ((char **)in.items)[i]);
    codec_strings_clear(&in);
}

void
auth_cache_dump(struct auth_cache *ac, struct buf *out)
{
    struct codec_list lines = {0};
    struct buf one _cleanup_(buf_release) = {0};
    struct cred *c, *next;
    struct user *u, *next_user;

    pthread_rwlock_rdlock(&ac->lock);
    HASH_ITER(hh, ac->by_hash, c, next)
    {
        buf_clear(&one);
        dump_cred(c, &one);
        codec_strings_add(&lines, buf_str(&one));
    }
    HASH_ITER(hh, ac->users, u, next_user)
    {
        buf_clear(&one);
        dump_user(u, &one);
        codec_strings_add(&lines, buf_str(&one));
    }
    pthread_rwlock_unlock(&ac->lock);
    if (lines.n)
        qsort(lines.items, lines.n, sizeof(char *), by_text);
    for (size_t i = 0; i < lines.n; i++)
        buf_addf(out, "%s\n", ((char **)lines.items)[i]);
    codec_strings_clear(&lines);
}
