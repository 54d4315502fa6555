/* controllerd/config.h - the controller's settings from file and options.
 * Ownership: conf_release() with ctl_config_keys frees the strings.
 * Threads:   start-up only.
 * Errors:    -EINVAL with file, line and key; 1: help was printed. */
#ifndef CONTROLLERD_CONFIG_H
#define CONTROLLERD_CONFIG_H

#include "common/conf.h"
#include "controllerd/ctl.h"

extern const struct conf_key ctl_config_keys[];
extern const size_t ctl_config_keys_n;

int ctl_config_load(int argc, char *const *argv, struct ctl_config *ret,
                    struct err *reterr) _must_check_;

#endif
