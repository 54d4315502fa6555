/* control_request.c - requests and replies of the control socket; see
 * control_request.h. */
#include <config.h>

#include "hypervisor-backend/vmm/control_request.h"

#include <string.h>

#include "common/mem.h"

#define IN CODEC_IN
#define NEED (CODEC_IN | CODEC_REQUIRED)
#define F(M, NAME, TYPE, FLAGS, DOC, ...)                                      \
    {                                                                          \
        .name = NAME, .type = CODEC_##TYPE,                                    \
        .offset = offsetof(struct control_request, M), .flags = FLAGS,         \
        .doc = DOC, __VA_ARGS__                                                \
    }
#define HEAD                                                                   \
    F(v, "v", INT, NEED, "Protocol version."),                                 \
        F(id, "id", INT, IN, "Comes back in the reply."),                      \
        F(what, "do", STRING, NEED, "What to do.", .min = 1, .max = 32)
#define DEVICE(M, FLAGS)                                                       \
    F(M, #M, STRING, FLAGS, "Its name.", .min = 1,                             \
      .max = (int64_t)DEVICES_NAME_SIZE - 1)
#define BYTES_MAX (INT64_C(1) << 60)

static const struct codec_field plain[] = {HEAD};
static const struct codec_field attach_disk[] = {
    HEAD, F(new_disk, "disk", OBJECT, NEED, "The disk.",
            .sub = &spec_sent_disk_table)};
static const struct codec_field attach_nic[] = {
    HEAD,
    F(new_nic, "nic", OBJECT, NEED, "The NIC.", .sub = &spec_sent_nic_table)};
static const struct codec_field detach_disk[] = {
    HEAD, DEVICE(disk, NEED),
    F(force, "force", BOOL, IN, "Even if the guest holds it.")};
static const struct codec_field detach_nic[] = {
    HEAD, DEVICE(nic, NEED),
    F(force, "force", BOOL, IN, "Even if the guest holds it.")};
static const struct codec_field resize_disk[] = {
    HEAD, DEVICE(disk, NEED),
    F(bytes, "bytes", INT, IN, "What the size must be.", .min = 0,
      .max = BYTES_MAX, .dflt = -1)};
static const struct codec_field limits[] = {
    HEAD,
    DEVICE(disk, IN),
    DEVICE(nic, IN),
    F(limits, "limits", OBJECT, IN, "Of a disk.", .sub = &spec_limits_table),
    F(rx_limits, "rx_limits", OBJECT, IN, "To the guest.",
      .sub = &spec_limits_table),
    F(tx_limits, "tx_limits", OBJECT, IN, "From the guest.",
      .sub = &spec_limits_table)};
static const struct codec_field link_up[] = {
    HEAD, DEVICE(nic, NEED), F(up, "up", BOOL, NEED, "Carrier or none.")};
static const struct codec_field balloon[] = {
    HEAD, F(target_bytes, "target_bytes", INT, NEED, "To take from the guest.",
            .min = 0, .max = BYTES_MAX)};

#define TABLE(FIELDS)                                                          \
    {                                                                          \
        .name = "this request", .doc = "A request.",                           \
        .size = sizeof(struct control_request), .fields = FIELDS,              \
        .n_fields = ARRAY_SIZE(FIELDS)                                         \
    }
static const struct {
    const char *name;
    struct codec_table table;
} verbs[CONTROL_VERBS] = {
    [CONTROL_DESCRIBE] = {"describe", TABLE(plain)},
    [CONTROL_START] = {"start", TABLE(plain)},
    [CONTROL_PAUSE] = {"pause", TABLE(plain)},
    [CONTROL_RESUME] = {"resume", TABLE(plain)},
    [CONTROL_POWER_BUTTON] = {"power-button", TABLE(plain)},
    [CONTROL_RESET] = {"reset", TABLE(plain)},
    [CONTROL_STOP] = {"stop", TABLE(plain)},
    [CONTROL_ATTACH_DISK] = {"attach-disk", TABLE(attach_disk)},
    [CONTROL_DETACH_DISK] = {"detach-disk", TABLE(detach_disk)},
    [CONTROL_ATTACH_NIC] = {"attach-nic", TABLE(attach_nic)},
    [CONTROL_DETACH_NIC] = {"detach-nic", TABLE(detach_nic)},
    [CONTROL_RESIZE_DISK] = {"resize-disk", TABLE(resize_disk)},
    [CONTROL_LIMITS] = {"limits", TABLE(limits)},
    [CONTROL_LINK] = {"link", TABLE(link_up)},
    [CONTROL_BALLOON] = {"balloon", TABLE(balloon)},
    [CONTROL_STATS] = {"stats", TABLE(plain)},
    [CONTROL_CONSOLE] = {"console", TABLE(plain)},
    [CONTROL_WAIT] = {"wait", TABLE(plain)},
};
static const struct codec_table head = TABLE(plain);

const char *
control_verb_name(enum control_verb v)
{
    return verbs[v].name;
}

/* ---- descriptors ---- */

/* From a number among those sent along to the descriptor itself. */
static int
resolve(struct control_request *q, int64_t *fd, bool taken[CONTROL_FDS],
        const char *ptr, struct err *e)
{
    if (*fd < 0 || *fd >= q->n_fds)
        return err_field(e, ptr, "not_sent", "was not sent along");
    if (taken[*fd])
        return err_field(e, ptr, "duplicate", "is named twice");
    taken[*fd] = true;
    *fd = q->fds[*fd];
    return 0;
}

static int
resolve_list(struct control_request *q, struct codec_list *l,
             bool taken[CONTROL_FDS], const char *list, struct err *e)
{
    int64_t *fds = l->items;
    int r = 0;

    for (size_t i = 0; i < l->n; i++) {
        char ptr[48];
        int one;

        snprintf(ptr, sizeof(ptr), "/nic/%s/%zu", list, i);
        one = resolve(q, &fds[i], taken, ptr, e);
        if (one < 0)
            r = one;
    }
    return r;
}

static int
resolve_fds(struct control_request *q, struct err *e)
{
    bool taken[CONTROL_FDS] = {false};
    int r = 0, r2;

    if (q->new_disk) {
        r = resolve(q, &q->new_disk->fd, taken, "/disk/fd", e);
        return r < 0 ? r : spec_check_disk(q->new_disk, "/disk", e);
    }
    if (q->new_nic) {
        r = resolve_list(q, &q->new_nic->fds, taken, "fds", e);
        r2 = resolve_list(q, &q->new_nic->vhost_fds, taken, "vhost_fds", e);
        r = r < 0 ? r : r2;
        return r < 0 ? r : spec_check_nic(q->new_nic, "/nic", e);
    }
    return 0;
}

static void
give_up(struct control_request *q, int64_t fd)
{
    for (unsigned i = 0; i < q->n_fds; i++)
        if (q->fds[i] == fd)
            q->fds[i] = -1;
}

struct spec_disk
control_request_take_disk(struct control_request *q)
{
    struct spec_disk d = *q->new_disk;

    give_up(q, d.fd);
    *q->new_disk = (struct spec_disk){.fd = -1};
    return d;
}

struct spec_nic
control_request_take_nic(struct control_request *q)
{
    struct spec_nic n = *q->new_nic;

    for (size_t i = 0; i < n.fds.n; i++)
        give_up(q, ((int64_t *)n.fds.items)[i]);
    for (size_t i = 0; i < n.vhost_fds.n; i++)
        give_up(q, ((int64_t *)n.vhost_fds.items)[i]);
    *q->new_nic = (struct spec_nic){0};
    return n;
}

/* ---- requests ---- */

/* Members that no single table knows to belong together. */
static int
check(const struct control_request *q, struct err *e)
{
    if (q->verb != CONTROL_LIMITS)
        return 0;
    if (!q->disk == !q->nic)
        return err_field(e, q->disk ? "/nic" : "/disk", "one_of",
                         "either a disk or a NIC must be named");
    if (q->disk && !q->limits)
        return err_field(e, "/limits", "required", "is required");
    if (q->disk && (q->rx_limits || q->tx_limits))
        return err_field(e, q->rx_limits ? "/rx_limits" : "/tx_limits",
                         "one_of", "is for a NIC");
    if (q->nic && q->limits)
        return err_field(e, "/limits", "one_of", "is for a disk");
    if (q->nic && !q->rx_limits && !q->tx_limits)
        return err_field(e, "/rx_limits", "required",
                         "this or tx_limits is required");
    return 0;
}

/* Version and verb, whatever else is in the line. */
static int
decode_head(const char *line, size_t len, struct control_request *q,
            struct err *e)
{
    struct control_request h = {0};
    int r = codec_decode(&head, CODEC_PEER, line, len, &h, e);

    if (r < 0)
        return r;
    q->id = h.id;
    r = -ENOENT;
    for (int i = 0; i < CONTROL_VERBS && r < 0; i++)
        if (streq(verbs[i].name, h.what)) {
            q->verb = (enum control_verb)i;
            r = 0;
        }
    if (h.v != CONTROL_VERSION)
        r = err_set(e, -EPROTO, "version", "version %lld is not spoken here",
                    (long long)h.v);
    else if (r < 0)
        r = err_field(e, "/do", "unknown", "no such request");
    codec_clear(&head, &h);
    return r;
}

int
control_request_decode(const char *line, size_t len, struct control_request *q,
                       struct err *reterr)
{
    struct control_request in = {0};
    int r;

    /* The codec takes an empty text for {}; here it is no request. */
    if (len == 0)
        return err_set(reterr, -EBADMSG, "bad_json", "an empty line");
    r = decode_head(line, len, q, reterr);
    if (r < 0)
        return r;
    in.verb = q->verb;
    r = codec_decode(&verbs[q->verb].table, CODEC_REQUEST, line, len, &in,
                     reterr);
    if (r < 0)
        return r;
    in.verb = q->verb;
    in.n_fds = q->n_fds;
    memcpy(in.fds, q->fds, sizeof(in.fds));
    *q = in;
    r = check(q, reterr);
    return r < 0 ? r : resolve_fds(q, reterr);
}

void
control_request_release(struct control_request *q)
{
    for (unsigned i = 0; i < q->n_fds; i++)
        closep(&q->fds[i]);
    q->n_fds = 0;
    codec_clear(&verbs[q->verb].table, q);
}

/* ---- replies ---- */

void
control_error_json(const struct err *e, struct buf *out)
{
    bool field = e->n_details > 0;

    /* The first field at fault stands for all. */
    buf_adds(out, "{\"code\":");
    codec_encode_string(*e->code ? e->code : "failed", out);
    if (field) {
        buf_adds(out, ",\"field\":");
        codec_encode_string(e->details[0].pointer, out);
    }
    buf_adds(out, ",\"message\":");
    codec_encode_string(field ? e->details[0].message : e->message, out);
    if (streq(e->code, "version"))
        buf_addf(out, ",\"versions\":[%d]", CONTROL_VERSION);
    buf_addc(out, '}');
}

static void
reply_head(int64_t id, struct buf *out)
{
    buf_addf(out, "{\"v\":%d,\"id\":%lld,", CONTROL_VERSION, (long long)id);
}

void
control_reply_result(int64_t id, const char *json, struct buf *out)
{
    reply_head(id, out);
    buf_addf(out, "\"result\":%s}\n", *json ? json : "{}");
}

void
control_reply_error(int64_t id, const struct err *e, struct buf *out)
{
    reply_head(id, out);
    buf_adds(out, "\"error\":");
    control_error_json(e, out);
    buf_adds(out, "}\n");
}
