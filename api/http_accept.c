/* http_accept.c - where it listens, and new connections; see http_accept.h. */
#include <config.h>

#include "api/http_accept.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"

#define RETRY_MS 100

/* ---- listening ---- */

static int
split_listen(const char *listen, char host[128], char port[16])
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;

    if (!colon || n >= 128 || strlen(colon + 1) >= 16 || !colon[1] ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return -EINVAL;
    if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']') {
        listen++;
        n -= 2;
    }
    snprintf(host, 128, "%.*s", (int)n, listen);
    snprintf(port, 16, "%s", colon + 1);
    return 0;
}

int
http_listen(const char *where, int *ret_fd, unsigned *ret_port,
            struct err *reterr)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *ai = NULL;
    struct sockaddr_storage ss;
    socklen_t ss_len = sizeof(ss);
    char host[128], port[16];
    int one = 1;

    if (split_listen(where, host, port) < 0)
        return err_set(reterr, -EINVAL, "bad_config",
                       "listen: \"%s\" is not ADDRESS:PORT", where);
    int g = getaddrinfo(*host ? host : NULL, port, &hints, &ai);
    if (g != 0)
        return err_set(reterr, -EINVAL, "bad_config", "listen: \"%s\": %s",
                       where, gai_strerror(g));
    int fd _cleanup_(closep) =
        socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : 0;
    if (r == 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (r == 0 &&
        (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 1024) < 0 ||
         getsockname(fd, (struct sockaddr *)&ss, &ss_len) < 0))
        r = -errno;
    freeaddrinfo(ai);
    if (r == -EADDRINUSE)
        return err_set(reterr, r, "address_in_use",
                       "cannot listen on %s: another process uses this port; "
                       "stop it or choose another with --listen",
                       where);
    if (r < 0)
        return err_errno(reterr, r, "cannot listen on %s", where);
    *ret_port =
        ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                       : ((struct sockaddr_in *)&ss)->sin_port);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* ---- accepting ---- */

struct http_accept {
    int fd, stop;
    struct http_loops *loops;
    struct http_limit *limit;
    pthread_t thread;
};

/* A connection, or whatever keeps us from having one: true when there may be
 * more at once. */
static bool
accept_one(struct http_accept *a, int *wait_ms)
{
    struct sockaddr_storage ss;
    struct sockaddr *addr = (struct sockaddr *)&ss;
    socklen_t len = sizeof(ss);
    int one = 1;
    int fd _cleanup_(closep) =
        accept4(a->fd, addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                   errno == ENOMEM)) {
        /* It stays readable: look again when others may have gone. */
        COUNT(http_accept_no_room);
        log_limited(LOG_LEVEL_WARN, "cannot accept a connection",
                    "error=\"%s\" trying again in=100ms",
                    strerrordesc_np(errno));
        *wait_ms = RETRY_MS;
        return false;
    }
    if (fd < 0) /* ECONNABORTED and the like concern that client alone */
        return errno != EAGAIN;
    if (!http_limit_take(a->limit, addr, HTTP_COST_CONNECTION,
                         clock_mono_us())) {
        COUNT(http_connection_refused);
        return true;
    }
    /* Else the second small packet of the handshake waits for the client to
     * acknowledge the first one, which it does not hurry to do. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        COUNT(http_nodelay_failed);
    http_loops_add(a->loops, TAKE_FD(fd), addr, len);
    return true;
}

static void *
accept_main(void *arg)
{
    struct http_accept *a = arg;
    struct pollfd p[] = {{.fd = a->stop, .events = POLLIN},
                         {.fd = a->fd, .events = POLLIN}};

    for (;;) {
        int wait_ms = -1;

        while (accept_one(a, &wait_ms))
            if (poll(p, 1, 0) > 0)
                return NULL;
        int n = poll(p, wait_ms < 0 ? 2 : 1, wait_ms);
        if (n > 0 && p[0].revents)
            return NULL;
    }
}

int
http_accept_start(int fd, struct http_loops *loops, struct http_limit *limit,
                  struct http_accept **ret)
{
    struct http_accept *a = xnew(struct http_accept);

    a->loops = loops;
    a->limit = limit;
    a->fd = fd;
    a->stop = eventfd(0, EFD_CLOEXEC);
    int r = a->stop < 0 ? -errno
                        : -pthread_create(&a->thread, NULL, accept_main, a);
    if (r < 0) {
        closep(&a->stop);
        close(fd);
        free(a);
        return r;
    }
    pthread_setname_np(a->thread, "http-accept");
    *ret = a;
    return 0;
}

void
http_accept_stop(struct http_accept *a)
{
    if (!a)
        return;
    if (eventfd_write(a->stop, 1) < 0)
        abort(); /* a counter of one cannot be full */
    pthread_join(a->thread, NULL);
    close(a->stop);
    close(a->fd);
    free(a);
}
