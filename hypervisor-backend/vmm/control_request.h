/* hypervisor-backend/vmm/control_request.h - one request of the control
 * socket.
 * Role:      a line of JSON into a struct, and replies into lines; nothing
 *            here does what is asked. CONTROL.md has the protocol.
 * Ownership: control_request_release() frees, and closes the descriptors that
 *            nobody took (those not -1).
 * Threads:   reentrant.
 * Errors:    -EBADMSG no JSON; -EINVAL with the field at fault; -EPROTO
 *            another version. */
#ifndef HYPERVISOR_BACKEND_VMM_CONTROL_REQUEST_H
#define HYPERVISOR_BACKEND_VMM_CONTROL_REQUEST_H

#include "common/buf.h"
#include "hypervisor-backend/vmm/spec.h"

#define CONTROL_VERSION 1
#define CONTROL_LINE_MAX (64u * 1024) /* with its LF */
#define CONTROL_FDS 16u

enum control_verb {
    CONTROL_DESCRIBE,
    CONTROL_START,
    CONTROL_PAUSE,
    CONTROL_RESUME,
    CONTROL_POWER_BUTTON,
    CONTROL_RESET,
    CONTROL_STOP,
    CONTROL_ATTACH_DISK,
    CONTROL_DETACH_DISK,
    CONTROL_ATTACH_NIC,
    CONTROL_DETACH_NIC,
    CONTROL_RESIZE_DISK,
    CONTROL_LIMITS,
    CONTROL_LINK,
    CONTROL_BALLOON,
    CONTROL_STATS,
    CONTROL_CONSOLE,
    CONTROL_WAIT,
    CONTROL_VERBS,
};
const char *control_verb_name(enum control_verb v);

/* Which members are set is the verb's table's to say. */
struct control_request {
    int64_t v, id;
    char *what;
    enum control_verb verb;
    struct spec_disk *new_disk; /* its fd is one of fds[] until taken */
    struct spec_nic *new_nic;
    char *disk, *nic; /* names */
    bool force, up;
    int64_t bytes; /* -1: not said */
    int64_t target_bytes;
    struct spec_limits *limits, *rx_limits, *tx_limits;
    int fds[CONTROL_FDS];
    unsigned n_fds;
};

/* fds come in already (the first n_fds); everything else is set. The id is
 * set on failure too, if it could be read. */
int control_request_decode(const char *line, size_t len,
                           struct control_request *q,
                           struct err *reterr) _must_check_;
void control_request_release(struct control_request *q);
/* Makes the device's descriptors the request's own no more. */
struct spec_disk control_request_take_disk(struct control_request *q);
struct spec_nic control_request_take_nic(struct control_request *q);

/* One line each, LF included. json is the result's text. */
void control_reply_result(int64_t id, const char *json, struct buf *out);
void control_reply_error(int64_t id, const struct err *e, struct buf *out);
/* {"code":…,"field":…,"message":…} */
void control_error_json(const struct err *e, struct buf *out);

#endif
