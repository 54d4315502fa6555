/* controllerd/backup.h - the controller's state in one archive, and back.
 * Role:      GET /v1/admin/backup and `virga-controllerd --restore`. The
 *            archive is a gzipped tar of manifest.json (what each file's
 *            SHA-256 is), controller.db, pki/ca.crt and pki/ca.key. It holds
 *            secrets: the CA's key, and hashes of passwords and tokens. Image
 *            files are not in it.
 * Ownership: nothing is kept.   Threads: backup_make() on any thread, once at
 *            a time; backup_restore() before anything else is started.
 * Errors:    negative errno; reterr names the file or the member.
 * Source:    POSIX.1-2017 pax interchange format, by libarchive. */
#ifndef CONTROLLERD_BACKUP_H
#define CONTROLLERD_BACKUP_H

#include <stdint.h>

#include "common/err.h"

/* An archive in a file without a name; *ret_fd at its beginning. */
int backup_make(const char *state_dir, const char *db_path, int *ret_fd,
                uint64_t *ret_size, struct err *reterr) _must_check_;
/* Fills a state folder that has no database. What is there already is -EEXIST
 * and stays; what fails leaves nothing. */
int backup_restore(const char *archive, const char *state_dir,
                   struct err *reterr) _must_check_;
/* Removes what a killed backup or restore left in a state folder whose lock
 * the caller holds: copies of the database, secrets included. */
int backup_sweep(const char *state_dir, struct err *reterr) _must_check_;

#endif
