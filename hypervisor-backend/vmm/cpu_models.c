/* cpu_models.c - the processor models that this host has; see cpu_models.h. */
#include <config.h>

#include "hypervisor-backend/vmm/cpu_models.h"

#include <stdio.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/cpuid_model.h"
#include "hypervisor-backend/vmm/kvm.h"
#include "hypervisor-backend/vmm/options.h"

static int
get_supported(struct kvm_cpuid2 **ret, struct err *reterr)
{
    struct kvm k;
    int r = kvm_open(&k, -1, reterr);

    if (r < 0)
        return r;
    r = kvm_supported_cpuid(&k, ret);
    kvm_release(&k);
    return r < 0 ? err_errno(reterr, r, "KVM_GET_SUPPORTED_CPUID") : 0;
}

int
cpu_models_main(int argc)
{
    struct err e _cleanup_(err_release) = {0};
    struct kvm_cpuid2 *supported = NULL;
    struct cpuid_model_info m;

    if (argc > 0) {
        options_usage(stderr);
        return 2;
    }
    if (get_supported(&supported, &e) < 0) {
        fprintf(stderr, "virga-vmm: cpu-models: %s\n", e.message);
        return 1;
    }
    for (size_t i = 0; cpuid_models(supported, i, &m); i++) {
        printf("%-18s %-3s %s", m.name, m.runs ? "yes" : "no", m.about);
        if (!m.runs)
            printf(" (missing: %s)", m.missing);
        putchar('\n');
    }
    free(supported);
    if (fflush(stdout) == 0)
        return 0;
    fprintf(stderr, "virga-vmm: cpu-models: %s\n", strerrordesc_np(errno));
    return 1;
}
