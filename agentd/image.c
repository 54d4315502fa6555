/* clang-format off */
/* image.c - the image cache; see image.h.
 *
 *                      image_get            fetcher             all good
 *   (no entry, no file) ───────► QUEUED ───────────► FETCHING ──────────► file
 *                                  ▲                    │ │               there,
 *                                  └── passing trouble ─┘ │               entry
 *                                      (waits, doubles)   └► FAILED       gone
 * A FAILED entry answers those who waited, for FAILED_US; the next to ask
 * after that starts over. A file is taken for good only if this process has
 * read all of it and it is as it was then; FETCHING looks at one that is there
 * before it asks the controller. */
/* clang-format on */
#include <config.h>

#include "agentd/image.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/hash.h"
#include "common/id.h"
#include "common/log.h"
#include "common/mem.h"

#define FAILED_US (5 * US_PER_S)
#define FETCH_MS INT64_C(21600000) /* six hours */
#define STALL_MS 30000
#define QUICK_TRIES 6
/* Left free beside an image: the agent's database, console logs. */
#define SPARE_BYTES (INT64_C(64) << 20)
#define KEY_SIZE (ID_SIZE + 8)

enum part_state { PART_QUEUED, PART_FETCHING, PART_FAILED };

struct waiter {
    char id[ID_SIZE];
    struct waiter *next;
};

struct part {
    char key[KEY_SIZE]; /* "<image>/<part>" */
    UT_hash_handle hh;
    struct api_image_part spec; /* its sha256 is owned */
    enum part_state state;
    int64_t at_us; /* QUEUED: not before; FAILED: since when (monotonic) */
    unsigned bad;  /* contents or answers that were wrong, in a row */
    struct backoff backoff;
    struct err err;
    struct waiter *waiters;
    _Atomic int64_t done_bytes; /* FETCHING: of its size */
};

/* A file whose digest this process has checked, as it was then and after we
 * touched it: a change from outside shows. */
struct good {
    char key[KEY_SIZE];
    UT_hash_handle hh;
    ino_t ino;
    struct timespec mtime;
};

struct image_cache {
    struct image_config cfg;
    char *dir;
    pthread_t *threads;
    unsigned n_threads;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct part *parts; /* lock: those that are not simply there */
    struct good *good;  /* lock */
    bool stop;          /* lock */
};

/* ---- what a good part looks like ---- */

/* A qcow2 file can name other files of the host as its backing or data file:
 * an image that does is an attack or a mistake. */
static int
check_qcow2(int fd, struct err *reterr)
{
    struct {
        uint32_t magic, version;
        uint64_t backing_offset;
        uint32_t backing_size, cluster_bits;
        uint64_t size;
        uint32_t crypt, l1_size;
        uint64_t l1_offset, refcount_offset;
        uint32_t refcount_clusters, n_snapshots;
        uint64_t snapshots_offset;
        uint64_t incompatible; /* version 3 on */
    } h;
    const uint64_t external_data = 1u << 2;

    _Static_assert(sizeof(h) == 80, "the header's layout on disk");
    if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
        be32toh(h.magic) != 0x514649fb)
        return err_set(reterr, -EBADMSG, "image_unreadable",
                       "the image's disk is not in the format qcow2");
    if (h.backing_offset != 0 ||
        (be32toh(h.version) >= 3 && (be64toh(h.incompatible) & external_data)))
        return err_set(reterr, -EBADMSG, "image_unsafe",
                       "the image's disk refers to another file, which is not "
                       "allowed");
    return 0;
}

int
image_verify(int fd, const struct api_image_part *part, struct err *reterr)
{
    unsigned char digest[HASH_LEN];
    char hex[HASH_HEX_SIZE];
    char *chunk _cleanup_(freep) = xmalloc(1 << 20);
    struct hash *h;
    struct stat st;
    int64_t at = 0;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return err_errno(reterr, -errno, "image part");
    if (st.st_size != part->size_bytes)
        return err_set(reterr, -EBADMSG, "image_unreadable",
                       "the image's %s has %lld bytes instead of %" PRId64,
                       api_part_names[part->name], (long long)st.st_size,
                       part->size_bytes);
    h = hash_begin();
    while ((n = pread(fd, chunk, 1 << 20, at)) > 0) {
        hash_add(h, chunk, (size_t)n);
        at += n;
    }
    hash_end(h, digest);
    if (n < 0)
        return err_errno(reterr, -errno, "image part");
    id_hex(digest, HASH_LEN, hex);
    if (strcasecmp(hex, part->sha256) != 0)
        return err_set(reterr, -EBADMSG, "image_digest_mismatch",
                       "the image's %s is damaged: its SHA-256 is %s",
                       api_part_names[part->name], hex);
    if (part->name == PART_DISK && part->format == FORMAT_QCOW2)
        return check_qcow2(fd, reterr);
    return 0;
}

/* ---- the files ---- */

static char *
part_path(struct image_cache *ic, const char *key)
{
    return xasprintf("%s/%s", ic->dir, key);
}

static bool
is_file(int fd, const struct api_image_part *part, struct stat *st)
{
    return fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode) &&
           st->st_size == part->size_bytes;
}

/* With the lock. */
static void
note_good(struct image_cache *ic, const char *key, const struct stat *st)
{
    struct good *g;

    HASH_FIND_STR(ic->good, key, g);
    if (!g) {
        g = xnew(struct good);
        snprintf(g->key, sizeof(g->key), "%s", key);
        HASH_ADD_STR(ic->good, key, g);
    }
    g->ino = st->st_ino;
    g->mtime = st->st_mtim;
}

/* With the lock: the file is the one whose digest was checked. */
static bool
is_there(struct image_cache *ic, const char *key, const char *path,
         const struct api_image_part *part)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct good *g;
    struct stat st;
    char byte;

    HASH_FIND_STR(ic->good, key, g);
    if (!g || !is_file(fd, part, &st) || pread(fd, &byte, 1, 0) != 1 ||
        st.st_ino != g->ino || st.st_mtim.tv_sec != g->mtime.tv_sec ||
        st.st_mtim.tv_nsec != g->mtime.tv_nsec)
        return false;
    /* Its time says when it was last wanted. A read-only file system would
     * only make it look old. */
    if (futimens(fd, NULL) < 0)
        COUNT(image_touch_failed);
    else if (fstat(fd, &st) == 0)
        note_good(ic, key, &st);
    return true;
}

/* The file of an earlier process, or one that was changed: 0 when it is good
 * after all. */
static int
check_again(struct image_cache *ic, const char *key, const char *path,
            const struct api_image_part *part)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct err why _cleanup_(err_release) = {0};
    struct stat before, after;

    if (!is_file(fd, part, &before))
        return -ENOENT;
    int r = image_verify(fd, part, &why);
    if (r < 0) {
        COUNT(image_cache_damaged);
        log_warn("a cached image is damaged, fetching it again",
                 "part=%s error=\"%s\"", key, why.message);
        return r;
    }
    if (fstat(fd, &after) < 0 ||
        after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
        return -ESTALE; /* changed while it was read */
    pthread_mutex_lock(&ic->lock);
    note_good(ic, key, &after);
    pthread_mutex_unlock(&ic->lock);
    return 0;
}

static int64_t
newest_us(const char *dir, int64_t *ret_bytes)
{
    DIR *d _cleanup_(closedirp) = opendir(dir);
    struct dirent *de;
    int64_t newest = 0;
    struct stat st;

    *ret_bytes = 0;
    while (d && (de = readdir(d))) {
        if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode))
            continue;
        newest = MAX(newest, st.st_mtim.tv_sec * US_PER_S);
        *ret_bytes += st.st_blocks * 512;
    }
    return newest;
}

static bool
is_fetching(struct image_cache *ic, const char *image_id)
{
    struct part *p, *tmp;
    bool found = false;

    pthread_mutex_lock(&ic->lock);
    HASH_ITER(hh, ic->parts, p, tmp)
    {
        found = found || strncmp(p->key, image_id, ID_LEN) == 0;
    }
    pthread_mutex_unlock(&ic->lock);
    return found;
}

static void
drop_good(struct image_cache *ic, const char *image_id)
{
    struct good *g, *tmp;

    pthread_mutex_lock(&ic->lock);
    HASH_ITER(hh, ic->good, g, tmp)
    {
        if (image_id && strncmp(g->key, image_id, ID_LEN) != 0)
            continue;
        HASH_DEL(ic->good, g);
        free(g);
    }
    pthread_mutex_unlock(&ic->lock);
}

/* Removes the image that was unused the longest, if it was so since before
 * the given time. */
static bool
remove_oldest(struct image_cache *ic, int64_t before_us)
{
    DIR *d _cleanup_(closedirp) = opendir(ic->dir);
    char oldest[ID_SIZE] = "";
    int64_t oldest_us = before_us, bytes;
    struct dirent *de;

    while (d && (de = readdir(d))) {
        if (!id_valid(de->d_name) || is_fetching(ic, de->d_name) ||
            ic->cfg.used(de->d_name, ic->cfg.arg))
            continue;
        char *dir _cleanup_(freep) = part_path(ic, de->d_name);
        int64_t us = newest_us(dir, &bytes);
        if (us < oldest_us) {
            oldest_us = us;
            memcpy(oldest, de->d_name, ID_SIZE);
        }
    }
    if (!*oldest)
        return false;
    char *dir _cleanup_(freep) = part_path(ic, oldest);
    struct err e _cleanup_(err_release) = {0};
    if (fs_remove_tree(dir, &e) < 0) {
        log_warn("cannot remove a cached image", "image=%s error=\"%s\"",
                 oldest, e.message);
        return false;
    }
    drop_good(ic, oldest);
    log_info("removed a cached image that nothing uses", "image=%s", oldest);
    return true;
}

void
image_trim(struct image_cache *ic, int64_t max_age_us)
{
    while (remove_oldest(ic, clock_now_us() - max_age_us))
        continue;
}

static int
make_room(struct image_cache *ic, int64_t bytes, struct err *reterr)
{
    long long have;

    for (;;) {
        int r = fs_free_bytes(ic->dir, &have);

        if (r < 0)
            return err_errno(reterr, r, "%s", ic->dir);
        if (have - SPARE_BYTES >= bytes)
            return 0;
        /* What was used in the last minute may be about to be used. */
        if (!remove_oldest(ic, clock_now_us() - 60 * US_PER_S))
            return err_set(reterr, -ENOSPC, "no_space",
                           "the node has no room for the image: %" PRId64
                           " bytes are needed, %lld are free",
                           bytes, have);
    }
}

/* ---- fetching ---- */

struct watch {
    struct link_client *lc;
    int64_t max;
    _Atomic int64_t *done_bytes;
    bool over;
};

static void
on_progress(int64_t done, int64_t total, void *arg)
{
    struct watch *w = arg;

    atomic_store(w->done_bytes, done);
    if (!w->over && (done > w->max || total > w->max)) {
        w->over = true; /* it would fill our disk */
        link_client_cut(w->lc);
    }
}

static int
download(struct link_client *lc, const char *image_id,
         const struct api_image_part *part, int fd, _Atomic int64_t *done_bytes,
         struct err *reterr)
{
    char *path _cleanup_(freep) = xasprintf(
        "/v1/agent/images/%s/parts/%s", image_id, api_part_names[part->name]);
    struct httpc_reply reply = {0};
    struct httpc_request rq = HTTPC_REQUEST("GET", path);
    struct watch w = {
        .lc = lc, .max = part->size_bytes, .done_bytes = done_bytes};

    rq.download_fd = fd;
    rq.timeout_ms = FETCH_MS;
    rq.stall_ms = STALL_MS;
    rq.progress = on_progress;
    rq.progress_arg = &w;
    int r = link_call(lc, &rq, &reply, reterr);
    if (r == 0)
        httpc_reply_release(&reply);
    if (w.over)
        return err_set(reterr, -EBADMSG, "image_unreadable",
                       "the image's %s is larger than %" PRId64 " bytes",
                       api_part_names[part->name], part->size_bytes);
    if (r < 0)
        err_prefix(reterr, "cannot fetch the image's %s",
                   api_part_names[part->name]);
    return r;
}

static int
fetch(struct image_cache *ic, struct link_client *lc, const char *key,
      const struct api_image_part *part, _Atomic int64_t *done_bytes,
      struct err *reterr)
{
    char *path _cleanup_(freep) = part_path(ic, key);
    char *tmp _cleanup_(freep) = xasprintf("%s.tmp", path);
    char image_id[ID_SIZE];

    memcpy(image_id, key, ID_LEN);
    image_id[ID_LEN] = '\0';
    char *dir _cleanup_(freep) = part_path(ic, image_id);
    struct stat st;
    if (check_again(ic, key, path, part) == 0)
        return 0;
    int r = make_room(ic, part->size_bytes, reterr);
    if (r == 0)
        r = fs_mkdirs(dir, reterr);
    if (r < 0)
        return r;
    int fd _cleanup_(closep) =
        open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(reterr, -errno, "cannot create %s", tmp);
    r = download(lc, image_id, part, fd, done_bytes, reterr);
    if (r == 0)
        r = image_verify(fd, part, reterr);
    if (r == 0) {
        if (fsync(fd) < 0 || fstat(fd, &st) < 0 || rename(tmp, path) < 0)
            r = -errno;
        if (r == 0)
            r = fs_sync_dir(dir);
        if (r < 0)
            err_errno(reterr, r, "cannot write %s", path);
    }
    if (r == 0) {
        pthread_mutex_lock(&ic->lock);
        note_good(ic, key, &st);
        pthread_mutex_unlock(&ic->lock);
    }
    if (r < 0 && unlink(tmp) < 0 && errno != ENOENT)
        COUNT(image_tmp_stuck);
    return r;
}

static void
part_free(struct part *p)
{
    while (p->waiters) {
        struct waiter *w = p->waiters;

        p->waiters = w->next;
        free(w);
    }
    err_release(&p->err);
    free(p->spec.sha256);
    free(p);
}

/* True if asking once more may help. Troubles of the way are tried for ever;
 * a wrong answer only a few times. */
static bool
passing(struct part *p, int r)
{
    switch (r) {
    case -ECONNREFUSED:
    case -ETIMEDOUT:
    case -ECANCELED:
    case -EACCES: /* our certificate; a person mends it */
        return true;
    case -EAGAIN:
        return !streq(p->err.code, "image_unreadable") &&
               ++p->bad < QUICK_TRIES;
    case -EIO:
        return ++p->bad < QUICK_TRIES * 4; /* the connection broke */
    case -EBADMSG:
        return !streq(p->err.code, "image_unsafe") && ++p->bad < 2;
    default:
        return false;
    }
}

/* Which code the instance's failure gets. */
static void
set_code(struct err *e, int r)
{
    static const char *const ours[] = {"image_unreadable", "image_unsafe",
                                       "image_digest_mismatch"};

    if (r == -ENOSPC || r == -EDQUOT) {
        snprintf(e->code, sizeof(e->code), "no_space");
        e->number = -ENOSPC;
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        if (streq(e->code, ours[i]))
            return;
    snprintf(e->code, sizeof(e->code), "image_unreadable");
}

/* With the lock: takes the fetch's outcome; gives those to be woken. */
static struct waiter *
finish(struct image_cache *ic, struct part *p, int r, struct err *e)
{
    struct waiter *w = NULL;

    err_move(&p->err, e);
    if (r < 0 && passing(p, r)) {
        p->state = PART_QUEUED;
        p->at_us = clock_mono_us() + backoff_next_us(&p->backoff);
        log_limited(LOG_LEVEL_WARN, "cannot fetch an image, trying again later",
                    "part=%s error=\"%s\"", p->key, p->err.message);
        return NULL;
    }
    w = TAKE_PTR(p->waiters);
    if (r < 0) {
        set_code(&p->err, r);
        p->state = PART_FAILED;
        p->at_us = clock_mono_us();
        log_warn("cannot fetch an image", "part=%s code=%s error=\"%s\"",
                 p->key, p->err.code, p->err.message);
    } else {
        HASH_DEL(ic->parts, p);
        part_free(p);
    }
    return w;
}

static void
wake_all(struct image_cache *ic, struct waiter *w)
{
    while (w) {
        struct waiter *next = w->next;

        ic->cfg.wake(w->id, ic->cfg.arg);
        free(w);
        w = next;
    }
}

/* The next part that is due; NULL at the end. */
static struct part *
next_part(struct image_cache *ic)
{
    for (;;) {
        struct part *p, *tmp, *best = NULL;

        if (ic->stop)
            return NULL;
        HASH_ITER(hh, ic->parts, p, tmp)
        {
            if (p->state == PART_QUEUED && (!best || p->at_us < best->at_us))
                best = p;
        }
        if (best && best->at_us <= clock_mono_us())
            return best;
        if (best) {
            struct timespec ts = {.tv_sec = best->at_us / US_PER_S,
                                  .tv_nsec = best->at_us % US_PER_S * 1000};

            pthread_cond_timedwait(&ic->wake, &ic->lock, &ts);
        } else {
            pthread_cond_wait(&ic->wake, &ic->lock);
        }
    }
}

static void *
fetcher_main(void *arg)
{
    struct image_cache *ic = arg;
    struct link_client *lc = link_client_new(ic->cfg.link);
    struct part *p;

    pthread_mutex_lock(&ic->lock);
    while ((p = next_part(ic))) {
        struct err e _cleanup_(err_release) = {0};

        /* FETCHING: nobody else touches its key and spec. */
        p->state = PART_FETCHING;
        pthread_mutex_unlock(&ic->lock);
        int r = fetch(ic, lc, p->key, &p->spec, &p->done_bytes, &e);
        link_client_close(lc); /* there may be no other for long */
        pthread_mutex_lock(&ic->lock);
        struct waiter *w = finish(ic, p, r, &e);
        pthread_mutex_unlock(&ic->lock);
        wake_all(ic, w);
        pthread_mutex_lock(&ic->lock);
    }
    pthread_mutex_unlock(&ic->lock);
    link_client_free(lc);
    return NULL;
}

/* ---- asking ---- */

static void
add_waiter(struct part *p, const char *id)
{
    struct waiter *w;

    for (w = p->waiters; w; w = w->next)
        if (streq(w->id, id))
            return;
    w = xnew(struct waiter);
    snprintf(w->id, sizeof(w->id), "%s", id);
    w->next = p->waiters;
    p->waiters = w;
}

int
image_get(struct image_cache *ic, const char *image_id,
          const struct api_image_part *part, const char *waiter_id,
          char **ret_path, struct err *reterr)
{
    char key[KEY_SIZE];
    struct part *p;
    int r = -EINPROGRESS;

    if (!id_valid(image_id) || part->name < PART_KERNEL ||
        part->name > PART_DISK || !part->sha256)
        return err_set(reterr, -EINVAL, "image_unreadable",
                       "the image's description is not valid");
    snprintf(key, sizeof(key), "%s/%s", image_id, api_part_names[part->name]);
    char *path _cleanup_(freep) = part_path(ic, key);
    pthread_mutex_lock(&ic->lock);
    HASH_FIND_STR(ic->parts, key, p);
    if (p && p->state == PART_FAILED &&
        clock_mono_us() - p->at_us > FAILED_US) {
        HASH_DEL(ic->parts, p);
        part_free(p);
        p = NULL;
    }
    if (!p && is_there(ic, key, path, part)) {
        *ret_path = TAKE_PTR(path);
        r = 0;
    } else if (p && p->state == PART_FAILED) {
        r = err_set(reterr, p->err.number, p->err.code, "%s", p->err.message);
    } else {
        if (p && p->state == PART_FETCHING)
            err_set(reterr, r, "fetching",
                    "the image's %s is being fetched, %" PRId64 " of %" PRId64
                    " MiB",
                    api_part_names[part->name],
                    atomic_load(&p->done_bytes) >> 20, part->size_bytes >> 20);
        else if (p && *p->err.message)
            err_set(reterr, r, "fetching", "trying again: %s", p->err.message);
        else
            err_set(reterr, r, "fetching",
                    "the image's %s is to be fetched after others",
                    api_part_names[part->name]);
        if (!p) {
            p = xnew(struct part);
            memcpy(p->key, key, sizeof(key));
            p->spec = *part;
            p->spec.sha256 = xstrdup(part->sha256);
            p->backoff = (struct backoff){.base_us = US_PER_S / 2,
                                          .max_us = 30 * US_PER_S};
            HASH_ADD_STR(ic->parts, key, p);
            pthread_cond_signal(&ic->wake);
        }
        add_waiter(p, waiter_id);
    }
    pthread_mutex_unlock(&ic->lock);
    return r;
}

int
image_cache_new(const struct image_config *cfg, struct image_cache **ret,
                struct err *reterr)
{
    struct image_cache *ic = xnew(struct image_cache);
    pthread_condattr_t attr;
    int r = fs_mkdirs(cfg->dir, reterr);

    if (r < 0) {
        free(ic);
        return r;
    }
    ic->cfg = *cfg;
    ic->dir = xstrdup(cfg->dir);
    pthread_mutex_init(&ic->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&ic->wake, &attr);
    pthread_condattr_destroy(&attr);
    ic->threads = xcalloc(cfg->fetchers, sizeof(pthread_t));
    for (; ic->n_threads < cfg->fetchers; ic->n_threads++) {
        r = -pthread_create(&ic->threads[ic->n_threads], NULL, fetcher_main,
                            ic);
        if (r < 0) {
            image_cache_free(ic);
            return err_errno(reterr, r, "cannot start a thread for images");
        }
        pthread_setname_np(ic->threads[ic->n_threads], "image");
    }
    *ret = ic;
    return 0;
}

void
image_cache_free(struct image_cache *ic)
{
    struct part *p, *tmp;

    if (!ic)
        return;
    pthread_mutex_lock(&ic->lock);
    ic->stop = true;
    pthread_cond_broadcast(&ic->wake);
    pthread_mutex_unlock(&ic->lock);
    for (unsigned i = 0; i < ic->n_threads; i++)
        pthread_join(ic->threads[i], NULL);
    HASH_ITER(hh, ic->parts, p, tmp)
    {
        HASH_DEL(ic->parts, p);
        part_free(p);
    }
    drop_good(ic, NULL);
    pthread_cond_destroy(&ic->wake);
    pthread_mutex_destroy(&ic->lock);
    free(ic->threads);
    free(ic->dir);
    free(ic);
}
