/* serial.c - a 16550A; see serial.h.
 * A byte written is gone at once, so the transmitter is always empty; what
 * the chip would do over time (its THRE interrupt) happens immediately.
 * `line` is the level last given to the interrupt controller, so that an
 * unchanged level costs no call. Lock order: s->lock, then KVM's. */
#include <config.h>

#include "hypervisor-backend/vmm/serial.h"

#include <pthread.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

enum {
    REG_DATA = 0, /* and divisor, low */
    REG_IER = 1,  /* and divisor, high */
    REG_IIR = 2,  /* FCR when written */
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    REG_SCR = 7,

    IER_RDI = 0x01,
    IER_THRI = 0x02,
    IER_RLSI = 0x04,
    IIR_NONE = 0x01,
    IIR_THRI = 0x02,
    IIR_RDI = 0x04,
    IIR_RLSI = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFO = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    LCR_DLAB = 0x80,
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    LSR_DR = 0x01,
    LSR_OE = 0x02,
    LSR_EMPTY = 0x60, /* holding register and shifter */
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,

    RX_RING = 64, /* the chip has 16; more saves wake-ups, nobody can tell */
};

struct serial {
    const struct irq *irq;
    unsigned gsi;
    void (*wake)(void *arg);
    void *wake_arg;

    pthread_mutex_t lock;
    uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
    bool overrun, thri_pending, line;
    uint8_t rx[RX_RING];
    size_t rx_at, rx_n;
    uint8_t out[SERIAL_OUT_RING];
    size_t out_at, out_n;
    uint64_t dropped;
};

struct serial *
serial_new(const struct irq *irq, unsigned gsi, void (*wake)(void *arg),
           void *arg)
{
    struct serial *s = xnew(struct serial);

    s->irq = irq;
    s->gsi = gsi;
    s->wake = wake;
    s->wake_arg = arg;
    s->dll = 1; /* 115200 */
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void
serial_free(struct serial *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static unsigned
trigger(const struct serial *s)
{
    static const uint8_t level[] = {1, 4, 8, 14};

    return s->fcr & FCR_ENABLE ? level[s->fcr >> 6] : 1;
}

/* The most urgent cause, in the chip's order. */
static uint8_t
cause(const struct serial *s)
{
    if ((s->ier & IER_RLSI) && s->overrun)
        return IIR_RLSI;
    if ((s->ier & IER_RDI) && s->rx_n > 0)
        return s->rx_n >= trigger(s) ? IIR_RDI : IIR_TIMEOUT;
    if ((s->ier & IER_THRI) && s->thri_pending)
        return IIR_THRI;
    return IIR_NONE;
}

static void
update_line(struct serial *s)
{
    /* On a PC the interrupt passes through OUT2. */
    bool level =
        cause(s) != IIR_NONE && (s->mcr & MCR_OUT2) && !(s->mcr & MCR_LOOP);

    if (level == s->line)
        return;
    s->line = level;
    if (irq_line(s->irq, s->gsi, level) < 0)
        log_limited(LOG_LEVEL_ERROR, "serial interrupt not delivered", "gsi=%u",
                    s->gsi);
}

static void
receive(struct serial *s, uint8_t c)
{
    if (s->rx_n == RX_RING) {
        s->overrun = true;
        return;
    }
    s->rx[(s->rx_at + s->rx_n++) % RX_RING] = c;
}

static void
transmit(struct serial *s, uint8_t c)
{
    s->thri_pending = true;
    if (s->mcr & MCR_LOOP) {
        receive(s, c);
        return;
    }
    if (s->out_n == SERIAL_OUT_RING) {
        s->dropped++;
        COUNT(vmm_serial_dropped);
        return;
    }
    s->out[(s->out_at + s->out_n++) % SERIAL_OUT_RING] = c;
    if (s->out_n == 1)
        s->wake(s->wake_arg);
}

static uint8_t
read_data(struct serial *s)
{
    uint8_t c;

    if (s->rx_n == 0)
        return 0;
    c = s->rx[s->rx_at];
    s->rx_at = (s->rx_at + 1) % RX_RING;
    if (s->rx_n-- == RX_RING)
        s->wake(s->wake_arg);
    return c;
}

static uint8_t
read_msr(const struct serial *s)
{
    uint8_t v = 0;

    if (!(s->mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD; /* somebody is always there */
    if (s->mcr & MCR_RTS)
        v |= MSR_CTS;
    if (s->mcr & MCR_DTR)
        v |= MSR_DSR;
    if (s->mcr & MCR_OUT1)
        v |= MSR_RI;
    if (s->mcr & MCR_OUT2)
        v |= MSR_DCD;
    return v;
}

static uint8_t
read_reg(struct serial *s, uint64_t reg)
{
    uint8_t v;

    switch (reg) {
    case REG_DATA:
        return s->lcr & LCR_DLAB ? s->dll : read_data(s);
    case REG_IER:
        return s->lcr & LCR_DLAB ? s->dlm : s->ier;
    case REG_IIR:
        v = cause(s);
        if (v == IIR_THRI)
            s->thri_pending = false; /* reading it is the answer */
        return v | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
    case REG_LCR:
        return s->lcr;
    case REG_MCR:
        return s->mcr;
    case REG_LSR:
        v = (uint8_t)(LSR_EMPTY | (s->rx_n ? LSR_DR : 0) |
                      (s->overrun ? LSR_OE : 0));
        s->overrun = false;
        return v;
    case REG_MSR:
        return read_msr(s);
    default:
        return s->scr;
    }
}

static void
write_reg(struct serial *s, uint64_t reg, uint8_t v)
{
    switch (reg) {
    case REG_DATA:
        if (s->lcr & LCR_DLAB)
            s->dll = v;
        else
            transmit(s, v);
        break;
    case REG_IER:
        if (s->lcr & LCR_DLAB) {
            s->dlm = v;
            break;
        }
        if (!(s->ier & IER_THRI) && (v & IER_THRI))
            s->thri_pending = true; /* the transmitter is empty now */
        s->ier = v & 0x0f;
        break;
    case REG_IIR:
        if (((v ^ s->fcr) & FCR_ENABLE) || (v & FCR_CLEAR_RX)) {
            bool full = s->rx_n == RX_RING;

            s->rx_n = 0;
            if (full)
                s->wake(s->wake_arg);
        }
        s->fcr = v & (FCR_ENABLE | 0xc0);
        break;
    case REG_LCR:
        s->lcr = v;
        break;
    case REG_MCR:
        s->mcr = v & 0x1f;
        break;
    case REG_SCR:
        s->scr = v;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

static uint64_t
bus_read(void *dev, uint64_t offset, unsigned size)
{
    struct serial *s = dev;
    uint8_t v;

    pthread_mutex_lock(&s->lock);
    v = read_reg(s, offset);
    update_line(s);
    pthread_mutex_unlock(&s->lock);
    return v;
}

static void
bus_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct serial *s = dev;

    pthread_mutex_lock(&s->lock);
    write_reg(s, offset, (uint8_t)value);
    update_line(s);
    pthread_mutex_unlock(&s->lock);
}

const struct bus_ops serial_bus_ops = {.name = "serial",
                                       .read = bus_read,
                                       .write = bus_write,
                                       .min_size = 1,
                                       .max_size = 1};

size_t
serial_output(struct serial *s, void *data, size_t cap)
{
    uint8_t *p = data;
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    while (n < cap && s->out_n > 0) {
        size_t run = MIN(cap - n, s->out_n);

        run = MIN(run, SERIAL_OUT_RING - s->out_at);
        memcpy(p + n, s->out + s->out_at, run);
        s->out_at = (s->out_at + run) % SERIAL_OUT_RING;
        s->out_n -= run;
        n += run;
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool
serial_has_output(struct serial *s)
{
    bool any;

    pthread_mutex_lock(&s->lock);
    any = s->out_n > 0;
    pthread_mutex_unlock(&s->lock);
    return any;
}

size_t
serial_room(struct serial *s)
{
    size_t n;

    pthread_mutex_lock(&s->lock);
    n = RX_RING - s->rx_n;
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t
serial_input(struct serial *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    size_t taken = 0;

    pthread_mutex_lock(&s->lock);
    /* In loopback the line is cut off from the outside. */
    while (taken < n && s->rx_n < RX_RING && !(s->mcr & MCR_LOOP))
        receive(s, p[taken++]);
    update_line(s);
    pthread_mutex_unlock(&s->lock);
    return taken;
}

uint64_t
serial_dropped(struct serial *s)
{
    uint64_t n;

    pthread_mutex_lock(&s->lock);
    n = s->dropped;
    pthread_mutex_unlock(&s->lock);
    return n;
}
