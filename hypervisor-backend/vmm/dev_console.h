/* hypervisor-backend/vmm/dev_console.h - virtio console, one port.
 * Role:      bytes between the guest's port and two descriptors (terminal,
 *            pipe, socket). Bounded: the guest waits while the reader is
 *            slow, the writer while the guest is.
 * Ownership: borrows both descriptors (they may be the same one); they are
 *            made non-blocking. dev_console_free() after virtio_pci_free().
 * Threads:   see virtio.h; resize from any thread.
 * Errors:    an end that is gone is given up and counted; the guest's output
 *            is then dropped.
 * Source:    VIRTIO 1.2, section 5.3. No multiport. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_CONSOLE_H
#define HYPERVISOR_BACKEND_VMM_DEV_CONSOLE_H

#include "hypervisor-backend/vmm/virtio.h"

#define DEV_CONSOLE_CLASS 0x078000

struct dev_console;

/* -1: no such end. */
int dev_console_new(struct gmem *g, struct io_loop *loop, int in_fd, int out_fd,
                    struct dev_console **ret) _must_check_;
void dev_console_free(struct dev_console *d);
struct virtio *dev_console_virtio(struct dev_console *d);
void dev_console_resize(struct dev_console *d, uint16_t columns, uint16_t rows);

#endif
