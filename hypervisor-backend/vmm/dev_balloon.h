/* hypervisor-backend/vmm/dev_balloon.h - virtio memory balloon.
 * Role:      takes pages back from the guest (inflate, free page reporting)
 *            and returns them to the host; asks for statistics.
 * Ownership: dev_balloon_free() after virtio_pci_free().
 * Threads:   see virtio.h; target and stats from any thread.
 * Errors:    a page number outside of memory is counted and skipped: the
 *            guest harms only itself; a request of the wrong shape
 *            NEEDS_RESET.
 * Source:    VIRTIO 1.2, section 5.5. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_BALLOON_H
#define HYPERVISOR_BACKEND_VMM_DEV_BALLOON_H

#include "hypervisor-backend/vmm/virtio.h"

#define DEV_BALLOON_CLASS 0x00ff00
#define DEV_BALLOON_TAGS 16 /* VIRTIO_BALLOON_S_*; more are ignored */

struct dev_balloon;

struct dev_balloon_stats {
    uint64_t target_bytes, actual_bytes; /* taken from the guest */
    uint64_t inflated_bytes, deflated_bytes, reported_bytes; /* in all */
    uint64_t bad_pages;
    uint64_t updates;      /* statistics received so far */
    uint32_t tags_present; /* bit per tag */
    uint64_t tag[DEV_BALLOON_TAGS];
};

int dev_balloon_new(struct gmem *g, struct io_loop *loop, bool deflate_on_oom,
                    struct dev_balloon **ret) _must_check_;
void dev_balloon_free(struct dev_balloon *d);
struct virtio *dev_balloon_virtio(struct dev_balloon *d);
/* -EINVAL above the guest's memory. Rounded down to 4 KiB pages. */
int dev_balloon_set_target(struct dev_balloon *d, uint64_t bytes) _must_check_;
/* Asks the guest for fresh statistics; they show in stats, with one more
 * update, once it answers. -EAGAIN: it still owes an answer, or has no such
 * queue. */
int dev_balloon_poll_stats(struct dev_balloon *d) _must_check_;
void dev_balloon_stats(struct dev_balloon *d, struct dev_balloon_stats *ret);

#endif
