/* pki.c - certificates by GnuTLS; see pki.h. */
#include <config.h>

#include "common/pki.h"

#include <arpa/inet.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/id.h"
#include "common/mem.h"

#define PEM_MAX (64 * 1024)
#define CA_DAYS 3650

struct pki_ca {
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    char *pem;
};

static void
crt_freep(gnutls_x509_crt_t *c)
{
    if (*c)
        gnutls_x509_crt_deinit(*c);
}

static void
key_freep(gnutls_x509_privkey_t *k)
{
    if (*k)
        gnutls_x509_privkey_deinit(*k);
}

static void
csr_freep(gnutls_x509_crq_t *c)
{
    if (*c)
        gnutls_x509_crq_deinit(*c);
}

static void
ca_freep(struct pki_ca **ca)
{
    pki_ca_free(*ca);
}

static void
pub_freep(gnutls_pubkey_t *p)
{
    if (*p)
        gnutls_pubkey_deinit(*p);
}

static int
tls_err(struct err *e, int rc, const char *what)
{
    return err_set(e, -EIO, "certificate_error", "%s: %s", what,
                   gnutls_strerror(rc));
}

static char *
take_pem(gnutls_datum_t *d)
{
    char *s = xstrndup((const char *)d->data, d->size);

    gnutls_free(d->data);
    return s;
}

static gnutls_datum_t
datum(const char *s)
{
    return (gnutls_datum_t){(unsigned char *)s, (unsigned)strlen(s)};
}

static int
new_key(gnutls_x509_privkey_t *ret)
{
    int rc = gnutls_x509_privkey_init(ret);

    if (rc < 0)
        return rc;
    return gnutls_x509_privkey_generate(
        *ret, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
        0);
}

/* Serial, version, times: what every certificate of ours shares. */
static int
fill_common(gnutls_x509_crt_t crt, const char *cn, int days)
{
    unsigned char serial[16];
    time_t now = (time_t)(clock_now_us() / US_PER_S);

    id_random(serial, sizeof(serial));
    serial[0] &= 0x7f; /* RFC 5280 4.1.2.2: positive */
    serial[0] |= 0x01;
    int rc = gnutls_x509_crt_set_version(crt, 3);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
    if (rc >= 0) /* an hour of clock skew between machines is forgiven */
        rc = gnutls_x509_crt_set_activation_time(crt, now - 3600);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_expiration_time(crt,
                                                 now + (time_t)days * 86400);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
                                           cn, (unsigned)strlen(cn));
    return rc;
}

static int import(const char *pem, gnutls_x509_crt_t *ret, struct err *reterr);

static int
load_key(const char *path, gnutls_x509_privkey_t *ret, struct err *reterr)
{
    struct buf text _cleanup_(buf_release) = {0};
    int r = fs_read(path, PEM_MAX, &text, reterr);

    if (r < 0)
        return r;
    gnutls_datum_t d = datum(buf_str(&text));
    int rc = gnutls_x509_privkey_init(ret);
    if (rc >= 0)
        rc =
            gnutls_x509_privkey_import2(*ret, &d, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc < 0) {
        r = tls_err(reterr, rc, "cannot load the CA's key");
        err_prefix(reterr, "%s", path);
    }
    return r;
}

/* A key that is there already is never replaced: agents trust it. It is what
 * a first start that was cut short has left, or the certificate was lost; one
 * made anew from the same key proves the same. */
static int
ca_key(const char *path, gnutls_x509_privkey_t *ret, struct err *reterr)
{
    gnutls_datum_t pem;

    if (access(path, F_OK) == 0)
        return load_key(path, ret, reterr);
    int rc = new_key(ret);
    if (rc >= 0)
        rc = gnutls_x509_privkey_export2_pkcs8(*ret, GNUTLS_X509_FMT_PEM, NULL,
                                               GNUTLS_PKCS_PLAIN, &pem);
    if (rc < 0)
        return tls_err(reterr, rc, "cannot make the CA key");
    char *text _cleanup_(freep) = take_pem(&pem);
    return fs_write_atomic(path, text, strlen(text), 0600, reterr);
}

/* The key first, then the certificate, whose presence says that all is done. */
static int
ca_create(const char *cpath, const char *kpath, struct err *reterr)
{
    gnutls_x509_crt_t crt _cleanup_(crt_freep) = NULL;
    gnutls_x509_privkey_t key _cleanup_(key_freep) = NULL;
    gnutls_datum_t cert_pem;
    int r = ca_key(kpath, &key, reterr);

    if (r < 0)
        return r;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = fill_common(crt, "Virga CA", CA_DAYS);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key(crt, key);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN |
                                                    GNUTLS_KEY_CRL_SIGN);
    if (rc >= 0)
        rc = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &cert_pem);
    if (rc < 0)
        return tls_err(reterr, rc, "cannot make the CA");
    char *cert _cleanup_(freep) = take_pem(&cert_pem);
    return fs_write_atomic(cpath, cert, strlen(cert), 0644, reterr);
}

static bool
key_matches(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    unsigned char a[HASH_LEN], b[HASH_LEN];
    size_t na = sizeof(a), nb = sizeof(b);

    return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, a, &na) >=
               0 &&
           gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, b,
                                          &nb) >= 0 &&
           na == nb && memcmp(a, b, na) == 0;
}

int
pki_ca_open(const char *dir, struct pki_ca **ret, struct err *reterr)
{
    char *cpath _cleanup_(freep) = xasprintf("%s/ca.crt", dir);
    char *kpath _cleanup_(freep) = xasprintf("%s/ca.key", dir);
    struct buf cert _cleanup_(buf_release) = {0};
    struct pki_ca *ca _cleanup_(ca_freep) = xnew(struct pki_ca);
    int r = fs_mkdirs(dir, reterr);

    if (r == 0 && access(cpath, F_OK) < 0 && errno == ENOENT)
        r = ca_create(cpath, kpath, reterr);
    if (r == 0)
        r = fs_read(cpath, PEM_MAX, &cert, reterr);
    if (r == 0)
        r = import(buf_str(&cert), &ca->crt, reterr);
    if (r == 0)
        r = load_key(kpath, &ca->key, reterr);
    if (r == 0 && !key_matches(ca->crt, ca->key))
        r = err_set(reterr, -EIO, "certificate_error",
                    "the CA's key is not that of its certificate");
    if (r < 0) {
        err_prefix(reterr, "%s", dir);
        return r;
    }
    ca->pem = buf_take(&cert);
    *ret = TAKE_PTR(ca);
    return 0;
}

void
pki_ca_free(struct pki_ca *ca)
{
    if (!ca)
        return;
    crt_freep(&ca->crt);
    key_freep(&ca->key);
    free(ca->pem);
    free(ca);
}

const char *
pki_ca_pem(const struct pki_ca *ca)
{
    return ca->pem;
}

static int
add_san(gnutls_x509_crt_t crt, const char *san)
{
    unsigned char addr[16];

    if (inet_pton(AF_INET, san, addr) == 1)
        return gnutls_x509_crt_set_subject_alt_name(
            crt, GNUTLS_SAN_IPADDRESS, addr, 4, GNUTLS_FSAN_APPEND);
    if (inet_pton(AF_INET6, san, addr) == 1)
        return gnutls_x509_crt_set_subject_alt_name(
            crt, GNUTLS_SAN_IPADDRESS, addr, 16, GNUTLS_FSAN_APPEND);
    return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, san,
                                                (unsigned)strlen(san),
                                                GNUTLS_FSAN_APPEND);
}

static int
sign(const struct pki_ca *ca, gnutls_x509_crt_t crt, const char *purpose)
{
    int rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);

    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_purpose_oid(crt, purpose, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_sign2(crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0);
    return rc;
}

int
pki_issue_server(const struct pki_ca *ca, const char *const *sans,
                 size_t n_sans, int days, char **ret_cert, char **ret_key,
                 struct err *reterr)
{
    gnutls_x509_crt_t crt _cleanup_(crt_freep) = NULL;
    gnutls_x509_privkey_t key _cleanup_(key_freep) = NULL;
    gnutls_datum_t cert_pem, key_pem;

    int rc = new_key(&key);
    if (rc >= 0)
        rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = fill_common(crt, "virga-controllerd", days);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key(crt, key);
    for (size_t i = 0; i < n_sans && rc >= 0; i++)
        rc = add_san(crt, sans[i]);
    if (rc >= 0)
        rc = sign(ca, crt, GNUTLS_KP_TLS_WWW_SERVER);
    if (rc >= 0)
        rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &cert_pem);
    if (rc < 0)
        return tls_err(reterr, rc, "cannot make the server certificate");
    char *cert _cleanup_(freep) = take_pem(&cert_pem);
    rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                           GNUTLS_PKCS_PLAIN, &key_pem);
    if (rc < 0)
        return tls_err(reterr, rc, "cannot make the server key");
    *ret_key = take_pem(&key_pem);
    *ret_cert = TAKE_PTR(cert);
    return 0;
}

int
pki_sign_client(const struct pki_ca *ca, const char *csr_pem, const char *cn,
                int days, char **ret_cert, struct err *reterr)
{
    gnutls_x509_crt_t crt _cleanup_(crt_freep) = NULL;
    gnutls_x509_crq_t csr _cleanup_(csr_freep) = NULL;
    gnutls_pubkey_t pub _cleanup_(pub_freep) = NULL;
    gnutls_datum_t in = datum(csr_pem), out;

    if (in.size > PEM_MAX)
        return err_field(reterr, "/csr", "too_long", "is too long");
    int rc = gnutls_x509_crq_init(&csr);
    if (rc >= 0)
        rc = gnutls_x509_crq_import(csr, &in, GNUTLS_X509_FMT_PEM);
    if (rc >= 0)
        rc = gnutls_x509_crq_verify(csr, 0);
    if (rc < 0)
        return err_field(reterr, "/csr", "invalid",
                         "is not a valid certificate request: %s",
                         gnutls_strerror(rc));
    rc = gnutls_x509_crt_init(&crt);
    /* Only the key is taken from the request, none of its names. */
    if (rc >= 0)
        rc = gnutls_pubkey_init(&pub);
    if (rc >= 0)
        rc = gnutls_pubkey_import_x509_crq(pub, csr, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_pubkey(crt, pub);
    if (rc >= 0)
        rc = fill_common(crt, cn, days);
    if (rc >= 0)
        rc = sign(ca, crt, GNUTLS_KP_TLS_WWW_CLIENT);
    if (rc >= 0)
        rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &out);
    if (rc < 0)
        return tls_err(reterr, rc, "cannot sign the certificate request");
    *ret_cert = take_pem(&out);
    return 0;
}

int
pki_request_key(const char *csr_pem, char out[HASH_HEX_SIZE],
                struct err *reterr)
{
    gnutls_x509_crq_t csr _cleanup_(csr_freep) = NULL;
    gnutls_datum_t in = datum(csr_pem);
    unsigned char id[HASH_LEN];
    size_t n = sizeof(id);

    int rc = gnutls_x509_crq_init(&csr);
    if (rc >= 0)
        rc = gnutls_x509_crq_import(csr, &in, GNUTLS_X509_FMT_PEM);
    if (rc >= 0)
        rc = gnutls_x509_crq_get_key_id(csr, GNUTLS_KEYID_USE_SHA256, id, &n);
    if (rc < 0)
        return err_field(reterr, "/csr", "invalid",
                         "is not a valid certificate request: %s",
                         gnutls_strerror(rc));
    id_hex(id, sizeof(id), out);
    return 0;
}

int
pki_make_request(const char *cn, char **ret_key, char **ret_csr,
                 struct err *reterr)
{
    gnutls_x509_crq_t csr _cleanup_(csr_freep) = NULL;
    gnutls_x509_privkey_t key _cleanup_(key_freep) = NULL;
    gnutls_datum_t csr_pem, key_pem;

    int rc = new_key(&key);
    if (rc >= 0)
        rc = gnutls_x509_crq_init(&csr);
    if (rc >= 0)
        rc = gnutls_x509_crq_set_version(csr, 1);
    if (rc >= 0)
        rc = gnutls_x509_crq_set_dn_by_oid(csr, GNUTLS_OID_X520_COMMON_NAME, 0,
                                           cn, (unsigned)strlen(cn));
    if (rc >= 0)
        rc = gnutls_x509_crq_set_key(csr, key);
    if (rc >= 0)
        rc = gnutls_x509_crq_sign2(csr, key, GNUTLS_DIG_SHA256, 0);
    if (rc >= 0)
        rc = gnutls_x509_crq_export2(csr, GNUTLS_X509_FMT_PEM, &csr_pem);
    if (rc < 0)
        return tls_err(reterr, rc, "cannot make a certificate request");
    char *ctext _cleanup_(freep) = take_pem(&csr_pem);
    rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                           GNUTLS_PKCS_PLAIN, &key_pem);
    if (rc < 0)
        return tls_err(reterr, rc, "cannot make a key");
    *ret_key = take_pem(&key_pem);
    *ret_csr = TAKE_PTR(ctext);
    return 0;
}

static int
import(const char *pem, gnutls_x509_crt_t *ret, struct err *reterr)
{
    gnutls_datum_t d = datum(pem);
    int rc = gnutls_x509_crt_init(ret);

    if (rc >= 0)
        rc = gnutls_x509_crt_import(*ret, &d, GNUTLS_X509_FMT_PEM);
    return rc < 0 ? tls_err(reterr, rc, "cannot read the certificate") : 0;
}

static int
fingerprint_of(gnutls_x509_crt_t crt, char out[HASH_HEX_SIZE])
{
    unsigned char d[HASH_LEN];
    size_t n = sizeof(d);
    int rc = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, d, &n);

    if (rc >= 0)
        id_hex(d, sizeof(d), out);
    return rc;
}

int
pki_fingerprint(const char *cert_pem, char out[HASH_HEX_SIZE],
                struct err *reterr)
{
    gnutls_x509_crt_t crt _cleanup_(crt_freep) = NULL;
    int r = import(cert_pem, &crt, reterr);

    if (r < 0)
        return r;
    int rc = fingerprint_of(crt, out);
    return rc < 0 ? tls_err(reterr, rc, "cannot hash the certificate") : 0;
}

int
pki_expiry_us(const char *cert_pem, int64_t *ret, struct err *reterr)
{
    gnutls_x509_crt_t crt _cleanup_(crt_freep) = NULL;
    int r = import(cert_pem, &crt, reterr);

    if (r < 0)
        return r;
    *ret = (int64_t)gnutls_x509_crt_get_expiration_time(crt) * US_PER_S;
    return 0;
}

int
pki_covers(const char *cert_pem, const char *const *sans, size_t n_sans)
{
    gnutls_x509_crt_t crt _cleanup_(crt_freep) = NULL;

    if (import(cert_pem, &crt, NULL) < 0)
        return 0;
    for (size_t i = 0; i < n_sans; i++)
        if (!gnutls_x509_crt_check_hostname(crt, sans[i]))
            return 0;
    return 1;
}

int
pki_peer(void *gnutls_session, char cn[64], char fingerprint[HASH_HEX_SIZE],
         struct err *reterr)
{
    gnutls_x509_crt_t crt _cleanup_(crt_freep) = NULL;
    gnutls_session_t s = gnutls_session;
    unsigned status = 0, n = 0;
    size_t size = 64;

    const gnutls_datum_t *list = gnutls_certificate_get_peers(s, &n);
    if (!list || n == 0)
        return -ENOENT;
    gnutls_typed_vdata_st purpose = {
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT,
    };
    int rc = gnutls_certificate_verify_peers(s, &purpose, 1, &status);
    if (rc < 0 || status != 0)
        return err_set(reterr, -EACCES, "bad_certificate",
                       "the client certificate is not valid here");
    rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER);
    if (rc >= 0)
        rc = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
                                           0, cn, &size);
    if (rc >= 0)
        rc = fingerprint_of(crt, fingerprint);
    if (rc < 0)
        return err_set(reterr, -EACCES, "bad_certificate",
                       "the client certificate cannot be read");
    return 0;
}
