/* replay.c - runs a fuzz target over files instead of under libFuzzer.
 *   fuzz-NAME [FILE|FOLDER]...
 * Without arguments it takes $srcdir/tests/fuzz/corpus/NAME, so that `make
 * check` replays every input that was ever worth keeping. */
#include <config.h>

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX ((size_t)16 << 20)

static int
replay_file(const char *path)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};

    if (fs_read(path, INPUT_MAX, &b, &e) < 0) {
        fprintf(stderr, "%s\n", e.message);
        return -1;
    }
    /* A copy of the exact size: reading past its end is seen. */
    uint8_t *exact = malloc(b.len ? b.len : 1);
    if (!exact)
        abort();
    if (b.len)
        memcpy(exact, b.data, b.len);
    printf("%s (%zu bytes)\n", path, b.len);
    fflush(stdout); /* names the input of a crash */
    LLVMFuzzerTestOneInput(exact, b.len);
    free(exact);
    return 1;
}

/* How many inputs ran, or -1. */
static int
replay(const char *path)
{
    struct stat st;
    int n = 0;

    if (stat(path, &st) < 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path);
    DIR *d _cleanup_(closedirp) = opendir(path);
    if (!d) {
        perror(path);
        return -1;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        char *file _cleanup_(freep) = xasprintf("%s/%s", path, e->d_name);
        if (replay_file(file) < 0)
            return -1;
        n++;
    }
    return n;
}

int
main(int argc, char **argv)
{
    const char *src = getenv("srcdir");
    const char *name = strrchr(argv[0], '/');
    int total = 0;

    name = name ? name + 1 : argv[0];
    if (strncmp(name, "fuzz-", 5) == 0)
        name += 5;
    char *corpus _cleanup_(freep) =
        xasprintf("%s/tests/fuzz/corpus/%s", src ? src : ".", name);
    char *dflt[] = {corpus};
    char **paths = argc > 1 ? argv + 1 : dflt;
    int n_paths = argc > 1 ? argc - 1 : 1;

    for (int i = 0; i < n_paths; i++) {
        int n = replay(paths[i]);

        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
