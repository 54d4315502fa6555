/* run_verbs.c - what the control socket's requests do to the VM; see
 * run-private.h and CONTROL.md. */
#include <config.h>

#include <errno.h>

#include "common/clock.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/run-private.h"

static const char *
state_name(const struct run *r)
{
    if (!r->vm)
        return "restarting";
    return r->paused ? "paused" : "running";
}

static void
describe(struct run *r, struct buf *out)
{
    const struct spec *s = r->spec;

    buf_adds(out, "{\"id\":");
    codec_encode_string(s->id, out);
    buf_adds(out, ",\"name\":");
    codec_encode_string(s->name ? s->name : "", out);
    buf_addf(out,
             ",\"run\":%lld,\"state\":\"%s\",\"started_at_us\":%lld,"
             "\"resets\":%llu,\"cpus\":%lld,\"memory\":{\"bytes\":%lld,"
             "\"shared\":%s,\"hugepages\":%s,\"ksm\":%s},",
             (long long)s->run, state_name(r), (long long)r->started_at_us,
             (unsigned long long)r->resets, (long long)s->cpus,
             (long long)s->memory->bytes, s->memory->shared ? "true" : "false",
             s->memory->hugepages ? "true" : "false",
             s->memory->ksm ? "true" : "false");
    buf_addf(out, "\"versions\":{\"program\":\"%s\",\"protocol\":[%d]}}",
             PACKAGE_VERSION, CONTROL_VERSION);
}

static void
resume(struct run *r)
{
    r->paused = false;
    if (r->vm)
        vm_resume(r->vm);
}

static int
later(struct run *r, uint64_t ticket)
{
    r->waits[r->n_waits++] = ticket; /* one per connection at most */
    return CONTROL_LATER;
}

/* Of the VM as a whole; also between two runs. */
static int
whole(struct run *r, const struct control_request *q, uint64_t ticket,
      struct buf *result)
{
    switch (q->verb) {
    case CONTROL_DESCRIBE:
        describe(r, result);
        return 0;
    case CONTROL_START:
    case CONTROL_RESUME:
        resume(r);
        return 0;
    case CONTROL_PAUSE:
        r->paused = true;
        if (r->vm)
            vm_pause(r->vm);
        return 0;
    case CONTROL_RESET:
        r->reset = r->vm != NULL;
        return 0;
    case CONTROL_STOP:
        r->stop = true;
        return 0;
    case CONTROL_WAIT:
        return later(r, ticket);
    default:
        return -ENOTSUP;
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
    switch (q->verb) {
    case CONTROL_POWER_BUTTON:
        vm_power_button(r->vm);
        return 0;
    default:
        return err_set(reterr, -ENOTSUP, "unsupported", "not in this build: %s",
                       control_verb_name(q->verb));
    }
}

static void
cancel(void *self, uint64_t ticket)
{
    struct run *r = self;

    for (size_t i = 0; i < r->n_waits; i++)
        if (r->waits[i] == ticket) {
            r->waits[i] = r->waits[--r->n_waits];
            return;
        }
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

void
run_tell_end(struct run *r, enum vm_end end)
{
    struct buf b _cleanup_(buf_release) = {0};
    uint64_t waits[CONTROL_CONNECTIONS];
    size_t n = r->n_waits;

    buf_addf(&b, "{\"end\":\"%s\",\"at_us\":%lld}", vm_end_name(end),
             (long long)clock_now_us());
    /* An answer may bring the connection's next request. */
    for (size_t i = 0; i < n; i++)
        waits[i] = r->waits[i];
    r->n_waits = 0;
    for (size_t i = 0; i < n; i++)
        control_answer(r->control, waits[i], buf_str(&b), NULL);
}
