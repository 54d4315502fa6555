/* hypervisor-backend/hv-private.h - what hv.c's own parts and tests share.
 * Role:    private to hypervisor-backend/ and its tests.
 * Threads: a struct hv never changes after hv_open(), but for what is marked
 *          `lock`. */
#ifndef HYPERVISOR_BACKEND_HV_PRIVATE_H
#define HYPERVISOR_BACKEND_HV_PRIVATE_H

#include <pthread.h>
#include <string.h>

#include "hypervisor-backend/hv-driver.h"

/* The bound of a console log. The least keeps more than one block of any
 * usual file system, the most is what a reader may have to hold in memory. */
#define HV_CONSOLE_LOG_MIN (16u << 10)
#define HV_CONSOLE_LOG_DEFAULT (1u << 20)
#define HV_CONSOLE_LOG_MAX (64u << 20)

struct hv {
    const struct hv_driver *drv;
    void *d;
    uint64_t console_log_bytes;
    pthread_mutex_t lock;
    char ask_first[ID_SIZE]; /* lock: the last scrape had no time for it */
};

/* One scrape asks one VM after the other, each of which may take its time: a
 * part (the common and the driver's) begins with none after so long. Who was
 * left out comes first next time. */
#define HV_SCRAPE_MS 1500
/* Of n ids, `stride` bytes apart: where in a round to begin. */
static inline size_t
hv_scrape_first(const char *ids, size_t stride, size_t n, const char *first)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(ids + i * stride, first) == 0)
            return i;
    return 0;
}

/* Checks every part of a spec and collects all faults, each with its pointer.
 * Without a guest (HV_CAP_NO_GUEST) there need not be anything to boot.
 * 0 or -EINVAL. */
int hv_spec_check(const struct hv_spec *spec, unsigned caps,
                  struct err *reterr) _must_check_;

/* A spec's limits for the VM as a whole, in the terms of cgroup.h. */
struct hv_cpu {
    unsigned shares; /* 1..10000: more counts as that */
    uint32_t limit_millicpu, reserve_millicpu; /* 0: none */
    bool asked; /* something else than the usual: to be missed if left out */
};
struct hv_cpu hv_spec_cpu(const struct hv_spec *spec);

/* Runs about ten million guest instructions on the KVM device at path and
 * gives their rate; stops at the deadline with the rate reached so far.
 * Negative errno, with `ret_why` set, when there is no KVM to measure. */
int hv_probe_kvm_rate(const char *path, int deadline_ms, double *ret_per_s,
                      char *ret_why, size_t why_size) _must_check_;

#endif
