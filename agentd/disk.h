/* agentd/disk.h - an instance's root disk.
 * Role:      a qcow2 file in the instance's folder: an overlay on a cached
 *            image part, or blank. Made whole or not at all.
 * Ownership: strings are borrowed.
 * Threads:   reentrant, one call at a time for each instance.
 * Errors:    -ENOSPC "no_space"; -EINVAL "disk_too_small"; -EIO
 *            "disk_failed" with qemu-img's words.
 * Source:    qemu-img(1). */
#ifndef AGENTD_DISK_H
#define AGENTD_DISK_H

#include "api/resources.h"
#include "common/err.h"

#define DISK_FILE "root.qcow2"

/* A disk that is there already is left alone. base NULL: blank. */
int disk_ensure(const char *dir, const char *base_path,
                const struct api_image_part *base, int64_t size_bytes,
                struct err *reterr) _must_check_;

#endif
