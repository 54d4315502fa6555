/* hypervisor-backend/vmm/ctl_request.h - words of the command line as one
 * request of the control socket.
 * Ownership: ctl_request_release() frees it and closes the descriptors.
 * Errors:    -EINVAL words (usage); else of what was to be opened. */
#ifndef HYPERVISOR_BACKEND_VMM_CTL_REQUEST_H
#define HYPERVISOR_BACKEND_VMM_CTL_REQUEST_H

#include "hypervisor-backend/vmm/control_request.h"

struct ctl_request {
    enum control_verb verb;
    struct buf line; /* with its LF */
    int fds[CONTROL_FDS];
    unsigned n_fds;
};

/* argv from the request's name on. */
int ctl_request_parse(int argc, char **argv, struct ctl_request *q,
                      struct err *reterr) _must_check_;
void ctl_request_release(struct ctl_request *q);
void ctl_request_usage(FILE *to);

#endif
