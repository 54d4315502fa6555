/* http_check.c - what of a request's head the library lets pass and HTTP does
 * not: heads that two programs on a way would read differently, so that what
 * one takes for a body is a request to the other; see http_well_formed(). */
#include <config.h>

#include "api/http-private.h"

#include <string.h>
#include <strings.h>

#include "common/mem.h"

/* Fields that are there once (RFC 9110 section 5.3, RFC 6265 section 5.4); of
 * several only the first would count. */
enum single {
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    HOST,
    AUTHORIZATION,
    CONTENT_TYPE,
    COOKIE,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LAST_EVENT_ID,
    ORIGIN,
    CSRF_TOKEN,
    REQUEST_ID,
    SINGLES,
};

static const char *const single_names[SINGLES] = {
    [CONTENT_LENGTH] = "Content-Length",
    [TRANSFER_ENCODING] = "Transfer-Encoding",
    [HOST] = "Host",
    [AUTHORIZATION] = "Authorization",
    [CONTENT_TYPE] = "Content-Type",
    [COOKIE] = "Cookie",
    [IDEMPOTENCY_KEY] = "Idempotency-Key",
    [IF_MATCH] = "If-Match",
    [LAST_EVENT_ID] = "Last-Event-ID",
    [ORIGIN] = "Origin",
    [CSRF_TOKEN] = "X-CSRF-Token",
    [REQUEST_ID] = "X-Request-Id",
};

struct check {
    const char *value[SINGLES];
    const char *wrong; /* of the first field that is wrong */
    const char *name;  /* its name, where that can be shown */
};

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* A token (RFC 9110 section 5.6.2). A space before the colon is a part of the
 * name here (RFC 9112 section 5.1). */
static bool
name_valid(const char *name, size_t n)
{
    static const char tchar[] = LETTERS "!#$%&'*+-.^_`|~";

    return n > 0 && strlen(name) == n && strspn(name, tchar) == n;
}

/* RFC 9110 section 5.5: no control characters, so that no program on the way
 * sees an end of the line or of the text where others do not. */
static bool
value_valid(const char *value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)value[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static enum MHD_Result
look(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
     const char *value, size_t value_n)
{
    struct check *k = cls;

    if (!name_valid(name, name_n)) {
        k->wrong = "a header's name is malformed";
        return MHD_NO;
    }
    if (!value_valid(value, value_n)) {
        k->wrong = "holds a control character";
        k->name = name;
        return MHD_NO;
    }
    for (int i = 0; i < SINGLES; i++) {
        if (strcasecmp(name, single_names[i]) != 0)
            continue;
        if (k->value[i]) {
            k->wrong = "is there twice";
            k->name = single_names[i];
            return MHD_NO;
        }
        k->value[i] = value ? value : "";
    }
    return MHD_YES;
}

/* RFC 9112 sections 3.2 and 6.1; RFC 3986 section 3.2 without user names. */
static const char *
whole_wrong(const struct check *k, bool must_have_host)
{
    static const char authority[] = LETTERS "-._~%!$&'()*+,;=:[]";
    const char *te = k->value[TRANSFER_ENCODING], *host = k->value[HOST];

    if (te && k->value[CONTENT_LENGTH])
        return "Content-Length and Transfer-Encoding exclude each other";
    if (te && strcasecmp(te, "chunked") != 0)
        return "of transfer encodings only chunked is known here";
    if (!host && must_have_host)
        return "a request needs the header Host";
    if (host && strspn(host, authority) != strlen(host))
        return "the header Host holds no host";
    return NULL;
}

int
http_check_head(struct MHD_Connection *c, const char *version,
                struct err *reterr)
{
    struct check k = {0};

    MHD_get_connection_values_n(c, MHD_HEADER_KIND, look, &k);
    if (k.wrong && k.name)
        return err_field(reterr, k.name, "header", "%s", k.wrong);
    if (!k.wrong)
        k.wrong = whole_wrong(&k, strcmp(version, "HTTP/1.0") != 0);
    return k.wrong ? err_set(reterr, -EINVAL, "bad_head", "%s", k.wrong) : 0;
}
