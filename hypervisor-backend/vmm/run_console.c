/* run_console.c - the serial port's bytes between the guest and a terminal,
 * a log and control clients; see run-private.h.
 * No reader holds up another, nor the guest: each has a bounded backlog and
 * misses what is beyond it; so does the log at more than RUN_LOG_BYTES_PER_S.
 * Where `out` is the only one, the bytes wait in
 * the port's own ring, which does the same. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/run-private.h"

#define QUIT_KEY 0x1d /* Ctrl-] */
#define BACKLOG (64u * 1024)
/* Pieces in one turn, more than the port's ring holds: a guest that never
 * stops writing must not keep the loop from requests. */
#define PUMP_PIECES 8

void
run_console_open(struct run *r)
{
    const struct rate_limits l = {.bytes_per_s = RUN_LOG_BYTES_PER_S,
                                  .bytes_burst = RUN_LOG_BURST};
    struct run_console *k = &r->console;
    struct termios raw;

    k->in = r->io->in;
    k->out = r->io->out;
    k->log = (int)r->spec->console_log_fd;
    rate_init(&k->log_rate, &l, rate_now_ns());
    if (k->in < 0 || tcgetattr(k->in, &k->saved) < 0)
        return;
    raw = k->saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* our own messages keep their line ends */
    k->terminal = tcsetattr(k->in, TCSADRAIN, &raw) == 0;
}

void
run_console_close(struct run *r)
{
    if (r->console.terminal)
        (void)tcsetattr(r->io->in, TCSADRAIN, &r->console.saved);
    buf_release(&r->console.pending);
}

bool
run_console_wants_in(const struct run *r)
{
    return r->vm && r->console.in >= 0 && serial_room(vm_serial(r->vm)) > 0;
}

bool
run_console_wants_out(const struct run *r)
{
    return r->console.out >= 0 && r->console.pending.len > 0;
}

void
run_console_read(struct run *r)
{
    struct run_console *k = &r->console;
    struct serial *s = vm_serial(r->vm);
    char bytes[64];
    size_t room = MIN(serial_room(s), sizeof(bytes));
    const char *quit;
    ssize_t n;

    if (room == 0)
        return;
    n = read(k->in, bytes, room);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        k->in = -1; /* not ours to close */
        return;
    }
    quit = k->terminal ? memchr(bytes, QUIT_KEY, (size_t)n) : NULL;
    if (quit) {
        r->stop = true;
        k->in = -1;
        n = quit - bytes;
    }
    /* Fits: only this thread puts bytes in. In loopback they are lost, as on
     * a real line. */
    (void)serial_input(s, bytes, (size_t)n);
}

/* Up to PIPE_BUF bytes: what poll() says is writable does not block then. */
void
run_console_write(struct run *r)
{
    struct run_console *k = &r->console;
    size_t n = MIN(k->pending.len, (size_t)PIPE_BUF);

    if (fs_write_all(k->out, k->pending.data, n) < 0) {
        log_warn("console output cannot be written, the VM goes on", "fd=%d",
                 k->out);
        k->out = -1;
        k->dropped += k->pending.len;
        buf_release(&k->pending);
        return;
    }
    buf_consume(&k->pending, n);
}

static void
write_log(struct run_console *k, const char *bytes, size_t n)
{
    if (rate_wait_ns(&k->log_rate, rate_now_ns()) > 0) {
        log_limited(LOG_LEVEL_WARN,
                    "the guest writes too fast for its console log",
                    "bytes=%zu", n);
        COUNT(vmm_console_log_too_fast);
        k->dropped += n;
        return;
    }
    rate_charge(&k->log_rate, 0, n);
    /* A full disk may have room later. */
    if (fs_write_all(k->log, bytes, n) < 0) {
        log_limited(LOG_LEVEL_WARN, "console log not written", "bytes=%zu", n);
        COUNT(vmm_console_log_failed);
        k->dropped += n;
    }
}

void
run_console_pump(struct run *r)
{
    struct run_console *k = &r->console;
    struct serial *s = vm_serial(r->vm);
    bool clients = r->control && control_has_console(r->control);
    char bytes[4096];

    for (unsigned i = 0; i < PUMP_PIECES && serial_has_output(s); i++) {
        size_t room = BACKLOG - MIN((size_t)BACKLOG, k->pending.len), n;

        if (k->out >= 0 && k->log < 0 && !clients) {
            if (room == 0)
                return;
            n = serial_output(s, bytes, MIN(sizeof(bytes), room));
        } else {
            n = serial_output(s, bytes, sizeof(bytes));
        }
        if (k->log >= 0)
            write_log(k, bytes, n);
        if (clients)
            control_console_output(r->control, bytes, n);
        if (k->out >= 0) {
            if (n > room)
                k->dropped += n - room;
            buf_add(&k->pending, bytes, MIN(n, room));
        }
    }
}

bool
run_console_has_more(const struct run *r)
{
    const struct run_console *k = &r->console;
    bool waits = k->out >= 0 && k->log < 0 && k->pending.len >= BACKLOG &&
                 !(r->control && control_has_console(r->control));

    return r->vm && !waits && serial_has_output(vm_serial(r->vm));
}

void
run_console_drain(struct run *r)
{
    do {
        while (run_console_wants_out(r))
            run_console_write(r);
        run_console_pump(r);
    } while (run_console_wants_out(r));
}

uint64_t
run_console_dropped(const struct run *r)
{
    return r->console.dropped +
           (r->control ? control_console_dropped(r->control) : 0) +
           (r->vm ? serial_dropped(vm_serial(r->vm)) : 0);
}
