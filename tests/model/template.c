/* template.c - a cloud to start from, made through the API once; each run
 * begins with a copy of its database. */
#include <config.h>

#include "tests/model/cloud.h"

#include <fcntl.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"

static struct rig_call *
ask(struct ctx *x, const char *method, const char *path, const char *body)
{
    struct rig_call *call = rig_call(method, path);
    char text[TOKEN_TEXT_SIZE + 8];

    snprintf(text, sizeof(text), "Bearer %s", x->c->actors[0].text);
    rig_header(call, "Authorization", text);
    rig_body(call, body, strlen(body));
    rig_send(&x->rig, call);
    rig_settle(&x->rig);
    if (!call->done || call->status >= 300)
        cloud_fail(x, "%s %s: %d %s", method, path, call->status,
                   buf_str(&call->body));
    return call;
}

static void
take(struct ctx *x, struct rig_call *call, const struct codec_table *t,
     void *out)
{
    if (codec_decode(t, CODEC_REPLY, buf_str(&call->body), call->body.len, out,
                     NULL) < 0)
        cloud_fail(x, "%s: %s", call->path, buf_str(&call->body));
    rig_call_free(call);
}

static void
add_actor(struct ctx *x, int project, enum api_role role, const char *name)
{
    struct cloud *c = x->c;
    struct actor *a = &c->actors[c->n_actors++];
    struct api_token t = {0};
    char body[300];

    snprintf(body, sizeof(body),
             "{\"name\":\"%s\",\"role\":\"%s\",\"project\":\"%s\"}", name,
             api_role_names[role], c->project[project]);
    take(x, ask(x, "POST", "/v1/tokens", body), &table_token, &t);
    *a = (struct actor){.project = project, .role = role};
    snprintf(a->text, sizeof(a->text), "%s", t.token);
    snprintf(a->id, sizeof(a->id), "%s", t.id);
    snprintf(a->name, sizeof(a->name), "%s", name);
    codec_clear(&table_token, &t);
}

static void
add_projects(struct ctx *x)
{
    static const char *const names[] = {"acme", "bolt", "corp"};

    for (int p = 0; p < C_PROJECTS; p++) {
        struct api_project made = {0};
        char text[100];

        snprintf(text, sizeof(text), "{\"name\":\"%s\"}", names[p]);
        take(x, ask(x, "POST", "/v1/projects", text), &table_project, &made);
        memcpy(x->c->project[p], made.id, ID_SIZE);
        codec_clear(&table_project, &made);
        snprintf(text, sizeof(text), "%s-admin", names[p]);
        add_actor(x, p, ROLE_ADMIN, text);
        snprintf(text, sizeof(text), "%s-member", names[p]);
        add_actor(x, p, ROLE_MEMBER, text);
        snprintf(text, sizeof(text), "%s-reader", names[p]);
        add_actor(x, p, ROLE_READER, text);
    }
}

/* Signed in, too. */
static void
add_user(struct ctx *x, const char *name, int home, enum api_role role)
{
    struct cloud *c = x->c;
    struct muser *u = &c->users[c->n_users++];
    struct actor *a = &c->actors[c->n_actors++];
    struct api_user made = {0};
    struct api_session s = {0};
    char body[400];

    *u = (struct muser){.home = home};
    u->roles[home] = role;
    snprintf(u->name, sizeof(u->name), "%s", name);
    snprintf(u->password, sizeof(u->password), "the word of %s", name);
    snprintf(body, sizeof(body),
             "{\"name\":\"%s\",\"password\":\"%s\",\"role\":\"%s\","
             "\"project\":\"%s\"}",
             name, u->password, api_role_names[role], c->project[home]);
    take(x, ask(x, "POST", "/v1/users", body), &table_user, &made);
    snprintf(u->id, sizeof(u->id), "%s", made.id);
    snprintf(body, sizeof(body), "{\"user\":\"%s\",\"password\":\"%s\"}", name,
             u->password);
    take(x, ask(x, "POST", "/v1/login", body), &table_session, &s);
    *a = (struct actor){.project = home, .user = (int)c->n_users};
    snprintf(a->text, sizeof(a->text), "%s", s.token);
    snprintf(a->id, sizeof(a->id), "%s", s.id);
    snprintf(a->name, sizeof(a->name), "%s", name);
    codec_clear(&table_user, &made);
    codec_clear(&table_session, &s);
}

static void
add_users(struct ctx *x)
{
    char path[200];

    add_user(x, "secret-ada", 0, ROLE_ADMIN);
    add_user(x, "secret-bob", 1, ROLE_MEMBER);
    snprintf(path, sizeof(path), "/v1/projects/%s/members/secret-bob",
             x->c->project[0]);
    rig_call_free(ask(x, "PUT", path, "{\"role\":\"reader\"}"));
    x->c->users[1].roles[0] = ROLE_READER;
}

static void
add_image(struct ctx *x)
{
    char disk[1024] = {0};
    struct rig_call *call = rig_call("PUT", "/v1/images/public/parts/disk");
    char text[TOKEN_TEXT_SIZE + 8];

    rig_call_free(ask(x, "POST", "/v1/images",
                      "{\"name\":\"public\",\"public\":true,"
                      "\"parts\":[{\"name\":\"disk\"}]}"));
    snprintf(text, sizeof(text), "Bearer %s", x->c->actors[0].text);
    rig_header(call, "Authorization", text);
    rig_body(call, disk, sizeof(disk));
    rig_send(&x->rig, call);
    rig_settle(&x->rig);
    if (call->status != 200)
        cloud_fail(x, "upload: %d %s", call->status, buf_str(&call->body));
    rig_call_free(call);
}

static void
add_node(struct ctx *x, int k)
{
    struct sim_node *n = &x->c->nodes[k];
    struct api_join_token t = {0};
    struct api_joined j = {0};
    struct api_join in = {.name = (char[]){'n', (char)('0' + k), '\0'}};
    struct buf body _cleanup_(buf_release) = {0};
    char *key _cleanup_(freep) = NULL;
    struct err e = {0};

    take(x, ask(x, "POST", "/v1/join-tokens", "{}"), &table_join_token, &t);
    if (pki_make_request("node", &key, &in.csr, &e) < 0)
        cloud_fail(x, "%s", e.message);
    in.token = t.token;
    codec_encode_request(&table_join, &in, &body);
    take(x, ask(x, "POST", "/v1/join", buf_str(&body)), &table_joined, &j);
    snprintf(n->id, sizeof(n->id), "%s", j.node_id);
    if (pki_fingerprint(j.certificate, n->fingerprint, &e) < 0)
        cloud_fail(x, "%s", e.message);
    n->next_seq = 1;
    free(in.csr);
    codec_clear(&table_join_token, &t);
    codec_clear(&table_joined, &j);
}

static void
build(struct ctx *x)
{
    static const char *const sizes[C_FLAVORS] = {
        "\"vcpus\":1,\"memory_bytes\":134217728,\"disk_bytes\":1048576",
        "\"vcpus\":2,\"memory_bytes\":536870912,\"disk_bytes\":1048576",
        "\"vcpus\":1,\"memory_bytes\":134217728,\"disk_bytes\":17179869184",
    };

    for (int i = 0; i < C_FLAVORS; i++) {
        char body[300];

        snprintf(body, sizeof(body), "{\"name\":\"%s\",%s}", cloud_flavors[i],
                 sizes[i]);
        rig_call_free(ask(x, "POST", "/v1/flavors", body));
    }
    add_projects(x);
    add_users(x);
    add_image(x);
    for (int k = 0; k < C_NODES; k++)
        add_node(x, k);
    for (int p = 0; p < C_PROJECTS; p++)
        x->c->limit[p] = x->c->ceiling[p] =
            check_int(x, "SELECT instances FROM quotas WHERE project_id = ?1",
                      x->c->project[p], NULL);
    /* Every node is up and has said how large it is. */
    if (!agents_settle(x))
        cloud_fail(x, "the nodes said nothing");
}

void
cloud_build(struct cloud *c)
{
    struct ctx x = {.c = c};
    struct err e = {0};

    c->n_actors = 1;
    c->actors[0] = (struct actor){.project = -1, .role = ROLE_OPERATOR};
    snprintf(c->actors[0].name, sizeof(c->actors[0].name), "operator");
    if (rig_open(&x.rig, c->dir, c->actors[0].text, &e) < 0)
        cloud_fail(&x, "cannot start: %s", e.message);
    memcpy(c->project[C_PROJECTS], x.rig.ctl.default_project, ID_SIZE);
    build(&x);
    rig_close(&x.rig);
    agents_closed(&x);
}

static void *
build_main(void *arg)
{
    cloud_build(arg);
    return NULL;
}

/* What the database itself notes of states: check.c compares it with the
 * events that tell of them. */
static const char log_sql[] =
    "CREATE TABLE model_log (seq INTEGER PRIMARY KEY, id TEXT, type TEXT, "
    "state INTEGER);"
    "CREATE TRIGGER model_new AFTER INSERT ON instances BEGIN INSERT INTO "
    "model_log (id, type, state) VALUES (new.id, 'instance', new.state); END;"
    "CREATE TRIGGER model_state AFTER UPDATE ON instances WHEN old.state <> "
    "new.state BEGIN INSERT INTO model_log (id, type, state) VALUES (new.id, "
    "'instance', new.state); END;"
    "CREATE TRIGGER model_end AFTER UPDATE ON operations WHEN old.state <> "
    "new.state AND new.state <> 0 BEGIN INSERT INTO model_log (id, type, "
    "state) VALUES (new.id, 'operation', new.state); END;";

/* All into one file: the reader's connection was closed after the writer's. */
static bool
fold(const char *path)
{
    sqlite3 *db = NULL;
    bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
              sqlite3_exec(db, log_sql, NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL,
                           NULL) == SQLITE_OK;

    return sqlite3_close(db) == SQLITE_OK && ok;
}

void
template_make(struct template *t, const char *dir)
{
    struct ctx x = {.c = xnew(struct cloud)};
    char path[300];
    struct err e = {0};
    pthread_t thread;

    t->cloud = x.c;
    x.c->rng = 1;
    x.c->now_us = INT64_C(1767614400) * US_PER_S; /* 2026-01-05 12:00 */
    rig_clock_us = &x.c->now_us;
    rig_seed_random(1);
    snprintf(x.c->dir, sizeof(x.c->dir), "%s", dir);
    /* A thread of its own: a reader's connection ends with it. */
    int r = pthread_create(&thread, NULL, build_main, x.c);
    if (r == 0)
        r = pthread_join(thread, NULL);
    snprintf(path, sizeof(path), "%s/controller.db", dir);
    if (r != 0 || !fold(path) || fs_read(path, 64 << 20, &t->db, &e) < 0)
        cloud_fail(&x, "no template: %s", e.message);
}

void
template_copy(const struct template *t, struct cloud *c, const char *dir)
{
    struct ctx x = {.c = c};
    char path[300];
    static const char *const tails[] = {"-wal", "-shm"};

    *c = *t->cloud;
    c->n_trace = 0;
    snprintf(c->dir, sizeof(c->dir), "%s", dir);
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        snprintf(path, sizeof(path), "%s/controller.db%s", dir, tails[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/controller.db", dir);
    int fd _cleanup_(closep) =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fs_write_all(fd, t->db.data, t->db.len) < 0)
        cloud_fail(&x, "cannot write %s", path);
}
