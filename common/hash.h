/* common/hash.h - SHA-256 (FIPS 180-4), by GnuTLS.
 * Ownership: hash_begin() allocates, hash_end() frees.
 * Threads:   one owner for each running hash.   Errors: abort on
 *            out-of-memory only. */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include <stddef.h>

#define HASH_LEN 32
#define HASH_HEX_SIZE (2 * HASH_LEN + 1)

struct hash;

struct hash *hash_begin(void);
void hash_add(struct hash *h, const void *data, size_t n);
void hash_end(struct hash *h, unsigned char out[HASH_LEN]);
void hash_sha256(const void *data, size_t n, unsigned char out[HASH_LEN]);
void hash_sha256_hex(const void *data, size_t n, char out[HASH_HEX_SIZE]);

#endif
