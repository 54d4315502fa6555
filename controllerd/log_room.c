/* log_room.c - who gives way when a log is full; see log_room.h. */
#include <config.h>

#include "controllerd/log_room.h"

#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/mem.h"

#define BATCH 2000 /* rows, so that others get their turn at the writer */

static int
by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* From the smallest on: who is below the even share of what is left keeps
 * everything, and leaves more to the others. */
int64_t
log_room_level(const int64_t *counts, size_t n, int64_t max)
{
    int64_t *sorted _cleanup_(freep) = xcalloc(n + 1, sizeof(*sorted));
    int64_t left = max;

    if (!n)
        return max;
    memcpy(sorted, counts, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_number);
    for (size_t i = 0; i < n; i++) {
        int64_t share = left / (int64_t)(n - i);

        if (sorted[i] > share)
            return share;
        left -= sorted[i];
    }
    return sorted[n - 1];
}

struct trim_job {
    struct db_job job; /* first */
    enum store_log log;
    const char *project;
    int rows, removed;
};

static int
trim_run(struct db *db, struct db_job *job)
{
    struct trim_job *j = (struct trim_job *)job;

    j->removed = store_log_trim(db, j->log, j->project, j->rows);
    return MIN(j->removed, 0);
}

static int
trim(struct ctl *ctl, enum store_log log, const char *project, int64_t rows)
{
    while (rows > 0) {
        struct trim_job j = {.job.run = trim_run,
                             .log = log,
                             .project = project,
                             .rows = (int)MIN(rows, (int64_t)BATCH)};
        int r = db_writer_call(ctl->writer, &j.job);

        if (r < 0 || j.removed == 0)
            return r;
        COUNT_N(log_rows_made_room, j.removed);
        rows -= j.removed;
    }
    return 0;
}

int
log_room_make(struct ctl *ctl, struct db *reader, enum store_log log,
              int64_t max)
{
    struct codec_list l = {0};
    int r = store_log_counts(reader, log, max, &l);
    const struct store_log_count *of = l.items;
    int64_t *counts _cleanup_(freep) = xcalloc(l.n + 1, sizeof(*counts));

    for (size_t i = 0; i < l.n; i++)
        counts[i] = of[i].rows;
    int64_t level = log_room_level(counts, l.n, max);
    for (size_t i = 0; i < l.n && r == 0; i++)
        r = trim(ctl, log, of[i].project, of[i].rows - level);
    free(l.items);
    return r;
}
