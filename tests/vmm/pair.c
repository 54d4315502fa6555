/* pair.c - pair COMMAND [ARG…] :: OTHER [ARG…]: two programs with the ends of
 * one unix socket that keeps frames apart as descriptor 20. OTHER keeps this
 * process, so that whoever waits for it has its status. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FD = 20 };

static int
become(char **argv, int mine, int other)
{
    if (close(other) < 0 || dup2(mine, FD) < 0 ||
        (mine != FD && close(mine) < 0))
        perror("pair");
    else
        execvp(argv[0], argv);
    perror(argv[0]);
    return 127;
}

int
main(int argc, char **argv)
{
    int fd[2], i = 1;
    pid_t child;

    while (i < argc && strcmp(argv[i], "::") != 0)
        i++;
    if (i < 2 || i + 1 >= argc) {
        fputs("usage: pair COMMAND [ARG...] :: OTHER [ARG...]\n", stderr);
        return 2;
    }
    argv[i] = NULL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) < 0 ||
        (child = fork()) < 0) {
        perror("pair");
        return 1;
    }
    return child ? become(argv + i + 1, fd[1], fd[0])
                 : become(argv + 1, fd[0], fd[1]);
}
