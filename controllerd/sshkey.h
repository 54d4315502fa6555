/* controllerd/sshkey.h - public SSH keys, as in ~/.ssh/id_ed25519.pub.
 * Role:      takes one line "TYPE BASE64 [COMMENT]" and nothing else: what
 *            guests put into authorized_keys must not carry options, a second
 *            line, or a type that does not match its key.
 * Ownership: the caller's buffers.
 * Threads:   reentrant.
 * Errors:    -EINVAL; reterr says why, at the given pointer.
 * Source:    RFC 4251 section 5 (string, mpint), RFC 4253 section 6.6 (format,
 *            ssh-rsa), RFC 5656 section 3.1 (ecdsa), RFC 8709 section 4
 *            (ed25519), OpenSSH's PROTOCOL.u2f (sk-), RFC 4648 (base64). */
#ifndef CONTROLLERD_SSHKEY_H
#define CONTROLLERD_SSHKEY_H

#include "common/err.h"

#define SSHKEY_MAX 16384
#define SSHKEY_RSA_BITS_MIN 2048
#define SSHKEY_RSA_BITS_MAX 16384
/* "SHA256:" and 43 digits, as ssh-keygen -l prints it. */
#define SSHKEY_FINGERPRINT_SIZE 51

int sshkey_check(const char *line, const char *pointer,
                 char ret_fingerprint[SSHKEY_FINGERPRINT_SIZE],
                 struct err *reterr) _must_check_;

#endif
