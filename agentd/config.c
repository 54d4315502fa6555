/* config.c - the table of settings, and what no table can check. */
#include <config.h>

#include "agentd/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/mem.h"

#define KEY(k, t, field, ...)                                                  \
    {                                                                          \
        .key = k, .type = CONF_##t,                                            \
        .offset = offsetof(struct agent_config, field), __VA_ARGS__            \
    }

/* clang-format off */
static const struct conf_key keys[] = {
    KEY("state-dir", STRING, state_dir, .dflt = "/var/lib/virga/agent",
        .doc = "folder of the agent's state, images and disks"),
    KEY("controller", STRING, controller,
        .doc = "the controller's address, https://HOST:PORT"),
    KEY("join-token-file", STRING, join_token_file,
        .doc = "file with the token of the first start"),
    KEY("name", STRING, name,
        .doc = "name of this node; by default the host's name"),
    KEY("driver", STRING, driver, .dflt = "auto",
        .doc = "what runs the VMs: auto, vmm, libvirt or sim"),
    KEY("libvirt-uri", STRING, libvirt_uri,
        .doc = "libvirt connection; by default the driver's own choice"),
    KEY("accel", STRING, accel, .dflt = "auto",
        .doc = "auto (measured), kvm or tcg"),
    KEY("sim-options", STRING, sim_options,
        .doc = "for the driver sim: key=value,..."),
    KEY("vmm-binary", STRING, vmm_binary,
        .doc = "for the driver vmm: the program virga-vmm"),
    KEY("usernet-binary", STRING, usernet_binary,
        .doc = "for the driver vmm: the program virga-usernet"),
    KEY("vmm-uid-base", INT, vmm_uid_base, .dflt = "1879048192",
        .min = 65536, .max = UINT32_MAX - 2 * 65536,
        .doc = "for the driver vmm: first user id of VMs, 131072 of them"),
    KEY("vmm-cgroup", STRING, vmm_cgroup, .dflt = "virga",
        .doc = "for the driver vmm: the control group of all VMs"),
    KEY("metrics-listen", STRING, metrics_listen,
        .doc = "loopback ADDRESS:PORT of /metrics; by default none"),
    KEY("heartbeat", DURATION, heartbeat_us, .dflt = "10s",
        .min = US_PER_S / 10, .max = 300 * US_PER_S,
        .doc = "longest silence towards the controller"),
    KEY("stop-grace", DURATION, stop_grace_us, .dflt = "60s",
        .max = 3600 * US_PER_S,
        .doc = "time from a guest's power button to its end by force"),
    KEY("workers", INT, workers, .dflt = "4", .min = 1, .max = 64,
        .doc = "VMs worked on at the same time"),
    KEY("console-log-size", SIZE, console_log_bytes, .dflt = "1M",
        .min = 16 << 10, .max = 64 << 20,
        .doc = "console log kept of each VM"),
    KEY("vcpus", INT, vcpus, .dflt = "0", .max = 65536,
        .doc = "processors to offer; 0: those of the host"),
    KEY("memory", SIZE, memory_bytes, .dflt = "0", .max = INT64_C(1) << 50,
        .doc = "memory to offer; 0: the host's less reserved-memory"),
    KEY("disk", SIZE, disk_bytes, .dflt = "0", .max = INT64_C(1) << 60,
        .doc = "disk to offer; 0: the size of the file system"),
    KEY("reserved-memory", SIZE, reserved_memory_bytes, .dflt = "512M",
        .max = INT64_C(1) << 50,
        .doc = "memory of the host that is not offered"),
    KEY("guest-network", STRING, guest_network, .dflt = "isolated",
        .doc = "isolated, nat or none"),
    KEY("log-level", STRING, log_level, .dflt = "info",
        .doc = "error, warn, info or debug"),
};
/* clang-format on */

static int
bad(struct err *reterr, const char *key, const char *why)
{
    return err_set(reterr, -EINVAL, "bad_config", "%s: %s", key, why);
}

void
config_label(const char *host, char out[64])
{
    size_t n = 0;

    for (; *host && *host != '.' && n < 63; host++) {
        char c = (char)tolower((unsigned char)*host);
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (ok || (n > 0 && out[n - 1] != '-'))
            out[n++] = ok ? c : '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    out[n] = '\0';
    if (!id_name_valid(out))
        memcpy(out, "node", 5);
}

static int
check_state_dir(struct agent_config *cfg, struct err *reterr)
{
    char cwd[4096];
    struct sockaddr_un sa;

    if (!*cfg->state_dir)
        return bad(reterr, "state-dir", "must not be empty");
    if (cfg->state_dir[0] != '/') {
        if (!getcwd(cwd, sizeof(cwd)))
            return err_errno(reterr, -errno, "state-dir");
        char *abs = xasprintf("%s/%s", cwd, cfg->state_dir);

        free(cfg->state_dir);
        cfg->state_dir = abs;
    }
    size_t n = strlen(cfg->state_dir);
    while (n > 1 && cfg->state_dir[n - 1] == '/')
        cfg->state_dir[--n] = '\0';
    size_t tail = sizeof("/instances/") - 1 + ID_LEN + sizeof("/console.sock");
    if (n + tail > sizeof(sa.sun_path))
        return err_set(reterr, -EINVAL, "bad_config",
                       "state-dir: %s has %zu bytes, but unix sockets in it "
                       "leave room for %zu at most: choose a shorter path",
                       cfg->state_dir, n, sizeof(sa.sun_path) - tail);
    return 0;
}

/* "127.x.y.z:PORT" or "[::1]:PORT", by number: a name could change. */
static bool
is_loopback(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    char host[64];
    struct in_addr v4;

    if (!colon || (size_t)(colon - listen) >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    return streq(host, "[::1]");
}

static int
check(struct agent_config *cfg, struct err *reterr)
{
    static const char *const drivers[] = {"auto", "vmm", "libvirt", "sim"};
    static const char *const accels[] = {"auto", "kvm", "tcg"};
    static const char *const networks[] = {"isolated", "nat", "none"};
    bool driver_ok = false, accel_ok = false, network_ok = false;

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        driver_ok |= streq(cfg->driver, drivers[i]);
    for (size_t i = 0; i < 3; i++) {
        accel_ok |= streq(cfg->accel, accels[i]);
        if (streq(cfg->guest_network, networks[i])) {
            cfg->network = (enum core_network)i;
            network_ok = true;
        }
    }
    if (!driver_ok)
        return bad(reterr, "driver", "must be auto, vmm, libvirt or sim");
    if (!accel_ok)
        return bad(reterr, "accel", "must be auto, kvm or tcg");
    if (!network_ok)
        return bad(reterr, "guest-network", "must be isolated, nat or none");
    if (log_level_parse(cfg->log_level, &cfg->level) < 0)
        return bad(reterr, "log-level", "must be error, warn, info or debug");
    if (!cfg->controller || strncmp(cfg->controller, "https://", 8) != 0 ||
        !cfg->controller[8] || strpbrk(cfg->controller, " \"'<>\\"))
        return bad(reterr, "controller",
                   "must be given, as in https://10.0.0.1:8443");
    if (cfg->name && !id_name_valid(cfg->name))
        return bad(reterr, "name",
                   "must be 1 to 63 of a-z, 0-9 and '-', begin and end with a "
                   "letter or digit, and not be a UUID");
    if (cfg->metrics_listen && *cfg->metrics_listen &&
        !is_loopback(cfg->metrics_listen))
        return bad(reterr, "metrics-listen",
                   "must be a loopback address and a port, as in "
                   "127.0.0.1:9464: there is no access control");
    return check_state_dir(cfg, reterr);
}

int
config_load(int argc, char *const *argv, struct agent_config *ret,
            struct err *reterr)
{
    struct agent_config cfg = {0};
    char host[256] = "";
    int r = conf_load(keys, ARRAY_SIZE(keys), argc, argv, "virga-agentd",
                      SYSCONFDIR "/virga/agentd.conf", &cfg, reterr);

    if (r == 0)
        r = check(&cfg, reterr);
    if (r != 0) {
        config_release(&cfg);
        return r;
    }
    if (!cfg.name) {
        char label[64];

        if (gethostname(host, sizeof(host) - 1) < 0)
            host[0] = '\0';
        config_label(host, label);
        cfg.name = xstrdup(label);
    }
    *ret = cfg;
    return 0;
}

void
config_release(struct agent_config *cfg)
{
    conf_release(keys, ARRAY_SIZE(keys), cfg);
}
