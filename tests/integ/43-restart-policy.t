#!/usr/bin/env python3
"""43-restart-policy.t - instances that end come back, or do not, by their
restart policy: at once told, exactly billed, with and without a controller,
and never against what the tenant asks meanwhile. First with simulated guests,
then with real ones."""

import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import lib_checks as checks
import lib_traffic as traffic
from lib_cloud import BUILD, SLOW, Cloud, Tap, wait_until
from lib_guests import Guests, qemus, seconds

tap = Tap()
for program in ("virga-controllerd", "virga-agentd", "virga"):
    if not os.access(os.path.join(BUILD, program), os.X_OK):
        tap.skip_all(f"no {program} in {BUILD}")

LIVES_S = 1.5  # of a simulated guest


def intervals(cloud, instance):
    """[(run, start, end)] of an instance, in seconds."""
    return [(run, start / 1e6, end / 1e6 if end else None)
            for run, start, end in cloud.controller_rows(
                "SELECT run, start_us, end_us FROM usage_intervals "
                "WHERE instance_id = ? ORDER BY run", instance)]


def overlap(some):
    return [f"run {a[0]} ends {a[2]}, run {b[0]} starts {b[1]}"
            for a, b in zip(some, some[1:]) if a[2] is None or a[2] > b[1]]


class Sim:
    """Two nodes whose guests end by themselves: one's crash, the other's
    power themselves off."""

    def __init__(self):
        self.since = checks.now_text()
        self.cloud = Cloud(tap, name="sim")
        self.cloud.start_controller()
        traffic.prepare(self.cloud)
        self.api = self.cloud.api()
        lives = int(LIVES_S * 1000)
        for name, how in (("crash", "guest_crash_after_ms"),
                          ("off", "guest_exit_after_ms")):
            self.cloud.add_agent(
                name, "--driver", "sim", "--heartbeat", "1s", "--stop-grace",
                "500ms", "--sim-options", f"{how}={lives}")

    def agent(self, name):
        return next(a for a in self.cloud.agents if a.name == name)

    def create(self, name, node, policy=None):
        """On that node."""
        for a in self.cloud.agents:
            verb = "uncordon" if a.name == node else "cordon"
            self.api.must("POST", f"/v1/nodes/{a.name}/{verb}")
        body = {"name": name, "flavor": "one", "image": "blank"}
        if policy:
            body["restart_policy"] = policy
        return self.api.must("POST", "/v1/instances", body)["id"]

    def show(self, ref):
        return self.api.must("GET", f"/v1/instances/{ref}")

    def runs(self, instance):
        """{run: Run} as the nodes' journals have them."""
        bad = []
        runs = {run: r for (vm, run), r in
                checks.all_runs(self.cloud.agents, bad).items()
                if vm == instance}
        if bad:
            tap.none(bad, "no run twice, none beside another")
        return runs

    def until(self, instance, what, seconds_=20):
        seen = []

        def there():
            seen[:] = [self.show(instance)]
            return what(seen[0])
        wait_until(seconds_, there, every=0.02)
        return seen[0]

    def cli(self, *args):
        env = dict(os.environ, VIRGA_URL=f"https://127.0.0.1:"
                   f"{self.cloud.port}", VIRGA_TOKEN=self.cloud.admin,
                   VIRGA_CA=self.cloud.ca)
        r = subprocess.run([os.path.join(BUILD, "virga"), *args], env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=60 * SLOW, check=False)
        return r.returncode, r.stdout.decode(errors="replace")

    def billed_exactly(self, instance, what):
        """Each run of the journal is one interval, to within a second."""
        # While it lives on the two are read at different moments.
        problems = []

        def same():
            runs = self.runs(instance)
            rows = intervals(self.cloud, instance)
            problems[:] = overlap(rows)
            if [r[0] for r in rows] != sorted(runs):
                problems.append(f"runs {sorted(runs)}, billed {rows}")
            for run, start, end in rows:
                r = runs.get(run)
                if r is None or abs(r.start / 1e6 - start) > SLOW or \
                        (r.end is None) != (end is None) or \
                        end and abs(r.end / 1e6 - end) > SLOW:
                    problems.append(f"run {run}: {start} to {end}, not {r}")
            return not problems
        wait_until(10, same, every=0.05)
        tap.none(problems, what)


def on_failure(sim):
    i = sim.create("phoenix", "crash")
    vm = sim.until(i, lambda v: v["state"] == "running")
    tap.ok(vm["restart_policy"] == "on-failure" and vm["restart_count"] == 0,
           "the policy is on-failure by default", vm)
    vm = sim.until(i, lambda v: v["state"] == "starting")
    took = time.time() - sim.runs(i)[1].end / 1e6
    rows = intervals(sim.cloud, i)
    tap.ok(took < SLOW and vm["stop_reason"] == "crashed" and
           vm["run"] == 2 and len(rows) == 1 and rows[0][2] is not None,
           "a crash is told and billed to its end within a second, before "
           "the restart", took, vm, rows)
    vm = sim.until(i, lambda v: v["state"] == "running")
    tap.ok(vm["run"] == 2 and vm["restart_count"] == 1 and
           vm["last_end_reason"] == "crashed" and "stop_reason" not in vm,
           "it comes back as run 2", vm)
    runs = sim.runs(i)
    gap = (runs[2].start - runs[1].end) / 1e6
    tap.ok(1 <= gap < 2 * SLOW, "1 s after its end", gap)
    log = sim.api.call("GET", f"/v1/instances/{i}/console-log").data.decode()
    tap.ok("run 1" in log and "run 2" in log, "its console log goes on", log)
    ops = [o for o in sim.api.list("/v1/operations")
           if o["resource_id"] == i]
    tap.ok(len(ops) == 1 and ops[0]["state"] == "succeeded",
           "a restart is no operation: their number does not grow", ops)
    sim.until(i, lambda v: v["run"] == 3 and v["state"] == "running")
    sim.billed_exactly(i, "its runs are billed, and do not overlap")
    return i


def alone(sim, i):
    """The agent goes on by itself, and both agree when the controller is
    back."""
    sim.cloud.controller.kill()
    before = max(sim.runs(i))
    tap.ok(wait_until(40, lambda: max(sim.runs(i)) > before),
           "without a controller it is started again", sim.runs(i))
    sim.cloud.controller.start()
    wait_until(20, sim.cloud.answers)
    vm = sim.until(i, lambda v: v["run"] >= max(sim.runs(i)))
    tap.ok(vm["run"] >= before + 1 and
           vm["state"] in ("running", "starting"),
           "the controller, when it is back, learns of it", vm)
    sim.billed_exactly(i, "and bills what ran meanwhile")


def stop_in_back_off(sim, i):
    vm = sim.until(i, lambda v: v["state"] == "starting" and v["run"] >= 4,
                   60)
    n = vm["run"]
    op = sim.api.must("POST", f"/v1/instances/{i}/stop", {"force": False})
    op = sim.api.must("GET", f"/v1/operations/{op['id']}?wait=10s")
    vm = sim.show(i)
    tap.ok(op["state"] == "succeeded" and vm["state"] == "stopped" and
           vm["stop_reason"] == "requested" and n not in sim.runs(i),
           "stopped in its back-off it stays so", op, vm, sim.runs(i))
    agent = sim.agent("crash")
    agent.kill()
    agent.start()
    op = sim.api.must("POST", f"/v1/instances/{i}/start")
    op = sim.api.must("GET", f"/v1/operations/{op['id']}?wait=20s")
    vm = sim.show(i)
    tap.ok(op["state"] == "succeeded" and vm["run"] == n + 1,
           "a start after that is a run of its own", op, vm)
    sim.until(i, lambda v: v["state"] == "starting")
    runs = sim.runs(i)
    sim.until(i, lambda v: v["state"] == "running")
    runs = sim.runs(i)
    gap = (runs[n + 2].start - runs[n + 1].end) / 1e6
    tap.ok(1 <= gap < 2 * SLOW, "and its back-off begins anew", gap)
    # Killed again and again in the wait, the agent does not shorten it.
    vm = sim.until(i, lambda v: v["state"] == "starting" and
                   v["run"] == n + 3)
    for _ in range(3):
        agent.kill()
        agent.start()
    sim.until(i, lambda v: v["state"] == "running", 30)
    runs = sim.runs(i)
    gap = (runs[n + 3].start - runs[n + 2].end) / 1e6
    tap.ok(2 <= gap < 20 * SLOW, "the agent's death does not shorten it",
           gap)
    vm = sim.until(i, lambda v: v["state"] == "starting")
    sim.api.must("DELETE", f"/v1/instances/{i}")
    tap.none(checks.settle(sim.cloud), "deleted in its back-off it is gone")
    tap.ok(vm["run"] not in sim.runs(i), "and was not started for that",
           vm["run"], sim.runs(i))


def never(sim):
    rc, out = sim.cli("launch", "blank", "mortal", "--flavor", "one",
                      "--restart", "never", "--wait", "-o", "json")
    tap.ok(rc == 0 and '"restart_policy": "never"' in out,
           "virga launch --restart never", out)
    i = sim.show("mortal")["id"]
    vm = sim.until(i, lambda v: v["state"] == "stopped")
    tap.ok(vm["state"] == "stopped" and vm["stop_reason"] == "crashed",
           "policy never: a crash is the end", vm)
    rc, out = sim.cli("launch", "blank", "x", "--restart", "sometimes")
    tap.ok(rc == 2 and "on-failure" in out, "another word is refused", out)
    # The policy counts from the next end on: it does not start what is off.
    rc, out = sim.cli("instance", "set", "mortal", "--restart", "always")
    tap.ok(rc == 0 and "always" in out, "virga instance set --restart", out)
    return i


def always(sim, mortal):
    i = sim.create("owl", "off", "always")
    j = sim.create("calm", "off", "on-failure")
    vm = sim.until(i, lambda v: v["run"] == 2 and v["state"] == "running")
    tap.ok(vm["run"] == 2 and vm["last_end_reason"] == "guest",
           "policy always: a guest that powered itself off comes back", vm)
    vm = sim.until(j, lambda v: v["state"] == "stopped")
    tap.ok(vm["stop_reason"] == "guest" and vm["run"] == 1,
           "policy on-failure: that one stays off", vm)
    r = sim.api.call("PATCH", f"/v1/instances/{i}",
                     {"restart_policy": "never"})
    tap.ok(r.status == 200 and r.body["restart_policy"] == "never",
           "PATCH changes the policy", r.status, r.body)
    vm = sim.until(i, lambda v: v["state"] == "stopped", 30)
    tap.ok(vm["state"] == "stopped" and vm["stop_reason"] == "guest",
           "changed to never, it stays off", vm)
    r = sim.api.call("PATCH", f"/v1/instances/{i}",
                     {"restart_policy": "maybe"})
    tap.ok(r.status == 400 and
           r.body["errors"][0]["pointer"] == "/restart_policy",
           "a policy that is none is refused", r.status, r.body)
    tap.ok(sorted(sim.runs(mortal)) == [1] and sorted(sim.runs(j)) == [1],
           "what stayed off has stayed so", sim.runs(mortal), sim.runs(j))


def simulated():
    sim = Sim()
    mortal = None
    i = on_failure(sim)
    alone(sim, i)
    stop_in_back_off(sim, i)
    for a in sim.cloud.agents:
        verb = "uncordon" if a.name == "crash" else "cordon"
        sim.api.must("POST", f"/v1/nodes/{a.name}/{verb}")
    mortal = never(sim)
    always(sim, mortal)
    for vm in sim.api.list("/v1/instances"):
        sim.api.must("DELETE", f"/v1/instances/{vm['id']}")
    tap.none(checks.settle(sim.cloud), "everything is deleted")
    said = checks.usage(sim.api, sim.since)
    tap.none(sim.cloud.end_in_order(), "no daemon failed or ended by itself")
    bad = []
    runs = checks.all_runs(sim.cloud.agents, bad)
    tap.none(bad, "no instance ever ran twice")
    tap.none(checks.check_usage(sim.cloud, said, runs, 2.0 * SLOW, tap.diag),
             "usage is what ran")
    tap.none(checks.check_agents_clean(sim.cloud),
             "the agents have nothing left to do or to tell")
    tap.none(sim.cloud.integrity(), "the databases are sound")


# ---- real guests ----

def runs_as(vm, run):
    """Of one look: between two, the run before may have ended."""
    return (vm["state"], vm["run"]) == ("running", run)


def killed(g, name, what, run):
    """SIGKILL of its QEMU: it comes back as that run."""
    i = g.show(name)["id"]
    pid = qemus(g.agent.state)[i]
    t = time.time()
    os.kill(pid, signal.SIGKILL)
    rows = []

    def closed():
        rows[:] = intervals(g.cloud, i)
        return rows[-1][2] is not None
    wait_until(10, closed, every=0.01)
    took = time.time() - t
    # libvirt takes its time over a QEMU's end where the machine is busy; the
    # moment itself is known from the process.
    tap.diag(f"{what}: told after {took:.3f} s")
    tap.ok(took < 5 * SLOW and abs(rows[-1][2] - t) < SLOW,
           f"{what}: told before it is started again, billed to its end",
           took, rows)
    tap.ok(wait_until(60, lambda: runs_as(g.show(name), run)),
           f"{what}: running again, as run {run}", g.show(name))
    tap.ok(qemus(g.agent.state).get(i) not in (None, pid),
           f"{what}: by another process", qemus(g.agent.state))
    tap.none(overlap(intervals(g.cloud, i)),
             f"{what}: its intervals do not overlap")


def killed_alone(g, name, run):
    """The same while the controller is dead."""
    i = g.show(name)["id"]
    pid = qemus(g.agent.state)[i]
    g.cloud.controller.kill()
    os.kill(pid, signal.SIGKILL)
    tap.ok(wait_until(60, lambda: qemus(g.agent.state).get(i)
                      not in (None, pid)),
           "without a controller: its node starts it again")
    g.cloud.controller.start()
    wait_until(20, g.cloud.answers)
    tap.ok(wait_until(60, lambda: runs_as(g.show(name), run)),
           "without a controller: which agrees when it is back",
           g.show(name))
    rows = intervals(g.cloud, i)
    tap.ok([r[0] for r in rows] == list(range(1, run + 1)) and
           not overlap(rows), "without a controller: each run is billed",
           rows)


def real():
    g = Guests(tap)
    try:
        g.upload(tap)
        g.agent = g.cloud.add_agent("real", "--driver", "libvirt",
                                    "--heartbeat", "1s", "--stop-grace",
                                    "40s")
        for name, policy in (("one", "on-failure"), ("two", "never"),
                             ("three", "always")):
            g.launch(name, policy)
        if not tap.ok(all(wait_until(120, lambda n=n: g.boots(n) == 1)
                          for n in ("one", "two", "three")),
                      "three guests have booted"):
            return
        killed(g, "one", "QEMU killed", 2)
        vm = g.show("one")
        tap.ok(vm["last_end_reason"] == "crashed" and
               vm["restart_count"] == 1, "QEMU killed: the reason is kept", vm)
        os.kill(qemus(g.agent.state)[g.show("two")["id"]], signal.SIGKILL)
        tap.ok(g.state_is("two", "stopped"), "policy never: it stays dead")
        tap.ok(g.log_in("three"), "policy always: root logs in")
        t = time.time()
        g.type("three", "", "poweroff")
        tap.ok(wait_until(120, lambda: g.boots("three") == 2),
               "policy always: it boots again after \"poweroff\"",
               g.show("three"), g.log("three")[-500:])
        vm = g.show("three")
        rows = intervals(g.cloud, vm["id"])
        tap.ok(vm["run"] == 2 and vm["last_end_reason"] == "guest" and
               len(rows) == 2 and rows[0][2] > t and not overlap(rows),
               "policy always: as a run of its own", vm, rows)
        tap.ok(wait_until(120, lambda: g.boots("one") == 2),
               "QEMU killed: the guest has booted, its log goes on",
               g.log("one")[-500:])
        killed_alone(g, "one", 3)
        for name in ("one", "two", "three"):
            g.api.must("DELETE", f"/v1/instances/{name}")
        tap.none(checks.settle(g.cloud), "real: everything is deleted")
        tap.ok(seconds(g.since) < t and
               wait_until(20, lambda: not qemus(g.agent.state)),
               "real: no QEMU is left")
        tap.none(g.cloud.end_in_order(),
                 "real: no daemon failed or ended by itself")
    finally:
        g.end_all()


simulated()
if shutil.which("qemu-system-x86_64") and shutil.which("dpkg"):
    real()
else:
    tap.diag("SKIP of real guests: qemu-system-x86_64 or dpkg is missing")
tap.done()
