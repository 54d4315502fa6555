/* fuzz-vmm-control.c - the description of a VM and the requests of its
 * control socket. The first byte's lowest bit picks which; for a request the
 * second one says how many descriptors come along. What is refused leaves
 * nothing behind and says why. */
#include <config.h>

#include <fcntl.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/control_request.h"
#include "tests/fuzz/fuzz.h"

static int
no_fd(int64_t *fd, const char *ptr, void *arg)
{
    FUZZ_CHECK(*ptr == '/');
    /* Of the text, not ours: must not be closed. */
    FUZZ_CHECK(*fd >= 0);
    *fd = -1;
    return 0;
}

static void
description(const char *json, size_t n)
{
    struct err e _cleanup_(err_release) = {0};
    struct spec s;

    if (spec_decode(json, n, &s, &e) < 0) {
        FUZZ_CHECK(*e.code && *e.message);
    } else {
        FUZZ_CHECK(s.memory && s.id && s.cpus >= 1);
        for (size_t i = 0; i < s.nics.n; i++) {
            const struct spec_nic *nic = (struct spec_nic *)s.nics.items + i;
            uint8_t mac[6];

            FUZZ_CHECK(nic->fds.n >= 1);
            if (spec_parse_mac(nic->mac, mac) == 0)
                FUZZ_CHECK(!(mac[0] & 1));
        }
        spec_each_fd(&s, no_fd, NULL);
    }
    spec_release(&s);
}

static void
request(const char *line, size_t n, unsigned n_fds)
{
    struct control_request q = {.n_fds = MIN(n_fds, CONTROL_FDS)};
    struct err e _cleanup_(err_release) = {0};
    struct buf reply _cleanup_(buf_release) = {0};
    struct buf pretty _cleanup_(buf_release) = {0};
    int r;

    for (unsigned i = 0; i < q.n_fds; i++) {
        q.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        FUZZ_CHECK(q.fds[i] >= 0);
    }
    r = control_request_decode(line, n, &q, &e);
    if (r < 0) {
        FUZZ_CHECK(*e.code && *e.message);
        control_reply_error(q.id, &e, &reply);
    } else {
        FUZZ_CHECK(q.verb < CONTROL_VERBS);
        /* A descriptor of the right kind was none among them. */
        FUZZ_CHECK(!q.new_disk && !q.new_nic);
        control_reply_result(q.id, "{}", &reply);
    }
    FUZZ_CHECK(reply.data[reply.len - 1] == '\n');
    FUZZ_CHECK(!memchr(reply.data, '\n', reply.len - 1));
    FUZZ_CHECK(codec_pretty(reply.data, reply.len, &pretty, NULL) == 0);
    control_request_release(&q);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text _cleanup_(buf_release) = {0};

    if (size < 2)
        return 0;
    buf_add(&text, data + 2, size - 2);
    if (data[0] & 1)
        description(text.data, text.len);
    else
        request(text.data, text.len, data[1] & 31);
    return 0;
}
