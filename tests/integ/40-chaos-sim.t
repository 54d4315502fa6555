#!/usr/bin/env python3
"""40-chaos-sim.t - SIGKILL of controller and agents at random moments, under
traffic; then an agent that repeats itself.

    CHAOS_SEED=N   of everything random here [a new one, printed]
    CHAOS_KILLS=N  [50]
    CHAOS_CLIENTS=N [6]
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
from lib_cloud import BUILD, SLOW, Cloud, Tap, wait_until

KILLS = int(os.environ.get("CHAOS_KILLS", "50"))
CLIENTS = int(os.environ.get("CHAOS_CLIENTS", "6"))
CRASH_MS = 1500
SEED = int(os.environ.get("CHAOS_SEED") or
           random.SystemRandom().randrange(1 << 31))

tap = Tap()
if not os.access(os.path.join(BUILD, "virga-controllerd"), os.X_OK):
    tap.skip_all(f"no virga-controllerd in {BUILD}")


class Replayer:
    """Says again, with a node's own certificate, what the controller has
    long been told, and things that it was never told, all with old
    numbers."""

    def __init__(self, cloud, agent, rng):
        self.api = cloud.api(cert=cloud.identity_of(agent))
        self.cloud, self.name = cloud, agent.name
        self.random = rng
        self.sent = 0

    def report(self, observations):
        return self.api.must("POST", "/v1/agent/report",
                             {"observations": observations})["seq"]

    def go(self, ids):
        # Numbers that the node has yet to use would be news, not repetition.
        last, = self.cloud.controller_rows(
            "SELECT observed_seq FROM nodes WHERE name = ?", self.name)[0]
        for _ in range(3 if last else 0):
            self.report([{
                "seq": self.random.randint(1, last),
                "instance_id": self.random.choice(ids),
                "run": self.random.randint(1, 5),
                "state": self.random.choice(
                    ["running", "stopped", "failed", "deleted"]),
                "age_us": self.random.randint(0, 10**7),
                "reason": "requested",
            } for _ in range(20)])
            self.sent += 20


def chaos():
    rng = random.Random(SEED)
    since = checks.now_text()
    cloud = Cloud(tap, ["--node-lapse", "20s", "--request-timeout", "2s"])
    cloud.start_controller()
    traffic.prepare(cloud)
    # One node with slow and failing starts, deaf guests and guests that
    # crash; the other with guests that power themselves off.
    agents = [
        cloud.add_agent(
            "n1", "--driver", "sim", "--heartbeat", "1s", "--stop-grace",
            "500ms", "--sim-options",
            "cpus=16,memory_mib=4096,start_delay_ms=15,stop_delay_ms=40,"
            "start_fail_permille=60,ignore_acpi_permille=200,"
            f"guest_crash_after_ms={CRASH_MS},guest_crash_permille=300,"
            f"seed={SEED}"),
        cloud.add_agent(
            "n2", "--driver", "sim", "--heartbeat", "1s", "--stop-grace",
            "500ms", "--sim-options",
            "cpus=16,memory_mib=4096,stop_delay_ms=10,"
            f"guest_exit_after_ms=4000,seed={SEED}")]
    tokens = [traffic.new_tenant(cloud, t) for t in ("red", "blue")]
    clients = [traffic.Client(cloud, n, tokens[n % 2],
                              SEED + 1000 * (n + 1))
               for n in range(CLIENTS)]
    for c in clients:
        c.start()
    begun = time.monotonic()
    targets = {"controller": [cloud.controller], "n1": agents[:1],
               "n2": agents[1:], "agents": agents,
               "all": [cloud.controller] + agents}
    names = ["controller"] * 4 + ["n1", "n2"] * 2 + ["agents", "all", "all"]
    kills = 0
    replayers = [Replayer(cloud, a, rng) for a in agents]
    for n in range(KILLS):
        time.sleep(rng.choice([0.03, 0.1, 0.4, 1, 2]) *
                   rng.uniform(0.3, 1) * SLOW)
        victims = list(targets[rng.choice(names)])
        rng.shuffle(victims)
        for v in victims:
            v.kill()
            kills += 1
        if rng.random() < 0.4:
            time.sleep(rng.uniform(0, 0.4))
        rng.shuffle(victims)
        for v in victims:
            v.start()
        ids = [i for c in clients for i in list(c.created)]
        if ids and n % 5 == 4:
            rng.choice(replayers).go(ids)
    took = time.monotonic() - begun
    time.sleep(0.5 * SLOW)
    for c in clients:
        c.halt.set()
    for c in clients:
        c.join(90 * SLOW)
        if c.is_alive():
            c.problem("still waits for an answer")
    for r in replayers:
        r.go([i for c in clients for i in c.created])
    tap.diag(f"{KILLS} times SIGKILL, {kills} processes, in {took:.1f} s; "
             f"{cloud.controller.starts} starts of the controller; "
             + traffic.figures(clients))
    tap.diag(f"{sum(r.sent for r in replayers)} old observations repeated")
    settled = time.monotonic()
    tap.none(checks.settle(cloud, lives=2 * CRASH_MS / 1000),
             "chaos: every operation ends")
    restarts = sum(i["restart_count"]
                   for i in cloud.api().list("/v1/instances"))
    tap.diag(f"settled after {time.monotonic() - settled:.1f} s; {restarts} "
             "restarts by policy of what there still is")
    tap.none(checks.same_running(cloud),
             "chaos: what runs is what the API says is running")
    tap.none(checks.check_states(cloud, clients, by_itself=True),
             "chaos: the last acknowledged request of each instance counts")
    tap.none(checks.check_claims(cloud),
             "chaos: claims are the sum of the instances, none quarantined")
    checks.finish(cloud, tap, clients, since, "chaos")
    tap.diag(f"in all {time.monotonic() - begun:.1f} s")


class Puppet:
    """A node whose agent is this test."""

    def __init__(self, cloud, agent):
        self.api = cloud.api(cert=cloud.identity_of(agent))
        self.history = []

    def say(self, *observations):
        self.history.append(list(observations))
        return self.repeat(self.history[-1])

    def repeat(self, observations):
        return self.api.must("POST", "/v1/agent/report",
                             {"observations": observations})["seq"]


def replay():
    rng = random.Random(SEED)
    since = checks.now_text()
    cloud = Cloud(tap, name="b")
    cloud.start_controller()
    traffic.prepare(cloud)
    agent = cloud.add_agent("puppet", "--driver", "sim")
    agent.kill()
    node = Puppet(cloud, agent)
    api = cloud.api()

    def create(name):
        i = api.must("POST", "/v1/instances", {
            "name": name, "flavor": "two", "image": "blank"})["id"]
        return i

    def seen(i):
        return api.must("GET", f"/v1/instances/{i}")

    def obs(seq, i, run, state, age_s=0.0):
        o = {"seq": seq, "instance_id": i, "run": run, "state": state,
             "age_us": int(age_s * 1e6)}
        return dict(o, reason="requested") if state == "stopped" else o

    a, b = create("a"), create("b")
    time.sleep(0.3)
    ack = node.say(obs(1, a, 1, "running", 0.2))
    tap.ok(ack == 1 and seen(a)["state"] == "running",
           "replay: a report is applied", ack, seen(a))
    first = checks.usage(api, since).items[a]["first_start"]
    again = node.repeat([obs(1, a, 1, "running", 0.2)])
    item = checks.usage(api, since).items[a]
    tap.ok(again == 1 and item["first_start"] == first and
           item["intervals"] == 1, "replay: told twice, it counts once",
           again, item, first)
    node.say(obs(2, b, 1, "running"),
             obs(3, a, 1, "stopped", 0.1))
    whole = checks.usage(api, since).items[a]
    tap.ok(seen(a)["state"] == "stopped" and not whole["open"],
           "replay: the end closes the interval", seen(a), whole)
    # Late news under new numbers: of a run that is over, and of a second
    # run that begins.
    api.must("POST", f"/v1/instances/{a}/start")
    node.say(obs(4, a, 1, "running"), obs(5, a, 1, "stopped"))
    tap.ok(seen(a)["state"] == "starting" and
           checks.usage(api, since).items[a]["running_seconds"] ==
           whole["running_seconds"],
           "replay: late news of an old run change nothing", seen(a))
    node.say(obs(6, a, 2, "running"))
    node.say(obs(7, a, 2, "stopped"), obs(8, b, 1, "stopped"))
    billed = checks.usage(api, since)
    ack = node.say(obs(12, b, 1, "running", 3), obs(10, b, 1, "stopped"))
    tap.ok(ack == 12 and seen(b)["state"] == "stopped" and
           checks.usage(api, since) == billed,
           "replay: gaps and numbers out of order do no harm", ack, seen(b))
    before = (seen(a), seen(b), checks.usage(api, since))
    said = 0
    for _ in range(100):
        some = rng.choice(node.history)
        some = [dict(o, age_us=rng.choice([0, o["age_us"], 10**9]))
                for o in rng.sample(some, len(some))]
        if rng.random() < 0.5:
            some = [dict(o, state=rng.choice(["running", "stopped",
                                              "failed", "deleted"]),
                         run=rng.randint(1, 9)) for o in some]
        node.repeat(some)
        said += len(some)
    after = (seen(a), seen(b), checks.usage(api, since))
    tap.ok(before == after, f"replay: {said} old observations in any order "
           "change nothing", before, after)
    cloud.controller.kill()
    cloud.controller.start()
    wait_until(20, cloud.answers)
    for some in rng.sample(node.history, len(node.history)):
        node.repeat(some)
    after = (seen(a), seen(b), checks.usage(api, since))
    tap.ok(before == after, "replay: nor do they after the controller's "
           "restart", before, after)
    ops = api.list("/v1/operations")
    tap.none([o for o in ops if o["state"] != "succeeded"],
             "replay: every operation has succeeded")
    tap.none(cloud.end_in_order(), "replay: the controller ends in order")
    rows = cloud.controller_rows(
        "SELECT instance_id, run, start_us, end_us FROM usage_intervals "
        "ORDER BY instance_id, run")
    tap.none(checks.check_sums(rows, after[2]),
             "replay: the sums are those of the intervals")
    tap.ok([r[:2] for r in rows] == sorted([(a, 1), (a, 2), (b, 1)]),
           "replay: one interval for each run", rows)


tap.diag(f"CHAOS_SEED={SEED}")
chaos()
replay()
tap.done()
