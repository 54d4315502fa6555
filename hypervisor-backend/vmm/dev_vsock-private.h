/* hypervisor-backend/vmm/dev_vsock-private.h - what dev_vsock.c and
 * dev_vsock_packets.c share.
 * Role:      streams and the device's state.
 * Ownership: a stream is the device's and owns its descriptor and buffer.
 * Threads:   all with the device's lock held.
 * Errors:    none; what fails resets a stream.
 *
 * A stream's way:
 *   host connects: on_listen() -> HELLO --line read, hello()--> ASKED
 *     (REQUEST to the guest) --RESPONSE, guest_packet()--> OPEN
 *   guest connects: guest_request() -> OPEN (RESPONSE to the guest)
 *   OPEN --RST or both shutdowns--> gone; --end of file from the host-->
 *     SHUTDOWN to the guest, the other way goes on
 *
 * Invariants (under the device's lock):
 *  1. Streams are made and ended on the I/O thread only, so a handler never
 *     meets a stream that is gone.
 *  2. fwd_cnt counts bytes that left for the host; what the guest sent minus
 *     that is in `buf` and at most DEV_VSOCK_BUFFER.
 *  3. sent - peer_fwd <= peer_alloc: the guest gets no byte without credit. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_VSOCK_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_DEV_VSOCK_PRIVATE_H

#include <linux/virtio_vsock.h>

#include "hypervisor-backend/vmm/be_timer.h"
#include "hypervisor-backend/vmm/dev_vsock.h"

enum {
    VSOCK_RX,
    VSOCK_TX,
    VSOCK_EVENT,
    VSOCK_N_QUEUES,
    VSOCK_QUEUE_SIZE = 128,
    VSOCK_HEADER = sizeof(struct virtio_vsock_hdr),
    VSOCK_HELLO_MAX = 32,
    VSOCK_RESETS_MAX = 32, /* for streams that we do not have */
};

enum vsock_state { VSOCK_HELLO, VSOCK_ASKED, VSOCK_OPEN };

/* What the guest is to be told; bits of stream.tell. */
enum vsock_tell {
    TELL_REQUEST = 1,
    TELL_RESPONSE = 2,
    TELL_CREDIT = 4,
    TELL_SHUTDOWN = 8,
    TELL_RESET = 16, /* and then the stream ends */
};

struct vsock_stream {
    struct dev_vsock *d;
    struct io_source source;
    uint32_t polled;
    enum vsock_state state;
    uint32_t host_port, guest_port;
    unsigned tell;
    bool readable; /* looked at when the guest has room */
    bool host_eof; /* the host sends no more */
    bool guest_eof;
    uint32_t peer_alloc, peer_fwd, sent; /* the guest's credit */
    uint32_t fwd_cnt, told_fwd, received;
    uint8_t *buf; /* for the host, DEV_VSOCK_BUFFER bytes, or NULL */
    uint32_t buf_at, buf_len;
    char line[VSOCK_HELLO_MAX]; /* what was read of the first line */
    unsigned line_len;
};

struct vsock_reset {
    uint32_t host_port, guest_port;
};

struct dev_vsock {
    struct virtio *v;
    uint64_t cid;
    char *guest_path;
    struct io_source listen;
    struct io_timer timer; /* ends streams on the I/O thread at reset */
    uint32_t next_port;
    unsigned turn; /* which stream is served first */
    struct vsock_stream *streams[DEV_VSOCK_STREAMS];
    struct vsock_reset resets[VSOCK_RESETS_MAX];
    unsigned n_resets;
    struct iovec iov[VSOCK_QUEUE_SIZE], piece[VSOCK_QUEUE_SIZE + 1];
};

/* --- dev_vsock.c --- */
void vsock_update_poll(struct vsock_stream *s);
/* On the I/O thread only. */
void vsock_stream_end(struct vsock_stream *s);
/* Takes fd over on success. NULL: too many. */
struct vsock_stream *vsock_stream_new(struct dev_vsock *d, int fd,
                                      enum vsock_state state);
struct vsock_stream *vsock_find(struct dev_vsock *d, uint32_t host_port,
                                uint32_t guest_port);
/* The guest gets a reset for a stream that is none. */
void vsock_refuse(struct dev_vsock *d, uint32_t host_port, uint32_t guest_port);

/* --- dev_vsock_packets.c --- */
/* Whatever there is for the guest, as far as its buffers and credit go. */
void vsock_run_rx(struct dev_vsock *d);
/* What is kept for the host, as much as it takes. */
void vsock_flush(struct vsock_stream *s);
/* A packet from the guest; virtio_each()'s function. */
bool vsock_transmit(void *self, unsigned q, struct virtq_chain *c);

#endif
