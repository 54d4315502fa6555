/* tests/model/vfs.h - storage that the test can break.
 * Role:      a shim over SQLite's default VFS. Left alone it only leaves out
 *            the syncs, which nothing but power loss could tell.
 * Ownership: registered for the life of the process, as the default VFS.
 * Threads:   any; the plan is set before connections are opened.
 * Source:    "The SQLite OS Interface or VFS", "How SQLite Is Tested"
 *            (crash tests, I/O errors), "Atomic Commit In SQLite". */
#ifndef TESTS_MODEL_VFS_H
#define TESTS_MODEL_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum vfs_fault {
    VFS_NONE,
    /* The machine loses its power at operation `at`: what was not synced is
     * there, or not, or torn, by sector; then the process ends. */
    VFS_POWER,
    VFS_KILL, /* the process ends; what was written is there */
    VFS_EIO,  /* the operation fails, and `more` after it */
    VFS_FULL, /* likewise: there is no room */
};

struct vfs_plan {
    enum vfs_fault fault;
    int64_t at; /* counts writes, syncs, truncations, deletions; from 1 */
    int64_t more;
    uint64_t seed; /* for what becomes of unsynced sectors */
};

#define VFS_EXIT 99 /* the exit status of such an end */

void vfs_register(void);
/* From now on; the count starts anew. */
void vfs_set(const struct vfs_plan *plan);
int64_t vfs_count(void);
/* The fault has struck. */
bool vfs_struck(void);

#endif
