/* hypervisor-backend/vmm/control-private.h - what control.c and control_conn.c
 * share.
 * Role:      control.c accepts, keeps the time and has what others call;
 *            control_conn.c has what happens on one connection.
 * Ownership, threads: see control.h.
 * Errors:    a connection at fault is dropped.
 * Invariants:
 *  1. `in` never holds more than CONTROL_LINE_MAX bytes; it is read into only
 *     while it holds no whole line and no request is under way.
 *  2. Descriptors that came with a message belong to the line in which the
 *     message's last byte lies (unix(7): a read ends behind the message that
 *     brought descriptors). They are in `fds` until that line is whole.
 *  3. `out` is not empty only while the socket takes no more. */
#ifndef HYPERVISOR_BACKEND_VMM_CONTROL_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_CONTROL_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "hypervisor-backend/vmm/control.h"

enum control_state {
    CONN_FREE,
    CONN_LINES,
    CONN_WAITING,
    CONN_CONSOLE,
    CONN_CLOSING
};

struct control_conn {
    enum control_state state;
    int fd;
    unsigned generation;
    struct buf in, out;
    int fds[CONTROL_FDS];
    unsigned n_fds;
    size_t fds_at; /* the byte of `in` that they came with */
    int64_t id;    /* of the request that waits */
    bool eof;      /* nothing more comes from there */
    bool left;     /* CONN_CONSOLE: the client is gone, fd is closed */
    bool answered; /* from outside: more lines may be waiting */
    /* Since when `out` makes no headway (0: it is empty), or the client has
     * left. */
    int64_t stalled_us;
    uint32_t events;
};

struct control {
    const struct control_ops *ops;
    void *self;
    int listen_fd, epoll;
    bool accepting;
    int64_t retry_us; /* when to accept again after a failure; 0: none */
    uint64_t console_dropped;
    struct control_conn conn[CONTROL_CONNECTIONS];
};

uint64_t control_ticket(const struct control *c, const struct control_conn *k);
void control_drop(struct control *c, struct control_conn *k);
/* What is worth waking up for in the connection's state. */
void control_watch(struct control *c, struct control_conn *k);
/* As much as the socket takes. False: the connection is gone. */
bool control_flush(struct control *c, struct control_conn *k);
/* An error's reply; with end the connection's last. */
void control_fail(struct control *c, struct control_conn *k, int64_t id,
                  const struct err *e, bool end);
/* Requests that are whole, until one waits or its reply does. */
void control_process(struct control *c, struct control_conn *k);
void control_on_event(struct control *c, struct control_conn *k,
                      uint32_t events);
/* control.c: there may be room for a client again. */
void control_listen_again(struct control *c);

#endif
