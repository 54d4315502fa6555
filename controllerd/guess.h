/* controllerd/guess.h - slows down the guessing of passwords and join tokens.
 * Role:      token buckets. An attempt to sign in takes one from the bucket
 *            of its address and one from the user's; one that was right gives
 *            both back. A user's address from which they once signed in has a
 *            bucket of its own: strangers who empty the user's cannot lock
 *            the user out where he is at home.
 * Ownership: owns its buckets; at most GUESS_MAX of each kind, and those that
 *            were not used for longest are forgotten.
 * Threads:   any; a lock inside.   Errors: none. */
#ifndef CONTROLLERD_GUESS_H
#define CONTROLLERD_GUESS_H

#include <stdint.h>

#define GUESS_MAX 20000
/* Attempts at once, and the time in which one more comes. */
#define GUESS_USER_BURST 10
#define GUESS_USER_US (12 * INT64_C(1000000))
#define GUESS_REMOTE_BURST 100
#define GUESS_REMOTE_US (1 * INT64_C(1000000))

struct guess;

struct guess *guess_new(void);
void guess_free(struct guess *g);

/* Takes an attempt. user: at most 63 bytes; remote: as text, of IPv6 the /64
 * counts. now_us: monotonic. 0, or how many microseconds to wait: nothing was
 * taken then. */
int64_t guess_try(struct guess *g, const char *user, const char *remote,
                  int64_t now_us);
/* Gives an attempt back that could not be looked at. */
void guess_back(struct guess *g, const char *user, const char *remote,
                int64_t now_us);
/* The same for a secret that is nobody's, a join token: the address alone
 * counts, apart from its attempts to sign in. */
int64_t guess_join(struct guess *g, const char *remote, int64_t now_us);
void guess_join_back(struct guess *g, const char *remote, int64_t now_us);
/* The attempt was right: gives it back, and knows the address from now on. */
void guess_right(struct guess *g, const char *user, const char *remote,
                 int64_t now_us);
/* The user has signed in from there before. */
void guess_known(struct guess *g, const char *user, const char *remote,
                 int64_t now_us);

#endif
