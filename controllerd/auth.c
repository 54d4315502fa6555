/* auth.c - bearer tokens and node certificates.
 * Tokens are random, so a plain SHA-256 of them is enough to store and to
 * look up by; the cache holds every token by its hash, changed after the
 * commit that changed the row. */
#include <config.h>

#include "controllerd/ctl.h"

#include <string.h>
#include <strings.h>
#include <uthash.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "controllerd/events.h"

struct entry {
    unsigned char hash[HASH_LEN];
    char id[ID_SIZE], project_id[ID_SIZE], name[64];
    enum api_role role;
    int64_t expires_at;
    UT_hash_handle hh;
};

struct auth {
    pthread_rwlock_t lock;
    struct entry *by_hash; /* lock */
};

void
auth_new_secret(char text[TOKEN_TEXT_SIZE], unsigned char hash[HASH_LEN])
{
    unsigned char secret[32];
    char hex[2 * sizeof(secret) + 1];

    id_random(secret, sizeof(secret));
    id_hex(secret, sizeof(secret), hex);
    snprintf(text, TOKEN_TEXT_SIZE, "vt1.%s", hex);
    hash_sha256(text, strlen(text), hash);
}

void
auth_add(struct ctl *ctl, const struct store_token *t)
{
    struct entry *e = xnew(struct entry);

    memcpy(e->hash, t->hash, sizeof(e->hash));
    snprintf(e->id, sizeof(e->id), "%s", t->a.id);
    snprintf(e->name, sizeof(e->name), "%s", t->a.name);
    snprintf(e->project_id, sizeof(e->project_id), "%s",
             t->a.project ? t->a.project : "");
    e->role = (enum api_role)t->a.role;
    e->expires_at = t->a.expires_at;
    pthread_rwlock_wrlock(&ctl->auth->lock);
    HASH_ADD(hh, ctl->auth->by_hash, hash, sizeof(e->hash), e);
    pthread_rwlock_unlock(&ctl->auth->lock);
}

static void
remove_where(struct ctl *ctl, const char *token_id, const char *project_id)
{
    struct entry *e, *next;

    pthread_rwlock_wrlock(&ctl->auth->lock);
    HASH_ITER(hh, ctl->auth->by_hash, e, next)
    {
        if (token_id ? strcmp(e->id, token_id) != 0
                     : strcmp(e->project_id, project_id) != 0)
            continue;
        HASH_DEL(ctl->auth->by_hash, e);
        free(e);
    }
    pthread_rwlock_unlock(&ctl->auth->lock);
    events_recheck(ctl);
}

void
auth_remove(struct ctl *ctl, const char *token_id)
{
    remove_where(ctl, token_id, NULL);
}

void
auth_remove_project(struct ctl *ctl, const char *project_id)
{
    remove_where(ctl, NULL, project_id);
}

static void
load_one(const struct store_token *t, void *arg)
{
    auth_add(arg, t);
}

int
auth_start(struct ctl *ctl, struct db *db, struct err *reterr)
{
    ctl->auth = xnew(struct auth);
    pthread_rwlock_init(&ctl->auth->lock, NULL);
    int r = store_token_each(db, load_one, ctl);
    return r < 0 ? db_err(db, r, reterr) : 0;
}

void
auth_stop(struct ctl *ctl)
{
    struct entry *e, *next;

    if (!ctl->auth)
        return;
    HASH_ITER(hh, ctl->auth->by_hash, e, next)
    {
        HASH_DEL(ctl->auth->by_hash, e);
        free(e);
    }
    pthread_rwlock_destroy(&ctl->auth->lock);
    free(ctl->auth);
}

int
auth_token(struct call *c)
{
    const char *h = http_header(c->rq, "Authorization");
    unsigned char hash[HASH_LEN];
    struct entry *e;
    int64_t expires_at = 0;

    if (!h || strncasecmp(h, "Bearer ", 7) != 0)
        return err_set(&c->err, -EACCES, "token_required",
                       "send \"Authorization: Bearer TOKEN\"");
    h += 7;
    while (*h == ' ')
        h++;
    hash_sha256(h, strlen(h), hash);
    pthread_rwlock_rdlock(&c->ctl->auth->lock);
    HASH_FIND(hh, c->ctl->auth->by_hash, hash, sizeof(hash), e);
    if (e) {
        memcpy(c->who.token_id, e->id, sizeof(e->id));
        memcpy(c->who.token_name, e->name, sizeof(e->name));
        memcpy(c->who.project_id, e->project_id, sizeof(e->project_id));
        memcpy(c->who.hash, hash, sizeof(hash));
        c->who.role = e->role;
        expires_at = e->expires_at;
    }
    pthread_rwlock_unlock(&c->ctl->auth->lock);
    if (!e) {
        COUNT(auth_bad_token);
        return err_set(&c->err, -EACCES, "bad_token",
                       "this token is not valid: it is mistyped or revoked");
    }
    if (expires_at && expires_at <= clock_now_us())
        return err_set(&c->err, -EACCES, "token_expired",
                       "this token has expired");
    if (!api_role_may(c->who.role, c->m.route)) {
        COUNT(auth_role_refused);
        return err_set(&c->err, -EPERM, "forbidden",
                       "this needs the role %s; the token has %s",
                       api_role_names[c->m.route->role],
                       api_role_names[c->who.role]);
    }
    return 0;
}

bool
auth_alive(struct ctl *ctl, const struct principal *who,
           const struct api_route *route)
{
    struct entry *e;

    pthread_rwlock_rdlock(&ctl->auth->lock);
    HASH_FIND(hh, ctl->auth->by_hash, who->hash, sizeof(e->hash), e);
    bool alive = e && e->role == who->role &&
                 streq(e->project_id, who->project_id) &&
                 (!e->expires_at || e->expires_at > clock_now_us()) &&
                 api_role_may(e->role, route);
    pthread_rwlock_unlock(&ctl->auth->lock);
    return alive;
}

int
auth_node(struct call *c)
{
    char cn[64], fingerprint[HASH_HEX_SIZE];
    int r = http_peer(c->rq, cn, fingerprint, &c->err);

    if (r == -ENOENT)
        return err_set(&c->err, -EPERM, "certificate_required",
                       "this path is for agents: show a node's certificate");
    if (r < 0)
        return r;
    if (!id_valid(cn) || !nodes_authentic(c->ctl, cn, fingerprint)) {
        COUNT(auth_bad_certificate);
        return err_set(&c->err, -EPERM, "unknown_node",
                       "this node is not known here, or has a newer "
                       "certificate: join it again");
    }
    memcpy(c->who.node_id, cn, ID_SIZE);
    return 0;
}
