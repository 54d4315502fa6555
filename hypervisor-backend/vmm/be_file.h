/* hypervisor-backend/vmm/be_file.h - asynchronous I/O on a disk file.
 * Role:      reads, writes, flushes and deallocates on a regular file or
 *            block device through io_uring; without it (old or locked-down
 *            hosts) the same calls on the I/O thread itself. Handles short
 *            transfers, O_DIRECT alignment and operations that the file
 *            system lacks, so that a device sees done or failed.
 * Ownership: takes the descriptor over on success. A be_io is the caller's
 *            and is borrowed from be_file_start() until done().
 *            The lock on the file belongs to the descriptor's open file
 *            description: it lasts until the last copy of that is closed, in
 *            whichever process, and meets no conflict with its other copies.
 * Threads:   everything but new and free with the owner's lock held; done()
 *            and batch_done() are called with it held, on the I/O thread.
 *            Without io_uring that thread waits for the disk, but not with
 *            the lock held.
 * Errors:    done() gets 0 or a negative errno; a read past the end of the
 *            file is -EIO. be_file_new(): -EBUSY somebody else has the file
 *            (nobody may write while others have it open).
 * Invariant: at most BE_FILE_DEPTH operations are in flight. */
#ifndef HYPERVISOR_BACKEND_VMM_BE_FILE_H
#define HYPERVISOR_BACKEND_VMM_BE_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/err.h"
#include "hypervisor-backend/vmm/be_loop.h"

#define BE_FILE_DEPTH 128

struct be_file;

enum be_op { BE_READ, BE_WRITE, BE_SYNC, BE_DISCARD, BE_ZERO };

struct be_io {
    enum be_op op;
    bool durable;      /* on stable storage before done() */
    bool may_unmap;    /* BE_ZERO: may free the space */
    uint64_t offset;   /* bytes */
    uint64_t len;      /* of all of iov, or of the range */
    struct iovec *iov; /* read and write; is changed on the way */
    unsigned n_iov;
    void (*done)(struct be_io *io, int result);
    /* be_file's own */
    uint64_t moved;
    struct be_io *next;
    int stage;
    int result; /* without io_uring */
};

struct be_file_options {
    bool direct;      /* O_DIRECT where the file system can */
    bool no_io_uring; /* for tests and hosts that forbid it */
    bool read_only;   /* others may read, too */
    bool no_lock;     /* somebody else sees to it */
};

int be_file_new(int fd, const struct be_file_options *o, struct io_loop *loop,
                pthread_mutex_t *lock, void (*batch_done)(void *self),
                void *self, struct be_file **ret, uint64_t *ret_size,
                struct err *reterr) _must_check_;
/* Nothing may be in flight. Not with the lock held. */
void be_file_free(struct be_file *f);
bool be_file_direct(const struct be_file *f);
bool be_file_io_uring(const struct be_file *f);
/* Bytes now, of file or device. */
int be_file_size(const struct be_file *f, uint64_t *ret) _must_check_;
/* Takes io up; it runs after the next be_file_submit(). */
void be_file_start(struct be_file *f, struct be_io *io);
void be_file_submit(struct be_file *f);
/* Takes what is done already, which saves the loop a turn where the host has
 * it at hand (page cache, memory). On the I/O thread only. */
void be_file_poll(struct be_file *f);

#endif
