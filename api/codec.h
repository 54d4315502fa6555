/* api/codec.h - one field table per resource: decode, validate, encode.
 * Role:      a struct plus its table is the whole truth about a resource on
 *            the wire; decoding, errors with JSON pointers, encoding, OpenAPI
 *            and the CLI's columns derive from it.
 * Ownership: strings, lists and objects inside a decoded struct are
 *            allocated; codec_clear() frees them and zeroes the struct.
 * Threads:   reentrant; tables are constant.
 * Errors:    -EINVAL; reterr lists every field at fault (RFC 6901 pointer).
 * Source:    RFC 8259 (JSON), RFC 3339 (times), JSON Schema 2020-12. */
#ifndef API_CODEC_H
#define API_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum codec_type {
    CODEC_STRING,  /* char *; min/max are bytes (max 0: 255) */
    CODEC_TEXT,    /* char *; like STRING but may hold newlines and tabs */
    CODEC_NAME,    /* char *; DNS label */
    CODEC_ID,      /* char *; UUID */
    CODEC_REF,     /* char *; name or id */
    CODEC_DECIMAL, /* char *; exact decimal number as a string */
    CODEC_INT,     /* int64_t with min..max */
    CODEC_BOOL,    /* bool */
    CODEC_TIME,    /* int64_t microseconds; 0 is absent */
    CODEC_ENUM,    /* int, an index into names */
    CODEC_OBJECT,  /* pointer to a struct of table sub; NULL is absent */
    CODEC_LIST,    /* struct codec_list of structs of table sub; max items */
    CODEC_STRINGS, /* struct codec_list of char *; max items */
    CODEC_INTS,    /* struct codec_list of int64_t, each 0 or more; max items */
    CODEC_FLAG,    /* int: 1 true, 0 false, -1 (the default) absent */
    /* struct codec_list of struct codec_label, an object of strings, sorted
     * by key; max items. Keys: 1 to 63 of A-Z a-z 0-9 '-' '_' '.' '/',
     * beginning and ending with a letter or digit; values: such, or empty. */
    CODEC_LABELS,
};

enum codec_flags {
    CODEC_IN = 1u << 0,       /* may be given in a request */
    CODEC_REQUIRED = 1u << 1, /* must be given in a request */
    CODEC_COL = 1u << 2,      /* a column of the CLI's tables */
    CODEC_OMIT = 1u << 3,     /* left out of replies while empty */
    CODEC_BYTES = 1u << 4,    /* INT in bytes: the CLI shows 512M */
};

struct codec_list {
    void *items;
    size_t n;
};

struct codec_label {
    char *key, *value;
};

struct codec_table;

struct codec_field {
    const char *name;
    enum codec_type type;
    size_t offset;
    unsigned flags;
    int64_t min, max;
    size_t item_max;          /* STRINGS: bytes of each (0: 255) */
    int64_t dflt;             /* INT, BOOL, ENUM in requests */
    size_t given;             /* offset + 1 of a bool: set if it was given */
    const char *const *names; /* ENUM: NULL-terminated */
    const struct codec_table *sub;
    const char *doc; /* one line */
};

struct codec_table {
    const char *name; /* "Instance": the schema's name */
    const char *doc;
    size_t size; /* of the struct */
    const struct codec_field *fields;
    size_t n_fields;
};

enum codec_mode {
    CODEC_REQUEST, /* strict: only CODEC_IN fields, unknown ones refused */
    /* Between our daemons, whose versions may differ: as strict, but fields
     * that this side does not know are skipped. */
    CODEC_PEER,
    /* From a server we trust: unknown fields are skipped, and bounds are its
     * own business. Types and forms (name, id, time) are checked. */
    CODEC_REPLY,
};

/* JSON text into *out, which must be zeroed or cleared. On failure *out is
 * cleared. An empty text counts as {} in CODEC_REQUEST mode. */
int codec_decode(const struct codec_table *t, enum codec_mode mode,
                 const char *json, size_t len, void *out,
                 struct err *reterr) _must_check_;
/* {"items":[…],"next_page_token":"…"} as lists come from the API. */
int codec_decode_page(const struct codec_table *t, const char *json, size_t len,
                      struct codec_list *ret_items, char **ret_next,
                      struct err *reterr) _must_check_;
void codec_clear(const struct codec_table *t, void *obj);
/* Clears the items and frees the array. */
void codec_list_clear(const struct codec_table *t, struct codec_list *l);
/* A zeroed item appended to l. */
void *codec_list_add(const struct codec_table *t, struct codec_list *l);
void codec_strings_add(struct codec_list *l, const char *s);
void codec_strings_clear(struct codec_list *l);
void codec_ints_add(struct codec_list *l, int64_t v);
/* Labels keep their order; add in the order of the keys. */
void codec_labels_add(struct codec_list *l, const char *key, const char *value);
void codec_labels_clear(struct codec_list *l);
bool codec_label_valid(const char *key, const char *value);

/* One line of JSON appended to out. */
void codec_encode(const struct codec_table *t, const void *obj,
                  struct buf *out);
/* A request's body: the CODEC_IN fields that are required or not empty. */
void codec_encode_request(const struct codec_table *t, const void *obj,
                          struct buf *out);
/* s as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void codec_encode_string(const char *s, struct buf *out);

/* A scalar field's value as plain text; false (and nothing) when absent or
 * not a scalar. Lists of strings and numbers are joined by commas. */
bool codec_field_text(const struct codec_field *f, const void *obj,
                      struct buf *out);
const struct codec_field *codec_field_find(const struct codec_table *t,
                                           const char *name);
/* The index of s in an ENUM's names, or -EINVAL. */
int codec_enum_parse(const char *const *names, const char *s);

/* JSON Schema of the table: request (CODEC_IN fields) or reply form. */
void codec_schema(const struct codec_table *t, enum codec_mode mode,
                  struct buf *out);

/* Checks JSON syntax and gives it back indented (CLI, dumps). */
int codec_pretty(const char *json, size_t len, struct buf *out,
                 struct err *reterr) _must_check_;

#endif
