/* common/fs.h - files and folders, durably.
 * Ownership: outputs belong to the caller.
 * Threads:   reentrant.
 * Errors:    negative errno; reterr (may be NULL) names the path. */
#ifndef COMMON_FS_H
#define COMMON_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

/* Makes path and its parents, mode 0700 for what is new. */
int fs_mkdirs(const char *path, struct err *reterr) _must_check_;
/* Reads at most cap bytes; a larger file is -EFBIG. */
int fs_read(const char *path, size_t cap, struct buf *ret,
            struct err *reterr) _must_check_;
/* Write to a temporary file, fsync, rename, fsync the folder. */
int fs_write_atomic(const char *path, const void *data, size_t n, mode_t mode,
                    struct err *reterr) _must_check_;
/* The whole of data to fd, over short writes and EINTR. */
int fs_write_all(int fd, const void *data, size_t n) _must_check_;
int fs_sync_dir(const char *path) _must_check_;
/* Deletes a folder and all in it, never following a symbolic link. ENOENT is
 * success. */
int fs_remove_tree(const char *path, struct err *reterr) _must_check_;
/* Takes an exclusive lock that lasts as long as the descriptor: one daemon per
 * state folder. -EBUSY when another process holds it. */
int fs_lock(const char *path, int *ret_fd, struct err *reterr) _must_check_;
/* Free bytes for an unprivileged user on the file system of path. */
int fs_free_bytes(const char *path, long long *ret) _must_check_;

#endif
