"""lib_checks.py - what must be true after lib_traffic.py's clients have been
at work, whatever was killed or lost meanwhile.

What really ran is known from the journals of the simulated nodes
(hypervisor-backend/sim/README.md); everything else is compared with them.
"""

import collections
import os
import time
from datetime import datetime, timezone
from decimal import Decimal

from lib_cloud import SLOW, wait_until
from lib_traffic import TRANSIENT

# ---- the journal of simulated nodes ----

Run = collections.namedtuple("Run", "start end why node")


def read_journal(agent):
    if not os.path.exists(agent.journal):
        return []
    with open(agent.journal, encoding="ascii") as f:
        lines = f.read().splitlines()
    out = []
    for line in lines:
        us, what, vm, run, why = line.split()
        out.append((int(us), what, vm, int(run), why))
    return out


def check_journal(entries, node, problems):
    """Replays one node's journal: {(id, run): Run} without what never came
    to be; whatever must not happen goes to problems."""
    open_run = {}  # id -> (run, start)
    runs = {}
    for us, what, vm, run, why in entries:
        if what == "start":
            if vm in open_run:
                problems.append(f"{vm}: run {run} started while run "
                                f"{open_run[vm][0]} runs")
            if (vm, run) in runs:
                problems.append(f"{vm}: run {run} started twice")
            if any(r > run for v, r in runs if v == vm):
                problems.append(f"{vm}: run {run} after a later one")
            open_run[vm] = (run, us)
            continue
        if vm not in open_run:
            # Ends may be told twice, and aborted starts never began.
            if why != "aborted" and runs.get((vm, run)) != \
                    Run(runs[(vm, run)].start if (vm, run) in runs else 0,
                        us, why, node):
                problems.append(f"{vm}: run {run} ended ({why}) "
                                "without having begun")
            continue
        began, start = open_run[vm]
        if run != began:
            # The second telling of the end of the run before.
            if (vm, run) not in runs:
                problems.append(f"{vm}: end of run {run} within {began}")
            continue
        del open_run[vm]
        if why != "aborted":
            runs[(vm, run)] = Run(start, us, why, node)
    for vm, (run, start) in open_run.items():
        runs[(vm, run)] = Run(start, None, None, node)
    return runs


def all_runs(agents, problems):
    runs = {}
    owner = {}
    for a in agents:
        for key, run in check_journal(read_journal(a), a.name,
                                      problems).items():
            if owner.setdefault(key[0], a.name) != a.name:
                problems.append(f"{key[0]} ran on two nodes")
            runs[key] = run
    return runs


def running_now(agents):
    return {vm for (vm, _), r in all_runs(agents, []).items()
            if r.end is None}


# ---- settled? ----

def settle(cloud, seconds=60, lives=0):
    """Until no operation runs and no instance is on its way; what is left
    otherwise. lives: guests that crash do so within so many seconds, and none
    that runs may be as young."""
    api = cloud.api()
    left = []

    def quiet():
        before = running_now(cloud.agents) if lives else set()
        left[:] = [f"operation {o['id']} {o['kind']} of {o['resource_id']}"
                   f": {o.get('step')}"
                   for o in api.list("/v1/operations")
                   if o["state"] == "running"]
        there = api.list("/v1/instances")
        left.extend(f"instance {i['id']} is {i['state']} (run {i['run']})"
                    for i in there if i["state"] in TRANSIENT)
        if lives:
            # One that crashed just now is not reported yet.
            young = time.time() - lives
            left.extend(f"{vm} run {run} may yet crash" for (vm, run), r in
                        all_runs(cloud.agents, []).items()
                        if r.end is None and r.start / 1e6 > young)
            said = {i["id"] for i in there if i["state"] == "running"}
            left.extend(f"{i} has just come or gone" for i in sorted(
                (before ^ said) | (said ^ running_now(cloud.agents))))
        return not left
    wait_until(seconds, quiet, every=0.2)
    api.close()
    return left


def same_running(cloud, seconds=30):
    """Until the VMs of the nodes are those that the API says are running;
    the difference otherwise."""
    api = cloud.api()
    diff = []

    def same():
        before = running_now(cloud.agents)
        said = {i["id"] for i in api.list("/v1/instances")
                if i["state"] == "running"}
        now = running_now(cloud.agents)
        diff[:] = [f"{i}: {'API' if i in said else 'node'} alone says that "
                   "it runs" for i in sorted(said ^ now)]
        return before == now == said
    if wait_until(seconds, same, every=0.2):
        diff.clear()
    api.close()
    return diff


# ---- checks ----

def check_requests(cloud, clients):
    """Acknowledged is there once, refused is not there at all."""
    bad = []
    ops = cloud.api().list("/v1/operations")
    by_request = collections.defaultdict(list)
    by_id = {o["id"]: o for o in ops}
    for o in ops:
        by_request[o.get("request_id")].append(o)
    for c in clients:
        for rid, (verb, i, op) in c.acked.items():
            o = by_id.get(op)
            if not o:
                bad.append(f"{verb} {i}: operation {op} is lost")
            elif o["resource_id"] != i or \
                    o["kind"] != "instance." + verb:
                bad.append(f"{verb} {i}: operation {op} is {o}")
            elif o["state"] == "running" or not o.get("finished_at"):
                bad.append(f"{verb} {i}: operation {op} has not ended")
            n = len(by_request[rid])
            if n > 1 or n == 0 and verb != "delete":
                bad.append(f"{verb} {i}: {n} operations for one request")
        for rid, (verb, i, status, code) in c.refused.items():
            # A delete that was carried out, and whose reply was lost, is
            # repeated and finds nothing.
            if by_request[rid] and verb != "delete":
                bad.append(f"{verb} {i} was carried out and answered "
                           f"{status} {code}")
    for rid, some in by_request.items():
        if len(some) > 1:
            bad.append(f"request {rid} has {len(some)} operations: "
                       + ", ".join(o["kind"] for o in some))
    return bad


def check_states(cloud, clients, by_itself=False):
    """What was asked for last is what came of it. by_itself: guests may
    have ended meanwhile."""
    bad = []
    there = {i["id"]: i for i in cloud.api().list("/v1/instances")}
    mine = {i: v for c in clients for i, v in c.mine.items()}
    names = {i: n for c in clients for i, n in c.created.items()}
    policies = {i: p for c in clients for i, p in c.policy.items()}
    for i, verb in mine.items():
        vm = there.get(i)
        if not vm:
            bad.append(f"{i}: acknowledged ({verb}) and lost")
            continue
        if vm["name"] != names[i]:
            bad.append(f"{i} is {vm['name']}, not {names[i]}")
        want = {"stopped"} if verb == "stop" else {"running", "error"}
        if verb == "stop":
            want.add("error")  # its start had failed before
        elif by_itself and vm.get("stop_reason") == "guest":
            want.add("stopped")
        elif by_itself and vm.get("stop_reason") == "crashed" and \
                vm["restart_policy"] == "never":
            want.add("stopped")
        if vm["restart_policy"] != policies[i]:
            bad.append(f"{i}: policy {vm['restart_policy']}, not "
                       f"{policies[i]}")
        if vm["restart_count"] and policies[i] == "never":
            bad.append(f"{i}: {vm['restart_count']} restarts, never wanted")
        if vm["state"] not in want:
            bad.append(f"{i}: {vm['state']} ({vm.get('stop_reason')}) after "
                       f"{verb}")
    for i in there:
        if i not in mine:
            bad.append(f"{i}: nobody asked for it, or it was deleted")
    return bad


def check_claims(cloud):
    bad = []
    api = cloud.api()
    claims = collections.Counter()
    for i in api.list("/v1/instances"):
        n = i["node_id"]
        claims[n, "instances"] += 1
        for what in ("vcpus", "memory", "disk"):
            claims[n, what] += i["vcpus" if what == "vcpus"
                                 else what + "_bytes"]
    for n in api.list("/v1/nodes"):
        got = {"instances": n["instances"], "vcpus": n["vcpus_claimed"],
               "memory": n["memory_claimed_bytes"],
               "disk": n["disk_claimed_bytes"]}
        for what, value in got.items():
            if value != claims[n["id"], what]:
                bad.append(f"node {n['name']}: {what} {value}, its "
                           f"instances have {claims[n['id'], what]}")
        if n["quarantined"]:
            bad.append(f"node {n['name']}: quarantined {n['quarantined']}")
        if n["state"] != "up":
            bad.append(f"node {n['name']} is {n['state']}")
    return bad


Usage = collections.namedtuple("Usage", "total items")


def usage(api, since):
    """{id: item} of all since that moment, and the sum of the reply."""
    items, token, total = {}, None, None
    to = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    while True:
        more = f"&page_token={token}" if token else ""
        page = api.must("GET", f"/v1/usage?from={since}&to={to}&limit=200"
                        + more)
        for item in page["items"]:
            items[item["instance_id"]] = item
        total = Decimal(page["running_seconds"])
        token = page.get("next_page_token")
        if not token:
            return Usage(total, items)


def check_usage(cloud, since, runs, tolerance, diag):
    """After the daemons have stopped and everything was deleted: every run
    of the journals is billed, once, from its start to its end; the API said
    the same."""
    bad = []
    rows = cloud.controller_rows(
        "SELECT instance_id, run, start_us, end_us FROM usage_intervals "
        "ORDER BY instance_id, run")
    billed = {(i, run): (start, end) for i, run, start, end in rows}
    lag = [[], []]
    for key, (start, end) in billed.items():
        if key not in runs:
            bad.append(f"{key} is billed and never ran")
        if end is None:
            bad.append(f"{key} is billed for ever")
    for key, run in runs.items():
        if key not in billed:
            bad.append(f"{key} ran ({run}) and is not billed")
            continue
        start, end = billed[key]
        if run.end is None or end is None:
            continue
        for n, (got, want) in enumerate(((start, run.start),
                                         (end, run.end))):
            off = (got - want) / 1e6
            lag[n].append(off)
            if abs(off) > tolerance:
                bad.append(f"{key}: {'end' if n else 'start'} is off by "
                           f"{off:.3f} s ({run.why}, {run.node})")
    before = None
    for i, run, start, end in rows:
        if end is not None and end < start:
            bad.append(f"({i}, {run}) ends before it starts")
        if before and before[0] == i and start < before[3]:
            bad.append(f"({i}, {run}) overlaps run {before[1]}")
        before = (i, run, start, end if end is not None else 1 << 62)
    diag(f"usage: {len(billed)} intervals; " + "; ".join(
        f"{what} late by {sum(x) / max(len(x), 1):.3f} s, at most "
        f"{max(map(abs, x), default=0):.3f} s"
        for what, x in zip(("starts", "ends"), lag)))
    return bad + check_sums(rows, since)


def check_sums(rows, since):
    """The API's items and their total are the rows' sums."""
    bad = []
    sums = collections.Counter()
    count = collections.Counter()
    for i, _, start, end in rows:
        sums[i] += (end or start) - start
        count[i] += 1
    for i, item in since.items.items():
        if Decimal(item["running_seconds"]) * 1000000 != sums[i]:
            bad.append(f"{i}: the API says {item['running_seconds']} s, its "
                       f"intervals {sums[i]} us")
        if item["intervals"] != count[i] or item["open"]:
            bad.append(f"{i}: {item['intervals']} intervals, open "
                       f"{item['open']}, not {count[i]}, closed")
    for i in sums.keys() - since.items.keys():
        bad.append(f"{i} is missing in the API's usage")
    total = sum((Decimal(x["running_seconds"])
                 for x in since.items.values()), Decimal(0))
    if total != since.total:
        bad.append(f"items sum up to {total}, the total is {since.total}")
    return bad


def check_nothing_left(cloud):
    """After everything was deleted: no VM, no folder."""
    bad = []
    for a in cloud.agents:
        for folder in ("sim/vms", "instances"):
            path = os.path.join(a.state, folder)
            left = os.listdir(path) if os.path.isdir(path) else []
            bad += [f"{a.name}: {folder}/{x} is left" for x in left]
    return bad


def check_agents_clean(cloud):
    """After the agents have ended: nothing in their databases."""
    bad = []
    for a in cloud.agents:
        db = os.path.join(a.state, "agent.db")
        for table in ("instance", "observation"):
            n = cloud.rows(db, f"SELECT count(*) FROM {table}")[0][0]
            if n:
                bad.append(f"{a.name}: {n} rows in {table}")
    return bad


def now_text():
    return datetime.fromtimestamp(time.time() - 5, timezone.utc) \
        .strftime("%Y-%m-%dT%H:%M:%SZ")


def finish(cloud, tap, clients, since, what, tolerance=2.0):
    """Everything is deleted, then every daemon ends, then it is counted.
    tolerance: seconds between what a simulated node wrote down and what is
    billed. Agents give ages, so that a report's time on its way counts; the
    ends that nobody saw are no worse, as the simulation knows its own."""
    for c in clients:
        c.delete_all()
    tap.none(settle(cloud), f"{what}: everything is deleted")
    tap.none(cloud.api().list("/v1/instances"),
             f"{what}: no instance is left")
    wait_until(20, lambda: not check_nothing_left(cloud))
    tap.none(check_nothing_left(cloud), f"{what}: no VM, no file is left")
    tap.none(check_claims(cloud), f"{what}: nothing is claimed any more")
    bad = check_requests(cloud, clients)
    bad += [p for c in clients for p in c.problems]
    tap.none(bad, f"{what}: every acknowledged request is there once")
    said = usage(cloud.api(), since)
    tap.none(cloud.end_in_order(),
             f"{what}: no daemon failed or ended by itself")
    bad = []
    runs = all_runs(cloud.agents, bad)
    tap.none(bad, f"{what}: no instance ever ran twice")
    tap.none(check_usage(cloud, said, runs, tolerance * SLOW, tap.diag),
             f"{what}: usage is what ran")
    tap.none(check_agents_clean(cloud),
             f"{what}: the agents have nothing left to do or to tell")
    tap.none(cloud.integrity(), f"{what}: the databases are sound")
    return runs
