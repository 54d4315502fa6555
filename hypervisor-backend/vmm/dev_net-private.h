/* hypervisor-backend/vmm/dev_net-private.h - the network device's parts.
 * Role:      dev_net.c has life, features, events and the pairs in use;
 *            dev_net_vhost.c who serves the rings; dev_net_path.c our own
 *            data path; dev_net_ctrl.c the control queue and the filter.
 * Ownership: one struct, dev_net.c's.
 * Threads:   all under the device's lock; the tap is read and written on the
 *            loop's thread alone.
 * Errors:    see dev_net.h. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_NET_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_DEV_NET_PRIVATE_H

#include <linux/virtio_net.h>

#include "hypervisor-backend/vmm/be_timer.h"
#include "hypervisor-backend/vmm/dev_net.h"
#include "hypervisor-backend/vmm/vhost_net.h"

enum {
    NET_QUEUE_SIZE = 256,
    NET_MAX_BYTES = 128 << 10, /* of one chain */
    NET_RX_CHAINS = 64,
    NET_RX_SEGS = 512,
    NET_HEADER = sizeof(struct virtio_net_hdr_v1),
    NET_LARGEST = 65535 + 14 + 4, /* with segmentation offload */
    NET_FILTER_MACS = 64,
    NET_VLANS = 4096,
};

/* Section 5.1.6.5.1 to 5.1.6.5.3; see dev_net_ctrl.c. */
struct net_filter {
    bool promisc, all_multi, all_uni, no_multi, no_uni, no_broadcast;
    bool uni_overflow, multi_overflow; /* the driver named too many */
    bool by_vlan;                      /* negotiated */
    uint8_t mac[6];
    unsigned n_uni, n_multi;
    uint8_t uni[NET_FILTER_MACS][6], multi[NET_FILTER_MACS][6];
    uint64_t vlan[NET_VLANS / 64];
};

struct net_rx_chain {
    uint16_t head, n_iov;
    uint32_t len;
};

struct net_vhost_ring {
    struct io_source call; /* ours, where no eventfd raises the vector */
    int used;              /* the one that the kernel signals */
};

struct net_pair {
    struct dev_net *d;
    unsigned index; /* queues 2 * index and 2 * index + 1 */
    struct io_source tap;
    uint32_t polled; /* what the tap is polled for */
    bool active;     /* the driver uses it */
    bool in_loop;
    unsigned n_rx, n_rx_iov;
    uint64_t rx_room;
    size_t held;    /* bytes of a frame that waits for more buffers, or 0 */
    size_t held_at; /* so many are in the buffers, the rest is in spill */
    struct net_rx_chain rx[NET_RX_CHAINS];
    struct iovec rx_iov[NET_RX_SEGS + 1];
    struct vhost_net *vhost; /* NULL: there is none */
    bool vhost_on;           /* the kernel serves both rings */
    struct net_vhost_ring vhost_ring[VHOST_NET_RINGS];
    struct io_source vhost_error;
    /* What did not fit; not touched else. */
    uint8_t spill[NET_LARGEST + NET_HEADER];
};

struct dev_net {
    struct virtio *v;
    enum dev_net_kind kind;
    bool is_tap;
    bool gone; /* the other end was deleted */
    bool link_up;
    bool vhost_failed; /* not tried again */
    uint8_t mac[6];    /* as given; the driver's own is in the filter */
    struct rate rx_rate, tx_rate;
    struct io_timer timer;
    struct dev_net_stats stats;
    struct net_filter filter;
    unsigned n_active, n_pairs;
    struct net_pair *pair[DEV_NET_MAX_PAIRS];
    struct iovec tx_iov[NET_QUEUE_SIZE + 1];
};

/* --- dev_net.c --- */
void net_poll_for(struct net_pair *p, uint32_t events);
/* The other end was deleted: no more frames either way. On the loop. */
void net_lost_tap(struct dev_net *d, int error);
/* The driver's number of pairs; negative errno: as before. */
int net_set_pairs(struct dev_net *d, unsigned n) _must_check_;

/* --- dev_net_vhost.c --- */
void net_no_vhost(struct net_pair *p); /* a new pair */
/* All pairs or none; takes descriptors of its own of the same files. What is
 * missing is logged: then we serve the rings. */
void net_add_vhosts(struct dev_net *d, const struct dev_net_options *o);
void net_drop_vhost(struct net_pair *p); /* without the lock */
/* Takes the rings back, which vhost has. */
void net_serve_ourselves(struct net_pair *p);
/* Something changed: who is to serve each pair now? */
void net_look_again(struct dev_net *d);

/* --- dev_net_path.c --- */
void net_rx_turn(struct net_pair *p);
void net_run_tx(struct net_pair *p);
/* Buffers that were taken ahead are as if they never had been. */
void net_give_back(struct net_pair *p);

/* --- dev_net_ctrl.c --- */
void net_filter_init(struct dev_net *d);
/* frame: behind the virtio-net header, its first len bytes. */
bool net_filter_pass(const struct net_filter *f, const uint8_t *frame,
                     size_t len);
void net_run_ctrl(struct dev_net *d, unsigned q);

#endif
