/* test-controllerd-auth.c - what is known in memory of tokens, users and
 * sessions equals the rows, whatever happens in which order; scopes; and
 * questions beside changes. The handlers are the real ones, on a store of
 * their own; what stands in for the dispatcher commits or rolls back. Over 800
 * lines: all cases share that dispatcher and the comparison with the rows. */
#include <config.h>

#include "tests/unit/store-fixture.h"

#include <pthread.h>
#include <sodium.h>

#include "common/clock.h"
#include "controllerd/handlers.h"
#include "controllerd/quota.h"

#define STEPS 3000

struct world {
    struct store_fixture f;
    struct ctl ctl;
    uint64_t seed;
    int64_t stand; /* tokens of users that were looked at */
    char names[8][16];
};

static uint64_t
pick(struct world *w, uint64_t n)
{
    w->seed =
        w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->seed >> 33) % n;
}

static int
setup(void **state)
{
    struct world *w = xnew(struct world);

    store_fixture_open(&w->f);
    add_project(w->f.db, P1, "acme");
    add_project(w->f.db, P2, "bolt");
    w->ctl.cfg.project_objects = 1000;
    w->ctl.cfg.session_ttl_us = 3600 * US_PER_S;
    snprintf(w->ctl.default_project, ID_SIZE, "%s", P1);
    if (quota_start(&w->ctl, w->f.db, NULL) < 0)
        fail_msg("no quotas");
    w->ctl.auth = auth_cache_new();
    w->ctl.guess = guess_new();
    for (size_t i = 0; i < ARRAY_SIZE(w->names); i++)
        snprintf(w->names[i], sizeof(w->names[i]), "user-%zu", i);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;
    int r = store_fixture_close(&w->f);

    quota_stop(&w->ctl);
    guess_free(w->ctl.guess);
    auth_cache_free(w->ctl.auth);
    free(w);
    return r;
}

/* ---- what the dispatcher does ---- */

struct one_call {
    struct call c;
    struct http_req rq;
    /* The server's part of a request: no connection, so no headers. */
    char server[512];
};

static void
call_begin(struct world *w, struct one_call *o, enum api_route_id id,
           const struct principal *who, const char *json, const char *param,
           const char *param2)
{
    struct err e _cleanup_(err_release) = {0};

    *o = (struct one_call){.rq = {.method = api_routes[id].method,
                                  .path = "/",
                                  .remote = "192.0.2.1"}};
    o->c.ctl = &w->ctl;
    o->c.rq = &o->rq;
    o->c.m.route = &api_routes[id];
    o->c.h = &handlers[id];
    if (who)
        o->c.who = *who;
    if (param)
        snprintf(o->c.m.params[0], sizeof(o->c.m.params[0]), "%s", param);
    if (param2)
        snprintf(o->c.m.params[1], sizeof(o->c.m.params[1]), "%s", param2);
    if (api_routes[id].in) {
        o->c.in = xcalloc(1, api_routes[id].in->size);
        if (codec_decode(api_routes[id].in, CODEC_REQUEST, json, strlen(json),
                         o->c.in, &e) < 0)
            fail_msg("%s: %s", json, e.message);
    }
}

/* The pool's part: the hash of a password is "hash of" it. */
static void
hashed(struct one_call *o, const char *hash, const char *made)
{
    struct password_job *job = xnew(struct password_job);

    job->right = true;
    snprintf(job->hash, sizeof(job->hash), "%s", hash ? hash : "");
    snprintf(job->made, sizeof(job->made), "%s", made ? made : "");
    o->c.work = job;
    o->c.work_free = free;
}

/* One transaction; `commit` false is a disk that fails at its end. */
static int
call_run(struct world *w, struct one_call *o, bool commit)
{
    assert_int_equal(db_exec(w->f.db, "BEGIN IMMEDIATE", NULL), 0);
    int r = o->c.h->write(&o->c, w->f.db);
    bool done = r >= 0 && commit;
    assert_int_equal(db_exec(w->f.db, done ? "COMMIT" : "ROLLBACK", NULL), 0);
    if (done && o->c.h->committed)
        o->c.h->committed(&o->c);
    if (r >= 0 && !commit && o->c.h->undo)
        o->c.h->undo(&o->c);
    return r;
}

static void
call_end(struct one_call *o)
{
    if (o->c.in) {
        codec_clear(o->c.m.route->in, o->c.in);
        free(o->c.in);
    }
    if (o->c.work && o->c.work_free)
        o->c.work_free(o->c.work);
    buf_release(&o->rq.reply);
    buf_release(&o->rq.headers);
    err_release(&o->c.err);
}

/* ---- the cache, anew from the rows ---- */

static void
put_token(const struct store_token *t, void *arg)
{
    auth_cache_put_token(arg, t);
}

static void
put_user(const struct store_user *u, void *arg)
{
    auth_cache_put_user(arg, u);
}

static void
put_session(const struct store_session *s, void *arg)
{
    auth_cache_put_session(arg, s);
}

/* Behind a token that remembers a user there is one who may as much. */
static void
assert_user_stands(const struct store_token *t, void *arg)
{
    struct world *w = arg;
    struct store_user u = {0};
    bool ok = false;

    if (!t->a.user_id)
        return;
    if (store_user_get(w->f.db, t->a.user_id, &u) < 0)
        fail_msg("token %s: its user is gone", t->a.name);
    const struct api_membership *m = u.a.memberships.items;
    for (size_t i = 0; i < u.a.memberships.n; i++)
        ok = ok || (streq(m[i].project_id, t->a.project) &&
                    api_role_covers((enum api_role)m[i].role,
                                    (enum api_role)t->a.role));
    if (u.a.disabled || !(ok || u.a.is_operator))
        fail_msg("token %s: %s may not have it", t->a.name, u.a.name);
    w->stand++;
    store_user_release(&u);
}

static void
assert_equals_rows(struct world *w)
{
    struct auth_cache *fresh = auth_cache_new();
    struct buf a _cleanup_(buf_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};

    assert_int_equal(store_token_each(w->f.db, put_token, fresh), 0);
    assert_int_equal(store_token_each(w->f.db, assert_user_stands, w), 0);
    assert_int_equal(store_user_each(w->f.db, put_user, fresh), 0);
    assert_int_equal(store_session_each(w->f.db, put_session, fresh), 0);
    auth_cache_dump(w->ctl.auth, &a);
    auth_cache_dump(fresh, &b);
    assert_string_equal(buf_str(&a), buf_str(&b));
    auth_cache_free(fresh);
}

/* ---- things that happen ---- */

/* An operator, or an admin of one of the projects. */
static struct principal
somebody(struct world *w)
{
    struct principal p = {.role = ROLE_OPERATOR};

    if (pick(w, 2)) {
        p.role = ROLE_ADMIN;
        snprintf(p.project_id, ID_SIZE, "%s", pick(w, 2) ? P1 : P2);
    }
    return p;
}

static const char *
user_name(struct world *w)
{
    return w->names[pick(w, ARRAY_SIZE(w->names))];
}

static void
create_user(struct world *w)
{
    static const char *const homes[] = {"", ",\"project\":\"acme\"",
                                        ",\"project\":\"bolt\"",
                                        ",\"operator\":true"};
    struct principal who = somebody(w);
    struct one_call o;
    char *json _cleanup_(freep) =
        xasprintf("{\"name\":\"%s\",\"password\":\"0123456789\",\"role\":"
                  "\"%s\"%s}",
                  user_name(w), pick(w, 2) ? "reader" : "admin",
                  homes[pick(w, ARRAY_SIZE(homes))]);

    call_begin(w, &o, ROUTE_USER_CREATE, &who, json, NULL, NULL);
    hashed(&o, NULL, "first");
    call_run(w, &o, pick(w, 8) != 0);
    call_end(&o);
}

static void
change_user(struct world *w)
{
    static const char *const json[] = {"{\"disabled\":true}",
                                       "{\"disabled\":false}", "{}"};
    struct principal who = somebody(w);
    struct one_call o;

    call_begin(w, &o, ROUTE_USER_CHANGE, &who, json[pick(w, 3)], user_name(w),
               NULL);
    if (pick(w, 3) == 0)
        hashed(&o, NULL, pick(w, 2) ? "second" : "third");
    call_run(w, &o, pick(w, 8) != 0);
    call_end(&o);
}

static void
delete_user(struct world *w)
{
    struct principal who = somebody(w);
    struct one_call o;

    call_begin(w, &o, ROUTE_USER_DELETE, &who, "", user_name(w), NULL);
    call_run(w, &o, pick(w, 8) != 0);
    call_end(&o);
}

static void
change_member(struct world *w)
{
    static const char *const roles[] = {"{\"role\":\"reader\"}",
                                        "{\"role\":\"admin\"}",
                                        "{\"role\":\"billing\"}"};
    struct principal who = somebody(w);
    struct one_call o;
    bool take = pick(w, 3) == 0;

    call_begin(w, &o, take ? ROUTE_MEMBER_DELETE : ROUTE_MEMBER_SET, &who,
               roles[pick(w, 3)], pick(w, 2) ? "acme" : "bolt", user_name(w));
    call_run(w, &o, pick(w, 8) != 0);
    call_end(&o);
}

static void
sign_in(struct world *w)
{
    struct one_call o;
    const char *name = user_name(w);
    char *json _cleanup_(freep) =
        xasprintf("{\"user\":\"%s\",\"password\":\"x\",\"cookie\":%s%s}", name,
                  pick(w, 2) ? "true" : "false",
                  pick(w, 3) ? "" : ",\"project\":\"bolt\"");
    char id[ID_SIZE], hash[PASSWORD_HASH_SIZE];

    call_begin(w, &o, ROUTE_LOGIN, NULL, json, NULL, NULL);
    if (auth_cache_password(w->ctl.auth, name, id, hash)) {
        hashed(&o, hash, NULL);
        call_run(w, &o, pick(w, 8) != 0);
    }
    call_end(&o);
}

struct found {
    struct principal who;
    char id[ID_SIZE];
    bool cookie;
    uint64_t left;
    struct world *w;
};

static void
maybe_this(const struct store_session *s, void *arg)
{
    struct found *f = arg;

    if (f->left-- != 0)
        return;
    snprintf(f->id, ID_SIZE, "%s", s->a.id);
    f->cookie = s->cookie;
    if (!auth_cache_find(f->w->ctl.auth, s->hash, s->cookie, clock_now_us(),
                         &f->who))
        f->id[0] = '\0'; /* its user is disabled */
}

/* Something that a session's user does; false when there is no session. */
static bool
use_session(struct world *w)
{
    static const enum api_route_id what[] = {
        ROUTE_LOGOUT,   ROUTE_SESSION_CHANGE, ROUTE_SESSION_DELETE,
        ROUTE_PASSWORD, ROUTE_TOKEN_CREATE,   ROUTE_TOKEN_CREATE};
    static const char *const json[] = {
        "",
        "{\"project\":\"bolt\"}",
        "",
        "{\"old_password\":\"x\",\"new_password\":\"0123456789\"}",
        "{\"name\":\"of-mine\",\"role\":\"reader\"}",
        "{\"name\":\"of-mine-too\",\"role\":\"admin\"}"};
    struct found f = {.left = pick(w, 6), .w = w};
    char id[ID_SIZE], hash[PASSWORD_HASH_SIZE];
    struct one_call o;
    size_t k = pick(w, ARRAY_SIZE(what));

    assert_int_equal(store_session_each(w->f.db, maybe_this, &f), 0);
    if (!f.id[0])
        return false;
    f.who.cookie = false; /* there are no headers to look at */
    call_begin(w, &o, what[k], &f.who, json[k], f.id, NULL);
    if (what[k] == ROUTE_PASSWORD) {
        assert_true(auth_cache_password(w->ctl.auth, f.who.user_id, id, hash));
        hashed(&o, hash, "fourth");
    }
    call_run(w, &o, pick(w, 8) != 0);
    call_end(&o);
    return true;
}

static void
tokens(struct world *w)
{
    static const char *const scopes[] = {
        "", ",\"scopes\":[\"images:read\"]",
        ",\"scopes\":[\"instances:write\",\"usage:read\"]"};
    struct principal who = somebody(w);
    const char *name = user_name(w);
    struct one_call o;

    if (pick(w, 3)) {
        char *json _cleanup_(freep) =
            xasprintf("{\"name\":\"%s\",\"role\":\"%s\"%s}", name,
                      who.role == ROLE_OPERATOR ? "operator" : "member",
                      scopes[pick(w, ARRAY_SIZE(scopes))]);

        call_begin(w, &o, ROUTE_TOKEN_CREATE, &who, json, NULL, NULL);
    } else {
        call_begin(w, &o, ROUTE_TOKEN_DELETE, &who, "", name, NULL);
    }
    call_run(w, &o, pick(w, 8) != 0);
    call_end(&o);
}

/* bolt goes, with who is in it, and comes again under the same id. */
static void
renew_project(struct world *w)
{
    struct principal op = {.role = ROLE_OPERATOR};
    struct one_call o;

    call_begin(w, &o, ROUTE_PROJECT_DELETE, &op, "", "bolt", NULL);
    bool commit = pick(w, 3) != 0;
    assert_int_equal(call_run(w, &o, commit), 0);
    call_end(&o);
    if (commit)
        add_project(w->f.db, P2, "bolt");
}

static void
one_step(struct world *w)
{
    switch (pick(w, 20)) {
    case 0 ... 2:
        create_user(w);
        break;
    case 3 ... 4:
        change_user(w);
        break;
    case 5:
        delete_user(w);
        break;
    case 6 ... 8:
        change_member(w);
        break;
    case 9 ... 14:
        sign_in(w);
        break;
    case 15 ... 16:
        tokens(w);
        break;
    case 17:
        if (pick(w, 10) == 0)
            renew_project(w);
        break;
    default:
        use_session(w);
        break;
    }
}

static void
cache__equals_rows_after_random_changes(void **state)
{
    struct world *w = *state;
    const char *seed = getenv("TEST_SEED");
    int64_t operators = 0;

    w->seed = seed ? strtoull(seed, NULL, 10) : 1;
    for (int i = 0; i < STEPS; i++) {
        uint64_t before = w->seed;

        one_step(w);
        if (i % 8 == 0 || i > STEPS - 50)
            assert_equals_rows(w);
        /* Once there is an operator there always is one. */
        int64_t now = 0;
        assert_int_equal(store_operators(w->f.db, clock_now_us(), &now), 0);
        if (operators > 0 && now == 0)
            fail_msg("step %d, seed %llu: no operator is left", i,
                     (unsigned long long)before);
        operators = now;
    }
    assert_true(w->stand > 100);
}

/* ---- single rules ---- */

static void
add_user(struct world *w, char *id, const char *name, const char *home)
{
    struct store_user u = {.a = {.id = id,
                                 .name = (char *)name,
                                 .project = (char *)home,
                                 .generation = 1,
                                 .created_at = T0},
                           .password = (char *)"hash"};

    assert_int_equal(store_user_insert(w->f.db, &u), 0);
}

static void
load_user(struct world *w, const char *id)
{
    struct store_user u = {0};

    assert_int_equal(store_user_get(w->f.db, id, &u), 0);
    auth_cache_put_user(w->ctl.auth, &u);
    store_user_release(&u);
}

#define U1 UUID("0a01")
#define S1 UUID("0b01")

static void
add_session(struct world *w, bool cookie)
{
    struct store_session s = {.a = {.id = S1,
                                    .user_id = U1,
                                    .project_id = P1,
                                    .created_at = T0,
                                    .last_seen_at = T0,
                                    .expires_at = T0 + 3600 * US_PER_S},
                              .hash = "secret",
                              .cookie = cookie};

    assert_int_equal(store_session_insert(w->f.db, &s), 0);
    auth_cache_put_session(w->ctl.auth, &s);
}

static bool
ask(struct world *w, bool by_cookie, struct principal *ret)
{
    static const unsigned char hash[HASH_LEN] = "secret";

    return auth_cache_find(w->ctl.auth, hash, by_cookie, T0, ret);
}

static void
session__has_its_users_role_of_the_moment(void **state)
{
    struct world *w = *state;
    struct principal p;

    add_user(w, U1, "ada", P1);
    load_user(w, U1);
    add_session(w, false);
    assert_true(ask(w, false, &p));
    assert_int_equal(p.role, ROLE_NONE);
    assert_string_equal(p.project_id, "");
    assert_int_equal(store_membership_set(w->f.db, P1, U1, ROLE_MEMBER), 0);
    load_user(w, U1);
    assert_true(ask(w, false, &p));
    assert_int_equal(p.role, ROLE_MEMBER);
    assert_string_equal(p.project_id, P1);
    assert_string_equal(p.user_name, "ada");
    /* One of another project does not count. */
    assert_int_equal(store_membership_delete(w->f.db, P1, U1), 0);
    assert_int_equal(store_membership_set(w->f.db, P2, U1, ROLE_ADMIN), 0);
    load_user(w, U1);
    assert_true(ask(w, false, &p));
    assert_int_equal(p.role, ROLE_NONE);
}

static void
session__is_good_the_way_it_was_made(void **state)
{
    struct world *w = *state;
    struct principal p;

    add_user(w, U1, "ada", P1);
    load_user(w, U1);
    add_session(w, true);
    assert_false(ask(w, false, &p));
    assert_true(ask(w, true, &p));
    assert_true(p.cookie);
    auth_cache_drop_session(w->ctl.auth, S1);
    assert_false(ask(w, true, &p));
}

static void
count_seen(const char *id, int64_t at_us, void *arg)
{
    assert_string_equal(id, S1);
    *(int64_t *)arg = at_us;
}

static void
session__use_is_noted_to_the_minute(void **state)
{
    static const unsigned char hash[HASH_LEN] = "secret";
    struct world *w = *state;
    struct principal p;
    int64_t at = 0;

    add_user(w, U1, "ada", P1);
    load_user(w, U1);
    add_session(w, false);
    assert_true(
        auth_cache_find(w->ctl.auth, hash, false, T0 + 59 * US_PER_S, &p));
    auth_cache_each_seen(w->ctl.auth, count_seen, &at);
    assert_int_equal(at, 0);
    assert_true(
        auth_cache_find(w->ctl.auth, hash, false, T0 + 61 * US_PER_S, &p));
    auth_cache_each_seen(w->ctl.auth, count_seen, &at);
    assert_int_equal(at, T0 + 61 * US_PER_S);
    at = 0;
    auth_cache_each_seen(w->ctl.auth, count_seen, &at);
    assert_int_equal(at, 0);
    auth_cache_drop_expired(w->ctl.auth, T0 + 3600 * US_PER_S);
    assert_false(ask(w, false, &p));
}

/* A session of before does not come to life with the user's account. */
static void
disabled__user_has_nothing(void **state)
{
    struct world *w = *state;
    struct store_user u = {0};
    struct principal p;
    char id[ID_SIZE], hash[PASSWORD_HASH_SIZE];

    add_user(w, U1, "ada", P1);
    load_user(w, U1);
    add_session(w, false);
    assert_true(auth_cache_password(w->ctl.auth, "ada", id, hash));
    assert_int_equal(store_user_get(w->f.db, U1, &u), 0);
    u.a.disabled = true;
    auth_cache_put_user(w->ctl.auth, &u);
    store_user_release(&u);
    assert_false(ask(w, false, &p));
    assert_false(auth_cache_password(w->ctl.auth, "ada", id, hash));
    assert_false(auth_cache_password(w->ctl.auth, U1, id, hash));
}

static void
csrf__depends_on_the_secret(void **state)
{
    char a[HASH_HEX_SIZE], b[HASH_HEX_SIZE], again[HASH_HEX_SIZE];

    auth_csrf("vs1.one", a);
    auth_csrf("vs1.two", b);
    auth_csrf("vs1.one", again);
    assert_string_equal(a, again);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 2 * HASH_LEN);
}

/* ---- scopes ---- */

static struct scopes
scopes_of(const char *const *text)
{
    struct codec_list l = {0};
    struct scopes s = {0};

    for (; *text; text++)
        codec_strings_add(&l, *text);
    assert_int_equal(scopes_parse(&l, &s, NULL), 0);
    codec_strings_clear(&l);
    return s;
}
#define SCOPES(...) scopes_of((const char *const[]){__VA_ARGS__, NULL})

static void
scopes__allow_what_they_name(void **state)
{
    struct scopes none = {0}, read = SCOPES("instances:read"),
                  write = SCOPES("instances:write");

    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];
        bool own = streq(r->tag, "instances") && r->auth == AUTH_TOKEN;
        bool get = streq(r->method, "GET") && i != ROUTE_INSTANCE_CONSOLE;
        bool who = i == ROUTE_WHOAMI;

        assert_true(scopes_allow(&none, r));
        assert_int_equal(scopes_allow(&read, r), who || (own && get));
        assert_int_equal(scopes_allow(&write, r), who || own);
    }
}

/* Who may read counters for a graph may not take the CA's key home. */
static void
scopes__of_the_service_give_no_backup(void **state)
{
    struct scopes service = SCOPES("service:write"),
                  backup = SCOPES("backup:read");

    assert_true(scopes_allow(&service, &api_routes[ROUTE_METRICS]));
    assert_false(scopes_allow(&service, &api_routes[ROUTE_BACKUP]));
    assert_true(scopes_allow(&backup, &api_routes[ROUTE_BACKUP]));
    assert_false(scopes_allow(&backup, &api_routes[ROUTE_METRICS]));
}

static void
scopes__cover_no_more_than_they_are(void **state)
{
    struct scopes all = {0}, read = SCOPES("instances:read"),
                  write = SCOPES("instances:write"),
                  two = SCOPES("instances:read", "images:write");

    assert_true(scopes_cover(&all, &all) && scopes_cover(&all, &two));
    assert_false(scopes_cover(&two, &all));
    assert_true(scopes_cover(&write, &read));
    assert_false(scopes_cover(&read, &write));
    assert_true(scopes_cover(&two, &read));
    assert_false(scopes_cover(&read, &two));
}

static void
scopes__come_back_as_words(void **state)
{
    struct scopes s = SCOPES("images:write", "instances:read"), again = {0};
    struct codec_list l = {0};

    scopes_list(&s, &l);
    assert_int_equal(l.n, 2);
    assert_int_equal(scopes_parse(&l, &again, NULL), 0);
    assert_memory_equal(&s, &again, sizeof(s));
    codec_strings_clear(&l);
}

static void
scopes__unknown_is_refused_by_place(void **state)
{
    static const char *const bad[] = {"",
                                      ":",
                                      "images",
                                      "images:",
                                      "images:rea",
                                      "images:read ",
                                      "Images:read",
                                      "agents:read",
                                      "images:read:write"};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct codec_list l = {0};
        struct scopes s = {.limited = true};

        codec_strings_add(&l, "images:read");
        codec_strings_add(&l, bad[i]);
        assert_int_equal(scopes_parse(&l, &s, &e), -EINVAL);
        assert_int_equal(e.n_details, 1);
        assert_string_equal(e.details[0].pointer, "/scopes/1");
        codec_strings_clear(&l);
    }
}

/* What a row says in words that are no more must not become everything. */
static void
scopes__unknown_in_a_row_allow_nothing(void **state)
{
    static const unsigned char hash[HASH_LEN] = "t";
    struct world *w = *state;
    struct store_token t = {
        .a = {.id = UUID("0c01"), .name = (char *)"old", .role = ROLE_OPERATOR},
        .hash = "t"};
    struct principal p;

    codec_strings_add(&t.a.scopes, "bygone:read");
    auth_cache_put_token(w->ctl.auth, &t);
    codec_strings_clear(&t.a.scopes);
    assert_true(auth_cache_find(w->ctl.auth, hash, false, T0, &p));
    assert_false(scopes_allow(&p.scopes, &api_routes[ROUTE_INSTANCE_LIST]));
    assert_true(scopes_allow(&p.scopes, &api_routes[ROUTE_WHOAMI]));
}

/* ---- questions beside changes ---- */

struct asker {
    struct world *w;
    atomic_bool *stop;
    uint64_t found;
};

/* Whatever is found at any moment is whole. */
static void *
ask_on(void *arg)
{
    struct asker *a = arg;
    char id[ID_SIZE], hash[PASSWORD_HASH_SIZE];

    while (!atomic_load(a->stop)) {
        struct principal p;

        if (ask(a->w, false, &p)) {
            a->found++;
            if (!streq(p.user_name, "ada") || !streq(p.session_id, S1) ||
                (p.role == ROLE_NONE) != !p.project_id[0])
                return "torn";
        }
        if (auth_cache_password(a->w->ctl.auth, "ada", id, hash) &&
            !streq(hash, "hash"))
            return "torn password";
    }
    return NULL;
}

static void
questions__beside_changes_see_whole_answers(void **state)
{
    struct world *w = *state;
    atomic_bool stop = false;
    struct asker askers[3];
    pthread_t t[3];

    add_user(w, U1, "ada", P1);
    load_user(w, U1);
    add_session(w, false);
    for (int i = 0; i < 3; i++) {
        askers[i] = (struct asker){.w = w, .stop = &stop};
        assert_int_equal(pthread_create(&t[i], NULL, ask_on, &askers[i]), 0);
    }
    for (int i = 0; i < 300; i++) {
        int64_t at = 0;

        assert_int_equal(store_membership_set(w->f.db, P1, U1,
                                              i % 2 ? ROLE_ADMIN : ROLE_READER),
                         0);
        load_user(w, U1);
        auth_cache_each_seen(w->ctl.auth, count_seen, &at);
        auth_cache_drop_project(w->ctl.auth, P1);
        auth_cache_drop_user(w->ctl.auth, U1);
        load_user(w, U1);
        struct store_session s = {0};
        assert_int_equal(store_session_get(w->f.db, U1, S1, &s), 0);
        auth_cache_put_session(w->ctl.auth, &s);
        codec_clear(&table_session, &s.a);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        void *why;

        assert_int_equal(pthread_join(t[i], &why), 0);
        assert_null(why);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(cache__equals_rows_after_random_changes),
        T(session__has_its_users_role_of_the_moment),
        T(session__is_good_the_way_it_was_made),
        T(session__use_is_noted_to_the_minute),
        T(disabled__user_has_nothing),
        T(csrf__depends_on_the_secret),
        T(scopes__allow_what_they_name),
        T(scopes__of_the_service_give_no_backup),
        T(scopes__cover_no_more_than_they_are),
        T(scopes__come_back_as_words),
        T(scopes__unknown_is_refused_by_place),
        T(scopes__unknown_in_a_row_allow_nothing),
        T(questions__beside_changes_see_whole_answers),
    };

    return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
