/* controllerd/webhook_msg.h - what a webhook's receiver gets.
 * Role:      pure: the body, its signature, which addresses are public.
 * Ownership: the caller's buffers.   Threads: reentrant.
 * Errors:    -EINVAL with the reason.
 * Source:    CloudEvents 1.0.2, JSON format and HTTP protocol binding
 *            (structured mode); Standard Webhooks 1.0.0 (signatures);
 *            RFC 6890 and IANA's registries of special addresses. */
#ifndef CONTROLLERD_WEBHOOK_MSG_H
#define CONTROLLERD_WEBHOOK_MSG_H

#include <stdbool.h>
#include <sys/socket.h>

#include "api/resources.h"
#include "common/buf.h"
#include "common/err.h"

/* Bytes of a key, Standard Webhooks "Secret format". */
#define WEBHOOK_KEY_MIN 24
#define WEBHOOK_KEY_MAX 64
#define WEBHOOK_SECRET_SIZE 128

struct webhook_key {
    unsigned char data[WEBHOOK_KEY_MAX];
    size_t n;
};

void webhook_new_secret(char out[WEBHOOK_SECRET_SIZE]);
/* "whsec_" and base64. */
int webhook_parse_secret(const char *secret,
                         struct webhook_key *ret) _must_check_;
/* An http or https URL without a user and a password. */
int webhook_check_url(const char *url, bool allow_private,
                      struct err *reterr) _must_check_;
/* source: of CloudEvents, the cloud. */
void webhook_body(const struct api_event *e, const char *source,
                  struct buf *out);
/* "v1,…" of id, time and body. */
void webhook_sign(const struct webhook_key *key, const char *id,
                  int64_t timestamp_s, const void *body, size_t n,
                  struct buf *out);
/* Whether anybody on the Internet could reach it as well. */
bool webhook_address_public(const struct sockaddr *sa);

#endif
