/* common/pki.h - the cloud's certificate authority, keys and requests.
 * Role:      an ECDSA P-256 CA made at the controller's first start signs the
 *            controller's server certificate and every agent's client
 *            certificate (common name = node id).
 * Ownership: outputs are PEM text for the caller to free.
 * Threads:   reentrant; a struct pki_ca may be shared (it is read-only).
 * Errors:    negative errno; reterr names the file and GnuTLS's reason.
 * Source:    RFC 5280 (certificates), RFC 2986 (PKCS #10 requests). */
#ifndef COMMON_PKI_H
#define COMMON_PKI_H

#include <stdint.h>

#include "common/err.h"
#include "common/hash.h"

struct pki_ca;

/* Loads dir/ca.crt and dir/ca.key; makes both first when neither is there. A
 * key alone gets a certificate (a first start was cut short); a certificate
 * alone, or a pair that does not match, is an error. Nothing is overwritten. */
int pki_ca_open(const char *dir, struct pki_ca **ret,
                struct err *reterr) _must_check_;
void pki_ca_free(struct pki_ca *ca);
/* PEM of the CA certificate, owned by ca. */
const char *pki_ca_pem(const struct pki_ca *ca);

/* Makes a key and a certificate for a server, valid for the names and
 * addresses in sans (text; addresses are recognised). */
int pki_issue_server(const struct pki_ca *ca, const char *const *sans,
                     size_t n_sans, int days, char **ret_cert, char **ret_key,
                     struct err *reterr) _must_check_;
/* Signs a request for client authentication. The subject is cn whatever the
 * request says; a request whose self-signature fails is -EINVAL. */
int pki_sign_client(const struct pki_ca *ca, const char *csr_pem,
                    const char *cn, int days, char **ret_cert,
                    struct err *reterr) _must_check_;
/* SHA-256 in hex of a request's public key: who asks, whatever it says. */
int pki_request_key(const char *csr_pem, char out[HASH_HEX_SIZE],
                    struct err *reterr) _must_check_;
/* A new private key and a request made with it. */
int pki_make_request(const char *cn, char **ret_key, char **ret_csr,
                     struct err *reterr) _must_check_;

/* SHA-256 of the DER form, in hex. */
int pki_fingerprint(const char *cert_pem, char out[HASH_HEX_SIZE],
                    struct err *reterr) _must_check_;
int pki_expiry_us(const char *cert_pem, int64_t *ret,
                  struct err *reterr) _must_check_;
/* True if every name of sans is in the certificate's subject names. */
int pki_covers(const char *cert_pem, const char *const *sans, size_t n_sans);

/* The verified identity of a TLS peer: 0 and its common name and fingerprint;
 * -ENOENT when it showed no certificate; -EACCES when that is not valid or
 * not signed by a trusted CA. gnutls_session is a gnutls_session_t. */
int pki_peer(void *gnutls_session, char cn[64], char fingerprint[HASH_HEX_SIZE],
             struct err *reterr) _must_check_;

#endif
