/* cpuid_table.c - names of processor features, and the models that are made
 * of them; see cpuid_model.h.
 *
 * A model lists what it has beyond its base. What a generation has but its
 * successors or its own microcode took away again (TSX, MPX) is in none. */
#include <config.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/cpuid_model-private.h"

const struct cpuid_word_place cpuid_word_places[CPUID_WORDS] = {
    [W_1_ECX] = {1, 0, 2},
    [W_1_EDX] = {1, 0, 3},
    [W_7_EBX] = {7, 0, 1},
    [W_7_ECX] = {7, 0, 2},
    [W_7_EDX] = {7, 0, 3},
    [W_7_1_EAX] = {7, 1, 0},
    [W_7_2_EDX] = {7, 2, 3},
    [W_D_1_EAX] = {0xd, 1, 0},
    [W_EXT_1_ECX] = {0x80000001, 0, 2},
    [W_EXT_1_EDX] = {0x80000001, 0, 3},
    [W_EXT_7_EDX] = {0x80000007, 0, 3},
    [W_EXT_8_EBX] = {0x80000008, 0, 1},
    [W_EXT_21_EAX] = {0x80000021, 0, 0},
};

/* One line a feature: its enumerator, its place, its name. */
#define FEATURES(X)                                                            \
    X(SSE3, W_1_ECX, 0, "pni")                                                 \
    X(PCLMUL, W_1_ECX, 1, "pclmulqdq")                                         \
    X(SSSE3, W_1_ECX, 9, "ssse3")                                              \
    X(FMA, W_1_ECX, 12, "fma")                                                 \
    X(CX16, W_1_ECX, 13, "cx16")                                               \
    X(PCID, W_1_ECX, 17, "pcid")                                               \
    X(SSE4_1, W_1_ECX, 19, "sse4_1")                                           \
    X(SSE4_2, W_1_ECX, 20, "sse4_2")                                           \
    X(MOVBE, W_1_ECX, 22, "movbe")                                             \
    X(POPCNT, W_1_ECX, 23, "popcnt")                                           \
    X(AES, W_1_ECX, 25, "aes")                                                 \
    X(XSAVE, W_1_ECX, 26, "xsave")                                             \
    X(AVX, W_1_ECX, 28, "avx")                                                 \
    X(F16C, W_1_ECX, 29, "f16c")                                               \
    X(RDRAND, W_1_ECX, 30, "rdrand")                                           \
    X(FPU, W_1_EDX, 0, "fpu")                                                  \
    X(VME, W_1_EDX, 1, "vme")                                                  \
    X(DE, W_1_EDX, 2, "de")                                                    \
    X(PSE, W_1_EDX, 3, "pse")                                                  \
    X(TSC, W_1_EDX, 4, "tsc")                                                  \
    X(MSR, W_1_EDX, 5, "msr")                                                  \
    X(PAE, W_1_EDX, 6, "pae")                                                  \
    X(MCE, W_1_EDX, 7, "mce")                                                  \
    X(CX8, W_1_EDX, 8, "cx8")                                                  \
    X(APIC, W_1_EDX, 9, "apic")                                                \
    X(SEP, W_1_EDX, 11, "sep")                                                 \
    X(MTRR, W_1_EDX, 12, "mtrr")                                               \
    X(PGE, W_1_EDX, 13, "pge")                                                 \
    X(MCA, W_1_EDX, 14, "mca")                                                 \
    X(CMOV, W_1_EDX, 15, "cmov")                                               \
    X(PAT, W_1_EDX, 16, "pat")                                                 \
    X(PSE36, W_1_EDX, 17, "pse36")                                             \
    X(CLFLUSH, W_1_EDX, 19, "clflush")                                         \
    X(MMX, W_1_EDX, 23, "mmx")                                                 \
    X(FXSR, W_1_EDX, 24, "fxsr")                                               \
    X(SSE, W_1_EDX, 25, "sse")                                                 \
    X(SSE2, W_1_EDX, 26, "sse2")                                               \
    X(FSGSBASE, W_7_EBX, 0, "fsgsbase")                                        \
    X(BMI1, W_7_EBX, 3, "bmi1")                                                \
    X(AVX2, W_7_EBX, 5, "avx2")                                                \
    X(SMEP, W_7_EBX, 7, "smep")                                                \
    X(BMI2, W_7_EBX, 8, "bmi2")                                                \
    X(ERMS, W_7_EBX, 9, "erms")                                                \
    X(INVPCID, W_7_EBX, 10, "invpcid")                                         \
    X(AVX512F, W_7_EBX, 16, "avx512f")                                         \
    X(AVX512DQ, W_7_EBX, 17, "avx512dq")                                       \
    X(RDSEED, W_7_EBX, 18, "rdseed")                                           \
    X(ADX, W_7_EBX, 19, "adx")                                                 \
    X(SMAP, W_7_EBX, 20, "smap")                                               \
    X(AVX512IFMA, W_7_EBX, 21, "avx512ifma")                                   \
    X(CLFLUSHOPT, W_7_EBX, 23, "clflushopt")                                   \
    X(CLWB, W_7_EBX, 24, "clwb")                                               \
    X(AVX512CD, W_7_EBX, 28, "avx512cd")                                       \
    X(SHA_NI, W_7_EBX, 29, "sha_ni")                                           \
    X(AVX512BW, W_7_EBX, 30, "avx512bw")                                       \
    X(AVX512VL, W_7_EBX, 31, "avx512vl")                                       \
    X(AVX512VBMI, W_7_ECX, 1, "avx512vbmi")                                    \
    X(UMIP, W_7_ECX, 2, "umip")                                                \
    X(PKU, W_7_ECX, 3, "pku")                                                  \
    X(AVX512_VBMI2, W_7_ECX, 6, "avx512_vbmi2")                                \
    X(GFNI, W_7_ECX, 8, "gfni")                                                \
    X(VAES, W_7_ECX, 9, "vaes")                                                \
    X(VPCLMUL, W_7_ECX, 10, "vpclmulqdq")                                      \
    X(AVX512_VNNI, W_7_ECX, 11, "avx512_vnni")                                 \
    X(AVX512_BITALG, W_7_ECX, 12, "avx512_bitalg")                             \
    X(AVX512_VPOPCNT, W_7_ECX, 14, "avx512_vpopcntdq")                         \
    X(RDPID, W_7_ECX, 22, "rdpid")                                             \
    X(FSRM, W_7_EDX, 4, "fsrm")                                                \
    X(AVX512_BF16, W_7_1_EAX, 5, "avx512_bf16")                                \
    X(XSAVEOPT, W_D_1_EAX, 0, "xsaveopt")                                      \
    X(XSAVEC, W_D_1_EAX, 1, "xsavec")                                          \
    X(XGETBV1, W_D_1_EAX, 2, "xgetbv1")                                        \
    X(XSAVES, W_D_1_EAX, 3, "xsaves")                                          \
    X(LAHF, W_EXT_1_ECX, 0, "lahf_lm")                                         \
    X(CR8_LEGACY, W_EXT_1_ECX, 4, "cr8_legacy")                                \
    X(ABM, W_EXT_1_ECX, 5, "abm")                                              \
    X(SSE4A, W_EXT_1_ECX, 6, "sse4a")                                          \
    X(MISALIGNSSE, W_EXT_1_ECX, 7, "misalignsse")                              \
    X(PREFETCHW, W_EXT_1_ECX, 8, "3dnowprefetch")                              \
    X(SYSCALL, W_EXT_1_EDX, 11, "syscall")                                     \
    X(NX, W_EXT_1_EDX, 20, "nx")                                               \
    X(MMXEXT, W_EXT_1_EDX, 22, "mmxext")                                       \
    X(FXSR_OPT, W_EXT_1_EDX, 25, "fxsr_opt")                                   \
    X(GIB_PAGES, W_EXT_1_EDX, 26, "pdpe1gb")                                   \
    X(RDTSCP, W_EXT_1_EDX, 27, "rdtscp")                                       \
    X(LM, W_EXT_1_EDX, 29, "lm")                                               \
    X(CLZERO, W_EXT_8_EBX, 0, "clzero")                                        \
    X(XSAVEERPTR, W_EXT_8_EBX, 2, "xsaveerptr")                                \
    X(WBNOINVD, W_EXT_8_EBX, 9, "wbnoinvd")

#define X(id, word, bit, text) F_##id = CPUID_FEATURE(word, bit),
enum feature { FEATURES(X) };
#undef X

#define B(n) (UINT32_C(1) << (n))

const uint32_t cpuid_optional[CPUID_WORDS] = {
    /* x2apic, TSC deadline (KVM gives both), OSXSAVE (follows CR4), a
     * hypervisor is present */
    [W_1_ECX] = B(21) | B(24) | B(27) | B(31),
    [W_1_EDX] = B(28), /* several processors */
    /* TSC_ADJUST (KVM gives it); how the FPU keeps its last pointers */
    [W_7_EBX] = B(1) | B(6) | B(13),
    /* MD_CLEAR, SPEC_CTRL, STIBP, FLUSH_L1D, ARCH_CAPABILITIES, SSBD */
    [W_7_EDX] = B(10) | B(26) | B(27) | B(28) | B(29) | B(31),
    /* PSFD, IPRED_CTRL, RRSBA_CTRL, DDPD_U, BHI_CTRL, MCDT_NO */
    [W_7_2_EDX] = 0x3f,
    [W_EXT_1_ECX] = B(1) | B(9) | B(22), /* CMP_LEGACY, OSVW, TOPOEXT */
    /* AMD's copies of leaf 1's bits */
    [W_EXT_1_EDX] = 0x0183f3ff,
    /* IBPB, IBRS, STIBP, STIBP always on, SSBD (three), PSFD, BTC_NO */
    [W_EXT_8_EBX] =
        B(12) | B(14) | B(15) | B(17) | B(24) | B(25) | B(26) | B(28) | B(29),
    /* LFENCE serialises, null selectors clear the base, SBPB, IBPB_BRTYPE,
     * SRSO_NO (two) */
    [W_EXT_21_EAX] = B(2) | B(6) | B(27) | B(28) | B(29) | B(30),
};

const char *
cpuid_feature_name(uint16_t feature)
{
    switch (feature) {
#define X(id, word, bit, text)                                                 \
    case F_##id:                                                               \
        return text;
        FEATURES(X)
#undef X
    default:
        return NULL;
    }
}

/* Leaf 1's EAX: extended family and model in front. */
#define FMS(family, model, stepping)                                           \
    (((family) > 15 ? (uint32_t)(family)-15 : 0) << 20 |                       \
     ((uint32_t)(model) >> 4) << 16 |                                          \
     ((family) > 15 ? 15u : (uint32_t)(family)) << 8 |                         \
     ((uint32_t)(model)&15) << 4 | (stepping))

#define LIST(...)                                                              \
    .features = (const uint16_t[]){__VA_ARGS__},                               \
    .n_features = ARRAY_SIZE(((const uint16_t[]){__VA_ARGS__}))

static const struct cpuid_model host = {
    .name = "host", .about = "everything that this host has"};

/* What 64-bit kernels take for granted, and the level. Family and model are
 * the oldest server generation's with the level: a guest that looks up flaws
 * by them must expect the worst. */
static const struct cpuid_model v2 = {
    .name = "x86-64-v2",
    .about = "psABI level 2: SSE4.2, POPCNT, CMPXCHG16B",
    .intel_fms = FMS(6, 26, 3),
    .amd_fms = FMS(0x17, 1, 2),
    LIST(F_FPU, F_DE, F_PSE, F_TSC, F_MSR, F_PAE, F_MCE, F_CX8, F_APIC, F_SEP,
         F_MTRR, F_PGE, F_MCA, F_CMOV, F_PAT, F_PSE36, F_CLFLUSH, F_MMX, F_FXSR,
         F_SSE, F_SSE2, F_SYSCALL, F_NX, F_LM, F_SSE3, F_SSSE3, F_CX16,
         F_SSE4_1, F_SSE4_2, F_POPCNT, F_LAHF)};

/* From here on with what every server that has the level has as well. */
static const struct cpuid_model v3 = {
    .name = "x86-64-v3",
    .about = "psABI level 3: AVX2, BMI, FMA; AES, RDRAND, SMEP",
    .base = &v2,
    .intel_fms = FMS(6, 63, 2),
    .amd_fms = FMS(0x17, 1, 2),
    LIST(F_XSAVE, F_AVX, F_AVX2, F_BMI1, F_BMI2, F_F16C, F_FMA, F_ABM, F_MOVBE,
         F_XSAVEOPT, F_AES, F_PCLMUL, F_RDRAND, F_FSGSBASE, F_SMEP, F_RDTSCP,
         F_GIB_PAGES)};

static const struct cpuid_model v4 = {
    .name = "x86-64-v4",
    .about = "psABI level 4: AVX-512 F, BW, CD, DQ, VL",
    .base = &v3,
    .intel_fms = FMS(6, 85, 4),
    .amd_fms = FMS(0x19, 17, 1),
    LIST(F_AVX512F, F_AVX512BW, F_AVX512CD, F_AVX512DQ, F_AVX512VL)};

static const struct cpuid_model skylake = {
    .name = "Skylake-Server",
    .about = "Intel, 2017, without TSX",
    .base = &v4,
    .vendor = VENDOR_INTEL,
    .intel_fms = FMS(6, 85, 4),
    LIST(F_VME, F_PCID, F_INVPCID, F_ERMS, F_RDSEED, F_ADX, F_SMAP,
         F_CLFLUSHOPT, F_CLWB, F_PKU, F_XSAVEC, F_XGETBV1, F_XSAVES,
         F_PREFETCHW)};

static const struct cpuid_model cascadelake = {.name = "Cascadelake-Server",
                                               .about =
                                                   "Intel, 2019, without TSX",
                                               .base = &skylake,
                                               .vendor = VENDOR_INTEL,
                                               .intel_fms = FMS(6, 85, 7),
                                               LIST(F_AVX512_VNNI)};

static const struct cpuid_model icelake = {
    .name = "Icelake-Server",
    .about = "Intel, 2021, without TSX",
    .base = &cascadelake,
    .vendor = VENDOR_INTEL,
    .intel_fms = FMS(6, 106, 6),
    LIST(F_AVX512IFMA, F_SHA_NI, F_AVX512VBMI, F_UMIP, F_AVX512_VBMI2, F_GFNI,
         F_VAES, F_VPCLMUL, F_AVX512_BITALG, F_AVX512_VPOPCNT, F_RDPID,
         F_FSRM)};

static const struct cpuid_model epyc = {
    .name = "EPYC",
    .about = "AMD, 2017 (Naples)",
    .base = &v3,
    .vendor = VENDOR_AMD,
    .amd_fms = FMS(0x17, 1, 2),
    LIST(F_VME, F_RDSEED, F_ADX, F_SMAP, F_CLFLUSHOPT, F_SHA_NI, F_XSAVEC,
         F_XGETBV1, F_CR8_LEGACY, F_SSE4A, F_MISALIGNSSE, F_PREFETCHW, F_MMXEXT,
         F_FXSR_OPT)};

static const struct cpuid_model rome = {.name = "EPYC-Rome",
                                        .about = "AMD, 2019",
                                        .base = &epyc,
                                        .vendor = VENDOR_AMD,
                                        .amd_fms = FMS(0x17, 49, 0),
                                        LIST(F_CLWB, F_RDPID, F_UMIP, F_XSAVES,
                                             F_CLZERO, F_XSAVEERPTR,
                                             F_WBNOINVD)};

static const struct cpuid_model milan = {
    .name = "EPYC-Milan",
    .about = "AMD, 2021",
    .base = &rome,
    .vendor = VENDOR_AMD,
    .amd_fms = FMS(0x19, 1, 1),
    LIST(F_PCID, F_INVPCID, F_ERMS, F_FSRM, F_PKU, F_VAES, F_VPCLMUL)};

static const struct cpuid_model genoa = {
    .name = "EPYC-Genoa",
    .about = "AMD, 2022",
    .base = &milan,
    .vendor = VENDOR_AMD,
    .amd_fms = FMS(0x19, 17, 1),
    LIST(F_AVX512F, F_AVX512BW, F_AVX512CD, F_AVX512DQ, F_AVX512VL,
         F_AVX512IFMA, F_AVX512VBMI, F_AVX512_VBMI2, F_GFNI, F_AVX512_VNNI,
         F_AVX512_BITALG, F_AVX512_VPOPCNT, F_AVX512_BF16)};

const struct cpuid_model *const cpuid_model_list[] = {
    &host,    &v2,   &v3,   &v4,    &skylake, &cascadelake,
    &icelake, &epyc, &rome, &milan, &genoa,
};
const size_t cpuid_model_count = ARRAY_SIZE(cpuid_model_list);
