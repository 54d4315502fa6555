/* vhost_net.c - a queue pair served by the kernel; see vhost_net.h.
 *
 *   new: owned, memory table set --start()--> running --stop()--> owned
 *
 * The kernel takes its place in the used ring from guest memory; ours comes
 * from its available index alone: with nothing in flight both are the same,
 * and a guest that wrote other things there fools only itself. */
#include <config.h>

#include "hypervisor-backend/vmm/vhost_net.h"

#include <assert.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <sys/ioctl.h>

#include "common/mem.h"

#define BIT(n) (UINT64_C(1) << (n))
/* The rings' layout and the frames' header: who serves them must know.
 * Checksums and segmentation are between the driver and the tap. */
#define RING_FEATURES                                                          \
    (BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |         \
     BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_VERSION_1))

struct vhost_net {
    int fd;
    uint64_t features; /* of the kernel's */
    bool running;
};

static int
call(const struct vhost_net *n, unsigned long request, void *arg,
     const char *step, struct err *reterr)
{
    int r;

    do
        r = ioctl(n->fd, request, arg);
    while (r < 0 && errno == EINTR);
    return r < 0 ? err_errno(reterr, -errno, "vhost-net: %s", step) : 0;
}

/* All of guest memory, at our addresses. */
static int
set_memory(const struct vhost_net *n, const struct gmem *g, struct err *reterr)
{
    struct vhost_memory *m _cleanup_(freep) = NULL;
    const struct gmem_region *regions;
    size_t count = gmem_regions(g, &regions);

    m = xcalloc(1, sizeof(*m) + count * sizeof(m->regions[0]));
    m->nregions = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        m->regions[i] = (struct vhost_memory_region){
            .guest_phys_addr = regions[i].gpa,
            .memory_size = regions[i].size,
            .userspace_addr = (uintptr_t)regions[i].host,
        };
    return call(n, VHOST_SET_MEM_TABLE, m, "memory table", reterr);
}

int
vhost_net_new(int fd, const struct gmem *g, struct vhost_net **ret,
              struct err *reterr)
{
    struct vhost_net n = {.fd = fd};
    int r;

    r = call(&n, VHOST_SET_OWNER, NULL, "owner", reterr);
    if (r < 0)
        return r;
    r = call(&n, VHOST_GET_FEATURES, &n.features, "features", reterr);
    /* Without it the header would be shorter (section 5.1.6.1). */
    if (r == 0 && !(n.features & BIT(VIRTIO_F_VERSION_1)))
        r = err_set(reterr, -EOPNOTSUPP, "unsupported",
                    "vhost-net: the kernel's knows no virtio 1");
    if (r == 0)
        r = set_memory(&n, g, reterr);
    if (r < 0) {
        /* The first reason is the one to tell. */
        (void)call(&n, VHOST_RESET_OWNER, NULL, "owner", NULL);
        return r;
    }
    *ret = xnew(struct vhost_net);
    **ret = n;
    return 0;
}

void
vhost_net_free(struct vhost_net *n)
{
    if (!n)
        return;
    assert(!n->running);
    /* Fails only if the descriptor is shared by now; closing does the rest. */
    (void)call(n, VHOST_RESET_OWNER, NULL, "owner", NULL);
    close(n->fd);
    free(n);
}

uint64_t
vhost_net_mask(const struct vhost_net *n, uint64_t features)
{
    return features & (n->features | ~RING_FEATURES);
}

static int
set_file(const struct vhost_net *n, unsigned long request, unsigned ring,
         int fd, const char *step, struct err *reterr)
{
    struct vhost_vring_file f = {.index = ring, .fd = fd};

    return call(n, request, &f, step, reterr);
}

static int
set_ring(const struct vhost_net *n, unsigned i, int error,
         const struct vhost_net_ring *ring, struct err *reterr)
{
    const struct virtq *vq = ring->vq;
    struct vhost_vring_state num = {.index = i, .num = vq->setup.size};
    struct vhost_vring_state base = {.index = i, .num = vq->last_avail};
    struct vhost_vring_addr addr = {
        .index = i,
        .desc_user_addr = (uintptr_t)vq->desc,
        .avail_user_addr = (uintptr_t)vq->avail,
        .used_user_addr = (uintptr_t)vq->used,
    };
    int r;

    assert(vq->live && !vq->in_flight);
    r = call(n, VHOST_SET_VRING_NUM, &num, "ring size", reterr);
    if (r == 0)
        r = call(n, VHOST_SET_VRING_BASE, &base, "ring index", reterr);
    if (r == 0)
        r = call(n, VHOST_SET_VRING_ADDR, &addr, "ring address", reterr);
    if (r == 0)
        r = set_file(n, VHOST_SET_VRING_KICK, i, ring->kick, "kick", reterr);
    if (r == 0)
        r = set_file(n, VHOST_SET_VRING_CALL, i, ring->call, "call", reterr);
    if (r == 0)
        r = set_file(n, VHOST_SET_VRING_ERR, i, error, "error", reterr);
    return r;
}

/* The kernel's thread lets go of both rings; the first failure counts. */
static int
drop_backends(const struct vhost_net *n)
{
    int r = 0;

    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        int s = set_file(n, VHOST_NET_SET_BACKEND, i, -1, "backend", NULL);

        r = r < 0 ? r : s;
        /* A kick that is not there wakes nobody up. */
        s = set_file(n, VHOST_SET_VRING_KICK, i, -1, "kick", NULL);
        r = r < 0 ? r : s;
    }
    return r;
}

int
vhost_net_start(struct vhost_net *n, uint64_t acked, int tap, int error,
                const struct vhost_net_ring ring[VHOST_NET_RINGS],
                struct err *reterr)
{
    uint64_t features = acked & n->features & RING_FEATURES;
    int r;

    assert(!n->running);
    r = call(n, VHOST_SET_FEATURES, &features, "features", reterr);
    for (unsigned i = 0; r == 0 && i < VHOST_NET_RINGS; i++)
        r = set_ring(n, i, error, &ring[i], reterr);
    for (unsigned i = 0; r == 0 && i < VHOST_NET_RINGS; i++)
        r = set_file(n, VHOST_NET_SET_BACKEND, i, tap, "backend", reterr);
    if (r < 0) {
        /* With one that was not set there is nothing to drop. */
        (void)drop_backends(n);
        return r;
    }
    n->running = true;
    return 0;
}

int
vhost_net_stop(struct vhost_net *n, uint16_t ret_at[VHOST_NET_RINGS])
{
    uint16_t at[VHOST_NET_RINGS];
    int r;

    assert(n->running);
    n->running = false;
    r = drop_backends(n);
    for (unsigned i = 0; r == 0 && i < VHOST_NET_RINGS; i++) {
        struct vhost_vring_state base = {.index = i};

        r = call(n, VHOST_GET_VRING_BASE, &base, "ring index", NULL);
        at[i] = (uint16_t)base.num;
    }
    for (unsigned i = 0; r == 0 && i < VHOST_NET_RINGS; i++)
        ret_at[i] = at[i];
    return r;
}

int
vhost_net_set_call(struct vhost_net *n, unsigned ring, int fd)
{
    return set_file(n, VHOST_SET_VRING_CALL, ring, fd, "call", NULL);
}
