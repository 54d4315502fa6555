#!/usr/bin/env python3
"""44-placement.t - an instance lands only where the node's driver can boot its
image, also after a node has changed; and what its flavor grants it of the
node reaches the node."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import lib_traffic as traffic
from lib_cloud import BUILD, Cloud, Tap, wait_until

tap = Tap()
for program in ("virga-controllerd", "virga-agentd"):
    if not os.access(os.path.join(BUILD, program), os.X_OK):
        tap.skip_all(f"no {program} in {BUILD}")

LIMITS = {"cpu_shares": 200, "cpu_limit_percent": 50,
          "cpu_reservation_percent": 25, "disk_iops": 500,
          "disk_bytes_per_second": 100 << 20, "net_bytes_per_second": 1 << 20}


def add_agent(cloud, name, options):
    return cloud.add_agent(name, "--driver", "sim", "--heartbeat", "500ms",
                           "--sim-options", options)


def change(api, agent, options, traits):
    """The agent again, with another driver so to speak."""
    agent.stop()
    agent.args[agent.args.index("--sim-options") + 1] = options
    agent.start()

    def told():
        node = api.must("GET", f"/v1/nodes/{agent.name}")
        return node["state"] == "up" and boots(node) == traits
    return wait_until(40, told)


def boots(node):
    return sorted(t for t in node["traits"] if t.endswith("-boot"))


def create(api, name, image, flavor="one"):
    return api.call("POST", "/v1/instances",
                    {"name": name, "flavor": flavor, "image": image},
                    final=(507,))


def until(api, name, state):
    seen = [None]

    def there():
        seen[0] = api.must("GET", f"/v1/instances/{name}")
        return seen[0]["state"] == state
    wait_until(30, there)
    return seen[0]


def refused(r, *words):
    return r.status == 507 and r.code() == "no_capacity" and \
        all(w in r.body["detail"] for w in words)


def placement(cloud, api, kernels, both):
    nodes = {n["name"]: n for n in api.list("/v1/nodes")}
    tap.ok(boots(nodes["kernels"]) == ["kernel-boot"] and
           boots(nodes["both"]) == ["disk-boot", "kernel-boot"],
           "nodes tell what they boot", nodes)
    made = [create(api, f"d{i}", "blank").body for i in range(6)]
    tap.none([m for m in made if m.get("node_id") != both.node_id],
             "images without a kernel go where a disk is booted")
    made = [create(api, f"k{i}", "kernel").body for i in range(8)]
    tap.ok({m.get("node_id") for m in made} ==
           {kernels.node_id, both.node_id},
           "those with one go to the emptiest, be it either",
           [m.get("node_id") for m in made])

    api.must("POST", "/v1/nodes/both/cordon")
    r = create(api, "x", "blank")
    tap.ok(refused(r, "1 without firmware to boot a disk (disk-boot)",
                   "1 closed to new instances"),
           "no such node left: the refusal says what is missing", r.data)
    tap.ok(all(i["name"] != "x" for i in api.list("/v1/instances")),
           "and nothing was made")
    tap.ok(create(api, "k8", "kernel").status == 201,
           "an image with a kernel still finds one")
    api.must("POST", "/v1/nodes/both/uncordon")


def changes(api, kernels, both):
    until(api, "d0", "running")
    api.must("POST", "/v1/instances/d0/stop", {"force": True})
    until(api, "d0", "stopped")
    tap.ok(change(api, both, "disk_boot=0", ["kernel-boot"]),
           "a node's traits follow its agent's report")
    r = create(api, "y", "blank")
    tap.ok(refused(r, "2 without firmware to boot a disk"),
           "the scheduler follows: none is left for disks", r.data)
    api.must("POST", "/v1/instances/d0/start")
    vm = until(api, "d0", "error")
    tap.ok(vm.get("fault", {}).get("code") == "image_unsupported",
           "an instance that is there already fails with the reason", vm)
    tap.ok(change(api, kernels, "kernel_boot=0", ["disk-boot"]),
           "the other node learns it")
    r = create(api, "y", "blank")
    tap.ok(r.status == 201 and r.body["node_id"] == kernels.node_id,
           "and gets the instance", r.data)
    api.must("POST", "/v1/nodes/both/cordon")
    r = create(api, "z", "kernel")
    tap.ok(refused(r, "1 that cannot boot a kernel directly (kernel-boot)"),
           "a node without kernels is told apart likewise", r.data)
    api.must("POST", "/v1/nodes/both/uncordon")


def limits(cloud, api):
    made = api.must("POST", "/v1/flavors", {
        "name": "bound", "vcpus": 2, "memory_bytes": 64 << 20, **LIMITS})
    tap.ok(LIMITS.items() <= made.items(), "a flavor has limits", made)
    usual = api.must("GET", "/v1/flavors/one")
    tap.ok(all(usual[k] == (100 if k == "cpu_shares" else 0) for k in LIMITS),
           "or the usual shares and none", usual)
    bad = [
        ("cpu_shares", {"cpu_shares": 0}),
        ("cpu_shares", {"cpu_shares": 10001}),
        ("cpu_limit_percent", {"cpu_limit_percent": 101}),
        ("cpu_reservation_percent", {"cpu_limit_percent": 50,
                                     "cpu_reservation_percent": 51}),
        ("disk_iops", {"disk_iops": -1}),
        ("net_bytes_per_second", {"net_bytes_per_second": 2 << 40}),
    ]
    problems = []
    for field, body in bad:
        r = api.call("POST", "/v1/flavors", {
            "name": "bad", "vcpus": 1, "memory_bytes": 64 << 20, **body})
        if r.status != 400 or \
                [e["pointer"] for e in r.body["errors"]] != ["/" + field]:
            problems.append(f"{body}: {r.status} {r.data}")
    tap.none(problems, "bad ones are refused by name")

    r = create(api, "bound-1", "kernel", "bound")
    api.must("DELETE", "/v1/flavors/bound")
    vm = until(api, "bound-1", "running")
    tap.ok(r.status == 201 and LIMITS.items() <= vm.items(),
           "an instance has what its flavor had when it was made", vm)
    agent = next(a for a in cloud.agents if a.node_id == vm["node_id"])
    (spec,), = cloud.rows(os.path.join(agent.state, "agent.db"),
                          "SELECT spec FROM instance WHERE id = ?", vm["id"])
    tap.ok(LIMITS.items() <= json.loads(spec).items(),
           "and its node is told", spec)


def main():
    cloud = Cloud(tap)
    cloud.start_controller()
    api = cloud.api()
    traffic.prepare(cloud)
    api.must("POST", "/v1/images", {
        "name": "kernel", "public": True, "parts": [{"name": "kernel"}]})
    api.must("PUT", "/v1/images/kernel/parts/kernel",
             b"\x7fELF" + bytes(4092))
    kernels = add_agent(cloud, "kernels", "disk_boot=0")
    both = add_agent(cloud, "both", "cpus=64")
    placement(cloud, api, kernels, both)
    changes(api, kernels, both)
    limits(cloud, api)
    tap.none(cloud.end_in_order(), "everything ends in good order")
    tap.done()


main()
