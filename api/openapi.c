/* openapi.c - OpenAPI 3.1 and the reference page, from the route table. */
#include <config.h>

#include "api/routes.h"

#include <ctype.h>
#include <string.h>

#include "common/mem.h"

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
                 "\"schema\":{\"type\":\"string\"}}",
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
responses(const struct api_route *r, struct buf *out)
{
    buf_addf(out, ",\"responses\":{\"%d\":{\"description\":\"Success\"",
             r->status);
    if (r->out && r->out_list) {
        buf_adds(out, ",\"content\":{\"application/json\":{\"schema\":{"
                      "\"type\":\"object\",\"required\":[\"items\"],"
                      "\"properties\":{\"items\":{\"type\":\"array\",\"items"
                      "\":");
        ref(r->out, CODEC_REPLY, out);
        buf_adds(out, "},\"next_page_token\":{\"type\":\"string\"}}}}}");
    } else if (r->out) {
        buf_adds(out, ",\"content\":{\"application/json\":{\"schema\":");
        ref(r->out, CODEC_REPLY, out);
        buf_adds(out, "}}");
    }
    buf_adds(out, "},\"default\":{\"description\":\"Error (RFC 9457)\","
                  "\"content\":{\"application/problem+json\":{\"schema\":");
    ref(&table_problem, CODEC_REPLY, out);
    buf_adds(out, "}}}}");
}

/* Which role a route wants. */
static void
needs(const struct api_route *r, struct buf *out)
{
    if (r->role == ROLE_NONE)
        buf_adds(out, "Needs no role");
    else
        buf_addf(out, "Needs the role %s or above%s", api_role_names[r->role],
                 r->billing ? ", or billing" : "");
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
    if (r->auth == AUTH_TOKEN) {
        buf_adds(out, ",\"security\":[{\"bearer\":[]},{\"cookie\":[]}],"
                      "\"description\":\"");
        needs(r, out);
        buf_adds(out, ".\"");
    } else if (r->auth == AUTH_NODE)
        buf_adds(out, ",\"security\":[{\"node\":[]}]");
    else
        buf_adds(out, ",\"security\":[]");
    parameters(r, out);
    request_body(r, out);
    responses(r, out);
    buf_addc(out, '}');
}

static void
schemas(struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < N_ROUTES; i++)
        for (int side = 0; side < 2; side++) {
            const struct codec_table *t =
                side ? api_routes[i].out : api_routes[i].in;
            enum codec_mode mode = side ? CODEC_REPLY : CODEC_REQUEST;
            bool seen = !t;

            for (size_t k = 0; k < i && !seen; k++)
                seen = (side ? api_routes[k].out : api_routes[k].in) == t;
            if (seen)
                continue;
            buf_addf(out, "%s\"%s%s\":", first ? "" : ",", t->name,
                     side ? "" : "Request");
            codec_schema(t, mode, out);
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
             "\"LicenseRef-Virga\"}},\"servers\":[{\"url\":\"/\"}],\"paths\":"
             "{",
             PACKAGE_VERSION);
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
                  "\"type\":\"http\",\"scheme\":\"bearer\"},\"cookie\":{"
                  "\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":"
                  "\"__Host-virga\",\"description\":\"Everything but GET "
                  "needs X-CSRF-Token as well\"},\"node\":{"
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
    if (r->auth == AUTH_TOKEN) {
        buf_adds(out, "- ");
        needs(r, out);
        buf_addc(out, '\n');
    } else {
        buf_addf(out, "- %s\n",
                 r->auth == AUTH_NODE ? "A node's client certificate"
                                      : "No authentication");
    }
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
    static const char *const tags[] = {
        "instances", "images",  "flavors", "operations", "usage",  "events",
        "audit",     "tenants", "nodes",   "agents",     "service"};

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
            if (strcmp(api_routes[i].tag, tags[t]) == 0)
                route_page(&api_routes[i], out);
    buf_adds(out, "## Objects\n\n");
    const struct codec_table *done[2 * N_ROUTES];
    size_t n = 0;
    for (size_t i = 0; i < 2 * N_ROUTES; i++) {
        const struct codec_table *tb =
            i & 1 ? api_routes[i / 2].in : api_routes[i / 2].out;
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
