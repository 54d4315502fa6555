/* hypervisor-backend/vmm/be_loop.h - one I/O thread.
 * Role:      waits on descriptors and calls their handlers. Devices of one
 *            class share a thread; no class waits for another.
 * Ownership: a source is the caller's and must stay until io_loop_del()
 *            returned. The descriptor in it is the caller's too.
 * Threads:   handlers run on the loop's thread alone. add, mod and del from
 *            any thread. del waits until the handler is not running, unless
 *            it is called from the loop itself: hold no lock that a handler
 *            of this loop takes.
 *            The thread blocks all signals (SIGPIPE too).
 * Errors:    negative errno of epoll and pthread. */
#ifndef HYPERVISOR_BACKEND_VMM_BE_LOOP_H
#define HYPERVISOR_BACKEND_VMM_BE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct io_loop;

struct io_source {
    int fd;
    void (*fn)(void *self, uint32_t events); /* EPOLLIN and so on */
    void *self;
};

/* The thread is under its filter (jail.h) before this returns. */
int io_loop_new(const char *name, struct io_loop **ret) _must_check_;
/* Every source must be gone. Joins the thread. */
void io_loop_free(struct io_loop *l);
int io_loop_add(struct io_loop *l, struct io_source *s,
                uint32_t events) _must_check_;
int io_loop_mod(struct io_loop *l, struct io_source *s,
                uint32_t events) _must_check_;
void io_loop_del(struct io_loop *l, struct io_source *s);
bool io_loop_is_self(const struct io_loop *l);

/* Eventfd helpers: a lost wake-up is a bug, a full counter is not. */
void io_kick(int eventfd);
void io_drain(int eventfd);

#endif
