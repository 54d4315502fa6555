/* guess.c - token buckets against guessing; see guess.h.
 *
 * Invariants:
 *  1. A bucket that is not there is full: forgetting one can only help whoever
 *     it slowed down.
 *  2. Tables keep their buckets in the order of use, the oldest first. */
#include <config.h>

#include "controllerd/guess.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <uthash.h>

#include "common/count.h"
#include "common/mem.h"

#define KEY_SIZE 128

struct bucket {
    char key[KEY_SIZE];
    /* When it is full again; the attempts that are missing now follow. */
    int64_t full_us;
    UT_hash_handle hh;
};

struct guess {
    pthread_mutex_t lock;
    struct bucket *users, *remotes, *known; /* lock */
};

struct guess *
guess_new(void)
{
    struct guess *g = xnew(struct guess);

    pthread_mutex_init(&g->lock, NULL);
    return g;
}

static void
clear(struct bucket **t)
{
    struct bucket *b, *next;

    HASH_ITER(hh, *t, b, next)
    {
        HASH_DEL(*t, b);
        free(b);
    }
}

void
guess_free(struct guess *g)
{
    if (!g)
        return;
    clear(&g->users);
    clear(&g->remotes);
    clear(&g->known);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* One network is one guesser: a host has a whole /64 of IPv6 (RFC 4291
 * section 2.5.1). */
static void
network_of(const char *remote, char out[INET6_ADDRSTRLEN])
{
    struct in6_addr a;

    snprintf(out, INET6_ADDRSTRLEN, "%s", remote);
    if (inet_pton(AF_INET6, remote, &a) != 1)
        return;
    if (IN6_IS_ADDR_V4MAPPED(&a)) {
        inet_ntop(AF_INET, &a.s6_addr[12], out, INET6_ADDRSTRLEN);
        return;
    }
    memset(&a.s6_addr[8], 0, 8);
    inet_ntop(AF_INET6, &a, out, INET6_ADDRSTRLEN);
}

static struct bucket *
find(struct bucket **t, const char *key)
{
    struct bucket *b;

    HASH_FIND_STR(*t, key, b);
    if (b) { /* the latest used stands last */
        HASH_DEL(*t, b);
        HASH_ADD_STR(*t, key, b);
    }
    return b;
}

static struct bucket *
find_or_add(struct bucket **t, const char *key, int64_t now_us)
{
    struct bucket *b = find(t, key);

    if (b)
        return b;
    if (HASH_COUNT(*t) >= GUESS_MAX) {
        struct bucket *oldest = *t;

        COUNT(guess_bucket_forgotten);
        HASH_DEL(*t, oldest);
        free(oldest);
    }
    b = xnew(struct bucket);
    snprintf(b->key, sizeof(b->key), "%s", key);
    b->full_us = now_us;
    HASH_ADD_STR(*t, key, b);
    return b;
}

/* How long until the bucket has one to give. */
static int64_t
wait_of(const struct bucket *b, int64_t burst, int64_t each_us, int64_t now_us)
{
    return MAX(b->full_us - (burst - 1) * each_us - now_us, INT64_C(0));
}

static void
take(struct bucket *b, int64_t each_us, int64_t now_us)
{
    b->full_us = MAX(b->full_us, now_us) + each_us;
}

static void
known_key(char key[KEY_SIZE], const char *user, const char *net)
{
    snprintf(key, KEY_SIZE, "%.63s %s", user, net);
}

/* The bucket that counts for this user from there. */
static struct bucket *
user_bucket(struct guess *g, const char *user, const char *net, int64_t now_us)
{
    char key[KEY_SIZE];
    struct bucket *b;

    known_key(key, user, net);
    b = find(&g->known, key);
    return b ? b : find_or_add(&g->users, user, now_us);
}

int64_t
guess_try(struct guess *g, const char *user, const char *remote, int64_t now_us)
{
    char net[INET6_ADDRSTRLEN];

    network_of(remote, net);
    pthread_mutex_lock(&g->lock);
    struct bucket *u = user_bucket(g, user, net, now_us);
    struct bucket *r = find_or_add(&g->remotes, net, now_us);
    int64_t wait = MAX(wait_of(u, GUESS_USER_BURST, GUESS_USER_US, now_us),
                       wait_of(r, GUESS_REMOTE_BURST, GUESS_REMOTE_US, now_us));
    if (wait == 0) {
        take(u, GUESS_USER_US, now_us);
        take(r, GUESS_REMOTE_US, now_us);
    }
    pthread_mutex_unlock(&g->lock);
    return wait;
}

void
guess_back(struct guess *g, const char *user, const char *remote,
           int64_t now_us)
{
    char net[INET6_ADDRSTRLEN];

    network_of(remote, net);
    pthread_mutex_lock(&g->lock);
    user_bucket(g, user, net, now_us)->full_us -= GUESS_USER_US;
    find_or_add(&g->remotes, net, now_us)->full_us -= GUESS_REMOTE_US;
    pthread_mutex_unlock(&g->lock);
}

/* No address looks like that. */
static void
join_key(char key[KEY_SIZE], const char *remote)
{
    char net[INET6_ADDRSTRLEN];

    network_of(remote, net);
    snprintf(key, KEY_SIZE, "join %s", net);
}

int64_t
guess_join(struct guess *g, const char *remote, int64_t now_us)
{
    char key[KEY_SIZE];

    join_key(key, remote);
    pthread_mutex_lock(&g->lock);
    struct bucket *b = find_or_add(&g->remotes, key, now_us);
    int64_t wait = wait_of(b, GUESS_REMOTE_BURST, GUESS_REMOTE_US, now_us);
    if (wait == 0)
        take(b, GUESS_REMOTE_US, now_us);
    pthread_mutex_unlock(&g->lock);
    return wait;
}

void
guess_join_back(struct guess *g, const char *remote, int64_t now_us)
{
    char key[KEY_SIZE];

    join_key(key, remote);
    pthread_mutex_lock(&g->lock);
    find_or_add(&g->remotes, key, now_us)->full_us -= GUESS_REMOTE_US;
    pthread_mutex_unlock(&g->lock);
}

void
guess_right(struct guess *g, const char *user, const char *remote,
            int64_t now_us)
{
    guess_back(g, user, remote, now_us);
    guess_known(g, user, remote, now_us);
}

void
guess_known(struct guess *g, const char *user, const char *remote,
            int64_t now_us)
{
    char net[INET6_ADDRSTRLEN], key[KEY_SIZE];

    network_of(remote, net);
    known_key(key, user, net);
    pthread_mutex_lock(&g->lock);
    find_or_add(&g->known, key, now_us);
    pthread_mutex_unlock(&g->lock);
}
