/* hypervisor-backend/vmm/words.h - "name=value,flag,…" of the command line.
 * Role:      what `run`'s options and `ctl`'s arguments have in common.
 * Ownership: values are pieces of the text, which is changed.
 * Errors:    -EINVAL with the word at fault. */
#ifndef HYPERVISOR_BACKEND_VMM_WORDS_H
#define HYPERVISOR_BACKEND_VMM_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* NAME alone (WORD_FLAG) or NAME=VALUE. */
struct word {
    const char *name;
    enum { WORD_FLAG, WORD_TEXT, WORD_NUMBER, WORD_SIZE } type;
    void *to;         /* bool, const char *, int64_t */
    int64_t min, max; /* of a number */
};

int words_parse(char *s, const struct word *words, size_t n,
                struct err *reterr) _must_check_;
int words_number(const char *s, int64_t min, int64_t max,
                 int64_t *ret) _must_check_;
/* "512M"; more than 0. */
int words_size(const char *s, int64_t *ret) _must_check_;

#endif
