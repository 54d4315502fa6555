/* fuzz-main.c - runs a fuzz target over files, where there is no fuzzer.
 * Without arguments: all of corpus/<program's name> below $srcdir, as a test
 * of `make check`; an empty corpus is an error, not a pass. */
#include <config.h>

#include <dirent.h>
#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int
run(const char *path)
{
    struct buf b = {0};
    struct err e = {0};
    int r = fs_read(path, 1 << 20, &b, &e);

    if (r < 0)
        fprintf(stderr, "%s\n", e.message);
    else
        LLVMFuzzerTestOneInput((const uint8_t *)b.data, b.len);
    err_release(&e);
    buf_release(&b);
    return r;
}

int
main(int argc, char **argv)
{
    const char *src = getenv("srcdir"), *name = strrchr(argv[0], '/');
    char *dir _cleanup_(freep) = NULL;
    DIR *d _cleanup_(closedirp) = NULL;
    unsigned n = 0;

    for (int i = 1; i < argc; i++)
        if (run(argv[i]) < 0)
            return 1;
    if (argc > 1)
        return 0;
    dir = xasprintf("%s/tests/fuzz/corpus/%s", src ? src : ".",
                    name ? name + 1 : argv[0]);
    d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path _cleanup_(freep) = xasprintf("%s/%s", dir, e->d_name);

        if (e->d_name[0] == '.')
            continue;
        if (run(path) < 0)
            return 1;
        n++;
    }
    printf("%s: %u inputs\n", dir, n);
    return n ? 0 : 1;
}
