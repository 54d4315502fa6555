/* hypervisor-backend/vmm/vhost_net.h - one queue pair served by the kernel.
 * Role:      hands a receive and a transmit ring with their tap over to
 *            /dev/vhost-net and takes them back where the kernel left off.
 *            Knows rings and descriptors, nothing of devices.
 * Ownership: takes the descriptor over on success; gmem, rings, tap and
 *            eventfds are borrowed while it runs.
 * Threads:   one caller at a time (the device's lock). Between start and stop
 *            a kernel thread works on the rings and the caller must not.
 * Errors:    negative errno of the ioctl with the step that failed; after a
 *            failed start nothing runs.
 * Source:    linux/vhost.h; VIRTIO 1.2, section 2.7, for what is shared. */
#ifndef HYPERVISOR_BACKEND_VMM_VHOST_NET_H
#define HYPERVISOR_BACKEND_VMM_VHOST_NET_H

#include "common/err.h"
#include "hypervisor-backend/vmm/virtq.h"

enum { VHOST_NET_RX, VHOST_NET_TX, VHOST_NET_RINGS };

struct vhost_net;

struct vhost_net_ring {
    const struct virtq *vq; /* live, nothing in flight */
    int kick, call;         /* eventfds */
};

/* fd: /dev/vhost-net without an owner; this process becomes it. */
int vhost_net_new(int fd, const struct gmem *g, struct vhost_net **ret,
                  struct err *reterr) _must_check_;
/* Not while it runs. Gives up the ownership: the open file can be used
 * again. */
void vhost_net_free(struct vhost_net *n);
/* What of offered features the kernel can serve; bits that are the tap's
 * business stay. */
uint64_t vhost_net_mask(const struct vhost_net *n, uint64_t features);
/* acked: what the driver negotiated. error: an eventfd that is signalled
 * when the guest broke a ring's rules. */
int vhost_net_start(struct vhost_net *n, uint64_t acked, int tap, int error,
                    const struct vhost_net_ring ring[VHOST_NET_RINGS],
                    struct err *reterr) _must_check_;
/* Waits until the kernel has let go. Each ring's next available index, for
 * virtq_seek(). On failure the place is lost: the device must be reset. */
int vhost_net_stop(struct vhost_net *n,
                   uint16_t ret_at[VHOST_NET_RINGS]) _must_check_;
/* Another eventfd to signal, while it runs. */
int vhost_net_set_call(struct vhost_net *n, unsigned ring,
                       int call) _must_check_;

#endif
