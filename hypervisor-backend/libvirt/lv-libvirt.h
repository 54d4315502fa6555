/* hypervisor-backend/libvirt/lv-libvirt.h - what touches libvirt's API.
 * Role:    private to the driver; see README.md.
 * Threads: libvirt's connection and domain handles may be used from any
 *          thread; its last error belongs to the calling thread. */
#ifndef HYPERVISOR_BACKEND_LIBVIRT_LV_LIBVIRT_H
#define HYPERVISOR_BACKEND_LIBVIRT_LV_LIBVIRT_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <pthread.h>

#include "hypervisor-backend/libvirt/lv-private.h"

static inline void
lv_domain_freep(virDomainPtr *d)
{
    if (*d)
        virDomainFree(*d);
    *d = NULL;
}

/* ---- libvirt.c: the open driver ---- */

struct lv_starting {
    char id[ID_SIZE];
    struct lv_starting *next;
};

struct lv {
    virConnectPtr conn;
    char *root; /* of the embedded libvirt; NULL with a URI from outside */
    char *ends;
    bool kvm;
    void (*on_event)(const char *id, void *arg);
    void *arg;
    int callback_id; /* -1: none */
    unsigned cpus;
    /* libvirt sets shares and limits of processors: not embedded, until a
     * start shows that it has no cgroups. */
    _Atomic bool cgroups;
    char version[64];

    /* Guarded by libvirt.c's events_lock. */
    bool callback_held; /* libvirt may still call on_lifecycle() */
    bool in_callback;   /* there is one event thread, so at most one */

    pthread_mutex_t lock; /* guards what follows and the files in `ends` */
    struct lv_starting *starting;
    char (*dead)[ID_SIZE]; /* whose QEMU was found gone; only in lv_open() */
    size_t n_dead;
};

/* Under the lock. */
bool lv_is_starting(struct lv *d, const char *id);
/* -ENOENT: the domain carries no metadata of ours. */
int lv_read_meta(virDomainPtr dom, struct lv_meta *ret) _must_check_;
/* Stores what libvirt knows of a domain's end, if it has ended; at_us is when,
 * or 0, unless lv-watch.c knows better. Under the lock. */
void lv_note_end(struct lv *d, virDomainPtr dom, const char *id, int64_t at_us);

/* Halted by hv_pause(), not by an I/O error of its disk, a watchdog or sleep.
 */
bool lv_paused_by_us(int state, int reason);

/* ---- lv-start.c ---- */
int lv_start(void *p, const struct hv_spec *spec, struct err *e) _must_check_;
/* Undefines and removes what is left of a domain that does not run. */
int lv_drop(struct lv *d, virDomainPtr dom, const char *id,
            struct err *e) _must_check_;

/* ---- lv-process.c: what exists once in a process ---- */

/* Starts libvirt's event loop in a thread of its own that lives as long as the
 * process, sends libvirt's words to log_path instead of stderr. The first call
 * counts. */
int lv_process_init(const char *log_path, struct err *reterr) _must_check_;

/* Keeps libvirt's log from growing without end; called now and then. */
void lv_bound_log(void);

/* This thread's last libvirt error as one of ours, with libvirt's words. */
int lv_error(struct err *e, const char *fmt, ...) _printf_(2, 3);
/* The VIR_ERR_* of this thread's last error. */
int lv_last_code(void);

/* ---- lv-call.c: calls that may hang with their QEMU ---- */

enum lv_op {
    LV_OP_CREATE,
    LV_OP_SHUTDOWN,
    LV_OP_PAUSE,
    LV_OP_RESUME,
    LV_OP_STATS,
};

/* Runs the operation in a thread of its own and waits for it at most
 * timeout_ms. A QEMU that does not answer keeps that thread, not the caller:
 * -ETIMEDOUT, and at once so for further calls until it answers or dies. */
int lv_call(virDomainPtr dom, const char *id, enum lv_op op, int timeout_ms,
            struct hv_stats *ret_stats, struct err *e) _must_check_;

/* ---- lv-watch.c: the moment of each end ---- */

/* Watches the process of the instance's QEMU, which runs now. */
void lv_watch(const char *root, const char *id, uint64_t run);
/* Wall clock of the end of that run; 0 when it is not known or not over. */
int64_t lv_watch_ended(const char *id, uint64_t run);
void lv_unwatch(const char *id);

/* ---- lv-stats.c ---- */
int lv_stats(virDomainPtr dom, struct hv_stats *ret,
             struct err *e) _must_check_;

#endif
