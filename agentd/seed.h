/* agentd/seed.h - a small read-only disk with what a guest is told at its boot.
 * Role:      user data, public keys and the instance's names as an ISO 9660
 *            file with Rock Ridge and Joliet and the label "cidata", which
 *            cloud-init knows as its data source NoCloud.
 * Ownership: strings are borrowed; *ret_path belongs to the caller.
 * Threads:   reentrant; one file is made at a time.
 * Errors:    -ENOSPC "no_space", -EIO "seed_failed" with the library's words.
 * Source:    cloud-init's reference, "NoCloud"; ECMA-119; YAML 1.2, 5.7
 *            (escaped characters) and 7.3.1 (double-quoted style). */
#ifndef AGENTD_SEED_H
#define AGENTD_SEED_H

#include "api/codec.h"
#include "common/err.h"

#define SEED_FILE "seed.iso"

struct seed {
    const char *instance_id, *hostname;
    const char *user_data;         /* NULL or empty: none */
    const struct codec_list *keys; /* strings: OpenSSH public keys */
};

/* Makes DIR/seed.iso anew, or removes it where there is nothing to tell:
 * *ret_path is NULL then. A disk that a guest has open stays what it is. */
int seed_make(const char *dir, const struct seed *seed, char **ret_path,
              struct err *reterr) _must_check_;

/* The file meta-data. Public for tests. */
void seed_meta_data(const struct seed *seed, struct buf *out);

#endif
