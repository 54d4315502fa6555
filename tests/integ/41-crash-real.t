#!/usr/bin/env python3
"""41-crash-real.t - real guests go on while controller, agent or both are
killed, and are found again; QEMU's own death is seen; a VM that the agent
does not know is left alone."""

import os
import shutil
import signal
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import lib_checks as checks
from lib_cloud import BUILD, SLOW, Tap, wait_until
from lib_guests import Guests, qemus, seconds

tap = Tap()
for program in ("virga-controllerd", "virga-agentd", "virga"):
    if not os.access(os.path.join(BUILD, program), os.X_OK):
        tap.skip_all(f"no {program} in {BUILD}")
for program in ("qemu-system-x86_64", "dpkg"):
    if not shutil.which(program):
        tap.skip_all(f"{program} is missing")


def survives(g, what, victims, boot_ids):
    """Both guests go on over the death of victims."""
    before = {n: (g.ticks(n) or [0])[-1] for n in boot_ids}
    for v in victims:
        v.kill()
    time.sleep(1)
    pids = qemus(g.agent.state)
    tap.ok(pids == g.pids, f"{what} killed: the guests go on", pids, g.pids)
    for v in victims:
        v.start()
    wait_until(30, lambda: g.node()["state"] == "up")
    # News only: the controller's own memory would also say "running".
    after = {}

    def ticked():
        for n in boot_ids:
            after[n] = (g.ticks(n) or [0])[-1]
        return all(after[n] > before[n] for n in boot_ids)
    tap.ok(wait_until(30, ticked), f"{what} killed: their consoles are read "
           "again, they have gone on counting", before, after)
    tap.ok(all(g.boots(n) == 1 for n in boot_ids) and
           qemus(g.agent.state) == g.pids,
           f"{what} killed: nothing was started again")
    now = {n: g.boot_id(n) for n in boot_ids}
    tap.ok(now == boot_ids, f"{what} killed: the guests answer on their "
           "consoles, in the same boot", now, boot_ids)
    states = {n: (g.show(n)["state"], g.show(n)["run"]) for n in boot_ids}
    tap.ok(set(states.values()) == {("running", 1)} and
           not g.node()["quarantined"],
           f"{what} killed: they were adopted", states, g.node())


def crash_while_watched(g):
    pid = g.pids[g.show("one")["id"]]
    t = time.time()
    os.kill(pid, signal.SIGKILL)
    tap.ok(g.state_is("one", "stopped"), "QEMU killed: stopped")
    took = time.time() - t
    vm, u = g.show("one"), g.usage("one")
    tap.ok(vm["stop_reason"] == "crashed", "QEMU killed: reason crashed", vm)
    off = seconds(u.get("last_end")) - t
    tap.ok(not u["open"] and abs(off) <= 1,
           "QEMU killed: the interval ends at that moment (1 s)", u, t)
    tap.diag(f"seen after {took:.3f} s, billed to {off:+.3f} s")


def crash_unwatched(g):
    """Killed while nobody looks: billed to the last moment it was seen."""
    pid = g.pids[g.show("two")["id"]]
    time.sleep(2.5)  # the agent notes every 2 s that it looks after its VMs
    g.agent.kill()
    dead = time.time()
    time.sleep(2)
    os.kill(pid, signal.SIGKILL)
    time.sleep(2)
    g.agent.start()
    tap.ok(g.state_is("two", "stopped"),
           "QEMU killed while the agent is dead: stopped")
    vm, u = g.show("two"), g.usage("two")
    tap.ok(vm["stop_reason"] in ("crashed", "unknown"),
           "QEMU killed while the agent is dead: the reason says so", vm)
    off = seconds(u.get("last_end")) - dead
    tap.ok(-3 * SLOW <= off <= 0.1,
           "QEMU killed while the agent is dead: billed to the last moment "
           "it was seen, and not past it", u, dead)
    tap.diag(f"reason {vm['stop_reason']}, billed to {off:+.3f} s from the "
             "agent's death")


def stranger(g):
    """The agent forgets a VM: it must not touch it."""
    vm = g.show("two")
    pid = qemus(g.agent.state)[vm["id"]]
    g.agent.kill()
    db = sqlite3.connect(os.path.join(g.agent.state, "agent.db"))
    n = db.execute("DELETE FROM instance WHERE id = ?",
                   (vm["id"],)).rowcount
    db.commit()
    db.close()
    tap.ok(n == 1, "stranger: the agent's row of it is removed")
    g.agent.start()
    tap.ok(wait_until(40, lambda: g.node()["quarantined"] == [vm["id"]]),
           "stranger: it is reported as quarantined", g.node())
    out = g.cli("node", "show", "real").stdout.decode()
    tap.ok(vm["id"] in out, "stranger: \"virga node show\" names it", out)
    ticks = (g.ticks("one") or [0])[-1]
    wait_until(20, lambda: (g.ticks("one") or [0])[-1] > ticks)
    time.sleep(3)
    tap.ok(qemus(g.agent.state).get(vm["id"]) == pid,
           "stranger: it is left running")
    g.api.must("DELETE", f"/v1/instances/{vm['id']}")
    tap.ok(g.gone(pid) and wait_until(
        40, lambda: not g.node()["quarantined"]),
        "stranger: deleting its instance ends it and the quarantine",
        g.node())


def main():
    g = Guests(tap)
    cloud = g.cloud
    try:
        g.upload(tap)
        g.agent = cloud.add_agent("real", "--driver", "libvirt",
                                  "--heartbeat", "1s", "--stop-grace", "40s")
        for name in ("one", "two"):
            # 43-restart-policy.t has those that come back.
            g.launch(name, "never")
        tap.ok(all(wait_until(90, lambda n=n: g.boots(n) == 1)
                   for n in ("one", "two")), "two guests have booted") \
            or tap.done()
        g.pids = qemus(g.agent.state)
        tap.ok(len(g.pids) == 2, "each is a QEMU process", g.pids)
        tap.ok(all(g.log_in(n) for n in ("one", "two")),
               "each lets root in on its console")
        boot_ids = {n: g.boot_id(n) for n in ("one", "two")}
        tap.ok(None not in boot_ids.values() and
               len(set(boot_ids.values())) == 2,
               "each answers with a boot of its own", boot_ids)

        survives(g, "controller", [cloud.controller], boot_ids)
        survives(g, "agent", [g.agent], boot_ids)
        survives(g, "both", [cloud.controller, g.agent], boot_ids)

        pid = g.pids[g.show("one")["id"]]
        g.api.must("POST", "/v1/instances/one/stop", {"force": False})
        g.gone(pid)
        t = time.time()
        tap.ok(g.state_is("one", "stopped") and
               "virga-guest: power button" in g.log("one") and
               g.show("one")["stop_reason"] == "requested",
               "an adopted guest is stopped by its power button",
               g.show("one"), g.log("one")[-500:])
        u = g.usage("one")
        span = seconds(u.get("last_end")) - seconds(u["first_start"])
        tap.ok(u["intervals"] == 1 and not u["open"] and
               abs(float(u["running_seconds"]) - span) < 1e-5 and
               abs(seconds(u.get("last_end")) - t) <= 1,
               "its usage is one interval, to its end (1 s)", u, t)
        u = g.usage("two")
        tap.ok(u["intervals"] == 1 and u["open"],
               "the other's is one interval, still open", u)

        g.api.must("POST", "/v1/instances/one/start")
        tap.ok(wait_until(90, lambda: g.boots("one") == 2) and
               g.show("one")["run"] == 2, "it starts again")
        g.pids = qemus(g.agent.state)
        crash_while_watched(g)
        crash_unwatched(g)
        for name in ("one", "two"):
            g.api.must("POST", f"/v1/instances/{name}/start")
        tap.ok(all(g.state_is(n, "running", 60) for n in ("one", "two")),
               "both start again after their crashes")
        stranger(g)

        g.api.must("DELETE", "/v1/instances/one")
        tap.none(checks.settle(cloud), "everything is deleted")
        tap.ok(wait_until(20, lambda: not qemus(g.agent.state)),
               "no QEMU is left")
        tap.none(checks.check_claims(cloud),
                 "nothing is claimed any more")
        said = checks.usage(g.api, g.since)
        tap.none(cloud.end_in_order(), "no daemon failed or ended by itself")
        rows = cloud.controller_rows(
            "SELECT instance_id, run, start_us, end_us FROM usage_intervals "
            "ORDER BY instance_id, run")
        tap.none(checks.check_sums(rows, said),
                 "usage is the sum of its intervals")
        tap.ok(sorted(r[1] for r in rows) == [1, 1, 2, 2, 3],
               "one interval for each run", rows)
        tap.none(cloud.integrity(), "the databases are sound")
    finally:
        g.end_all()
    tap.done()


main()
