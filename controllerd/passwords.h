/* controllerd/passwords.h - hashing of passwords, on threads of their own.
 * Role:      argon2id (RFC 9106) by libsodium takes some 50 ms and 64 MiB: it
 *            must hold up neither an HTTP thread nor the writer. A bounded
 *            queue before a few threads, which run at a lower priority than
 *            the others.
 * Ownership: a job is embedded in its caller's object and lives until done();
 *            its passwords are wiped and freed here.
 * Threads:   submit from any; done() is called on one of the pool's.
 * Errors:    -EAGAIN when the queue is full or the pool stops.
 * Source:    RFC 9106; libsodium's crypto_pwhash_str(). */
#ifndef CONTROLLERD_PASSWORDS_H
#define CONTROLLERD_PASSWORDS_H

#include <stdbool.h>

#include "common/err.h"

/* With its NUL; crypto_pwhash_STRBYTES. */
#define PASSWORD_HASH_SIZE 128
#define PASSWORD_SALT_SIZE 16 /* crypto_pwhash_SALTBYTES */
#define PASSWORD_PRINT_SIZE 32

struct passwords;

struct password_job {
    char *check; /* is `hash` of it? NULL: nothing to check */
    char *make;  /* to be hashed into `made`, if the check went well; or NULL */
    char hash[PASSWORD_HASH_SIZE];
    /* Asks for `print`: both texts, hashed as slowly as a password. */
    bool want_print;
    unsigned char salt[PASSWORD_SALT_SIZE];
    void (*done)(struct password_job *job);
    /* The outcome. */
    int result;   /* 0, -EAGAIN (the pool stopped) or -ENOMEM */
    bool right;   /* `check` was it */
    bool already; /* it was not, but `make` is: a change that is repeated */
    char made[PASSWORD_HASH_SIZE];
    unsigned char print[PASSWORD_PRINT_SIZE]; /* unless it went wrong */
    struct password_job *next;
};

int passwords_start(unsigned threads, unsigned queue_max,
                    struct passwords **ret, struct err *reterr) _must_check_;
/* What waits is given back with -EAGAIN; what runs is finished. */
void passwords_stop(struct passwords *p);
void passwords_free(struct passwords *p);

int passwords_submit(struct passwords *p,
                     struct password_job *job) _must_check_;

/* The hash of no password: to check against where there is no user, so that
 * both take the same time. */
extern const char passwords_nobody[PASSWORD_HASH_SIZE];

/* Overwrites and frees a password; NULL is fine. Sets *p to NULL. */
void password_wipe(char **p);

#endif
