/* lv-start.c - starts a VM: an old domain of the same id is dropped, a new one
 * defined and run. Until all of it is done the id stands in `starting` and
 * nobody sees the VM; a failure leaves nothing behind. */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-libvirt.h"

#define START_TIMEOUT_MS 120000

static int
check_file(const char *path, const char *pointer, bool read_only, struct err *e)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_field(e, pointer, "missing", "%s: %s", path,
                         strerrordesc_np(errno));
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_field(e, pointer, "format", "%s is not a file", path);
    if (access(path, read_only ? R_OK : R_OK | W_OK) < 0)
        return err_field(e, pointer, "permission", "%s: %s", path,
                         strerrordesc_np(errno));
    return 0;
}

static int
check_files(const struct hv_spec *s, struct err *e)
{
    int r = 0;

    if (s->kernel && check_file(s->kernel, "/kernel", true, e) < 0)
        r = -EINVAL;
    if (s->initrd && check_file(s->initrd, "/initrd", true, e) < 0)
        r = -EINVAL;
    for (size_t i = 0; i < s->n_disks; i++) {
        char at[40];

        snprintf(at, sizeof(at), "/disks/%zu/path", i);
        if (check_file(s->disks[i].path, at, s->disks[i].read_only, e) < 0)
            r = -EINVAL;
    }
    return r;
}

static bool
takes_direct_io(const char *path)
{
    int fd _cleanup_(closep) =
        open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK);

    return fd >= 0;
}

static int
define(struct lv *d, const struct hv_spec *s, bool cgroups, virDomainPtr *ret,
       struct lv_meta *ret_meta, struct err *e)
{
    struct buf xml _cleanup_(buf_release) = {0};
    bool *direct _cleanup_(freep) = xcalloc(s->n_disks + 1, sizeof(*direct));
    struct lv_xml_env env = {.kvm = d->kvm,
                             .disk_direct = direct,
                             .prepared_us = clock_now_us(),
                             .cgroups = cgroups,
                             .node_cpus = d->cpus};

    for (size_t i = 0; i < s->n_disks; i++)
        direct[i] = takes_direct_io(s->disks[i].path);
    lv_xml_domain(s, &env, &xml);
    *ret = virDomainDefineXML(d->conn, buf_str(&xml));
    if (!*ret)
        return lv_error(e, "libvirt refuses the VM's description");
    *ret_meta = (struct lv_meta){.run = s->run, .prepared_us = env.prepared_us};
    snprintf(ret_meta->dir, sizeof(ret_meta->dir), "%s", s->dir);
    return 0;
}

int
lv_drop(struct lv *d, virDomainPtr dom, const char *id, struct err *e)
{
    unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                     VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                     VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
                     VIR_DOMAIN_UNDEFINE_NVRAM;
    int r;

    if (virDomainUndefineFlags(dom, flags) < 0 &&
        lv_last_code() != VIR_ERR_NO_DOMAIN)
        return lv_error(e, "cannot drop VM %s", id);
    lv_unwatch(id);
    r = lv_end_remove(d->ends, id);
    if (r < 0)
        return err_errno(e, r, "cannot drop VM %s", id);
    if (d->root) {
        char *log_path _cleanup_(freep) = lv_root_log(d->root, id);

        if (unlink(log_path) < 0 && errno != ENOENT)
            return err_errno(e, -errno, "cannot remove %s", log_path);
    }
    return 0;
}

/* From now on the VM shows, with the time at which it began to run. */
static void
store_started(virDomainPtr dom, struct lv_meta *m, const char *id)
{
    struct buf b _cleanup_(buf_release) = {0};
    unsigned config = VIR_DOMAIN_AFFECT_CONFIG;
    int r;

    m->started_us = clock_now_us();
    lv_meta_format(m, NULL, &b);
    r = virDomainSetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, buf_str(&b),
                             "virga", LV_XMLNS,
                             config | VIR_DOMAIN_AFFECT_LIVE);
    if (r < 0 && virDomainIsActive(dom) == 0) /* ended again already */
        r = virDomainSetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, buf_str(&b),
                                 "virga", LV_XMLNS, config);
    if (r < 0) {
        COUNT(lv_started_lost);
        log_limited(LOG_LEVEL_WARN,
                    "cannot store when a VM began to run; the moment before "
                    "its start is taken instead",
                    "inst=%s error=\"%s\"", id, virGetLastErrorMessage());
    }
}

static int
define_and_run(struct lv *d, const struct hv_spec *s, bool cgroups,
               struct err *e)
{
    virDomainPtr dom _cleanup_(lv_domain_freep) = NULL;
    struct err drop_e _cleanup_(err_release) = {0};
    struct lv_meta m;
    int r = define(d, s, cgroups, &dom, &m, e);

    if (r < 0)
        return r;
    r = lv_call(dom, s->id, LV_OP_CREATE, START_TIMEOUT_MS, NULL, e);
    if (r == 0) {
        store_started(dom, &m, s->id);
        return 0;
    }
    if (virDomainIsActive(dom) == 1 && virDomainDestroy(dom) < 0)
        err_prefix(e, "and its process cannot be ended");
    if (lv_drop(d, dom, s->id, &drop_e) < 0)
        log_warn("what is left of a failed start will be dropped by the next",
                 "inst=%s error=\"%s\"", s->id, drop_e.message);
    return r;
}

static void
warn_of_limits(const struct hv_spec *s, bool cgroups)
{
    bool no_cpu = !cgroups && hv_spec_cpu(s).asked;
    bool no_net = s->limits.net_bytes_per_second && s->n_nics;

    if (!no_cpu && !no_net)
        return;
    COUNT(lv_limits_left_out);
    log_limited(LOG_LEVEL_WARN,
                "this libvirt cannot keep all limits of a VM; it runs without "
                "them",
                "inst=%s cpu=%s net=%s", s->id, no_cpu ? "no" : "ok",
                no_net ? "no" : "ok");
}

/* Whether a libvirt of the machine's has the controller shows only when it
 * starts a VM that needs it. */
static int
run_with_limits(struct lv *d, const struct hv_spec *s, struct err *e)
{
    bool cgroups = atomic_load(&d->cgroups);
    struct err first = {0};
    int r = define_and_run(d, s, cgroups, &first);

    if (r < 0 && cgroups && streq(first.code, "unsupported")) {
        cgroups = false;
        err_release(&first);
        r = define_and_run(d, s, cgroups, &first);
        if (r == 0)
            atomic_store(&d->cgroups, false);
    }
    if (r < 0)
        err_move(e, &first);
    else
        warn_of_limits(s, cgroups);
    err_release(&first);
    return r;
}

/* The id is in `starting`. */
static int
replace_and_run(struct lv *d, const struct hv_spec *s, struct err *e)
{
    virDomainPtr old _cleanup_(lv_domain_freep) =
        virDomainLookupByUUIDString(d->conn, s->id);
    struct lv_meta m;
    int active, r;

    if (old) {
        active = virDomainIsActive(old);
        if (active < 0)
            return lv_error(e, "cannot look at VM %s", s->id);
        if (active)
            return err_set(e, -EEXIST, "already_running", "%s runs already",
                           s->id);
        if (lv_read_meta(old, &m) < 0)
            return err_set(e, -EEXIST, "not_ours",
                           "libvirt has a VM %s that is not ours", s->id);
        r = lv_drop(d, old, s->id, e);
        if (r < 0)
            return r;
    } else if (lv_last_code() != VIR_ERR_NO_DOMAIN) {
        return lv_error(e, "cannot look for VM %s", s->id);
    }
    return run_with_limits(d, s, e);
}

int
lv_start(void *p, const struct hv_spec *spec, struct err *e)
{
    struct lv *d = p;
    struct lv_starting me = {0}, **at;
    int r = check_files(spec, e);

    if (r < 0)
        return r;
    memcpy(me.id, spec->id, ID_SIZE);
    pthread_mutex_lock(&d->lock);
    if (lv_is_starting(d, spec->id)) {
        pthread_mutex_unlock(&d->lock);
        return err_set(e, -EEXIST, "already_running", "%s is being started",
                       spec->id);
    }
    me.next = d->starting;
    d->starting = &me;
    pthread_mutex_unlock(&d->lock);

    r = replace_and_run(d, spec, e);
    if (r == 0)
        lv_watch(d->root, spec->id, spec->run);

    pthread_mutex_lock(&d->lock);
    for (at = &d->starting; *at != &me; at = &(*at)->next)
        continue;
    *at = me.next;
    if (r == 0) {
        virDomainPtr dom _cleanup_(lv_domain_freep) =
            virDomainLookupByUUIDString(d->conn, spec->id);

        /* Its end, if it came so soon, was not noted while it was hidden. */
        if (dom)
            lv_note_end(d, dom, spec->id, clock_now_us());
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}
