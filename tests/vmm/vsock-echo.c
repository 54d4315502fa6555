/* vsock-echo.c - one line each way over a virtual socket, for 77-vmm-cpu-mem.t;
 * static, as it also runs in the guest.
 *   guest-serve PORT            answers one caller "guest heard LINE"
 *   guest-call PORT TEXT        calls the host, prints what it answers
 *   host-serve PATH             answers one caller "host heard LINE"
 *   host-call PATH PORT TEXT    calls the guest through the VMM's socket */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE 256

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static void
read_line(int fd, char line[LINE])
{
    size_t n = 0;

    while (n < LINE - 1) {
        ssize_t r = read(fd, line + n, 1);

        if (r <= 0)
            die("no line");
        if (line[n] == '\n')
            break;
        n++;
    }
    line[n] = '\0';
}

static int
serve(int fd, const struct sockaddr *at, socklen_t len, const char *who)
{
    char line[LINE];
    int peer;

    if (fd < 0 || bind(fd, at, len) < 0 || listen(fd, 1) < 0)
        die("listen");
    printf("%s listens\n", who);
    fflush(stdout);
    peer = accept(fd, NULL, NULL);
    if (peer < 0)
        die("accept");
    read_line(peer, line);
    dprintf(peer, "%s heard %s\n", who, line);
    return 0;
}

static int
call(int fd, const char *text)
{
    char line[LINE];

    dprintf(fd, "%s\n", text);
    read_line(fd, line);
    puts(line);
    return 0;
}

int
main(int argc, char **argv)
{
    struct sockaddr_vm vm = {.svm_family = AF_VSOCK};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char line[LINE];
    int fd;

    if (argc < 3 || strlen(argv[2]) >= sizeof(un.sun_path))
        return 2;
    fd = socket(argv[1][0] == 'g' ? AF_VSOCK : AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    memcpy(un.sun_path, argv[2], strlen(argv[2]));
    vm.svm_port = (unsigned)atoi(argv[2]);
    vm.svm_cid = VMADDR_CID_ANY;
    if (strcmp(argv[1], "guest-serve") == 0)
        return serve(fd, (struct sockaddr *)&vm, sizeof(vm), "guest");
    if (strcmp(argv[1], "host-serve") == 0)
        return serve(fd, (struct sockaddr *)&un, sizeof(un), "host");
    if (strcmp(argv[1], "guest-call") == 0 && argc == 4) {
        vm.svm_cid = VMADDR_CID_HOST;
        if (connect(fd, (struct sockaddr *)&vm, sizeof(vm)) < 0)
            die("connect");
        return call(fd, argv[3]);
    }
    if (strcmp(argv[1], "host-call") == 0 && argc == 5) {
        if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
            die("connect");
        dprintf(fd, "CONNECT %s\n", argv[3]);
        read_line(fd, line);
        if (strncmp(line, "OK ", 3) != 0)
            die(line);
        return call(fd, argv[4]);
    }
    return 2;
}
