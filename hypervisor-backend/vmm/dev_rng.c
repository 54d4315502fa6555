/* dev_rng.c - virtio entropy device; see dev_rng.h. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_rng.h"

#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "common/mem.h"

enum {
    QUEUE_SIZE = 8,
    /* One request gives at most this; the driver asks again (5.4.6.1 allows
     * less than was asked for). */
    MAX_FILL = 4096,
    MAX_BYTES = 1 << 20,
};

struct dev_rng {
    struct virtio *v;
    struct iovec iov[QUEUE_SIZE];
};

/* Less than len only when the host has no randomness at all. */
static size_t
fill(uint8_t *at, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = getrandom(at + done, len - done, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static bool
request(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_rng *d = self;
    size_t done = 0;

    if (!c->n_in || c->n_out) {
        virtio_fail(d->v, "entropy request that is not all writable");
        return false;
    }
    for (unsigned i = 0; i < c->n_in && done < MAX_FILL; i++) {
        size_t want = MIN(c->iov[i].iov_len, MAX_FILL - done);
        size_t got = fill(c->iov[i].iov_base, want);

        done += got;
        if (got < want)
            break;
    }
    virtio_push(d->v, q, c->head, (uint32_t)done);
    return true;
}

static void
queue(void *self, unsigned q)
{
    struct dev_rng *d = self;
    struct virtq_chain c = {.iov = d->iov, .room = ARRAY_SIZE(d->iov)};

    virtio_each(d->v, q, &c, NULL, request);
}

static bool
reset(void *self)
{
    (void)self;
    return true;
}

static const struct virtio_type rng_type = {
    .name = "rng", .id = VIRTIO_ID_RNG, .queue = queue, .reset = reset};

int
dev_rng_new(struct gmem *g, struct io_loop *loop, struct dev_rng **ret)
{
    struct dev_rng *d = xnew(struct dev_rng);
    int r = virtio_new(&rng_type, d, g, loop, 1, QUEUE_SIZE, MAX_BYTES, &d->v);

    if (r < 0) {
        free(d);
        return r;
    }
    *ret = d;
    return 0;
}

void
dev_rng_free(struct dev_rng *d)
{
    if (!d)
        return;
    virtio_stop(d->v);
    virtio_free(d->v);
    free(d);
}

struct virtio *
dev_rng_virtio(struct dev_rng *d)
{
    return d->v;
}
