/* join.c - joining and certificates; see join.h. */
#include <config.h>

#include "agentd/join.h"

#include <string.h>
#include <sys/stat.h>

#include "api/resources.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pki.h"

#define PEM_MAX 65536

static char *
in_dir(const char *dir, const char *file)
{
    return xasprintf("%s/%s", dir, file);
}

int
join_token_parse(const char *text, struct join_token *ret, struct err *reterr)
{
    const char *part[3] = {0}; /* id, secret, ca */
    unsigned char hash[HASH_LEN];
    size_t n = strlen(text);

    if (n >= sizeof(ret->text) || strncmp(text, "vj1.", 4) != 0)
        goto bad;
    const char *p = text + 3;
    for (int i = 0; i < 3; i++) {
        if (!p || p[1] == '\0' || p[1] == '.')
            goto bad;
        part[i] = p + 1;
        p = strchr(part[i], '.');
    }
    if (p || id_unhex(part[2], hash, HASH_LEN) < 0)
        goto bad;
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
            goto bad;
    snprintf(ret->text, sizeof(ret->text), "%s", text);
    id_hex(hash, HASH_LEN, ret->ca_hash);
    return 0;
bad:
    return err_set(reterr, -EINVAL, "bad_join_token",
                   "the join token is not of the form "
                   "vj1.<id>.<secret>.<ca hash>: make one by "
                   "\"virga node token\"");
}

int
join_token_read(const char *path, struct join_token *ret, struct err *reterr)
{
    struct buf text _cleanup_(buf_release) = {0};
    int r = fs_read(path, 4096, &text, reterr);

    if (r == 0) {
        /* "virga node token" prints the token on its first line. */
        text.len = strcspn(buf_str(&text), "\r\n");
        while (text.len && strchr(" \t", text.data[text.len - 1]))
            text.len--;
        text.data[text.len] = '\0';
        r = join_token_parse(buf_str(&text), ret, reterr);
    }
    if (r < 0)
        err_prefix(reterr, "join-token-file %s", path);
    return r;
}

int
join_load(const char *dir, char ret_node_id[ID_SIZE], struct err *reterr)
{
    static const char *const files[] = {"ca.crt", "node.key", "node.csr",
                                        "node.crt"};
    char *id_path _cleanup_(freep) = in_dir(dir, "node.id");
    struct buf id _cleanup_(buf_release) = {0};
    int r = fs_read(id_path, 64, &id, reterr);

    if (r < 0)
        return r;
    while (id.len && id.data[id.len - 1] == '\n')
        id.data[--id.len] = '\0';
    if (!id_valid(buf_str(&id)))
        return err_set(reterr, -EINVAL, "bad_identity", "%s holds no node id",
                       id_path);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char *path _cleanup_(freep) = in_dir(dir, files[i]);

        if (access(path, R_OK) < 0)
            return err_set(reterr, -EIO, "bad_identity",
                           "this node has joined, but %s cannot be read: %s",
                           path, strerrordesc_np(errno));
    }
    memcpy(ret_node_id, id.data, ID_SIZE);
    return 0;
}

/* The CA comes over a connection that proves nothing; its hash in the token
 * does. */
static int
fetch_ca(const char *dir, const char *url, const struct join_token *token,
         struct buf *ret_ca, struct err *reterr)
{
    struct httpc_config cfg = {.base_url = url,
                               .user_agent = "virga-agentd/" PACKAGE_VERSION,
                               .insecure = true};
    struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
    struct httpc_request rq = HTTPC_REQUEST("GET", "/v1/ca");
    struct httpc *c = httpc_new(&cfg);
    char *path _cleanup_(freep) = in_dir(dir, "ca.crt");
    char hash[HASH_HEX_SIZE];

    rq.timeout_ms = 10000;
    rq.max_reply = PEM_MAX;
    int r = httpc_call(c, &rq, &reply, reterr);
    httpc_free(c);
    if (r == 0)
        r = link_check(&reply, reterr);
    if (r < 0)
        return r;
    hash_sha256_hex(buf_str(&reply.body), reply.body.len, hash);
    if (strcmp(hash, token->ca_hash) != 0)
        return err_set(reterr, -EACCES, "wrong_controller",
                       "the CA of %s is not the one that the join token was "
                       "made for: check the address, or somebody is in "
                       "between",
                       url);
    r = fs_write_atomic(path, reply.body.data, reply.body.len, 0644, reterr);
    if (r == 0)
        buf_add(ret_ca, reply.body.data, reply.body.len);
    return r;
}

static int
ensure_request(const char *dir, const char *name, struct buf *ret_csr,
               struct err *reterr)
{
    char *csr_path _cleanup_(freep) = in_dir(dir, "node.csr");
    char *key_path _cleanup_(freep) = in_dir(dir, "node.key");
    char *key _cleanup_(freep) = NULL;
    char *csr _cleanup_(freep) = NULL;

    /* The key is written first: a request that is there has its key. */
    if (access(csr_path, F_OK) < 0) {
        int r = pki_make_request(name, &key, &csr, reterr);

        if (r == 0)
            r = fs_write_atomic(key_path, key, strlen(key), 0600, reterr);
        if (r == 0)
            r = fs_write_atomic(csr_path, csr, strlen(csr), 0600, reterr);
        if (r < 0)
            return r;
    }
    return fs_read(csr_path, PEM_MAX, ret_csr, reterr);
}

static int
check_joined(const struct api_joined *j, const char *ca, struct err *reterr)
{
    char print[HASH_HEX_SIZE];

    if (!j->node_id || !id_valid(j->node_id) || !j->certificate || !j->ca)
        return err_set(reterr, -EINVAL, "bad_reply",
                       "the controller's answer is incomplete");
    if (!streq(j->ca, ca))
        return err_set(reterr, -EACCES, "wrong_controller",
                       "the controller answered with another CA than the join "
                       "token's");
    return pki_fingerprint(j->certificate, print, reterr);
}

static int
store_joined(const char *dir, const struct api_joined *j, struct err *reterr)
{
    char *cert _cleanup_(freep) = in_dir(dir, "node.crt");
    char *id _cleanup_(freep) = in_dir(dir, "node.id");
    int r = fs_write_atomic(cert, j->certificate, strlen(j->certificate), 0600,
                            reterr);

    /* Last: it says that all the rest is there. */
    if (r == 0)
        r = fs_write_atomic(id, j->node_id, ID_LEN, 0600, reterr);
    return r;
}

static int
decode_joined(const struct httpc_reply *reply, const char *ca,
              struct api_joined *ret, struct err *reterr)
{
    int r = codec_decode(&table_joined, CODEC_PEER, buf_str(&reply->body),
                         reply->body.len, ret, reterr);

    if (r == 0)
        r = check_joined(ret, ca, reterr);
    if (r < 0)
        codec_clear(&table_joined, ret);
    return r;
}

int
join_try(const char *dir, const char *url, const char *name,
         const struct join_token *token, char ret_node_id[ID_SIZE],
         struct err *reterr)
{
    struct buf ca _cleanup_(buf_release) = {0};
    struct buf csr _cleanup_(buf_release) = {0};
    struct buf body _cleanup_(buf_release) = {0};
    struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
    char *ca_path _cleanup_(freep) = in_dir(dir, "ca.crt");
    struct api_joined joined = {0};
    int r = fs_mkdirs(dir, reterr);

    if (r == 0)
        r = fetch_ca(dir, url, token, &ca, reterr);
    if (r == 0)
        r = ensure_request(dir, name, &csr, reterr);
    if (r < 0)
        return r;
    struct api_join join = {
        .token = (char *)token->text, .name = (char *)name, .csr = csr.data};
    codec_encode(&table_join, &join, &body);
    struct httpc_config cfg = {.base_url = url,
                               .user_agent = "virga-agentd/" PACKAGE_VERSION,
                               .ca_file = ca_path};
    struct httpc_request rq = HTTPC_REQUEST("POST", "/v1/join");
    rq.body = body.data;
    rq.body_len = body.len;
    rq.max_reply = (size_t)1 << 20;
    struct httpc *c = httpc_new(&cfg);
    r = httpc_call(c, &rq, &reply, reterr);
    httpc_free(c);
    if (r == 0)
        r = link_check(&reply, reterr);
    if (r == 0)
        r = decode_joined(&reply, buf_str(&ca), &joined, reterr);
    if (r < 0)
        return r;
    r = store_joined(dir, &joined, reterr);
    if (r == 0)
        memcpy(ret_node_id, joined.node_id, ID_SIZE);
    codec_clear(&table_joined, &joined);
    return r;
}

bool
join_may_retry(int r)
{
    return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EAGAIN || r == -EIO;
}

/* 1 when it is time. The file's age stands for the certificate's. */
static int
is_due(const char *dir, struct err *reterr)
{
    char *path _cleanup_(freep) = in_dir(dir, "node.crt");
    struct buf pem _cleanup_(buf_release) = {0};
    int64_t expiry, born;
    struct stat st;
    int r = fs_read(path, PEM_MAX, &pem, reterr);

    if (r == 0 && stat(path, &st) < 0)
        r = err_errno(reterr, -errno, "%s", path);
    if (r == 0)
        r = pki_expiry_us(buf_str(&pem), &expiry, reterr);
    if (r < 0)
        return r;
    born = st.st_mtim.tv_sec * US_PER_S;
    return clock_now_us() >= born + (expiry - born) / 3 * 2;
}

int
join_renew(const char *dir, struct link *l, struct link_client *lc,
           struct err *reterr)
{
    char *csr_path _cleanup_(freep) = in_dir(dir, "node.csr");
    char *ca_path _cleanup_(freep) = in_dir(dir, "ca.crt");
    struct buf csr _cleanup_(buf_release) = {0};
    struct buf ca _cleanup_(buf_release) = {0};
    struct buf body _cleanup_(buf_release) = {0};
    struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
    struct api_joined joined = {0};
    int r = is_due(dir, reterr);

    if (r <= 0)
        return r;
    r = fs_read(csr_path, PEM_MAX, &csr, reterr);
    if (r == 0)
        r = fs_read(ca_path, PEM_MAX, &ca, reterr);
    if (r < 0)
        return r;
    struct api_certificate_request req = {.csr = csr.data};
    codec_encode(&table_certificate_request, &req, &body);
    struct httpc_request rq = HTTPC_REQUEST("POST", "/v1/agent/certificate");
    rq.body = body.data;
    rq.body_len = body.len;
    rq.max_reply = (size_t)1 << 20;
    r = link_call(lc, &rq, &reply, reterr);
    if (r == 0)
        r = decode_joined(&reply, buf_str(&ca), &joined, reterr);
    if (r < 0)
        return r;
    r = store_joined(dir, &joined, reterr);
    codec_clear(&table_joined, &joined);
    if (r < 0)
        return r;
    link_renewed(l);
    log_info("the node's certificate was renewed", "controller=%s",
             httpc_host(link_httpc(lc)));
    return 1;
}
