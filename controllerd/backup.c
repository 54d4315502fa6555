/* backup.c - makes the archive; see backup.h. The database is copied first, to
 * a folder beside the live one: the archive needs to know its length before
 * its first byte. */
#include <config.h>

#include "controllerd/backup.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/fs.h"
#include "common/hash.h"
#include "common/id.h"
#include "common/mem.h"
#include "controllerd/backup-private.h"

#define CHUNK ((size_t)1 << 16)

const struct backup_member backup_members[BACKUP_MEMBERS] = {
    {"controller.db", 0}, {"pki/ca.crt", 1 << 16}, {"pki/ca.key", 1 << 16}};

#define F(S, M, TYPE, ...)                                                     \
    {                                                                          \
        .name = #M, .type = CODEC_##TYPE, .offset = offsetof(struct S, M),     \
        .flags = CODEC_IN | CODEC_REQUIRED, .doc = "", __VA_ARGS__             \
    }
static const struct codec_field sum_fields[] = {
    F(backup_sum, name, STRING),
    F(backup_sum, sha256, STRING, .min = 64, .max = 64)};
const struct codec_table backup_sum_table = {.name = "BackupSum",
                                             .doc = "A file of a backup.",
                                             .size = sizeof(struct backup_sum),
                                             .fields = sum_fields,
                                             .n_fields =
                                                 ARRAY_SIZE(sum_fields)};
static const struct codec_field manifest_fields[] = {
    F(backup_manifest, format, INT, .max = INT64_MAX),
    F(backup_manifest, version, STRING), F(backup_manifest, created_at, TIME),
    F(backup_manifest, files, LIST, .sub = &backup_sum_table, .max = 64)};
const struct codec_table backup_manifest_table = {
    .name = "BackupManifest",
    .doc = "What is in a backup.",
    .size = sizeof(struct backup_manifest),
    .fields = manifest_fields,
    .n_fields = ARRAY_SIZE(manifest_fields)};

struct backup {
    struct archive *a;
    char *path[BACKUP_MEMBERS];
    unsigned char *chunk;
    struct err *e;
};

static int
failed(struct backup *b)
{
    int n = archive_errno(b->a);
    int r = n == ENOSPC || n == EDQUOT ? -ENOSPC : -EIO;

    return err_set(b->e, r, r == -ENOSPC ? "storage_full" : "storage_error",
                   "cannot write the archive: %s", archive_error_string(b->a));
}

static int
hash_file(struct backup *b, const char *path, char ret[HASH_HEX_SIZE],
          int64_t *ret_size)
{
    unsigned char sum[HASH_LEN];
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = 0;

    if (fd < 0)
        return err_errno(b->e, -errno, "cannot read %s", path);
    struct hash *h = hash_begin();
    *ret_size = 0;
    while ((n = read(fd, b->chunk, CHUNK)) > 0) {
        hash_add(h, b->chunk, (size_t)n);
        *ret_size += n;
    }
    hash_end(h, sum);
    if (n < 0)
        return err_errno(b->e, -errno, "cannot read %s", path);
    id_hex(sum, sizeof(sum), ret);
    return 0;
}

static int
begin_member(struct backup *b, const char *name, int64_t size)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_size(entry, size);
    archive_entry_set_mtime(entry, clock_now_us() / US_PER_S, 0);
    int rc = archive_write_header(b->a, entry);
    archive_entry_free(entry);
    return rc == ARCHIVE_OK ? 0 : failed(b);
}

static int
add_file(struct backup *b, const char *name, const char *path, int64_t size)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int r = fd < 0 ? err_errno(b->e, -errno, "cannot read %s", path)
                   : begin_member(b, name, size);

    while (r == 0) {
        ssize_t n = read(fd, b->chunk, CHUNK);

        if (n <= 0)
            return n < 0 ? err_errno(b->e, -errno, "cannot read %s", path) : 0;
        if (archive_write_data(b->a, b->chunk, (size_t)n) != n)
            r = failed(b);
    }
    return r;
}

/* The manifest goes first, so that a reader knows what is to follow. */
static int
add_all(struct backup *b)
{
    struct backup_manifest m = {.format = BACKUP_FORMAT,
                                .version = xstrdup(PACKAGE_VERSION),
                                .created_at = clock_now_us()};
    struct buf text _cleanup_(buf_release) = {0};
    int64_t size[BACKUP_MEMBERS];
    char sum[HASH_HEX_SIZE];
    int r = 0;

    for (int i = 0; i < BACKUP_MEMBERS && r == 0; i++) {
        r = hash_file(b, b->path[i], sum, &size[i]);
        if (r < 0)
            break;
        struct backup_sum *f = codec_list_add(&backup_sum_table, &m.files);
        f->name = xstrdup(backup_members[i].name);
        f->sha256 = xstrdup(sum);
    }
    codec_encode(&backup_manifest_table, &m, &text);
    buf_addc(&text, '\n');
    codec_clear(&backup_manifest_table, &m);
    if (r == 0)
        r = begin_member(b, BACKUP_MANIFEST, (int64_t)text.len);
    if (r == 0 &&
        archive_write_data(b->a, text.data, text.len) != (la_ssize_t)text.len)
        r = failed(b);
    for (int i = 0; i < BACKUP_MEMBERS && r == 0; i++)
        r = add_file(b, backup_members[i].name, b->path[i], size[i]);
    return r;
}

static int
write_archive(struct backup *b, int fd)
{
    int r = 0;

    b->a = archive_write_new();
    if (archive_write_set_format_pax_restricted(b->a) != ARCHIVE_OK ||
        archive_write_add_filter_gzip(b->a) != ARCHIVE_OK ||
        archive_write_set_filter_option(b->a, "gzip", "compression-level",
                                        "1") != ARCHIVE_OK ||
        archive_write_open_fd(b->a, fd) != ARCHIVE_OK)
        r = failed(b);
    if (r == 0)
        r = add_all(b);
    if (r == 0 && archive_write_close(b->a) != ARCHIVE_OK)
        r = failed(b);
    archive_write_free(b->a);
    return r;
}

int
backup_make(const char *state_dir, const char *db_path, int *ret_fd,
            uint64_t *ret_size, struct err *reterr)
{
    char *dir _cleanup_(freep) = xasprintf("%s/" BACKUP_DIR, state_dir);
    struct backup b = {.e = reterr};
    struct stat st;
    int fd _cleanup_(closep) =
        open(state_dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    int r = fd < 0 ? err_errno(reterr, -errno, "cannot make a file in %s",
                               state_dir)
                   : 0;

    if (r == 0 && !mkdtemp(dir))
        r = err_errno(reterr, -errno, "cannot make %s", dir);
    if (r < 0)
        return r;
    for (int i = 0; i < BACKUP_MEMBERS; i++)
        b.path[i] = xasprintf("%s/%s", i == BACKUP_DB ? dir : state_dir,
                              backup_members[i].name);
    b.chunk = xmalloc(CHUNK);
    r = db_copy(db_path, b.path[BACKUP_DB], reterr);
    if (r == 0)
        r = write_archive(&b, fd);
    free(b.chunk);
    for (int i = 0; i < BACKUP_MEMBERS; i++)
        free(b.path[i]);
    int removed = fs_remove_tree(dir, r == 0 ? reterr : NULL);
    if (r == 0)
        r = removed;
    if (r == 0 && (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0))
        r = err_errno(reterr, -errno, "cannot read the archive");
    if (r < 0)
        return r;
    *ret_size = (uint64_t)st.st_size;
    *ret_fd = TAKE_FD(fd);
    return 0;
}
