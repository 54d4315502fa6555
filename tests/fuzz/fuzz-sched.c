/* fuzz-sched.c - nodes, claims and requests of any kind, beside the model that
 * works everything out anew (tests/unit/sched-model.h): nothing overflows,
 * nothing that is not forced is over-committed, every verdict is right. */
#include <config.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/sched-model.h"

#define STEPS_MAX 400

struct input {
    const uint8_t *data;
    size_t size;
};

/* Each number takes a byte, or two where it may be large; 0 at the end. */
static uint64_t
input_below(void *arg, uint64_t n)
{
    struct input *in = arg;
    uint64_t v = 0;

    for (uint64_t range = 1; range < n; range <<= 8) {
        if (in->size == 0)
            return 0;
        v = v << 8 | *in->data++;
        in->size--;
    }
    return v % n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct model *m =
        model_new((struct model_source){input_below, &in}, 6, 12, true);

    for (int i = 0; i < STEPS_MAX && in.size > 0; i++)
        model_step(m);
    model_compare(m);
    model_free(m);
    return 0;
}
