/* msix.c - MSI-X; see msix.h. */
#include <config.h>

#include "hypervisor-backend/vmm/msix.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

enum {
    CAP_ID = 0x11,
    CONTROL = 2, /* in the capability */
    CONTROL_ENABLE = 0x8000,
    CONTROL_MASK_ALL = 0x4000,
    ENTRY_SIZE = 16,
    VECTOR_MASKED = 1,
};

struct vector {
    uint64_t address;
    uint32_t data, control;
    int fd;         /* eventfd coupled with the message, or -1 */
    bool no_fd;     /* coupling failed once: messages from now on */
    bool fd_stale;  /* the entry changed since it was coupled */
    bool fd_active; /* the other end knows of it */
};

struct msix {
    pthread_mutex_t lock;
    const struct irq *irq;
    struct pci *pci;
    struct pci_dev *dev;
    unsigned cap, n, first_slot;
    uint32_t table, pba; /* offsets in the BAR */
    bool enabled, mask_all;
    uint64_t pending;
    struct vector v[];
};

static void
couple(struct msix *m, unsigned i)
{
    struct vector *v = &m->v[i];
    const struct irq_ops *ops = m->irq->ops;
    int r;

    if (!ops->msi_eventfd || v->no_fd || !v->fd_stale)
        return;
    if (v->fd < 0)
        v->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = v->fd < 0 ? -errno
                  : ops->msi_eventfd(m->irq->self, m->first_slot + i, v->fd,
                                     v->address, v->data);
    if (r < 0) {
        log_limited(LOG_LEVEL_WARN, "interrupt is sent without an eventfd",
                    "vector=%u errno=%d", i, -r);
        v->no_fd = true;
        if (v->fd >= 0)
            close(v->fd);
        v->fd = -1;
        return;
    }
    v->fd_active = true;
    v->fd_stale = false;
}

static bool
held_back(const struct msix *m, unsigned i)
{
    return !m->enabled || m->mask_all || (m->v[i].control & VECTOR_MASKED) ||
           !pci_dev_bus_master(m->dev);
}

/* Sends vector i if nothing holds it back, else notes it as pending. */
static int
deliver(struct msix *m, unsigned i)
{
    struct vector *v = &m->v[i];
    uint64_t one = 1;

    if (held_back(m, i)) {
        m->pending |= UINT64_C(1) << i;
        return 0;
    }
    m->pending &= ~(UINT64_C(1) << i);
    couple(m, i);
    if (v->fd_active && v->fd >= 0) {
        /* EAGAIN: the counter is full, the edge is pending there already. */
        if (write(v->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
            return -errno;
        return 0;
    }
    return irq_msi(m->irq, v->address, v->data);
}

static void
deliver_pending(struct msix *m)
{
    uint64_t todo = m->pending;

    while (todo) {
        unsigned i = (unsigned)__builtin_ctzll(todo);
        int r;

        todo &= todo - 1;
        r = deliver(m, i);
        if (r < 0)
            log_limited(LOG_LEVEL_ERROR, "interrupt was lost",
                        "vector=%u errno=%d", i, -r);
    }
}

int
msix_new(struct pci *p, struct pci_dev *d, unsigned n_vectors, unsigned bar,
         uint32_t table, uint32_t pba, struct msix **ret)
{
    uint8_t body[10], writable[10] = {0, 0xc0};
    uint16_t size;
    /* The BAR indicator counts registers and ours take two each. */
    uint32_t t = table | 2 * bar, b = pba | 2 * bar;
    struct msix *m;
    int r;

    if (!n_vectors || n_vectors > MSIX_MAX || bar >= PCI_BARS ||
        (table | pba) & 0xfff)
        return -EINVAL;
    size = (uint16_t)(n_vectors - 1);
    memcpy(body, &size, sizeof(size));
    memcpy(body + 2, &t, sizeof(t));
    memcpy(body + 6, &b, sizeof(b));
    r = pci_dev_cap(d, CAP_ID, body, sizeof(body), writable);
    if (r < 0)
        return r;
    m = xcalloc(1, sizeof(*m) + n_vectors * sizeof(m->v[0]));
    pthread_mutex_init(&m->lock, NULL);
    m->irq = pci_irq(p);
    m->pci = p;
    m->dev = d;
    m->cap = (unsigned)r;
    m->n = n_vectors;
    m->table = table;
    m->pba = pba;
    r = pci_take_irq_slots(p, n_vectors, &m->first_slot);
    if (r < 0) {
        pthread_mutex_destroy(&m->lock);
        free(m);
        return r;
    }
    for (unsigned i = 0; i < n_vectors; i++)
        m->v[i] = (struct vector){
            .control = VECTOR_MASKED, .fd = -1, .fd_stale = true};
    *ret = m;
    return 0;
}

void
msix_free(struct msix *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < m->n; i++) {
        if (m->v[i].fd_active)
            (void)m->irq->ops->msi_eventfd(m->irq->self, m->first_slot + i, -1,
                                           0, 0);
        closep(&m->v[i].fd);
    }
    pci_give_irq_slots(m->pci, m->first_slot, m->n);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

unsigned
msix_count(const struct msix *m)
{
    return m->n;
}

bool
msix_enabled(struct msix *m)
{
    pthread_mutex_lock(&m->lock);
    bool on = m->enabled;
    pthread_mutex_unlock(&m->lock);
    return on;
}

/* Section 6.8.2: only aligned accesses of 4 or 8 bytes are defined; others
 * read as ones and write nothing. */
static bool
access_ok(uint64_t at, unsigned size)
{
    return (size == 4 || size == 8) && at % size == 0;
}

static uint32_t *
entry_word(struct vector *v, unsigned word, uint32_t *scratch)
{
    switch (word) {
    case 2:
        return &v->data;
    case 3:
        return &v->control;
    default:
        *scratch = (uint32_t)(v->address >> (32 * word));
        return scratch;
    }
}

bool
msix_read(struct msix *m, uint64_t offset, unsigned size, uint64_t *ret)
{
    uint64_t value = UINT64_MAX;
    uint32_t scratch;

    if (offset >= m->table && offset - m->table < 0x1000) {
        uint64_t at = offset - m->table;

        pthread_mutex_lock(&m->lock);
        if (access_ok(at, size) && at / ENTRY_SIZE < m->n) {
            struct vector *v = &m->v[at / ENTRY_SIZE];
            unsigned word = (unsigned)(at % ENTRY_SIZE) / 4;

            value = *entry_word(v, word, &scratch);
            if (size == 8)
                value |= (uint64_t)*entry_word(v, word + 1, &scratch) << 32;
        }
        pthread_mutex_unlock(&m->lock);
    } else if (offset >= m->pba && offset - m->pba < 0x1000) {
        uint64_t at = offset - m->pba;

        pthread_mutex_lock(&m->lock);
        if (access_ok(at, size) && at < sizeof(m->pending))
            value = m->pending >> (8 * at);
        pthread_mutex_unlock(&m->lock);
    } else {
        return false;
    }
    *ret = size == 8 ? value : value & UINT32_MAX;
    return true;
}

static void
write_word(struct vector *v, unsigned word, uint32_t value)
{
    switch (word) {
    case 0:
        /* The two low bits must be zero (DWORD aligned). */
        v->address = (v->address & ~UINT64_C(0xffffffff)) | (value & ~3U);
        break;
    case 1:
        v->address = (v->address & UINT64_C(0xffffffff)) | (uint64_t)value
                                                               << 32;
        break;
    case 2:
        v->data = value;
        break;
    default:
        v->control = value & VECTOR_MASKED;
        return;
    }
    v->fd_stale = true;
}

bool
msix_write(struct msix *m, uint64_t offset, unsigned size, uint64_t value)
{
    uint64_t at = offset - m->table;

    if (offset >= m->pba && offset - m->pba < 0x1000)
        return true; /* read-only */
    if (offset < m->table || at >= 0x1000)
        return false;
    pthread_mutex_lock(&m->lock);
    if (access_ok(at, size) && at / ENTRY_SIZE < m->n) {
        struct vector *v = &m->v[at / ENTRY_SIZE];
        unsigned word = (unsigned)(at % ENTRY_SIZE) / 4;

        write_word(v, word, (uint32_t)value);
        if (size == 8)
            write_word(v, word + 1, (uint32_t)(value >> 32));
        deliver_pending(m);
    } else {
        COUNT(vmm_msix_bad_access);
    }
    pthread_mutex_unlock(&m->lock);
    return true;
}

void
msix_config_write(struct msix *m)
{
    uint16_t control;

    memcpy(&control, pci_dev_config(m->dev) + m->cap + CONTROL,
           sizeof(control));
    pthread_mutex_lock(&m->lock);
    m->enabled = (control & CONTROL_ENABLE) != 0;
    m->mask_all = (control & CONTROL_MASK_ALL) != 0;
    if (m->enabled)
        deliver_pending(m);
    else
        m->pending = 0;
    pthread_mutex_unlock(&m->lock);
}

int
msix_vector_fd(struct msix *m, unsigned vector)
{
    int fd = -1;

    if (vector >= m->n)
        return -1;
    pthread_mutex_lock(&m->lock);
    if (!held_back(m, vector)) {
        couple(m, vector);
        if (m->v[vector].fd_active)
            fd = m->v[vector].fd;
    }
    pthread_mutex_unlock(&m->lock);
    return fd;
}

int
msix_raise(struct msix *m, unsigned vector)
{
    int r = 0;

    if (vector >= m->n)
        return -EINVAL;
    pthread_mutex_lock(&m->lock);
    /* While MSI-X is off nothing may wait for it: the driver polls. */
    if (m->enabled)
        r = deliver(m, vector);
    pthread_mutex_unlock(&m->lock);
    return r;
}
