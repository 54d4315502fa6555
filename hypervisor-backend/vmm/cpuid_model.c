/* cpuid_model.c - from what KVM supports to a named model; see
 * cpuid_model.h. */
#include <config.h>

#include "hypervisor-backend/vmm/cpuid_model.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/cpuid_model-private.h"

#define BIT(n) (UINT32_C(1) << (n))

/* Highest leaves that a model shows. */
#define MAX_BASIC 0xdu
#define MAX_EXTENDED 0x80000021u
/* Wide enough for the largest guest, and what most servers have. */
#define PHYSICAL_BITS 46u
#define DROPPED BIT(31) /* no flag of KVM's; never leaves this file */

/* Components of XSAVE's area, by bit of XCR0 (SDM volume 1, 13.1). */
#define XCR0_ALWAYS (BIT(0) | BIT(1)) /* x87 and SSE */
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKRU BIT(9)
#define XSAVE_LEGACY_BYTES 576u /* x87, SSE and the header */

struct words {
    uint32_t w[CPUID_WORDS];
};

static uint32_t *
reg(struct kvm_cpuid_entry2 *e, unsigned i)
{
    uint32_t *const regs[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};

    return regs[i];
}

static const struct kvm_cpuid_entry2 *
find(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < c->nent; i++)
        if (c->entries[i].function == function && c->entries[i].index == index)
            return &c->entries[i];
    return NULL;
}

static void
read_words(const struct kvm_cpuid2 *c, struct words *ret)
{
    for (unsigned w = 0; w < CPUID_WORDS; w++) {
        const struct cpuid_word_place *at = &cpuid_word_places[w];
        const struct kvm_cpuid_entry2 *e = find(c, at->function, at->index);
        struct kvm_cpuid_entry2 copy = e ? *e : (struct kvm_cpuid_entry2){0};

        ret->w[w] = *reg(&copy, at->reg);
    }
}

static void
needs(const struct cpuid_model *m, struct words *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (; m; m = m->base)
        for (size_t i = 0; i < m->n_features; i++)
            ret->w[CPUID_FEATURE_WORD(m->features[i])] |=
                CPUID_FEATURE_BIT(m->features[i]);
}

static enum cpuid_vendor
vendor_of(const struct kvm_cpuid2 *c)
{
    const struct kvm_cpuid_entry2 *e = find(c, 0, 0);
    char id[12];

    if (!e)
        return VENDOR_ANY;
    memcpy(id, &e->ebx, 4);
    memcpy(id + 4, &e->edx, 4);
    memcpy(id + 8, &e->ecx, 4);
    if (memcmp(id, "GenuineIntel", 12) == 0)
        return VENDOR_INTEL;
    return memcmp(id, "AuthenticAMD", 12) == 0 ? VENDOR_AMD : VENDOR_ANY;
}

static void
append(char *out, size_t size, const char *name)
{
    size_t n = strlen(out);
    int more = snprintf(out + n, size - n, "%s%s", n ? " " : "", name);

    assert((size_t)more < size - n); /* our own names: see the test */
}

/* Names of what c lacks for m; "" if nothing. */
static void
find_missing(const struct cpuid_model *m, const struct kvm_cpuid2 *c, char *out,
             size_t size)
{
    struct words want, have;

    out[0] = 0;
    if (m->vendor != VENDOR_ANY && m->vendor != vendor_of(c))
        append(out, size,
               m->vendor == VENDOR_INTEL ? "vendor:Intel" : "vendor:AMD");
    needs(m, &want);
    read_words(c, &have);
    for (unsigned w = 0; w < CPUID_WORDS; w++)
        for (uint32_t left = want.w[w] & ~have.w[w]; left; left &= left - 1) {
            unsigned bit = (unsigned)__builtin_ctz(left);

            append(out, size, cpuid_feature_name(CPUID_FEATURE(w, bit)));
        }
}

/* What XCR0 may hold, given the features that are left. */
static uint32_t
xcr0_of(const struct words *w)
{
    uint32_t x = XCR0_ALWAYS;

    if (w->w[W_1_ECX] & BIT(28))
        x |= XCR0_AVX;
    if (w->w[W_7_EBX] & BIT(16))
        x |= XCR0_AVX512;
    if (w->w[W_7_ECX] & BIT(3))
        x |= XCR0_PKRU;
    return x;
}

/* The standard format's size with all of these components. */
static uint32_t
xsave_bytes(const struct kvm_cpuid2 *c, uint32_t xcr0)
{
    uint32_t end = XSAVE_LEGACY_BYTES;

    for (uint32_t i = 2; i < 32; i++) {
        const struct kvm_cpuid_entry2 *e = find(c, 0xd, i);

        if ((xcr0 & BIT(i)) && e)
            end = MAX(end, e->eax + e->ebx);
    }
    return end;
}

/* Leaf 0xd; false: this part goes. EBX of the first two, the size for what
 * is switched on, is KVM's to keep. */
static bool
xsave(const struct kvm_cpuid2 *c, const struct words *kept,
      struct kvm_cpuid_entry2 *e)
{
    uint32_t xcr0 = xcr0_of(kept);

    if (!(kept->w[W_1_ECX] & BIT(26)))
        return false;
    if (e->index == 0) {
        e->eax &= xcr0;
        e->edx = 0;
        e->ecx = xsave_bytes(c, e->eax);
        e->ebx = e->ecx;
        return true;
    }
    if (e->index == 1) {
        e->ecx = e->edx = 0; /* no supervisor state in any model */
        return true;
    }
    return e->index < 32 && (xcr0 & BIT(e->index));
}

static void
brand(struct kvm_cpuid_entry2 *e, const char *model)
{
    char text[48] = {0};
    const char *at = text + (size_t)(e->function - 0x80000002) * 16;

    snprintf(text, sizeof(text), "Virga vCPU %s", model);
    memcpy(&e->eax, at, 4);
    memcpy(&e->ebx, at + 4, 4);
    memcpy(&e->ecx, at + 8, 4);
    memcpy(&e->edx, at + 12, 4);
}

static uint32_t
identity(const struct cpuid_model *m, enum cpuid_vendor vendor, uint32_t host)
{
    uint32_t fms = vendor == VENDOR_INTEL ? m->intel_fms
                   : vendor == VENDOR_AMD ? m->amd_fms
                                          : 0;

    return fms ? fms : host;
}

static uint32_t
address_bits(uint32_t eax)
{
    uint32_t physical = MIN(eax & 0xff, PHYSICAL_BITS);

    /* 48 linear: five levels of pages are in no model. */
    return physical | 48u << 8;
}

/* Words that are features are masked already. False: the leaf goes. */
static bool
reshape(const struct cpuid_model *m, const struct kvm_cpuid2 *c,
        const struct words *kept, struct kvm_cpuid_entry2 *e)
{
    switch (e->function) {
    case 0:
        e->eax = MIN(e->eax, MAX_BASIC);
        return true;
    case 1:
        e->eax = identity(m, vendor_of(c), e->eax);
        return true;
    case 2: /* caches and TLBs */
    case 4:
    case 0xb:
    case 0x80000005:
    case 0x80000006:
    case 0x8000001d:
    case 0x8000001e:
        return true;
    case 6: /* cpuid_prepare() leaves one bit of it */
        return true;
    case 7:
        if (e->index == 0) {
            e->eax = MIN(e->eax, 2u);
            return true;
        }
        if (e->index == 1)
            e->ebx = e->ecx = e->edx = 0;
        if (e->index == 2)
            e->eax = e->ebx = e->ecx = 0;
        return e->index <= 2;
    case 0xd:
        return xsave(c, kept, e);
    case 0x80000000:
        e->eax = MIN(e->eax, MAX_EXTENDED);
        return true;
    case 0x80000001:
        e->eax = identity(m, vendor_of(c), e->eax);
        e->ebx = 0;
        return true;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        brand(e, m->name);
        return true;
    case 0x80000007:
        e->eax = e->ebx = e->ecx = 0;
        return true;
    case 0x80000008:
        e->eax = address_bits(e->eax);
        e->edx = 0;
        return true;
    case 0x80000021:
        e->ebx = e->ecx = e->edx = 0;
        return true;
    default:
        return e->function >> 8 == 0x400000; /* KVM's own */
    }
}

static void
mask(const struct words *kept, struct kvm_cpuid_entry2 *e)
{
    for (unsigned w = 0; w < CPUID_WORDS; w++)
        if (cpuid_word_places[w].function == e->function &&
            cpuid_word_places[w].index == e->index)
            *reg(e, cpuid_word_places[w].reg) = kept->w[w];
}

static void
reduce(const struct cpuid_model *m, struct kvm_cpuid2 *c)
{
    struct words kept, have;
    uint32_t n = 0;

    read_words(c, &have);
    needs(m, &kept);
    for (unsigned w = 0; w < CPUID_WORDS; w++)
        kept.w[w] = have.w[w] & (kept.w[w] | cpuid_optional[w]);
    /* Two passes: xsave() looks at entries that the second may drop. */
    for (uint32_t i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];

        mask(&kept, e);
        if (!reshape(m, c, &kept, e))
            e->flags |= DROPPED;
    }
    for (uint32_t i = 0; i < c->nent; i++)
        if (!(c->entries[i].flags & DROPPED))
            c->entries[n++] = c->entries[i];
    c->nent = n;
}

static const struct cpuid_model *
by_name(const char *name)
{
    for (size_t i = 0; i < cpuid_model_count; i++)
        if (!name || strcmp(cpuid_model_list[i]->name, name) == 0)
            return cpuid_model_list[i];
    return NULL;
}

int
cpuid_model_apply(const char *name, struct kvm_cpuid2 *c, struct err *reterr)
{
    const struct cpuid_model *m = by_name(name);
    char text[CPUID_MISSING_BYTES] = "";

    if (!m) {
        for (size_t i = 0; i < cpuid_model_count; i++)
            append(text, sizeof(text), cpuid_model_list[i]->name);
        return err_field(reterr, "/cpu_model", "unknown", "must be one of: %s",
                         text);
    }
    if (m == cpuid_model_list[0])
        return 0;
    find_missing(m, c, text, sizeof(text));
    if (text[0]) {
        err_field(reterr, "/cpu_model", "unsupported",
                  "this host cannot be a %s; missing: %s", m->name, text);
        if (reterr)
            reterr->number = -ENOTSUP;
        return -ENOTSUP;
    }
    reduce(m, c);
    return 0;
}

bool
cpuid_models(const struct kvm_cpuid2 *supported, size_t i,
             struct cpuid_model_info *ret)
{
    if (i >= cpuid_model_count)
        return false;
    ret->name = cpuid_model_list[i]->name;
    ret->about = cpuid_model_list[i]->about;
    find_missing(cpuid_model_list[i], supported, ret->missing,
                 sizeof(ret->missing));
    ret->runs = !ret->missing[0];
    return true;
}
