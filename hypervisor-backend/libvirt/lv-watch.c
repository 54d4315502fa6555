/* lv-watch.c - when VMs ended, to the moment; see lv-libvirt.h.
 * libvirt finds out that a QEMU is gone when its process has been reaped, and
 * the agent when it comes to look: seconds may lie between on a machine whose
 * init is slow, and usage is paid by the second. A pidfd tells at once. It
 * waits in libvirt's event loop, which lives as long as the process; so does
 * the list here, whatever connections come and go.
 *
 * Invariant: a watch is freed by who drops the last of its two references,
 * the list's and the event loop's. */
#include <config.h>

#include <pthread.h>
#include <string.h>
#include <sys/pidfd.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-libvirt.h"

struct watch {
    char id[ID_SIZE];
    uint64_t run;
    int fd;
    int handle; /* the event loop's; -1: it has none any more */
    int refs;
    int64_t ended_us; /* 0: it runs */
    struct watch *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watch *watches; /* guarded by lock, as are their members */

static void
unref(struct watch *w)
{
    if (--w->refs)
        return;
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

static void
on_released(void *arg)
{
    pthread_mutex_lock(&lock);
    unref(arg);
    pthread_mutex_unlock(&lock);
}

/* Under the lock. */
static void
stop_waiting(struct watch *w)
{
    if (w->handle >= 0 && virEventRemoveHandle(w->handle) < 0)
        COUNT(lv_watch_not_removed);
    w->handle = -1;
}

static void
on_end(int handle, int fd, int events, void *arg)
{
    struct watch *w = arg;

    pthread_mutex_lock(&lock);
    if (!w->ended_us)
        w->ended_us = clock_now_us();
    stop_waiting(w);
    pthread_mutex_unlock(&lock);
}

static struct watch **
find(const char *id)
{
    struct watch **p = &watches;

    while (*p && !streq((*p)->id, id))
        p = &(*p)->next;
    return p;
}

static void
drop(const char *id)
{
    struct watch **p = find(id), *w = *p;

    if (!w)
        return;
    *p = w->next;
    stop_waiting(w);
    unref(w);
}

/* The process may end, and its number be given away, between the two. */
static int
open_pid(const char *root, const char *id)
{
    int pid = lv_root_pid(root, id);
    int fd _cleanup_(closep) = pid > 0 ? pidfd_open(pid, 0) : -1;

    if (fd < 0 || lv_root_pid(root, id) != pid)
        return -ENOENT;
    return TAKE_FD(fd);
}

void
lv_watch(const char *root, const char *id, uint64_t run)
{
    int fd = root ? open_pid(root, id) : -ENOENT;
    struct watch *w;

    if (fd < 0)
        return; /* its end is seen as libvirt sees it */
    w = xnew(struct watch);
    snprintf(w->id, sizeof(w->id), "%s", id);
    w->run = run;
    w->fd = fd;
    w->refs = 2;
    pthread_mutex_lock(&lock);
    drop(id);
    w->next = watches;
    watches = w;
    w->handle = virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, on_end, w,
                                  on_released);
    if (w->handle < 0) {
        COUNT(lv_watch_failed);
        w->refs = 1;
        drop(id);
    }
    pthread_mutex_unlock(&lock);
}

int64_t
lv_watch_ended(const char *id, uint64_t run)
{
    pthread_mutex_lock(&lock);
    struct watch *w = *find(id);
    int64_t us = w && w->run == run ? w->ended_us : 0;
    pthread_mutex_unlock(&lock);
    return us;
}

void
lv_unwatch(const char *id)
{
    pthread_mutex_lock(&lock);
    drop(id);
    pthread_mutex_unlock(&lock);
}
