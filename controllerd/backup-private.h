/* controllerd/backup-private.h - what backup.c and restore.c agree on. */
#ifndef CONTROLLERD_BACKUP_PRIVATE_H
#define CONTROLLERD_BACKUP_PRIVATE_H

#include <stddef.h>

#include "api/codec.h"

#define BACKUP_FORMAT 1
#define BACKUP_MANIFEST "manifest.json"
/* Folders in the state folder where one is put together; for mkdtemp(). */
#define BACKUP_DIR "backup.XXXXXX"
#define RESTORE_DIR "restore.XXXXXX"

/* The archive's members behind the manifest, in this order; size_max 0: as
 * large as the disk has room for. */
struct backup_member {
    const char *name;
    size_t size_max;
};
extern const struct backup_member backup_members[];
#define BACKUP_MEMBERS 3
#define BACKUP_DB 0 /* index of the database */

struct backup_sum {
    char *name, *sha256;
};

struct backup_manifest {
    int64_t format;
    char *version; /* of the program that made it */
    int64_t created_at;
    struct codec_list files; /* struct backup_sum */
};

extern const struct codec_table backup_sum_table, backup_manifest_table;

#endif
