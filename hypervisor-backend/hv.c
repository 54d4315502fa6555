/* hv.c - checks arguments, picks the driver, dispatches; see hv.h.
 * A driver may rely on what is checked here: ids are canonical UUIDs, specs
 * have passed hv_spec_check(), outputs are never NULL. */
#include <config.h>

#include "hypervisor-backend/hv.h"

#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"

static const struct hv_driver *const drivers[] = {
    &hv_driver_vmm,
    &hv_driver_libvirt,
    &hv_driver_sim,
};

/* The driver whose VMs this state folder holds, by the folder that each keeps
 * there; NULL before the first. */
static const char *
settled_driver(const char *state_dir)
{
    static const char *const folders[] = {"libvirt", HV_VMM_DIR};
    const char *found = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        char *path _cleanup_(freep) = xasprintf("%s/%s", state_dir, folders[i]);

        if (!found && access(path, F_OK) == 0)
            found = folders[i];
    }
    return found && streq(found, HV_VMM_DIR) ? hv_driver_vmm.name : found;
}

/* What is measured chooses for a new state folder only: another driver would
 * not see the VMs of the first one, and start second copies of them. */
static int
choose_driver(const struct hv_config *cfg, const char **ret, struct err *reterr)
{
    const char *settled = settled_driver(cfg->state_dir);
    struct err e _cleanup_(err_release) = {0};
    char why[200];
    int r;

    *ret = "libvirt";
    if (settled) {
        log_info("the driver of this state folder", "driver=%s", settled);
        *ret = settled;
        return 0;
    }
    if (cfg->accel && streq(cfg->accel, "tcg"))
        return 0;
    if (hv_vmm_find_programs(cfg, &e) < 0) {
        log_info("chose the driver", "driver=libvirt why=\"%s\"", e.message);
        return 0;
    }
    r = hv_probe_kvm(why, sizeof(why));
    if (r < 0)
        return err_errno(reterr, r, "cannot choose the driver (%s)", why);
    *ret = r > 0 ? "vmm" : "libvirt";
    log_info("chose the driver", "driver=%s why=\"%s\"", *ret, why);
    return 0;
}

static const struct hv_driver *
find_driver(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (streq(drivers[i]->name, name))
            return drivers[i];
    return NULL;
}

static int
check_config(const struct hv_config *cfg, struct err *reterr)
{
    static const char *const accels[] = {"auto", "kvm", "tcg"};
    bool known = !cfg->accel;
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(accels); i++)
        known = known || streq(cfg->accel, accels[i]);
    if (!known)
        r = err_field(reterr, "/accel", "enum",
                      "must be auto, kvm or tcg, not \"%s\"", cfg->accel);
    if (!cfg->state_dir || cfg->state_dir[0] != '/')
        r = err_field(reterr, "/state_dir", "format",
                      "must be an absolute path");
    if (cfg->accel && streq(cfg->accel, "tcg") && streq(cfg->driver, "vmm"))
        r = err_field(reterr, "/accel", "conflict",
                      "the driver vmm runs on /dev/kvm only");
    if (cfg->console_log_bytes &&
        (cfg->console_log_bytes < HV_CONSOLE_LOG_MIN ||
         cfg->console_log_bytes > HV_CONSOLE_LOG_MAX))
        r = err_field(reterr, "/console_log_bytes", "range",
                      "must be %u..%u, or 0 for %u", HV_CONSOLE_LOG_MIN,
                      HV_CONSOLE_LOG_MAX, HV_CONSOLE_LOG_DEFAULT);
    return r;
}

int
hv_open(const struct hv_config *cfg, struct hv **ret, struct err *reterr)
{
    bool automatic = streq(cfg->driver, "auto");
    const struct hv_driver *drv = find_driver(cfg->driver);
    struct hv *hv _cleanup_(freep) = NULL;
    const char *name;
    int r = check_config(cfg, reterr);

    if (!drv && !automatic)
        return err_field(reterr, "/driver", "enum",
                         "no hypervisor driver is called \"%s\": use auto, "
                         "vmm, libvirt or sim",
                         cfg->driver ? cfg->driver : "");
    if (r < 0)
        return r;
    if (automatic) {
        r = choose_driver(cfg, &name, reterr);
        if (r < 0)
            return r;
        drv = find_driver(name);
    }
    hv = xnew(struct hv);
    hv->drv = drv;
    pthread_mutex_init(&hv->lock, NULL);
    hv->console_log_bytes = cfg->console_log_bytes ? cfg->console_log_bytes
                                                   : HV_CONSOLE_LOG_DEFAULT;
    r = drv->open(cfg, &hv->d, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(hv);
    return 0;
}

void
hv_close(struct hv *hv)
{
    if (!hv)
        return;
    hv->drv->close(hv->d);
    pthread_mutex_destroy(&hv->lock);
    free(hv);
}

const char *
hv_driver_name(const struct hv *hv)
{
    return hv->drv->name;
}

unsigned
hv_caps(const struct hv *hv)
{
    return hv->drv->caps(hv->d);
}

const char *
hv_cap_name(enum hv_cap cap)
{
    switch (cap) {
    case HV_CAP_KERNEL_BOOT:
        return "kernel-boot";
    case HV_CAP_DISK_BOOT:
        return "disk-boot";
    case HV_CAP_PAUSE:
        return "pause";
    case HV_CAP_CONSOLE:
        return "console";
    case HV_CAP_STATS:
        return "stats";
    case HV_CAP_HARDWARE:
        return "hardware";
    case HV_CAP_NO_GUEST:
        return "no-guest";
    case HV_CAP_QCOW2:
        return "qcow2";
    }
    return NULL;
}

const char *
hv_state_name(enum hv_state s)
{
    switch (s) {
    case HV_RUNNING:
        return "running";
    case HV_PAUSED:
        return "paused";
    case HV_STOPPED:
        return "stopped";
    }
    return NULL;
}

const char *
hv_end_name(enum hv_end e)
{
    switch (e) {
    case HV_END_NONE:
        return "none";
    case HV_END_GUEST:
        return "guest";
    case HV_END_KILLED:
        return "killed";
    case HV_END_CRASHED:
        return "crashed";
    case HV_END_UNKNOWN:
        return "unknown";
    }
    return NULL;
}

static int
check_id(const char *id, struct err *reterr)
{
    if (!id || !id_valid(id))
        return err_field(reterr, "/id", "format", "must be a UUID");
    return 0;
}

int
hv_start(struct hv *hv, const struct hv_spec *spec, struct err *reterr)
{
    int r = hv_spec_check(spec, hv_caps(hv), reterr);

    return r < 0 ? r : hv->drv->start(hv->d, spec, reterr);
}

int
hv_stop(struct hv *hv, const char *id, bool force, struct err *reterr)
{
    int r = check_id(id, reterr);

    return r < 0 ? r : hv->drv->stop(hv->d, id, force, reterr);
}

int
hv_pause(struct hv *hv, const char *id, struct err *reterr)
{
    int r = check_id(id, reterr);

    return r < 0 ? r : hv->drv->pause(hv->d, id, reterr);
}

int
hv_resume(struct hv *hv, const char *id, struct err *reterr)
{
    int r = check_id(id, reterr);

    return r < 0 ? r : hv->drv->resume(hv->d, id, reterr);
}

int
hv_forget(struct hv *hv, const char *id, struct err *reterr)
{
    int r = check_id(id, reterr);

    return r < 0 ? r : hv->drv->forget(hv->d, id, reterr);
}

int
hv_info(struct hv *hv, const char *id, struct hv_vm *ret, struct err *reterr)
{
    int r = check_id(id, reterr);

    return r < 0 ? r : hv->drv->info(hv->d, id, ret, reterr);
}

int
hv_list(struct hv *hv, struct hv_vm **ret, size_t *ret_n, struct err *reterr)
{
    return hv->drv->list(hv->d, ret, ret_n, reterr);
}

int
hv_stats(struct hv *hv, const char *id, struct hv_stats *ret,
         struct err *reterr)
{
    int r = check_id(id, reterr);

    return r < 0 ? r : hv->drv->stats(hv->d, id, ret, reterr);
}

int
hv_host(struct hv *hv, struct hv_host *ret, struct err *reterr)
{
    return hv->drv->host(hv->d, ret, reterr);
}

int
hv_console_open(struct hv *hv, const char *id, int *ret_fd, struct err *reterr)
{
    int r = check_id(id, reterr);

    return r < 0 ? r : hv->drv->console_open(hv->d, id, ret_fd, reterr);
}
