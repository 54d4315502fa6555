/* fuzz-filter.c - the filter= of a list. */
#include <config.h>

#include <string.h>

#include "api/resources.h"
#include "common/mem.h"
#include "controllerd/filter.h"
#include "tests/fuzz/fuzz.h"

static const struct filter_field fields[] = {
    {.name = "name"},
    {.name = "state"},
    {.name = "image", .also = "image_id"},
    {.name = "node_id"},
    {.name = "locked"},
    {.name = "vcpus"},
    {.name = "created_at"},
};
static const struct filter_spec spec = {&table_instance, "labels", fields,
                                        ARRAY_SIZE(fields)};

/* The filter's terms as text again. */
static void
write_terms(const struct filter *f, struct buf *out)
{
    static const char *const ops[] = {"=", "!=", "", ""};

    for (size_t i = 0; i < f->n; i++) {
        const struct filter_term *t = &f->terms[i];

        FUZZ_CHECK(!t->key != !t->field);
        FUZZ_CHECK(t->value || t->key);
        buf_addf(out, "%s%s%s%s%s%s", i ? "," : "",
                 t->op == FILTER_LACKS ? "!" : "", t->key ? "label." : "",
                 t->key ? t->key : t->field->name, ops[t->op],
                 t->value ? t->value : "");
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s _cleanup_(freep) = xstrndup((const char *)data, size);
    struct err e _cleanup_(err_release) = {0};
    struct buf again _cleanup_(buf_release) = {0};
    struct api_instance obj = {.name = (char *)"web-1", .vcpus = 4};
    struct filter f = {0};
    int r = filter_parse(&spec, s, true, &f, &e);

    FUZZ_CHECK(r == 0 || r == -EINVAL);
    if (r < 0) {
        FUZZ_CHECK(e.n_details == 1 && *e.message && !f.n);
        return 0;
    }
    write_terms(&f, &again);
    FUZZ_CHECK(strcmp(buf_str(&again), s) == 0);
    codec_labels_add(&obj.labels, "env", "prod");
    bool all = true;
    for (size_t i = 0; i < f.n; i++) {
        struct filter one = {.spec = &spec, .n = 1};

        one.terms[0] = f.terms[i];
        all = filter_match(&one, &obj) && all;
    }
    FUZZ_CHECK(filter_match(&f, &obj) == all);
    codec_labels_clear(&obj.labels);
    filter_release(&f);
    return 0;
}
