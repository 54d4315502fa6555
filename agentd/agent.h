/* agentd/agent.h - the parts of a running agent.
 * Role:      what main.c puts together and poll.c, report.c, request.c and
 *            keep.c work with.
 * Ownership: main.c owns all of it.
 * Threads:   members are set before the threads start. Each _start() below
 *            makes one thread (requests: one each), each _stop() ends it
 *            after link_shutdown(); NULL is fine.
 * Errors:    negative errno; a thread logs and retries what goes wrong. */
#ifndef AGENTD_AGENT_H
#define AGENTD_AGENT_H

#include "agentd/config.h"
#include "agentd/core.h"
#include "agentd/image.h"
#include "agentd/link.h"

struct poller;
struct reporter;
struct requests;
struct keeper;
struct http_server;

struct agent {
    struct agent_config cfg;
    char node_id[ID_SIZE];
    char *identity_dir, *instances_dir;
    struct state *st;
    struct hv *hv;
    struct core *core;
    struct link *link;
    struct image_cache *images;
    struct reporter *reporter;
    struct requests *requests;
    struct poller *poller;
    struct keeper *keeper;
    struct http_server *metrics; /* NULL: none is wanted */
};

/* Long-polls the desired state (poll.c). */
int poller_start(struct agent *a, struct poller **ret) _must_check_;
void poller_stop(struct poller *p);

/* Sends observations, progress and what the node has, renews the certificate
 * (report.c). */
int reporter_start(struct agent *a, struct reporter **ret) _must_check_;
/* There is something to send. Any thread; NULL is fine. */
void reporter_wake(struct reporter *r);
/* There will be progress to send, in core_progress_wait(). Likewise. */
void reporter_progress(struct reporter *r);
/* Ends its thread; it may still be woken until it is freed. */
void reporter_stop(struct reporter *r);
void reporter_free(struct reporter *r);

/* Answers questions about VMs (request.c, console.c). */
int requests_new(struct agent *a, struct requests **ret) _must_check_;
/* A request that came (again) with the desired state. */
void requests_take(struct requests *rq, const struct api_node_request *r);
/* Ends consoles, waits for all answers. */
void requests_stop(struct requests *rq);

/* Looks around, trims logs and images, notes the time (keep.c). */
int keeper_start(struct agent *a, struct keeper **ret) _must_check_;
void keeper_stop(struct keeper *k);

/* Serves GET /metrics where the settings say (metrics.c); *ret is NULL where
 * they say nothing. Stopped by http_stop(). */
int metrics_start(struct agent *a, struct http_server **ret,
                  struct err *reterr) _must_check_;

#endif
