/* controllerd/filter.h - the filter= of lists.
 * Role:      "state=running,label.env=prod,!label.old": terms with commas that
 *            must all hold. A list declares which fields of its table can be
 *            asked for; what an index answers is the store's to know, the
 *            rest is judged row by row with filter_match().
 * Grammar:   filter = term *("," term)
 *            term   = field "=" value | field "!=" value
 *                   | "label." key "=" value | "label." key "!=" value
 *                   | "label." key | "!label." key
 *            A value has no comma. An absent field or label is not equal to
 *            any value.
 * Ownership: filter_release() frees what filter_parse() filled; the spec is
 *            constant and outlives it.
 * Threads:   reentrant.
 * Errors:    -EINVAL with the pointer "?filter". */
#ifndef CONTROLLERD_FILTER_H
#define CONTROLLERD_FILTER_H

#include "api/codec.h"

struct call;

#define FILTER_MAX 2048 /* bytes */
#define FILTER_TERMS_MAX 16

struct filter_field {
    const char *name; /* of the table's; a scalar */
    const char *also; /* another that may equal the value, or NULL */
    bool operators;   /* may be asked for by operators only */
};

struct filter_spec {
    const struct codec_table *table;
    const char *labels; /* the field of type LABELS, or NULL */
    const struct filter_field *fields;
    size_t n_fields;
};

enum filter_op { FILTER_EQ, FILTER_NE, FILTER_HAS, FILTER_LACKS };

struct filter_term {
    enum filter_op op;
    const struct codec_field *field, *also;
    char *key;   /* of a label, else NULL */
    char *value; /* of EQ and NE */
};

struct filter {
    const struct filter_spec *spec;
    struct filter_term terms[FILTER_TERMS_MAX];
    size_t n;
};

/* text NULL or "": a filter that everything passes. */
int filter_parse(const struct filter_spec *spec, const char *text,
                 bool is_operator, struct filter *ret,
                 struct err *reterr) _must_check_;
/* The call's ?filter=. */
int query_filter(struct call *c, const struct filter_spec *spec,
                 struct filter *ret) _must_check_;
void filter_release(struct filter *f);
/* obj is a struct of the spec's table. */
bool filter_match(const struct filter *f, const void *obj);
/* The value that the field must have, or NULL where none is asked for: for
 * lists that have an index of it. */
const char *filter_value(const struct filter *f, const char *field);
/* The first term that wants a label to be there: EQ before HAS, or NULL. */
const struct filter_term *filter_label(const struct filter *f);

#endif
