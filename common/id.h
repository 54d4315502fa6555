/* common/id.h - identifiers, names and random secrets.
 * Role:    ids are UUIDs version 7 (RFC 9562 section 5.7), in time order;
 *          names are DNS labels (RFC 1123) that never parse as a UUID.
 * Threads: any thread.   Errors: none; the kernel's generator is required. */
#ifndef COMMON_ID_H
#define COMMON_ID_H

#include <stdbool.h>
#include <stddef.h>

#define ID_LEN 36
#define ID_SIZE (ID_LEN + 1)

/* Writes a new id; ids made by one process are strictly increasing. */
void id_new(char out[ID_SIZE]);
/* Canonical lowercase text form of any UUID version. */
bool id_valid(const char *s);
/* 1-63 of [a-z0-9-], starting with a letter or digit and ending so, and not
 * a UUID. */
bool id_name_valid(const char *s);
/* Fills with random bytes from the kernel. */
void id_random(void *out, size_t n);
/* Text of 2*n_bytes lowercase hex digits plus NUL. */
void id_hex(const void *bytes, size_t n_bytes, char *out);
/* Back; -1 unless s is exactly 2*n_bytes lowercase or uppercase hex digits. */
int id_unhex(const char *s, void *out, size_t n_bytes);

#endif
