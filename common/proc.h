/* common/proc.h - run a helper program and wait for it, with a time limit.
 * Role:      no shell is ever involved; argv[0] is looked up in PATH.
 * Ownership: ret_output (may be NULL) receives stdout and stderr together,
 *            at most 64 KiB of it.
 * Threads:   reentrant.
 * Errors:    -ENOENT not found, -ETIMEDOUT killed at the limit, -EIO non-zero
 *            exit (reterr carries the program's last words). */
#ifndef COMMON_PROC_H
#define COMMON_PROC_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

int proc_run(const char *const *argv, int64_t timeout_ms,
             struct buf *ret_output, struct err *reterr) _must_check_;

#endif
