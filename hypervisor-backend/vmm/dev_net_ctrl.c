/* dev_net_ctrl.c - the network device's control queue and receive filter; see
 * dev_net.h. VIRTIO 1.2, section 5.1.6.5.
 *
 * A command is a chain of class, command and data to read and one byte to
 * answer in. One without room for these is no command: NEEDS_RESET. All else
 * that is wrong (a length, a value, a class that was not negotiated) is
 * answered with VIRTIO_NET_ERR and changes nothing.
 *
 * The filter is for the guest's comfort and no protection of anyone: frames
 * that vhost moves do not pass it, which section 5.1.6.5.1 allows. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_net-private.h"

#include <string.h>

#include "common/count.h"

enum { COMMAND_SEGS = 64, DATA = sizeof(struct virtio_net_ctrl_hdr) };

/* Section 5.1.3.1: a feature without the control queue is no feature. */
static bool
has(const struct dev_net *d, unsigned feature)
{
    return virtio_has(d->v, VIRTIO_NET_F_CTRL_VQ) && virtio_has(d->v, feature);
}

/* --- the filter --- */

void
net_filter_init(struct dev_net *d)
{
    d->filter = (struct net_filter){
        .promisc = !has(d, VIRTIO_NET_F_CTRL_RX),
        .by_vlan = has(d, VIRTIO_NET_F_CTRL_VLAN),
    };
    memcpy(d->filter.mac, d->v->config, sizeof(d->filter.mac));
}

static bool
listed(const uint8_t table[][6], unsigned n, const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(table[i], mac, 6) == 0)
            return true;
    return false;
}

/* IEEE 802.1Q: tag 0 is a priority alone. */
static bool
vlan_pass(const struct net_filter *f, const uint8_t *frame, size_t len)
{
    unsigned id;

    if (!f->by_vlan || len < 16 || frame[12] != 0x81 || frame[13] != 0)
        return true;
    id = (unsigned)(frame[14] & 0x0f) << 8 | frame[15];
    return !id || (f->vlan[id / 64] & UINT64_C(1) << (id % 64));
}

bool
net_filter_pass(const struct net_filter *f, const uint8_t *frame, size_t len)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (f->promisc || len < 6)
        return true;
    if (!vlan_pass(f, frame, len))
        return false;
    if (memcmp(frame, broadcast, 6) == 0)
        return !f->no_broadcast;
    if (frame[0] & 1)
        return !f->no_multi && (f->all_multi || f->multi_overflow ||
                                listed(f->multi, f->n_multi, frame));
    return !f->no_uni &&
           (f->all_uni || f->uni_overflow || memcmp(frame, f->mac, 6) == 0 ||
            listed(f->uni, f->n_uni, frame));
}

/* --- commands --- */

struct command {
    const struct virtq_chain *chain;
    uint8_t command;
    uint32_t len; /* of the data */
};

/* The data, all of it and no more. */
static bool
data(const struct command *c, void *ret, uint32_t len)
{
    return c->len == len && virtq_copy_out(c->chain, DATA, ret, len) == len;
}

/* Section 5.1.6.5.1. */
static bool
rx_mode(struct dev_net *d, const struct command *c)
{
    struct net_filter *f = &d->filter;
    bool extra = has(d, VIRTIO_NET_F_CTRL_RX_EXTRA);
    bool *const at[] = {
        [VIRTIO_NET_CTRL_RX_PROMISC] = &f->promisc,
        [VIRTIO_NET_CTRL_RX_ALLMULTI] = &f->all_multi,
        [VIRTIO_NET_CTRL_RX_ALLUNI] = &f->all_uni,
        [VIRTIO_NET_CTRL_RX_NOMULTI] = &f->no_multi,
        [VIRTIO_NET_CTRL_RX_NOUNI] = &f->no_uni,
        [VIRTIO_NET_CTRL_RX_NOBCAST] = &f->no_broadcast,
    };
    uint8_t on;

    if (!has(d, VIRTIO_NET_F_CTRL_RX) || c->command >= ARRAY_SIZE(at) ||
        (c->command > VIRTIO_NET_CTRL_RX_ALLMULTI && !extra) ||
        !data(c, &on, 1) || on > 1)
        return false;
    *at[c->command] = on;
    return true;
}

/* A count and so many addresses from *at on; false: they are not there. More
 * than the table holds is an overflow. */
static bool
mac_table(const struct command *c, uint32_t *at, uint8_t table[][6],
          unsigned *n, bool *overflow)
{
    uint32_t count, left;

    if (c->len - *at < sizeof(count))
        return false;
    if (virtq_copy_out(c->chain, DATA + *at, &count, sizeof(count)) !=
        sizeof(count))
        return false;
    *at += (uint32_t)sizeof(count);
    left = c->len - *at;
    if (count > left / 6)
        return false;
    *overflow = count > NET_FILTER_MACS;
    *n = *overflow ? 0 : count;
    if (virtq_copy_out(c->chain, DATA + *at, table, (size_t)*n * 6) !=
        (size_t)*n * 6)
        return false;
    *at += count * 6;
    return true;
}

/* Section 5.1.6.5.2. */
static bool
mac(struct dev_net *d, const struct command *c)
{
    struct net_filter new = d->filter;
    uint32_t at = 0;
    uint8_t own[6];

    switch (c->command) {
    case VIRTIO_NET_CTRL_MAC_TABLE_SET:
        if (!has(d, VIRTIO_NET_F_CTRL_RX) ||
            !mac_table(c, &at, new.uni, &new.n_uni, &new.uni_overflow) ||
            !mac_table(c, &at, new.multi, &new.n_multi, &new.multi_overflow) ||
            at != c->len)
            return false;
        d->filter = new;
        return true;
    case VIRTIO_NET_CTRL_MAC_ADDR_SET:
        if (!has(d, VIRTIO_NET_F_CTRL_MAC_ADDR) || !data(c, own, 6) ||
            (own[0] & 1))
            return false;
        memcpy(d->filter.mac, own, 6);
        /* Whether the host lets frames with it pass is the host's rule. */
        memcpy(d->v->config, own, 6);
        return true;
    default:
        return false;
    }
}

/* Section 5.1.6.5.3. */
static bool
vlan(struct dev_net *d, const struct command *c)
{
    uint64_t *word, bit;
    uint16_t id;

    if (!has(d, VIRTIO_NET_F_CTRL_VLAN) || !data(c, &id, sizeof(id)) ||
        id >= NET_VLANS)
        return false;
    word = &d->filter.vlan[id / 64];
    bit = UINT64_C(1) << (id % 64);
    switch (c->command) {
    case VIRTIO_NET_CTRL_VLAN_ADD:
        *word |= bit;
        return true;
    case VIRTIO_NET_CTRL_VLAN_DEL:
        *word &= ~bit;
        return true;
    default:
        return false;
    }
}

/* Section 5.1.6.5.5. */
static bool
pairs(struct dev_net *d, const struct command *c)
{
    uint16_t n;

    return has(d, VIRTIO_NET_F_MQ) &&
           c->command == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET &&
           data(c, &n, sizeof(n)) && n >= 1 && n <= d->n_pairs &&
           net_set_pairs(d, n) == 0;
}

static bool
run(struct dev_net *d, uint8_t class, const struct command *c)
{
    switch (class) {
    case VIRTIO_NET_CTRL_RX:
        return rx_mode(d, c);
    case VIRTIO_NET_CTRL_MAC:
        return mac(d, c);
    case VIRTIO_NET_CTRL_VLAN:
        return vlan(d, c);
    case VIRTIO_NET_CTRL_MQ:
        return pairs(d, c);
    default:
        return false;
    }
}

static bool
command(void *self, unsigned q, struct virtq_chain *chain)
{
    struct dev_net *d = self;
    struct virtio_net_ctrl_hdr h;
    uint8_t ack = VIRTIO_NET_OK;

    if (chain->out_len < sizeof(h) || !chain->in_len) {
        virtio_fail(d->v, "control command without a header or an answer");
        return false;
    }
    virtq_copy_out(chain, 0, &h, sizeof(h));
    struct command c = {chain, h.cmd, chain->out_len - DATA};
    if (!run(d, h.class, &c)) {
        COUNT(vmm_net_ctrl_refused);
        ack = VIRTIO_NET_ERR;
    }
    virtq_copy_in(chain, 0, &ack, sizeof(ack));
    virtio_push(d->v, q, chain->head, sizeof(ack));
    return true;
}

void
net_run_ctrl(struct dev_net *d, unsigned q)
{
    struct iovec iov[COMMAND_SEGS];
    struct virtq_chain c = {.iov = iov, .room = COMMAND_SEGS};

    if (virtio_has(d->v, VIRTIO_NET_F_CTRL_VQ) && d->v->queues[q].vq.live)
        virtio_each(d->v, q, &c, NULL, command);
    /* The device failed over it: vhost is to stop with the rest. */
    if (!virtio_live(d->v))
        net_look_again(d);
}
