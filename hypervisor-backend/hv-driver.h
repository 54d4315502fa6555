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
    int (*host)(void *d, struct hv_host *ret, struct err *e);
    int (*console_open)(void *d, const char *id, int *ret_fd, struct err *e);
};

extern const struct hv_driver hv_driver_libvirt;
extern const struct hv_driver hv_driver_sim;

#endif
