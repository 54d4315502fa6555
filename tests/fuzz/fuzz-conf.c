/* fuzz-conf.c - a settings file. */
#include <config.h>

#include <sys/mman.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/fs.h"
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"

struct settings {
    char *name;
    int64_t count, size, wait, flag;
};

static const struct conf_key keys[] = {
    {"name", CONF_STRING, offsetof(struct settings, name), 0, 0, "x", ""},
    {"count", CONF_INT, offsetof(struct settings, count), 2, 64, "2", ""},
    {"size", CONF_SIZE, offsetof(struct settings, size), 1, 1 << 30, "1", ""},
    {"wait", CONF_DURATION, offsetof(struct settings, wait), 1, US_PER_S * 9,
     "5s", ""},
    {"flag", CONF_FLAG, offsetof(struct settings, flag), 0, 0, "no", ""},
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e _cleanup_(err_release) = {0};
    struct settings s = {0};
    char *argv[] = {(char *)"prog", NULL};
    int fd _cleanup_(closep) = memfd_create("conf", MFD_CLOEXEC);
    char path[32];

    if (fd < 0 || fs_write_all(fd, data, size) < 0)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int r = conf_load(keys, ARRAY_SIZE(keys), 1, argv, "prog", path, &s, &e);
    FUZZ_CHECK(r <= 0);
    if (r < 0) {
        FUZZ_CHECK(*e.message);
    } else {
        FUZZ_CHECK(s.name);
        FUZZ_CHECK(s.count >= 2 && s.count <= 64);
        FUZZ_CHECK(s.size >= 1 && s.size <= 1 << 30);
        FUZZ_CHECK(s.wait >= 1 && s.wait <= 9 * US_PER_S);
        FUZZ_CHECK(s.flag == 0 || s.flag == 1);
    }
    conf_release(keys, ARRAY_SIZE(keys), &s);
    return 0;
}
