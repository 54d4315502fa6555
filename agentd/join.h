/* agentd/join.h - becoming a node of the cloud, and staying one.
 * Role:      trades a join token for a certificate, keeps the identity in
 *            STATE_DIR/identity (ca.crt, node.key, node.csr, node.crt,
 *            node.id), renews the certificate. docs/PROTOCOL.md has the
 *            protocol.
 * Ownership: strings belong to the caller.
 * Threads:   one at a time.
 * Errors:    -ECONNREFUSED, -ETIMEDOUT, -EAGAIN, -EIO: worth another try;
 *            all else is for a person to mend. */
#ifndef AGENTD_JOIN_H
#define AGENTD_JOIN_H

#include "agentd/link.h"
#include "common/hash.h"
#include "common/id.h"

struct join_token {
    char text[256];
    char ca_hash[HASH_HEX_SIZE];
};

/* Takes "vj1.<id>.<secret>.<ca>" apart; -EINVAL. */
int join_token_parse(const char *text, struct join_token *ret,
                     struct err *reterr) _must_check_;
int join_token_read(const char *path, struct join_token *ret,
                    struct err *reterr) _must_check_;

/* 0 and the node's id; -ENOENT if this state folder has not joined yet. */
int join_load(const char *identity_dir, char ret_node_id[ID_SIZE],
              struct err *reterr) _must_check_;

/* One try. Its key and request are kept and used again, so that a reply that
 * was lost does no harm. */
int join_try(const char *identity_dir, const char *url, const char *name,
             const struct join_token *token, char ret_node_id[ID_SIZE],
             struct err *reterr) _must_check_;
/* True if another try may help. */
bool join_may_retry(int r);

/* Fetches a fresh certificate when two thirds of the old one's life are over.
 * 1 when it did, 0 when there is time. */
int join_renew(const char *identity_dir, struct link *l, struct link_client *lc,
               struct err *reterr) _must_check_;

#endif
