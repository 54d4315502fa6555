/* hypervisor-backend/vmm/cpuid_model-private.h - the tables behind
 * cpuid_model.c.
 * Role:      names of features and the lists that make a model.
 * Ownership: all static.   Threads: any.   Errors: none. */
#ifndef HYPERVISOR_BACKEND_VMM_CPUID_MODEL_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_CPUID_MODEL_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

/* Registers that hold features. */
enum cpuid_word {
    W_1_ECX,
    W_1_EDX,
    W_7_EBX,
    W_7_ECX,
    W_7_EDX,
    W_7_1_EAX,
    W_7_2_EDX,
    W_D_1_EAX,
    W_EXT_1_ECX,
    W_EXT_1_EDX,
    W_EXT_7_EDX,
    W_EXT_8_EBX,
    W_EXT_21_EAX,
    CPUID_WORDS,
};

struct cpuid_word_place {
    uint32_t function, index;
    unsigned reg; /* 0 … 3: EAX … EDX */
};
extern const struct cpuid_word_place cpuid_word_places[CPUID_WORDS];

#define CPUID_FEATURE(word, bit) ((uint16_t)((word) << 5 | (bit)))
#define CPUID_FEATURE_WORD(f) ((unsigned)(f) >> 5)
#define CPUID_FEATURE_BIT(f) (UINT32_C(1) << ((f)&31))

enum cpuid_vendor { VENDOR_ANY, VENDOR_INTEL, VENDOR_AMD };

/* Family, model and stepping as leaf 1 encodes them. */
struct cpuid_model {
    const char *name, *about;
    const struct cpuid_model *base; /* has all of its features, too */
    enum cpuid_vendor vendor;
    uint32_t intel_fms, amd_fms; /* 0: the host's */
    const uint16_t *features;
    size_t n_features;
};
/* The first is "host". */
extern const struct cpuid_model *const cpuid_model_list[];
extern const size_t cpuid_model_count;

/* Bits that are left as the host has them, in any model. */
extern const uint32_t cpuid_optional[CPUID_WORDS];

/* As Linux prints it; NULL: not in the table. */
const char *cpuid_feature_name(uint16_t feature);

#endif
