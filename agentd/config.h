/* agentd/config.h - the agent's settings.
 * Ownership: config_release() frees the strings.
 * Threads:   start-up only; constant afterwards.
 * Errors:    -EINVAL; reterr names the file, line and key. */
#ifndef AGENTD_CONFIG_H
#define AGENTD_CONFIG_H

#include "agentd/core.h"
#include "common/log.h"

struct agent_config {
    char *state_dir, *controller, *join_token_file, *name;
    char *driver, *libvirt_uri, *accel, *sim_options;
    char *vmm_binary, *usernet_binary, *vmm_cgroup;
    char *guest_network, *metrics_listen, *log_level;
    int64_t vmm_uid_base;
    int64_t heartbeat_us, stop_grace_us, workers, console_log_bytes;
    int64_t vcpus, memory_bytes, disk_bytes, reserved_memory_bytes;
    /* Derived. */
    enum core_network network;
    enum log_level level;
};

/* 1: --help or --version was served. */
int config_load(int argc, char *const *argv, struct agent_config *ret,
                struct err *reterr) _must_check_;
void config_release(struct agent_config *cfg);

/* A DNS label made of any host name: "Node_1.example.org" is "node-1".
 * Public for tests. */
void config_label(const char *host, char out[64]);

#endif
