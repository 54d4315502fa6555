/* cpuid.c - what the guest's processor says it is; see cpuid.h. */
#include <config.h>

#include "hypervisor-backend/vmm/cpuid.h"

#include <linux/kvm.h>
#include <stdint.h>

#define BIT(n) (1u << (n))

/* Bits of an APIC id that tell the cores of one package apart. */
static unsigned
id_bits(unsigned cpus)
{
    return cpus > 1 ? 32u - (unsigned)__builtin_clz(cpus - 1) : 0;
}

/* Leaves that must read as zero: 6 is kept in part. */
static bool
hidden(uint32_t leaf)
{
    switch (leaf) {
    case 0x0a:       /* performance counters */
    case 0x0f:       /* cache monitoring */
    case 0x10:       /* cache allocation */
    case 0x12:       /* enclaves */
    case 0x14:       /* processor trace */
    case 0x1b:       /* memory encryption keys */
    case 0x1c:       /* last branch records */
    case 0x23:       /* performance counters again */
    case 0x8000000a: /* virtualization, AMD */
    case 0x8000001b: /* instruction sampling */
    case 0x8000001f: /* memory encryption, AMD */
    case 0x80000022: /* performance counters, AMD */
        return true;
    default:
        return false;
    }
}

static void
leaf_1(struct kvm_cpuid_entry2 *e, unsigned apic_id, unsigned cpus,
       bool tsc_deadline)
{
    unsigned logical = 1u << id_bits(cpus);

    e->ebx = (e->ebx & 0x0000ffff) | logical << 16 | apic_id << 24;
    /* DTES64, MONITOR, DS-CPL, VMX, SMX, speed step, thermal monitor 2,
     * debug store and performance capabilities */
    e->ecx &= ~(BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) |
                BIT(15) | BIT(24));
    e->ecx |= BIT(31); /* a hypervisor is present */
    if (tsc_deadline)
        e->ecx |= BIT(24);
    /* debug store, thermal control, hyper-threading, thermal monitor, PBE */
    e->edx &= ~(BIT(21) | BIT(22) | BIT(28) | BIT(29) | BIT(31));
    if (cpus > 1)
        e->edx |= BIT(28);
}

/* Deterministic cache parameters; leaf 4, and 0x8000001d on AMD. */
static void
cache(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
    unsigned level = e->eax >> 5 & 7, sharing;

    if ((e->eax & 0x1f) == 0)
        return; /* ends the list */
    sharing = level >= 3 ? (1u << id_bits(cpus)) - 1 : 0;
    e->eax = (e->eax & 0x3fff) | sharing << 14;
    if (e->function == 4)
        e->eax |= ((1u << id_bits(cpus)) - 1) << 26;
}

static void
change(struct kvm_cpuid_entry2 *e, unsigned apic_id, unsigned cpus,
       bool tsc_deadline)
{
    switch (e->function) {
    case 1:
        leaf_1(e, apic_id, cpus, tsc_deadline);
        break;
    case 4:
    case 0x8000001d:
        cache(e, cpus);
        break;
    case 6:
        e->eax &= BIT(2); /* the APIC timer never stops */
        e->ebx = e->ecx = e->edx = 0;
        break;
    case 7:
        if (e->index == 0) {
            /* enclaves, cache monitoring and allocation, trace */
            e->ebx &= ~(BIT(2) | BIT(12) | BIT(15) | BIT(25));
            e->ecx &= ~(BIT(5) | BIT(30));  /* WAITPKG, enclave launch */
            e->edx &= ~(BIT(18) | BIT(19)); /* PCONFIG, branch records */
        }
        break;
    case 0x80000001:
        /* SVM, SKINIT, watchdog, LWP, performance counters (three), MWAITX */
        e->ecx &= ~(BIT(2) | BIT(12) | BIT(13) | BIT(15) | BIT(23) | BIT(24) |
                    BIT(28) | BIT(29));
        break;
    case 0x80000008:
        e->ecx = id_bits(cpus) << 12 | (cpus - 1);
        break;
    case 0x8000001e:
        e->eax = apic_id;
        e->ebx = apic_id; /* core id, one thread */
        e->ecx = 0;       /* one node */
        e->edx = 0;
        break;
    }
}

/* Extended topology: threads, then cores, then the end. */
static void
add_topology(struct kvm_cpuid2 *c, unsigned apic_id, unsigned cpus)
{
    const struct kvm_cpuid_entry2 leaves[CPUID_SPARE] = {
        {.index = 0, .eax = 0, .ebx = 1, .ecx = 0 | 1 << 8},
        {.index = 1, .eax = id_bits(cpus), .ebx = cpus, .ecx = 1 | 2 << 8},
        {.index = 2, .ecx = 2},
    };

    for (unsigned i = 0; i < CPUID_SPARE; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[c->nent++];

        *e = leaves[i];
        e->function = 0xb;
        e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        e->edx = apic_id;
    }
}

void
cpuid_prepare(struct kvm_cpuid2 *c, unsigned apic_id, unsigned cpus,
              bool tsc_deadline)
{
    uint32_t n = 0;
    bool topology = false;

    for (uint32_t i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 e = c->entries[i];

        if (e.function == 0)
            topology = e.eax >= 0xb;
        /* Rewritten whole, or said by another leaf. */
        if (e.function == 0xb || e.function == 0x1f)
            continue;
        if (hidden(e.function))
            e.eax = e.ebx = e.ecx = e.edx = 0;
        else
            change(&e, apic_id, cpus, tsc_deadline);
        c->entries[n++] = e;
    }
    c->nent = n;
    if (topology)
        add_topology(c, apic_id, cpus);
}
