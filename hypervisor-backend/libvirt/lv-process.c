/* lv-process.c - libvirt's event loop, its log and its errors.
 * libvirt wants one event loop per process, registered before the first
 * connection, and has no way to take it back: it is started once and runs
 * until the process ends. */
#include <config.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-libvirt.h"

/* libvirt's log says what our errors say as well; no more is kept. */
#define LOG_MAX_BYTES (4 << 20)

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static bool init_done;
static char *process_log; /* set once, under init_lock */

#ifdef __SANITIZE_THREAD__
/* libvirt, glib and libxml2 are not instrumented: ThreadSanitizer sees their
 * memset() and free(), but not the atomics and futexes that order them, and
 * reports races that are none. Only what these libraries call themselves is
 * left out; our own code, callbacks from libvirt included, is watched. */
const char *__tsan_default_suppressions(void);
const char *
__tsan_default_suppressions(void)
{
    return "called_from_lib:libvirt.so.0\n"
           "called_from_lib:libvirt_driver_qemu.so\n"
           "called_from_lib:libglib-2.0.so.0\n"
           "called_from_lib:libgobject-2.0.so.0\n"
           "called_from_lib:libgio-2.0.so.0\n"
           "called_from_lib:libxml2.so.2\n";
}
#endif

static void *
run_events(void *arg)
{
    while (virEventRunDefaultImpl() == 0)
        continue;
    log_error("libvirt's event loop ended, VM events will be missed",
              "error=\"%s\"", virGetLastErrorMessage());
    return NULL;
}

/* libvirt would print each error to stderr. */
static void
keep_quiet(void *arg, virErrorPtr error)
{
}

/* The file is appended to (O_APPEND), so cutting it is safe at any time. */
void
lv_bound_log(void)
{
    struct stat st;

    if (process_log && stat(process_log, &st) == 0 &&
        st.st_size > LOG_MAX_BYTES && truncate(process_log, 0) < 0)
        log_limited(LOG_LEVEL_WARN, "cannot cut libvirt's log", "error=\"%s\"",
                    strerrordesc_np(errno));
}

static int
init_once(const char *log_path, struct err *reterr)
{
    char *outputs _cleanup_(freep) = xasprintf("3:file:%s", log_path);
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    /* libvirt has no function for it; read once, by virInitialize(). */
    if (setenv("LIBVIRT_LOG_OUTPUTS", outputs, 1) < 0)
        return err_errno(reterr, -errno, "cannot set libvirt's log");
    process_log = xstrdup(log_path);
    if (virInitialize() < 0)
        return lv_error(reterr, "cannot initialise libvirt");
    virSetErrorFunc(NULL, keep_quiet);
    if (virEventRegisterDefaultImpl() < 0)
        return lv_error(reterr, "cannot set up libvirt's event loop");
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    r = -pthread_create(&thread, &attr, run_events, NULL);
    pthread_attr_destroy(&attr);
    if (r < 0)
        return err_errno(reterr, r, "cannot start libvirt's event loop");
    return 0;
}

int
lv_process_init(const char *log_path, struct err *reterr)
{
    int r = 0;

    pthread_mutex_lock(&init_lock);
    if (!init_done)
        r = init_once(log_path, reterr);
    if (r == 0)
        init_done = true;
    pthread_mutex_unlock(&init_lock);
    return r;
}

int
lv_last_code(void)
{
    virErrorPtr ve = virGetLastError();

    return ve ? ve->code : VIR_ERR_OK;
}

/* What libvirt passes on from QEMU or the system only as text. */
static bool
says_full(const char *text)
{
    return strstr(text, "No space left on device") ||
           strstr(text, "Cannot allocate memory") ||
           strstr(text, "Disk quota exceeded");
}

/* Debian's libvirt, run by root, insists on a user of this name even where
 * its settings name another. */
static const char *
hint(const char *text)
{
    if (strstr(text, "parse user 'libvirt-qemu'") ||
        strstr(text, "parse group 'libvirt-qemu'"))
        return " (the system user and group libvirt-qemu are missing: the "
               "package libvirt-daemon-system makes them)";
    return "";
}

int
lv_error(struct err *e, const char *fmt, ...)
{
    virErrorPtr ve = virGetLastError();
    const char *text = ve && ve->message ? ve->message : "unknown error";
    char *what _cleanup_(freep) = NULL;
    char *words _cleanup_(freep) = xstrdup(text);
    int number = -EIO;
    const char *code = "hypervisor_failed";
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&what, fmt, ap) < 0)
        what = NULL;
    va_end(ap);
    switch (ve ? ve->code : VIR_ERR_OK) {
    case VIR_ERR_NO_DOMAIN:
        number = -ENOENT;
        code = "not_found";
        break;
    case VIR_ERR_DOM_EXIST:
        number = -EEXIST;
        code = "already_running";
        break;
    case VIR_ERR_CONFIG_UNSUPPORTED:
        code = "unsupported";
        break;
    case VIR_ERR_NO_MEMORY:
        number = -ENOSPC;
        code = "no_space";
        break;
    case VIR_ERR_OPERATION_TIMEOUT:
        number = -ETIMEDOUT;
        code = "timeout";
        break;
    default:
        if (says_full(text)) {
            number = -ENOSPC;
            code = "no_space";
        }
    }
    for (char *p = words; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    lv_bound_log();
    return err_set(e, number, code, "%s: %s%s", what ? what : "libvirt", words,
                   hint(words));
}
