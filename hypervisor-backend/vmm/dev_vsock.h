/* hypervisor-backend/vmm/dev_vsock.h - virtio sockets over unix sockets.
 * Role:      streams between guest ports and unix sockets of the host.
 *            Host to guest: connect to the listening socket, send
 *            "CONNECT <port>\n", read "OK <host port>\n", then it is a
 *            stream. Guest to host (CID 2): a connection to port P goes to
 *            the unix socket "<guest_path>_P".
 * Ownership: takes listen_fd over on success, copies guest_path.
 *            dev_vsock_free() after virtio_pci_free().
 * Threads:   see virtio.h.
 * Errors:    -EINVAL CID or path. A stream that breaks the protocol is reset,
 *            a ring that does NEEDS_RESET.
 * Invariant: per stream at most DEV_VSOCK_BUFFER bytes wait for the host; the
 *            guest is told no more credit than that. At most
 *            DEV_VSOCK_STREAMS streams.
 * Source:    VIRTIO 1.2, section 5.10. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_VSOCK_H
#define HYPERVISOR_BACKEND_VMM_DEV_VSOCK_H

#include "common/err.h"
#include "hypervisor-backend/vmm/virtio.h"

#define DEV_VSOCK_CLASS 0x028000
#define DEV_VSOCK_BUFFER 65536u
#define DEV_VSOCK_STREAMS 64

struct dev_vsock;

struct dev_vsock_options {
    uint64_t guest_cid;     /* 3 to 2^32 - 2 */
    int listen_fd;          /* listening unix stream socket, or -1 */
    const char *guest_path; /* NULL: the guest may not connect */
};

int dev_vsock_new(struct gmem *g, struct io_loop *loop,
                  const struct dev_vsock_options *o, struct dev_vsock **ret,
                  struct err *reterr) _must_check_;
void dev_vsock_free(struct dev_vsock *d);
struct virtio *dev_vsock_virtio(struct dev_vsock *d);
unsigned dev_vsock_streams(struct dev_vsock *d); /* open or opening now */

#endif
