/* log.c - logfmt lines on standard error; see log.h. */
#include <config.h>

#include "common/log.h"

#include <stdarg.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"

static const char *prog_name = "virga";
static _Atomic int max = LOG_LEVEL_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};
static _Thread_local char request[136]; /* " req=ID", or nothing */

void
log_setup(const char *prog, enum log_level max_level)
{
    prog_name = prog;
    atomic_store(&max, (int)max_level);
}

int
log_level_parse(const char *s, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
        if (strcmp(s, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    return -EINVAL;
}

void
log_set_request(const char *id)
{
    if (!id || !*id) {
        request[0] = '\0';
        return;
    }
    snprintf(request, sizeof(request), " req=%s", id);
    for (char *p = request + 5; *p; p++)
        if (*p == ' ' || *p == '"')
            *p = '?'; /* nobody else's pair */
}

void
log_write(enum log_level level, const char *msg, const char *kv, ...)
{
    char line[2048], ts[CLOCK_TEXT_MAX];
    int saved = errno;
    va_list ap;

    if ((int)level > atomic_load_explicit(&max, memory_order_relaxed))
        return;
    clock_format(clock_now_us(), ts);
    int n = snprintf(line, sizeof(line), "ts=%s level=%s prog=%s msg=\"%s\"%s",
                     ts, level_names[level], prog_name, msg, request);
    if (n > 0 && (size_t)n < sizeof(line) - 2 && kv && *kv) {
        line[n++] = ' ';
        va_start(ap, kv);
        int m = vsnprintf(line + n, sizeof(line) - (size_t)n, kv, ap);
        va_end(ap);
        n += m < 0 ? 0 : m;
    }
    size_t len = MIN((size_t)(n < 0 ? 0 : n), sizeof(line) - 2);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[len++] = '\n';
    ssize_t w = write(STDERR_FILENO, line, len);
    if (w < 0)
        COUNT(log_line_lost);
    errno = saved;
}

bool
log_limit_pass(struct log_limit *l, unsigned burst)
{
    int64_t now = clock_mono_us() / 1000000;

    if (atomic_load(&l->second) != now) {
        atomic_store(&l->second, now);
        atomic_store(&l->used, 0);
    }
    if (atomic_fetch_add(&l->used, 1) < burst)
        return true;
    COUNT(log_line_suppressed);
    return false;
}
