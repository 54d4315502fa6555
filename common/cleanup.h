/* common/cleanup.h - scope-bound cleanup and hand-over of ownership.
 * Role:      macros and tiny helpers used everywhere.
 * Ownership: TAKE_PTR/TAKE_FD move a value out of a variable that would
 *            otherwise be released at the end of its scope.
 * Threads:   none shared.
 * Source:    the idiom of systemd's macro.h, written anew. */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(f, a) __attribute__((format(printf, f, a)))

#define ARRAY_SIZE(a)                                                          \
    (sizeof(a) / sizeof((a)[0]) +                                              \
     0 * sizeof(char[1 - 2 * __builtin_types_compatible_p(typeof(a),           \
                                                          typeof(&(a)[0]))]))

#define TAKE_PTR(p)                                                            \
    ({                                                                         \
        typeof(p) *pp_ = &(p);                                                 \
        typeof(p) p_ = *pp_;                                                   \
        *pp_ = NULL;                                                           \
        p_;                                                                    \
    })

#define TAKE_FD(fd)                                                            \
    ({                                                                         \
        int *pfd_ = &(fd);                                                     \
        int fd_ = *pfd_;                                                       \
        *pfd_ = -1;                                                            \
        fd_;                                                                   \
    })

#define MIN(a, b)                                                              \
    ({                                                                         \
        typeof(a) a_ = (a);                                                    \
        typeof(b) b_ = (b);                                                    \
        a_ < b_ ? a_ : b_;                                                     \
    })
#define MAX(a, b)                                                              \
    ({                                                                         \
        typeof(a) a_ = (a);                                                    \
        typeof(b) b_ = (b);                                                    \
        a_ > b_ ? a_ : b_;                                                     \
    })

/* Frees what a `T *` variable points to: char *s _cleanup_(freep) = NULL. */
static inline void
freep(void *p)
{
    void **pp = p;

    free(*pp);
    *pp = NULL;
}

/* Closes a descriptor held in an int; -1 is fine. Keeps errno. */
static inline void
closep(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

static inline void
fclosep(FILE **f)
{
    if (*f)
        fclose(*f);
    *f = NULL;
}

static inline void
closedirp(DIR **d)
{
    if (*d)
        closedir(*d);
    *d = NULL;
}

#endif
