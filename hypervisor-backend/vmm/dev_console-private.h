/* hypervisor-backend/vmm/dev_console-private.h - between dev_console.c (ports
 * and their bytes) and dev_console_ctl.c (the control queues).
 * Role:      the device's state, and the calls between the two files.
 * Ownership: part of struct dev_console.
 * Threads:   all with the device's lock held.   Errors: none. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_CONSOLE_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_DEV_CONSOLE_PRIVATE_H

#include "hypervisor-backend/vmm/be_timer.h"
#include "hypervisor-backend/vmm/dev_console.h"

/* Section 5.3.2. */
enum {
    CONSOLE_CONTROL_RX = 2,
    CONSOLE_CONTROL_TX = 3,
    CONSOLE_QUEUE_SIZE = 64,
};

/* Messages that the guest is owed, in the order in which they go out. What
 * they say is looked up when they do, so a guest that asks again and again
 * makes nothing grow. */
enum console_owed {
    OWED_ADD = 1 << 0,
    OWED_CONSOLE = 1 << 1,
    OWED_NAME = 1 << 2,
    OWED_RESIZE = 1 << 3,
    OWED_OPEN = 1 << 4,
};

struct console_end {
    struct io_source source; /* fd -1: not there */
    uint32_t asked;          /* of epoll; 0: the one shot was fired */
    bool always_ready;       /* a regular file: epoll takes none */
    bool ended;              /* read to its end; kept for the other direction */
};

struct console_port {
    struct dev_console *d;
    unsigned index;
    char name[DEV_CONSOLE_NAME_MAX + 1]; /* "": a console */
    struct io_source listener;           /* fd -1: plain descriptors */
    bool listening;                      /* polled */
    struct console_end in, out;
    size_t sent;     /* of the chain at the head of the transmit ring */
    bool stale;      /* its receiver is gone: the rest is for nobody */
    bool ready;      /* the guest said PORT_READY */
    bool guest_open; /* without multiport: DRIVER_OK */
    unsigned owed;   /* enum console_owed */
    uint16_t columns, rows;
    struct dev_console_stats stats;
};

struct dev_console {
    struct virtio *v;
    unsigned n_ports;
    bool multiport; /* is offered */
    bool closing;   /* ends are the freeing thread's */
    struct io_timer retry;
    struct iovec iov[CONSOLE_QUEUE_SIZE], piece[CONSOLE_QUEUE_SIZE];
    struct console_port port[DEV_CONSOLE_MAX_PORTS];
};

static inline unsigned
console_rx(unsigned port)
{
    return port == 0 ? 0 : 2 + 2 * port;
}

static inline bool
console_host_open(const struct console_port *p)
{
    return (p->in.source.fd >= 0 && !p->in.ended) || p->out.source.fd >= 0;
}

/* --- dev_console.c --- */
/* Takes the next client if there is room for one. */
void console_listen(struct console_port *p);
void console_guest_opened(struct console_port *p, bool open);

/* --- dev_console_ctl.c --- */
/* Has the I/O thread send it when the guest can take it. */
void console_owe(struct console_port *p, unsigned owed);
void console_control_rx(struct dev_console *d);
void console_control_tx(struct dev_console *d);

#endif
