/* agentd/disk.h - an instance's root disk.
 * Role:      a file in the instance's folder, in the format that the driver
 *            wants: qcow2, an overlay on a cached image part, or raw, a
 *            (sparse or shared) copy of it; or blank. Made whole or not at
 *            all, and grown but never shrunk.
 * Ownership: strings are borrowed; *ret_path belongs to the caller.
 * Threads:   reentrant, one call at a time for each instance.
 * Errors:    -ENOSPC "no_space"; -EINVAL "disk_too_small"; -EIO
 *            "disk_failed" with qemu-img's words. A disk that cannot be grown
 *            stays as it was.
 * Invariant: the disk's epoch is in its file's name, and the file is renamed
 *            to it when it is whole: whatever dies in between, no disk is
 *            ever taken for one of another epoch.
 * Source:    qemu-img(1), ioctl_ficlone(2); QEMU's docs/interop/qcow2.txt
 *            (header). */
#ifndef AGENTD_DISK_H
#define AGENTD_DISK_H

#include "api/resources.h"
#include "common/err.h"

/* root.raw or root.qcow2 in epoch 0, root-E.raw or root-E.qcow2 in epoch E */
#define DISK_FILE "root"

struct disk_spec {
    const char *dir;
    enum api_format format;
    const char *base_path; /* NULL: blank */
    const struct api_image_part *base;
    int64_t size_bytes; /* 0: the base's */
    int64_t epoch;
};

/* A disk of this epoch stays, and is grown to size_bytes; one in the other
 * format (of another driver) is converted, so that nothing in it is lost. One
 * of an older epoch goes, and is made anew. One of a newer epoch is what a
 * controller whose database was restored knows nothing of: it gets this
 * epoch. */
int disk_ensure(const struct disk_spec *spec, char **ret_path,
                struct err *reterr) _must_check_;

#endif
