/* log_page.c - a page of a log; see log_page.h. */
#include <config.h>

#include "controllerd/log_page.h"

#include <string.h>

#define CHUNK 500

/* One row; moved into the page if it is wanted. */
static void
look(const struct log_scan *s, char *row, struct log_page *p)
{
    const struct codec_field *seq = codec_field_find(s->table, "seq");
    const struct codec_field *id = codec_field_find(s->table, "id");

    p->cursor = *(int64_t *)(void *)(row + seq->offset);
    snprintf(p->id, sizeof(p->id), "%s", *(char **)(void *)(row + id->offset));
    if (!s->wanted(row, s->arg))
        return;
    memcpy(codec_list_add(s->table, &p->items), row, s->table->size);
    memset(row, 0, s->table->size);
}

int
log_page_scan(struct db *db, const struct log_scan *s, struct log_page *p)
{
    for (int seen = 0; seen < s->rows; seen += CHUNK) {
        struct codec_list l = {0};
        int r = s->list(db, s->project, p->cursor, CHUNK, &l);
        size_t i = 0;

        for (; r == 0 && i < l.n && p->items.n < s->limit; i++)
            look(s, (char *)l.items + i * s->table->size, p);
        bool end = i == l.n && l.n < CHUNK;
        codec_list_clear(s->table, &l);
        if (r < 0 || end)
            return r;
        if (p->items.n == s->limit)
            break;
    }
    p->more = true;
    return 0;
}
