/* vfs.c - storage that the test can break; see vfs.h.
 *
 * Reads and writes go to the real files. While power is to fail, a shadow of
 * each file holds what is surely on the disk and the operations since: a sync
 * turns the one into the other. At the moment of the failure the real files
 * are replaced by an image made of the shadow and some of the operations. */
#include <config.h>

#include "tests/model/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/mem.h"

#define SECTOR 512
#define SHADOWS 8

enum op_kind { OP_WRITE, OP_TRUNCATE, OP_DELETE };

struct op {
    enum op_kind kind;
    int64_t offset; /* OP_TRUNCATE: the new size */
    size_t len;
    char *data;
    struct op *next;
};

/* One path. Only the first of a run of lives is traced; a later open of the
 * path finds it here. */
struct shadow {
    char path[300];
    bool exists;
    struct buf durable;
    struct op *first, **last;
};

struct file {
    sqlite3_file base; /* first */
    struct shadow *shadow;
    bool counted;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static pthread_mutex_t plan_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vfs_plan plan; /* plan_lock */
static _Atomic int64_t count, syncs;
static _Atomic bool struck;
static _Atomic int last_errno;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shadow shadows[SHADOWS]; /* lock */
static uint64_t rng;                   /* lock */

static sqlite3_file *
real(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

static uint64_t
pick(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % n;
}

/* ---- shadows ---- */

static void
shadow_read(struct shadow *s)
{
    buf_clear(&s->durable);
    s->exists = fs_read(s->path, 64 << 20, &s->durable, NULL) == 0;
}

static struct shadow *
shadow_of(const char *path)
{
    for (int i = 0; i < SHADOWS; i++) {
        struct shadow *s = &shadows[i];

        if (streq(s->path, path))
            return s;
        if (s->path[0])
            continue;
        snprintf(s->path, sizeof(s->path), "%s", path);
        s->last = &s->first;
        shadow_read(s);
        return s;
    }
    abort(); /* a bug in the test */
}

static void
shadow_add(struct shadow *s, enum op_kind kind, int64_t offset,
           const void *data, size_t len)
{
    struct op *o = xnew(struct op);

    *o = (struct op){.kind = kind, .offset = offset, .len = len};
    if (len) {
        o->data = xmalloc(len);
        memcpy(o->data, data, len);
    }
    *s->last = o;
    s->last = &o->next;
}

static void
resize(struct buf *b, size_t n)
{
    if (n > b->len) {
        size_t more = n - b->len;

        memset(buf_reserve(b, more), 0, more);
    }
    b->len = n;
}

static void
put(struct buf *b, int64_t offset, const char *data, size_t len)
{
    if (b->len < (size_t)offset + len)
        resize(b, (size_t)offset + len);
    memcpy(b->data + offset, data, len);
}

/* How much of what was not synced survives. */
enum luck { LUCK_NONE, LUCK_ALL, LUCK_PREFIX, LUCK_SECTORS, LUCKS };

static void
apply_write(struct shadow *s, const struct op *o, enum luck luck, bool torn)
{
    for (size_t at = 0; at < o->len;) {
        size_t n = MIN(SECTOR - (size_t)(o->offset + (int64_t)at) % SECTOR,
                       o->len - at);

        if (torn && luck == LUCK_PREFIX && pick(2))
            return;
        if (luck != LUCK_SECTORS || pick(2))
            put(&s->durable, o->offset + (int64_t)at, o->data + at, n);
        at += n;
    }
}

static void
apply(struct shadow *s, enum luck luck)
{
    size_t n = 0, keep;

    for (struct op *o = s->first; o; o = o->next)
        n++;
    keep = luck == LUCK_PREFIX ? pick(n + 1) : luck == LUCK_NONE ? 0 : n;
    for (struct op *o = s->first, *next; o; o = next) {
        bool take = keep > 0;

        next = o->next;
        if (luck == LUCK_SECTORS && o->kind != OP_WRITE)
            take = pick(2);
        if (o->kind == OP_DELETE && !take)
            keep = 0; /* the old file stays; the new one had another inode */
        if (take && o->kind == OP_WRITE) {
            apply_write(s, o, luck, keep == 1);
            s->exists = true;
        } else if (take && o->kind == OP_TRUNCATE) {
            resize(&s->durable, (size_t)o->offset);
        } else if (take) {
            resize(&s->durable, 0);
            s->exists = false;
        }
        keep -= keep > 0;
        free(o->data);
        free(o);
    }
    s->first = NULL;
    s->last = &s->first;
}

/* ---- faults ---- */

static pthread_mutex_t calm_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool calm;

void
vfs_calm(void)
{
    pthread_mutex_lock(&calm_lock);
    calm = true;
}

void
vfs_go(void)
{
    calm = false;
    pthread_mutex_unlock(&calm_lock);
}

/* An end of the process waits until nobody writes. */
static _Noreturn void
end_process(void)
{
    if (!calm)
        pthread_mutex_lock(&calm_lock);
    _exit(VFS_EXIT);
}

/* lock is held, and stays so. */
static _Noreturn void
power_fails(void)
{
    enum luck luck = (enum luck)pick(LUCKS);
    char shm[sizeof(shadows[0].path) + 8];

    for (int i = 0; i < SHADOWS && shadows[i].path[0]; i++) {
        struct shadow *s = &shadows[i];

        apply(s, luck);
        unlink(s->path);
        snprintf(shm, sizeof(shm), "%.299s-shm", s->path);
        unlink(shm);
        if (!s->exists)
            continue;
        int fd = open(s->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || fs_write_all(fd, s->durable.data, s->durable.len) < 0)
            _exit(98);
        close(fd);
    }
    _exit(VFS_EXIT);
}

static struct vfs_plan
planned(void)
{
    pthread_mutex_lock(&plan_lock);
    struct vfs_plan p = plan;
    pthread_mutex_unlock(&plan_lock);
    return p;
}

/* Counts an operation; true: it is to fail. */
static bool
strikes(const struct file *f)
{
    struct vfs_plan p = planned();

    if (!f->counted || p.fault == VFS_NONE || p.fault == VFS_KILL) {
        atomic_fetch_add(&count, f->counted);
        return false;
    }
    int64_t k = atomic_fetch_add(&count, 1) + 1;
    if (k < p.at || k > p.at + p.more)
        return false;
    atomic_store(&struck, true);
    if (p.fault == VFS_POWER) {
        if (!calm)
            pthread_mutex_lock(&calm_lock);
        pthread_mutex_lock(&lock);
        power_fails();
    }
    atomic_store(&last_errno, p.fault == VFS_FULL ? ENOSPC : EIO);
    return true;
}

static bool
traced(const struct file *f)
{
    return f->shadow && planned().fault == VFS_POWER;
}

/* ---- a file ---- */

static int
f_close(sqlite3_file *f)
{
    return real(f)->pMethods->xClose(real(f));
}

static int
f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 offset)
{
    return real(f)->pMethods->xRead(real(f), p, n, offset);
}

static int
f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 offset)
{
    struct file *x = (struct file *)f;

    if (traced(x)) {
        pthread_mutex_lock(&lock);
        shadow_add(x->shadow, OP_WRITE, offset, p, (size_t)n);
        pthread_mutex_unlock(&lock);
    }
    if (strikes(x)) {
        /* Half of it may be there. */
        real(f)->pMethods->xWrite(real(f), p, n / 2, offset);
        return planned().fault == VFS_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    return real(f)->pMethods->xWrite(real(f), p, n, offset);
}

static int
f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct file *x = (struct file *)f;

    if (traced(x)) {
        pthread_mutex_lock(&lock);
        shadow_add(x->shadow, OP_TRUNCATE, size, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    if (strikes(x))
        return SQLITE_IOERR_TRUNCATE;
    return real(f)->pMethods->xTruncate(real(f), size);
}

static int
f_sync(sqlite3_file *f, int flags)
{
    struct file *x = (struct file *)f;

    if (strikes(x))
        return SQLITE_IOERR_FSYNC;
    if (traced(x)) {
        pthread_mutex_lock(&lock);
        apply(x->shadow, LUCK_ALL);
        x->shadow->exists = true;
        pthread_mutex_unlock(&lock);
    }
    if (atomic_fetch_add(&syncs, 1) + 1 == planned().at &&
        planned().fault == VFS_KILL)
        end_process();
    return SQLITE_OK;
}

static int
f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real(f)->pMethods->xFileSize(real(f), ret);
}

static int
f_lock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xLock(real(f), level);
}

static int
f_unlock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xUnlock(real(f), level);
}

static int
f_reserved(sqlite3_file *f, int *ret)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int
f_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int
f_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int
f_device(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int
f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    if (extend && planned().fault != VFS_POWER && strikes((struct file *)f))
        return SQLITE_IOERR_SHMSIZE;
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, ret);
}

static int
f_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
}

static void
f_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int
f_shm_unmap(sqlite3_file *f, int drop)
{
    return real(f)->pMethods->xShmUnmap(real(f), drop);
}

/* Version 2: no memory mapping, which no write would be seen of. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_device,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

/* ---- the file system ---- */

static int
v_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags,
       int *out_flags)
{
    struct file *x = (struct file *)f;
    bool kept = flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL |
                         SQLITE_OPEN_MAIN_JOURNAL);

    *x = (struct file){.real = (sqlite3_file *)(x + 1), .counted = kept};
    if (kept && path && planned().fault == VFS_POWER) {
        pthread_mutex_lock(&lock);
        x->shadow = shadow_of(path);
        pthread_mutex_unlock(&lock);
    }
    int rc = real_vfs->xOpen(real_vfs, path, x->real, flags, out_flags);
    if (rc == SQLITE_OK || x->real->pMethods)
        x->base.pMethods = &methods;
    return rc;
}

static int
v_delete(sqlite3_vfs *v, const char *path, int sync_dir)
{
    static const struct file any = {.counted = true};

    if (planned().fault == VFS_POWER) {
        pthread_mutex_lock(&lock);
        shadow_add(shadow_of(path), OP_DELETE, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    if (strikes(&any))
        return SQLITE_IOERR_DELETE;
    return real_vfs->xDelete(real_vfs, path, 0);
}

static int
v_last_error(sqlite3_vfs *v, int n, char *text)
{
    int e = atomic_exchange(&last_errno, 0);

    return e ? e : real_vfs->xGetLastError(real_vfs, n, text);
}

void
vfs_register(void)
{
    static sqlite3_vfs v;

    real_vfs = sqlite3_vfs_find(NULL);
    v = *real_vfs;
    v.zName = "model";
    v.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    v.pNext = NULL;
    v.xOpen = v_open;
    v.xDelete = v_delete;
    v.xGetLastError = v_last_error;
    if (sqlite3_vfs_register(&v, 1) != SQLITE_OK)
        abort();
}

void
vfs_set(const struct vfs_plan *p)
{
    pthread_mutex_lock(&plan_lock);
    plan = *p;
    pthread_mutex_unlock(&plan_lock);
    pthread_mutex_lock(&lock);
    rng = p->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    atomic_store(&count, 0);
    atomic_store(&syncs, 0);
    atomic_store(&struck, false);
    pthread_mutex_unlock(&lock);
}

int64_t
vfs_count(void)
{
    return atomic_load(&count);
}

int64_t
vfs_syncs(void)
{
    return atomic_load(&syncs);
}

bool
vfs_struck(void)
{
    return atomic_load(&struck);
}
