/* dev_balloon.c - virtio memory balloon; see dev_balloon.h. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_balloon.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

#include "common/count.h"
#include "common/mem.h"

enum {
    QUEUE_INFLATE,
    QUEUE_DEFLATE,
    QUEUE_THIRD, /* statistics or reporting, see queue_role() */
    QUEUE_FOURTH,
    N_QUEUES,
    QUEUE_SIZE = 128,
    PAGE_SHIFT = VIRTIO_BALLOON_PFN_SHIFT, /* whatever the guest's page */
    PFN_BATCH = 256,
    LONGEST_LIST = 1 << 20, /* bytes of page numbers in one request */
};

enum role { INFLATE, DEFLATE, STATS, REPORT, NOTHING };

struct dev_balloon {
    struct virtio *v;
    struct dev_balloon_stats stats;
    bool has_stats_buffer;
    uint16_t stats_head;
    struct iovec iov[QUEUE_SIZE];
};

/* Section 5.5.2 numbers the queues, but queues of features that were not
 * negotiated do not count: so do the drivers. */
static enum role
queue_role(const struct dev_balloon *d, unsigned q)
{
    bool stats = virtio_has(d->v, VIRTIO_BALLOON_F_STATS_VQ);

    if (q <= QUEUE_DEFLATE)
        return q == QUEUE_INFLATE ? INFLATE : DEFLATE;
    if (stats && q == QUEUE_THIRD)
        return STATS;
    if (virtio_has(d->v, VIRTIO_BALLOON_F_REPORTING) &&
        q == (stats ? QUEUE_FOURTH : QUEUE_THIRD))
        return REPORT;
    return NOTHING;
}

static void
discard(struct dev_balloon *d, uint64_t gpa, uint64_t len, uint64_t *total)
{
    if (gmem_discard(d->v->gmem, gpa, len) < 0) {
        COUNT(vmm_balloon_bad_page);
        d->stats.bad_pages += len >> PAGE_SHIFT;
        return;
    }
    *total += len;
}

/* Runs of neighbours go back in one piece. A page number has 32 bits, so its
 * address fits 64. */
static void
inflate(struct dev_balloon *d, const uint32_t *pfn, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t run = 1;

        while (i + run < n && pfn[i + run] == pfn[i] + run &&
               pfn[i + run] > pfn[i])
            run++;
        uint64_t gpa = (uint64_t)pfn[i] << PAGE_SHIFT;
        uint64_t len = (uint64_t)run << PAGE_SHIFT;

        /* One bad page must not keep the good ones of its run. */
        if (gmem_ptr(d->v->gmem, gpa, len)) {
            discard(d, gpa, len, &d->stats.inflated_bytes);
        } else {
            run = 1;
            discard(d, gpa, UINT64_C(1) << PAGE_SHIFT,
                    &d->stats.inflated_bytes);
        }
        i += run;
    }
}

static bool
page_list(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_balloon *d = self;
    uint32_t pfn[PFN_BATCH];
    size_t at = 0, n;

    if (c->n_in || c->out_len % sizeof(pfn[0]) || c->out_len > LONGEST_LIST) {
        virtio_fail(d->v, "odd list of balloon pages");
        return false;
    }
    while ((n = virtq_copy_out(c, at, pfn, sizeof(pfn))) > 0) {
        at += n;
        if (queue_role(d, q) == INFLATE)
            inflate(d, pfn, n / sizeof(pfn[0]));
        else
            d->stats.deflated_bytes += n / sizeof(pfn[0]) << PAGE_SHIFT;
    }
    virtio_push(d->v, q, c->head, 0);
    return true;
}

/* Where a pointer of gmem_ptr() lies in the guest. */
static uint64_t
gpa_of(const struct dev_balloon *d, const void *p)
{
    const struct gmem_region *r;
    size_t n = gmem_regions(d->v->gmem, &r);

    for (size_t i = 0; i < n; i++) {
        uintptr_t off = (uintptr_t)p - (uintptr_t)r[i].host;

        if (off < r[i].size)
            return r[i].gpa + off;
    }
    return UINT64_MAX; /* and gmem_discard() refuses */
}

/* Section 5.5.6.7: writable buffers whose content does not matter. */
static bool
free_pages(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_balloon *d = self;

    if (c->n_out) {
        virtio_fail(d->v, "free page report with readable memory");
        return false;
    }
    for (unsigned i = 0; i < c->n_in; i++)
        discard(d, gpa_of(d, c->iov[i].iov_base), c->iov[i].iov_len,
                &d->stats.reported_bytes);
    virtio_push(d->v, q, c->head, 0);
    return true;
}

/* Section 5.5.6.3: the device keeps the buffer until it wants an update. */
static bool
statistics(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_balloon *d = self;
    struct virtio_balloon_stat s[64];
    size_t n;

    if (c->n_in || d->has_stats_buffer) {
        virtio_fail(d->v, "odd balloon statistics");
        return false;
    }
    n = virtq_copy_out(c, 0, s, sizeof(s)) / sizeof(s[0]);
    for (size_t i = 0; i < n; i++) {
        if (s[i].tag >= DEV_BALLOON_TAGS)
            continue;
        /* No reader of our statistics' JSON takes more: with it the guest
         * would have none of them read. */
        if (s[i].val > INT64_MAX) {
            COUNT(vmm_balloon_odd_stat);
            continue;
        }
        d->stats.tag[s[i].tag] = s[i].val;
        d->stats.tags_present |= 1U << s[i].tag;
    }
    d->stats.updates++;
    d->has_stats_buffer = true;
    d->stats_head = c->head;
    (void)q;
    return true;
}

static void
queue(void *self, unsigned q)
{
    struct dev_balloon *d = self;
    struct virtq_chain c = {.iov = d->iov, .room = QUEUE_SIZE};

    switch (queue_role(d, q)) {
    case INFLATE:
    case DEFLATE:
        virtio_each(d->v, q, &c, NULL, page_list);
        break;
    case STATS:
        virtio_each(d->v, q, &c, NULL, statistics);
        break;
    case REPORT:
        virtio_each(d->v, q, &c, NULL, free_pages);
        break;
    case NOTHING:
        break;
    }
}

static bool
reset(void *self)
{
    struct dev_balloon *d = self;
    uint32_t zero = 0;

    d->has_stats_buffer = false;
    d->stats.tags_present = 0;
    d->stats.actual_bytes = 0;
    memcpy(d->v->config + offsetof(struct virtio_balloon_config, actual), &zero,
           sizeof(zero));
    return true;
}

static void
config_written(void *self, unsigned offset, unsigned size)
{
    struct dev_balloon *d = self;
    uint32_t actual;

    (void)offset;
    (void)size;
    memcpy(&actual,
           d->v->config + offsetof(struct virtio_balloon_config, actual),
           sizeof(actual));
    d->stats.actual_bytes = (uint64_t)actual << PAGE_SHIFT;
}

static const struct virtio_type balloon_type = {
    .name = "balloon",
    .id = VIRTIO_ID_BALLOON,
    .queue = queue,
    .reset = reset,
    .config_written = config_written,
};

int
dev_balloon_new(struct gmem *g, struct io_loop *loop, bool deflate_on_oom,
                struct dev_balloon **ret)
{
    struct dev_balloon *d = xnew(struct dev_balloon);
    uint64_t mem = gmem_size(g);
    /* A report may name all of memory, a list only so much. */
    uint32_t max = (uint32_t)MIN(mem + LONGEST_LIST, UINT64_C(0xffffffff));
    int r =
        virtio_new(&balloon_type, d, g, loop, N_QUEUES, QUEUE_SIZE, max, &d->v);

    if (r < 0) {
        free(d);
        return r;
    }
    d->v->offered |= VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ) |
                     VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING);
    if (deflate_on_oom)
        d->v->offered |= VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
    d->v->config_size =
        offsetof(struct virtio_balloon_config, free_page_hint_cmd_id);
    memset(d->v->config_writable +
               offsetof(struct virtio_balloon_config, actual),
           0xff, 4);
    *ret = d;
    return 0;
}

void
dev_balloon_free(struct dev_balloon *d)
{
    if (!d)
        return;
    virtio_stop(d->v);
    virtio_free(d->v);
    free(d);
}

struct virtio *
dev_balloon_virtio(struct dev_balloon *d)
{
    return d->v;
}

int
dev_balloon_set_target(struct dev_balloon *d, uint64_t bytes)
{
    uint32_t pages;

    if (bytes > gmem_size(d->v->gmem) || bytes >> PAGE_SHIFT > UINT32_MAX)
        return -EINVAL;
    pages = (uint32_t)(bytes >> PAGE_SHIFT);
    pthread_mutex_lock(&d->v->lock);
    d->stats.target_bytes = (uint64_t)pages << PAGE_SHIFT;
    memcpy(d->v->config + offsetof(struct virtio_balloon_config, num_pages),
           &pages, sizeof(pages));
    virtio_config_changed(d->v);
    pthread_mutex_unlock(&d->v->lock);
    return 0;
}

int
dev_balloon_poll_stats(struct dev_balloon *d)
{
    int r = -EAGAIN;

    pthread_mutex_lock(&d->v->lock);
    if (d->has_stats_buffer && virtio_live(d->v)) {
        d->has_stats_buffer = false;
        virtio_push(d->v, QUEUE_THIRD, d->stats_head, 0);
        virtio_flush(d->v, QUEUE_THIRD);
        r = 0;
    }
    pthread_mutex_unlock(&d->v->lock);
    return r;
}

void
dev_balloon_stats(struct dev_balloon *d, struct dev_balloon_stats *ret)
{
    pthread_mutex_lock(&d->v->lock);
    *ret = d->stats;
    pthread_mutex_unlock(&d->v->lock);
}
