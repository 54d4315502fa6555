/* hypervisor-backend/vmm-driver/cgroup-private.h - between the files of
 * cgroup.h.
 * Role:      hierarchies and groups (cgroup.c), their end (cgroup_end.c),
 *            their files (cgroup_file.c), limits and figures
 *            (cgroup_limits.c).
 * Ownership: a group borrows its root.
 * Threads:   as cgroup.h.
 * Errors:    negative errno; the message names the file. */
#ifndef HYPERVISOR_BACKEND_VMM_DRIVER_CGROUP_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_DRIVER_CGROUP_PRIVATE_H

#include "common/id.h"
#include "hypervisor-backend/vmm-driver/cgroup.h"

/* Each controller may be a hierarchy of version 1, and one of version 2. */
#define CGROUP_MAX_HIERARCHIES (CGROUP_CONTROLLERS + 1)

struct cgroup_hierarchy {
    bool v2;
    unsigned controllers; /* bit per enum cgroup_controller */
    int fd;               /* the slice in it */
};

struct cgroup_root {
    struct cgroup_hierarchy h[CGROUP_MAX_HIERARCHIES];
    unsigned n;
};

struct cgroup {
    const struct cgroup_root *root;
    char id[ID_SIZE];
    int fd[CGROUP_MAX_HIERARCHIES];    /* as root->h */
    int procs[CGROUP_MAX_HIERARCHIES]; /* -1 unless made by cgroup_new() */
};

/* The group's folder in the hierarchy with that controller, and of which
 * version it is; -1 there is none. */
int cgroup_dir(const struct cgroup *g, enum cgroup_controller c, bool *ret_v2);
/* The hierarchy of version 2; -1 there is none. */
int cgroup_v2(const struct cgroup *g);

int cgroup_check_id(const char *id, struct err *reterr) _must_check_;
/* A folder's descriptor, or negative errno. */
int cgroup_open_dir(int at, const char *name) _must_check_;

/* --- files of a group, below dir_fd --- */

/* Writes a value in one piece; kernel files take it whole or not. */
int cgroup_write(int dir_fd, const char *file, struct err *reterr,
                 const char *fmt, ...) _printf_(4, 5) _must_check_;
/* The file's text, at most size - 1 bytes of it. */
int cgroup_read(int dir_fd, const char *file, char *out,
                size_t size) _must_check_;
/* The one number that the file holds; 0 where there is none. */
uint64_t cgroup_number(int dir_fd, const char *file);
/* The number behind `key` and a space at the start of a line; else 0. */
uint64_t cgroup_keyed(int dir_fd, const char *file, const char *key);
/* Whether `word` is among the file's words. */
bool cgroup_lists(int dir_fd, const char *file, const char *word);

#endif
