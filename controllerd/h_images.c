/* h_images.c - images and the files they are made of.
 * A part lives at <state>/images/<image id>/<part>. An upload goes to a
 * temporary file beside it, is checked, synced and renamed, and only then
 * recorded: a row always has its file, a file without a row is leftover. */
#include <config.h>

#include "controllerd/handlers.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/quota.h"

static int
check_parts(struct call *c, const struct api_image *i)
{
    const struct api_image_part *p = i->parts.items;
    unsigned seen = 0;
    char at[64];

    for (size_t k = 0; k < i->parts.n; k++) {
        snprintf(at, sizeof(at), "/parts/%zu/name", k);
        if (seen & 1u << p[k].name)
            return err_field(&c->err, at, "repeated", "is there twice");
        seen |= 1u << p[k].name;
        if (p[k].format != FORMAT_RAW && p[k].name != PART_DISK) {
            snprintf(at, sizeof(at), "/parts/%zu/format", k);
            return err_field(&c->err, at, "format", "is for disks only");
        }
    }
    if (!(seen & (1u << PART_KERNEL | 1u << PART_DISK)))
        return err_field(&c->err, "/parts", "parts",
                         "must name a kernel or a disk to boot from");
    if ((seen & 1u << PART_INITRD) && !(seen & 1u << PART_KERNEL))
        return err_field(&c->err, "/parts", "parts",
                         "an initrd needs a kernel");
    if (i->cmdline && !(seen & 1u << PART_KERNEL))
        return err_field(&c->err, "/cmdline", "cmdline",
                         "is for images with a kernel");
    return 0;
}

static const struct api_quota_values one_image = {.images = 1};

int
h_image_create(struct call *c, struct db *db)
{
    struct api_image *i = c->in;
    char id[ID_SIZE];
    int r = check_parts(c, i);

    if (r < 0)
        return r;
    if (i->is_public && c->who.role != ROLE_OPERATOR)
        return err_set(&c->err, -EPERM, "forbidden",
                       "only operators make public images");
    r = quota_take(c, db, call_acting_project(c), &one_image, "", "");
    if (r < 0)
        return r;
    id_new(id);
    i->id = xstrdup(id);
    i->project_id = xstrdup(call_acting_project(c));
    i->created_at = clock_now_us();
    i->generation = 1;
    r = store_image_insert(db, i);
    if (r == -EEXIST) {
        err_field(&c->err, "/name", "name_taken", "is taken");
        return err_set(&c->err, r, "name_taken",
                       "there is an image \"%s\" already", i->name);
    }
    if (r < 0)
        return store_error(c, db, r);
    reply_object(c, &table_image, i);
    call_location(c, "/v1/images", id);
    return 0;
}

int
h_image_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_image_list(db, call_project(c), after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_image, &l, limit, offsetof(struct api_image, id));
    codec_list_clear(&table_image, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

/* An operator's name is one of the operators' project or a public one, as
 * with instances: a tenant's image of that name must not come in between. */
static int
get_image(struct call *c, struct db *db, struct api_image *ret)
{
    const char *ref = c->m.params[0];
    const char *project =
        id_valid(ref) ? call_project(c) : call_acting_project(c);
    int r = store_image_get(db, project, ref, ret);

    if (r == -ENOENT)
        return not_found(c, "image", ref);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_image_show(struct call *c, struct db *db)
{
    struct api_image i = {0};
    int r = get_image(c, db, &i);

    if (r == 0)
        reply_object(c, &table_image, &i);
    codec_clear(&table_image, &i);
    return r;
}

/* May change it: its owner, or an operator. A public image of another project
 * can be seen, hence 403 and not 404. */
static int
may_change(struct call *c, const struct api_image *i)
{
    if (call_project(c) && !streq(call_project(c), i->project_id))
        return err_set(&c->err, -EPERM, "forbidden",
                       "the image belongs to another project");
    return 0;
}

int
h_image_delete(struct call *c, struct db *db)
{
    struct api_image i = {0};
    int r = get_image(c, db, &i);

    if (r == 0)
        r = may_change(c, &i);
    if (r == 0)
        r = call_if_match(c, i.generation);
    if (r == 0) {
        r = store_image_delete(db, i.id);
        if (r == -EBUSY)
            err_set(&c->err, r, "image_in_use",
                    "instances made from the image exist; delete them first");
        else if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0) {
        call_touched(c, "image.deleted", i.id, i.name, i.project_id);
        struct api_quota_values freed = one_image;
        const struct api_image_part *part = i.parts.items;

        for (size_t k = 0; k < i.parts.n; k++)
            freed.image_bytes += part[k].size_bytes;
        quota_free(c, i.project_id, &freed);
        c->work = xasprintf("%s/%s", c->ctl->image_dir, i.id);
        c->work_free = free;
        reply_empty(c);
    }
    codec_clear(&table_image, &i);
    return r;
}

void
h_image_deleted(struct call *c)
{
    struct err e _cleanup_(err_release) = {0};

    if (fs_remove_tree(c->work, &e) < 0) {
        COUNT(image_files_left);
        log_warn("files of a deleted image remain", "error=\"%s\"", e.message);
    }
}

/* ---- upload ---- */

struct upload {
    struct ctl *ctl;
    char image_id[ID_SIZE], project_id[ID_SIZE];
    int64_t limit, counted; /* image_bytes of the project; see quota_upload() */
    struct api_image_part part;
    char *dir, *path, *tmp;
    int fd;
    int64_t size;
    struct hash *hash;
};

static void
upload_free(void *p)
{
    struct upload *u = p;
    unsigned char ignored[HASH_LEN];

    if (u->hash)
        hash_end(u->hash, ignored);
    if (u->fd >= 0)
        close(u->fd);
    if (u->tmp)
        unlink(u->tmp);
    quota_upload_end(u->ctl, u->project_id, &u->counted);
    codec_clear(&table_image_part, &u->part);
    free(u->dir);
    free(u->path);
    free(u->tmp);
    free(u);
}

static struct api_image_part *
find_part(const struct api_image *i, int name)
{
    struct api_image_part *p = i->parts.items;

    for (size_t k = 0; k < i->parts.n; k++)
        if (p[k].name == name)
            return &p[k];
    return NULL;
}

static int
part_there(struct call *c)
{
    return err_set(&c->err, -EEXIST, "part_exists",
                   "this part was uploaded before; images do not change");
}

/* What says how long it is need not send it to hear that it is too long. */
static int
check_length(struct call *c, struct db *db, struct upload *u)
{
    const char *length = http_header(c->rq, "Content-Length");
    struct api_quota_values limits;
    int64_t generation, ask = length ? strtoll(length, NULL, 10) : 0;
    int r = store_quota_get(db, u->project_id, &limits, &generation);

    if (r < 0)
        return store_error(c, db, r);
    u->limit = limits.image_bytes;
    return quota_upload(c, u->project_id, u->limit, &u->counted,
                        MAX(ask, INT64_C(0)));
}

static int
upload_start(struct call *c, struct db *db, const struct api_image *i)
{
    int name = codec_enum_parse(api_part_names, c->m.params[1]);
    struct api_image_part *p = name < 0 ? NULL : find_part(i, name);
    char suffix[ID_SIZE];

    if (!p)
        return err_set(&c->err, -ENOENT, "not_found",
                       "the image has no part \"%s\"", c->m.params[1]);
    if (p->sha256)
        return part_there(c);
    struct upload *u = xnew(struct upload);
    c->work = u;
    c->work_free = upload_free;
    u->fd = -1;
    u->ctl = c->ctl;
    memcpy(u->image_id, i->id, ID_SIZE);
    memcpy(u->project_id, i->project_id, ID_SIZE);
    u->part.name = p->name;
    u->part.format = p->format;
    u->hash = hash_begin();
    u->dir = xasprintf("%s/%s", c->ctl->image_dir, i->id);
    u->path = xasprintf("%s/%s", u->dir, api_part_names[p->name]);
    id_new(suffix);
    int r = check_length(c, db, u);
    if (r == 0)
        r = fs_mkdirs(u->dir, &c->err);
    if (r < 0)
        return r;
    char *tmp _cleanup_(freep) = xasprintf("%s.tmp.%s", u->path, suffix);
    u->fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (u->fd < 0)
        return err_errno(&c->err, -errno, "cannot store the upload");
    u->tmp = TAKE_PTR(tmp);
    return 0;
}

int
h_part_begin(struct call *c, struct db *db)
{
    struct api_image i = {0};
    int r = get_image(c, db, &i);

    if (r == 0)
        r = may_change(c, &i);
    if (r == 0)
        r = call_if_match(c, i.generation);
    if (r == 0)
        r = upload_start(c, db, &i);
    codec_clear(&table_image, &i);
    return r;
}

int
h_part_data(struct call *c, const void *data, size_t n)
{
    struct upload *u = c->work;
    int64_t more = u->size + (int64_t)n - u->counted;
    int r = more > 0
                ? quota_upload(c, u->project_id, u->limit, &u->counted, more)
                : 0;

    if (r < 0)
        return r;
    r = fs_write_all(u->fd, data, n);
    if (r == -ENOSPC)
        return err_set(&c->err, r, "storage_full",
                       "the controller's disk is full; the upload is "
                       "discarded");
    if (r < 0)
        return err_errno(&c->err, r, "cannot store the upload");
    hash_add(u->hash, data, n);
    u->size += (int64_t)n;
    return 0;
}

int
h_part_finish(struct call *c)
{
    struct upload *u = c->work;
    unsigned char digest[HASH_LEN];
    char hex[HASH_HEX_SIZE];
    int r = image_check((enum api_part)u->part.name,
                        (enum api_format)u->part.format, u->fd, u->size,
                        &u->part.virtual_bytes, &c->err);

    if (r < 0)
        return r;
    hash_end(TAKE_PTR(u->hash), digest);
    id_hex(digest, sizeof(digest), hex);
    u->part.sha256 = xstrdup(hex);
    u->part.size_bytes = u->size;
    if (fsync(u->fd) < 0)
        return err_errno(&c->err, -errno, "cannot store the upload");
    return 0;
}

/* The rename comes inside the transaction and before the row: when the commit
 * fails a file without a row remains, which the next upload replaces. */
int
h_part_write(struct call *c, struct db *db)
{
    struct upload *u = c->work;
    struct api_quota_values bytes = {.image_bytes = u->size};
    struct api_image i = {0};
    int r = quota_take(c, db, u->project_id, &bytes, "", "");

    if (r < 0)
        return r;
    quota_upload_end(c->ctl, u->project_id, &u->counted);
    r = store_image_part_set(db, u->image_id, &u->part);

    if (r == -EEXIST)
        return part_there(c);
    if (r < 0)
        return store_error(c, db, r);
    r = store_image_get(db, NULL, u->image_id, &i);
    if (r == -ENOENT)
        return not_found(c, "image", u->image_id);
    if (r < 0)
        return store_error(c, db, r);
    r = call_if_match(c, i.generation - 1); /* as it was before this part */
    if (r < 0) {
        codec_clear(&table_image, &i);
        return r;
    }
    if (rename(u->tmp, u->path) < 0) {
        r = err_errno(&c->err, -errno, "cannot store the upload");
    } else {
        freep(&u->tmp);
        r = fs_sync_dir(u->dir);
        if (r < 0)
            err_errno(&c->err, r, "cannot store the upload");
    }
    if (r == 0)
        reply_object(c, &table_image, &i);
    codec_clear(&table_image, &i);
    return r;
}

int
h_agent_image_part(struct call *c, struct db *db)
{
    const char *image = c->m.params[0], *part = c->m.params[1];
    struct stat st;

    if (!id_valid(image) || codec_enum_parse(api_part_names, part) < 0 ||
        !store_node_uses_image(db, c->who.node_id, image))
        return not_found(c, "image", image);
    char *path _cleanup_(freep) =
        xasprintf("%s/%s/%s", c->ctl->image_dir, image, part);
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(&c->err, -EIO, "image_unreadable",
                       "the file of this image part cannot be read: %s",
                       strerrordesc_np(errno));
    c->rq->reply_fd = TAKE_FD(fd);
    c->rq->reply_size = (uint64_t)st.st_size;
    c->rq->content_type = "application/octet-stream";
    c->rq->status = 200;
    return 0;
}

/* ---- leftovers ---- */

static int
sweep_folder(const char *path, const char *id, struct db *db, struct err *e)
{
    struct api_image i = {0};
    DIR *d _cleanup_(closedirp) = NULL;
    struct dirent *de;
    int r = store_image_get(db, NULL, id, &i);

    codec_clear(&table_image, &i);
    if (r == -ENOENT) {
        COUNT(image_folder_swept);
        return fs_remove_tree(path, e);
    }
    if (r < 0)
        return db_err(db, r, e);
    d = opendir(path);
    if (!d)
        return err_errno(e, -errno, "cannot read %s", path);
    while ((de = readdir(d)))
        if (strstr(de->d_name, ".tmp.") &&
            unlinkat(dirfd(d), de->d_name, 0) < 0)
            return err_errno(e, -errno, "cannot remove %s/%s", path,
                             de->d_name);
    return 0;
}

int
image_sweep(struct ctl *ctl, struct db *db, struct err *reterr)
{
    DIR *d _cleanup_(closedirp) = opendir(ctl->image_dir);
    struct dirent *de;
    int r = 0;

    if (!d)
        return err_errno(reterr, -errno, "cannot read %s", ctl->image_dir);
    while (r == 0 && (de = readdir(d))) {
        char *path _cleanup_(freep) =
            xasprintf("%s/%s", ctl->image_dir, de->d_name);

        if (id_valid(de->d_name))
            r = sweep_folder(path, de->d_name, db, reterr);
    }
    return r;
}
