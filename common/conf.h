/* common/conf.h - daemon settings from a file and the command line.
 * Role:      one table per daemon; each key is both `key = value` in the file
 *            and `--key value` (or `--key=value`) on the command line, which
 *            wins. `--config FILE` names the file; a line that begins with `#`
 *            is a comment.
 * Ownership: string settings are allocated into the caller's struct;
 *            conf_release() frees them.
 * Threads:   start-up only.
 * Errors:    -EINVAL; reterr says file, line and key, or the option. */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum conf_type {
    CONF_STRING,
    CONF_INT,      /* int64_t, with min and max */
    CONF_SIZE,     /* int64_t bytes: "64M", "1G" (binary units) */
    CONF_DURATION, /* int64_t microseconds: "30s" */
    CONF_FLAG,     /* int64_t 0 or 1; the option may stand alone */
};

struct conf_key {
    const char *key;
    enum conf_type type;
    size_t offset;
    int64_t min, max;
    const char *dflt; /* text as in the file; NULL: none (NULL / 0) */
    const char *doc;  /* one line for --help and the man page */
};

/* Fills *out (defaults first). Returns 1 when --help or --version was printed
 * and the program should end with success. */
int conf_load(const struct conf_key *keys, size_t n, int argc,
              char *const *argv, const char *prog, const char *default_file,
              void *out, struct err *reterr) _must_check_;
void conf_release(const struct conf_key *keys, size_t n, void *out);
/* "512M" and so on; a bare number is bytes. */
int conf_parse_size(const char *s, int64_t *ret) _must_check_;

#endif
