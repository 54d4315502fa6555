/* hypervisor-backend/hv-driver.h - the vtable behind hv.h.
 * Role: private to the drivers and hv.c, which checks arguments, picks the
 *       driver and dispatches. Functions mean what hv.h says of hv_*.
 * Threads, Errors: as in hv.h. */
#ifndef HYPERVISOR_BACKEND_HV_DRIVER_H
#define HYPERVISOR_BACKEND_HV_DRIVER_H

#include "hypervisor-backend/hv.h"

/* What a driver keeps in a VM's folder. */
#define HV_CONSOLE_LOG "console.log"
#define HV_CONSOLE_SOCK "console.sock"
/* What the driver vmm keeps in the state folder. */
#define HV_VMM_DIR "vmm"

struct hv_driver {
    const char *name;
    int (*open)(const struct hv_config *cfg, void **ret, struct err *e);
    void (*close)(void *d);
    unsigned (*caps)(void *d);
    int (*start)(void *d, const struct hv_spec *spec, struct err *e);
    int (*stop)(void *d, const char *id, bool force, struct err *e);
    int (*pause)(void *d, const char *id, struct err *e);
    int (*resume)(void *d, const char *id, struct err *e);
    int (*forget)(void *d, const char *id, struct err *e);
    int (*info)(void *d, const char *id, struct hv_vm *ret, struct err *e);
    int (*list)(void *d, struct hv_vm **ret, size_t *ret_n, struct err *e);
    int (*stats)(void *d, const char *id, struct hv_stats *ret, struct err *e);
    /* May be NULL: families beyond what hv_stats() gives, as hv_metrics(). */
    int (*metrics)(void *d, struct buf *out, struct err *e);
    int (*host)(void *d, struct hv_host *ret, struct err *e);
    int (*console_open)(void *d, const char *id, int *ret_fd, struct err *e);
};

extern const struct hv_driver hv_driver_libvirt;
extern const struct hv_driver hv_driver_sim;
extern const struct hv_driver hv_driver_vmm;

/* -ENOENT unless all programs are there that a VM of the driver vmm may need,
 * its networks' included. */
int hv_vmm_find_programs(const struct hv_config *cfg,
                         struct err *reterr) _must_check_;
/* Bytes of the host's memory: all, and what may be had (proc(5), meminfo). */
int hv_meminfo(uint64_t *ret_total, uint64_t *ret_free,
               struct err *reterr) _must_check_;

#endif
