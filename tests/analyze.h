/* tests/analyze.h - what clang's analyzer, which sees one file at a time, is
 * to know of the others. Included before every file by tests/analyze, never
 * compiled into anything. */
#ifndef TESTS_ANALYZE_H
#define TESTS_ANALYZE_H

#include "common/err.h"

/* err_set() and its like return the number they are given, which is below 0:
 * `return err_set(...)` is never a success with its outputs unset. */
static inline int
analyze_negative(int number)
{
    if (number >= 0)
        __builtin_unreachable();
    return number;
}
#ifndef ANALYZE_ERR_C
#define err_set(e, n, ...) ((err_set)(e, n, __VA_ARGS__), analyze_negative(n))
#define err_field(...) ((err_field)(__VA_ARGS__), analyze_negative(-EINVAL))
#define err_errno(e, n, ...)                                                   \
    ((err_errno)(e, n, __VA_ARGS__), analyze_negative(n))
#endif

/* uthash frees its table with the last element; the analyzer takes every
 * element for the last. */
#define uthash_free(ptr, size) ((void)(ptr))

#endif
