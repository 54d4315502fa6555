/* fuzz-clock.c - times and durations as text. */
#include <config.h>

#include <string.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s _cleanup_(freep) = xstrndup((const char *)data, size);
    char text[CLOCK_TEXT_MAX];
    int64_t us, back, d;

    if (clock_parse(s, &us) == 0) {
        clock_format(us, text);
        FUZZ_CHECK(strlen(text) == 27);
        FUZZ_CHECK(clock_parse(text, &back) == 0);
        FUZZ_CHECK(back == us);
    }
    if (clock_parse_duration(s, &d) == 0)
        FUZZ_CHECK(d >= 0 && d <= 3650 * 86400 * US_PER_S);
    if (conf_parse_size(s, &d) == 0)
        FUZZ_CHECK(d >= 0);
    if (size >= sizeof(us)) {
        memcpy(&us, data, sizeof(us));
        clock_format(us, text);
        FUZZ_CHECK(strlen(text) == 27);
    }
    return 0;
}
