/* openapi.c - OpenAPI 3.1 and the reference page, from the route table. */
#include <config.h>

#include "api/routes.h"

#include <ctype.h>
#include <string.h>

#include "common/mem.h"

static const struct {
    const char *name, *doc;
} tags[] = {
    {"instances", "Virtual machines, and the keys that they get"},
    {"images", "What instances boot"},
    {"flavors", "Sizes of instances"},
    {"operations", "Work that goes on after its request was answered"},
    {"usage", "What was used"},
    {"events", "What happened, and where to send it"},
    {"audit", "Who changed what"},
    {"tenants", "Projects, users, sessions, tokens and quotas"},
    {"nodes", "The machines"},
    {"agents", "What the machines' agents call"},
    {"service", "The controller itself"},
    {"backup", "All that the controller holds, secrets included"},
};

/* Whom a route is for, in words. */
static void
whom(const struct api_route *r, struct buf *out)
{
    if (r->auth == AUTH_NONE)
        buf_adds(out, "Needs no authentication.");
    else if (r->auth == AUTH_NODE)
        buf_adds(out, "Needs a node's client certificate.");
    else if (r->role == ROLE_NONE)
        buf_adds(out, "Needs a token or session, whatever its role.");
    else
        buf_addf(out, "Needs the role %s%s%s.", api_role_names[r->role],
                 r->role == ROLE_OPERATOR ? "" : " or above",
                 r->billing ? ", or billing" : "");
}

/* ---- OpenAPI ---- */

static void
ref(const struct codec_table *t, enum codec_mode mode, struct buf *out)
{
    buf_addf(out, "{\"$ref\":\"#/components/schemas/%s%s\"}", t->name,
             mode == CODEC_REQUEST ? "Request" : "");
}

static void
parameters(const struct api_route *r, struct buf *out)
{
    bool first = true;

    buf_adds(out, ",\"parameters\":[");
    for (const char *p = strchr(r->path, '{'); p; p = strchr(p + 1, '{')) {
        buf_addf(out,
                 "%s{\"name\":\"%.*s\",\"in\":\"path\",\"required\":true,"
                 "\"schema\":{\"type\":\"string\",\"minLength\":1,"
                 "\"maxLength\":63}}",
                 first ? "" : ",", (int)strcspn(p + 1, "}"), p + 1);
        first = false;
    }
    for (const struct api_query *q = r->query; q && q->name; q++) {
        buf_addf(out,
                 "%s{\"name\":\"%s\",\"in\":\"query\",\"schema\":{\"type\":"
                 "\"string\"},\"description\":",
                 first ? "" : ",", q->name);
        codec_encode_string(q->doc, out);
        buf_addc(out, '}');
        first = false;
    }
    if (strcmp(r->method, "GET") != 0 && strchr(r->path, '{') &&
        r->auth == AUTH_TOKEN) {
        buf_addf(out,
                 "%s{\"name\":\"If-Match\",\"in\":\"header\",\"schema\":{"
                 "\"type\":\"string\"},\"description\":\"The ETag of the "
                 "object as it must still be, else 412\"}",
                 first ? "" : ",");
        first = false;
    }
    if (strcmp(r->method, "POST") == 0 && r->auth == AUTH_TOKEN)
        buf_addf(out,
                 "%s{\"name\":\"Idempotency-Key\",\"in\":\"header\","
                 "\"schema\":{\"type\":\"string\",\"maxLength\":128},"
                 "\"description\":\"The same key with the same body gets the "
                 "first reply again, for 24 h\"}",
                 first ? "" : ",");
    buf_addc(out, ']');
}

static void
request_body(const struct api_route *r, struct buf *out)
{
    if (r->body == BODY_NONE)
        return;
    buf_addf(out, ",\"requestBody\":{\"required\":%s,\"content\":{\"%s\":{",
             r->body == BODY_JSON ? "false" : "true",
             r->body == BODY_JSON ? "application/json"
                                  : "application/octet-stream");
    if (r->in) {
        buf_adds(out, "\"schema\":");
        ref(r->in, CODEC_REQUEST, out);
    }
    buf_adds(out, "}}}");
}

static void
reply_headers(const struct api_route *r, struct buf *out)
{
    bool tagged =
        r->out && !r->out_list && codec_field_find(r->out, "generation");
    bool located = r->status == 201 && tagged;

    if (!tagged)
        return;
    buf_adds(out, ",\"headers\":{\"ETag\":{\"description\":\"The object's "
                  "generation, for If-Match\",\"schema\":{\"type\":"
                  "\"string\"}}");
    if (located)
        buf_adds(out, ",\"Location\":{\"description\":\"Path of the new "
                      "object\",\"schema\":{\"type\":\"string\"}}");
    buf_addc(out, '}');
}

static void
reply_content(const struct api_route *r, struct buf *out)
{
    if (!r->out)
        return;
    buf_adds(out, ",\"content\":{\"application/json\":{\"schema\":");
    if (r->out_list)
        buf_adds(out, "{\"type\":\"object\",\"required\":[\"items\"],"
                      "\"properties\":{\"items\":{\"type\":\"array\","
                      "\"items\":");
    ref(r->out, CODEC_REPLY, out);
    if (r->out_list)
        buf_adds(out, "},\"next_page_token\":{\"type\":\"string\"}}}");
    buf_addc(out, '}');
    if (r->id == ROUTE_EVENT_LIST)
        buf_adds(out, ",\"text/event-stream\":{\"schema\":{\"type\":"
                      "\"string\"}}");
    buf_addc(out, '}');
}

static void
responses(const struct api_route *r, struct buf *out)
{
    buf_addf(out, ",\"responses\":{\"%d\":{\"description\":\"Success\"",
             r->status);
    reply_headers(r, out);
    reply_content(r, out);
    buf_addc(out, '}');
    if (r->dry_run) {
        buf_adds(out, ",\"200\":{\"description\":\"What would be done "
                      "(dry_run=true)\",\"content\":{\"application/json\":{"
                      "\"schema\":");
        ref(r->dry_run, CODEC_REPLY, out);
        buf_adds(out, "}}}");
    }
    buf_adds(out, ",\"default\":{\"description\":\"Error (RFC 9457)\","
                  "\"content\":{\"application/problem+json\":{\"schema\":");
    ref(&table_problem, CODEC_REPLY, out);
    buf_adds(out, "}}}}");
}

static void
operation(const struct api_route *r, struct buf *out)
{
    char method[8];
    size_t n = 0;

    for (; r->method[n] && n < sizeof(method) - 1; n++)
        method[n] = (char)tolower((unsigned char)r->method[n]);
    method[n] = '\0';
    buf_addf(out, "\"%s\":{\"tags\":[\"%s\"],\"operationId\":\"%s", method,
             r->tag, method);
    for (const char *p = r->path; *p; p++)
        if (isalnum((unsigned char)*p))
            buf_addc(out, p[-1 + (p == r->path)] == '/' ||
                                  p[-1 + (p == r->path)] == '{' ||
                                  p[-1 + (p == r->path)] == '-'
                              ? (char)toupper((unsigned char)*p)
                              : *p);
    buf_adds(out, "\",\"summary\":");
    codec_encode_string(r->summary, out);
    buf_adds(out, ",\"description\":\"");
    whom(r, out);
    buf_adds(out, r->auth == AUTH_TOKEN  ? "\",\"security\":[{\"bearer\":[]},"
                                           "{\"session\":[]}]"
                  : r->auth == AUTH_NODE ? "\",\"security\":[{\"node\":[]}]"
                                         : "\",\"security\":[]");
    parameters(r, out);
    request_body(r, out);
    responses(r, out);
    buf_addc(out, '}');
}

/* What a route takes and gives; NULLs among them. */
#define ROUTE_TABLES 3
static const struct codec_table *
table_of(size_t route, size_t k)
{
    const struct api_route *r = &api_routes[route];

    return k == 0 ? r->in : k == 1 ? r->out : r->dry_run;
}

static void
schemas(struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < N_ROUTES; i++)
        for (size_t k = 0; k < ROUTE_TABLES; k++) {
            const struct codec_table *t = table_of(i, k);
            bool seen = !t;

            for (size_t j = 0; j < i && !seen; j++)
                seen = k ? table_of(j, 1) == t || table_of(j, 2) == t
                         : table_of(j, 0) == t;
            if (seen)
                continue;
            buf_addf(out, "%s\"%s%s\":", first ? "" : ",", t->name,
                     k ? "" : "Request");
            codec_schema(t, k ? CODEC_REPLY : CODEC_REQUEST, out);
            first = false;
        }
    buf_adds(out, ",\"Problem\":");
    codec_schema(&table_problem, CODEC_REPLY, out);
}

void
api_openapi(struct buf *out)
{
    buf_addf(out,
             "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Virga\","
             "\"version\":\"%s\",\"description\":\"Infrastructure as a "
             "service: instances, images, nodes and metering.\",\"license\":"
             "{\"name\":\"See the source distribution\",\"identifier\":"
             "\"LicenseRef-Virga\"}},\"servers\":[{\"url\":\"/\"}],\"tags\":[",
             PACKAGE_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
        buf_addf(out, "%s{\"name\":\"%s\",\"description\":\"%s\"}",
                 i ? "," : "", tags[i].name, tags[i].doc);
    buf_adds(out, "],\"paths\":{");
    bool first_path = true;
    for (size_t i = 0; i < N_ROUTES; i++) {
        bool seen = false, first = true;

        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(api_routes[k].path, api_routes[i].path) == 0;
        if (seen)
            continue;
        buf_addf(out, "%s\"%s\":{", first_path ? "" : ",", api_routes[i].path);
        first_path = false;
        for (size_t k = i; k < N_ROUTES; k++) {
            if (strcmp(api_routes[k].path, api_routes[i].path) != 0)
                continue;
            if (!first)
                buf_addc(out, ',');
            first = false;
            operation(&api_routes[k], out);
        }
        buf_addc(out, '}');
    }
    buf_adds(out, "},\"components\":{\"securitySchemes\":{\"bearer\":{"
                  "\"type\":\"http\",\"scheme\":\"bearer\"},\"session\":{"
                  "\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":"
                  "\"__Host-virga\",\"description\":\"A browser's session; "
                  "all but GET need X-CSRF-Token, too\"},\"node\":{"
                  "\"type\":\"mutualTLS\"}},\"schemas\":{");
    schemas(out);
    buf_adds(out, "}}}");
}

/* ---- reference page ---- */

static const char *
type_text(const struct codec_field *f)
{
    static const char *const names[] = {
        [CODEC_STRING] = "string",
        [CODEC_TEXT] = "text",
        [CODEC_NAME] = "name",
        [CODEC_ID] = "id",
        [CODEC_REF] = "name or id",
        [CODEC_DECIMAL] = "decimal string",
        [CODEC_INT] = "integer",
        [CODEC_BOOL] = "boolean",
        [CODEC_TIME] = "time",
        [CODEC_ENUM] = "enum",
        [CODEC_OBJECT] = "object",
        [CODEC_LIST] = "list",
        [CODEC_STRINGS] = "list of strings",
        [CODEC_INTS] = "list of numbers",
        [CODEC_FLAG] = "boolean",
        [CODEC_LABELS] = "labels",
    };

    return names[f->type];
}

static void
table_page(const struct codec_table *t, struct buf *out)
{
    buf_addf(out,
             "### %s\n\n%s\n\n| field | type | in requests | meaning "
             "|\n|---|---|---|---|\n",
             t->name, t->doc);
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];

        buf_addf(out, "| `%s` | %s", f->name, type_text(f));
        if (f->sub)
            buf_addf(out, " of %s", f->sub->name);
        for (int k = 0; f->names && f->names[k]; k++)
            buf_addf(out, "%s`%s`", k ? ", " : ": ", f->names[k]);
        if (f->type == CODEC_INT && f->max)
            buf_addf(out, " %lld–%lld", (long long)f->min, (long long)f->max);
        buf_addf(out, " | %s | %s |\n",
                 f->flags & CODEC_REQUIRED ? "required"
                 : f->flags & CODEC_IN     ? "optional"
                                           : "–",
                 f->doc);
    }
    buf_addc(out, '\n');
}

static void
route_page(const struct api_route *r, struct buf *out)
{
    buf_addf(out, "### `%s %s`\n\n%s.\n\n", r->method, r->path, r->summary);
    buf_adds(out, "- ");
    whom(r, out);
    buf_addc(out, '\n');
    for (const struct api_query *q = r->query; q && q->name; q++)
        buf_addf(out, "- `?%s=`: %s\n", q->name, q->doc);
    if (r->in)
        buf_addf(out, "- Body: [%s](#%s)\n", r->in->name, r->in->name);
    else if (r->body != BODY_NONE)
        buf_adds(out, "- Body: bytes\n");
    buf_addf(out, "- Answer: %d", r->status);
    if (r->out)
        buf_addf(out, ", %s[%s](#%s)", r->out_list ? "a page of " : "",
                 r->out->name, r->out->name);
    if (r->example && *r->example)
        buf_addf(out, "\n\n```\n%s %s%s%s\n```\n\n", r->method, r->path,
                 *r->example == '?' ? "" : "\n", r->example);
    else
        buf_adds(out, "\n\n");
}

void
api_reference(struct buf *out)
{
    buf_adds(out,
             "# API reference\n\nWritten from the route and field tables by "
             "`make schemas`; do not edit.\nConventions: JSON over HTTPS, "
             "bearer tokens, times in RFC 3339 UTC, sizes in bytes, errors "
             "as\nRFC 9457 `application/problem+json` with `code`, "
             "`request_id` and one entry per field at fault.\n"
             "`Idempotency-Key` on POST makes a repeat safe for 24 h. Paths "
             "take a name or an id.\n\n## Routes\n\n");
    for (size_t t = 0; t < ARRAY_SIZE(tags); t++)
        for (size_t i = 0; i < N_ROUTES; i++)
            if (strcmp(api_routes[i].tag, tags[t].name) == 0)
                route_page(&api_routes[i], out);
    buf_adds(out, "## Objects\n\n");
    const struct codec_table *done[ROUTE_TABLES * N_ROUTES];
    size_t n = 0;
    for (size_t i = 0; i < ROUTE_TABLES * N_ROUTES; i++) {
        const struct codec_table *tb =
            table_of(i / ROUTE_TABLES, i % ROUTE_TABLES);
        bool seen = !tb;

        for (size_t k = 0; k < n && !seen; k++)
            seen = strcmp(done[k]->name, tb->name) == 0;
        if (seen)
            continue;
        done[n++] = tb;
        table_page(tb, out);
    }
    table_page(&table_problem, out);
}
