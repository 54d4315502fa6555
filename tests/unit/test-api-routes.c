/* test-api-routes.c - the route table is whole, and the matcher obeys it. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "api/routes.h"
#include "common/mem.h"

static const char *const tags[] = {
    "instances", "images",  "flavors", "operations", "usage",  "events",
    "audit",     "tenants", "nodes",   "agents",     "backup", "service"};

/* The pattern with each {name} replaced by a word. */
static char *
concrete(const char *pattern, const char *word)
{
    struct buf b = {0};

    for (; *pattern; pattern++) {
        if (*pattern != '{') {
            buf_addc(&b, *pattern);
            continue;
        }
        buf_adds(&b, word);
        pattern = strchr(pattern, '}');
    }
    return buf_take(&b);
}

static int
params_of(const char *pattern)
{
    int n = 0;

    for (; *pattern; pattern++)
        n += *pattern == '{';
    return n;
}

static void
route__matches_itself(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];
        char *path _cleanup_(freep) = concrete(r->path, "web-1");
        struct api_match m;

        assert_int_equal(r->id, i);
        api_route_match(r->method, path, &m);
        if (m.route != r)
            fail_msg("%s %s is answered by %s", r->method, path,
                     m.route ? m.route->path : "nothing");
        assert_false(m.method_mismatch);
        for (int k = 0; k < params_of(r->path); k++)
            assert_string_equal(m.params[k], "web-1");
    }
}

static void
route__is_described(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];
        bool known = false;

        if (!r->summary || !*r->summary || !r->example)
            fail_msg("%s %s lacks summary or example", r->method, r->path);
        for (size_t k = 0; k < ARRAY_SIZE(tags); k++)
            known |= r->tag && streq(r->tag, tags[k]);
        if (!known)
            fail_msg("%s %s has no tag of the reference", r->method, r->path);
        assert_in_range(r->status, 100, 299);
        /* Roles are for tokens; without one only one's own affairs are
         * open, which are billing's as well. */
        if (r->auth != AUTH_TOKEN)
            assert_int_equal(r->role, ROLE_NONE);
        else if (r->role == ROLE_NONE)
            assert_true(r->billing);
        assert_int_equal(r->body == BODY_JSON, r->in != NULL);
        assert_in_range(params_of(r->path), 0, API_PARAMS_MAX);
        if (r->out_list)
            assert_non_null(r->out);
        for (const struct api_query *q = r->query; q && q->name; q++)
            assert_true(q->doc && *q->doc);
    }
}

static void
route__body_example_is_valid(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];
        struct err e _cleanup_(err_release) = {0};

        if (!r->in)
            continue;
        void *obj = xcalloc(1, r->in->size);
        if (codec_decode(r->in, CODEC_REQUEST, r->example, strlen(r->example),
                         obj, &e) < 0)
            fail_msg("%s %s: %s", r->method, r->path, e.message);
        codec_clear(r->in, obj);
        free(obj);
    }
}

static void
route__query_example_names_its_parameters(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];

        if (*r->example != '?')
            continue;
        for (const char *p = r->example; p; p = strchr(p, '&')) {
            size_t n = strcspn(++p, "=");
            bool found = false;

            for (const struct api_query *q = r->query; q && q->name; q++)
                found |= strlen(q->name) == n && strncmp(q->name, p, n) == 0;
            if (!found)
                fail_msg("%s: %s is not among its parameters", r->path, p);
        }
    }
}

/* Also with parameters under other names: {a} and {b} match alike. */
static void
route__method_and_path_are_unique(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++)
        for (size_t k = i + 1; k < N_ROUTES; k++) {
            char *a _cleanup_(freep) = concrete(api_routes[i].path, "{}");
            char *b _cleanup_(freep) = concrete(api_routes[k].path, "{}");

            if (streq(a, b) &&
                streq(api_routes[i].method, api_routes[k].method))
                fail_msg("%s %s is there twice", api_routes[i].method, a);
        }
}

static void
match__unknown_path_is_none(void **state)
{
    static const char *const paths[] = {
        "",
        "v1/instances",
        "/v1",
        "/v1/",
        "/v1/instance",
        "/v1/instances/",
        "/v1/instances//start",
        "/v1/instances/a/b",
        "/v1/instances/a/start/",
        "//v1/instances",
        "/V1/instances",
        "/v1/agent/images/a/parts/",
        "/dashboard/",
        "/dashboard/a/b",
    };
    struct api_match m;

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        api_route_match("GET", paths[i], &m);
        if (m.route || m.method_mismatch)
            fail_msg("\"%s\" is known", paths[i]);
        assert_string_equal(m.allow, "");
    }
}

static void
match__wrong_method_tells_which_are_right(void **state)
{
    struct api_match m;

    api_route_match("PUT", "/v1/instances", &m);
    assert_null(m.route);
    assert_true(m.method_mismatch);
    assert_string_equal(m.allow, "POST, GET");
    api_route_match("get", "/v1/instances", &m); /* methods have case */
    assert_true(m.method_mismatch);
    api_route_match("", "/v1/instances/a/stop", &m);
    assert_string_equal(m.allow, "POST");

    for (size_t i = 0; i < N_ROUTES; i++) {
        char *path _cleanup_(freep) = concrete(api_routes[i].path, "a");

        api_route_match("BREW", path, &m);
        assert_null(m.route);
        assert_true(m.method_mismatch);
        assert_non_null(strstr(m.allow, api_routes[i].method));
    }
}

static void
match__parameters_have_bounds(void **state)
{
    struct api_match m;
    char word[65];

    memset(word, 'a', sizeof(word) - 1);
    word[63] = '\0';
    char *most _cleanup_(freep) = xasprintf("/v1/instances/%s/stop", word);
    word[63] = 'a';
    word[64] = '\0';
    char *more _cleanup_(freep) = xasprintf("/v1/instances/%s/stop", word);
    api_route_match("POST", most, &m);
    assert_non_null(m.route);
    assert_int_equal(strlen(m.params[0]), 63);
    api_route_match("POST", more, &m);
    assert_null(m.route);
    assert_false(m.method_mismatch);

    api_route_match("GET", "/v1/agent/images/i-1/parts/kernel", &m);
    assert_int_equal(m.route->id, ROUTE_AGENT_IMAGE_PART);
    assert_string_equal(m.params[0], "i-1");
    assert_string_equal(m.params[1], "kernel");
    assert_string_equal(m.params[2], "");
}

static bool
has_schema(json_t *doc, const char *ref)
{
    static const char prefix[] = "#/components/schemas/";
    json_t *schemas =
        json_object_get(json_object_get(doc, "components"), "schemas");

    return strncmp(ref, prefix, strlen(prefix)) == 0 &&
           json_object_get(schemas, ref + strlen(prefix));
}

/* Every $ref in the document leads somewhere. */
static void
check_refs(json_t *doc, json_t *j)
{
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_array(j))
        json_array_foreach(j, i, v) check_refs(doc, v);
    json_object_foreach(j, key, v)
    {
        if (streq(key, "$ref") && !has_schema(doc, json_string_value(v)))
            fail_msg("%s leads nowhere", json_string_value(v));
        check_refs(doc, v);
    }
}

static void
openapi__is_whole_and_names_every_route(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct buf again _cleanup_(buf_release) = {0};
    json_error_t je;

    api_openapi(&b);
    json_t *j = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &je);
    if (!j)
        fail_msg("%s at %d", je.text, je.position);
    json_t *paths = json_object_get(j, "paths");
    json_t *ids = json_object();
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];
        char method[8] = "";

        for (size_t k = 0; r->method[k] && k < sizeof(method) - 1; k++)
            method[k] = (char)(r->method[k] | 0x20);
        json_t *op = json_object_get(json_object_get(paths, r->path), method);
        if (!op)
            fail_msg("%s %s is missing", r->method, r->path);
        const char *id = json_string_value(json_object_get(op, "operationId"));
        if (json_object_get(ids, id))
            fail_msg("operationId %s is there twice", id);
        json_object_set_new(ids, id, json_true());
    }
    check_refs(j, j);
    json_decref(ids);
    json_decref(j);
    api_openapi(&again);
    assert_string_equal(buf_str(&b), buf_str(&again));
}

static void
reference__names_every_route_and_object(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};

    api_reference(&b);
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];
        char *head _cleanup_(freep) =
            xasprintf("### `%s %s`", r->method, r->path);

        if (!strstr(buf_str(&b), head))
            fail_msg("%s is missing", head);
        for (int side = 0; side < 2; side++) {
            const struct codec_table *t = side ? r->in : r->out;
            char *table _cleanup_(freep) =
                t ? xasprintf("### %s\n", t->name) : NULL;

            if (t && !strstr(buf_str(&b), table))
                fail_msg("%s is missing", t->name);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route__matches_itself),
        cmocka_unit_test(route__is_described),
        cmocka_unit_test(route__body_example_is_valid),
        cmocka_unit_test(route__query_example_names_its_parameters),
        cmocka_unit_test(route__method_and_path_are_unique),
        cmocka_unit_test(match__unknown_path_is_none),
        cmocka_unit_test(match__wrong_method_tells_which_are_right),
        cmocka_unit_test(match__parameters_have_bounds),
        cmocka_unit_test(openapi__is_whole_and_names_every_route),
        cmocka_unit_test(reference__names_every_route_and_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
