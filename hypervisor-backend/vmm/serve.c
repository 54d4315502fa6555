/* serve.c - one VM from a description on a descriptor; see serve.h. */
#include <config.h>

#include "hypervisor-backend/vmm/serve.h"

#include <errno.h>
#include <fcntl.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/control_request.h"
#include "hypervisor-backend/vmm/jail.h"
#include "hypervisor-backend/vmm/run.h"

static int
read_all(int fd, struct buf *out, struct err *reterr)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(out, 4096), 4096);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(reterr, -errno, "description");
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len > SPEC_MAX_BYTES)
            return err_set(reterr, -EFBIG, "too_large",
                           "a description has at most %u bytes",
                           SPEC_MAX_BYTES);
    }
}

struct kept {
    int *fds;
    size_t n;
    int root_fd;
};

static int
keep_fd(int64_t *fd, const char *ptr, void *arg)
{
    struct kept *k = arg;

    if (*fd == k->root_fd)
        return 0;
    k->fds = xrealloc(k->fds, (k->n + 1) * sizeof(*k->fds));
    k->fds[k->n++] = (int)*fd;
    return 0;
}

/* From here on there is this VM's description and its descriptors, and of the
 * machine nothing else. */
static int
enter_jail(struct spec *s, struct err *reterr)
{
    struct kept k = {0};
    struct jail_config c;
    int r;

    if (!s->jail)
        return 0;
    k.root_fd = (int)s->jail->root_fd;
    spec_each_fd(s, keep_fd, &k);
    /* What the starter gave for the log, and in place of a terminal. */
    for (int64_t fd = 0; fd < SPEC_FIRST_FD; fd++)
        if (fcntl((int)fd, F_GETFD) >= 0)
            keep_fd(&fd, "", &k);
    c = (struct jail_config){.root_fd = k.root_fd,
                             .uid = (uid_t)s->jail->uid,
                             .gid = (gid_t)s->jail->gid,
                             .hostname = s->jail->hostname,
                             .memory_bytes = (uint64_t)s->memory->bytes,
                             .keep_fds = k.fds,
                             .n_keep_fds = k.n,
                             .need_pid_namespace = true};
    r = jail_enter(&c, reterr);
    free(k.fds);
    if (r < 0)
        return r;
    s->jail->root_fd = -1; /* closed */
    return jail_seccomp(JAIL_THREAD_MAIN, reterr);
}

static int
run(struct spec *s, enum vm_end *ret, struct err *reterr)
{
    struct run_io io = {.in = -1, .out = -1};
    int signals _cleanup_(closep) = run_signals();

    if (signals < 0)
        return err_errno(reterr, signals, "signals");
    io.signals = signals;
    return run_vm(s, &io, ret, reterr);
}

/* One line, in one write: whoever reads it sees all of it or nothing. */
static int
write_end(int fd, enum vm_end end, const struct err *e, struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};
    int r;

    buf_addf(&b, "{\"end\":\"%s\",\"at_us\":%lld", vm_end_name(end),
             (long long)clock_now_us());
    if (e) {
        buf_adds(&b, ",\"error\":");
        control_error_json(e, &b);
    }
    buf_adds(&b, "}\n");
    r = fs_write_all(fd, b.data, b.len);
    return r < 0 ? err_errno(reterr, r, "end record") : 0;
}

int
serve(int fd, enum vm_end *ret, struct err *reterr)
{
    struct buf text _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    struct spec s;
    int r;

    r = read_all(fd, &text, reterr);
    close(fd); /* before its number can be named */
    if (r == 0)
        r = spec_decode(buf_str(&text), text.len, &s, reterr);
    if (r < 0)
        return r;
    buf_release(&text);
    r = spec_check_fds(&s, &e);
    if (r == 0)
        r = enter_jail(&s, &e);
    if (r == 0)
        r = run(&s, ret, &e);
    if (s.end_fd >= 0 && spec_check_end(&s, NULL) == 0) {
        int w = write_end((int)s.end_fd, r < 0 ? VM_END_ERROR : *ret,
                          r < 0 ? &e : NULL, r < 0 ? NULL : &e);

        r = r < 0 ? r : w;
    }
    if (r < 0)
        err_move(reterr, &e);
    spec_release(&s);
    return r;
}
