/* hypervisor-backend/vmm/dev_net.h - virtio network device.
 * Role:      moves frames between the guest's rings and a tap, one descriptor
 *            for each queue pair, without a copy; checksum and segmentation
 *            offload as negotiated; limits each way for all pairs together;
 *            control queue (receive filter, MAC address, number of pairs).
 *            Where /dev/vhost-net is given the kernel moves the frames while
 *            no limit is set and the link is up; else, and wherever that
 *            fails, we do.
 * Ownership: takes all descriptors over on success, none on failure;
 *            dev_net_free() after virtio_pci_free().
 * Threads:   see virtio.h; all pairs are on the loop that is given. Link,
 *            limits and stats from any thread.
 * Errors:    -EINVAL options, -EBADF; a frame with a header that lies is
 *            dropped and counted, a ring that lies NEEDS_RESET, a command
 *            that cannot be is answered with VIRTIO_NET_ERR.
 * Source:    VIRTIO 1.2, section 5.1. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_NET_H
#define HYPERVISOR_BACKEND_VMM_DEV_NET_H

#include "common/err.h"
#include "hypervisor-backend/vmm/rate.h"
#include "hypervisor-backend/vmm/virtio.h"

#define DEV_NET_CLASS 0x020000
#define DEV_NET_MAX_PAIRS 8u

struct dev_net;

enum dev_net_kind {
    /* A tap with IFF_NO_PI | IFF_VNET_HDR, for several pairs
     * IFF_MULTI_QUEUE, too. A unix socket that keeps frames apart is taken
     * as well and trusted with offloads as a tap is. */
    DEV_NET_TAP,
    /* A unix SOCK_SEQPACKET or SOCK_DGRAM socket, one message a frame behind
     * its 12-byte header; one pair, no offloads, no vhost. */
    DEV_NET_PACKETS,
};

struct dev_net_options {
    enum dev_net_kind kind;
    int fds[DEV_NET_MAX_PAIRS]; /* one for each pair */
    unsigned n_fds;
    /* Each an open /dev/vhost-net of its own that has no owner yet; used if
     * `vhost`, n_fds of them. */
    int vhost_fds[DEV_NET_MAX_PAIRS];
    bool vhost;
    uint8_t mac[6];
    uint16_t mtu;              /* 0: not told */
    struct rate_limits rx, tx; /* to the guest, from the guest */
};

/* Frames that the kernel moved (vhost) are not in here: the tap's own
 * counters have them. */
struct dev_net_stats {
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t rx_dropped;  /* larger than the guest's buffers, link down */
    uint64_t rx_filtered; /* not what the guest asked for */
    uint64_t tx_dropped;  /* bad header, refused by the host, link down */
    uint64_t throttled;
    unsigned pairs; /* in use now */
    bool vhost;     /* the kernel moves frames now */
};

int dev_net_new(struct gmem *g, struct io_loop *loop,
                const struct dev_net_options *o, struct dev_net **ret,
                struct err *reterr) _must_check_;
void dev_net_free(struct dev_net *d);
struct virtio *dev_net_virtio(struct dev_net *d);
/* While it is down no frame passes either way. */
void dev_net_set_link(struct dev_net *d, bool up);
void dev_net_set_limits(struct dev_net *d, const struct rate_limits *rx,
                        const struct rate_limits *tx);
void dev_net_stats(struct dev_net *d, struct dev_net_stats *ret);

#endif
