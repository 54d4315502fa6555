/* webhook_msg.c - bodies, signatures, addresses; see webhook_msg.h. */
#include <config.h>

#include "controllerd/webhook_msg.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"

#define PREFIX "whsec_"

/* ---- secrets and signatures ---- */

static void
add_base64(const void *data, size_t n, struct buf *out)
{
    gnutls_datum_t in = {(unsigned char *)data, (unsigned)n}, text = {0};

    if (gnutls_base64_encode2(&in, &text) < 0)
        abort(); /* out of memory */
    buf_add(out, text.data, text.size);
    gnutls_free(text.data);
}

void
webhook_new_secret(char out[WEBHOOK_SECRET_SIZE])
{
    unsigned char key[32];
    struct buf b _cleanup_(buf_release) = {0};

    id_random(key, sizeof(key));
    add_base64(key, sizeof(key), &b);
    snprintf(out, WEBHOOK_SECRET_SIZE, PREFIX "%s", buf_str(&b));
}

int
webhook_parse_secret(const char *secret, struct webhook_key *ret)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/=";
    gnutls_datum_t in, raw = {0};

    if (strncmp(secret, PREFIX, strlen(PREFIX)) != 0)
        return -EINVAL;
    const char *text = secret + strlen(PREFIX);
    in.data = (unsigned char *)text;
    in.size = (unsigned)strlen(text);
    for (const char *p = text; *p; p++)
        if (!strchr(base64, *p))
            return -EINVAL;
    if (in.size == 0 || gnutls_base64_decode2(&in, &raw) < 0)
        return -EINVAL;
    int r =
        raw.size < WEBHOOK_KEY_MIN || raw.size > WEBHOOK_KEY_MAX ? -EINVAL : 0;
    if (r == 0) {
        memcpy(ret->data, raw.data, raw.size);
        ret->n = raw.size;
    }
    gnutls_free(raw.data);
    return r;
}

void
webhook_sign(const struct webhook_key *key, const char *id, int64_t timestamp_s,
             const void *body, size_t n, struct buf *out)
{
    struct buf text _cleanup_(buf_release) = {0};
    unsigned char mac[32];

    buf_addf(&text, "%s.%lld.", id, (long long)timestamp_s);
    buf_add(&text, body, n);
    if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->data, key->n, text.data,
                         text.len, mac) < 0)
        abort(); /* an algorithm that every build has */
    buf_adds(out, "v1,");
    add_base64(mac, sizeof(mac), out);
}

/* ---- the body ---- */

static void
add_member(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "\"%s\":", name);
    codec_encode_string(value, out);
    buf_addc(out, ',');
}

void
webhook_body(const struct api_event *e, const char *source, struct buf *out)
{
    char text[CLOCK_TEXT_MAX];
    char *type _cleanup_(freep) = xasprintf("virga.%s", e->kind);

    buf_addc(out, '{');
    add_member(out, "specversion", "1.0");
    add_member(out, "id", e->id);
    add_member(out, "source", source);
    add_member(out, "type", type);
    add_member(out, "time", clock_format(e->at, text));
    if (e->resource_id) {
        char *subject _cleanup_(freep) =
            xasprintf("%s/%s", e->resource_type, e->resource_id);

        add_member(out, "subject", subject);
    }
    /* The extension "sequence": texts that sort as the numbers do. */
    snprintf(text, sizeof(text), "%020lld", (long long)e->seq);
    add_member(out, "sequence", text);
    add_member(out, "datacontenttype", "application/json");
    buf_adds(out, "\"data\":");
    codec_encode(&table_event, e, out);
    buf_addc(out, '}');
}

/* ---- addresses ---- */

static bool
public4(uint32_t a) /* host order */
{
    static const struct {
        uint32_t net;
        int bits;
    } no[] = {
        {0x00000000, 8},  /* this network */
        {0x0a000000, 8},  /* private */
        {0x64400000, 10}, /* carriers' shared space */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local, with clouds' metadata */
        {0xac100000, 12}, /* private */
        {0xc0000000, 24}, /* protocol assignments */
        {0xc0000200, 24}, /* documentation */
        {0xc0586300, 24}, /* 6to4 relays */
        {0xc0a80000, 16}, /* private */
        {0xc6120000, 15}, /* benchmarks */
        {0xc6336400, 24}, /* documentation */
        {0xcb007100, 24}, /* documentation */
        {0xe0000000, 4},  /* multicast */
        {0xf0000000, 4},  /* reserved, broadcast */
    };

    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        if (((a ^ no[i].net) >> (32 - no[i].bits)) == 0)
            return false;
    return true;
}

static uint32_t
be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

static bool
public6(const unsigned char a[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};

    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return public4(be32(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
        return public4(be32(a + 2));
    /* Global unicast is 2000::/3 alone; of it 2001::/23 (Teredo and other
     * protocols' own) and 2001:db8::/32 (documentation) are not. */
    if ((a[0] & 0xe0) != 0x20)
        return false;
    if (a[0] == 0x20 && a[1] == 0x01 &&
        ((a[2] & 0xfe) == 0 || (a[2] == 0x0d && a[3] == 0xb8)))
        return false;
    return !(a[0] == 0x3f && a[1] == 0xff && (a[2] & 0xf0) == 0);
}

bool
webhook_address_public(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return public4(
            ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr));
    if (sa->sa_family == AF_INET6)
        return public6(((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr);
    return false;
}

/* ---- URLs ---- */

static char *
part_of(CURLU *u, CURLUPart what)
{
    char *s = NULL;

    return curl_url_get(u, what, &s, 0) == CURLUE_OK ? s : NULL;
}

/* RFC 6761 section 6.3: every name below localhost is this machine. */
static bool
is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t n = strlen(host), own = sizeof(name) - 1;

    n -= n > 0 && host[n - 1] == '.';
    return n >= own && strncasecmp(host + n - own, name, own) == 0 &&
           (n == own || host[n - own - 1] == '.');
}

/* A literal address is known now; what a name means, when it is used. */
static bool
literal_is_private(const char *host)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr *sa = (struct sockaddr *)&ss;
    char text[INET6_ADDRSTRLEN];

    if (inet_pton(AF_INET, host, &((struct sockaddr_in *)sa)->sin_addr) == 1) {
        sa->sa_family = AF_INET;
        return !webhook_address_public(sa);
    }
    if (host[0] != '[')
        return is_localhost(host);
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(host + 1, "%]"),
             host + 1);
    sa->sa_family = AF_INET6;
    return inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)sa)->sin6_addr) !=
               1 ||
           !webhook_address_public(sa);
}

/* A name as DNS takes it (RFC 1123 section 2.1, and '_'), or an address in
 * brackets. */
static bool
host_valid(const char *host)
{
    static const char inner[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-_";

    if (host[0] == '[')
        return true; /* the parser has read it */
    if (strlen(host) > 253)
        return false;
    for (const char *p = host;;) {
        size_t n = strspn(p, inner);

        if (n == 0 || n > 63 || *p == '-' || p[n - 1] == '-')
            return false;
        p += n;
        if (*p == '.')
            p++;
        else if (*p)
            return false;
        if (!*p)
            return true;
    }
}

/* The parser takes what browsers take: other slashes than two, letters of any
 * alphabet, which may stand for ASCII ones or for the dots of an address. */
static bool
is_plain(const char *url)
{
    const char *p = strstr(url, "://");

    for (const unsigned char *q = (const unsigned char *)url; *q; q++)
        if (*q <= ' ' || *q >= 0x7f)
            return false;
    return p && p[3] != '/';
}

int
webhook_check_url(const char *url, bool allow_private, struct err *reterr)
{
    CURLU *u = curl_url();
    int r = 0;

    if (!u)
        return err_set(reterr, -ENOMEM, "no_memory", "out of memory");
    bool ok =
        is_plain(url) && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
    char *scheme = ok ? part_of(u, CURLUPART_SCHEME) : NULL;
    char *host = ok ? part_of(u, CURLUPART_HOST) : NULL;
    char *user = ok ? part_of(u, CURLUPART_USER) : NULL;
    char *password = ok ? part_of(u, CURLUPART_PASSWORD) : NULL;
    char *port = ok ? part_of(u, CURLUPART_PORT) : NULL;
    if (!scheme || !host || !*host ||
        (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
        r = err_field(reterr, "/url", "url",
                      "must be a URL that begins with https:// or http://, in "
                      "ASCII");
    else if (user || password)
        r = err_field(reterr, "/url", "url",
                      "must hold no user and no password: others see it");
    else if (!host_valid(host))
        r = err_field(reterr, "/url", "host",
                      "must lead to a host's name or address");
    else if (port && strtol(port, NULL, 10) == 0)
        r = err_field(reterr, "/url", "port", "must lead to a port above 0");
    else if (!allow_private && literal_is_private(host))
        r = err_field(reterr, "/url", "private_address",
                      "must not lead to a private or special address");
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    curl_free(port);
    curl_url_cleanup(u);
    return r;
}
