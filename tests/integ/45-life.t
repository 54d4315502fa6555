#!/usr/bin/env python3
"""45-life.t - an instance's whole life with real daemons: pause and resume,
rebuild, resize, renaming, locks and protection, each of them acknowledged,
carried out by an agent and billed; then operations that are cancelled, stuck,
tried again and undone, over deaths of the controller, with the test in the
agent's place."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from lib_cloud import BUILD, SLOW, Cloud, Tap, wait_until

tap = Tap()
for program in ("virga-controllerd", "virga-agentd", "virga"):
    if not os.access(os.path.join(BUILD, program), os.X_OK):
        tap.skip_all(f"no {program} in {BUILD}")

MIB = 1 << 20
FLAVORS = {"small": (1, 64 * MIB, 8 * MIB), "large": (4, 256 * MIB, 16 * MIB),
           "thin": (2, 32 * MIB, 16 * MIB), "flat": (1, 64 * MIB, 4 * MIB),
           "huge": (15, 64 * MIB, 16 * MIB)}
AGENT = ("--driver", "sim", "--heartbeat", "500ms", "--stop-grace", "30s",
         "--sim-options", "cpus=4,memory_mib=4096,disk_mib=4096,"
         "stop_delay_ms=50")


def prepare(cloud):
    api = cloud.api()
    for name, (vcpus, memory, disk) in FLAVORS.items():
        api.must("POST", "/v1/flavors", {
            "name": name, "vcpus": vcpus, "memory_bytes": memory,
            "disk_bytes": disk})
    for name, size in (("one", 4096), ("two", 8192), ("wide", 12 * MIB)):
        api.must("POST", "/v1/images", {
            "name": name, "public": True, "parts": [{"name": "disk"}]})
        api.must("PUT", f"/v1/images/{name}/parts/disk", bytes(size))
    api.must("POST", "/v1/images", {
        "name": "empty", "public": True, "parts": [{"name": "disk"}]})
    api.must("POST", "/v1/images", {
        "name": "kernel", "public": True, "parts": [{"name": "kernel"}]})


class Tenant:
    """A project, by one role's token of it."""

    def __init__(self, cloud, project, role="member"):
        admin = cloud.api()
        if admin.call("GET", f"/v1/projects/{project}").status == 404:
            admin.must("POST", "/v1/projects", {"name": project})
        self.token = admin.must("POST", "/v1/tokens", {
            "name": role, "role": role, "project": project})["token"]
        self.api = cloud.api(self.token)

    def get(self, name):
        return self.api.must("GET", f"/v1/instances/{name}")

    def op(self, ref):
        return self.api.must("GET", f"/v1/operations/{ref}")

    def ended(self, op):
        """The operation once it is over; it has a generous time for that."""
        def over():
            o = self.api.must("GET", f"/v1/operations/{op['id']}?wait=10s",
                              seconds=120)
            return o if o["state"] != "running" else None
        return wait_until(90, over) or self.op(op["id"])

    def do(self, name, verb, body=None):
        """A verb that succeeds: its operation."""
        o = self.ended(self.api.must("POST", f"/v1/instances/{name}/{verb}",
                                     body))
        if o["state"] != "succeeded":
            raise AssertionError(f"{verb} of {name}: {o}")
        return o

    def refused(self, what, status, code, method, path, body=None,
                headers=None):
        r = self.api.call(method, path, body, headers, final=(status,))
        return tap.ok((r.status, r.code()) == (status, code), what,
                      f"{r.status} {r.body}")

    def create(self, name, **more):
        i = self.api.must("POST", "/v1/instances", {
            "name": name, "image": "one", "flavor": "small", **more})
        return i

    def created(self, name, **more):
        i = self.create(name, **more)
        o = self.ended({"id": i["operation_id"]})
        if o["state"] != "succeeded":
            raise AssertionError(f"create {name}: {o}")
        return i["id"]

    def created_by(self, node, name):
        """The same, by a node that is played."""
        i = self.create(name)["id"]
        node.hear(lambda w: w["id"] == i)
        node.tell(i, 1, "running")
        return i


def intervals(cloud, instance):
    return cloud.controller_rows(
        "SELECT run, vcpus, memory_bytes / 1048576, end_us IS NULL FROM "
        "usage_intervals WHERE instance_id = ? ORDER BY run", instance)


def claims(cloud):
    """(vcpus, memory) claimed on all nodes, in MiB."""
    nodes = cloud.api().must("GET", "/v1/nodes")["items"]
    return (sum(n["vcpus_claimed"] for n in nodes),
            sum(n["memory_claimed_bytes"] for n in nodes) // MIB)


# ---- with an agent ----

def with_agent():
    cloud = Cloud(tap, ["--vcpu-overcommit-permille", "4000"], name="sim")
    cloud.start_controller()
    prepare(cloud)
    cloud.add_agent("n1", *AGENT)
    t = Tenant(cloud, "red")
    web = t.created("web")

    t.do("web", "pause")
    i = t.get("web")
    tap.ok(i["state"] == "paused" and i["run"] == 1, "pause", i)
    tap.ok(intervals(cloud, web) == [(1, 1, 64, 1)],
           "pause: billing goes on", intervals(cloud, web))
    t.refused("pause: only once", 409, "wrong_state", "POST",
              "/v1/instances/web/pause")
    t.do("web", "resume")
    tap.ok(t.get("web")["state"] == "running", "resume")
    t.do("web", "pause")
    t.do("web", "stop", {"force": True})
    tap.ok(t.get("web")["state"] == "stopped", "stop of what is paused")
    t.do("web", "start")

    t.do("web", "resize", {"flavor": "large"})
    i = t.get("web")
    tap.ok((i["state"], i["flavor"], i["vcpus"], i["memory_bytes"],
            i["disk_bytes"], i["run"]) ==
           ("running", "large", 4, 256 * MIB, 16 * MIB, 3),
           "resize: the new size runs", i)
    tap.ok(intervals(cloud, web) == [(1, 1, 64, 0), (2, 1, 64, 0),
                                     (3, 4, 256, 1)],
           "resize: each run is billed by its size", intervals(cloud, web))
    tap.ok(claims(cloud) == (4, 256), "resize: what is more is claimed",
           claims(cloud))
    t.do("web", "resize", {"flavor": "thin"})
    tap.ok(wait_until(20, lambda: claims(cloud) == (2, 32)),
           "resize: what is less is given back", claims(cloud))
    t.refused("resize: no disk gets smaller", 400, "invalid", "POST",
              "/v1/instances/web/resize", {"flavor": "flat"})
    t.refused("resize: to what it is", 409, "same_flavor", "POST",
              "/v1/instances/web/resize", {"flavor": "thin"})
    t.do("web", "stop", {"force": True})
    o = t.api.must("POST", "/v1/instances/web/resize", {"flavor": "large"})
    tap.ok(o["state"] == "succeeded" and claims(cloud) == (4, 256) and
           t.get("web")["state"] == "stopped",
           "resize: at once where nothing runs", o, claims(cloud))
    big = t.created("big", flavor="large")
    t.refused("resize: no further than the node has room", 507, "no_capacity",
              "POST", "/v1/instances/big/resize", {"flavor": "huge"})
    tap.ok(claims(cloud) == (8, 512) and t.get("big")["vcpus"] == 4,
           "resize: refused without a trace", claims(cloud))
    quota(cloud, t, big)
    t.do("web", "start")
    tap.ok(intervals(cloud, web)[-1][1:] == (4, 256, 1),
           "resize: the next start has it", intervals(cloud, web))
    t.do("web", "resize", {"flavor": "thin"})

    t.do("web", "rebuild", {"image": "two"})
    i = t.get("web")
    tap.ok(i["state"] == "running" and i["image"] == "two", "rebuild", i)
    t.refused("rebuild: the image must be complete", 409, "image_pending",
              "POST", "/v1/instances/web/rebuild", {"image": "empty"})
    small = t.created("small")
    t.refused("rebuild: it must fit the disk", 400, "invalid", "POST",
              "/v1/instances/small/rebuild", {"image": "wide"})
    changes(cloud, t, web, small)
    cli(cloud, t, big)
    wants = (2 + 1 + 4, 32 + 64 + 256)
    tap.ok(wait_until(20, lambda: claims(cloud) == wants),
           "claims are the sum of the instances", claims(cloud), wants)
    cloud.controller.kill()
    cloud.start_controller()
    tap.ok(wait_until(20, lambda: claims(cloud) == wants),
           "and of a controller that starts anew", claims(cloud))
    for name in ("web", "small", "big"):
        t.ended(t.api.must("DELETE", f"/v1/instances/{name}"))
    tap.ok(wait_until(20, lambda: claims(cloud) == (0, 0)),
           "nothing is claimed in the end", claims(cloud))
    tap.none(cloud.integrity(), "the databases are sound")
    tap.none(cloud.end_in_order(), "no daemon ended badly")


def quota(cloud, t, big):
    """Both have 4 vCPUs and 256 MiB; nothing of big's is asked of its node."""
    api = cloud.api()
    path = "/v1/projects/red/quota"
    limits = dict.fromkeys(("instances", "vcpus", "memory_bytes", "disk_bytes",
                            "volumes", "addresses", "networks", "images",
                            "image_bytes", "tokens"), -1)

    def used():
        q = api.must("GET", path)["used"]
        return q["instances"], q["vcpus"], q["memory_bytes"] // MIB

    tap.ok(used() == (2, 8, 512), "quota: what is used follows sizes", used())
    api.must("PUT", path, {"limits": dict(limits, vcpus=8)},
             {"If-Match": "*"})
    t.do("big", "stop", {"force": True})
    t.do("big", "resize", {"flavor": "thin"})
    tap.ok(used() == (2, 6, 288), "quota: a smaller size gives back", used())
    api.must("PUT", path, {"limits": dict(limits, vcpus=7)},
             {"If-Match": "*"})
    t.refused("quota: a larger size is asked for", 403, "quota_exceeded",
              "POST", f"/v1/instances/{big}/resize", {"flavor": "large"})
    tap.ok(used() == (2, 6, 288) and claims(cloud) == (6, 288),
           "quota: refused without a trace", used(), claims(cloud))
    api.must("PUT", path, {"limits": limits}, {"If-Match": "*"})
    t.do("big", "resize", {"flavor": "large"})
    tap.ok(used() == (2, 8, 512), "quota: and is taken", used())
    t.do("big", "start")


def changes(cloud, t, web, small):
    """What is changed without work."""
    admin = Tenant(cloud, "red", "admin")
    reader = Tenant(cloud, "red", "reader")
    other = Tenant(cloud, "blue", "admin")
    path = f"/v1/instances/{web}"

    r = t.api.call("GET", path)
    tag = r.headers["ETag"]
    i = t.api.must("PATCH", path, {"name": "shop", "labels": {"env": "prod"}},
                   {"If-Match": tag})
    tap.ok(i["name"] == "shop" and i["labels"] == {"env": "prod"} and
           t.api.call("GET", path).body == i, "rename", i)
    t.refused("rename: not by an old ETag", 412, "precondition_failed",
              "PATCH", path, {"name": "late"}, {"If-Match": tag})
    t.refused("stop: not by an old ETag", 412, "precondition_failed", "POST",
              path + "/stop", {}, {"If-Match": tag})
    t.refused("rename: a name is taken once", 409, "name_taken", "PATCH", path,
              {"name": "small"})
    tap.ok(t.get("shop")["id"] == web and
           t.api.call("GET", "/v1/instances/web").status == 404,
           "rename: found by its new name alone")
    i = t.api.must("PATCH", path, {"name": "web", "labels": {}})
    tap.ok("labels" not in i, "labels: taken off", i)

    i = t.api.must("PATCH", path, {"locked": True})
    tap.ok(i["locked"] is True, "lock", i)
    for verb, body in (("stop", {}), ("reboot", None), ("pause", None),
                       ("rebuild", {"image": "one"}),
                       ("resize", {"flavor": "large"})):
        t.refused(f"locked: no {verb}", 409, "locked", "POST",
                  f"{path}/{verb}", body)
    t.refused("locked: no delete", 409, "locked", "DELETE", path)
    t.refused("locked: no rename", 409, "locked", "PATCH", path,
              {"name": "other"})
    tap.ok(t.api.call("PATCH", path, {"locked": True}).status == 200,
           "locked: locking again changes nothing")
    t.refused("locked: a member does not unlock", 403, "forbidden", "PATCH",
              path, {"locked": False})
    i = admin.api.must("PATCH", path, {"locked": False, "name": "web"})
    tap.ok(not i.get("locked"), "an admin unlocks", i)

    t.api.must("PATCH", path, {"delete_protection": True})
    t.refused("protected: no delete", 409, "delete_protected", "DELETE", path)
    t.refused("protected: no rebuild", 409, "delete_protected", "POST",
              path + "/rebuild", {"image": "one"})
    t.do(web, "reboot")
    t.api.must("PATCH", path, {"delete_protection": False})

    for who, status in ((reader, 403), (other, 404)):
        got = [who.api.call(m, p, b, final=(503,)).status for m, p, b in (
            ("PATCH", path, {"name": "x"}), ("DELETE", path, None),
            ("POST", path + "/pause", None), ("POST", path + "/resume", None),
            ("POST", path + "/rebuild", {"image": "one"}),
            ("POST", path + "/resize", {"flavor": "large"}))]
        tap.ok(got == [status] * 6, f"denied with {status}", got)
    tap.ok(t.get(small)["state"] == "running", "others are left alone")


def cli(cloud, t, big):
    token = os.path.join(cloud.dir, "token")
    with open(token, "w", encoding="ascii") as f:
        f.write(t.token + "\n")

    def virga(*args):
        r = subprocess.run(
            [os.path.join(BUILD, "virga"), "--url",
             f"https://127.0.0.1:{cloud.port}", "--ca", cloud.ca,
             "--token-file", token, *args], capture_output=True, text=True,
            timeout=120 * SLOW, check=False)
        return r.returncode, r.stdout + r.stderr

    for args, then in (
            (("instance", "pause", "big", "--wait"), ("state", "paused")),
            (("instance", "resume", "big", "--wait"), ("state", "running")),
            (("instance", "rebuild", "big", "--image", "two", "--wait"),
             ("image", "two")),
            (("instance", "resize", "big", "--flavor", "thin", "--wait"),
             ("flavor", "thin")),
            (("instance", "resize", "big", "--flavor", "large", "--wait"),
             ("flavor", "large")),
            (("instance", "label", "big", "a=1,b="),
             ("labels", {"a": "1", "b": ""})),
            (("instance", "label", "big"), ("labels", None)),
            (("instance", "protect", "big"), ("delete_protection", True)),
            (("instance", "unprotect", "big"), ("delete_protection", None)),
            (("instance", "lock", "big"), ("locked", True))):
        rc, out = virga(*args)
        i = t.get(big)
        tap.ok(rc == 0 and i.get(then[0]) == then[1], " ".join(args), rc, out,
               i)
    rc, out = virga("instance", "unlock", "big")
    tap.ok(rc != 0 and "admin" in out, "instance unlock: for admins", rc, out)
    cloud.api().must("PATCH", f"/v1/instances/{big}", {"locked": False})
    rc, out = virga("instance", "rename", "big", "large")
    tap.ok(rc == 0 and t.get(big)["name"] == "large", "instance rename", out)
    virga("instance", "rename", "large", "big")
    rc, out = virga("operation", "cancel", t.get(big)["operation_id"])
    tap.ok(rc != 0 and "ended" in out, "operation cancel: not what is over",
           out)
    rc, out = virga("operation", "list", "--stuck")
    tap.ok(rc == 0, "operation list --stuck", out)


# ---- in the agent's place ----

class Played:
    """Joins as an agent does, then its node is the test's to play."""

    def __init__(self, cloud, agent):
        agent.stop()
        self.cloud = cloud
        self.api = cloud.api(cert=cloud.identity_of(agent))
        self.since = 0
        self.wishes = {}
        # Above all that the agent ever sent.
        self.seq = cloud.controller_rows(
            "SELECT max(observed_seq) FROM nodes")[0][0]

    def hear(self, until=lambda w: True, seconds=30):
        """Fetches wishes until one satisfies; that one."""
        found = []

        def ask():
            d = self.api.must(
                "GET", f"/v1/agent/desired?since={self.since}&wait=1s")
            self.since = d["seq"]
            for w in d.get("instances", []):
                self.wishes[w["id"]] = w
                if until(w):
                    found.append(w)
            return found
        wait_until(seconds, ask)
        if not found:
            raise AssertionError(f"the wish does not come: {self.wishes}")
        # The next question says that this answer has arrived.
        self.api.must("GET", f"/v1/agent/desired?since={self.since}&wait=0s")
        return found[-1]

    def tell(self, instance, run, state, **more):
        self.seq += 1
        report = {"observations": [{
            "seq": self.seq, "instance_id": instance, "run": run,
            "state": state, "age_us": 1000, **more}]}
        ack = self.api.must("POST", "/v1/agent/report", report)
        if ack["seq"] != self.seq:
            raise AssertionError(ack)

    def progress(self, instance, run, step, reason=None):
        p = {"instance_id": instance, "run": run, "step": step}
        if reason:
            p["reason"] = reason
        self.api.must("POST", "/v1/agent/report", {"progress": [p]})

    def beat(self):
        self.api.must("POST", "/v1/agent/report", {})


def op_is(t, op, **want):
    o = t.op(op["id"] if isinstance(op, dict) else op)
    return all(o.get(k) == v for k, v in want.items()), o


def played():
    cloud = Cloud(tap, ["--operation-stuck-after", "2s", "--node-lapse",
                        f"{int(10 * SLOW)}s", "--vcpu-overcommit-permille",
                        "4000"], name="played")
    cloud.start_controller()
    prepare(cloud)
    agent = cloud.add_agent("n1", *AGENT)
    node = Played(cloud, agent)
    t = Tenant(cloud, "red")
    ops = cloud.api()
    steps(cloud, node, t)
    cancels(node, t)
    reserved(cloud, node, t)
    helped(cloud, node, t, ops)
    silent(cloud, node, t, ops)
    tap.none(cloud.integrity(), "played: the database is sound")
    tap.none(cloud.end_in_order(), "played: no daemon ended badly")


def steps(cloud, node, t):
    i = t.create("web")
    op = i["operation_id"]
    ok, o = op_is(t, op, step="placed", attempt=1, can_cancel=True)
    tap.ok(ok, "step: placed", o)
    w = node.hear(lambda w: w["id"] == i["id"])
    tap.ok(w["run"] == 1 and not w.get("paused") and not w.get("disk_epoch"),
           "the first wish", w)
    ok, o = op_is(t, op, step="sent")
    tap.ok(ok, "step: sent, once the node has it", o)
    node.progress(i["id"], 1, "image", "waits for the image's kernel")
    ok, o = op_is(t, op, step="image", reason="waits for the image's kernel",
                  generation=2)
    tap.ok(ok, "step: what the node does, and why it waits", o)
    node.progress(i["id"], 1, "image", "waits for the image's kernel")
    ok, o = op_is(t, op, generation=2)
    tap.ok(ok, "step: the same again is no news", o)
    node.tell(i["id"], 1, "running")
    ok, o = op_is(t, op, state="succeeded", step="running", can_cancel=False)
    tap.ok(ok and "reason" not in o, "step: running, the end", o)

    o = t.api.must("POST", "/v1/instances/web/rebuild", {"image": "two"})
    w = node.hear(lambda w: w["run"] == 2)
    tap.ok(w.get("disk_epoch") == 1 and
           w["image"]["parts"][0]["size_bytes"] == 8192,
           "rebuild: the wish has another disk", w)
    node.tell(i["id"], 1, "stopped", reason="requested")
    node.tell(i["id"], 2, "running")
    ok, o = op_is(t, o, state="succeeded")
    tap.ok(ok, "rebuild: done by its run", o)
    o = t.api.must("POST", "/v1/instances/web/pause")
    w = node.hear(lambda w: w.get("paused"))
    tap.ok(w["run"] == 2 and w["power"] == "running", "pause: the wish", w)
    node.tell(i["id"], 2, "paused")
    ok, o = op_is(t, o, state="succeeded")
    tap.ok(ok and t.get("web")["state"] == "paused", "pause: done", o)
    o = t.api.must("POST", "/v1/instances/web/resume")
    node.hear(lambda w: not w.get("paused"))
    node.tell(i["id"], 2, "running")


def cancels(node, t):
    web = t.get("web")["id"]
    path = f"/v1/instances/{web}"

    def cancel(op):
        return t.api.must("POST", f"/v1/operations/{op['id']}/cancel")

    o = t.api.must("POST", path + "/stop", {})
    by = cancel(o)
    tap.ok(by["kind"] == "instance.start" and cancel(o)["id"] == by["id"],
           "cancel: of a stop, twice the same", by)
    ok, was = op_is(t, o, state="cancelled", can_cancel=False)
    tap.ok(ok, "cancel: what it undoes is cancelled", was)
    w = node.hear(lambda w: w["power"] == "running")
    tap.ok(w["run"] == 2, "cancel: the same run goes on", w)
    node.tell(web, 2, "running")
    ok, by = op_is(t, by, state="succeeded")
    tap.ok(ok and t.get(web)["state"] == "running", "cancel: it lives on", by)

    by = cancel(t.api.must("POST", path + "/stop", {}))
    node.tell(web, 2, "stopped", reason="requested")
    ok, by = op_is(t, by, state="failed")
    tap.ok(ok and by["problem"]["code"] == "instance_ended" and
           t.get(web)["state"] == "stopped", "cancel: it had ended", by)

    o = t.api.must("POST", path + "/start")
    by = cancel(o)
    w = node.hear(lambda w: w["power"] == "stopped" and w["run"] == 3)
    tap.ok(by["kind"] == "instance.stop" and w["seq"], "cancel: of a start",
           by)
    node.tell(web, 3, "stopped", reason="requested")
    t.api.must("POST", path + "/start")
    node.tell(web, 4, "running")
    by = cancel(t.api.must("POST", path + "/pause"))
    tap.ok(by["kind"] == "instance.resume", "cancel: of a pause", by)
    node.hear(lambda w: w["run"] == 4 and not w.get("paused"))
    node.tell(web, 4, "running")
    ok, by = op_is(t, by, state="succeeded")
    tap.ok(ok, "cancel: of a pause is done", by)

    for verb, body in (("reboot", None), ("stop", {"force": True})):
        o = t.api.must("POST", f"{path}/{verb}", body)
        t.refused(f"cancel: no {verb}", 409, "not_cancellable", "POST",
                  f"/v1/operations/{o['id']}/cancel")
        node.tell(web, 5, "running" if verb == "reboot" else "stopped")
    t.refused("cancel: nothing that is over", 409, "not_cancellable", "POST",
              f"/v1/operations/{o['id']}/cancel")
    i = t.create("brief")
    t.refused("cancel: not by an old ETag", 412, "precondition_failed", "POST",
              f"/v1/operations/{i['operation_id']}/cancel", None,
              {"If-Match": '"99"'})
    by = cancel({"id": i["operation_id"]})
    tap.ok(by["kind"] == "instance.delete" and
           t.get("brief")["state"] == "deleting", "cancel: of a create", by)
    node.tell(i["id"], 1, "deleted")
    tap.ok(t.api.call("GET", "/v1/instances/brief").status == 404 and
           cancel({"id": i["operation_id"]})["id"] == by["id"],
           "cancel: is answered alike when all is over")
    t.refused("retry: for operators", 403, "forbidden", "POST",
              f"/v1/operations/{by['id']}/retry")
    t.refused("undo: for operators", 403, "forbidden", "POST",
              f"/v1/operations/{by['id']}/undo")


def reserved(cloud, node, t):
    """A crash that crosses a resize; the controller dies in between."""
    i = t.created_by(node, "db")
    o = t.api.must("POST", "/v1/instances/db/resize", {"flavor": "large"})
    cloud.controller.kill()
    cloud.start_controller()
    tap.ok(claims(cloud)[0] == 4 + 1, "resize: claimed by the next controller",
           claims(cloud))
    node.tell(i, 1, "stopped", reason="crashed", restart=True)
    node.tell(i, 2, "running")
    ok, o = op_is(t, o, state="running")
    tap.ok(ok and t.get("db")["state"] == "resizing" and
           t.get("db")["run"] == 3,
           "resize: a run by the old wish is not its own", o, t.get("db"))
    node.hear(lambda w: w["id"] == i and w["run"] == 3 and w["vcpus"] == 4)
    node.tell(i, 2, "stopped", reason="requested")
    node.tell(i, 3, "running")
    ok, o = op_is(t, o, state="succeeded")
    tap.ok(ok and intervals(cloud, i) == [
        (1, 1, 64, 0), (2, 1, 64, 0), (3, 4, 256, 1)],
        "resize: billed by what each run was", intervals(cloud, i))
    o = t.api.must("POST", "/v1/instances/db/resize", {"flavor": "thin"})
    tap.ok(claims(cloud)[1] == 256 + 64, "shrink: room for both is kept",
           claims(cloud))
    by = t.api.must("POST", f"/v1/operations/{o['id']}/cancel")
    node.hear(lambda w: w["id"] == i and w["run"] == 5 and w["vcpus"] == 4)
    node.tell(i, 3, "stopped", reason="requested")
    node.tell(i, 4, "running")
    node.tell(i, 4, "stopped", reason="requested")
    node.tell(i, 5, "running")
    ok, by = op_is(t, by, state="succeeded")
    tap.ok(ok and intervals(cloud, i)[3:] == [(4, 2, 32, 0), (5, 4, 256, 1)] and
           claims(cloud)[1] == 256 + 64, "cancel: of a resize that had begun",
           by, intervals(cloud, i), claims(cloud))


def helped(cloud, node, t, ops):
    """Operations that fail and get stuck."""
    i = t.create("bad")
    op = i["operation_id"]
    node.tell(i["id"], 1, "failed",
              problem={"code": "no_space", "message": "the disk is full"})
    ok, o = op_is(t, op, state="failed")
    codes = [ops.call("POST", f"/v1/operations/{op}/{verb}", None,
                      {"If-Match": '"99"'}).code()
             for verb in ("retry", "undo")]
    tap.ok(codes == ["precondition_failed"] * 2,
           "retry, undo: not by an old ETag", codes)
    tap.ok(ok and o["problem"]["code"] == "no_space", "a create fails", o)
    o = ops.must("POST", f"/v1/operations/{op}/retry")
    tap.ok(o["id"] == op and o["state"] == "running" and o["attempt"] == 2 and
           "problem" not in o, "retry: the same operation, once more", o)
    w = node.hear(lambda w: w["id"] == i["id"] and w["run"] == 2)
    tap.ok(w["power"] == "running", "retry: with a new run", w)
    r = ops.call("POST", f"/v1/operations/{op}/retry")
    tap.ok(r.code() == "not_retryable", "retry: not of what goes on", r.body)

    def stuck(where):
        return [o["id"] for o in where.list("/v1/operations?filter=stuck=true")]
    tap.ok(wait_until(30, lambda: node.beat() or stuck(t.api) == [op]),
           "stuck: told after a while without news", stuck(t.api))
    ok, o = op_is(t, op, stuck=True)
    tap.ok(ok and "nothing was heard" in o["reason"], "stuck: and why", o)
    node.progress(i["id"], 2, "disk", "no room for the disk")
    tap.ok(stuck(t.api) == [], "stuck: no longer once there are news")
    tap.ok(wait_until(30, lambda: node.beat() or stuck(ops) == [op]),
           "stuck: operators see it", stuck(ops))
    blue = Tenant(cloud, "blue")
    tap.ok(stuck(blue.api) == [] and
           blue.api.call("GET", f"/v1/operations/{op}").status == 404 and
           blue.api.call("POST", f"/v1/operations/{op}/cancel").status == 404,
           "stuck: other tenants do not")
    o = ops.must("POST", f"/v1/operations/{op}/undo")
    tap.ok(o["kind"] == "instance.delete" and
           ops.must("POST", f"/v1/operations/{op}/undo")["id"] == o["id"],
           "undo: of a create deletes it", o)
    node.tell(i["id"], 2, "deleted")
    ok, o = op_is(t, o, state="succeeded")
    tap.ok(ok, "undo: done", o)

    o = t.api.must("POST", "/v1/instances/db/resize", {"flavor": "thin"})
    db = t.get("db")["id"]
    node.tell(db, 5, "stopped", reason="requested")
    node.tell(db, 6, "failed", problem={"code": "x", "message": "y"})
    o = ops.must("POST", f"/v1/operations/{o['id']}/undo")
    node.tell(db, 7, "running")
    ok, o = op_is(t, o, state="succeeded")
    tap.ok(ok and t.get("db")["flavor"] == "large" and
           claims(cloud)[1] == 256 + 64, "undo: of a resize that failed", o,
           claims(cloud))
    o = t.api.must("POST", "/v1/instances/db/rebuild", {"image": "two"})
    node.tell(db, 7, "stopped", reason="requested")
    node.tell(db, 8, "failed", problem={"code": "x", "message": "y"})
    r = ops.call("POST", f"/v1/operations/{o['id']}/undo")
    tap.ok((r.status, r.code()) == (409, "not_undoable"),
           "undo: an old disk does not come back", r.body)
    ops.must("POST", f"/v1/operations/{o['id']}/retry")
    node.tell(db, 9, "running")
    ok, o = op_is(t, o, state="succeeded", attempt=2)
    tap.ok(ok, "retry: of a rebuild", o)
    ops.must("PATCH", f"/v1/instances/{db}", {"locked": True})
    o = cloud.api().must("GET", "/v1/instances/" + db)["operation_id"]
    t.refused("locked: nothing is taken back", 409, "locked", "POST",
              f"/v1/operations/{o}/cancel")
    ops.must("PATCH", f"/v1/instances/{db}", {"locked": False})


def silent(cloud, node, t, ops):
    """The node is not heard of any more."""
    op = t.api.must("POST", "/v1/instances/db/reboot")

    def seen():
        o = t.op(op["id"])
        return o["stuck"] and o["reason"] == "its node does not report"
    tap.ok(wait_until(90, seen, every=0.5),
           "stuck: what a silent node is to do", t.op(op["id"]))
    node.beat()
    tap.ok(wait_until(20, lambda: not seen()), "until it is heard of again",
           t.op(op["id"]))
    db = t.get("db")["id"]
    node.tell(db, 10, "running")
    ok, o = op_is(t, op, state="succeeded", stuck=False)
    tap.ok(ok, "and has done it", o)


begun = time.monotonic()
with_agent()
played()
tap.diag(f"{time.monotonic() - begun:.1f} s")
tap.done()
