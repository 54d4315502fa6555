/* hypervisor-backend/vmm/dev_net.h - virtio network device.
 * Role:      moves frames between the guest's rings and a tap (or any
 *            descriptor that carries one frame with its virtio-net header per
 *            read and write), without a copy; checksum and segmentation
 *            offload as negotiated, limits each way.
 * Ownership: takes the descriptor over on success; dev_net_free() after
 *            virtio_pci_free().
 * Threads:   see virtio.h; link, limits and stats from any thread.
 * Errors:    -EINVAL options; a frame with a header that lies is dropped and
 *            counted, a ring that lies NEEDS_RESET.
 * Source:    VIRTIO 1.2, section 5.1. One queue pair, no control queue. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_NET_H
#define HYPERVISOR_BACKEND_VMM_DEV_NET_H

#include "common/err.h"
#include "hypervisor-backend/vmm/rate.h"
#include "hypervisor-backend/vmm/virtio.h"

#define DEV_NET_CLASS 0x020000

struct dev_net;

struct dev_net_options {
    int fd; /* tap with IFF_NO_PI | IFF_VNET_HDR */
    uint8_t mac[6];
    uint16_t mtu;              /* 0: not told */
    struct rate_limits rx, tx; /* to the guest, from the guest */
};

struct dev_net_stats {
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t rx_dropped; /* larger than the guest's buffers */
    uint64_t tx_dropped; /* bad header, or refused by the host */
    uint64_t throttled;
};

int dev_net_new(struct gmem *g, struct io_loop *loop,
                const struct dev_net_options *o, struct dev_net **ret,
                struct err *reterr) _must_check_;
void dev_net_free(struct dev_net *d);
struct virtio *dev_net_virtio(struct dev_net *d);
void dev_net_set_link(struct dev_net *d, bool up);
void dev_net_set_limits(struct dev_net *d, const struct rate_limits *rx,
                        const struct rate_limits *tx);
void dev_net_stats(struct dev_net *d, struct dev_net_stats *ret);

#endif
