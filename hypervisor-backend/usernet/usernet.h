/* hypervisor-backend/usernet/usernet.h - a network for one VM out of sockets
 * of this process: virga-usernet.
 * Role:      main.c takes the options, rights.c gives up what is not needed,
 *            seccomp.c most of the kernel's calls, usernet.c carries frames
 * between the VM's socket and libslirp, which is the guest's router, DHCP
 * server and name server, and opens an ordinary socket for each of its
 * connections; reach.c knows where these may not lead. 10.0.2.0/24: router and
 * this machine .2, DNS .3, guest .15; fec0::/64: likewise ::2, ::3. Ownership:
 * usernet_run() borrows the descriptor. Threads:   one. Errors:    negative
 * errno with the reason. A frame that is too short, too long, wants an offload,
 * or is no plain ARP, IPv4 or IPv6 (IP fragments and options too) is dropped
 * and counted. Invariant: at most 128 MiB more memory than at the start,
 * whatever the guest sends: beyond it all of its connections are dropped. */
#ifndef HYPERVISOR_BACKEND_USERNET_USERNET_H
#define HYPERVISOR_BACKEND_USERNET_USERNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

#define USERNET_MTU_MIN 576u
#define USERNET_MTU_MAX 9000u

struct usernet_options {
    int fd; /* unix SOCK_SEQPACKET or SOCK_DGRAM; see dev_net.h, packets */
    unsigned mtu;
    bool isolated; /* the guest reaches this network's own services only */
    /* Nothing of this machine is reached, by 10.0.2.2 or any other of its
     * addresses, nor link-local or group addresses; DNS still is. */
    bool no_loopback;
    int statm; /* /proc/self/statm */
};

struct usernet_rights {
    bool change; /* to uid and gid, in an empty root; needs root */
    uid_t uid;
    gid_t gid;
};

/* Descriptors 0 to 2, *fd and *statm are all that stays open. */
int usernet_drop_rights(const struct usernet_rights *want, int *fd, int *statm,
                        struct err *reterr) _must_check_;
/* From here on any system call but those of seccomp-calls.inc ends the
 * process. */
int usernet_seccomp(struct err *reterr) _must_check_;
/* This machine's addresses, looked up again every few seconds. */
struct usernet_reach;
int usernet_reach_new(int64_t now_ms, struct usernet_reach **ret,
                      struct err *reterr) _must_check_;
void usernet_reach_free(struct usernet_reach *r);
void usernet_reach_renew(struct usernet_reach *r, int64_t now_ms);
/* packet: an IPv4 or IPv6 header and what follows, n bytes. */
bool usernet_reach_denied(const struct usernet_reach *r, const uint8_t *packet,
                          size_t n);
/* Until the other end closes (0) or something fails. */
int usernet_run(const struct usernet_options *o,
                struct err *reterr) _must_check_;

#endif
