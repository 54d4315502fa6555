/* scopes.c - scopes of tokens; see scopes.h. A tag's bit is its place among
 * the tags of the routes that take a token, which is fixed within a build;
 * rows and replies hold the words. */
#include <config.h>

#include "controllerd/scopes.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define TAGS_MAX 32

static const char *tags[TAGS_MAX];
static int tags_n;
static pthread_once_t tags_once = PTHREAD_ONCE_INIT;

static void
tags_init(void)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];
        int k = 0;

        while (k < tags_n && strcmp(tags[k], r->tag) != 0)
            k++;
        if (r->auth != AUTH_TOKEN || k < tags_n)
            continue;
        assert(tags_n < TAGS_MAX);
        tags[tags_n++] = r->tag;
    }
}

static int
tag_bit(const char *tag, size_t len)
{
    pthread_once(&tags_once, tags_init);
    for (int k = 0; k < tags_n; k++)
        if (strlen(tags[k]) == len && memcmp(tags[k], tag, len) == 0)
            return k;
    return -1;
}

/* One more scope into *s; false if it is none. */
static bool
add(struct scopes *s, const char *text)
{
    size_t n = strcspn(text, ":");
    int bit = tag_bit(text, n);
    bool write = strcmp(text + n, ":write") == 0;

    if (bit < 0 || (!write && strcmp(text + n, ":read") != 0))
        return false;
    s->limited = true;
    s->read |= UINT32_C(1) << bit;
    if (write)
        s->write |= UINT32_C(1) << bit;
    return true;
}

int
scopes_parse(const struct codec_list *list, struct scopes *ret,
             struct err *reterr)
{
    struct scopes s = {0};
    char *const *item = list->items;
    int r = 0;

    for (size_t i = 0; i < list->n; i++) {
        char pointer[32];

        if (add(&s, item[i]))
            continue;
        snprintf(pointer, sizeof(pointer), "/scopes/%zu", i);
        r = err_field(reterr, pointer, "unknown_scope",
                      "must be TAG:read or TAG:write with a group of the "
                      "API reference, such as instances:read");
    }
    if (r == 0)
        *ret = s;
    return r;
}

bool
scopes_cover(const struct scopes *s, const struct scopes *other)
{
    if (!s->limited)
        return true;
    return other->limited && !(other->read & ~s->read) &&
           !(other->write & ~s->write);
}

/* What is typed at a console is no reading, though its path is got. */
static bool
is_read(const struct api_route *r)
{
    return strcmp(r->method, "GET") == 0 && r->status != 101;
}

bool
scopes_allow(const struct scopes *s, const struct api_route *r)
{
    /* Everybody may ask who they are. */
    if (!s->limited || r->id == ROUTE_WHOAMI)
        return true;
    int bit = tag_bit(r->tag, strlen(r->tag));
    return bit >= 0 && ((is_read(r) ? s->read : s->write) >> bit & 1);
}

void
scopes_needed(const struct api_route *r, char out[SCOPE_SIZE])
{
    snprintf(out, SCOPE_SIZE, "%s:%s", r->tag, is_read(r) ? "read" : "write");
}

void
scopes_list(const struct scopes *s, struct codec_list *ret)
{
    pthread_once(&tags_once, tags_init);
    for (int k = 0; s->limited && k < tags_n; k++) {
        char text[SCOPE_SIZE];

        if (!(s->read >> k & 1))
            continue;
        snprintf(text, sizeof(text), "%s:%s", tags[k],
                 s->write >> k & 1 ? "write" : "read");
        codec_strings_add(ret, text);
    }
}
