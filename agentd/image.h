/* agentd/image.h - the node's cache of images.
 * Role:      parts of images under STATE_DIR/images/<image>/<part>, fetched
 *            from the controller by a few threads of its own, checked by
 *            size and SHA-256, complete or not there at all.
 * Ownership: paths belong to the caller; the link is borrowed.
 * Threads:   any.
 * Errors:    image_get() never waits: -EINPROGRESS means that the waiter is
 *            woken when there is something new (reterr says for people what it
 *            waits for). Else a lasting failure with
 *            its code: image_unreadable, image_digest_mismatch,
 *            image_unsafe, no_space.
 * Source:    QEMU's docs/interop/qcow2.txt (header). */
#ifndef AGENTD_IMAGE_H
#define AGENTD_IMAGE_H

#include "agentd/link.h"
#include "api/resources.h"

struct image_cache;

struct image_config {
    const char *dir; /* copied */
    struct link *link;
    unsigned fetchers;
    /* Without any lock held. */
    void (*wake)(const char *instance_id, void *arg);
    /* True while an instance of this node is made from the image. */
    bool (*used)(const char *image_id, void *arg);
    void *arg;
};

int image_cache_new(const struct image_config *cfg, struct image_cache **ret,
                    struct err *reterr) _must_check_;
/* Cuts downloads short and ends the threads. */
void image_cache_free(struct image_cache *ic);

/* 0 and the path of a complete part, or see above. */
int image_get(struct image_cache *ic, const char *image_id,
              const struct api_image_part *part, const char *waiter_id,
              char **ret_path, struct err *reterr) _must_check_;

/* Removes what no instance uses and nobody used for max_age_us. */
void image_trim(struct image_cache *ic, int64_t max_age_us);

/* Is this file the part? -EBADMSG with the code of what is wrong. Public for
 * tests. */
int image_verify(int fd, const struct api_image_part *part,
                 struct err *reterr) _must_check_;

#endif
