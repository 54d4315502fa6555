/* acpi.c - ACPI tables; see acpi.h. Section numbers are ACPI 6.4's. */
#include <config.h>

#include "hypervisor-backend/vmm/acpi.h"

#include <errno.h>
#include <string.h>

#include "hypervisor-backend/vmm/aml.h"
#include "hypervisor-backend/vmm/boot.h"
#include "hypervisor-backend/vmm/hotplug.h"
#include "hypervisor-backend/vmm/pci.h"
#include "hypervisor-backend/vmm/platform.h"

struct header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision;
    char creator[4];
    uint32_t creator_revision;
} __attribute__((packed));

/* A register's place: 5.2.3.2. */
struct gas {
    uint8_t space, bits, offset, access;
    uint64_t address;
} __attribute__((packed));

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t checksum_all, reserved[3];
} __attribute__((packed));

struct facs {
    char signature[4];
    uint32_t length, hardware_signature, waking_vector, lock, flags;
    uint64_t x_waking_vector;
    uint8_t version, reserved[31];
} __attribute__((packed, aligned(64)));

struct fadt {
    struct header h;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control;
    uint32_t pm2_control, pm_timer, gpe0, gpe1;
    uint8_t pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len;
    uint8_t gpe0_len, gpe1_len, gpe1_base, cst;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_arch;
    uint8_t reserved1;
    uint32_t flags;
    struct gas reset;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
    struct gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
    struct gas x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
    struct gas sleep_control, sleep_status;
    uint64_t hypervisor;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 36, "5.2.6");
_Static_assert(sizeof(struct facs) == 64, "5.2.10");
_Static_assert(sizeof(struct fadt) == 276, "5.2.9");

enum {
    SPACE_IO = 1,
    /* FADT flags, 5.2.9 table 5.10 */
    FADT_WBINVD = 1 << 0,
    FADT_C1 = 1 << 2,
    FADT_NO_FIXED_SLEEP_BUTTON = 1 << 5,
    FADT_RTC_NOT_FIXED = 1 << 6,
    FADT_RESET = 1 << 10,
    /* boot architecture flags, table 5.11 */
    BOOT_ARCH_LEGACY_DEVICES = 1 << 0,
    BOOT_ARCH_NO_VGA = 1 << 2,
    BOOT_ARCH_NO_ASPM = 1 << 4,
    RTC_CENTURY = 0x32,
    /* Notifications, table 5.184 */
    NOTIFY_DEVICE_CHECK = 1,
    NOTIFY_EJECT_REQUEST = 3,
};

struct build {
    struct gmem *g;
    uint64_t next; /* first free address */
};

static uint8_t
checksum(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)-sum;
}

static struct header
make_header(const char *signature, uint8_t revision, size_t length)
{
    struct header h = {.length = (uint32_t)length,
                       .revision = revision,
                       .oem_revision = 1,
                       .creator_revision = 1};

    memcpy(h.signature, signature, sizeof(h.signature));
    memcpy(h.oem, "VIRGA ", sizeof(h.oem));
    memcpy(h.oem_table, "VIRGAVMM", sizeof(h.oem_table));
    memcpy(h.creator, "VRGA", sizeof(h.creator));
    return h;
}

/* Places bytes at the next multiple of 64. */
static int
place(struct build *b, const void *data, size_t n, uint64_t *ret_at)
{
    uint64_t at = (b->next + 63) & ~UINT64_C(63);
    int r;

    if (n > BOOT_ACPI + BOOT_ACPI_SIZE - at)
        return -EFBIG;
    r = gmem_write(b->g, at, data, n);
    if (r < 0)
        return -EFBIG;
    b->next = at + n;
    *ret_at = at;
    return 0;
}

/* The same for a table: fills in its checksum. */
static int
place_table(struct build *b, void *table, size_t n, uint64_t *ret_at)
{
    struct header *h = table;

    h->checksum = 0;
    h->checksum = checksum(table, n);
    return place(b, table, n, ret_at);
}

static void
slot_name(char name[5], unsigned slot)
{
    snprintf(name, 5, "S%03X", slot);
}

/* 6.1.1, 6.1.8, 6.3.3: a slot whose device can go. */
static void
add_slot(struct buf *b, unsigned slot)
{
    size_t device, method;
    char name[5];

    slot_name(name, slot);
    device = aml_begin_device(b, name);
    aml_name(b, "_ADR");
    aml_integer(b, (uint64_t)slot << 16);
    aml_name(b, "_SUN");
    aml_integer(b, slot);
    method = aml_begin_method(b, "_EJ0", 1, false);
    aml_store(b);
    aml_integer(b, UINT64_C(1) << slot);
    aml_path(b, "HPEJ");
    aml_end(b, method);
    aml_end(b, device);
}

/* Tells the slots in Local<n> that something happened to them (5.6.6). */
static void
add_notifications(struct buf *b, unsigned n, unsigned what)
{
    for (unsigned slot = 1; slot < PCI_SLOTS; slot++) {
        size_t branch = aml_begin_if(b);
        char name[5];

        slot_name(name, slot);
        aml_local_and(b, n, UINT64_C(1) << slot);
        aml_notify(b);
        aml_path(b, name);
        aml_integer(b, what);
        aml_end(b, branch);
    }
}

/* Registers, slots and the method of the event; see hotplug.h. What was read
 * is cleared before it is acted on: what comes meanwhile is a new event. */
static void
add_hotplug(struct buf *b)
{
    static const char *const fields[] = {"HPUP", "HPDN"};
    size_t method;

    aml_port_region(b, "HPRG", PLATFORM_HOTPLUG_PORT, HOTPLUG_LEN);
    _Static_assert(HOTPLUG_UP == 0 && HOTPLUG_DOWN == 4 && HOTPLUG_EJECT == 8,
                   "the order of the fields");
    aml_dword_fields(b, "HPRG", "HPUPHPDNHPEJ");
    for (unsigned slot = 1; slot < PCI_SLOTS; slot++)
        add_slot(b, slot);
    method = aml_begin_method(b, "HPEV", 0, true);
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        aml_store(b);
        aml_path(b, fields[i]);
        aml_local(b, i);
        aml_store(b);
        aml_local(b, i);
        aml_path(b, fields[i]);
    }
    add_notifications(b, 0, NOTIFY_DEVICE_CHECK);
    add_notifications(b, 1, NOTIFY_EJECT_REQUEST);
    aml_end(b, method);
}

/* 5.6.4.1: edge-triggered, so that the status is cleared before it runs. */
static void
add_event(struct buf *b)
{
    size_t scope = aml_begin_scope(b, "\\_GPE"), method;

    _Static_assert(PLATFORM_HOTPLUG_GPE == 1, "the name of the method");
    method = aml_begin_method(b, "_E01", 0, false);
    aml_path(b, "\\_SB_.PCI0.HPEV");
    aml_end(b, method);
    aml_end(b, scope);
}

static void
add_pci(struct buf *b)
{
    struct aml_crs crs = {0};
    size_t device = aml_begin_device(b, "PCI0");

    aml_name(b, "_HID");
    aml_eisa_id(b, "PNP0A03");
    aml_name(b, "_UID");
    aml_integer(b, 0);
    aml_name(b, "_CRS");
    aml_crs_bus_range(&crs, 0, 0);
    aml_crs_io(&crs, 0xcf8, 8);
    aml_crs_io_window(&crs, 0x1000, 0xffff);
    aml_crs_memory_window(&crs, (uint32_t)PLATFORM_PCI_WINDOW,
                          (uint32_t)(PLATFORM_PCI_WINDOW_END - 1));
    aml_crs_end(b, &crs);
    add_hotplug(b);
    aml_end(b, device);
}

static void
add_serial(struct buf *b)
{
    struct aml_crs crs = {0};
    size_t device = aml_begin_device(b, "COM1");

    aml_name(b, "_HID");
    aml_eisa_id(b, "PNP0501");
    aml_name(b, "_UID");
    aml_integer(b, 0);
    aml_name(b, "_CRS");
    aml_crs_io(&crs, PLATFORM_SERIAL_PORT, 8);
    aml_crs_irq(&crs, PLATFORM_SERIAL_IRQ);
    aml_crs_end(b, &crs);
    aml_end(b, device);
}

/* The id that guests' drivers know; no other is bound to a port. */
static void
add_panic(struct buf *b)
{
    struct aml_crs crs = {0};
    size_t device = aml_begin_device(b, "PEVT");

    aml_name(b, "_HID");
    aml_string(b, "QEMU0001");
    aml_name(b, "_STA");
    aml_integer(b, 0xf);
    aml_name(b, "_CRS");
    aml_crs_io(&crs, PLATFORM_PVPANIC_PORT, 1);
    aml_crs_end(b, &crs);
    aml_end(b, device);
}

static int
build_dsdt(struct build *b, const struct acpi_config *cfg, uint64_t *ret_at)
{
    struct buf dsdt _cleanup_(buf_release) = {0};
    struct header h = make_header("DSDT", 2, 0);
    size_t scope, package;

    buf_add(&dsdt, &h, sizeof(h));
    aml_name(&dsdt, "_S5_");
    package = aml_begin_package(&dsdt, 4);
    aml_integer(&dsdt, PLATFORM_S5);
    aml_integer(&dsdt, PLATFORM_S5);
    aml_integer(&dsdt, 0);
    aml_integer(&dsdt, 0);
    aml_end(&dsdt, package);
    scope = aml_begin_scope(&dsdt, "\\_SB_");
    if (cfg->pci)
        add_pci(&dsdt);
    add_serial(&dsdt);
    add_panic(&dsdt);
    aml_end(&dsdt, scope);
    if (cfg->pci)
        add_event(&dsdt);
    h.length = (uint32_t)dsdt.len;
    memcpy(dsdt.data, &h, sizeof(h));
    return place_table(b, dsdt.data, dsdt.len, ret_at);
}

static int
build_fadt(struct build *b, uint64_t dsdt, uint64_t *ret_at)
{
    struct facs facs = {.length = sizeof(facs), .version = 2};
    struct fadt f = {
        .h = make_header("FACP", 6, sizeof(f)),
        .dsdt = (uint32_t)dsdt,
        .x_dsdt = dsdt,
        .profile = 4, /* enterprise server */
        .sci = PLATFORM_SCI_IRQ,
        .pm1a_event = PLATFORM_PM_PORT,
        .pm1a_control = PLATFORM_PM_PORT + 4,
        .pm1_event_len = 4,
        .pm1_control_len = 2,
        .gpe0 = PLATFORM_PM_PORT + PLATFORM_PM_GPE,
        .gpe0_len = 4,
        .c2_latency = 0xfff, /* neither state is there */
        .c3_latency = 0xfff,
        .century = RTC_CENTURY,
        .boot_arch =
            BOOT_ARCH_LEGACY_DEVICES | BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM,
        .flags = FADT_WBINVD | FADT_C1 | FADT_NO_FIXED_SLEEP_BUTTON |
                 FADT_RTC_NOT_FIXED | FADT_RESET,
        .reset = {SPACE_IO, 8, 0, 1, PLATFORM_I8042_PORT + 4},
        .reset_value = PLATFORM_I8042_RESET,
        .minor = 4,
        .x_pm1a_event = {SPACE_IO, 32, 0, 2, PLATFORM_PM_PORT},
        .x_pm1a_control = {SPACE_IO, 16, 0, 2, PLATFORM_PM_PORT + 4},
        .x_gpe0 = {SPACE_IO, 32, 0, 1, PLATFORM_PM_PORT + PLATFORM_PM_GPE},
        .hypervisor = UINT64_C(0x4147524956), /* "VIRGA" */
    };
    uint64_t facs_at;
    int r;

    memcpy(facs.signature, "FACS", sizeof(facs.signature));
    r = place(b, &facs, sizeof(facs), &facs_at);
    if (r < 0)
        return r;
    f.facs = (uint32_t)facs_at;
    return place_table(b, &f, sizeof(f), ret_at);
}

static void
put_le(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addc(b, (char)(v >> (8 * i)));
}

/* 5.2.12.5: an ISA line that is not where and what ISA lines are. */
static void
add_override(struct buf *b, uint8_t source, uint32_t gsi, uint16_t flags)
{
    buf_add(b, "\x02\x0a\x00", 3);
    put_le(b, source, 1);
    put_le(b, gsi, 4);
    put_le(b, flags, 2);
}

static int
build_madt(struct build *b, const struct acpi_config *cfg, uint64_t *ret_at)
{
    struct buf madt _cleanup_(buf_release) = {0};
    struct header h = make_header("APIC", 5, 0);

    buf_add(&madt, &h, sizeof(h));
    put_le(&madt, PLATFORM_LAPIC, 4);
    put_le(&madt, 1, 4); /* there are 8259s, too */
    for (unsigned i = 0; i < cfg->cpus; i++) {
        buf_add(&madt, "\x00\x08", 2);
        put_le(&madt, i, 1);
        put_le(&madt, i, 1);
        put_le(&madt, 1, 4); /* enabled */
    }
    buf_add(&madt, "\x01\x0c\x00\x00", 4);
    put_le(&madt, PLATFORM_IOAPIC, 4);
    put_le(&madt, 0, 4); /* its first line */
    /* The timer is on pin 2; the SCI is level, active high. */
    add_override(&madt, 0, 2, 0);
    add_override(&madt, PLATFORM_SCI_IRQ, PLATFORM_SCI_IRQ, 0xd);
    buf_add(&madt, "\x04\x06\xff\x00\x00\x01", 6); /* NMI at LINT1 of all */
    h.length = (uint32_t)madt.len;
    memcpy(madt.data, &h, sizeof(h));
    return place_table(b, madt.data, madt.len, ret_at);
}

int
acpi_build(struct gmem *g, const struct acpi_config *cfg, uint64_t *ret_rsdp)
{
    struct {
        struct header h;
        uint64_t tables[2];
    } __attribute__((packed))
    xsdt = {.h = make_header("XSDT", 1, sizeof(xsdt))};
    struct rsdp rsdp = {.revision = 2, .length = sizeof(rsdp)};
    /* The RSDP comes first, where a scan finds it. */
    struct build b = {.g = g, .next = BOOT_ACPI + sizeof(rsdp)};
    uint64_t dsdt = 0, fadt = 0, madt = 0, at = 0;
    int r;

    r = build_dsdt(&b, cfg, &dsdt);
    if (r == 0)
        r = build_fadt(&b, dsdt, &fadt);
    if (r == 0)
        r = build_madt(&b, cfg, &madt);
    if (r < 0)
        return r;
    xsdt.tables[0] = fadt;
    xsdt.tables[1] = madt;
    r = place_table(&b, &xsdt, sizeof(xsdt), &at);
    if (r < 0)
        return r;
    memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
    memcpy(rsdp.oem, "VIRGA ", sizeof(rsdp.oem));
    rsdp.xsdt = at;
    rsdp.checksum = checksum(&rsdp, offsetof(struct rsdp, length));
    rsdp.checksum_all = checksum(&rsdp, sizeof(rsdp));
    r = gmem_write(g, BOOT_ACPI, &rsdp, sizeof(rsdp));
    if (r < 0)
        return -EFBIG;
    *ret_rsdp = BOOT_ACPI;
    return 0;
}
