/* test-common-pki.c - the CA, what it signs, and who is believed. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "common/pki.h"

#define NODE "0197b3a0-0000-7000-8000-000000000001"

struct fixture {
    char dir[40], crt[64], key[64];
    struct pki_ca *ca;
};

static void
open_ca(struct fixture *f)
{
    struct err e _cleanup_(err_release) = {0};

    pki_ca_free(f->ca);
    f->ca = NULL;
    if (pki_ca_open(f->dir, &f->ca, &e) < 0)
        fail_msg("%s", e.message);
}

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-pki-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->crt, sizeof(f->crt), "%s/ca.crt", f->dir);
    snprintf(f->key, sizeof(f->key), "%s/ca.key", f->dir);
    open_ca(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    pki_ca_free(f->ca);
    int r = fs_remove_tree(f->dir, NULL);
    free(f);
    return r;
}

static char *
slurp(const char *path)
{
    struct buf b = {0};

    assert_int_equal(fs_read(path, 65536, &b, NULL), 0);
    return buf_take(&b);
}

/* Verifies a certificate against the CA for a purpose, and for a name. */
static bool
trusted(const char *ca_pem, const char *cert_pem, const char *purpose,
        const char *host)
{
    gnutls_x509_trust_list_t list;
    gnutls_x509_crt_t ca, crt;
    gnutls_datum_t cd = {(unsigned char *)ca_pem, (unsigned)strlen(ca_pem)};
    gnutls_datum_t d = {(unsigned char *)cert_pem, (unsigned)strlen(cert_pem)};
    gnutls_typed_vdata_st want[2] = {
        {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose},
        {.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)host},
    };
    unsigned status = ~0u;

    gnutls_x509_trust_list_init(&list, 0);
    gnutls_x509_crt_init(&ca);
    gnutls_x509_crt_init(&crt);
    assert_int_equal(gnutls_x509_crt_import(ca, &cd, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(gnutls_x509_crt_import(crt, &d, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(gnutls_x509_trust_list_add_cas(list, &ca, 1, 0), 1);
    int rc = gnutls_x509_trust_list_verify_crt2(list, &crt, 1, want,
                                                host ? 2 : 1, 0, &status, NULL);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_trust_list_deinit(list, 1);
    return rc >= 0 && status == 0;
}

static void
ca__is_made_once_and_kept(void **state)
{
    struct fixture *f = *state;
    char *cert _cleanup_(freep) = slurp(f->crt);
    char *key _cleanup_(freep) = slurp(f->key);
    struct stat st;

    assert_int_equal(stat(f->key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_string_equal(pki_ca_pem(f->ca), cert);
    open_ca(f);
    char *cert2 _cleanup_(freep) = slurp(f->crt);
    char *key2 _cleanup_(freep) = slurp(f->key);
    assert_string_equal(cert, cert2);
    assert_string_equal(key, key2);
}

static void
ca__certificate_without_key_is_refused(void **state)
{
    struct fixture *f = *state;
    char *cert _cleanup_(freep) = slurp(f->crt);
    struct err e _cleanup_(err_release) = {0};
    struct pki_ca *ca = NULL;

    assert_int_equal(unlink(f->key), 0);
    assert_int_equal(pki_ca_open(f->dir, &ca, &e), -ENOENT);
    assert_non_null(strstr(e.message, "ca.key"));
    assert_int_equal(access(f->key, F_OK), -1);
    char *cert2 _cleanup_(freep) = slurp(f->crt);
    assert_string_equal(cert, cert2);
}

/* A start that was cut short between the two files, or a lost certificate:
 * the key is never replaced, and what it signed stays good. */
static void
ca__key_without_certificate_is_completed(void **state)
{
    struct fixture *f = *state;
    struct err e _cleanup_(err_release) = {0};
    char *key _cleanup_(freep) = slurp(f->key);
    char *csr_key _cleanup_(freep) = NULL;
    char *csr _cleanup_(freep) = NULL;
    char *cert _cleanup_(freep) = NULL;

    assert_int_equal(pki_make_request("x", &csr_key, &csr, &e), 0);
    assert_int_equal(pki_sign_client(f->ca, csr, NODE, 1, &cert, &e), 0);
    assert_int_equal(unlink(f->crt), 0);
    open_ca(f);
    char *key2 _cleanup_(freep) = slurp(f->key);
    assert_string_equal(key, key2);
    assert_true(
        trusted(pki_ca_pem(f->ca), cert, GNUTLS_KP_TLS_WWW_CLIENT, NULL));
}

static void
ca__broken_or_foreign_halves_are_refused(void **state)
{
    struct fixture *f = *state, *other;
    struct err e _cleanup_(err_release) = {0};
    struct pki_ca *ca = NULL;
    void *o;

    setup(&o);
    other = o;
    char *foreign _cleanup_(freep) = slurp(other->key);
    assert_int_equal(
        fs_write_atomic(f->key, foreign, strlen(foreign), 0600, NULL), 0);
    assert_true(pki_ca_open(f->dir, &ca, &e) < 0);
    assert_non_null(strstr(e.message, f->dir));
    teardown(&o);

    err_release(&e);
    assert_int_equal(fs_write_atomic(f->key, "junk", 4, 0600, NULL), 0);
    assert_true(pki_ca_open(f->dir, &ca, &e) < 0);
    /* Neither does a broken key alone get replaced. */
    assert_int_equal(unlink(f->crt), 0);
    assert_true(pki_ca_open(f->dir, &ca, &e) < 0);
    char *still _cleanup_(freep) = slurp(f->key);
    assert_string_equal(still, "junk");
    assert_null(ca);
}

static void
server__certificate_verifies_for_its_names_only(void **state)
{
    static const char *const sans[] = {"localhost", "127.0.0.1", "::1",
                                       "api.example"};
    static const char *const more[] = {"localhost", "10.0.0.1"};
    struct fixture *f = *state;
    struct err e _cleanup_(err_release) = {0};
    char *cert _cleanup_(freep) = NULL;
    char *key _cleanup_(freep) = NULL;
    int64_t expiry = 0;

    assert_int_equal(
        pki_issue_server(f->ca, sans, ARRAY_SIZE(sans), 30, &cert, &key, &e),
        0);
    for (size_t i = 0; i < ARRAY_SIZE(sans); i++)
        assert_true(trusted(pki_ca_pem(f->ca), cert, GNUTLS_KP_TLS_WWW_SERVER,
                            sans[i]));
    assert_false(trusted(pki_ca_pem(f->ca), cert, GNUTLS_KP_TLS_WWW_SERVER,
                         "evil.example"));
    assert_false(trusted(pki_ca_pem(f->ca), cert, GNUTLS_KP_TLS_WWW_CLIENT,
                         "localhost"));
    assert_true(pki_covers(cert, sans, ARRAY_SIZE(sans)));
    assert_false(pki_covers(cert, more, ARRAY_SIZE(more)));
    assert_false(pki_covers("junk", sans, 1));
    assert_int_equal(pki_expiry_us(cert, &expiry, &e), 0);
    int64_t left = expiry - clock_now_us();
    assert_true(left > 29 * 86400 * US_PER_S && left <= 30 * 86400 * US_PER_S);
}

static char *
common_name(const char *pem)
{
    gnutls_datum_t d = {(unsigned char *)pem, (unsigned)strlen(pem)};
    gnutls_x509_crt_t crt;
    char cn[256] = "";
    size_t n = sizeof(cn);

    gnutls_x509_crt_init(&crt);
    assert_int_equal(gnutls_x509_crt_import(crt, &d, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(gnutls_x509_crt_get_dn_by_oid(
                         crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &n),
                     0);
    assert_int_equal(gnutls_x509_crt_get_ca_status(crt, NULL), 0);
    gnutls_x509_crt_deinit(crt);
    return xstrdup(cn);
}

static void
client__subject_is_ours_whatever_was_asked(void **state)
{
    struct fixture *f = *state;
    struct err e _cleanup_(err_release) = {0};
    char *key _cleanup_(freep) = NULL;
    char *csr _cleanup_(freep) = NULL;
    char *cert _cleanup_(freep) = NULL;

    assert_int_equal(pki_make_request("operator", &key, &csr, &e), 0);
    assert_int_equal(pki_sign_client(f->ca, csr, NODE, 1, &cert, &e), 0);
    assert_true(
        trusted(pki_ca_pem(f->ca), cert, GNUTLS_KP_TLS_WWW_CLIENT, NULL));
    assert_false(
        trusted(pki_ca_pem(f->ca), cert, GNUTLS_KP_TLS_WWW_SERVER, "operator"));
    char *cn _cleanup_(freep) = common_name(cert);
    assert_string_equal(cn, NODE);
}

static void
client__another_ca_does_not_trust_it(void **state)
{
    struct fixture *f = *state, *other;
    char *key _cleanup_(freep) = NULL;
    char *csr _cleanup_(freep) = NULL;
    char *cert _cleanup_(freep) = NULL;
    void *o;

    setup(&o);
    other = o;
    assert_int_equal(pki_make_request("x", &key, &csr, NULL), 0);
    assert_int_equal(pki_sign_client(other->ca, csr, NODE, 1, &cert, NULL), 0);
    assert_false(
        trusted(pki_ca_pem(f->ca), cert, GNUTLS_KP_TLS_WWW_CLIENT, NULL));
    teardown(&o);
}

/* The request as DER with one byte changed, as PEM again. */
static char *
tampered(const char *csr, unsigned at)
{
    gnutls_datum_t in = {(unsigned char *)csr, (unsigned)strlen(csr)};
    gnutls_datum_t der, pem;

    assert_true(
        gnutls_pem_base64_decode2("NEW CERTIFICATE REQUEST", &in, &der) >= 0);
    unsigned size = der.size;
    der.data[at % size] ^= 0x01;
    assert_true(
        gnutls_pem_base64_encode2("NEW CERTIFICATE REQUEST", &der, &pem) >= 0);
    char *text = xstrndup((char *)pem.data, pem.size);
    gnutls_free(der.data);
    gnutls_free(pem.data);
    return text;
}

static void
request__tampering_anywhere_is_refused(void **state)
{
    struct fixture *f = *state;
    char *key _cleanup_(freep) = NULL;
    char *csr _cleanup_(freep) = NULL;

    assert_int_equal(pki_make_request("node-1", &key, &csr, NULL), 0);
    for (unsigned at = 0; at < 300; at++) {
        struct err e _cleanup_(err_release) = {0};
        char *bad _cleanup_(freep) = tampered(csr, at);
        char *cert _cleanup_(freep) = NULL;

        if (pki_sign_client(f->ca, bad, NODE, 1, &cert, &e) != -EINVAL)
            fail_msg("byte %u may be changed", at);
        assert_string_equal(e.details[0].pointer, "/csr");
        assert_null(cert);
    }
}

static void
request__junk_is_refused(void **state)
{
    struct fixture *f = *state;
    char *huge _cleanup_(freep) = xcalloc(1, 100001);
    char *server_cert _cleanup_(freep) = slurp(f->crt);
    char hex[HASH_HEX_SIZE];

    memset(huge, 'A', 100000);
    const char *const bad[] = {
        "",
        "junk",
        "-----BEGIN NEW CERTIFICATE REQUEST-----\nAAAA\n"
        "-----END NEW CERTIFICATE REQUEST-----\n",
        server_cert, /* a certificate is no request */
        huge,
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *cert _cleanup_(freep) = NULL;

        assert_int_equal(pki_sign_client(f->ca, bad[i], NODE, 1, &cert, NULL),
                         -EINVAL);
        assert_int_equal(pki_request_key(bad[i], hex, NULL), -EINVAL);
    }
}

static void
request_key__is_that_of_the_key(void **state)
{
    char *k1 _cleanup_(freep) = NULL;
    char *c1 _cleanup_(freep) = NULL;
    char *k2 _cleanup_(freep) = NULL;
    char *c2 _cleanup_(freep) = NULL;
    char a[HASH_HEX_SIZE], b[HASH_HEX_SIZE], c[HASH_HEX_SIZE];

    assert_int_equal(pki_make_request("a", &k1, &c1, NULL), 0);
    assert_int_equal(pki_make_request("a", &k2, &c2, NULL), 0);
    assert_int_equal(pki_request_key(c1, a, NULL), 0);
    assert_int_equal(pki_request_key(c1, b, NULL), 0);
    assert_int_equal(pki_request_key(c2, c, NULL), 0);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    assert_int_equal(strlen(a), 64);
}

/* ---- the identity of a TLS peer ---- */

struct side {
    int fd;
    const char *ca, *cert, *key; /* cert NULL: shows none */
};

static gnutls_session_t
session(unsigned flags, const struct side *s,
        gnutls_certificate_credentials_t *cred)
{
    gnutls_datum_t ca = {(unsigned char *)s->ca, (unsigned)strlen(s->ca)};
    gnutls_session_t t;

    gnutls_certificate_allocate_credentials(cred);
    gnutls_certificate_set_x509_trust_mem(*cred, &ca, GNUTLS_X509_FMT_PEM);
    if (s->cert) {
        gnutls_datum_t c = {(unsigned char *)s->cert,
                            (unsigned)strlen(s->cert)};
        gnutls_datum_t k = {(unsigned char *)s->key, (unsigned)strlen(s->key)};

        if (gnutls_certificate_set_x509_key_mem(*cred, &c, &k,
                                                GNUTLS_X509_FMT_PEM) < 0)
            abort();
    }
    gnutls_init(&t, flags);
    gnutls_set_default_priority(t);
    gnutls_credentials_set(t, GNUTLS_CRD_CERTIFICATE, *cred);
    gnutls_transport_set_int(t, s->fd);
    return t;
}

static void *
client_main(void *arg)
{
    struct side *s = arg;
    gnutls_certificate_credentials_t cred;
    gnutls_session_t t =
        session(GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT, s, &cred);
    char c;
    int rc;

    do
        rc = gnutls_handshake(t);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    if (rc == 0)
        gnutls_record_recv(t, &c, 1); /* until the server is done */
    gnutls_deinit(t);
    gnutls_certificate_free_credentials(cred);
    return NULL;
}

static int
peer_of(struct fixture *f, const char *cert, const char *key, char cn[64],
        char fp[HASH_HEX_SIZE])
{
    static const char *const sans[] = {"localhost"};
    struct err e _cleanup_(err_release) = {0};
    char *scert _cleanup_(freep) = NULL;
    char *skey _cleanup_(freep) = NULL;
    gnutls_certificate_credentials_t cred;
    pthread_t th;
    int fds[2], rc;

    assert_int_equal(pki_issue_server(f->ca, sans, 1, 1, &scert, &skey, &e), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    struct side c = {fds[0], pki_ca_pem(f->ca), cert, key};
    struct side s = {fds[1], pki_ca_pem(f->ca), scert, skey};
    assert_int_equal(pthread_create(&th, NULL, client_main, &c), 0);
    gnutls_session_t t = session(GNUTLS_SERVER, &s, &cred);
    gnutls_certificate_server_set_request(t, GNUTLS_CERT_REQUEST);
    do
        rc = gnutls_handshake(t);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    assert_int_equal(rc, 0);
    int r = pki_peer(t, cn, fp, &e);
    gnutls_bye(t, GNUTLS_SHUT_WR);
    gnutls_deinit(t);
    gnutls_certificate_free_credentials(cred);
    close(fds[1]);
    pthread_join(th, NULL);
    close(fds[0]);
    return r;
}

static void
peer__is_who_the_ca_says(void **state)
{
    struct fixture *f = *state;
    char *key _cleanup_(freep) = NULL;
    char *csr _cleanup_(freep) = NULL;
    char *cert _cleanup_(freep) = NULL;
    char cn[64], fp[HASH_HEX_SIZE], want[HASH_HEX_SIZE];

    assert_int_equal(pki_make_request("x", &key, &csr, NULL), 0);
    assert_int_equal(pki_sign_client(f->ca, csr, NODE, 1, &cert, NULL), 0);
    assert_int_equal(peer_of(f, cert, key, cn, fp), 0);
    assert_string_equal(cn, NODE);
    assert_int_equal(pki_fingerprint(cert, want, NULL), 0);
    assert_string_equal(fp, want);
}

static void
peer__without_certificate_is_nobody(void **state)
{
    char cn[64], fp[HASH_HEX_SIZE];

    assert_int_equal(peer_of(*state, NULL, NULL, cn, fp), -ENOENT);
}

static void
peer__expired_foreign_or_server_certificate_is_refused(void **state)
{
    static const char *const sans[] = {"localhost"};
    struct fixture *f = *state, *other;
    char *key _cleanup_(freep) = NULL;
    char *csr _cleanup_(freep) = NULL;
    char *old _cleanup_(freep) = NULL;
    char *foreign _cleanup_(freep) = NULL;
    char *scert _cleanup_(freep) = NULL;
    char *skey _cleanup_(freep) = NULL;
    char cn[64], fp[HASH_HEX_SIZE];
    void *o;

    setup(&o);
    other = o;
    assert_int_equal(pki_make_request("x", &key, &csr, NULL), 0);
    assert_int_equal(pki_sign_client(f->ca, csr, NODE, -1, &old, NULL), 0);
    assert_int_equal(pki_sign_client(other->ca, csr, NODE, 1, &foreign, NULL),
                     0);
    assert_int_equal(pki_issue_server(f->ca, sans, 1, 1, &scert, &skey, NULL),
                     0);
    assert_int_equal(peer_of(f, old, key, cn, fp), -EACCES);
    assert_int_equal(peer_of(f, foreign, key, cn, fp), -EACCES);
    assert_int_equal(peer_of(f, scert, skey, cn, fp), -EACCES);
    teardown(&o);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(ca__is_made_once_and_kept),
        T(ca__certificate_without_key_is_refused),
        T(ca__key_without_certificate_is_completed),
        T(ca__broken_or_foreign_halves_are_refused),
        T(server__certificate_verifies_for_its_names_only),
        T(client__subject_is_ours_whatever_was_asked),
        T(client__another_ca_does_not_trust_it),
        T(request__tampering_anywhere_is_refused),
        T(request__junk_is_refused),
        T(request_key__is_that_of_the_key),
        T(peer__is_who_the_ca_says),
        T(peer__without_certificate_is_nobody),
        T(peer__expired_foreign_or_server_certificate_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
