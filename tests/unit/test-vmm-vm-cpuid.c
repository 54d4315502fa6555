/* test-vmm-vm-cpuid.c - what a guest's processor says of itself. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/kvm.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/cpuid.h"

#define LEAF(f, i, a, b, c, d)                                                 \
    {                                                                          \
        .function = (f), .index = (i), .eax = (a), .ebx = (b), .ecx = (c),     \
        .edx = (d)                                                             \
    }

/* A host that has everything. */
static struct kvm_cpuid2 *
host(void)
{
    static const struct kvm_cpuid_entry2 all[] = {
        LEAF(0, 0, 0x1f, 1, 2, 3),
        LEAF(1, 0, 0x663, 0xff1008ff, ~0u, ~0u),
        LEAF(4, 0, 0xfc004121, ~0u, 63, 0),
        LEAF(4, 3, 0xfc03c163, ~0u, 63, 0),
        LEAF(4, 4, 0, 0, 0, 0),
        LEAF(6, 0, ~0u, ~0u, ~0u, ~0u),
        LEAF(7, 0, 2, ~0u, ~0u, ~0u),
        LEAF(7, 1, ~0u, ~0u, ~0u, ~0u),
        LEAF(0xa, 0, ~0u, ~0u, ~0u, ~0u),
        LEAF(0xb, 0, 1, 2, 0x100, 77),
        LEAF(0xb, 1, 5, 32, 0x201, 77),
        LEAF(0xd, 0, 7, 0x340, 0x340, 0),
        LEAF(0x12, 0, ~0u, ~0u, ~0u, ~0u),
        LEAF(0x14, 0, ~0u, ~0u, ~0u, ~0u),
        LEAF(0x1f, 0, 1, 2, 0x100, 77),
        LEAF(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
        LEAF(0x40000001, 0, 0x1007afb, 0, 0, 0),
        LEAF(0x80000000, 0, 0x8000001f, 0, 0, 0),
        LEAF(0x80000001, 0, 0x663, 0, ~0u, ~0u),
        LEAF(0x80000008, 0, 0x302e, ~0u, 0xf07f, 0),
        LEAF(0x8000000a, 0, 1, 8, 0, ~0u),
        LEAF(0x8000001d, 0, 0x4121, 0, 0, 0),
        LEAF(0x8000001e, 0, 77, 77, 77, 77),
        LEAF(0x8000001f, 0, ~0u, ~0u, ~0u, ~0u),
    };
    struct kvm_cpuid2 *c =
        xcalloc(1, sizeof(*c) + sizeof(all) + CPUID_SPARE * sizeof(all[0]));

    c->nent = ARRAY_SIZE(all);
    memcpy(c->entries, all, sizeof(all));
    return c;
}

static const struct kvm_cpuid_entry2 *
leaf(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
    const struct kvm_cpuid_entry2 *found = NULL;

    for (uint32_t i = 0; i < c->nent; i++)
        if (c->entries[i].function == function &&
            c->entries[i].index == index) {
            assert_null(found); /* each once */
            found = &c->entries[i];
        }
    return found;
}

static void
prepare__hides_what_guests_must_not_see(void **state)
{
    static const uint32_t zero[] = {0xa, 0x12, 0x14, 0x8000000a, 0x8000001f};
    struct kvm_cpuid2 *c = host();

    cpuid_prepare(c, 0, 1, false);
    for (size_t i = 0; i < ARRAY_SIZE(zero); i++) {
        const struct kvm_cpuid_entry2 *e = leaf(c, zero[i], 0);

        assert_non_null(e);
        assert_int_equal(e->eax | e->ebx | e->ecx | e->edx, 0);
    }
    assert_int_equal(leaf(c, 1, 0)->ecx & (1 << 5 | 1 << 3), 0); /* VMX */
    assert_int_equal(leaf(c, 1, 0)->ecx & 1 << 24, 0); /* no such timer */
    assert_int_equal(leaf(c, 1, 0)->ecx & 1u << 31, 1u << 31);
    assert_int_equal(leaf(c, 0x80000001, 0)->ecx & 1 << 2, 0); /* SVM */
    assert_int_equal(leaf(c, 6, 0)->eax, 1 << 2);
    assert_int_equal(leaf(c, 7, 0)->ebx & (1 << 2 | 1 << 25), 0);
    /* The rest stays: AVX2, the second part of 7, KVM's own, XSAVE. */
    assert_int_equal(leaf(c, 7, 0)->ebx & 1 << 5, 1 << 5);
    assert_int_equal(leaf(c, 7, 1)->eax, ~0u);
    assert_int_equal(leaf(c, 0x40000001, 0)->eax, 0x1007afb);
    assert_int_equal(leaf(c, 0x40000000, 0)->ebx, 0x4b4d564b);
    assert_int_equal(leaf(c, 0xd, 0)->ecx, 0x340);
    assert_null(leaf(c, 0x1f, 0));
    free(c);
}

static void
prepare__topology_is_one_package_of_cores(void **state)
{
    static const struct {
        unsigned cpus, bits;
    } sizes[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {33, 6}, {64, 6}};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        unsigned n = sizes[i].cpus, bits = sizes[i].bits, id = n - 1;
        struct kvm_cpuid2 *c = host();
        const struct kvm_cpuid_entry2 *e;

        cpuid_prepare(c, id, n, true);
        e = leaf(c, 1, 0);
        assert_int_equal(e->ebx >> 24, id);
        assert_int_equal(e->ebx >> 16 & 0xff, 1 << bits);
        assert_int_equal(e->ebx & 0xffff, 0x08ff);
        assert_int_equal(e->edx >> 28 & 1, n > 1);
        assert_int_equal(e->ecx >> 24 & 1, 1);
        e = leaf(c, 0xb, 0);
        assert_int_equal(e->eax, 0);
        assert_int_equal(e->ebx, 1);
        assert_int_equal(e->ecx, 0x100);
        assert_int_equal(e->edx, id);
        e = leaf(c, 0xb, 1);
        assert_int_equal(e->eax, bits);
        assert_int_equal(e->ebx, n);
        assert_int_equal(e->ecx, 0x201);
        assert_int_equal(e->edx, id);
        e = leaf(c, 0xb, 2);
        assert_int_equal(e->ecx, 2);
        assert_true(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
        e = leaf(c, 4, 0); /* level 1 is a core's own */
        assert_int_equal(e->eax >> 14 & 0xfff, 0);
        assert_int_equal(e->eax >> 26, (1 << bits) - 1);
        e = leaf(c, 4, 3); /* level 3 is everyone's */
        assert_int_equal(e->eax >> 14 & 0xfff, (1 << bits) - 1);
        assert_int_equal(leaf(c, 4, 4)->eax, 0);
        assert_int_equal(leaf(c, 0x80000008, 0)->ecx, bits << 12 | (n - 1));
        assert_int_equal(leaf(c, 0x80000008, 0)->eax, 0x302e);
        assert_int_equal(leaf(c, 0x8000001e, 0)->eax, id);
        free(c);
    }
}

static void
prepare__old_processor_gets_no_topology_leaf(void **state)
{
    struct kvm_cpuid2 *c = host();

    c->entries[0].eax = 0xa;
    cpuid_prepare(c, 0, 4, true);
    assert_null(leaf(c, 0xb, 0));
    assert_int_equal(leaf(c, 1, 0)->ebx >> 16 & 0xff, 4);
    free(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepare__hides_what_guests_must_not_see),
        cmocka_unit_test(prepare__topology_is_one_package_of_cores),
        cmocka_unit_test(prepare__old_processor_gets_no_topology_leaf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
