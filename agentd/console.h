/* agentd/console.h - one console session between a VM and the controller.
 * Role:      couples the VM's console socket with a WebSocket.
 * Ownership: the session is the caller's, and lives until console_run()
 *            returned.
 * Threads:   console_run() blocks its thread; console_end() from any other.
 * Errors:    console_run(): what kept it from beginning; how it ended is not
 *            an error. */
#ifndef AGENTD_CONSOLE_H
#define AGENTD_CONSOLE_H

#include "agentd/link.h"
#include "hypervisor-backend/hv.h"

struct console {
    int end_fd; /* eventfd */
};

int console_init(struct console *c) _must_check_;
void console_release(struct console *c);
void console_end(struct console *c);
/* path: "/v1/agent/console/<request>". *ret_began says if the WebSocket was
 * open: then there is nothing more to answer. */
int console_run(struct console *c, struct hv *hv, const char *instance_id,
                struct link_client *lc, const char *path, bool *ret_began,
                struct err *reterr) _must_check_;

#endif
