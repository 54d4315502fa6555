"""lib_traffic.py - tenants who create, stop, start, reboot and delete at
random over an unreliable connection; lib_checks.py has what must be true
afterwards.

Each client owns its instances: nobody else touches them, so that the last
acknowledged request says what must have become of each. Every request has
an id of its own (X-Request-Id) and, as a POST, a key (Idempotency-Key), and
is repeated with both until it has an answer.
"""

import collections
import random
import threading
import uuid

from lib_cloud import GaveUp

TRANSIENT = {"creating", "starting", "stopping", "rebooting", "deleting"}
FLAVORS = {"one": (1, 64 << 20, 1 << 20), "two": (2, 128 << 20, 2 << 20)}


def prepare(cloud):
    """Flavors and an image that a simulated node accepts."""
    api = cloud.api()
    for name, (vcpus, memory, disk) in FLAVORS.items():
        api.must("POST", "/v1/flavors", {
            "name": name, "vcpus": vcpus, "memory_bytes": memory,
            "disk_bytes": disk})
    api.must("POST", "/v1/images", {
        "name": "blank", "public": True, "parts": [{"name": "disk"}]})
    api.must("PUT", "/v1/images/blank/parts/disk", bytes(4096))


def new_tenant(cloud, name):
    """A project's member token."""
    api = cloud.api()
    api.must("POST", "/v1/projects", {"name": name})
    return api.must("POST", "/v1/tokens", {
        "name": name, "role": "member", "project": name})["token"]


class Client(threading.Thread):
    def __init__(self, cloud, number, token, seed, port=None, most=5):
        super().__init__(name=f"client-{number}", daemon=True)
        self.number = number
        self.most = most
        self.random = random.Random(seed)
        self.api = cloud.api(token, port=port, seed=seed + 1)
        self.halt = threading.Event()
        self.mine = {}     # id -> the last acknowledged verb
        self.created = {}  # id -> name, of all that were ever acknowledged
        self.policy = {}   # id -> its restart policy
        self.acked = {}    # request id -> (verb, instance, operation)
        self.refused = {}  # request id -> (verb, instance, status, code)
        self.problems = []
        self.replays = 0
        self.n = 0

    # ---- one request ----

    def ids(self):
        # random.Random makes it the same in each run of a seed.
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def headers(self, rid, key):
        h = {"X-Request-Id": rid}
        if key:
            h["Idempotency-Key"] = key
        return h

    def problem(self, text):
        self.problems.append(f"client {self.number}: {text}")

    def write(self, verb, method, path, body=None, instance=None):
        """A request that changes something: (instance, reply)."""
        rid = self.ids()
        key = self.ids() if method == "POST" else None
        h = self.headers(rid, key)
        r = self.api.call(method, path, body, h)
        if r.status == 201:
            instance = r.body["id"]
            self.acked[rid] = (verb, instance, r.body["operation_id"])
            if r.headers.get("Location") != f"/v1/instances/{instance}":
                self.problem(f"Location {r.headers.get('Location')}")
        elif r.status == 202:
            self.acked[rid] = (verb, instance, r.body["id"])
            if r.body["resource_id"] != instance:
                self.problem(f"{verb} of {instance} answered {r.body}")
        else:
            self.refused[rid] = (verb, instance, r.status, r.code())
        if key and r.status < 300 and self.random.random() < 0.15:
            self.replay(method, path, body, h, r)
        return instance, r

    def replay(self, method, path, body, h, first):
        """What was acknowledged, asked again, has the same answer."""
        self.replays += 1
        again = self.api.call(method, path, body, h)
        if (again.status, again.body) != (first.status, first.body) or \
                again.headers.get("Location") != \
                first.headers.get("Location"):
            self.problem(f"replay of {path}: {first.status} {first.body} "
                         f"then {again.status} {again.body}")
        if again.headers.get("Idempotency-Replayed") != "true":
            self.problem(f"replay of {path} is not marked as one")
        if path != "/v1/instances":
            return
        other = self.api.call(method, path, dict(body, name="other"), h)
        if other.status != 422:
            self.problem(f"a key used again for something else: "
                         f"{other.status} {other.body}")

    # ---- what tenants do ----

    def create(self):
        self.n += 1
        name = f"i{self.number}-{self.n}"
        flavor = self.random.choice(list(FLAVORS))
        body = {"name": name, "flavor": flavor, "image": "blank"}
        # Not "always": where guests power themselves off it has no end.
        policy = self.random.choice(["", "never", "on-failure"])
        if policy:
            body["restart_policy"] = policy
        i, r = self.write("create", "POST", "/v1/instances", body)
        if r.status == 201:
            self.created[i] = name
            self.policy[i] = policy or "on-failure"
            self.mine[i] = "create"
        else:
            self.problem(f"create {name}: {r.status} {r.body}")

    def verb(self, i, verb):
        """True if it was accepted."""
        if verb == "delete":
            _, r = self.write(verb, "DELETE", f"/v1/instances/{i}",
                              instance=i)
            # A repeated delete whose reply was lost finds nothing.
            if r.status not in (202, 404):
                self.problem(f"delete {i}: {r.status} {r.body}")
            else:
                del self.mine[i]
            return True
        body = {"force": self.random.random() < 0.3} \
            if verb == "stop" else None
        _, r = self.write(verb, "POST", f"/v1/instances/{i}/{verb}", body,
                          instance=i)
        if r.status == 202:
            self.mine[i] = verb
        elif r.status != 409 or r.code() != "wrong_state":
            self.problem(f"{verb} {i}: {r.status} {r.body}")
        return r.status == 202

    def look(self, i):
        r = self.api.call("GET", f"/v1/instances/{i}")
        if r.status != 200 or r.body["id"] != i:
            self.problem(f"{i}, which was acknowledged ({self.mine[i]}), "
                         f"is not there: {r.status} {r.body}")
            self.mine.pop(i)
            return None
        return r.body

    def act(self):
        roll = self.random.random()
        if not self.mine or len(self.mine) < self.most and roll < 0.35:
            self.create()
            return
        i = self.random.choice(sorted(self.mine))
        vm = self.look(i)
        if not vm:
            return
        state = vm["state"]
        roll = self.random.random()
        if roll < 0.08:
            self.verb(i, "delete")
        elif state == "running" and roll < 0.2:
            # An answer of any kind will do, also that it cannot be had.
            self.api.call("GET", f"/v1/instances/{i}/stats",
                          final=(503,))
        elif state == "running":
            self.verb(i, self.random.choice(["stop", "stop", "reboot"]))
        elif state in ("stopped", "error"):
            self.verb(i, "start")
        elif roll < 0.5:
            op = self.api.call(
                "GET", f"/v1/operations/{vm['operation_id']}?wait=2s")
            if op.status != 200:
                self.problem(f"operation {vm['operation_id']}: {op.status}")
        elif roll < 0.75:
            self.verb(i, "stop")

    def run(self):
        try:
            while not self.halt.is_set():
                self.act()
                self.halt.wait(self.random.uniform(0, 0.05))
        except GaveUp as e:
            self.problem(f"no answer in time: {e}")
        except Exception as e:  # pylint: disable=broad-except
            self.problem(f"died of {e!r}")
            raise

    def delete_all(self):
        for i in sorted(self.mine):
            self.verb(i, "delete")


def figures(clients):
    sent = sum(c.api.sent for c in clients)
    lost = sum(c.api.lost for c in clients)
    put_off = sum(c.api.refused for c in clients)
    acked = collections.Counter(v for c in clients
                                for v, _, _ in c.acked.values())
    slowest = max(c.api.slowest for c in clients)
    replays = sum(c.replays for c in clients)
    return (f"{sent} requests, {lost} without an answer, {put_off} put off "
            f"(503, 507), {replays} replays on purpose; acknowledged: "
            + ", ".join(f"{n} {v}" for v, n in sorted(acked.items()))
            + f"; longest time to an answer {slowest:.1f} s")
