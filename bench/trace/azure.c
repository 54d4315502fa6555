/* azure.c - reads Azure's packing trace of 2020, a SQLite file.
 * Format: AzureTracesForPacking2020.md in github.com/Azure/AzurePublicDataset:
 *   vm(vmId, tenantId, vmTypeId, priority, starttime, endtime): times in days,
 *     below 0 before the trace began, endtime NULL: still there after 90 days;
 *     priority 0 high, 1 low.
 *   vmType(id, vmTypeId, machineId, core, memory, hdd, ssd, nic): parts of
 *     that machine.
 * One machine type at a time: a VM that cannot run on it is left out. Of the
 * resources those which Protean packs by: core, memory, ssd.
 * The file is hostile: only tables are read (a view might run for ever), every
 * value is checked for its type and range by the statement that reads it. */
#include <config.h>

#include "bench/trace/trace.h"

#include <inttypes.h>
#include <string.h>

#include "common/db.h"
#include "common/mem.h"

/* Parts of a machine are counted in these. Rounded down, by less than one: six
 * sixths must still fit. */
#define UNITS "1000000"
#define UNITS_N INT64_C(1000000)
#define TENANT_MAX UINT32_MAX
#define MEASURED_DAYS 14

/* -1: not a number from 0 on; -2: more than a machine has. */
#define PART(column)                                                           \
    "CASE WHEN " column " IS NULL THEN 0 "                                     \
    "WHEN typeof(" column ") NOT IN ('integer', 'real') THEN -1 "              \
    "WHEN " column " < 0 THEN -1 WHEN " column " > 1 THEN -2 "                 \
    "ELSE CAST(" column " * " UNITS ".0 + 0.001 AS INTEGER) END"
/* ms; -10^15: not a time within a hundred years. */
#define TIME_BAD INT64_C(-1000000000000000)
#define TIME(column)                                                           \
    "CASE WHEN typeof(" column ") IN ('integer', 'real') "                     \
    "AND " column " BETWEEN -36500 AND 36500 "                                 \
    "THEN CAST(round(" column " * 86400000.0) AS INTEGER) "                    \
    "ELSE -1000000000000000 END"

enum { TABLES, MACHINE, TYPES, VMS, STATEMENTS };
static const char *const sql[STATEMENTS] = {
    [TABLES] = "SELECT count(*) FROM sqlite_master WHERE type = 'table' "
               "AND rootpage > 0 AND name IN ('vm', 'vmType')",
    [MACHINE] = "SELECT machineId FROM vmType JOIN (SELECT vmTypeId AS v, "
                "count(*) AS n FROM vm GROUP BY vmTypeId) ON v = vmTypeId "
                "WHERE typeof(machineId) = 'integer' "
                "GROUP BY machineId ORDER BY sum(n) DESC, machineId LIMIT 1",
    [TYPES] = "SELECT typeof(vmTypeId) = 'integer', vmTypeId, " PART(
        "core") ", " PART("memory") ", " PART("ssd") " FROM vmType "
                                                     "WHERE machineId = ?1 "
                                                     "ORDER BY vmTypeId",
    [VMS] = "SELECT rowid, vmTypeId, "
            "CASE WHEN typeof(tenantId) = 'integer' THEN tenantId ELSE -1 END, "
            "CASE WHEN priority IN (0, 1) THEN priority ELSE -1 END, " TIME(
                "starttime") ", endtime IS NULL, " TIME("endtime") " FROM vm",
};

struct reader {
    struct db *db;
    struct trace t;
    int64_t *type_ids; /* of the flavors, in order */
    size_t cap;
};

static int
bad(struct err *reterr, const char *what, int64_t row, const char *why)
{
    return err_set(reterr, -EINVAL, "bad_trace", "%s %" PRId64 ": %s", what,
                   row, why);
}

static int
one(struct reader *rd, unsigned stmt, int64_t *ret, struct err *reterr)
{
    int r = db_get(rd->db, stmt, "");

    if (r == -ENOENT)
        return err_set(reterr, -EINVAL, "bad_trace",
                       "no request names a type of a machine");
    if (r < 0)
        return db_err(rd->db, r, reterr);
    *ret = db_int(rd->db, stmt, 0);
    db_reset(rd->db, stmt);
    return 0;
}

static int
read_type(struct reader *rd, struct err *reterr)
{
    struct trace_need need;
    struct trace *t = &rd->t;
    int64_t id = db_int(rd->db, TYPES, 1), sum = 0;

    if (!db_int(rd->db, TYPES, 0))
        return bad(reterr, "type", (int64_t)t->n_flavors,
                   "its id is no integer");
    for (int d = 0; d < TRACE_DIMS; d++) {
        need.v[d] = db_int(rd->db, TYPES, 2 + d);
        if (need.v[d] == -1)
            return bad(reterr, "type", id,
                       "a resource is no part of a machine");
        if (need.v[d] == -2)
            return 0; /* the machine cannot run it */
        sum += need.v[d];
    }
    if (sum == 0)
        return bad(reterr, "type", id, "needs nothing");
    if (t->n_flavors > 0 && rd->type_ids[t->n_flavors - 1] == id)
        return bad(reterr, "type", id, "twice on one machine");
    if (t->n_flavors == TRACE_FLAVORS_MAX)
        return err_set(reterr, -E2BIG, "bad_trace", "more than %d types",
                       TRACE_FLAVORS_MAX);
    t->flavors[t->n_flavors] = need;
    rd->type_ids[t->n_flavors++] = id;
    return 0;
}

static int
read_types(struct reader *rd, int64_t machine, struct err *reterr)
{
    int r = db_query(rd->db, TYPES, "i", machine);

    rd->t.flavors = xcalloc(TRACE_FLAVORS_MAX, sizeof(*rd->t.flavors));
    rd->type_ids = xcalloc(TRACE_FLAVORS_MAX, sizeof(*rd->type_ids));
    if (r < 0)
        return db_err(rd->db, r, reterr);
    while ((r = db_next(rd->db, TYPES)) > 0) {
        r = read_type(rd, reterr);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return db_err(rd->db, r, reterr);
    if (rd->t.n_flavors == 0)
        return err_set(reterr, -EINVAL, "bad_trace",
                       "machine %" PRId64 " has no types", machine);
    return 0;
}

static int
id_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static int
read_vm(struct reader *rd, struct err *reterr)
{
    struct trace *t = &rd->t;
    int64_t row = db_int(rd->db, VMS, 0), type = db_int(rd->db, VMS, 1);
    int64_t tenant = db_int(rd->db, VMS, 2), priority = db_int(rd->db, VMS, 3);
    int64_t start = db_int(rd->db, VMS, 4), end = db_int(rd->db, VMS, 6);
    bool never = db_int(rd->db, VMS, 5);
    const int64_t *found = bsearch(&type, rd->type_ids, t->n_flavors,
                                   sizeof(*rd->type_ids), id_cmp);

    if (tenant < 0 || tenant > TENANT_MAX)
        return bad(reterr, "request", row, "its tenant is no id");
    if (priority < 0)
        return bad(reterr, "request", row, "its priority is not 0 or 1");
    if (start == TIME_BAD || (!never && end == TIME_BAD))
        return bad(reterr, "request", row, "a time is out of range");
    if (!never && end < start)
        return bad(reterr, "request", row, "it ends before it starts");
    if (!found)
        return 0; /* of another machine */
    if (t->n_vms == TRACE_VMS_MAX)
        return err_set(reterr, -E2BIG, "bad_trace", "more than %d requests",
                       TRACE_VMS_MAX);
    if (t->n_vms == rd->cap) {
        size_t cap = rd->cap ? 2 * rd->cap : 4096;
        struct trace_vm *vms = reallocarray(t->vms, cap, sizeof(*vms));

        if (!vms)
            return err_errno(reterr, -ENOMEM, "cannot hold the trace");
        t->vms = vms;
        rd->cap = cap;
    }
    t->vms[t->n_vms++] = (struct trace_vm){
        .start = start,
        .end = never ? TRACE_NEVER : MAX(end, start + 1),
        .flavor = (uint32_t)(found - rd->type_ids),
        .tenant = (uint32_t)tenant,
        .low = priority == 1,
    };
    return 0;
}

static int
read_vms(struct reader *rd, struct err *reterr)
{
    int r = db_query(rd->db, VMS, "");

    if (r < 0)
        return db_err(rd->db, r, reterr);
    while ((r = db_next(rd->db, VMS)) > 0) {
        r = read_vm(rd, reterr);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return db_err(rd->db, r, reterr);
    if (rd->t.n_vms == 0)
        return err_set(reterr, -EINVAL, "bad_trace", "no requests");
    return 0;
}

static int
read_all(struct reader *rd, int64_t machine, struct err *reterr)
{
    int64_t tables = 0;
    /* Read-only: each is prepared when it is used, the others after TABLES. */
    int r = db_prepare(rd->db, sql, STATEMENTS, reterr);

    if (r == 0)
        r = one(rd, TABLES, &tables, reterr);
    if (r == 0 && tables != 2)
        r = err_set(reterr, -EINVAL, "bad_trace",
                    "the tables vm and vmType are not there");
    if (r == 0 && machine < 0)
        r = one(rd, MACHINE, &machine, reterr);
    if (r == 0)
        r = read_types(rd, machine, reterr);
    return r < 0 ? r : read_vms(rd, reterr);
}

int
trace_read_azure(const char *path, int64_t machine, struct trace *ret,
                 struct err *reterr)
{
    struct reader rd = {
        .t = {.node = {{UNITS_N, UNITS_N, UNITS_N}},
              .until = MEASURED_DAYS * TRACE_DAY_MS},
    };
    int r = db_open(path, DB_READ_ONLY, &rd.db, reterr);

    if (r == 0)
        r = read_all(&rd, machine, reterr);
    db_close(rd.db);
    free(rd.type_ids);
    if (r == 0) {
        trace_ready(&rd.t);
        *ret = rd.t;
    } else {
        trace_release(&rd.t);
    }
    if (r < 0)
        err_prefix(reterr, "%s", path);
    return r;
}
