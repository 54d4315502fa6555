/* test-common-db-checkpoint.c - checkpoints beside the writer: nothing that was
 * acknowledged is lost by a kill at any moment, the WAL stays bounded under
 * load, and a reader or a full disk that stands in the way does no harm. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/db_checkpoint.h"
#include "common/fs.h"
#include "common/mem.h"

#define KILLS 25
#define PAGE 4096
/* As in use, but so small that a few hundred rows go through all of it. */
static const struct db_checkpoint_limits small = {
    .start_pages = 20, .hold_pages = 60, .rest_pages = 40, .quiet_us = 50000};

enum { INSERT, HAS, TOTAL };
static const char *const sql[] = {
    [INSERT] = "INSERT INTO a (id, fill) VALUES (?, ?)",
    [HAS] = "SELECT 1 FROM a WHERE id = ?",
    [TOTAL] = "SELECT count(*) FROM a",
};
static const struct db_migration schema[] = {
    {1, "CREATE TABLE a (id INTEGER PRIMARY KEY, fill TEXT) STRICT"},
};

struct fixture {
    char dir[40], path[64], wal[72];
    char fill[3001];
};

static struct db *
open_db(const struct fixture *f, unsigned flags)
{
    struct err e _cleanup_(err_release) = {0};
    struct db *db = NULL;
    int r = db_open(f->path, flags, &db, &e);

    if (r == 0 && !(flags & DB_READ_ONLY))
        r = db_migrate(db, schema, 1, &e);
    if (r == 0)
        r = db_prepare(db, sql, ARRAY_SIZE(sql), &e);
    if (r < 0)
        fail_msg("%s", e.message);
    return db;
}

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-checkpoint-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/t.db", f->dir);
    snprintf(f->wal, sizeof(f->wal), "%s-wal", f->path);
    memset(f->fill, 'x', sizeof(f->fill) - 1);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    int r = fs_remove_tree(f->dir, NULL);

    free(f);
    return r;
}

static int
insert(struct db *db, struct db_checkpoint *c, int64_t id, const char *fill)
{
    db_checkpoint_enter(c);
    int r = db_word(db, DB_BEGIN);
    if (r == 0)
        r = db_run(db, INSERT, "is", id, fill);
    if (r >= 0)
        r = db_word(db, DB_COMMIT);
    db_checkpoint_leave(c, MIN(r, 0));
    if (r < 0 && db_in_transaction(db))
        assert_int_equal(db_exec(db, "ROLLBACK", NULL), 0);
    return r;
}

static int64_t
wal_bytes(const struct fixture *f)
{
    struct stat st;

    return stat(f->wal, &st) == 0 ? st.st_size : 0;
}

static void
count_one(const char *name, uint64_t value, void *arg)
{
    struct {
        const char *name;
        uint64_t value;
    } *want = arg;

    if (streq(want->name, name))
        want->value = value;
}

static uint64_t
counted(const char *name)
{
    struct {
        const char *name;
        uint64_t value;
    } want = {name, 0};

    count_each(count_one, &want);
    return want.value;
}

/* ---- killed at any moment ---- */

/* Writes rows from `from` on; *acked is what it was told is durable. */
static void
child_main(const struct fixture *f, int64_t from, volatile int64_t *acked)
{
    struct db *db = open_db(f, DB_DURABLE);
    struct db_checkpoint *c = NULL;

    if (db_checkpoint_start(db, &small, &c) < 0)
        _exit(3);
    for (int64_t id = from;; id++) {
        if (insert(db, c, id, f->fill) < 0)
            _exit(4);
        *acked = id;
    }
}

static void
killed__nothing_acknowledged_is_lost(void **state)
{
    struct fixture *f = *state;
    volatile int64_t *acked = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned rnd = 12345;
    int64_t most = 0;

    assert_ptr_not_equal(acked, MAP_FAILED);
    for (int k = 0; k < KILLS; k++) {
        int64_t from = *acked + 1, want = from + 20 + rand_r(&rnd) % 100;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            child_main(f, from, acked);
        /* A moment that depends on the work, not on the machine. */
        while (*acked < want && waitpid(pid, NULL, WNOHANG) == 0)
            usleep((useconds_t)(rand_r(&rnd) % 300));
        assert_true(*acked >= want);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        struct err e _cleanup_(err_release) = {0};
        struct db *db _cleanup_(db_closep) = open_db(f, DB_DURABLE);
        assert_int_equal(db_check(db, &e), 0);
        assert_int_equal(db_get(db, TOTAL, ""), 0);
        int64_t total = db_int(db, TOTAL, 0);
        db_reset(db, TOTAL);
        /* What was written last may have been durable but not yet said. */
        assert_true(total == *acked || total == *acked + 1);
        *acked = total;
        most = total;
    }
    assert_true(most > KILLS * 20);
    munmap((void *)acked, PAGE);
}

/* ---- bounds ---- */

static void
load__wal_stays_bounded(void **state)
{
    struct fixture *f = *state;
    struct db *db _cleanup_(db_closep) = open_db(f, DB_DURABLE);
    struct db_checkpoint *c = NULL;
    int64_t most = 0;

    assert_int_equal(db_checkpoint_start(db, &small, &c), 0);
    uint64_t held = counted("db_checkpoint_hold");
    /* 2,000 rows are 4,000 pages of WAL and more. */
    for (int64_t id = 1; id <= 2000; id++) {
        assert_true(insert(db, c, id, f->fill) >= 0);
        most = MAX(most, wal_bytes(f));
    }
    assert_true(counted("db_checkpoint_hold") > held);
    /* A slow thread may let it grow a while; without any it were 16 MiB. */
    assert_true(most < 2000 * 2 * PAGE / 2);
    db_checkpoint_stop(c);
}

static void
quiet__everything_is_copied(void **state)
{
    struct fixture *f = *state;
    struct db *db _cleanup_(db_closep) = open_db(f, DB_DURABLE);
    struct db_checkpoint *c = NULL;
    int64_t log = 0, done = 0, end = clock_mono_us() + 60 * US_PER_S;

    assert_int_equal(db_checkpoint_start(db, &small, &c), 0);
    uint64_t before = counted("db_checkpoint");
    assert_true(insert(db, c, 1, "a") >= 0); /* far below start_pages */
    while (counted("db_checkpoint") == before && clock_mono_us() < end)
        usleep(1000);
    db_checkpoint_stop(c);
    assert_int_equal(db_wal_checkpoint(db, &log, &done), 0);
    assert_true(counted("db_checkpoint") > before);
    assert_int_equal(log, done);
}

/* A reader in the middle of things keeps the WAL from beginning anew; commits
 * go on, and once it is gone the WAL is small again. */
static void
long_reader__holds_up_no_commit(void **state)
{
    struct fixture *f = *state;
    struct db *db _cleanup_(db_closep) = open_db(f, DB_DURABLE);
    struct db *reader _cleanup_(db_closep) = open_db(f, DB_READ_ONLY);
    struct db_checkpoint *c = NULL;
    int64_t id = 1, end = clock_mono_us() + 60 * US_PER_S;

    assert_int_equal(db_checkpoint_start(db, &small, &c), 0);
    assert_true(insert(db, c, id++, f->fill) >= 0);
    assert_int_equal(db_get(reader, HAS, "i", INT64_C(1)), 0); /* stays open */
    for (; id <= 400; id++)
        assert_true(insert(db, c, id, f->fill) >= 0);
    int64_t grown = wal_bytes(f);
    assert_true(grown > 400 * PAGE / 2);
    db_reset(reader, HAS);
    uint64_t held = counted("db_checkpoint_hold");
    while (counted("db_checkpoint_hold") == held && clock_mono_us() < end)
        assert_true(insert(db, c, id++, f->fill) >= 0);
    assert_true(counted("db_checkpoint_hold") > held);
    /* The next one starts it anew, which gives back what is above the bound. */
    for (int k = 0; k < 5; k++)
        assert_true(insert(db, c, id++, f->fill) >= 0);
    db_checkpoint_stop(c);
    assert_int_equal(db_get(db, TOTAL, ""), 0);
    assert_int_equal(db_int(db, TOTAL, 0), id - 1);
    db_reset(db, TOTAL);
}

/* ---- a full disk ---- */

/* RLIMIT_FSIZE lets no file grow beyond it (EFBIG instead of ENOSPC; the way
 * through the code is that of any failed write). */
static void
full_disk__commits_fail_and_go_on_when_there_is_room(void **state)
{
    struct fixture *f = *state;
    struct db *db _cleanup_(db_closep) = open_db(f, DB_DURABLE);
    struct db_checkpoint *c = NULL;
    struct rlimit was, tight = {0};
    int64_t id = 1;
    int r = 0;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(db_checkpoint_start(db, &small, &c), 0);
    tight = was;
    tight.rlim_cur = 600000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    for (int tries = 0; tries < 3000; tries++) {
        r = insert(db, c, id, f->fill);
        if (r < 0)
            break;
        id++;
    }
    assert_true(r < 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    for (int k = 0; k < 200; k++)
        assert_true(insert(db, c, id++, f->fill) >= 0);
    db_checkpoint_stop(c);
    assert_int_equal(db_check(db, NULL), 0);
    assert_int_equal(db_get(db, TOTAL, ""), 0);
    assert_int_equal(db_int(db, TOTAL, 0), id - 1);
    db_reset(db, TOTAL);
}

int
main(void)
{
#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(killed__nothing_acknowledged_is_lost),
        T(load__wal_stays_bounded),
        T(quiet__everything_is_copied),
        T(long_reader__holds_up_no_commit),
        T(full_disk__commits_fail_and_go_on_when_there_is_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
