/* controllerd/log_page.h - a page of a log, of which few rows may be wanted.
 * Role:      what the lists of events and of audit entries share: rows are
 *            read in chunks from a number on and looked at one by one, so many
 *            and no more for one call.
 * Ownership: the page's items are the caller's.
 * Threads:   as the connection.   Errors: the store's. */
#ifndef CONTROLLERD_LOG_PAGE_H
#define CONTROLLERD_LOG_PAGE_H

#include "controllerd/ctl.h"

struct log_scan {
    const struct codec_table *table; /* with the fields seq and id */
    /* Rows from a number on, in the log's order. */
    int (*list)(struct db *db, const char *project, int64_t from, int limit,
                struct codec_list *ret);
    bool (*wanted)(const void *row, void *arg);
    void *arg;
    const char *project; /* NULL: all */
    size_t limit;        /* items */
    int rows;            /* looked at */
};

struct log_page {
    struct codec_list items;
    int64_t cursor;   /* from here on; then: of the last row looked at */
    char id[ID_SIZE]; /* of that row */
    bool more;        /* there may be some */
};

/* Fills p->items from p->cursor on. */
int log_page_scan(struct db *db, const struct log_scan *s,
                  struct log_page *p) _must_check_;

#endif
