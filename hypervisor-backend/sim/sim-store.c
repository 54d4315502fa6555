/* sim-store.c - the files that stand for the simulated VMs; see README.md.
 *
 * state_dir/sim/lock      one process at a time
 * state_dir/sim/vms/ID    one record each, RECORD_SIZE bytes of text
 * state_dir/sim/journal   one line for each start and end, append only
 *
 * A record is one write(2) inside one page, which the kernel does not break
 * off for a signal: the death of the process leaves the old or the new record,
 * or, at the very first write, an empty file that counts as nothing. Nothing
 * is synced to disk: power loss ends real VMs as well. */
#include <config.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/sim/sim-private.h"

#define RECORD_SIZE 256

static const char *const phase_names[] = {
    [SIM_STARTING] = "starting", [SIM_RUNNING] = "running",
    [SIM_PAUSED] = "paused",     [SIM_ENDING] = "ending",
    [SIM_ENDED] = "ended",
};

static int
open_in(const char *state_dir, const char *name, int flags, int *ret_fd,
        struct err *reterr)
{
    char *path _cleanup_(freep) = xasprintf("%s/sim/%s", state_dir, name);
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_errno(reterr, -errno, "cannot open %s", path);
    *ret_fd = fd;
    return 0;
}

int
sim_store_open(struct sim_store *s, const char *state_dir, struct err *reterr)
{
    char *vms _cleanup_(freep) = xasprintf("%s/sim/vms", state_dir);
    char *lock _cleanup_(freep) = xasprintf("%s/sim/lock", state_dir);
    int r = fs_mkdirs(vms, reterr);

    *s = (struct sim_store){-1, -1, -1};
    if (r == 0)
        r = fs_lock(lock, &s->lock_fd, reterr);
    if (r == 0)
        r = open_in(state_dir, "vms", O_RDONLY | O_DIRECTORY, &s->dir_fd,
                    reterr);
    if (r == 0)
        r = open_in(state_dir, "journal", O_WRONLY | O_APPEND | O_CREAT,
                    &s->journal_fd, reterr);
    if (r < 0)
        sim_store_close(s);
    return r;
}

void
sim_store_close(struct sim_store *s)
{
    closep(&s->journal_fd);
    closep(&s->dir_fd);
    closep(&s->lock_fd);
}

int
sim_store_put(struct sim_store *s, const struct sim_record *r)
{
    char text[RECORD_SIZE + 1];
    int n = snprintf(text, sizeof(text),
                     "%s run=%" PRIu64 " vcpus=%" PRIu64 " memory=%" PRIu64
                     " started=%" PRId64 " paused_total=%" PRId64
                     " paused_at=%" PRId64 " end_at=%" PRId64 " ended=%" PRId64
                     " end=%d",
                     phase_names[r->phase], r->run, r->vcpus, r->memory_bytes,
                     r->started_us, r->paused_total_us, r->paused_at_us,
                     r->end_at_us, r->ended_us, (int)r->end);
    int fd _cleanup_(closep) = -1;

    if (n < 0 || n >= RECORD_SIZE)
        return -EOVERFLOW;
    memset(text + n, ' ', (size_t)(RECORD_SIZE - 1 - n));
    text[RECORD_SIZE - 1] = '\n';
    fd = openat(s->dir_fd, r->id, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0)
        return -errno;
    ssize_t w = pwrite(fd, text, RECORD_SIZE, 0);
    if (w < 0)
        return -errno;
    return w == RECORD_SIZE ? 0 : -ENOSPC;
}

int
sim_store_remove(struct sim_store *s, const char *id)
{
    if (unlinkat(s->dir_fd, id, 0) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

static bool
parse_record(const char *text, struct sim_record *r)
{
    char phase[16];
    int end;

    if (sscanf(text,
               "%15s run=%" SCNu64 " vcpus=%" SCNu64 " memory=%" SCNu64
               " started=%" SCNd64 " paused_total=%" SCNd64
               " paused_at=%" SCNd64 " end_at=%" SCNd64 " ended=%" SCNd64
               " end=%d",
               phase, &r->run, &r->vcpus, &r->memory_bytes, &r->started_us,
               &r->paused_total_us, &r->paused_at_us, &r->end_at_us,
               &r->ended_us, &end) != 10)
        return false;
    if (end < HV_END_NONE || end > HV_END_UNKNOWN)
        return false;
    r->end = (enum hv_end)end;
    for (size_t i = 0; i < ARRAY_SIZE(phase_names); i++) {
        if (streq(phase_names[i], phase)) {
            r->phase = (enum sim_phase)i;
            return true;
        }
    }
    return false;
}

/* 1 read, 0 nothing whole there, negative errno. */
static int
read_record(struct sim_store *s, const char *id, struct sim_record *r)
{
    char text[RECORD_SIZE + 1];
    int fd _cleanup_(closep) =
        openat(s->dir_fd, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, RECORD_SIZE);
    if (n < 0)
        return -errno;
    if (n < RECORD_SIZE)
        return 0;
    text[n] = '\0';
    *r = (struct sim_record){0};
    memcpy(r->id, id, sizeof(r->id)); /* a valid id has just this length */
    return parse_record(text, r) ? 1 : -EBADMSG;
}

int
sim_store_each(struct sim_store *s,
               int (*fn)(const struct sim_record *r, void *arg), void *arg,
               struct err *reterr)
{
    DIR *d _cleanup_(closedirp) = NULL;
    struct dirent *de;
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || !(d = fdopendir(fd))) {
        int e = -errno;

        closep(&fd);
        return err_errno(reterr, e, "cannot list the simulated VMs");
    }
    while ((errno = 0, de = readdir(d))) {
        struct sim_record rec;
        int r;

        if (!id_valid(de->d_name)) /* ".", ".."; not made by us */
            continue;
        r = read_record(s, de->d_name, &rec);
        if (r == 0)
            r = sim_store_remove(s, de->d_name);
        else if (r > 0)
            r = fn(&rec, arg);
        if (r < 0)
            return err_errno(reterr, r, "simulated VM %s", de->d_name);
    }
    if (errno)
        return err_errno(reterr, -errno, "cannot list the simulated VMs");
    return 0;
}

int
sim_store_journal(struct sim_store *s, int64_t at_us, const char *what,
                  const struct sim_record *r, const char *reason)
{
    char line[160];
    int n = snprintf(line, sizeof(line), "%" PRId64 " %s %s %" PRIu64 " %s\n",
                     at_us, what, r->id, r->run, reason);

    ssize_t w = write(s->journal_fd, line, (size_t)n);
    if (w == n)
        return 0;
    if (w < 0)
        return -errno;
    /* The disk is full. Half a line must not run into the next one; nobody
     * else writes here (we hold the lock). */
    struct stat st;
    if (fstat(s->journal_fd, &st) < 0 ||
        ftruncate(s->journal_fd, st.st_size - w) < 0)
        return -errno;
    return -ENOSPC;
}
