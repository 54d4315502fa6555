/* auth.c - who calls: bearer tokens, sessions, node certificates.
 * Secrets are random, so a plain SHA-256 of them is enough to store and to
 * look up by. A session's secret comes as a bearer token or as a cookie, as it
 * was asked for at the login; a cookie is sent by a browser on its own, so
 * with it a change needs a second secret that another site's page cannot know
 * (CSRF), and a WebSocket the right Origin (RFC 6455 section 10.2). */
#include <config.h>

#include "controllerd/ctl.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

static void
new_secret(const char *prefix, char text[TOKEN_TEXT_SIZE],
           unsigned char hash[HASH_LEN])
{
    unsigned char secret[32];
    char hex[2 * sizeof(secret) + 1];

    id_random(secret, sizeof(secret));
    id_hex(secret, sizeof(secret), hex);
    snprintf(text, TOKEN_TEXT_SIZE, "%s.%s", prefix, hex);
    hash_sha256(text, strlen(text), hash);
}

void
auth_new_secret(char text[TOKEN_TEXT_SIZE], unsigned char hash[HASH_LEN])
{
    new_secret("vt1", text, hash);
}

void
auth_new_session(char text[TOKEN_TEXT_SIZE], unsigned char hash[HASH_LEN])
{
    new_secret("vs1", text, hash);
}

/* HMAC (RFC 2104) of a fixed text under the session's secret. */
void
auth_csrf(const char *secret, char out[HASH_HEX_SIZE])
{
    static const char text[] = "virga X-CSRF-Token";
    crypto_auth_hmacsha256_state st;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];

    crypto_auth_hmacsha256_init(&st, (const unsigned char *)secret,
                                strlen(secret));
    crypto_auth_hmacsha256_update(&st, (const unsigned char *)text,
                                  sizeof(text) - 1);
    crypto_auth_hmacsha256_final(&st, mac);
    id_hex(mac, sizeof(mac), out);
}

/* ---- start and stop ---- */

static void
load_token(const struct store_token *t, void *arg)
{
    auth_cache_put_token(arg, t);
}

static void
load_user(const struct store_user *u, void *arg)
{
    auth_cache_put_user(arg, u);
}

static void
load_session(const struct store_session *s, void *arg)
{
    struct ctl *ctl = arg;

    auth_cache_put_session(ctl->auth, s);
    guess_known(ctl->guess, s->a.user_id, s->a.remote, clock_mono_us());
}

int
auth_start(struct ctl *ctl, struct db *db, struct err *reterr)
{
    ctl->auth = auth_cache_new();
    ctl->guess = guess_new();
    int r = store_token_each(db, load_token, ctl->auth);
    if (r == 0)
        r = store_user_each(db, load_user, ctl->auth);
    if (r == 0)
        r = store_session_each(db, load_session, ctl);
    if (r < 0)
        return db_err(db, r, reterr);
    return passwords_start(PASSWORD_THREADS, PASSWORD_QUEUE, &ctl->passwords,
                           reterr);
}

void
auth_stop(struct ctl *ctl)
{
    passwords_free(ctl->passwords);
    guess_free(ctl->guess);
    auth_cache_free(ctl->auth);
}

/* ---- when sessions were used ---- */

struct seen {
    char id[ID_SIZE];
    int64_t at_us;
};

struct seen_list {
    struct seen *items;
    size_t n;
};

static void
add_seen(const char *id, int64_t at_us, void *arg)
{
    struct seen_list *l = arg;

    if (l->n % 64 == 0)
        l->items = xrealloc(l->items, (l->n + 64) * sizeof(*l->items));
    snprintf(l->items[l->n].id, ID_SIZE, "%s", id);
    l->items[l->n++].at_us = at_us;
}

int
auth_keep(struct ctl *ctl, struct db *db)
{
    struct seen_list l = {0};
    int r = 0;

    auth_cache_drop_expired(ctl->auth, clock_now_us());
    auth_cache_each_seen(ctl->auth, add_seen, &l);
    for (size_t i = 0; i < l.n && r == 0; i++)
        r = store_session_seen(db, l.items[i].id, l.items[i].at_us);
    free(l.items);
    return r;
}

/* ---- secrets of a request ---- */

/* The value of our cookie (RFC 6265 section 5.4) or NULL. */
static char *
cookie_of(struct call *c)
{
    static const char name[] = SESSION_COOKIE "=";
    const char *p = http_header(c->rq, "Cookie");

    while (p && *p) {
        size_t n = strcspn(p, ";");

        if (strncmp(p, name, sizeof(name) - 1) == 0)
            return xstrndup(p + sizeof(name) - 1, n - (sizeof(name) - 1));
        p += n;
        p += strspn(p, "; ");
    }
    return NULL;
}

/* The secret, or NULL. A bearer token goes before a cookie. */
static char *
secret_of(struct call *c, bool *ret_cookie)
{
    const char *h = http_header(c->rq, "Authorization");

    *ret_cookie = !h;
    if (!h)
        return cookie_of(c);
    if (strncasecmp(h, "Bearer ", 7) != 0)
        return NULL;
    h += 7;
    return xstrdup(h + strspn(h, " "));
}

bool
auth_same_origin(struct call *c)
{
    const char *origin = http_header(c->rq, "Origin");
    const char *host = http_header(c->rq, "Host");

    return origin && host && strncasecmp(origin, "https://", 8) == 0 &&
           strcasecmp(origin + 8, host) == 0;
}

/* What another site's page could make a browser send, but not know. */
static int
check_cookie(struct call *c, const char *secret)
{
    const char *given = http_header(c->rq, "X-CSRF-Token");
    char want[HASH_HEX_SIZE];

    if (c->m.route->status == 101 && !auth_same_origin(c)) {
        COUNT(auth_foreign_origin);
        return err_set(&c->err, -EPERM, "foreign_origin",
                       "with a cookie this works from this server's own page "
                       "only");
    }
    if (strcmp(c->rq->method, "GET") == 0)
        return 0;
    auth_csrf(secret, want);
    if (given && strlen(given) == strlen(want) &&
        sodium_memcmp(given, want, strlen(want)) == 0)
        return 0;
    COUNT(auth_csrf_refused);
    return err_set(&c->err, -EPERM, "csrf_token_required",
                   "with a cookie a change needs the X-CSRF-Token that the "
                   "login and GET /v1/whoami answer");
}

int
auth_whoami_csrf(struct call *c, char out[HASH_HEX_SIZE])
{
    char *secret _cleanup_(freep) = c->who.cookie ? cookie_of(c) : NULL;

    if (!secret)
        return -ENOENT;
    auth_csrf(secret, out);
    return 0;
}

/* ---- who, and whether they may ---- */

static int
check_rights(struct call *c)
{
    const struct principal *p = &c->who;
    char scope[SCOPE_SIZE];

    if (p->expires_at && p->expires_at <= clock_now_us())
        return err_set(&c->err, -EACCES, "token_expired",
                       p->session_id[0] ? "this session has ended: sign in "
                                          "again"
                                        : "this token has expired");
    if (!api_role_may(p->role, c->m.route)) {
        COUNT(auth_role_refused);
        return err_set(&c->err, -EPERM, "forbidden",
                       "this needs the role %s; the %s has %s",
                       api_role_names[c->m.route->role],
                       p->session_id[0] ? "user" : "token",
                       api_role_names[p->role]);
    }
    if (!scopes_allow(&p->scopes, c->m.route)) {
        COUNT(auth_scope_refused);
        scopes_needed(c->m.route, scope);
        return err_set(&c->err, -EPERM, "scope_missing",
                       "this needs the scope %s, which the token has not",
                       scope);
    }
    return 0;
}

static int
bad_secret(struct call *c)
{
    COUNT(auth_bad_token);
    return err_set(&c->err, -EACCES, "bad_token",
                   "this token is not valid: it is mistyped or revoked");
}

int
auth_token(struct call *c)
{
    bool cookie;
    char *secret _cleanup_(freep) = secret_of(c, &cookie);
    unsigned char hash[HASH_LEN];

    if (!secret)
        return err_set(&c->err, -EACCES, "token_required",
                       "send \"Authorization: Bearer TOKEN\"");
    hash_sha256(secret, strlen(secret), hash);
    if (!auth_cache_find(c->ctl->auth, hash, cookie, clock_now_us(), &c->who))
        return bad_secret(c);
    int r = cookie ? check_cookie(c, secret) : 0;
    return r < 0 ? r : check_rights(c);
}

int
auth_again(struct call *c)
{
    struct principal now;

    if (c->m.route->auth != AUTH_TOKEN)
        return 0;
    if (!auth_cache_find(c->ctl->auth, c->who.hash, c->who.cookie,
                         clock_now_us(), &now))
        return bad_secret(c);
    if (strcmp(now.project_id, c->who.project_id) != 0)
        return err_set(&c->err, -EBUSY, "session_changed",
                       "the session went to another project before this was "
                       "done");
    c->who = now;
    return check_rights(c);
}

const char *
principal_key(const struct principal *who)
{
    return who->token_id[0] ? who->token_id : who->session_id;
}

bool
auth_alive(struct ctl *ctl, const struct principal *who,
           const struct api_route *route)
{
    int64_t now_us = clock_now_us();
    struct principal now;

    return auth_cache_find(ctl->auth, who->hash, who->cookie, now_us, &now) &&
           now.role == who->role && streq(now.project_id, who->project_id) &&
           (!now.expires_at || now.expires_at > now_us) &&
           api_role_may(now.role, route) && scopes_allow(&now.scopes, route);
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
    if (nodes_lost(c->ctl, cn)) {
        COUNT(auth_lost_node);
        return err_set(&c->err, -EPERM, "node_lost",
                       "an operator gave this node up for lost, with all that "
                       "was on it: join it again as a new one");
    }
    if (!id_valid(cn) || !nodes_authentic(c->ctl, cn, fingerprint)) {
        COUNT(auth_bad_certificate);
        return err_set(&c->err, -EPERM, "unknown_node",
                       "this node is not known here, or has a newer "
                       "certificate: join it again");
    }
    memcpy(c->who.node_id, cn, ID_SIZE);
    return 0;
}
