/* agentd/disk.h - an instance's root disk.
 * Role:      a file in the instance's folder, in the format that the driver
 *            wants: qcow2, an overlay on a cached image part, or raw, a
 *            (sparse or shared) copy of it; or blank. Made whole or not at
 *            all.
 * Ownership: strings are borrowed; *ret_path belongs to the caller.
 * Threads:   reentrant, one call at a time for each instance.
 * Errors:    -ENOSPC "no_space"; -EINVAL "disk_too_small"; -EIO
 *            "disk_failed" with qemu-img's words.
 * Source:    qemu-img(1), ioctl_ficlone(2). */
#ifndef AGENTD_DISK_H
#define AGENTD_DISK_H

#include "api/resources.h"
#include "common/err.h"

/* root.raw, root.qcow2 */
#define DISK_FILE "root."

/* A disk that is there already is left alone; one in the other format (of
 * another driver) is converted, so that nothing in it is lost. base NULL:
 * blank. */
int disk_ensure(const char *dir, enum api_format format, const char *base_path,
                const struct api_image_part *base, int64_t size_bytes,
                char **ret_path, struct err *reterr) _must_check_;

#endif
