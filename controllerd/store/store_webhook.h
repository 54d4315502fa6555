/* controllerd/store/store_webhook.h - rows of webhooks and dead letters.
 * Role:      what tenants ask for, and how far deliveries are.
 * Ownership: filled structs are cleared by the api_ tables.
 * Threads:   as the connection (common/db.h).
 * Errors:    negative errno as in store.h. */
#ifndef CONTROLLERD_STORE_STORE_WEBHOOK_H
#define CONTROLLERD_STORE_STORE_WEBHOOK_H

#include "controllerd/store/store.h"

/* Dead letters of one webhook; the oldest go. */
#define STORE_LETTERS_MAX 1000

int store_webhook_insert(struct db *db,
                         const struct api_webhook *w) _must_check_;
/* project NULL: by id any, by name one without a project. Without its secret,
 * as in lists. */
int store_webhook_get(struct db *db, const char *project, const char *ref,
                      struct api_webhook *ret) _must_check_;
int store_webhook_list(struct db *db, const char *project, const char *after,
                       int limit, struct codec_list *ret) _must_check_;
/* All of them, with their secrets. */
int store_webhook_all(struct db *db, struct codec_list *ret) _must_check_;
int store_webhook_count(struct db *db, const char *project,
                        int64_t *ret) _must_check_;
/* url, kinds, disabled; counts the generation up. */
int store_webhook_update(struct db *db,
                         const struct api_webhook *w) _must_check_;
/* delivered_seq (never back), failures, last_error, next_attempt_at. */
int store_webhook_progress(struct db *db,
                           const struct api_webhook *w) _must_check_;
int store_webhook_delete(struct db *db, const char *id) _must_check_;

int store_letter_insert(struct db *db,
                        const struct api_dead_letter *l) _must_check_;
int store_letter_list(struct db *db, const char *webhook, const char *after,
                      int limit, struct codec_list *ret) _must_check_;
int store_letter_delete(struct db *db, const char *webhook,
                        const char *id) _must_check_;
/* All of a webhook's are to be tried once more. */
int store_letters_due(struct db *db, const char *webhook) _must_check_;
/* The oldest that is to be tried; -ENOENT. */
int store_letter_next(struct db *db, const char *webhook,
                      struct api_dead_letter *ret) _must_check_;
/* It was tried in vain. */
int store_letter_failed(struct db *db, const char *id,
                        const char *error) _must_check_;

#endif
