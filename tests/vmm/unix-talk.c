/* unix-talk.c - says one line to a unix socket and prints the one that comes
 * back: a console port's client, a control socket's.
 * usage: unix-talk PATH TEXT */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"

static int
fail(const char *what)
{
    perror(what);
    return 1;
}

int
main(int argc, char **argv)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd _cleanup_(closep) = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char c = 0;
    ssize_t n;

    if (argc != 3 || strlen(argv[1]) >= sizeof(at.sun_path)) {
        fputs("usage: unix-talk PATH TEXT\n", stderr);
        return 2;
    }
    memcpy(at.sun_path, argv[1], strlen(argv[1]));
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return fail(argv[1]);
    if (dprintf(fd, "%s\n", argv[2]) < 0)
        return fail("write");
    while (c != '\n') {
        n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? fail("read") : 1;
        if (c != '\r')
            putchar(c);
    }
    return 0;
}
