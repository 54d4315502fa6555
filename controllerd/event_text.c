/* event_text.c - which events somebody gets, and how they look; see events.h.
 */
#include <config.h>

#include "controllerd/events.h"

#include <string.h>

#include "common/mem.h"

/* What only admins of a project can list, readers do not hear of. */
static bool
is_private(const char *kind)
{
    static const char *const of[] = {"token.",  "user.",    "session.",
                                     "member.", "webhook.", "project.",
                                     "quota."};

    for (size_t i = 0; i < ARRAY_SIZE(of); i++)
        if (strncmp(kind, of[i], strlen(of[i])) == 0)
            return true;
    return false;
}

static bool
kind_matches(const char *pattern, size_t n, const char *kind)
{
    if (n && pattern[n - 1] == '*')
        return strncmp(pattern, kind, n - 1) == 0;
    return strlen(kind) == n && memcmp(pattern, kind, n) == 0;
}

static bool
kind_wanted(const char *kinds, const char *kind)
{
    if (!*kinds)
        return true;
    for (const char *p = kinds;; p++) {
        size_t n = strcspn(p, ",");

        if (kind_matches(p, n, kind))
            return true;
        p += n;
        if (!*p)
            return false;
    }
}

bool
event_wanted(const struct event_filter *f, const struct api_event *e)
{
    if (f->project_id[0] && !streq(f->project_id, e->project_id))
        return false;
    if (!f->admin && is_private(e->kind))
        return false;
    return kind_wanted(f->kinds, e->kind);
}

bool
event_kinds_valid(const char *kinds)
{
    if (!*kinds)
        return true;
    for (const char *p = kinds;; p++) {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz_.");
        size_t all = strcspn(p, ",");

        if (all == 0 || all > 64 || (n != all && (n + 1 != all || p[n] != '*')))
            return false;
        p += all;
        if (!*p)
            return true;
    }
}

/* The JSON is one line, so that one "data:" holds it. */
void
event_sse(const struct api_event *e, struct buf *out)
{
    buf_addf(out, "id: %lld\nevent: %s\ndata: ", (long long)e->seq, e->kind);
    codec_encode(&table_event, e, out);
    buf_adds(out, "\n\n");
}

void
event_sse_reset(int64_t from_seq, int64_t first_seq, int64_t last_seq,
                struct buf *out)
{
    buf_addf(out,
             "id: %lld\nevent: reset\ndata: {\"first_seq\":%lld,"
             "\"last_seq\":%lld}\n\n",
             (long long)from_seq, (long long)first_seq, (long long)last_seq);
}
