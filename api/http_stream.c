/* http_stream.c - replies without end; see http.h.
 *
 *            http_stream_send()                    on_read(), nothing there
 *   waiting ------------------> resumed, writing -------------------------+
 *      ^                           | on_read() takes what is there        |
 *      +--------- suspended <------+--------------------------------------+
 *
 * Invariants (all under the stream's lock):
 *  1. suspended is true exactly while the library holds the connection back;
 *     whoever clears it resumes it, once.
 *  2. c and fd are used only before http_stream_over(), so the connection
 *     still exists: the library calls that before it closes it, and closes
 *     none that is suspended. */
#include <config.h>

#include "api/http-private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http_loop.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

/* What the library asks for at once. */
#define BLOCK 4096
/* The kernel's share of what a slow reader leaves lying. */
#define SEND_BUFFER 65536

struct http_stream {
    pthread_mutex_t lock;
    struct MHD_Connection *c; /* NULL: the request has ended */
    int fd;
    struct buf out;
    size_t cap;
    int64_t moved_us; /* when bytes were last taken, or the first came */
    bool suspended, ending, tell_drained;
    void (*drained)(void *arg);
    void *arg;
    int refs;
};

struct http_stream *
http_stream_new(struct MHD_Connection *c, int fd, size_t cap,
                void (*drained)(void *arg), void *arg)
{
    struct http_stream *s = xnew(struct http_stream);
    int size = SEND_BUFFER;
    unsigned ms = HTTP_STREAM_STALL_US / 1000;

    pthread_mutex_init(&s->lock, NULL);
    s->c = c;
    s->fd = fd;
    s->cap = cap;
    s->drained = drained;
    s->arg = arg;
    s->refs = 2;
    /* A peer that vanished is noticed by what it does not acknowledge. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) < 0)
        COUNT(http_stream_socket_option_failed);
    return s;
}

void
http_stream_unref(struct http_stream *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    int left = --s->refs;
    pthread_mutex_unlock(&s->lock);
    if (left)
        return;
    pthread_mutex_destroy(&s->lock);
    buf_release(&s->out);
    free(s);
}

void
http_stream_over(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->c = NULL;
    s->fd = -1;
    buf_release(&s->out);
    pthread_mutex_unlock(&s->lock);
    http_stream_unref(s);
}

static ssize_t
on_read(void *cls, uint64_t pos, char *data, size_t max)
{
    struct http_stream *s = cls;
    bool tell = false;
    ssize_t n;

    pthread_mutex_lock(&s->lock);
    n = (ssize_t)MIN(s->out.len, max);
    if (n > 0) {
        memcpy(data, s->out.data, (size_t)n);
        buf_consume(&s->out, (size_t)n);
        s->moved_us = clock_mono_us();
    } else if (s->ending) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        MHD_suspend_connection(s->c);
        s->suspended = true;
        tell = s->tell_drained;
        s->tell_drained = false;
    }
    pthread_mutex_unlock(&s->lock);
    if (tell && s->drained)
        s->drained(s->arg);
    return n;
}

struct MHD_Response *
http_stream_response(struct http_stream *s)
{
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read,
                                             s, NULL);
}

/* REQUIRES(s->lock) */
static void
resume(struct http_stream *s)
{
    if (!s->c || !s->suspended)
        return;
    s->suspended = false;
    http_loop_resume(s->c);
}

int
http_stream_send(struct http_stream *s, const void *data, size_t n)
{
    int r = 0;

    pthread_mutex_lock(&s->lock);
    if (!s->c || s->ending) {
        r = -EPIPE;
    } else if (n > s->cap - s->out.len) {
        s->tell_drained = true;
        r = -ENOBUFS;
    } else {
        if (s->out.len == 0)
            s->moved_us = clock_mono_us();
        buf_add(&s->out, data, n);
        resume(s);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

bool
http_stream_stalled(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool stalled =
        s->out.len && clock_mono_us() - s->moved_us > HTTP_STREAM_STALL_US;
    pthread_mutex_unlock(&s->lock);
    return stalled;
}

void
http_stream_end(struct http_stream *s, bool cut)
{
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    /* The library finds a connection that was shut down closed. */
    if (cut && s->c) {
        buf_clear(&s->out);
        if (shutdown(s->fd, SHUT_RDWR) < 0)
            COUNT(http_shutdown_failed);
    }
    resume(s);
    pthread_mutex_unlock(&s->lock);
}
