/* precondition.c - conditional requests (RFC 9110 section 13).
 * An object's entity tag is its generation in quotes, "7". A strong comparison
 * is asked for, so that a weak tag (W/"7") never matches. */
#include <config.h>

#include "controllerd/ctl.h"

#include <string.h>

#include "common/count.h"

/* One entity-tag (RFC 9110 section 8.8.3) at *s, which moves behind it: 1 if
 * it is strong and equals tag, 0 if not, -EINVAL if it is none. */
static int
take_tag(const char **s, const char *tag)
{
    bool weak = strncmp(*s, "W/", 2) == 0;
    const char *p = *s + (weak ? 2 : 0);

    if (*p++ != '"')
        return -EINVAL;
    const char *end = p;
    while (*end && *end != '"' && (unsigned char)*end > ' ' && *end != 0x7f)
        end++;
    if (*end != '"')
        return -EINVAL;
    *s = end + 1;
    size_t n = (size_t)(end - p);
    return !weak && strlen(tag) == n && memcmp(p, tag, n) == 0;
}

int
if_match(const char *header, int64_t generation)
{
    const char *s = header + strspn(header, " \t");
    char tag[24];
    int found = 0;

    if (s[0] == '*' && s[1 + strspn(s + 1, " \t")] == '\0')
        return 1;
    snprintf(tag, sizeof(tag), "%lld", (long long)generation);
    s += strspn(s, " \t,"); /* empty elements count as none, section 5.6.1.2 */
    do {
        int r = take_tag(&s, tag);

        if (r < 0)
            return r;
        found |= r;
        s += strspn(s, " \t");
        if (*s && *s != ',')
            return -EINVAL;
        s += strspn(s, " \t,");
    } while (*s);
    return found;
}

int
call_if_match(struct call *c, int64_t generation)
{
    const char *header = http_header(c->rq, "If-Match");
    int r = header ? if_match(header, generation) : 1;

    if (r < 0)
        return err_set(&c->err, r, "bad_if_match",
                       "If-Match must be * or an ETag such as \"%lld\"",
                       (long long)generation);
    if (r == 0) {
        COUNT(precondition_failed);
        return err_set(&c->err, -ECANCELED, "precondition_failed",
                       "it was changed meanwhile: its ETag is \"%lld\" now",
                       (long long)generation);
    }
    return 0;
}

int
call_if_match_required(struct call *c, int64_t generation)
{
    if (!http_header(c->rq, "If-Match"))
        return err_set(&c->err, -EINVAL, "precondition_required",
                       "send If-Match with the ETag of what you have seen, or "
                       "with * to overwrite whatever is there");
    return call_if_match(c, generation);
}
