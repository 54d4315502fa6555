/* hash.c - SHA-256 by GnuTLS; see hash.h. */
#include <config.h>

#include "common/hash.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "common/id.h"
#include "common/mem.h"

struct hash {
    gnutls_hash_hd_t h;
};

struct hash *
hash_begin(void)
{
    struct hash *h = xnew(struct hash);

    if (gnutls_hash_init(&h->h, GNUTLS_DIG_SHA256) < 0)
        abort();
    return h;
}

void
hash_add(struct hash *h, const void *data, size_t n)
{
    if (n && gnutls_hash(h->h, data, n) < 0)
        abort();
}

void
hash_end(struct hash *h, unsigned char out[HASH_LEN])
{
    gnutls_hash_deinit(h->h, out);
    free(h);
}

void
hash_sha256(const void *data, size_t n, unsigned char out[HASH_LEN])
{
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, n ? data : "", n, out) < 0)
        abort();
}

void
hash_sha256_hex(const void *data, size_t n, char out[HASH_HEX_SIZE])
{
    unsigned char d[HASH_LEN];

    hash_sha256(data, n, d);
    id_hex(d, sizeof(d), out);
}
