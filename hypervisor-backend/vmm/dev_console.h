/* hypervisor-backend/vmm/dev_console.h - virtio console with named ports.
 * Role:      bytes between each of the guest's ports and its backend: plain
 *            descriptors (terminal, pipe, socket), or a listening unix socket
 *            of which one client at a time is taken; the next waits in the
 *            backlog, and the guest sees the port close and open between.
 *            Bounded: the guest waits while the reader is slow, the writer
 *            while the guest is, or while nobody in it has the port open.
 *            Without a client the guest's output is dropped and counted.
 * Ownership: borrows all descriptors (one may serve for both ways); they are
 *            made non-blocking. dev_console_free() after virtio_pci_free().
 * Threads:   see virtio.h; resize and statistics from any thread.
 * Errors:    -EINVAL with the reason for names and descriptors. An end that
 *            is gone is given up and counted; the guest's output is then
 *            dropped. Control messages of unknown kind or port are counted
 *            and ignored; one of the wrong shape NEEDS_RESET.
 * Source:    VIRTIO 1.2, section 5.3. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_CONSOLE_H
#define HYPERVISOR_BACKEND_VMM_DEV_CONSOLE_H

#include "common/err.h"
#include "hypervisor-backend/vmm/virtio.h"

#define DEV_CONSOLE_CLASS 0x078000
#define DEV_CONSOLE_MAX_PORTS 4u
#define DEV_CONSOLE_NAME_MAX 63u

struct dev_console;

struct dev_console_port {
    /* [A-Za-z0-9._-], unique: /dev/virtio-ports/NAME in the guest. NULL: no
     * name, a console of the guest (/dev/hvcN). */
    const char *name;
    /* -1: no such end. If in_fd is a listening unix stream socket, out_fd must
     * be the same or -1. */
    int in_fd, out_fd;
};

struct dev_console_stats { /* of one port */
    bool guest_open;       /* somebody in the guest has it open */
    bool host_open;        /* a client or descriptor is there */
    uint64_t in_bytes;     /* to the guest */
    uint64_t out_bytes;    /* from it, delivered */
    uint64_t dropped_bytes;
};

/* One port without a name: a plain console without multiport. Otherwise 1 to
 * DEV_CONSOLE_MAX_PORTS of them. */
int dev_console_new(struct gmem *g, struct io_loop *loop,
                    const struct dev_console_port *ports, unsigned n_ports,
                    struct dev_console **ret, struct err *reterr) _must_check_;
void dev_console_free(struct dev_console *d);
struct virtio *dev_console_virtio(struct dev_console *d);
/* port is an index into the array that was given. With multiport a console (a
 * port without a name) hears it by a message, columns first (5.3.6.2). Linux
 * reads rows first, 6.16 and stable versions of its time excepted, which
 * followed the specification until that was reverted as incompatible. Without
 * multiport the size is in the configuration and no order is in doubt: a
 * console whose size matters should be the one port. */
void dev_console_resize(struct dev_console *d, unsigned port, uint16_t columns,
                        uint16_t rows);
void dev_console_stats(struct dev_console *d, unsigned port,
                       struct dev_console_stats *ret);

#endif
