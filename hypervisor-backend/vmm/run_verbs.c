/* run_verbs.c - what the control socket's requests do to the VM; see
 * run-private.h and CONTROL.md. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/run-private.h"

/* How long a guest has for letting a device go. */
#define DETACH_US (10 * US_PER_S)

void
run_pause(struct run *r)
{
    r->paused = true;
    if (!r->vm)
        return;
    vm_pause(r->vm);
    devices_pause(r->devices);
}

void
run_resume(struct run *r)
{
    r->paused = false;
    if (!r->vm)
        return;
    devices_resume(r->devices);
    vm_resume(r->vm);
}

/* ---- answers that come later ---- */

static int
later(struct run *r, enum control_verb verb, uint64_t ticket,
      enum devices_kind kind, const char *name)
{
    struct run_waiter *w = &r->waiters[r->n_waiters++];

    *w = (struct run_waiter){.ticket = ticket, .verb = verb, .kind = kind};
    if (name) {
        snprintf(w->name, sizeof(w->name), "%s", name);
        w->until_us = clock_mono_us() + DETACH_US;
    }
    return CONTROL_LATER;
}

static void
forget(struct run *r, size_t i)
{
    r->waiters[i] = r->waiters[--r->n_waiters];
}

static void
cancel(void *self, uint64_t ticket)
{
    struct run *r = self;

    for (size_t i = 0; i < r->n_waiters; i++)
        if (r->waiters[i].ticket == ticket) {
            forget(r, i);
            return;
        }
}

/* An answer may bring the connection's next request and so a new waiter,
 * which takes its place at the end. */
static void
answer(struct run *r, size_t i, const char *json, const struct err *e)
{
    uint64_t ticket = r->waiters[i].ticket;

    forget(r, i);
    control_answer(r->control, ticket, json, e);
}

void
run_detached(void *arg, enum devices_kind kind, const char *name)
{
    struct run *r = arg;

    for (size_t i = r->n_waiters; i-- > 0;) {
        const struct run_waiter *w = &r->waiters[i];

        if (w->until_us && w->kind == kind && streq(w->name, name))
            answer(r, i, "{}", NULL);
    }
}

void
run_answer_late(struct run *r)
{
    int64_t now = clock_mono_us();

    for (size_t i = r->n_waiters; i-- > 0;) {
        struct err e _cleanup_(err_release) = {0};

        if (!r->waiters[i].until_us || now < r->waiters[i].until_us)
            continue;
        COUNT(vmm_detach_late);
        err_set(&e, -ETIMEDOUT, "guest_busy",
                "the guest did not let go of %s in time; it may yet",
                r->waiters[i].name);
        answer(r, i, NULL, &e);
    }
}

int64_t
run_next_late_us(const struct run *r)
{
    int64_t first = 0;

    for (size_t i = 0; i < r->n_waiters; i++) {
        int64_t at = r->waiters[i].until_us;

        if (at && (!first || at < first))
            first = at;
    }
    return first;
}

void
run_tell_end(struct run *r, enum vm_end end)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};

    buf_addf(&b, "{\"end\":\"%s\",\"at_us\":%lld}", vm_end_name(end),
             (long long)clock_now_us());
    err_set(&e, -ESHUTDOWN, "ended", "the VM has ended");
    for (size_t i = r->n_waiters; i-- > 0;)
        if (r->waiters[i].verb == CONTROL_WAIT)
            answer(r, i, buf_str(&b), NULL);
        else
            answer(r, i, NULL, &e);
}

/* ---- requests ---- */

/* What devices.h says of a field is below the device that was described. */
static int
below(struct err *e, const char *parent, int number)
{
    for (size_t i = 0; number < 0 && i < e->n_details; i++) {
        char *old _cleanup_(freep) = e->details[i].pointer;

        e->details[i].pointer = xasprintf("%s%s", parent, old);
    }
    return number;
}

static int
attach(struct run *r, struct control_request *q, struct buf *result,
       struct err *reterr)
{
    unsigned slot = 0;
    int e;

    if (q->verb == CONTROL_ATTACH_DISK) {
        struct spec_disk d = control_request_take_disk(q);
        struct devices_disk disk = run_disk(&d);

        e = devices_attach_disk(r->devices, &disk, &slot, reterr);
        spec_disk_release(&d);
        e = below(reterr, "/disk", e);
    } else {
        struct spec_nic n = control_request_take_nic(q);
        struct devices_nic nic = run_nic(&n);

        e = devices_attach_nic(r->devices, &nic, &slot, reterr);
        spec_nic_release(&n);
        e = below(reterr, "/nic", e);
    }
    if (e == 0)
        buf_addf(result, "{\"slot\":%u}", slot);
    return e;
}

static int
detach(struct run *r, const struct control_request *q, uint64_t ticket,
       struct err *reterr)
{
    bool disk = q->verb == CONTROL_DETACH_DISK;
    enum devices_kind kind = disk ? DEVICES_DISK : DEVICES_NIC;
    const char *name = disk ? q->disk : q->nic;
    int e = disk ? devices_detach_disk(r->devices, name, q->force, reterr)
                 : devices_detach_nic(r->devices, name, q->force, reterr);

    return e == -EINPROGRESS ? later(r, q->verb, ticket, kind, name) : e;
}

/* `bytes` is what the client believes the size is now: a check that it talks
 * of the same file. */
static int
resize(struct run *r, const struct control_request *q, struct buf *result,
       struct err *reterr)
{
    uint64_t bytes = 0;
    int e = devices_resize_disk(r->devices, q->disk, &bytes, reterr);

    if (e < 0)
        return e;
    if (q->bytes >= 0 && bytes != (uint64_t)q->bytes)
        return err_field(reterr, "/bytes", "mismatch",
                         "the disk has %llu bytes now",
                         (unsigned long long)bytes);
    buf_addf(result, "{\"bytes\":%llu}", (unsigned long long)bytes);
    return 0;
}

static int
limits(struct run *r, const struct control_request *q, struct err *reterr)
{
    struct rate_limits one = spec_limits(q->limits);
    struct rate_limits rx = spec_limits(q->rx_limits);
    struct rate_limits tx = spec_limits(q->tx_limits);

    if (q->disk)
        return devices_disk_limits(r->devices, q->disk, &one, reterr);
    return devices_nic_limits(r->devices, q->nic, q->rx_limits ? &rx : NULL,
                              q->tx_limits ? &tx : NULL, reterr);
}

/* Of the VM as a whole; also between two runs. */
static int
whole(struct run *r, const struct control_request *q, uint64_t ticket,
      struct buf *result)
{
    switch (q->verb) {
    case CONTROL_DESCRIBE:
        run_describe(r, result);
        return 0;
    case CONTROL_STATS:
        run_stats(r, result);
        return 0;
    case CONTROL_START:
    case CONTROL_RESUME:
        run_resume(r);
        return 0;
    case CONTROL_PAUSE:
        run_pause(r);
        return 0;
    case CONTROL_RESET:
        r->reset = r->vm != NULL; /* between two runs it is one already */
        return 0;
    case CONTROL_STOP:
        r->stop = true;
        return 0;
    case CONTROL_WAIT:
        return later(r, q->verb, ticket, DEVICES_DISK, NULL);
    default:
        return -ENOTSUP;
    }
}

/* Of one device, or of the guest that runs. */
static int
part(struct run *r, struct control_request *q, uint64_t ticket,
     struct buf *result, struct err *reterr)
{
    int e = 0;

    switch (q->verb) {
    case CONTROL_POWER_BUTTON:
        vm_power_button(r->vm);
        return 0;
    case CONTROL_ATTACH_DISK:
    case CONTROL_ATTACH_NIC:
        return attach(r, q, result, reterr);
    case CONTROL_DETACH_DISK:
    case CONTROL_DETACH_NIC:
        return detach(r, q, ticket, reterr);
    case CONTROL_RESIZE_DISK:
        return resize(r, q, result, reterr);
    case CONTROL_LIMITS:
        return limits(r, q, reterr);
    case CONTROL_LINK:
        return devices_nic_link(r->devices, q->nic, q->up, reterr);
    case CONTROL_BALLOON:
        e = devices_balloon_target(r->devices, (uint64_t)q->target_bytes,
                                   reterr);
        if (e == 0)
            run_balloon(r, result);
        return e;
    default:
        return err_set(reterr, -ENOTSUP, "unsupported", "no such request");
    }
}

static int
request(void *self, struct control_request *q, uint64_t ticket,
        struct buf *result, struct err *reterr)
{
    struct run *r = self;
    int e = whole(r, q, ticket, result);

    if (e != -ENOTSUP)
        return e;
    if (!r->vm)
        return err_set(reterr, -EAGAIN, "restarting",
                       "the guest is between two runs");
    e = part(r, q, ticket, result, reterr);
    if (e == -ENOENT && reterr->n_details == 0) {
        char text[sizeof(reterr->message)];

        memcpy(text, reterr->message, sizeof(text));
        err_field(reterr, q->disk ? "/disk" : "/nic", "not_found", "%s", text);
    }
    return e;
}

static size_t
console_room(void *self)
{
    struct run *r = self;

    return r->vm ? serial_room(vm_serial(r->vm)) : 0;
}

static void
console_input(void *self, const void *data, size_t n)
{
    struct run *r = self;

    (void)serial_input(vm_serial(r->vm), data, n);
}

const struct control_ops run_control_ops = {
    .request = request,
    .cancel = cancel,
    .console_room = console_room,
    .console_input = console_input,
};
