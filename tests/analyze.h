/* tests/analyze.h - what clang's analyzer, which sees one file at a time, is
 * to know of the others. Included before every file by tests/analyze, never
 * compiled into anything. */
#ifndef TESTS_ANALYZE_H
#define TESTS_ANALYZE_H

#include "common/err.h"
#ifdef ANALYZE_IN_controllerd
#include "controllerd/ctl.h"
#endif

/* These return the number of an error, which is below 0: `return
 * err_set(...)` is never a success with its outputs unset. Not in the files
 * that define them. */
static inline int
analyze_negative(int number)
{
    if (number >= 0)
        __builtin_unreachable();
    return number;
}
#ifndef ANALYZE_common_err
#define err_set(e, n, ...) ((err_set)(e, n, __VA_ARGS__), analyze_negative(n))
#define err_field(...) ((err_field)(__VA_ARGS__), analyze_negative(-EINVAL))
#define err_errno(e, n, ...)                                                   \
    ((err_errno)(e, n, __VA_ARGS__), analyze_negative(n))
#endif
#if defined(ANALYZE_IN_controllerd) && !defined(ANALYZE_controllerd_query)
#define not_found(...) analyze_negative((not_found)(__VA_ARGS__))
#define store_error(...) analyze_negative((store_error)(__VA_ARGS__))
#endif

#endif
