/* store_image.c - rows of images and their parts. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"

enum {
    IMAGE_INSERT,
    PART_INSERT,
    IMAGE_GET_ID,
    IMAGE_GET_OWN,
    IMAGE_GET_PUBLIC,
    IMAGE_GET_ANY,
    IMAGE_LIST,
    PART_LIST,
    PART_SET,
    IMAGE_CHANGED,
    IMAGE_BUSY,
    IMAGE_DELETE,
};

#define COLUMNS "id, project_id, name, public, cmdline, created_at, generation"

static const char *const sql[] = {
    [IMAGE_INSERT] =
        "INSERT INTO images (id, project_id, name, public, cmdline, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?)",
    [PART_INSERT] = "INSERT INTO image_parts (image_id, part, format) "
                    "VALUES (?, ?, ?)",
    [IMAGE_GET_ID] = "SELECT " COLUMNS " FROM images WHERE id = ?2 "
                     "AND (?1 IS NULL OR project_id = ?1 OR public = 1)",
    [IMAGE_GET_OWN] = "SELECT " COLUMNS " FROM images WHERE project_id = ? "
                      "AND name = ?",
    [IMAGE_GET_PUBLIC] = "SELECT " COLUMNS " FROM images WHERE name = ? AND "
                         "public = 1 ORDER BY id LIMIT 1",
    [IMAGE_GET_ANY] = "SELECT " COLUMNS " FROM images WHERE name = ? "
                      "ORDER BY id LIMIT 1",
    [IMAGE_LIST] = "SELECT " COLUMNS " FROM images WHERE (?1 IS NULL OR "
                   "project_id = ?1 OR public = 1) AND id > ?2 "
                   "ORDER BY id LIMIT ?3",
    [PART_LIST] = "SELECT part, format, size_bytes, virtual_bytes, sha256 "
                  "FROM image_parts WHERE image_id = ? ORDER BY part",
    [PART_SET] = "UPDATE image_parts SET size_bytes = ?3, virtual_bytes = ?4, "
                 "sha256 = ?5 WHERE image_id = ?1 AND part = ?2 "
                 "AND size_bytes IS NULL",
    [IMAGE_CHANGED] = "UPDATE images SET generation = generation + 1 "
                      "WHERE id = ?",
    [IMAGE_BUSY] = "SELECT 1 FROM instances WHERE image_id = ? "
                   "AND deleted_at IS NULL LIMIT 1",
    [IMAGE_DELETE] = "DELETE FROM images WHERE id = ?",
};

struct store_statements store_image_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_image_sql) + (x))

int
store_image_insert(struct db *db, const struct api_image *i)
{
    int r = store_changed(db_run(db, S(IMAGE_INSERT), "sssisi", i->id,
                                 i->project_id, i->name, (int64_t)i->is_public,
                                 i->cmdline, i->created_at));

    for (size_t k = 0; k < i->parts.n && r == 0; k++) {
        const struct api_image_part *p =
            (const struct api_image_part *)i->parts.items + k;

        r = store_changed(db_run(db, S(PART_INSERT), "sii", i->id,
                                 (int64_t)p->name, (int64_t)p->format));
    }
    return r;
}

static void
image_row(struct db *db, unsigned st, struct api_image *i)
{
    i->id = store_text(db, st, 0);
    i->project_id = store_text(db, st, 1);
    i->name = store_text(db, st, 2);
    i->is_public = db_int(db, st, 3);
    i->cmdline = store_text(db, st, 4);
    i->created_at = db_int(db, st, 5);
    i->generation = db_int(db, st, 6);
}

static int
read_parts(struct db *db, struct api_image *i)
{
    unsigned st = S(PART_LIST);
    int r = db_query(db, st, "s", i->id);

    i->state = IMAGE_ACTIVE;
    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_image_part *p = codec_list_add(&table_image_part, &i->parts);

        p->name = (int)db_int(db, st, 0);
        p->format = (int)db_int(db, st, 1);
        p->size_bytes = db_int(db, st, 2);
        p->virtual_bytes = db_int(db, st, 3);
        p->sha256 = store_text(db, st, 4);
        i->size_bytes += p->size_bytes;
        if (!p->sha256)
            i->state = IMAGE_PENDING;
    }
    return r;
}

int
store_image_get(struct db *db, const char *project, const char *ref,
                struct api_image *ret)
{
    unsigned st = id_valid(ref) ? S(IMAGE_GET_ID)
                  : project     ? S(IMAGE_GET_OWN)
                                : S(IMAGE_GET_ANY);
    int r = st == S(IMAGE_GET_ANY) ? db_get(db, st, "s", ref)
                                   : db_get(db, st, "ss", project, ref);

    if (r == -ENOENT && st == S(IMAGE_GET_OWN)) {
        db_reset(db, st);
        st = S(IMAGE_GET_PUBLIC);
        r = db_get(db, st, "s", ref);
    }
    if (r == 0) {
        *ret = (struct api_image){0};
        image_row(db, st, ret);
    }
    db_reset(db, st);
    if (r == 0)
        r = read_parts(db, ret);
    return r;
}

int
store_image_list(struct db *db, const char *project, const char *after,
                 int limit, struct codec_list *ret)
{
    unsigned st = S(IMAGE_LIST);
    int r = db_query(db, st, "ssi", project, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        image_row(db, st, codec_list_add(&table_image, ret));
    for (size_t k = 0; k < ret->n && r == 0; k++)
        r = read_parts(db, (struct api_image *)ret->items + k);
    return r;
}

int
store_image_delete(struct db *db, const char *id)
{
    int r = db_get(db, S(IMAGE_BUSY), "s", id);

    db_reset(db, S(IMAGE_BUSY));
    if (r != -ENOENT)
        return r < 0 ? r : -EBUSY;
    return store_changed(db_run(db, S(IMAGE_DELETE), "s", id));
}

int
store_image_part_set(struct db *db, const char *image_id,
                     const struct api_image_part *p)
{
    int r = db_run(db, S(PART_SET), "siiis", image_id, (int64_t)p->name,
                   p->size_bytes, p->virtual_bytes, p->sha256);

    if (r <= 0)
        return r < 0 ? r : -EEXIST;
    return store_changed(db_run(db, S(IMAGE_CHANGED), "s", image_id));
}
