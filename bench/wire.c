/* wire.c - many HTTPS clients on one thread; see wire.h. */
#include <config.h>

#include "bench/wire.h"

#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <netinet/tcp.h>

#include "common/mem.h"

#define EVENTS 256

void
wire_loop_init(struct wire_loop *l, const struct sockaddr_in *to,
               gnutls_certificate_credentials_t cred)
{
    *l = (struct wire_loop){
        .ep = epoll_create1(EPOLL_CLOEXEC), .to = *to, .cred = cred};
    if (l->ep < 0)
        abort();
}

void
wire_loop_release(struct wire_loop *l)
{
    close(l->ep);
}

static void
fail(struct wire *w)
{
    wire_close(w);
    w->done(w, 0, "", 0);
}

void
wire_open(struct wire_loop *l, struct wire *w)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                             .data.ptr = w};
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(w->from_ip)};
    int one = 1;

    w->loop = l;
    w->connected = w->shaken = w->busy = false;
    buf_clear(&w->out);
    buf_clear(&w->in);
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0) {
        perror("bench: socket");
        exit(1);
    }
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(w->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (w->from_ip && bind(w->fd, (struct sockaddr *)&from, sizeof(from)) < 0) {
        perror("bench: bind");
        exit(1);
    }
    gnutls_init(&w->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    gnutls_set_default_priority(w->tls);
    gnutls_session_set_ptr(w->tls, w);
    gnutls_credentials_set(w->tls, GNUTLS_CRD_CERTIFICATE, l->cred);
    gnutls_transport_set_int(w->tls, w->fd);
    if (connect(w->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0 &&
        errno != EINPROGRESS) {
        perror("bench: connect");
        exit(1);
    }
    if (epoll_ctl(l->ep, EPOLL_CTL_ADD, w->fd, &ev) < 0)
        abort();
}

void
wire_close(struct wire *w)
{
    if (w->fd < 0)
        return;
    gnutls_deinit(w->tls);
    w->tls = NULL;
    close(w->fd);
    w->fd = -1;
    w->shaken = w->busy = false;
    buf_release(&w->out);
    buf_release(&w->in);
}

static bool
again(ssize_t r)
{
    return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

/* 0, or -1 when the connection is lost. */
static int
flush(struct wire *w)
{
    while (w->out.len) {
        ssize_t n = gnutls_record_send(w->tls, w->out.data, w->out.len);

        if (again(n))
            return 0;
        if (n < 0)
            return -1;
        buf_consume(&w->out, (size_t)n);
    }
    return 0;
}

void
wire_send(struct wire *w, const void *request, size_t n)
{
    buf_add(&w->out, request, n);
    w->busy = true;
    /* What fails here shows at the next read. */
    if (w->shaken && flush(w) < 0)
        shutdown(w->fd, SHUT_RDWR);
}

/* Gives complete replies to done(); false when the wire is gone. */
static bool
deliver(struct wire *w)
{
    char *end;

    while (w->in.len && (end = strstr(w->in.data, "\r\n\r\n"))) {
        size_t head = (size_t)(end - w->in.data) + 4;
        char *cl = strcasestr(w->in.data, "\r\nContent-Length:");
        size_t body = cl && cl < end ? (size_t)strtoull(cl + 17, NULL, 10) : 0;

        if (w->in.len < head + body)
            return true;
        int status = (int)strtol(w->in.data + 9, NULL, 10);
        struct buf whole = w->in;

        w->in = (struct buf){0};
        w->busy = false;
        whole.data[head + body] = '\0';
        w->done(w, status, whole.data + head, body);
        /* One request at a time: nothing follows a reply. */
        buf_release(&whole);
        if (w->fd < 0)
            return false;
    }
    return true;
}

static void
progress(struct wire *w)
{
    if (!w->connected) {
        int e = 0;
        socklen_t n = sizeof(e);

        getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &e, &n);
        if (e) {
            fail(w);
            return;
        }
        w->connected = true;
    }
    if (!w->shaken) {
        int r = gnutls_handshake(w->tls);

        if (again(r))
            return;
        if (r < 0) {
            fail(w);
            return;
        }
        w->shaken = true;
        w->loop->handshakes++;
        if (w->ready)
            w->ready(w);
        if (w->fd < 0)
            return;
    }
    if (flush(w) < 0) {
        fail(w);
        return;
    }
    while (w->fd >= 0 && !w->deaf) {
        char part[16384]; /* a record at most */
        ssize_t n = gnutls_record_recv(w->tls, part, sizeof(part));

        if (again(n))
            break;
        if (n <= 0) {
            fail(w);
            return;
        }
        buf_add(&w->in, part, (size_t)n);
        w->loop->bytes_in += n;
        if (!deliver(w))
            return;
    }
}

void
wire_poll(struct wire_loop *l, int64_t timeout_us)
{
    struct epoll_event ev[EVENTS];
    struct timespec ts = {.tv_sec = timeout_us / 1000000,
                          .tv_nsec = timeout_us % 1000000 * 1000};
    int n = epoll_pwait2(l->ep, ev, EVENTS, &ts, NULL);

    for (int i = 0; i < n; i++) {
        struct wire *w = ev[i].data.ptr;

        /* One before may have closed it. */
        if (w->fd >= 0)
            progress(w);
    }
}
