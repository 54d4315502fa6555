/* test-vmm-cpuid-model.c - named processor models over hosts written down. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/cpuid.h"
#include "hypervisor-backend/vmm/cpuid_model.h"

#define SPARE (CPUID_SPARE + 2)
#define LEAF(f, i, a, b, c, d)                                                 \
    {                                                                          \
        .function = (f), .index = (i), .eax = (a), .ebx = (b), .ecx = (c),     \
        .edx = (d)                                                             \
    }
#define BIT(n) (1u << (n))

/* What KVM gives on an Ice Lake server with TSX off (shortened to what
 * matters), and on a Naples. */
static const struct kvm_cpuid_entry2 icelake[] = {
    LEAF(0, 0, 0x1b, 0x756e6547, 0x6c65746e, 0x49656e69),
    LEAF(1, 0, 0x606a6, 0x00200800, 0xfffaf38b, 0x0fabfbff),
    LEAF(2, 0, 0xfeff01, 0xf0, 0, 0),
    LEAF(4, 0, 0xfc004121, 0x2c0003f, 63, 0),
    LEAF(7, 0, 2, 0xf1bf27eb, 0x00405fce, 0xbc000410),
    LEAF(7, 1, BIT(4) | BIT(10), 0, 0, 0),
    LEAF(7, 2, 0, 0, 0, 0x17),
    LEAF(0xd, 0, 0x2e7, 0xa88, 0xa88, 0),
    LEAF(0xd, 1, 0xf, 0x9d8, 0x1900, 0),
    LEAF(0xd, 2, 0x100, 0x240, 0, 0),
    LEAF(0xd, 5, 0x40, 0x440, 0, 0),
    LEAF(0xd, 6, 0x200, 0x480, 0, 0),
    LEAF(0xd, 7, 0x400, 0x680, 0, 0),
    LEAF(0xd, 9, 8, 0xa80, 0, 0),
    LEAF(0xd, 12, 16, 0, 1, 0),
    LEAF(0x15, 0, 2, 0x98, 0x17d7840, 0),
    LEAF(0x16, 0, 2000, 3500, 100, 0),
    LEAF(0x1b, 0, 0, 0, 0, 0),
    LEAF(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
    LEAF(0x40000001, 0, 0x1007afb, 0, 0, 0),
    LEAF(0x80000000, 0, 0x80000008, 0, 0, 0),
    LEAF(0x80000001, 0, 0, 0, 0x121, 0x2c100800),
    LEAF(0x80000002, 0, 0x65746e49, 0, 0, 0),
    LEAF(0x80000003, 0, 0, 0, 0, 0),
    LEAF(0x80000004, 0, 0, 0, 0, 0),
    LEAF(0x80000007, 0, 0, 0, 0, 0x100),
    LEAF(0x80000008, 0, 0x3934, 0x0100d200, 0, 0),
};

static const struct kvm_cpuid_entry2 naples[] = {
    LEAF(0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65),
    LEAF(1, 0, 0x800f12, 0x00400800, 0xfed83203 | BIT(12), 0x178bfbff),
    LEAF(7, 0, 0, 0x209c01a9, 0, 0),
    LEAF(0xd, 0, 7, 0x340, 0x340, 0),
    LEAF(0xd, 1, 0xf, 0x340, 0, 0),
    LEAF(0xd, 2, 0x100, 0x240, 0, 0),
    LEAF(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
    LEAF(0x40000001, 0, 0x1007afb, 0, 0, 0),
    LEAF(0x80000000, 0, 0x8000001f, 0, 0, 0),
    LEAF(0x80000001, 0, 0x800f12, 0x40000000, 0x4003f3, 0x2fd3fbff),
    LEAF(0x80000002, 0, 0x20444d41, 0x43595045, 0, 0),
    LEAF(0x80000003, 0, 0, 0, 0, 0),
    LEAF(0x80000004, 0, 0, 0, 0, 0),
    LEAF(0x80000007, 0, 0, 0, 0, 0x100),
    LEAF(0x80000008, 0, 0x3030, 0x1007, 0x6007, 0),
    LEAF(0x8000001e, 0, 0, 0x100, 0, 0),
    LEAF(0x8000001a, 0, 7, 0, 0, 0),
};

static struct kvm_cpuid2 *
copy(const struct kvm_cpuid_entry2 *e, size_t n)
{
    struct kvm_cpuid2 *c = xcalloc(1, sizeof(*c) + (n + SPARE) * sizeof(*e));

    c->nent = (uint32_t)n;
    memcpy(c->entries, e, n * sizeof(*e));
    return c;
}
#define COPY(table) copy(table, ARRAY_SIZE(table))

static struct kvm_cpuid_entry2 *
leaf(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < c->nent; i++)
        if (c->entries[i].function == function && c->entries[i].index == index)
            return &c->entries[i];
    return NULL;
}

static struct kvm_cpuid2 *
as(struct kvm_cpuid2 *c, const char *model)
{
    struct err e = {0};

    if (cpuid_model_apply(model, c, &e) < 0)
        fail_msg("%s", e.message);
    return c;
}

static void
host__is_all_that_kvm_supports(void **state)
{
    struct kvm_cpuid2 *c = COPY(icelake);

    as(c, NULL);
    assert_int_equal(c->nent, ARRAY_SIZE(icelake));
    assert_memory_equal(c->entries, icelake, sizeof(icelake));
    as(c, "host");
    assert_memory_equal(c->entries, icelake, sizeof(icelake));
    free(c);
}

static void
v2__has_the_level_and_nothing_above(void **state)
{
    struct kvm_cpuid2 *c = as(COPY(icelake), "x86-64-v2");
    uint32_t ecx = leaf(c, 1, 0)->ecx;

    assert_int_equal(leaf(c, 0, 0)->eax, 0xd);
    assert_int_equal(leaf(c, 1, 0)->eax, 0x106a3);
    /* SSE3, SSSE3, CX16, SSE4.1, SSE4.2, x2APIC, POPCNT, the deadline timer
     * and a hypervisor */
    assert_int_equal(ecx, BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) |
                              BIT(21) | BIT(23) | BIT(24) | BIT(27) | BIT(31));
    /* no AVX2, no SMEP; TSC_ADJUST, and what the FPU's pointers do */
    assert_int_equal(leaf(c, 7, 0)->ebx & ~(BIT(1) | BIT(6) | BIT(13)), 0);
    assert_int_equal(leaf(c, 7, 0)->ecx, 0);
    /* but whether flaws can be worked around is never kept from it */
    assert_int_equal(leaf(c, 7, 0)->edx, 0xbc000400);
    assert_int_equal(leaf(c, 7, 1)->eax, 0);
    assert_int_equal(leaf(c, 7, 2)->edx, 0x17);
    /* no XSAVE: no state of it at all */
    for (uint32_t i = 0; i < 16; i++)
        assert_null(leaf(c, 0xd, i));
    assert_null(leaf(c, 0x15, 0));
    assert_null(leaf(c, 0x1b, 0));
    assert_int_equal(leaf(c, 0x80000001, 0)->ecx, 1); /* LAHF */
    assert_int_equal(leaf(c, 0x80000001, 0)->edx,
                     BIT(11) | BIT(20) | BIT(29)); /* SYSCALL NX LM */
    assert_int_equal(leaf(c, 0x80000007, 0)->edx, 0);
    assert_int_equal(leaf(c, 0x80000008, 0)->eax, 46 | 48 << 8);
    assert_int_equal(leaf(c, 0x40000001, 0)->eax, 0x1007afb);
    free(c);
}

static void
v3__xsave_area_shrinks_with_the_features(void **state)
{
    struct kvm_cpuid2 *c = as(COPY(icelake), "x86-64-v3");

    assert_int_equal(leaf(c, 0xd, 0)->eax, 7); /* x87, SSE, AVX */
    assert_int_equal(leaf(c, 0xd, 0)->ecx, 0x340);
    assert_int_equal(leaf(c, 0xd, 1)->eax, 1); /* XSAVEOPT */
    assert_int_equal(leaf(c, 0xd, 1)->ecx, 0); /* no supervisor state */
    assert_non_null(leaf(c, 0xd, 2));
    assert_null(leaf(c, 0xd, 5));
    assert_null(leaf(c, 0xd, 9));
    assert_null(leaf(c, 0xd, 12));
    free(c);
    c = as(COPY(icelake), "x86-64-v4");
    assert_int_equal(leaf(c, 0xd, 0)->eax, 0xe7);
    assert_int_equal(leaf(c, 0xd, 0)->ecx, 0xa80); /* without PKRU */
    assert_null(leaf(c, 0xd, 9));
    free(c);
    c = as(COPY(icelake), "Skylake-Server");
    assert_int_equal(leaf(c, 0xd, 0)->eax, 0x2e7);
    assert_int_equal(leaf(c, 0xd, 0)->ecx, 0xa88);
    free(c);
}

/* Whatever the host adds, the guest sees the same. */
static void
model__is_the_same_on_a_richer_host(void **state)
{
    struct kvm_cpuid2 *poor = as(COPY(icelake), "Skylake-Server");
    struct kvm_cpuid2 *rich = COPY(icelake);

    leaf(rich, 1, 0)->eax = 0x806f8;
    leaf(rich, 7, 0)->ebx |= BIT(4) | BIT(11); /* TSX is back */
    leaf(rich, 7, 0)->ecx |= BIT(27);
    leaf(rich, 7, 0)->edx |= BIT(22) | BIT(24) | BIT(25) | BIT(14); /* AMX */
    leaf(rich, 7, 1)->eax = ~0u;
    leaf(rich, 7, 1)->edx = ~0u;
    leaf(rich, 0xd, 0)->eax |= BIT(17) | BIT(18);
    leaf(rich, 0xd, 0)->ecx = 0x2b00;
    leaf(rich, 0xd, 1)->eax |= BIT(4);
    leaf(rich, 0x80000001, 0)->ecx |= BIT(16);
    as(rich, "Skylake-Server");
    assert_int_equal(poor->nent, rich->nent);
    assert_memory_equal(poor->entries, rich->entries,
                        poor->nent * sizeof(poor->entries[0]));
    free(poor);
    free(rich);
}

static void
missing__is_named_and_nothing_is_changed(void **state)
{
    struct kvm_cpuid2 *c = COPY(naples);
    struct err e = {0};

    assert_int_equal(cpuid_model_apply("x86-64-v4", c, &e), -ENOTSUP);
    assert_int_equal(e.number, -ENOTSUP);
    assert_string_equal(e.details[0].pointer, "/cpu_model");
    assert_non_null(strstr(e.message, "avx512f avx512dq avx512cd avx512bw "
                                      "avx512vl"));
    assert_null(strstr(e.message, "avx2"));
    assert_memory_equal(c->entries, naples, sizeof(naples));
    err_release(&e);
    e = (struct err){0};
    assert_int_equal(cpuid_model_apply("Skylake-Server", c, &e), -ENOTSUP);
    assert_non_null(strstr(e.message, "vendor:Intel"));
    err_release(&e);
    e = (struct err){0};
    assert_int_equal(cpuid_model_apply("pentium", c, &e), -EINVAL);
    assert_non_null(strstr(e.message, "x86-64-v2"));
    err_release(&e);
    assert_int_equal(cpuid_model_apply("", c, NULL), -EINVAL);
    free(c);
}

static void
list__says_what_this_host_can_be(void **state)
{
    static const char *const can[] = {"host", "x86-64-v2", "x86-64-v3", "EPYC"};
    struct kvm_cpuid2 *c = COPY(naples);
    struct cpuid_model_info m;
    size_t i, n = 0;

    for (i = 0; cpuid_models(c, i, &m); i++) {
        bool expected = false;

        for (size_t k = 0; k < ARRAY_SIZE(can); k++)
            expected |= strcmp(can[k], m.name) == 0;
        if (m.runs != expected)
            fail_msg("%s: %s", m.name, m.missing);
        assert_int_equal(m.runs, !m.missing[0]);
        assert_true(m.about[0]);
        n += m.runs;
    }
    assert_int_equal(n, ARRAY_SIZE(can));
    assert_true(i > n);
    free(c);
}

static void
list__names_all_that_is_missing(void **state)
{
    struct kvm_cpuid2 *none = COPY(naples);
    struct cpuid_model_info m;
    size_t longest = 0;

    none->nent = 0;
    for (size_t i = 1; cpuid_models(none, i, &m); i++)
        longest = MAX(longest, strlen(m.missing));
    /* there is room for some more */
    assert_in_range(longest, 400, CPUID_MISSING_BYTES - 200);
    free(none);
}

static void
epyc__knows_its_family_and_brand(void **state)
{
    struct kvm_cpuid2 *c = as(COPY(naples), "EPYC");
    char text[49] = {0};

    for (uint32_t i = 0; i < 3; i++) {
        const struct kvm_cpuid_entry2 *e = leaf(c, 0x80000002 + i, 0);

        memcpy(text + i * 16, &e->eax, 16);
    }
    assert_string_equal(text, "Virga vCPU EPYC");
    assert_int_equal(leaf(c, 1, 0)->eax, 0x800f12);
    assert_int_equal(leaf(c, 0x80000001, 0)->eax, 0x800f12);
    /* AMD's copies of leaf 1, and TOPOEXT: the topology needs them */
    assert_int_equal(leaf(c, 0x80000001, 0)->edx & 0x183f3ff, 0x183f3ff);
    assert_true(leaf(c, 0x80000001, 0)->ecx & BIT(22));
    assert_non_null(leaf(c, 0x8000001e, 0));
    assert_null(leaf(c, 0x8000001a, 0));
    assert_int_equal(leaf(c, 0x80000008, 0)->ebx, 0x1000); /* IBPB */
    free(c);
}

static void
tsc__is_invariant_on_this_host_alone(void **state)
{
    struct kvm_cpuid2 *c = as(COPY(icelake), "x86-64-v3");

    assert_int_equal(leaf(c, 0x80000007, 0)->edx, 0);
    assert_null(leaf(c, 0x15, 0)); /* the host's frequency */
    free(c);
    c = as(COPY(icelake), "host");
    assert_int_equal(leaf(c, 0x80000007, 0)->edx, 0x100);
    assert_int_equal(leaf(c, 0x15, 0)->ebx, 0x98);
    free(c);
}

/* All of it in the order of use: the model, then each vCPU's own. */
static void
model__then_topology(void **state)
{
    struct kvm_cpuid2 *c = as(COPY(icelake), "x86-64-v2");

    cpuid_prepare(c, 3, 4, true);
    assert_int_equal(leaf(c, 1, 0)->ebx >> 24, 3);
    assert_int_equal(leaf(c, 0xb, 1)->ebx, 4);
    assert_true(leaf(c, 1, 0)->edx & BIT(28));
    free(c);
}

/* A host that says nonsense must not lead past any table. */
static void
host__that_lies_is_survived(void **state)
{
    static const struct kvm_cpuid_entry2 odd[] = {
        LEAF(0xd, 0, ~0u, ~0u, ~0u, ~0u),    LEAF(0xd, 1, ~0u, ~0u, ~0u, ~0u),
        LEAF(0xd, 63, ~0u, ~0u, ~0u, ~0u),   LEAF(7, 9, ~0u, ~0u, ~0u, ~0u),
        LEAF(1, 0, 0, 0, ~0u, ~0u),          LEAF(7, 0, ~0u, ~0u, ~0u, ~0u),
        LEAF(0x80000001, 0, 0, 0, ~0u, ~0u), LEAF(0x80000008, 0, 0, 0, 0, 0),
    };
    struct kvm_cpuid2 *c = COPY(odd), *none = COPY(odd);

    as(c, "x86-64-v4");
    assert_null(leaf(c, 0xd, 63));
    assert_null(leaf(c, 7, 9));
    assert_int_equal(leaf(c, 1, 0)->eax, 0); /* no vendor: the host's */
    none->nent = 0;
    assert_int_equal(cpuid_model_apply("x86-64-v2", none, NULL), -ENOTSUP);
    free(c);
    free(none);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host__is_all_that_kvm_supports),
        cmocka_unit_test(v2__has_the_level_and_nothing_above),
        cmocka_unit_test(v3__xsave_area_shrinks_with_the_features),
        cmocka_unit_test(model__is_the_same_on_a_richer_host),
        cmocka_unit_test(missing__is_named_and_nothing_is_changed),
        cmocka_unit_test(list__says_what_this_host_can_be),
        cmocka_unit_test(list__names_all_that_is_missing),
        cmocka_unit_test(epyc__knows_its_family_and_brand),
        cmocka_unit_test(tsc__is_invariant_on_this_host_alone),
        cmocka_unit_test(model__then_topology),
        cmocka_unit_test(host__that_lies_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
