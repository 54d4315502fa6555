/* fuzz-codec.c - JSON into structs and back. The first byte picks table and
 * mode. What was taken must encode to text that is taken again, to the same
 * text. */
#include <config.h>

#include <string.h>

#include "api/resources.h"
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"

static const struct codec_table *const tables[] = {
    &table_project,      &table_token,
    &table_whoami,       &table_flavor,
    &table_image,        &table_image_part,
    &table_instance,     &table_stop_request,
    &table_operation,    &table_stats,
    &table_usage,        &table_usage_item,
    &table_node,         &table_join_token,
    &table_problem,      &table_fault,
    &table_join,         &table_joined,
    &table_desired,      &table_certificate_request,
    &table_host,         &table_desired_instance,
    &table_node_request, &table_report,
    &table_observation,  &table_report_ack,
};

static void
round_trip(const struct codec_table *t, enum codec_mode mode, const void *obj)
{
    struct buf a _cleanup_(buf_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    void *back = xcalloc(1, t->size);

    if (mode != CODEC_REPLY)
        codec_encode_request(t, obj, &a);
    else
        codec_encode(t, obj, &a);
    if (codec_decode(t, mode, a.data, a.len, back, &e) < 0) {
        fprintf(stderr, "%s in %s\n", e.message, a.data);
        abort();
    }
    if (mode != CODEC_REPLY)
        codec_encode_request(t, back, &b);
    else
        codec_encode(t, back, &b);
    FUZZ_CHECK(strcmp(buf_str(&a), buf_str(&b)) == 0);
    codec_clear(t, back);
    free(back);
}

/* Every scalar has a text form of its own. */
static void
texts(const struct codec_table *t, const void *obj)
{
    struct buf b _cleanup_(buf_release) = {0};

    for (size_t i = 0; i < t->n_fields; i++) {
        buf_clear(&b);
        codec_field_text(&t->fields[i], obj, &b);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};
    struct codec_list items = {0};
    char *next _cleanup_(freep) = NULL;

    if (size == 0)
        return 0;
    const struct codec_table *t = tables[(data[0] >> 2) % ARRAY_SIZE(tables)];
    static const enum codec_mode modes[] = {CODEC_REQUEST, CODEC_REPLY,
                                            CODEC_PEER, CODEC_REPLY};
    enum codec_mode mode = modes[data[0] & 3];
    const char *json = (const char *)data + 1;
    void *obj = xcalloc(1, t->size);

    size--;
    int r = codec_decode(t, mode, json, size, obj, &e);
    if (r == 0) {
        round_trip(t, mode, obj);
        texts(t, obj);
    } else {
        const unsigned char *p = obj;

        FUZZ_CHECK(*e.code && *e.message);
        FUZZ_CHECK(r != -EINVAL || e.n_details > 0);
        for (size_t i = 0; i < t->size; i++)
            FUZZ_CHECK(p[i] == 0); /* nothing half-made */
        for (size_t i = 0; i < e.n_details; i++)
            codec_encode_string(e.details[i].pointer, &b);
    }
    codec_clear(t, obj);
    free(obj);
    if (codec_decode_page(t, json, size, &items, &next, NULL) == 0)
        codec_list_clear(t, &items);
    buf_clear(&b);
    if (codec_pretty(json, size, &b, NULL) == 0) {
        struct buf again _cleanup_(buf_release) = {0};

        FUZZ_CHECK(codec_pretty(b.data, b.len, &again, NULL) == 0);
        FUZZ_CHECK(strcmp(buf_str(&b), buf_str(&again)) == 0);
    }
    return 0;
}
