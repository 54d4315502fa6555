/* reply.c - answers: objects, pages, problems (RFC 9457). */
#include <config.h>

#include "controllerd/ctl.h"

#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/events.h"

void
reply_object(struct call *c, const struct codec_table *t, const void *obj)
{
    struct http_req *rq = c->rq;
    const struct codec_field *gen = codec_field_find(t, "generation");

    buf_clear(&rq->reply);
    codec_encode(t, obj, &rq->reply);
    buf_addc(&rq->reply, '\n');
    rq->status = c->m.route->status;
    call_replies(c, t, obj);
    if (gen)
        http_add_header(
            rq, "ETag", "\"%lld\"",
            (long long)*(const int64_t *)((const char *)obj + gen->offset));
}

void
reply_empty(struct call *c)
{
    c->rq->status = c->m.route->status;
}

void
reply_text(struct call *c, const char *content_type, const char *text)
{
    buf_adds(&c->rq->reply, text);
    c->rq->content_type = content_type;
    c->rq->status = c->m.route->status;
}

void
reply_items(struct call *c, const struct codec_table *t,
            const struct codec_list *items, const char *next)
{
    struct buf *out = &c->rq->reply;

    buf_adds(out, "{\"items\":[");
    for (size_t i = 0; i < items->n; i++) {
        if (i)
            buf_adds(out, ",\n");
        codec_encode(t, (const char *)items->items + i * t->size, out);
    }
    buf_addc(out, ']');
    if (*next)
        buf_addf(out, ",\"next_page_token\":\"%s\"", next);
    buf_adds(out, "}\n");
    c->rq->status = c->m.route->status;
}

void
reply_page(struct call *c, const struct codec_table *t,
           struct codec_list *items, int limit, size_t id_offset)
{
    struct codec_list page = {items->items, MIN(items->n, (size_t)limit)};
    const char *next = "";

    if (items->n > page.n)
        next = *(char **)((char *)items->items + (page.n - 1) * t->size +
                          id_offset);
    reply_items(c, t, &page, next);
}

/* A code that says more than its number wins over it. */
int
http_status_of(int number, const char *code)
{
    static const struct {
        const char *code;
        int status;
    } by_code[] = {
        {"idempotency_key_reused", 422},
        {"storage_full", 507},
        {"no_capacity", 507},
        {"token_required", 401},
        {"bad_token", 401},
        {"token_expired", 401},
        {"bad_credentials", 401},
        {"too_many_attempts", 429},
        {"node_unreachable", 503},
        {"shutting_down", 503},
        {"method_not_allowed", 405},
        {"body_too_large", 413},
        {"head_too_large", 431},
        {"media_type", 415},
        {"length_required", 411},
        {"too_many_streams", 429},
        {"precondition_failed", 412},
        {"precondition_required", 428},
        {"rate_limited", 429},
        {"quota_exceeded", 403},
    };

    for (size_t i = 0; i < ARRAY_SIZE(by_code); i++)
        if (strcmp(by_code[i].code, code) == 0)
            return by_code[i].status;
    switch (-number) {
    case EINVAL:
    case EBADMSG:
        return 400;
    case EACCES:
    case EPERM:
        return 403;
    case ENOENT:
        return 404;
    case EEXIST:
    case EBUSY:
        return 409;
    case ENOSPC:
        return 507;
    case EAGAIN:
    case ETIMEDOUT:
        return 503;
    default:
        return 500;
    }
}

static const char *
title_of(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

void
reply_problem(struct call *c, int number, const struct err *e)
{
    struct http_req *rq = c->rq;
    const char *code = e->code[0] ? e->code : "internal";
    int status = http_status_of(number, code);
    struct api_problem p = {
        .type = (char *)"about:blank",
        .title = (char *)title_of(status),
        .status = status,
        .detail = (char *)(e->message[0] ? e->message
                                         : "the request could not be done"),
        .code = (char *)code,
        .request_id = c->request_id,
    };
    struct api_problem_field fields[ERR_MAX_DETAILS];

    for (size_t i = 0; i < e->n_details; i++)
        fields[i] = (struct api_problem_field){
            .pointer = e->details[i].pointer,
            .code = (char *)e->details[i].code,
            .message = e->details[i].message,
        };
    p.errors = (struct codec_list){fields, e->n_details};
    if (streq(code, "quota_exceeded"))
        p.quota = c->quota_faults;
    if (status >= 500 && status != 503 && status != 507) {
        COUNT(http_internal_error);
        log_limited(LOG_LEVEL_ERROR, "request failed",
                    "req=%s code=%s detail=\"%s\"", c->request_id, code,
                    e->message);
    }
    buf_clear(&rq->reply);
    buf_clear(&rq->headers); /* a Location of what did not come to be */
    closep(&rq->reply_fd);   /* and what would have been the answer */
    codec_encode(&table_problem, &p, &rq->reply);
    buf_addc(&rq->reply, '\n');
    rq->content_type = "application/problem+json";
    rq->status = status;
    if (status == 503 || status == 429)
        http_add_header(rq, "Retry-After", "%lld",
                        (long long)MAX(c->retry_after_s, INT64_C(1)));
    if (status == 401)
        http_add_header(rq, "WWW-Authenticate", "Bearer");
    if (status == 405)
        http_add_header(rq, "Allow", "%s", c->m.allow);
}

void
call_location(struct call *c, const char *path, const char *id)
{
    http_add_header(c->rq, "Location", "%s/%s", path, id);
}
