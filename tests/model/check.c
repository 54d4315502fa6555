/* check.c - what must hold, from rows, replies and the simulated nodes; the
 * invariants' numbers are those of docs/ARCHITECTURE.md and of each function
 * below.
 *
 *   check_step()   claims equal rows and stay below capacity; intervals do
 *                  not overlap; every live instance has its operation
 *   check_final()  nodes, rows and replies agree; every operation has ended;
 *                  bills equal what ran */
#include <config.h>

#include "tests/model/cloud.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/quota.h"

/* ---- rows ---- */

struct rows {
    sqlite3_stmt *st;
    struct ctx *x;
};

static void
rows_end(struct rows *r)
{
    sqlite3_reset(r->st);
}

/* Prepared once in a life; rig_close() ends them. */
static sqlite3_stmt *
prepared(struct ctx *x, const char *sql)
{
    for (size_t i = 0; i < x->n_statements; i++)
        if (streq(sqlite3_sql(x->statements[i]), sql))
            return x->statements[i];
    if (x->n_statements == ARRAY_SIZE(x->statements))
        cloud_fail(x, "too many statements");
    sqlite3_stmt **st = &x->statements[x->n_statements++];
    if (sqlite3_prepare_v2(x->rig.peek, sql, -1, st, NULL) != SQLITE_OK)
        cloud_fail(x, "%s: %s", sql, sqlite3_errmsg(x->rig.peek));
    return *st;
}

static struct rows
rows_of(struct ctx *x, const char *sql, const char *a, const char *b)
{
    struct rows r = {.x = x, .st = prepared(x, sql)};

    if (a)
        sqlite3_bind_text(r.st, 1, a, -1, SQLITE_TRANSIENT);
    if (b)
        sqlite3_bind_text(r.st, 2, b, -1, SQLITE_TRANSIENT);
    return r;
}

static bool
row_next(struct rows *r)
{
    int rc = sqlite3_step(r->st);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        cloud_fail(r->x, "reading rows: %s", sqlite3_errmsg(r->x->rig.peek));
    return rc == SQLITE_ROW;
}

static int64_t
num(struct rows *r, int col)
{
    return sqlite3_column_int64(r->st, col);
}

static const char *
text(struct rows *r, int col)
{
    const char *s = (const char *)sqlite3_column_text(r->st, col);

    return s ? s : "";
}

int64_t
check_int(struct ctx *x, const char *sql, const char *a, const char *b)
{
    struct rows r _cleanup_(rows_end) = rows_of(x, sql, a, b);

    return row_next(&r) ? num(&r, 0) : -1;
}

/* No row may be there that this query finds. */
static void
none(struct ctx *x, const char *what, const char *sql)
{
    struct rows r _cleanup_(rows_end) = rows_of(x, sql, NULL, NULL);

    if (row_next(&r))
        cloud_fail(x, "%s: %s %s", what, text(&r, 0),
                   sqlite3_column_count(r.st) > 1 ? text(&r, 1) : "");
}

/* FNV-1a over all rows. The audit log tells of refusals, too; what a refusal
 * may not touch is all the rest. */
uint64_t
check_digest(struct ctx *x)
{
    struct rows t _cleanup_(rows_end) =
        rows_of(x,
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
                "name NOT LIKE 'sqlite%' AND name NOT LIKE 'audit%' "
                "ORDER BY name",
                NULL, NULL);
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    rig_quiet(&x->rig);
    while (row_next(&t)) {
        char *sql _cleanup_(freep) =
            xasprintf("SELECT * FROM \"%s\"", text(&t, 0));
        struct rows r _cleanup_(rows_end) = rows_of(x, sql, NULL, NULL);

        while (row_next(&r))
            for (int i = 0; i < sqlite3_column_count(r.st); i++) {
                const unsigned char *p = sqlite3_column_blob(r.st, i);
                int n = sqlite3_column_bytes(r.st, i);

                for (int k = 0; k < n; k++)
                    h = (h ^ p[k]) * UINT64_C(0x100000001b3);
                h = (h ^ 255) * UINT64_C(0x100000001b3);
            }
    }
    return h;
}

/* ---- after each step ---- */

/* Invariant 3: memory says what the rows say, and no node is overfull. */
static void
check_claims(struct ctx *x)
{
    struct ctl *ctl = &x->rig.ctl;

    for (int k = 0; k < C_NODES; k++) {
        const char *id = x->c->nodes[k].id;
        struct sched_resources used = {0}, limit = {0};
        struct rows r _cleanup_(rows_end) = rows_of(
            x,
            /* A run that may be there keeps its size; ops/size.c. */
            "SELECT coalesce(sum(max(i.vcpus, coalesce(s.vcpus, 0))), 0), "
            "coalesce(sum(max(i.memory_bytes, coalesce(s.memory, 0))), 0), "
            "coalesce(sum(max(i.disk_bytes, coalesce(s.disk, 0))), 0) "
            "FROM instances i LEFT JOIN (SELECT instance_id, max(vcpus) AS "
            "vcpus, max(memory_bytes) AS memory, max(disk_bytes) AS disk FROM "
            "instance_sizes GROUP BY instance_id) s ON s.instance_id = i.id "
            "WHERE i.node_id = ?1 AND i.deleted_at IS NULL",
            id, NULL);

        if (!row_next(&r) ||
            sched_node_usage(ctl->sched, id, &used, &limit) < 0)
            cloud_fail(x, "node %d is not known", k);
        if (used.vcpus != num(&r, 0) || used.memory_bytes != num(&r, 1) ||
            used.disk_bytes != num(&r, 2))
            cloud_fail(x,
                       "node %d: claims %lld vCPUs, %lld, %lld; rows %lld, "
                       "%lld, %lld",
                       k, (long long)used.vcpus, (long long)used.memory_bytes,
                       (long long)used.disk_bytes, (long long)num(&r, 0),
                       (long long)num(&r, 1), (long long)num(&r, 2));
        if (limit.vcpus && (used.vcpus > limit.vcpus ||
                            used.memory_bytes > limit.memory_bytes ||
                            used.disk_bytes > limit.disk_bytes))
            cloud_fail(x, "node %d is overfull", k);
    }
}

/* Invariant 3 of tenants: what memory counts for quotas is what the rows say,
 * and nobody got more than was allowed. */
static void
check_quotas(struct ctx *x)
{
    struct cloud *c = x->c;

    for (int p = 0; p < C_PROJECTS; p++) {
        struct api_quota_values used;
        int64_t have = check_int(x,
                                 "SELECT count(*) FROM instances WHERE "
                                 "project_id = ?1 AND deleted_at IS NULL",
                                 c->project[p], NULL);
        int64_t tokens =
            check_int(x, "SELECT count(*) FROM tokens WHERE project_id = ?1",
                      c->project[p], NULL);

        int64_t vcpus = check_int(x,
                                  "SELECT coalesce(sum(vcpus), 0) FROM "
                                  "instances WHERE project_id = ?1 AND "
                                  "deleted_at IS NULL",
                                  c->project[p], NULL);

        quota_used(&x->rig.ctl, c->project[p], &used);
        if (used.instances != have || used.tokens != tokens ||
            used.vcpus != vcpus)
            cloud_fail(x,
                       "project %d: counted %lld instances and %lld tokens, "
                       "the rows have %lld and %lld",
                       p, (long long)used.instances, (long long)used.tokens,
                       (long long)have, (long long)tokens);
        if (have > c->ceiling[p] && !c->crashed)
            cloud_fail(x, "project %d has %lld instances, allowed are %lld", p,
                       (long long)have, (long long)c->ceiling[p]);
        have = MAX(c->limit[p], have);
        c->ceiling[p] = MIN(c->ceiling[p], have);
    }
}

/* The same, of what the simulated node really runs. */
static void
check_load(struct ctx *x)
{
    struct cloud *c = x->c;

    for (int k = 0; k < C_NODES; k++) {
        int64_t vcpus = 0, memory_bytes = 0;

        for (size_t i = 0; i < c->nodes[k].n_vms; i++) {
            const struct sim_vm *v = &c->nodes[k].vms[i];

            if (!v->runs)
                continue;
            vcpus += c->runs[v->truth].vcpus;
            memory_bytes += c->runs[v->truth].memory_bytes;
        }
        if (vcpus > SIM_VCPUS * 4 || memory_bytes > SIM_MEMORY_BYTES)
            cloud_fail(x, "node %d runs %lld vCPUs, %lld bytes", k,
                       (long long)vcpus, (long long)memory_bytes);
    }
}

void
check_rows(struct ctx *x)
{
    none(x, "an interval ends before it starts",
         "SELECT instance_id, run FROM usage_intervals "
         "WHERE end_us IS NOT NULL AND end_us < start_us");
    none(x, "intervals overlap",
         "SELECT a.instance_id, a.run FROM usage_intervals a JOIN "
         "usage_intervals b ON a.instance_id = b.instance_id AND a.run < b.run "
         "WHERE a.end_us IS NULL OR a.end_us > b.start_us");
    none(x, "a deleted instance is billed on",
         "SELECT i.id, u.run FROM instances i JOIN usage_intervals u ON "
         "u.instance_id = i.id WHERE i.deleted_at IS NOT NULL AND u.end_us IS "
         "NULL");
    none(x, "an instance without its operation",
         "SELECT id FROM instances WHERE operation_id NOT IN "
         "(SELECT id FROM operations)");
    none(x, "an operation without its instance",
         "SELECT id, kind FROM operations WHERE resource_type = 'instance' AND "
         "resource_id NOT IN (SELECT id FROM instances)");
    none(x, "two operations at once",
         "SELECT resource_id FROM operations WHERE state = 0 AND "
         "resource_type = 'instance' GROUP BY resource_id HAVING count(*) > 1");
    none(x, "an old operation runs on",
         "SELECT o.id FROM operations o JOIN instances i ON i.id = "
         "o.resource_id WHERE o.state = 0 AND i.operation_id <> o.id");
    none(
        x, "an ended operation has no time, or a running one has",
        "SELECT id FROM operations WHERE (state = 0) <> (finished_at IS NULL)");
    none(x, "two changes of one number",
         "SELECT node_id, seq FROM instances GROUP BY seq HAVING count(*) > 1");
}

void
check_step(struct ctx *x)
{
    check_claims(x);
    check_load(x);
    check_quotas(x);
    if (x->c->step % 8 == 0)
        check_rows(x);
    x->c->checks++;
}

/* ---- at the end ---- */

static const struct sim_vm *
find_vm(struct cloud *c, const char *node_id, const char *id)
{
    for (int k = 0; k < C_NODES; k++)
        for (size_t i = 0; i < c->nodes[k].n_vms; i++)
            if (streq(c->nodes[k].vms[i].id, id) &&
                (!node_id || streq(c->nodes[k].id, node_id)))
                return &c->nodes[k].vms[i];
    return NULL;
}

/* Invariants 1 and 2: an instance's row and its node say the same. */
static void
check_instance(struct ctx *x, struct rows *r)
{
    const char *id = text(r, 0);
    int state = (int)num(r, 2);
    const struct sim_vm *v = find_vm(x->c, text(r, 1), id);
    const struct minst *m = tenants_find(x->c, id);

    if (num(r, 4)) { /* deleted_at */
        if (v && (v->runs || v->disk))
            cloud_fail(x, "%s is deleted and still on its node", id);
        if (m && m->wish != WISH_DELETE && m->wish != WISH_UNKNOWN)
            cloud_fail(x, "%s is deleted and nobody asked", id);
        return;
    }
    if (!v)
        cloud_fail(x, "%s was never heard of by its node", id);
    bool runs = state == INSTANCE_RUNNING || state == INSTANCE_PAUSED;
    bool rests = state == INSTANCE_STOPPED || state == INSTANCE_ERROR;
    if (!runs && !rests)
        cloud_fail(x, "%s stays %s", id, api_instance_state_names[state]);
    if (runs != v->runs || (v->runs && v->vm_run != num(r, 3)))
        cloud_fail(x, "%s is %s at run %lld, its VM %s at run %lld", id,
                   api_instance_state_names[state], (long long)num(r, 3),
                   v->runs ? "runs" : "does not run", (long long)v->vm_run);
    if (runs && v->paused != (state == INSTANCE_PAUSED))
        cloud_fail(x, "%s is %s", id, api_instance_state_names[state]);
    if (m && m->wish == WISH_STOP && runs)
        cloud_fail(x, "%s runs after an acknowledged stop", id);
    if (m && m->wish == WISH_DELETE)
        cloud_fail(x, "%s is there after an acknowledged delete", id);
}

static void
check_instances(struct ctx *x)
{
    struct rows r _cleanup_(rows_end) =
        rows_of(x,
                "SELECT id, node_id, state, run, coalesce(deleted_at, 0) "
                "FROM instances",
                NULL, NULL);

    while (row_next(&r))
        check_instance(x, &r);
    for (size_t i = 0; i < x->c->n_insts; i++)
        if (check_int(x, "SELECT 1 FROM instances WHERE id = ?1",
                      x->c->insts[i].id, NULL) != 1)
            cloud_fail(x, "%s was acknowledged and is not there",
                       x->c->insts[i].id);
    for (int k = 0; k < C_NODES; k++)
        for (size_t i = 0; i < x->c->nodes[k].n_vms; i++)
            if (x->c->nodes[k].vms[i].runs &&
                check_int(x,
                          "SELECT 1 FROM instances WHERE id = ?1 AND "
                          "deleted_at IS NULL",
                          x->c->nodes[k].vms[i].id, NULL) != 1)
                cloud_fail(x, "a VM of nobody runs");
}

/* Invariant 4: to the microsecond. */
static void
check_bills(struct ctx *x)
{
    struct cloud *c = x->c;
    size_t billed = 0;

    for (size_t i = 0; i < c->n_runs; i++) {
        struct truth *t = &c->runs[i];
        char run[32];
        struct rows r _cleanup_(rows_end) = rows_of(
            x,
            "SELECT start_us, coalesce(end_us, 0), vcpus, memory_bytes, "
            "disk_bytes FROM usage_intervals WHERE instance_id = ?1 AND run = "
            "CAST(?2 AS INTEGER)",
            t->instance,
            (snprintf(run, sizeof(run), "%lld", (long long)t->run), run));

        if (!tenants_find(c, t->instance))
            continue;
        if (!t->inexact && t->start_us &&
            (t->start_us != t->began || t->end_us != t->ended))
            cloud_fail(x,
                       "the model contradicts itself: run %lld of %s, "
                       "%lld..%lld billed %lld..%lld",
                       (long long)t->run, t->instance, (long long)t->began,
                       (long long)t->ended, (long long)t->start_us,
                       (long long)t->end_us);
        if (row_next(&r) != (t->start_us > 0))
            cloud_fail(x, "run %lld of %s: %s interval", (long long)t->run,
                       t->instance, t->start_us ? "no" : "an undue");
        if (!t->start_us)
            continue;
        billed++;
        if (num(&r, 0) != t->start_us || num(&r, 1) != t->end_us)
            cloud_fail(x,
                       "run %lld of %s: billed %lld to %lld, due %lld to "
                       "%lld",
                       (long long)t->run, t->instance, (long long)num(&r, 0),
                       (long long)num(&r, 1), (long long)t->start_us,
                       (long long)t->end_us);
        /* A node that starts a run by itself while a resize is on its way to
         * it may do so with either size, and a silent one does not say. */
        if (t->silent && tenants_find(c, t->instance)->resized)
            continue;
        if (num(&r, 2) != t->vcpus || num(&r, 3) != t->memory_bytes ||
            num(&r, 4) != t->disk_bytes)
            cloud_fail(x,
                       "run %lld of %s: billed %lld vCPUs, %lld, %lld; due "
                       "are %lld, %lld, %lld",
                       (long long)t->run, t->instance, (long long)num(&r, 2),
                       (long long)num(&r, 3), (long long)num(&r, 4),
                       (long long)t->vcpus, (long long)t->memory_bytes,
                       (long long)t->disk_bytes);
    }
    if (!c->crashed &&
        billed != (size_t)check_int(x, "SELECT count(*) FROM usage_intervals",
                                    NULL, NULL))
        cloud_fail(x, "intervals of runs that never were");
}

void
check_final(struct ctx *x)
{
    check_claims(x);
    check_rows(x);
    check_instances(x);
    none(x, "an operation does not end",
         "SELECT id, kind FROM operations WHERE state = 0");
    check_bills(x);
}
