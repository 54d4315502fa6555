/* controllerd/auth_cache.h - who has which secret, in memory.
 * Role:      every token and session by the hash of its secret, and every
 *            user with what it may do where. Equal to the rows: changed after
 *            each commit that changed them, before the commit is told.
 * Ownership: copies what it is given.
 * Threads:   any; a read-write lock inside.   Errors: none.
 * Invariant: a session's role is its user's in its project at the moment of
 *            the question; without such a membership it has ROLE_NONE and no
 *            project. */
#ifndef CONTROLLERD_AUTH_CACHE_H
#define CONTROLLERD_AUTH_CACHE_H

#include "controllerd/passwords.h"
#include "controllerd/scopes.h"
#include "controllerd/store/store.h"

/* Who calls. */
struct principal {
    char token_id[ID_SIZE], token_name[64];
    char user_id[ID_SIZE], user_name[64], session_id[ID_SIZE];
    char project_id[ID_SIZE]; /* "" for operators */
    enum api_role role;
    struct scopes scopes;
    bool cookie;                  /* the session came by cookie */
    int64_t expires_at;           /* of token or session; 0: never */
    unsigned char hash[HASH_LEN]; /* of the secret */
    /* Whose Idempotency-Keys: the token's, or the user's in the project. */
    char key_owner[2 * ID_SIZE];
    /* Who stands behind it: the session's user, or whoever made the token. */
    char maker_id[ID_SIZE];
    char node_id[ID_SIZE]; /* of an agent */
};

struct auth_cache;

struct auth_cache *auth_cache_new(void);
void auth_cache_free(struct auth_cache *ac);

/* Adds, or replaces what has that id. */
void auth_cache_put_token(struct auth_cache *ac, const struct store_token *t);
void auth_cache_put_user(struct auth_cache *ac, const struct store_user *u);
/* Its user must be there. */
void auth_cache_put_session(struct auth_cache *ac,
                            const struct store_session *s);

void auth_cache_drop_token(struct auth_cache *ac, const char *id);
void auth_cache_drop_session(struct auth_cache *ac, const char *id);
/* The user's sessions but one; except may be NULL. */
void auth_cache_drop_sessions(struct auth_cache *ac, const char *user_id,
                              const char *except);
/* With its sessions. */
void auth_cache_drop_user(struct auth_cache *ac, const char *id);
/* Tokens and memberships in it; sessions in it lose it. */
void auth_cache_drop_project(struct auth_cache *ac, const char *id);
void auth_cache_drop_expired(struct auth_cache *ac, int64_t now_us);

/* Whose secret has this hash; expired ones are found, too. by_cookie: how it
 * came; a session is good for one of both. Notes when a session was used. */
bool auth_cache_find(struct auth_cache *ac, const unsigned char hash[HASH_LEN],
                     bool by_cookie, int64_t now_us, struct principal *ret);
/* A user's id and hash of the password, by name or id; false for none and for
 * one that is disabled. */
bool auth_cache_password(struct auth_cache *ac, const char *ref,
                         char id[ID_SIZE], char hash[PASSWORD_HASH_SIZE]);
/* Calls fn for each session that was used since the last time. */
void auth_cache_each_seen(struct auth_cache *ac,
                          void (*fn)(const char *id, int64_t at_us, void *arg),
                          void *arg);
/* All of it in words, one line for each thing, sorted: for tests that hold it
 * against one that was made from the rows. */
void auth_cache_dump(struct auth_cache *ac, struct buf *out);

#endif
