#!/usr/bin/env python3
"""42-lost-and-repeated.t - connections between client, controller and agents
are cut at random, in the middle of handshakes, requests and replies, or fall
silent: everything settles, nothing is done twice, nothing is billed wrong.

    CHAOS_SEED=N     of everything random here [a new one, printed]
    CHAOS_SECONDS=N  of traffic [20]
"""

import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import lib_checks as checks
import lib_traffic as traffic
from lib_cloud import BUILD, SLOW, Cloud, Tap
from lib_proxy import Proxy

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CHAOS_SEED") or
           random.SystemRandom().randrange(1 << 31))

tap = Tap()
if not os.access(os.path.join(BUILD, "virga-controllerd"), os.X_OK):
    tap.skip_all(f"no virga-controllerd in {BUILD}")
tap.diag(f"CHAOS_SEED={SEED}")
rng = random.Random(SEED)
since = checks.now_text()
cloud = Cloud(tap, ["--request-timeout", "2s"])
cloud.start_controller()
traffic.prepare(cloud)
to_agents = Proxy(cloud.port, SEED + 1, whole=0.1)
to_clients = Proxy(cloud.port, SEED + 2, reach=40000)
for name, options in (("n1", "stop_delay_ms=20,start_fail_permille=60"),
                      ("n2", "guest_exit_after_ms=3000")):
    # Joining goes over the bad line as well.
    cloud.add_agent(name, "--driver", "sim", "--heartbeat", "500ms",
                    "--stop-grace", "500ms", "--sim-options",
                    f"cpus=16,memory_mib=4096,{options}",
                    port=to_agents.port)
token = traffic.new_tenant(cloud, "red")
clients = [traffic.Client(cloud, n, token, SEED + 1000 * (n + 1),
                          port=to_clients.port) for n in range(4)]
for c in clients:
    c.start()
begun = time.monotonic()
while time.monotonic() - begun < SECONDS * SLOW:
    time.sleep(rng.uniform(0, 1))
    rng.choice([to_agents, to_clients]).cut_all()
for c in clients:
    c.halt.set()
for c in clients:
    c.join(60 * SLOW)
    if c.is_alive():
        c.problem("still waits for an answer")
for p in (to_agents, to_clients):
    p.set_calm()
tap.diag(f"{time.monotonic() - begun:.1f} s; agents: {to_agents.cuts} cuts "
         f"in {to_agents.connections} connections; clients: "
         f"{to_clients.cuts} in {to_clients.connections}; "
         + traffic.figures(clients))
settled = time.monotonic()
tap.none(checks.settle(cloud), "cuts: every operation ends")
tap.diag(f"settled after {time.monotonic() - settled:.1f} s")
tap.none(checks.same_running(cloud),
         "cuts: what runs is what the API says is running")
tap.none(checks.check_states(cloud, clients, by_itself=True),
         "cuts: the last acknowledged request of each instance counts")
tap.none(checks.check_claims(cloud),
         "cuts: claims are the sum of the instances, none quarantined")
tap.ok(sum(c.api.lost for c in clients) > 20 and to_agents.cuts > 20,
       "cuts: replies were lost")
checks.finish(cloud, tap, clients, since, "cuts")
tap.done()
