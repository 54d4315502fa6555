/* hypervisor-backend/vmm/options.h - the options of `virga-vmm run`.
 * Role:      the command line into the same description that `serve` reads;
 *            then opens what it names.
 * Ownership: words are argv's own, which is changed; options_release() frees
 *            the description, closes its descriptors and removes the sockets
 *            that were made.
 * Threads:   start-up only.
 * Errors:    options_parse(): -EINVAL, the reason is on standard error.
 *            options_open(): negative errno with the reason. */
#ifndef HYPERVISOR_BACKEND_VMM_OPTIONS_H
#define HYPERVISOR_BACKEND_VMM_OPTIONS_H

#include "hypervisor-backend/vmm/spec.h"

struct options {
    struct spec spec;
    const char *kernel, *initrd, *metrics, *control, *console_log;
    const char *disks[DEVICES_MAX_DISKS]; /* paths */
    struct {
        const char *tap; /* or NULL: packets */
        int64_t packets, queues;
        bool vhost;
    } nics[DEVICES_MAX_NICS];
    struct {
        const char *path;
        bool listen, made; /* a socket of ours to remove */
    } consoles[DEVICES_MAX_CONSOLES];
    const char *vsock;
    bool made_control, made_vsock; /* sockets to remove */
};

/* Fills *o, which must not move afterwards; argv without the command's word.
 * 0 to go on, 1 when all is done (--help). */
int options_parse(int argc, char **argv, struct options *o) _must_check_;
int options_open(struct options *o, struct err *reterr) _must_check_;
void options_release(struct options *o);
void options_usage(FILE *to);

#endif
