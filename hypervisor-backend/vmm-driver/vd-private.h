/* hypervisor-backend/vmm-driver/vd-private.h - what the parts of the driver
 * `vmm` share; README.md has the picture.
 * Role:      private to vmm-driver/ and its tests.
 * Threads:   a struct vd_vm is made and freed by the one call for its id that
 *            runs, and linked under vd.lock. What is marked `lock` needs that
 *            lock; `call` belongs to the one call for this id; the rest does
 *            not change while it is linked. Where a VM ended is found and
 *            recorded by the watcher's thread alone (vd-watch.c).
 * Errors:    as in hv.h. */
#ifndef HYPERVISOR_BACKEND_VMM_DRIVER_VD_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_DRIVER_VD_PRIVATE_H

#include <pthread.h>
#include <sys/types.h>
#include <uthash.h>

#include "common/buf.h"
#include "hypervisor-backend/hv-driver.h"
#include "hypervisor-backend/vmm-driver/cgroup.h"

#define VD_RECORD "vm.json"
#define VD_SOCKET "control.sock"
#define VD_END "end"
#define VD_LOG "vmm.log"

/* VMs on this node at most. Each has the user id base + slot, and its NICs'
 * programs base + VD_UID_SLOTS + slot. */
#define VD_UID_SLOTS 65536

/* Longest wait for a VMM's answer; one that hangs costs no more. */
#define VD_CTL_MS 3000
#define VD_STATS_MS 1000
/* From exec to the first answer: guest memory may have to be allocated. */
#define VD_START_MS 20000

/* From its own word about its end to a VMM's death: what it has under way is
 * written out. */
#define VD_DYING_US (30 * INT64_C(1000000))

/* What is kept of a VM on disk, and of what it takes to know its process
 * again: its number says nothing by itself, numbers are given away anew. */
struct vd_record {
    char *id, *name, *dir;
    int64_t run;
    int64_t pid, start_ticks; /* proc(5), stat field 22 */
    char *boot_id;
    int64_t exe_dev, exe_ino;
    int64_t slot; /* its user id is the base's + slot */
    int64_t started_us;
    bool killing; /* we are ending it by force */
    int end;      /* enum hv_end; HV_END_NONE: no end is known */
    int64_t ended_us;
};

void vd_record_release(struct vd_record *r);
int vd_record_read(const char *path, const char *id, struct vd_record *ret,
                   struct err *reterr) _must_check_;
int vd_record_write(const char *path, const struct vd_record *r,
                    struct err *reterr) _must_check_;
/* What the VMM wrote about its end (CONTROL.md). */
struct vd_end {
    enum hv_end end;
    int64_t at_us;
    bool failed;     /* the VMM itself could not go on */
    char words[300]; /* why, if it said so */
};
/* -ENODATA: nothing was written. */
int vd_end_read(const char *path, struct vd_end *ret,
                struct err *reterr) _must_check_;

struct vd_vm {
    char id[ID_SIZE];
    UT_hash_handle hh;     /* lock */
    struct vd_record rec;  /* killing, end, ended_us: lock */
    enum hv_state state;   /* lock */
    bool starting;         /* lock: nobody sees it yet */
    bool settled;          /* lock: its end is in the record, for good */
    bool foreign;          /* something answers that no record tells of */
    int pidfd;             /* lock; -1: it ended */
    int64_t mute_until_us; /* lock: it did not answer, monotonic */
};

struct vd {
    char *dir; /* STATE_DIR/vmm */
    char *vms; /* …/vms: one folder per VM */
    int vms_fd, jails_fd;
    char *binary, *usernet;
    uint32_t uid_base;
    struct cgroup_root *cgroups;
    char boot_id[ID_SIZE];
    bool hardware;
    unsigned cpus;
    void (*on_event)(const char *id, void *arg);
    void *arg;

    /* Taken before `lock`: one record is written at a time, from what is known
     * of its VM then. */
    pthread_mutex_t records;
    pthread_mutex_t lock;
    pthread_cond_t ended;    /* lock: some VM's end was recorded */
    struct vd_vm *table;     /* lock */
    unsigned char *slots;    /* lock: one byte each, in use or not */
    int64_t next_slot;       /* lock */
    char ask_first[ID_SIZE]; /* lock: the last scrape had no time for it */

    pthread_t watcher;
    bool watching; /* the thread runs */
    int epoll_fd, helpers_fd, stop_fd;
    int *helpers; /* lock: pidfds */
    size_t n_helpers;
};

/* vd.c */
char *vd_path(const struct vd *d, const char *id, const char *name);
struct vd_vm *vd_find_locked(struct vd *d, const char *id);
struct vd_vm *vd_vm_new(const char *id);
void vd_vm_free(struct vd_vm *vm);
/* Frees the slot and everything on disk of a VM that does not run (any more)
 * or never did. */
int vd_remove_files(struct vd *d, const char *id,
                    struct err *reterr) _must_check_;
/* What only a running VM needs: cgroup and jail. */
int vd_remove_shell(struct vd *d, const char *id,
                    struct err *reterr) _must_check_;
int64_t vd_slot_take(struct vd *d);
void vd_slot_put(struct vd *d, int64_t slot);

/* vd-programs.c: a program that is not there stays NULL; VMs that run are
 * looked after without. One that is configured must be there. */
int vd_find_programs(const struct hv_config *cfg, char **ret_vmm,
                     char **ret_usernet, struct err *reterr) _must_check_;

/* A running VM for the length of a call. */
struct vd_held {
    int pidfd;
    pid_t pid;
    bool muted; /* it did not answer a moment ago */
};
static inline void
vd_held_release(struct vd_held *h)
{
    closep(&h->pidfd);
}
int vd_hold(struct vd *d, const char *id, struct vd_held *ret,
            struct err *reterr) _must_check_;
/* It did not answer: it is not asked for figures for a while. */
void vd_mute(struct vd *d, const char *id);
/* What a call's r is if the VM ended meanwhile: -ENOENT "not_running". */
int vd_ended_meanwhile(const struct vd_held *h, const char *id, int r,
                       struct err *reterr);

/* vd-adopt.c: everything that is found in the state folder. */
int vd_adopt_all(struct vd *d, struct err *reterr) _must_check_;
/* The time a process began, in ticks since boot. */
int vd_start_ticks(pid_t pid, int64_t *ret) _must_check_;
int vd_exe_of(pid_t pid, int64_t *ret_dev, int64_t *ret_ino) _must_check_;

/* vd-watch.c: init, then VMs may be added, then start. */
int vd_watch_init(struct vd *d) _must_check_;
int vd_watch_start(struct vd *d) _must_check_;
void vd_watch_stop(struct vd *d);
/* From now on the watcher owns its end. */
int vd_watch_add(struct vd *d, struct vd_vm *vm) _must_check_;
/* A helper of a VM, to be reaped when it ends; takes pidfd over. */
int vd_helper_add(struct vd *d, int pidfd) _must_check_;
/* Waits until the VM's end was recorded; -ETIMEDOUT. */
int vd_watch_wait(struct vd *d, const char *id, int timeout_ms) _must_check_;

/* vd-spawn.c: a program in the background, of which the caller holds the
 * only handle. */
struct vd_spawn {
    const char *path;
    const char *const *argv;
    const int *fds; /* become 3, 4, …; none below 3 + n_fds */
    size_t n_fds;
    int log_fd; /* its standard output and error */
    const int *procs_fds;
    unsigned n_procs;
    bool pid_ns;
};
int vd_spawn(const struct vd_spawn *s, pid_t *ret_pid, int *ret_pidfd,
             struct err *reterr) _must_check_;
/* Readable: the process is dead. 1 dead, 0 alive after timeout_ms. */
int vd_pidfd_wait(int pidfd, int timeout_ms);
/* Ends it and takes its status if it is our child. */
int vd_pidfd_kill(int pidfd, int timeout_ms) _must_check_;
void vd_pidfd_reap(int pidfd);

/* vd-start.c */
int vd_start(void *p, const struct hv_spec *spec, struct err *e);

/* vd-ctl.c: one request on a connection of its own. */
struct vd_call {
    const char *id;
    const char *request; /* "stats"; members may follow: "stop\",\"x\":1…" */
    int timeout_ms;
    int pidfd;      /* -1, or its death ends the wait: -ESRCH */
    int *ret_fd;    /* NULL, or the connection afterwards */
    pid_t *ret_pid; /* NULL, or who listens (SO_PEERCRED) */
};
/* The reply's line in ret. -ECONNREFUSED nobody listens, -ETIMEDOUT it hangs,
 * -ESRCH it died, -EPROTO it speaks another language, -EIO it refused. */
struct vd_describe {
    char *id, *state;
    int64_t run, started_us;
};
void vd_describe_release(struct vd_describe *r);
int vd_ctl(struct vd *d, const struct vd_call *c, struct buf *ret,
           struct err *reterr) _must_check_;
int vd_ctl_describe(struct vd *d, const struct vd_call *c,
                    struct vd_describe *ret, struct err *reterr) _must_check_;
/* A listening socket of that name in the VM's folder. */
int vd_ctl_listen(struct vd *d, const char *id, int *ret_fd,
                  struct err *reterr) _must_check_;

/* vd-stats.c */
int vd_stats(void *p, const char *id, struct hv_stats *ret, struct err *e);
int vd_metrics(void *p, struct buf *out, struct err *e);

#endif
