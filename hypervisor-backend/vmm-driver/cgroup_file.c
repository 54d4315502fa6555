/* cgroup_file.c - the files in a control group; see cgroup-private.h. */
#include <config.h>

#include "hypervisor-backend/vmm-driver/cgroup-private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define TEXT_MAX 4096

int
cgroup_write(int dir_fd, const char *file, struct err *reterr, const char *fmt,
             ...)
{
    char text[128];
    int fd _cleanup_(closep) = -1, n;
    va_list ap;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(text))
        return err_errno(reterr, -EOVERFLOW, "cgroup: %s", file);
    fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_errno(reterr, -errno, "cgroup: %s", file);
    if (write(fd, text, (size_t)n) != n)
        return err_errno(reterr, errno ? -errno : -EIO, "cgroup: \"%s\" in %s",
                         text, file);
    return 0;
}

int
cgroup_read(int dir_fd, const char *file, char *out, size_t size)
{
    int fd _cleanup_(closep) =
        openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    size_t done = 0;

    if (fd < 0)
        return -errno;
    while (done < size - 1) {
        ssize_t n = read(fd, out + done, size - 1 - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    out[done] = '\0';
    return 0;
}

static uint64_t
number(const char *text)
{
    return strtoumax(text, NULL, 10);
}

uint64_t
cgroup_number(int dir_fd, const char *file)
{
    char text[TEXT_MAX];

    return cgroup_read(dir_fd, file, text, sizeof(text)) < 0 ? 0 : number(text);
}

uint64_t
cgroup_keyed(int dir_fd, const char *file, const char *key)
{
    char text[TEXT_MAX];
    size_t n = strlen(key);

    if (cgroup_read(dir_fd, file, text, sizeof(text)) < 0)
        return 0;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && line[n] == ' ')
            return number(line + n + 1);
        if (!*line)
            break;
    }
    return 0;
}

bool
cgroup_lists(int dir_fd, const char *file, const char *word)
{
    char text[TEXT_MAX], *rest = text, *w;

    if (cgroup_read(dir_fd, file, text, sizeof(text)) < 0)
        return false;
    while ((w = strsep(&rest, " \n")))
        if (strcmp(w, word) == 0)
            return true;
    return false;
}
