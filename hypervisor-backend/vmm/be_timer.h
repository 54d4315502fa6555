/* hypervisor-backend/vmm/be_timer.h - a one-shot timer on an I/O thread.
 * Role:      a timerfd as a source of a loop; for rate limits.
 * Ownership: the struct is the caller's; io_timer_release() before it goes,
 *            under the same rule as io_loop_del().
 * Threads:   fn runs on the loop; set from any thread.
 * Errors:    negative errno of timerfd. */
#ifndef HYPERVISOR_BACKEND_VMM_BE_TIMER_H
#define HYPERVISOR_BACKEND_VMM_BE_TIMER_H

#include "hypervisor-backend/vmm/be_loop.h"

struct io_timer {
    struct io_loop *loop; /* NULL: not in use */
    struct io_source source;
    void (*fn)(void *self);
    void *self;
};

int io_timer_init(struct io_timer *t, struct io_loop *l, void (*fn)(void *),
                  void *self) _must_check_;
/* Fires once, after ns; a later call replaces an earlier one. */
void io_timer_set(struct io_timer *t, uint64_t ns);
void io_timer_release(struct io_timer *t);

#endif
