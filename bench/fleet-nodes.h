/* bench/fleet-nodes.h - many nodes in one thread, against a real controller.
 * Role:      each joins with a token of its own, holds one long poll (its
 *            heartbeat), and reports `running` or `deleted` for what it is
 *            given at once, on the same connection between two polls.
 * Threads:   nodes_run() is the thread's function; the counters are read by
 *            others while it runs. */
#ifndef BENCH_FLEET_NODES_H
#define BENCH_FLEET_NODES_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>

struct fleet {
    struct sockaddr_in to;
    const char *bearer; /* an operator's */
    const char *prefix; /* of the nodes' names */
    int n;
    int wait_s; /* of a long poll */
    _Atomic int joined, up;
    _Atomic int64_t polls, reports, observed, failed;
    _Atomic int stop;
};

void *nodes_run(void *fleet);

#endif
