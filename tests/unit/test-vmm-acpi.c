/* test-vmm-acpi.c - tables found, summed and read as a guest would. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/mem.h"
#include "common/proc.h"
#include "hypervisor-backend/vmm/acpi.h"
#include "hypervisor-backend/vmm/aml.h"
#include "hypervisor-backend/vmm/boot.h"
#include "hypervisor-backend/vmm/platform.h"

static struct gmem *
make(unsigned cpus)
{
    struct gmem_options o = {0};
    struct gmem *g = NULL;
    uint64_t rsdp = 0;

    assert_int_equal(gmem_new(2 << 20, &o, &g, NULL), 0);
    assert_int_equal(
        acpi_build(g, &(struct acpi_config){.cpus = cpus, .pci = true}, &rsdp),
        0);
    assert_int_equal(rsdp, BOOT_ACPI);
    return g;
}

static uint64_t
le(const struct gmem *g, uint64_t at, size_t n)
{
    uint64_t v = 0;

    assert_int_equal(gmem_read(g, at, &v, n), 0);
    return v;
}

static void
assert_sum(const struct gmem *g, uint64_t at, size_t n)
{
    const unsigned char *p = gmem_ptr(g, at, n);
    unsigned char sum = 0;

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        sum = (unsigned char)(sum + p[i]);
    assert_int_equal(sum, 0);
}

/* A table by its signature, through RSDP and XSDT; all are summed. */
static uint64_t
find(const struct gmem *g, const char *signature)
{
    uint64_t xsdt = le(g, BOOT_ACPI + 24, 8), found = 0;
    size_t n;

    assert_sum(g, BOOT_ACPI, 20);
    assert_sum(g, BOOT_ACPI, 36);
    n = le(g, xsdt + 4, 4);
    assert_sum(g, xsdt, n);
    for (uint64_t at = xsdt + 36; at < xsdt + n; at += 8) {
        uint64_t t = le(g, at, 8);

        assert_sum(g, t, le(g, t + 4, 4));
        if (memcmp(gmem_ptr(g, t, 4), signature, 4) == 0)
            found = t;
        if (memcmp(gmem_ptr(g, t, 4), "FACP", 4) == 0) {
            uint64_t dsdt = le(g, t + 140, 8);

            assert_int_equal(dsdt, le(g, t + 40, 4));
            assert_sum(g, dsdt, le(g, dsdt + 4, 4));
            if (strcmp(signature, "DSDT") == 0)
                found = dsdt;
        }
    }
    assert_true(found != 0);
    return found;
}

static void
fadt__power_management_where_the_device_is(void **state)
{
    struct gmem *g = make(1);
    uint64_t t = find(g, "FACP");

    assert_int_equal(le(g, t + 4, 4), 276);
    assert_int_equal(le(g, t + 46, 2), PLATFORM_SCI_IRQ);
    assert_int_equal(le(g, t + 48, 4), 0); /* always in ACPI mode */
    assert_int_equal(le(g, t + 56, 4), PLATFORM_PM_PORT);
    assert_int_equal(le(g, t + 64, 4), PLATFORM_PM_PORT + 4);
    assert_int_equal(le(g, t + 88, 1), 4);
    assert_int_equal(le(g, t + 89, 1), 2);
    assert_int_equal(le(g, t + 112, 4) & (1 << 4), 0);  /* power button */
    assert_int_equal(le(g, t + 112, 4) & (1 << 20), 0); /* not reduced */
    assert_true(le(g, t + 112, 4) & (1 << 10));         /* reset register */
    assert_int_equal(le(g, t + 116, 1), 1);             /* a port */
    assert_int_equal(le(g, t + 120, 8), 0x64);
    assert_int_equal(le(g, t + 128, 1), PLATFORM_I8042_RESET);
    assert_int_equal(le(g, t + 152, 8), PLATFORM_PM_PORT);
    assert_int_equal(le(g, t + 176, 8), PLATFORM_PM_PORT + 4);
    assert_int_equal(le(g, t + 80, 4), PLATFORM_PM_PORT + PLATFORM_PM_GPE);
    assert_int_equal(le(g, t + 92, 1), 4); /* status and enable, 16 events */
    assert_int_equal(le(g, t + 224, 8), PLATFORM_PM_PORT + PLATFORM_PM_GPE);
    /* FACS: aligned to 64, and itself. */
    assert_int_equal(le(g, t + 36, 4) % 64, 0);
    assert_memory_equal(gmem_ptr(g, le(g, t + 36, 4), 4), "FACS", 4);
    gmem_free(g);
}

static void
madt__one_local_apic_per_cpu(void **state)
{
    static const unsigned counts[] = {1, 2, PLATFORM_MAX_CPUS};

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        struct gmem *g = make(counts[i]);
        uint64_t t = find(g, "APIC"), end = t + le(g, t + 4, 4);
        unsigned cpus = 0, ioapics = 0, timer = 0, sci = 0;

        assert_int_equal(le(g, t + 36, 4), PLATFORM_LAPIC);
        for (uint64_t at = t + 44; at < end; at += le(g, at + 1, 1)) {
            assert_true(le(g, at + 1, 1) >= 2);
            switch (le(g, at, 1)) {
            case 0:
                assert_int_equal(le(g, at + 3, 1), cpus);
                assert_int_equal(le(g, at + 4, 4), 1);
                cpus++;
                break;
            case 1:
                assert_int_equal(le(g, at + 4, 4), PLATFORM_IOAPIC);
                ioapics++;
                break;
            case 2:
                timer += le(g, at + 3, 1) == 0 && le(g, at + 4, 4) == 2;
                sci += le(g, at + 3, 1) == 9 && le(g, at + 4, 4) == 9 &&
                       le(g, at + 8, 2) == 0xd;
                break;
            }
        }
        assert_int_equal(cpus, counts[i]);
        assert_int_equal(ioapics, 1);
        assert_int_equal(timer, 1);
        assert_int_equal(sci, 1);
        gmem_free(g);
    }
}

static void
build__memory_without_room_refused(void **state)
{
    struct gmem_options o = {0};
    struct gmem *g = NULL;
    uint64_t rsdp = 7;

    /* A machine of 1 MiB has the room; more CPUs than there can be do not. */
    assert_int_equal(gmem_new(1 << 20, &o, &g, NULL), 0);
    assert_int_equal(acpi_build(g, &(struct acpi_config){.cpus = 1}, &rsdp), 0);
    rsdp = 7;
    assert_int_equal(acpi_build(g, &(struct acpi_config){.cpus = 20000}, &rsdp),
                     -EFBIG);
    assert_int_equal(rsdp, 7);
    gmem_free(g);
}

static void
aml__encodings_as_specified(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    size_t at;

    aml_integer(&b, 0);
    aml_integer(&b, 1);
    aml_integer(&b, 2);
    aml_integer(&b, 0x1234);
    aml_integer(&b, 0x12345678);
    aml_integer(&b, UINT64_C(0x123456789abcdef0));
    assert_int_equal(b.len, 1 + 1 + 2 + 3 + 5 + 9);
    assert_memory_equal(b.data,
                        "\x00\x01\x0a\x02\x0b\x34\x12\x0c\x78\x56\x34\x12"
                        "\x0e\xf0\xde\xbc\x9a\x78\x56\x34\x12",
                        21);
    buf_clear(&b);
    aml_eisa_id(&b, "PNP0A03");
    assert_memory_equal(b.data, "\x0c\x41\xd0\x0a\x03", 5);
    buf_clear(&b);
    at = aml_begin_package(&b, 2);
    aml_string(&b, "x");
    aml_integer(&b, 1);
    aml_end(&b, at);
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "\x12\x88\x00\x00\x02\x0dx\x00\x01", 9);
}

/* The reference disassembler must understand the DSDT. */
static void
dsdt__iasl_reads_it(void **state)
{
    const char *probe[] = {"iasl", "-v", NULL};
    char dir[] = "/tmp/virga-acpi-XXXXXX";
    struct buf out _cleanup_(buf_release) = {0};
    struct buf text _cleanup_(buf_release) = {0};
    char *aml _cleanup_(freep) = NULL;
    char *dsl _cleanup_(freep) = NULL;
    struct err err = {0};
    struct gmem *g;
    uint64_t t;

    if (proc_run(probe, 5000, NULL, NULL) == -ENOENT) {
        print_message("iasl (package acpica-tools) is not installed\n");
        skip();
    }
    g = make(2);
    t = find(g, "DSDT");
    assert_non_null(mkdtemp(dir));
    aml = xasprintf("%s/dsdt.aml", dir);
    dsl = xasprintf("%s/dsdt.dsl", dir);
    assert_int_equal(fs_write_atomic(aml, gmem_ptr(g, t, le(g, t + 4, 4)),
                                     le(g, t + 4, 4), 0600, &err),
                     0);
    const char *argv[] = {"iasl", "-d", aml, NULL};
    assert_int_equal(proc_run(argv, 20000, &out, &err), 0);
    assert_int_equal(fs_read(dsl, 1 << 20, &text, &err), 0);
    static const char *const want[] = {"Name (_S5",
                                       "Device (PCI0)",
                                       "\"PNP0A03\"",
                                       "WordBusNumber",
                                       "WordIO",
                                       "0xD0000000",
                                       "0xFDFFFFFF",
                                       "Device (COM1)",
                                       "\"PNP0501\"",
                                       "0x03F8",
                                       "IRQNoFlags ()",
                                       "Device (PEVT)",
                                       "\"QEMU0001\"",
                                       "SystemIO, 0x0610, 0x0C",
                                       "HPDN,   32",
                                       "Device (S01F)",
                                       "Name (_ADR, 0x001F0000)",
                                       "Name (_SUN, 0x1F)",
                                       "HPEJ = 0x80000000",
                                       "If ((Local0 & 0x80000000))",
                                       "Notify (S01F, One)",
                                       "Notify (S01F, 0x03)",
                                       "Scope (\\_GPE)",
                                       "Method (_E01, 0, NotSerialized)",
                                       "_SB.PCI0.HPEV ()"};
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        if (!strstr(buf_str(&text), want[i]))
            fail_msg("no %s in:\n%s", want[i], buf_str(&text));
    /* And compile what it read again, without an error. */
    const char *again[] = {"iasl", "-ve", dsl, NULL};
    if (proc_run(again, 20000, &out, &err) < 0)
        fail_msg("%s\n%s", err.message, buf_str(&out));
    assert_int_equal(fs_remove_tree(dir, &err), 0);
    gmem_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fadt__power_management_where_the_device_is),
        cmocka_unit_test(madt__one_local_apic_per_cpu),
        cmocka_unit_test(build__memory_without_room_refused),
        cmocka_unit_test(aml__encodings_as_specified),
        cmocka_unit_test(dsdt__iasl_reads_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
