/* sshkey.c - reads public SSH keys strictly; see sshkey.h. */
#include <config.h>

#include "controllerd/sshkey.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/hash.h"
#include "common/mem.h"

/* What is left of a key's bytes. */
struct blob {
    const unsigned char *p;
    size_t n;
};

/* Each reads what follows the key's type; NULL: good, else what is wrong. */
static const char *read_ed25519(struct blob *b);
static const char *read_ecdsa(struct blob *b, const char *curve, size_t bytes);
static const char *read_p256(struct blob *b);
static const char *read_p384(struct blob *b);
static const char *read_p521(struct blob *b);
static const char *read_rsa(struct blob *b);
static const char *read_sk_ed25519(struct blob *b);
static const char *read_sk_p256(struct blob *b);

static const struct {
    const char *type;
    const char *(*read)(struct blob *b);
} kinds[] = {
    {"ssh-ed25519", read_ed25519},
    {"ecdsa-sha2-nistp256", read_p256},
    {"ecdsa-sha2-nistp384", read_p384},
    {"ecdsa-sha2-nistp521", read_p521},
    {"ssh-rsa", read_rsa},
    {"sk-ssh-ed25519@openssh.com", read_sk_ed25519},
    {"sk-ecdsa-sha2-nistp256@openssh.com", read_sk_p256},
};

/* ---- base64 (RFC 4648 section 4), its one canonical form ---- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
digit(char c)
{
    const char *p = c ? strchr(base64_digits, c) : NULL;

    return p ? (int)(p - base64_digits) : -1;
}

/* out has room for 3 bytes of every 4 characters. */
static int
base64_decode(const char *s, size_t n, unsigned char *out, size_t *ret_n)
{
    size_t have = 0;

    if (n == 0 || n % 4)
        return -EINVAL;
    for (size_t i = 0; i < n; i += 4) {
        bool last = i + 4 == n;
        int pad = last && s[i + 3] == '=' ? 1 + (s[i + 2] == '=') : 0;
        uint32_t v = 0;

        for (int k = 0; k < 4; k++) {
            int d = k >= 4 - pad ? 0 : digit(s[i + (size_t)k]);

            if (d < 0)
                return -EINVAL;
            v = v << 6 | (uint32_t)d;
        }
        /* The bits that padding cuts off are 0 in the canonical form. */
        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
            return -EINVAL;
        for (int k = 0; k < 3 - pad; k++)
            out[have++] = (unsigned char)(v >> (16 - 8 * k));
    }
    *ret_n = have;
    return 0;
}

/* Without padding, as OpenSSH writes fingerprints. */
static void
base64_encode(const unsigned char *p, size_t n, char *out)
{
    for (size_t i = 0; i < n; i += 3) {
        size_t here = MIN(n - i, (size_t)3);
        uint32_t v = (uint32_t)p[i] << 16;

        if (here > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (here > 2)
            v |= p[i + 2];
        for (size_t k = 0; k < here + 1; k++)
            *out++ = base64_digits[v >> (18 - 6 * k) & 63];
    }
    *out = '\0';
}

/* ---- a key's bytes ---- */

static bool
take_string(struct blob *b, struct blob *ret)
{
    if (b->n < 4)
        return false;
    size_t n = (size_t)b->p[0] << 24 | (size_t)b->p[1] << 16 |
               (size_t)b->p[2] << 8 | b->p[3];
    if (n > b->n - 4)
        return false;
    *ret = (struct blob){b->p + 4, n};
    b->p += 4 + n;
    b->n -= 4 + n;
    return true;
}

static bool
is_text(const struct blob *b, const char *s)
{
    return b->n == strlen(s) && memcmp(b->p, s, b->n) == 0;
}

static const char *
read_ed25519(struct blob *b)
{
    struct blob key;

    return take_string(b, &key) && key.n == 32 ? NULL
                                               : "must have a key of 32 bytes";
}

/* A point as 04 x y: compressed ones are not in use (RFC 5656 section 3.1). */
static const char *
read_ecdsa(struct blob *b, const char *curve, size_t bytes)
{
    struct blob name, point;

    if (!take_string(b, &name) || !is_text(&name, curve))
        return "names another curve than its type";
    if (!take_string(b, &point) || point.n != 1 + 2 * bytes || point.p[0] != 4)
        return "has no uncompressed point of its curve";
    return NULL;
}

static const char *
read_p256(struct blob *b)
{
    return read_ecdsa(b, "nistp256", 32);
}

static const char *
read_p384(struct blob *b)
{
    return read_ecdsa(b, "nistp384", 48);
}

static const char *
read_p521(struct blob *b)
{
    return read_ecdsa(b, "nistp521", 66);
}

/* A positive number in its shortest form; its bits, or 0. */
static size_t
take_number(struct blob *b, bool *ret_odd)
{
    struct blob v;

    if (!take_string(b, &v) || v.n == 0 || (v.p[0] & 0x80))
        return 0;
    if (v.p[0] == 0 && (v.n == 1 || !(v.p[1] & 0x80)))
        return 0;
    *ret_odd = v.p[v.n - 1] & 1;
    if (v.p[0] == 0) {
        v.p++;
        v.n--;
    }
    size_t bits = 8 * v.n;
    for (unsigned top = v.p[0]; !(top & 0x80); top <<= 1)
        bits--;
    return bits;
}

static const char *
read_rsa(struct blob *b)
{
    bool odd = false;

    if (take_number(b, &odd) < 2 || !odd)
        return "has no odd exponent above 1";
    size_t bits = take_number(b, &odd);
    if (!bits || !odd)
        return "has no odd modulus";
    if (bits < SSHKEY_RSA_BITS_MIN || bits > SSHKEY_RSA_BITS_MAX)
        return "must have 2048 to 16384 bits";
    return NULL;
}

static const char *
read_application(struct blob *b)
{
    struct blob application;

    return take_string(b, &application) && application.n ? NULL
                                                         : "has no application";
}

static const char *
read_sk_ed25519(struct blob *b)
{
    const char *wrong = read_ed25519(b);

    return wrong ? wrong : read_application(b);
}

static const char *
read_sk_p256(struct blob *b)
{
    const char *wrong = read_p256(b);

    return wrong ? wrong : read_application(b);
}

static const char *
read_blob(const char *type, struct blob b)
{
    struct blob inner;

    if (!take_string(&b, &inner) || !is_text(&inner, type))
        return "is not of the type that stands before it";
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        const char *wrong = kinds[i].read(&b);
        return wrong ? wrong : b.n ? "has bytes behind its end" : NULL;
    }
    return "is of an unknown type";
}

/* ---- the line ---- */

static int
check_type(const char *type, const char *pointer, struct err *e)
{
    struct buf all _cleanup_(buf_release) = {0};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strcmp(kinds[i].type, type) == 0)
            return 0;
        buf_addf(&all, "%s%s", i ? ", " : "", kinds[i].type);
    }
    return err_field(e, pointer, "key_type",
                     "must begin with the type of a public key: %s",
                     buf_str(&all));
}

int
sshkey_check(const char *line, const char *pointer,
             char ret_fingerprint[SSHKEY_FINGERPRINT_SIZE], struct err *reterr)
{
    size_t n = strcspn(line, " ");
    char *type _cleanup_(freep) = xstrndup(line, n);
    unsigned char digest[HASH_LEN];
    struct blob b = {0};

    if (strlen(line) > SSHKEY_MAX)
        return err_field(reterr, pointer, "too_long",
                         "must have at most %d bytes", SSHKEY_MAX);
    for (const unsigned char *p = (const unsigned char *)line; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return err_field(reterr, pointer, "control_character",
                             "must be one line without control characters");
    int r = check_type(type, pointer, reterr);
    if (r < 0)
        return r;
    const char *text = line + n + (line[n] == ' ');
    size_t len = strcspn(text, " ");
    unsigned char *bytes _cleanup_(freep) = xmalloc(len / 4 * 3 + 1);
    if (base64_decode(text, len, bytes, &b.n) < 0)
        return err_field(reterr, pointer, "base64",
                         "has no key in base64 behind its type");
    b.p = bytes;
    const char *wrong = read_blob(type, b);
    if (wrong)
        return err_field(reterr, pointer, "key", "the %s key %s", type, wrong);
    hash_sha256(bytes, b.n, digest);
    memcpy(ret_fingerprint, "SHA256:", 7);
    base64_encode(digest, sizeof(digest), ret_fingerprint + 7);
    return 0;
}
