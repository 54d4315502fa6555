/* restore.c - reads an archive that anybody may have given; see backup.h.
 * Only the members that are expected are taken, each once, to names of ours;
 * everything is checked in a folder beside before anything is in its place. */
#include <config.h>

#include "controllerd/backup.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/count.h"
#include "common/fs.h"
#include "common/hash.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/pki.h"
#include "controllerd/backup-private.h"
#include "controllerd/store/store.h"

#define CHUNK ((size_t)1 << 16)
#define MANIFEST_MAX ((size_t)1 << 16)

struct restore {
    struct archive *a;
    const char *archive, *dir; /* dir: where it is put together */
    struct backup_manifest manifest;
    bool has_manifest;
    bool seen[BACKUP_MEMBERS];
    unsigned char *chunk;
    struct err *e;
};

static int
bad(struct restore *rs, const char *why)
{
    return err_set(rs->e, -EINVAL, "bad_backup", "%s: %s", rs->archive, why);
}

static int
bad_member(struct restore *rs, const char *name, const char *why)
{
    return err_set(rs->e, -EINVAL, "bad_backup", "%s: member %.100s %s",
                   rs->archive, name, why);
}

static int
read_manifest(struct restore *rs)
{
    char *text _cleanup_(freep) = xmalloc(MANIFEST_MAX);
    struct err e _cleanup_(err_release) = {0};
    size_t n = 0;
    la_ssize_t got;

    while (n < MANIFEST_MAX &&
           (got = archive_read_data(rs->a, text + n, MANIFEST_MAX - n)) > 0)
        n += (size_t)got;
    if (n == MANIFEST_MAX)
        return bad_member(rs, BACKUP_MANIFEST, "is too large");
    if (codec_decode(&backup_manifest_table, CODEC_PEER, text, n, &rs->manifest,
                     &e) < 0)
        return bad_member(rs, BACKUP_MANIFEST, "is damaged");
    if (rs->manifest.format != BACKUP_FORMAT)
        return bad(rs, "was made by another version of this program");
    rs->has_manifest = true;
    return 0;
}

static const char *
sum_of(const struct restore *rs, const char *name)
{
    const struct backup_sum *f = rs->manifest.files.items;

    for (size_t i = 0; i < rs->manifest.files.n; i++)
        if (strcmp(f[i].name, name) == 0)
            return f[i].sha256;
    return NULL;
}

static int
take_data(struct restore *rs, const struct backup_member *m, int fd)
{
    const char *want = sum_of(rs, m->name);
    struct hash *h = hash_begin();
    unsigned char sum[HASH_LEN];
    char hex[HASH_HEX_SIZE];
    size_t total = 0;
    la_ssize_t n;
    int r = 0;

    while (r == 0 && (n = archive_read_data(rs->a, rs->chunk, CHUNK)) != 0) {
        if (n < 0) {
            r = bad_member(rs, m->name, "is damaged");
            break;
        }
        total += (size_t)n;
        if (m->size_max && total > m->size_max) {
            r = bad_member(rs, m->name, "is too large");
            break;
        }
        hash_add(h, rs->chunk, (size_t)n);
        r = fs_write_all(fd, rs->chunk, (size_t)n);
        if (r < 0)
            err_errno(rs->e, r, "cannot write %s/%s", rs->dir, m->name);
    }
    hash_end(h, sum);
    id_hex(sum, sizeof(sum), hex);
    if (r == 0 && (!want || strcmp(want, hex) != 0))
        r = bad_member(rs, m->name, "is not what the manifest says");
    if (r == 0 && fsync(fd) < 0)
        r = err_errno(rs->e, -errno, "cannot write %s/%s", rs->dir, m->name);
    return r;
}

static int
take_member(struct restore *rs, const char *name)
{
    int i = 0;

    while (i < BACKUP_MEMBERS && strcmp(backup_members[i].name, name) != 0)
        i++;
    if (i == BACKUP_MEMBERS)
        return bad_member(rs, name, "does not belong to a backup");
    if (rs->seen[i])
        return bad_member(rs, name, "is there twice");
    rs->seen[i] = true;
    char *path _cleanup_(freep) =
        xasprintf("%s/%s", rs->dir, backup_members[i].name);
    int fd _cleanup_(closep) =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(rs->e, -errno, "cannot make %s", path);
    return take_data(rs, &backup_members[i], fd);
}

static int
take_all(struct restore *rs)
{
    struct archive_entry *entry;
    int rc, r = 0;

    while (r == 0 &&
           (rc = archive_read_next_header(rs->a, &entry)) != ARCHIVE_EOF) {
        const char *name =
            rc == ARCHIVE_OK ? archive_entry_pathname(entry) : NULL;

        if (!name)
            r = bad(rs, "is not an archive, or a damaged one");
        else if (archive_entry_filetype(entry) != AE_IFREG)
            r = bad_member(rs, name, "is not a plain file");
        else if (!rs->has_manifest)
            r = strcmp(name, BACKUP_MANIFEST) == 0
                    ? read_manifest(rs)
                    : bad(rs, "does not begin with a manifest: it is no backup "
                              "of a controller");
        else
            r = take_member(rs, name);
    }
    for (int i = 0; i < BACKUP_MEMBERS && r == 0; i++)
        if (!rs->seen[i])
            r = bad_member(rs, backup_members[i].name, "is missing");
    return r;
}

static int
read_archive(struct restore *rs)
{
    int r;

    rs->a = archive_read_new();
    if (archive_read_support_filter_gzip(rs->a) != ARCHIVE_OK ||
        archive_read_support_format_tar(rs->a) != ARCHIVE_OK)
        r = err_set(rs->e, -EIO, "archive", "%s", archive_error_string(rs->a));
    else if (archive_read_open_filename(rs->a, rs->archive, CHUNK) !=
             ARCHIVE_OK)
        r = err_set(rs->e, -EINVAL, "bad_backup",
                    "%s is not an archive, or cannot be read: %s", rs->archive,
                    archive_error_string(rs->a));
    else
        r = take_all(rs);
    archive_read_free(rs->a);
    return r;
}

/* The database is sound, ours, and of this version from now on; agents are
 * to ask for everything anew. */
static int
check_state(struct restore *rs)
{
    char *path _cleanup_(freep) =
        xasprintf("%s/%s", rs->dir, backup_members[BACKUP_DB].name);
    char *pki _cleanup_(freep) = xasprintf("%s/pki", rs->dir);
    struct db *db _cleanup_(db_closep) = NULL;
    struct pki_ca *ca = NULL;
    int r = store_open(path, true, &db, rs->e);

    if (r == 0)
        r = db_check(db, rs->e);
    if (r == 0) {
        r = store_begin_anew(db);
        if (r < 0)
            db_err(db, r, rs->e);
    }
    if (r == 0)
        r = pki_ca_open(pki, &ca, rs->e);
    pki_ca_free(ca);
    if (r < 0)
        err_prefix(rs->e, "%s", rs->archive);
    return r;
}

/* The database goes last: with it the state is there. */
static int
put_in_place(struct restore *rs, const char *state_dir)
{
    char *pki _cleanup_(freep) = xasprintf("%s/pki", state_dir);
    int r = 0;

    for (int i = BACKUP_MEMBERS - 1; i >= 0 && r == 0; i--) {
        char *from _cleanup_(freep) =
            xasprintf("%s/%s", rs->dir, backup_members[i].name);
        char *to _cleanup_(freep) =
            xasprintf("%s/%s", state_dir, backup_members[i].name);

        /* What it is of no use without must survive power loss as it does. */
        if (i == BACKUP_DB)
            r = fs_sync_dir(pki);
        if (r == 0 && rename(from, to) < 0)
            r = -errno;
        if (r == 0 && i == BACKUP_DB)
            r = fs_sync_dir(state_dir);
        if (r < 0)
            err_errno(rs->e, r, "cannot make %s", to);
    }
    return r;
}

/* The log of a database that is gone would be taken for the new one's. */
static int
refuse_present(const char *state_dir, struct err *reterr)
{
    static const char *const logs[] = {"controller.db-wal",
                                       "controller.db-journal"};

    for (size_t i = 0; i < BACKUP_MEMBERS + ARRAY_SIZE(logs); i++) {
        char *path _cleanup_(freep) =
            xasprintf("%s/%s", state_dir,
                      i < BACKUP_MEMBERS ? backup_members[i].name
                                         : logs[i - BACKUP_MEMBERS]);

        if (access(path, F_OK) == 0)
            return err_set(reterr, -EEXIST, "state_present",
                           "%s is there already: restore into a new state "
                           "folder, or move this one away",
                           path);
    }
    return 0;
}

int
backup_restore(const char *archive, const char *state_dir, struct err *reterr)
{
    char *dir _cleanup_(freep) = xasprintf("%s/" RESTORE_DIR, state_dir);
    char *lock _cleanup_(freep) = xasprintf("%s/lock", state_dir);
    char *pki _cleanup_(freep) = xasprintf("%s/pki", state_dir);
    struct restore rs = {.archive = archive, .dir = dir, .e = reterr};
    int lock_fd _cleanup_(closep) = -1;
    int r = fs_mkdirs(pki, reterr);

    if (r == 0)
        r = fs_lock(lock, &lock_fd, reterr);
    if (r == 0)
        r = refuse_present(state_dir, reterr);
    if (r == 0)
        r = backup_sweep(state_dir, reterr);
    if (r == 0 && !mkdtemp(dir))
        r = err_errno(reterr, -errno, "cannot make %s", dir);
    if (r < 0)
        return r;
    char *sub _cleanup_(freep) = xasprintf("%s/pki", dir);
    r = fs_mkdirs(sub, reterr);
    rs.chunk = xmalloc(CHUNK);
    if (r == 0)
        r = read_archive(&rs);
    if (r == 0)
        r = check_state(&rs);
    if (r == 0)
        r = put_in_place(&rs, state_dir);
    codec_clear(&backup_manifest_table, &rs.manifest);
    free(rs.chunk);
    int removed = fs_remove_tree(dir, r == 0 ? reterr : NULL);
    return r < 0 ? r : removed;
}

/* ---- leftovers ---- */

static bool
is_leftover(const char *name)
{
    static const char *const kinds[] = {BACKUP_DIR, RESTORE_DIR};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strlen(name) == strlen(kinds[i]) &&
            strncmp(name, kinds[i], strcspn(kinds[i], "X")) == 0)
            return true;
    return false;
}

int
backup_sweep(const char *state_dir, struct err *reterr)
{
    DIR *d _cleanup_(closedirp) = opendir(state_dir);
    struct dirent *de;
    int r = 0;

    if (!d)
        return err_errno(reterr, -errno, "cannot read %s", state_dir);
    while (r == 0 && (de = readdir(d))) {
        char *path _cleanup_(freep) = xasprintf("%s/%s", state_dir, de->d_name);

        if (!is_leftover(de->d_name))
            continue;
        COUNT(backup_leftover_swept);
        r = fs_remove_tree(path, reterr);
    }
    return r;
}
