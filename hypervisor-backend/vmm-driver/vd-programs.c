/* vd-programs.c - where the programs are that make up a VM: the configured
 * file, the variable's (for tests and for trying things), the one beside our
 * own program, the first in PATH. */
#include <config.h>

#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

static bool
is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           access(path, X_OK) == 0;
}

static char *
beside_us(const char *name)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (n <= 0)
        return NULL;
    self[n] = '\0';
    slash = strrchr(self, '/');
    *slash = '\0';
    return xasprintf("%s/%s", self, name);
}

static char *
in_path(const char *name)
{
    const char *p = getenv("PATH");

    while (p && *p) {
        size_t n = strcspn(p, ":");
        char *path = xasprintf("%.*s/%s", (int)n, p, name);

        /* A relative one would change its meaning with the folder. */
        if (path[0] == '/' && is_program(path))
            return path;
        free(path);
        p += n + (p[n] == ':');
    }
    return NULL;
}

static int
find_program(const char *configured, const char *variable, const char *name,
             char **ret, struct err *e)
{
    const char *given = configured ? configured : getenv(variable);
    char *path;

    if (given) {
        if (given[0] != '/' || !is_program(given))
            return err_set(e, -ENOENT, "no_program",
                           "%s: %s is no absolute path of a program", name,
                           given);
        *ret = xstrdup(given);
        return 0;
    }
    path = beside_us(name);
    if (!path || !is_program(path)) {
        free(path);
        path = in_path(name);
    }
    if (!path)
        return err_set(e, -ENOENT, "no_program",
                       "the program %s is not installed", name);
    *ret = path;
    return 0;
}

static int
find_vmm(const struct hv_config *cfg, char **ret, struct err *e)
{
    return find_program(cfg->vmm_binary, "VIRGA_VMM", "virga-vmm", ret, e);
}

static int
find_usernet(const struct hv_config *cfg, char **ret, struct err *e)
{
    return find_program(cfg->usernet_binary, "VIRGA_USERNET", "virga-usernet",
                        ret, e);
}

int
hv_vmm_find_programs(const struct hv_config *cfg, struct err *reterr)
{
    char *vmm _cleanup_(freep) = NULL, *usernet _cleanup_(freep) = NULL;
    int r = find_vmm(cfg, &vmm, reterr);

    return r < 0 ? r : find_usernet(cfg, &usernet, reterr);
}

int
vd_find_programs(const struct hv_config *cfg, char **ret_vmm,
                 char **ret_usernet, struct err *reterr)
{
    struct err why _cleanup_(err_release) = {0};
    int r = find_vmm(cfg, ret_vmm, &why);

    if (r < 0 && cfg->vmm_binary) {
        err_move(reterr, &why);
        return r;
    }
    if (r < 0)
        log_warn("no VM can be started", "error=\"%s\"", why.message);
    err_release(&why);
    r = find_usernet(cfg, ret_usernet, &why);
    if (r < 0 && cfg->usernet_binary) {
        err_move(reterr, &why);
        return r;
    }
    if (r < 0)
        log_info("no VM with a NIC can be started", "error=\"%s\"",
                 why.message);
    return 0;
}
