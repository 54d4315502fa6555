/* pm.c - ACPI power management and the panic port; see pm.h. */
#include <config.h>

#include "hypervisor-backend/vmm/pm.h"

#include <pthread.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/platform.h"

enum {
    REG_STATUS = 0,
    REG_ENABLE = 2,
    REG_CONTROL = 4,
    REG_GPE_STATUS = PLATFORM_PM_GPE,
    REG_GPE_ENABLE = PLATFORM_PM_GPE + 2,
    STATUS_POWER_BUTTON = 1 << 8,
    /* Global lock, power button, clock alarm: the last is never raised, but
     * drivers check that they can enable it. */
    ENABLE_MASK = 1 << 5 | 1 << 8 | 1 << 10,
    CONTROL_ACPI = 1 << 0, /* the SCI is in use, always */
    CONTROL_TYPE_SHIFT = 10,
    CONTROL_TYPE_MASK = 7 << CONTROL_TYPE_SHIFT,
    CONTROL_SLEEP = 1 << 13,
    PANIC_PANICKED = 1 << 0,
    PANIC_CRASH_KERNEL = 1 << 1, /* told, but the guest saves its memory */
};

struct pm {
    const struct irq *irq;
    unsigned gsi;
    const struct end_sink *sink;
    pthread_mutex_t lock;
    uint16_t status, enable, control;
    uint16_t gpe_status, gpe_enable;
    bool line;
};

struct pm *
pm_new(const struct irq *irq, unsigned gsi, const struct end_sink *sink)
{
    struct pm *p = xnew(struct pm);

    p->irq = irq;
    p->gsi = gsi;
    p->sink = sink;
    p->control = CONTROL_ACPI;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void
pm_free(struct pm *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void
update_line(struct pm *p)
{
    bool level =
        ((p->status & p->enable) | (p->gpe_status & p->gpe_enable)) != 0;

    if (level == p->line)
        return;
    p->line = level;
    if (irq_line(p->irq, p->gsi, level) < 0)
        log_limited(LOG_LEVEL_ERROR, "power management interrupt not delivered",
                    "gsi=%u", p->gsi);
}

void
pm_power_button(struct pm *p)
{
    pthread_mutex_lock(&p->lock);
    p->status |= STATUS_POWER_BUTTON;
    update_line(p);
    pthread_mutex_unlock(&p->lock);
}

void
pm_gpe(struct pm *p, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    p->gpe_status |= (uint16_t)(1U << n);
    update_line(p);
    pthread_mutex_unlock(&p->lock);
}

/* Registers as the bytes that they are: the guest may take them one by one,
 * or status and enable in one. */
static void
to_bytes(const struct pm *p, uint8_t b[PLATFORM_PM_LEN])
{
    memset(b, 0, PLATFORM_PM_LEN);
    memcpy(b + REG_STATUS, &p->status, 2);
    memcpy(b + REG_ENABLE, &p->enable, 2);
    memcpy(b + REG_CONTROL, &p->control, 2);
    memcpy(b + REG_GPE_STATUS, &p->gpe_status, 2);
    memcpy(b + REG_GPE_ENABLE, &p->gpe_enable, 2);
}

static uint64_t
pm_read(void *dev, uint64_t offset, unsigned size)
{
    struct pm *p = dev;
    uint8_t b[PLATFORM_PM_LEN];
    uint64_t v = 0;

    pthread_mutex_lock(&p->lock);
    to_bytes(p, b);
    pthread_mutex_unlock(&p->lock);
    memcpy(&v, b + offset, size); /* the bus holds offset + size in range */
    return v;
}

static void
pm_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct pm *p = dev;
    uint8_t b[PLATFORM_PM_LEN];
    uint16_t clear, enable, control, gpe_clear;
    bool off;

    pthread_mutex_lock(&p->lock);
    to_bytes(p, b);
    /* Of the status bits ones clear, zeros leave. */
    b[REG_STATUS] = b[REG_STATUS + 1] = 0;
    b[REG_GPE_STATUS] = b[REG_GPE_STATUS + 1] = 0;
    memcpy(b + offset, &value, size);
    memcpy(&clear, b + REG_STATUS, 2);
    memcpy(&enable, b + REG_ENABLE, 2);
    memcpy(&control, b + REG_CONTROL, 2);
    memcpy(&gpe_clear, b + REG_GPE_STATUS, 2);
    memcpy(&p->gpe_enable, b + REG_GPE_ENABLE, 2);
    p->gpe_status &= (uint16_t)~gpe_clear;
    p->status &= (uint16_t)~clear;
    p->enable = enable & ENABLE_MASK;
    /* The sleep bit reads as zero. */
    p->control = (control & CONTROL_TYPE_MASK) | CONTROL_ACPI;
    off = (control & CONTROL_SLEEP) &&
          (control & CONTROL_TYPE_MASK) >> CONTROL_TYPE_SHIFT == PLATFORM_S5;
    update_line(p);
    pthread_mutex_unlock(&p->lock);
    if (off)
        end_tell(p->sink, VM_END_POWEROFF);
}

const struct bus_ops pm_bus_ops = {.name = "pm",
                                   .read = pm_read,
                                   .write = pm_write,
                                   .min_size = 1,
                                   .max_size = 4};

static uint64_t
pvpanic_read(void *dev, uint64_t offset, unsigned size)
{
    return PANIC_PANICKED | PANIC_CRASH_KERNEL; /* what it understands */
}

static void
pvpanic_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    if (value & PANIC_PANICKED)
        end_tell(dev, VM_END_PANIC);
    else if (value & PANIC_CRASH_KERNEL)
        log_limited(LOG_LEVEL_WARN, "guest panicked, its crash kernel runs",
                    "port=0x%x", PLATFORM_PVPANIC_PORT);
}

const struct bus_ops pvpanic_bus_ops = {.name = "pvpanic",
                                        .read = pvpanic_read,
                                        .write = pvpanic_write,
                                        .min_size = 1,
                                        .max_size = 1};
