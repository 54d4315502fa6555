/* fuzz-route.c - method and path: the input's first line and the rest. */
#include <config.h>

#include <string.h>

#include "api/routes.h"
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s _cleanup_(freep) = xstrndup((const char *)data, size);
    char *path = strchr(s, '\n');
    struct api_match m;

    if (!path)
        return 0;
    *path++ = '\0';
    api_route_match(s, path, &m);
    for (int i = 0; i < API_PARAMS_MAX; i++)
        FUZZ_CHECK(strnlen(m.params[i], 64) < 64);
    FUZZ_CHECK(strnlen(m.allow, sizeof(m.allow)) < sizeof(m.allow));
    FUZZ_CHECK(!(m.route && m.method_mismatch));
    FUZZ_CHECK(!m.method_mismatch || *m.allow);
    if (!m.route)
        return 0;
    /* The pattern with the parameters in their places is the path again. */
    struct buf b _cleanup_(buf_release) = {0};
    int n = 0;
    for (const char *p = m.route->path; *p; p++) {
        if (*p != '{') {
            buf_addc(&b, *p);
            continue;
        }
        FUZZ_CHECK(*m.params[n] && !strchr(m.params[n], '/'));
        buf_adds(&b, m.params[n++]);
        p = strchr(p, '}');
    }
    FUZZ_CHECK(strcmp(buf_str(&b), path) == 0);
    FUZZ_CHECK(strcmp(m.route->method, s) == 0);
    return 0;
}
