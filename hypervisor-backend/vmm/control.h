/* hypervisor-backend/vmm/control.h - the control socket's server.
 * Role:      connections, lines, descriptors sent along, order of replies and
 *            the console; what a request does is its caller's, by a table of
 *            functions. The protocol is in CONTROL.md.
 * Ownership: takes the listening socket over; control_free() closes all.
 * Threads:   one, which polls control_fd() and calls control_turn() also at
 *            control_timeout_ms(). control_answer() may be called from within
 *            the functions; requests are only ever taken by control_turn().
 * Errors:    a client's fault costs that client its connection at most.
 * Invariant: memory is bounded: per connection one line, one reply (the next
 *            request is looked at when the last reply is sent) and
 *            CONTROL_FDS descriptors.
 *
 *      line ──whole──► request ──answered──► sending ──sent──► line
 *                         └─CONTROL_CONSOLE──► console (until it closes)
 *                         └─CONTROL_LATER──► waits for control_answer() */
#ifndef HYPERVISOR_BACKEND_VMM_CONTROL_H
#define HYPERVISOR_BACKEND_VMM_CONTROL_H

#include "hypervisor-backend/vmm/control_request.h"

#define CONTROL_CONNECTIONS 16u
#define CONTROL_STALL_MS 10000 /* for a client to read its reply */
#define CONTROL_CONSOLE_BACKLOG (64u * 1024) /* for one that reads slowly */

struct control;

enum { CONTROL_DONE, CONTROL_LATER };

struct control_ops {
    /* CONTROL_DONE with the result's JSON added, CONTROL_LATER, or an error.
     * The ticket names the request for control_answer(). What is in q may be
     * taken out of it. */
    int (*request)(void *self, struct control_request *q, uint64_t ticket,
                   struct buf *result, struct err *reterr);
    /* The client of a CONTROL_LATER went away: nobody waits any more. */
    void (*cancel)(void *self, uint64_t ticket);
    /* The serial port: room for input, and input that fits. */
    size_t (*console_room)(void *self);
    void (*console_input)(void *self, const void *data, size_t n);
};

int control_new(int listen_fd, const struct control_ops *ops, void *self,
                struct control **ret, struct err *reterr) _must_check_;
void control_free(struct control *c);
/* Readable when control_turn() has something to do. */
int control_fd(const struct control *c);
/* Never waits. */
void control_turn(struct control *c);
/* When to call it at the latest; -1: no need. */
int control_timeout_ms(const struct control *c);
/* json is the result; or e is set. A ticket whose client went away is none. */
void control_answer(struct control *c, uint64_t ticket, const char *json,
                    const struct err *e);
bool control_has_console(const struct control *c);
void control_console_output(struct control *c, const void *data, size_t n);
/* There is room for console input again. */
void control_console_ready(struct control *c);
/* Console output that a slow reader missed. */
uint64_t control_console_dropped(const struct control *c);

#endif
