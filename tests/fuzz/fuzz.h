/* tests/fuzz/fuzz.h - what every fuzz target shares.
 * Role:      the entry that libFuzzer and replay.c call, and a check that
 *            stays when assert() does not.
 * Ownership: data is borrowed.
 * Threads:   one.   Errors: a broken promise aborts. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(x)                                                          \
    do {                                                                       \
        if (!(x)) {                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,   \
                    #x);                                                       \
            abort();                                                           \
        }                                                                      \
    } while (0)

#endif
