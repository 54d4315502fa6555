/* dev_console_ctl.c - the control queues of a console with several ports; see
 * dev_console.h. VIRTIO 1.2, section 5.3.6.2.
 *
 * What a port goes through, per reset of the device:
 *
 *   unknown --DEVICE_READY--> added --PORT_READY--> ready: named, opened
 *   ready --PORT_OPEN 1 / 0 from the guest--> in use / not
 *   ready --client comes / goes--> PORT_OPEN 1 / 0 to the guest
 */
#include <config.h>

#include <linux/virtio_console.h>
#include <string.h>

#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/dev_console-private.h"

struct message {
    struct virtio_console_control head;
    union {
        char name[DEV_CONSOLE_NAME_MAX];
        /* The specification's order; Linux has known these two swapped. */
        struct {
            uint16_t columns, rows;
        } size;
    } more;
};

void
console_owe(struct console_port *p, unsigned owed)
{
    struct virtio *v = p->d->v;

    if (!virtio_has(v, VIRTIO_CONSOLE_F_MULTIPORT))
        return;
    /* Before PORT_READY the guest wants to hear of no more than the port. */
    if (!p->ready)
        owed &= OWED_ADD;
    p->owed |= owed;
    if (owed)
        virtio_notify(v, CONSOLE_CONTROL_RX);
}

static struct console_port *
next_owed(struct dev_console *d)
{
    for (unsigned i = 0; i < d->n_ports; i++)
        if (d->port[i].owed)
            return &d->port[i];
    return NULL;
}

/* Writes the first message that p is owed and strikes it off; its length. */
static size_t
compose(struct console_port *p, struct message *m)
{
    unsigned what = p->owed & -p->owed;
    size_t more = 0;

    *m = (struct message){.head = {.id = p->index, .value = 1}};
    p->owed &= ~what;
    switch ((enum console_owed)what) {
    case OWED_ADD:
        m->head.event = VIRTIO_CONSOLE_PORT_ADD;
        break;
    case OWED_CONSOLE:
        m->head.event = VIRTIO_CONSOLE_CONSOLE_PORT;
        break;
    case OWED_NAME:
        m->head.event = VIRTIO_CONSOLE_PORT_NAME;
        more = strlen(p->name);
        memcpy(m->more.name, p->name, more);
        break;
    case OWED_RESIZE:
        m->head.event = VIRTIO_CONSOLE_RESIZE;
        m->more.size.columns = p->columns;
        m->more.size.rows = p->rows;
        more = sizeof(m->more.size);
        break;
    case OWED_OPEN:
        m->head.event = VIRTIO_CONSOLE_PORT_OPEN;
        m->head.value = console_host_open(p);
        break;
    }
    return sizeof(m->head) + more;
}

static bool
anything_owed(void *self, unsigned q, struct virtq_chain *c)
{
    (void)q;
    (void)c;
    return next_owed(self) != NULL;
}

static bool
send_one(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_console *d = self;
    struct console_port *p = next_owed(d);
    struct message m;
    size_t len = compose(p, &m);

    if (c->n_out || c->in_len < len) {
        virtio_fail(d->v, "console control buffer that takes no message");
        return false;
    }
    virtio_push(d->v, q, c->head, (uint32_t)virtq_copy_in(c, 0, &m, len));
    if (m.head.event == VIRTIO_CONSOLE_PORT_OPEN)
        console_listen(p); /* it waited for the guest to hear of the last */
    return true;
}

void
console_control_rx(struct dev_console *d)
{
    struct virtq_chain c = {.iov = d->iov, .room = CONSOLE_QUEUE_SIZE};

    virtio_each(d->v, CONSOLE_CONTROL_RX, &c, anything_owed, send_one);
}

static void
port_ready(struct console_port *p, bool ok)
{
    p->ready = ok;
    if (!ok) { /* the guest could not make it: leave it alone */
        COUNT(vmm_console_port_refused);
        p->owed = 0;
        console_guest_opened(p, false);
        return;
    }
    console_owe(p, OWED_OPEN | (p->name[0] ? OWED_NAME : OWED_CONSOLE) |
                       (!p->name[0] && p->columns ? OWED_RESIZE : 0));
}

static void
obey(struct dev_console *d, const struct virtio_console_control *m)
{
    if (m->event == VIRTIO_CONSOLE_DEVICE_READY) {
        if (!m->value)
            COUNT(vmm_console_driver_failed);
        for (unsigned i = 0; m->value && i < d->n_ports; i++)
            console_owe(&d->port[i], OWED_ADD);
        return;
    }
    if (m->id >= d->n_ports) {
        COUNT(vmm_console_control_bad_port);
        return;
    }
    switch (m->event) {
    case VIRTIO_CONSOLE_PORT_READY:
        port_ready(&d->port[m->id], m->value != 0);
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        console_guest_opened(&d->port[m->id], m->value != 0);
        break;
    default:
        COUNT(vmm_console_control_unknown);
        break;
    }
}

static bool
take_one(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_console *d = self;
    struct virtio_console_control m;

    if (c->n_in || c->out_len < sizeof(m)) {
        virtio_fail(d->v, "console control message of the wrong shape");
        return false;
    }
    virtq_copy_out(c, 0, &m, sizeof(m));
    virtio_push(d->v, q, c->head, 0);
    obey(d, &m);
    return true;
}

void
console_control_tx(struct dev_console *d)
{
    struct virtq_chain c = {.iov = d->iov, .room = CONSOLE_QUEUE_SIZE};

    virtio_each(d->v, CONSOLE_CONTROL_TX, &c, NULL, take_one);
}
