/* common/log.h - log lines in logfmt, to standard error.
 * Role:    one line per event: ts, level, prog, msg, then the caller's
 *          key=value pairs. Never a token, key or user data.
 * Threads: any thread; a line is one write(2).
 * Errors:  none; a line that cannot be written is dropped. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/* prog is kept by reference. */
void log_setup(const char *prog, enum log_level max_level);
/* "error", "warn", "info", "debug"; -EINVAL otherwise. */
int log_level_parse(const char *s, enum log_level *ret);

/* kv is a printf format of ready key=value pairs; quote strings that may hold
 * spaces with \"%s\" (the line writer turns control characters into '?'). */
void log_write(enum log_level level, const char *msg, const char *kv, ...)
    _printf_(3, 4);

/* All lines of this thread get req=ID, until another or NULL is set. The text
 * is copied; of a long one the begin. */
void log_set_request(const char *id);

/* At most `burst` lines a second from one place; counts what it drops. */
struct log_limit {
    _Atomic int64_t second;
    _Atomic unsigned used;
};
bool log_limit_pass(struct log_limit *l, unsigned burst);

#define log_error(msg, ...) log_write(LOG_LEVEL_ERROR, msg, __VA_ARGS__)
#define log_warn(msg, ...) log_write(LOG_LEVEL_WARN, msg, __VA_ARGS__)
#define log_info(msg, ...) log_write(LOG_LEVEL_INFO, msg, __VA_ARGS__)
#define log_debug(msg, ...) log_write(LOG_LEVEL_DEBUG, msg, __VA_ARGS__)
/* For anything that a client or guest can trigger. */
#define log_limited(level, msg, ...)                                           \
    do {                                                                       \
        static struct log_limit limit_;                                        \
        if (log_limit_pass(&limit_, 5))                                        \
            log_write(level, msg, __VA_ARGS__);                                \
    } while (0)

#endif
