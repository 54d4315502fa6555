#!/usr/bin/env python3
"""46-node-life.t - what tenants do to instances that run, with the controller,
an agent and simulated guests: pause, resume, resize, rebuild, over the
agent's death and with a driver that is slow, fails or cannot; how operations
say what they wait for; and how little an idle agent needs."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import os
import signal
import time

from cloud import *  # pylint: disable=unused-wildcard-import

LAPSE = 6

cloud = Cloud(options=["--node-lapse", "%ds" % LAPSE])
cloud.start()
cloud.flavor("small")
cloud.flavor("large", vcpus=3, memory_bytes=160 * MIB)
image = cloud.image("demo", {"kernel": tiny_kernel()})
other = cloud.image("other", {"kernel": tiny_kernel()})


class Node:
    """The one node, each time with other options of its driver."""
    agent = None

    @staticmethod
    def start(options=""):
        Node.agent = cloud.agent("n1", options=["--sim-options", options]
                                 if options else [])

    @staticmethod
    def again(options="", sig=signal.SIGTERM):
        status = Node.agent.end(sig)
        expect(status, 0 if sig == signal.SIGTERM else -sig, "its end")
        Node.start(options)

    @staticmethod
    def record(inst):
        """How the driver has it: "running", "paused", … and its run."""
        try:
            with open("%s/sim/vms/%s" % (Node.agent.dir, inst)) as f:
                words = f.read().split()
        except FileNotFoundError:
            return "absent", 0
        return words[0], int(words[1].split("=")[1])


def show(name):
    return cloud.must(200, "GET", "/v1/instances/" + name)


def state(name):
    return show(name)["state"]


def create(name, **kw):
    body = {"name": name, "image": "demo", "flavor": "small"}
    body.update(kw)
    return cloud.act("POST", "/v1/instances", body)["id"]


def verb(name, what, body=None, **kw):
    return cloud.act("POST", "/v1/instances/%s/%s" % (name, what), body, **kw)


def gone(name):
    cloud.act("DELETE", "/v1/instances/" + name)


def console(name):
    r = cloud.call("GET", "/v1/instances/%s/console-log?limit=4096" % name)
    expect(r.status, 200, "console log")
    return r.body.decode()


# ---- pausing ----

def pause_and_resume():
    inst = create("p1")
    began = show("p1")["started_at"]
    verb("p1", "pause")
    expect(state("p1"), "paused", "state")
    expect(Node.record(inst), ("paused", 1), "the driver's record")
    verb("p1", "resume")
    vm = show("p1")
    expect((vm["state"], vm["run"], vm["started_at"][:19]),
           ("running", 1, began[:19]), "it goes on as the same run")
    expect(Node.record(inst), ("running", 1), "the driver's record")
    gone("p1")


def paused_over_death():
    inst = create("p2")
    verb("p2", "pause")
    Node.again(sig=signal.SIGKILL)
    expect(Node.record(inst), ("paused", 1), "the driver's record")
    expect((state("p2"), show("p2")["run"]), ("paused", 1), "state")
    # What was asked while nobody was there is done afterwards.
    Node.agent.end(signal.SIGKILL)
    op = cloud.must(202, "POST", "/v1/instances/p2/resume")
    Node.start()
    expect(cloud.operation(op["id"])["state"], "succeeded", "resume")
    expect(Node.record(inst), ("running", 1), "the driver's record")
    gone("p2")


def paused_stops():
    inst = create("p3")
    verb("p3", "pause")
    verb("p3", "stop")
    expect((state("p3"), show("p3")["stop_reason"]),
           ("stopped", "requested"), "by its power button")
    if "did not power off" in Node.agent.said():
        raise AssertionError("it was ended by force")
    verb("p3", "start")
    expect(state("p3"), "running", "a start does not pause again")
    verb("p3", "pause")
    verb("p3", "stop", {"force": True})
    verb("p3", "start")
    verb("p3", "pause")
    gone("p3")
    expect(os.path.exists("%s/sim/vms/%s" % (Node.agent.dir, inst)), False,
           "the driver has it")


def paused_is_billed():
    inst = create("p4")
    verb("p4", "pause")
    u = cloud.must(200, "GET", "/v1/usage?instance=" + inst)["items"][0]
    expect((u["open"], u["intervals"]), (True, 1), "usage")
    gone("p4")


# ---- a driver in trouble ----

def waits(op, step, word):
    """Until the operation says so; True if it does."""
    def says():
        o = cloud.must(200, "GET", "/v1/operations/" + op["id"])
        return o["state"] == "running" and o["step"] == step and \
            word in (o.get("reason") or "")
    return wait_for(40, says)


def pause_that_fails():
    inst = create("f1")
    Node.again("pause_fail_permille=1000")
    op = cloud.must(202, "POST", "/v1/instances/f1/pause")
    if not waits(op, "pause", "pause_fail_permille"):
        raise AssertionError(cloud.must(200, "GET",
                                        "/v1/operations/" + op["id"]))
    expect(state("f1"), "pausing", "state")
    Node.again()
    expect(cloud.operation(op["id"])["state"], "succeeded", "operation")
    expect(Node.record(inst), ("paused", 1), "the driver's record")
    gone("f1")


def driver_without_pause():
    """Refused up front where that is known; where the wish was there first,
    the operation says what it waits for."""
    create("f2")
    Node.again("pause=0")
    before = show("f2")
    wait_for(60, lambda: "pause" not in cloud.must(
        200, "GET", "/v1/nodes/n1")["traits"])
    r = cloud.call("POST", "/v1/instances/f2/pause")
    expect((r.status, r.code), (409, "verb_unsupported"), repr(r))
    expect("halt a guest" in r.json["detail"], True, r.json["detail"])
    expect(show("f2"), before)
    # The driver lost it after the wish came.
    Node.again()
    wait_for(60, lambda: "pause" in cloud.must(
        200, "GET", "/v1/nodes/n1")["traits"])
    Node.agent.end()
    op = cloud.must(202, "POST", "/v1/instances/f2/pause")
    Node.start("pause=0")
    if not waits(op, "pause", "this node's driver cannot pause"):
        raise AssertionError(cloud.must(200, "GET",
                                        "/v1/operations/" + op["id"]))
    cloud.must(202, "POST", "/v1/operations/%s/cancel" % op["id"])
    if not wait_for(40, lambda: state("f2") == "running"):
        raise AssertionError(show("f2"))
    expect(show("f2")["run"], 1, "run")
    Node.again()
    gone("f2")


def slow_start():
    Node.again("start_delay_ms=3000")
    r = cloud.must(201, "POST", "/v1/instances",
                   {"name": "f3", "image": "demo", "flavor": "small"})
    op = {"id": r["operation_id"]}
    if not waits(op, "start", ""):
        raise AssertionError(cloud.must(200, "GET",
                                        "/v1/operations/" + op["id"]))
    expect(cloud.operation(op["id"])["state"], "succeeded", "operation")
    Node.again()
    gone("f3")


# ---- another size, another disk ----

def resize():
    inst = create("r1")
    verb("r1", "resize", {"flavor": "large"})
    vm = show("r1")
    expect((vm["state"], vm["run"], vm["vcpus"]), ("running", 2, 3), "it")
    expect(Node.record(inst), ("running", 2), "the driver's record")
    if "run 2, 3 vCPUs, 160 MiB" not in console("r1"):
        raise AssertionError(console("r1"))
    verb("r1", "stop", {"force": True})
    verb("r1", "resize", {"flavor": "small"})
    verb("r1", "start")
    if "run 3, 1 vCPUs, 64 MiB" not in console("r1"):
        raise AssertionError(console("r1"))
    gone("r1")


def rebuild():
    inst = create("r2")
    verb("r2", "rebuild", {"image": "other"})
    vm = show("r2")
    expect((vm["state"], vm["run"], vm["image_id"]), ("running", 2, other),
           "it")
    expect(Node.record(inst), ("running", 2), "the driver's record")
    verb("r2", "pause")
    verb("r2", "rebuild", {"image": "demo"})
    expect((state("r2"), show("r2")["run"]), ("running", 3),
           "a paused one is rebuilt and runs")
    gone("r2")


def rebuild_over_death():
    inst = create("r3")
    Node.agent.end(signal.SIGKILL)
    op = cloud.must(202, "POST", "/v1/instances/r3/rebuild",
                    {"image": "other"})
    Node.start("start_delay_ms=1500")
    # Amid its start, or just before or behind that: any will do.
    if not wait_for(40, lambda: Node.record(inst) != ("running", 1)):
        raise AssertionError("it is not begun")
    Node.again(sig=signal.SIGKILL)
    expect(cloud.operation(op["id"])["state"], "succeeded", "operation")
    expect(Node.record(inst), ("running", 2), "the driver's record")
    gone("r3")


# ---- an idle agent ----

def connections(pid):
    """Established TCP connections of the process to the controller."""
    inodes = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            to = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue
        if to.startswith("socket:["):
            inodes.add(to[8:-1])
    n = 0
    with open("/proc/net/tcp") as f:
        for line in list(f)[1:]:
            w = line.split()
            port = int(w[2].split(":")[1], 16)
            n += w[3] == "01" and port == cloud.port and w[9] in inodes
    return n


def idle():
    pid = Node.agent.p.pid
    if not wait_for(60, lambda: connections(pid) == 1):
        raise AssertionError("%d connections" % connections(pid))
    # Questions alone keep the node up, beyond the time after which it lapses.
    begin = time.monotonic()
    lost = wait_for(LAPSE + 3, lambda: cloud.node_state("n1") != "up")
    expect(lost, False, "the node is lost after %.1f s" %
           (time.monotonic() - begin))
    expect(connections(pid), 1, "connections")


def node_down():
    os.kill(Node.agent.p.pid, signal.SIGSTOP)
    try:
        if not wait_for(60, lambda: cloud.node_state("n1") == "down"):
            raise AssertionError("the node does not lapse")
    finally:
        os.kill(Node.agent.p.pid, signal.SIGCONT)
    if not wait_for(60, lambda: cloud.node_state("n1") == "up"):
        raise AssertionError("the node does not come back")


Node.start()
def node_events():
    return [e["kind"] for e in cloud.must(
        200, "GET", "/v1/events?kinds=node.up,node.down&limit=1000")["items"]]


def died_unseen():
    """A node that dies while the controller is away, and for how long the
    controller stays away: it is told once that it is down."""
    before = node_events()
    cloud.daemon.end()
    Node.agent.end(signal.SIGKILL)
    time.sleep(LAPSE + 1)  # a lapse must pass by the clock of the wall
    cloud.start()
    expect(cloud.node_state("n1"), "down")
    expect(wait_for(60, lambda: len(node_events()) > len(before)), True)
    expect(node_events(), before + ["node.down"])
    cloud.daemon.end()
    cloud.start()
    time.sleep(LAPSE + 2)  # long enough for a second one
    expect(node_events(), before + ["node.down"])
    Node.start()
    wait_for(60, lambda: len(node_events()) > len(before) + 1)
    expect(node_events(), before + ["node.down", "node.up"])
    # One that comes back in time was never down for those who listen.
    cloud.daemon.end()
    time.sleep(LAPSE + 1)
    cloud.start()
    expect(wait_for(60, lambda: cloud.node_state("n1") == "up"), True)
    time.sleep(LAPSE + 2)
    expect(node_events(), before + ["node.down", "node.up"])


def operations_of(inst):
    return cloud.must(200, "GET", "/v1/operations?filter=resource_id=" + inst
                      )["items"]


def given_up():
    """A node that never comes back, and then does."""
    run = {n: create(n) for n in ("g1", "g2", "g3")}
    cloud.must(200, "PATCH", "/v1/instances/g2", {"delete_protection": True})
    n = cloud.must(200, "GET", "/v1/nodes/n1")

    def force(**kw):
        return cloud.call("DELETE", "/v1/nodes/n1?force=true", **kw)

    r = force()
    expect((r.status, r.code), (409, "node_not_down"), repr(r))
    Node.agent.end(signal.SIGKILL)
    r = force()
    expect((r.status, r.code), (409, "node_not_down"), repr(r))
    stop = cloud.must(202, "POST", "/v1/instances/g2/stop")
    end = cloud.must(202, "DELETE", "/v1/instances/g3")
    expect(wait_for(60, lambda: cloud.node_state("n1") == "down"), True)
    # Since when it is down counts for the bill, also over a restart.
    seen = cloud.must(200, "GET", "/v1/nodes/n1")["last_seen_at"]
    cloud.daemon.end()
    cloud.start()
    expect(cloud.must(200, "GET", "/v1/nodes/n1")["last_seen_at"][:19],
           seen[:19])
    r = cloud.call("DELETE", "/v1/nodes/n1")
    expect((r.status, r.code), (409, "node_in_use"), repr(r))
    r = force(headers={"If-Match": '"99"'})
    expect(r.status, 412, repr(r))
    r = cloud.call("DELETE", "/v1/nodes/n1?force=perhaps")
    expect(r.status, 400, repr(r))
    used = cloud.must(200, "GET", "/v1/projects/default/quota")["used"]
    code, out = run_cli("node", "delete", "n1", "--force")
    expect((code, "lost" in out), (0, True), out)
    expect(cloud.call("GET", "/v1/nodes/n1").status, 404)

    for name in "g1", "g2":
        i = show(name)
        expect((i["state"], i["fault"]["code"]), ("error", "node_lost"), i)
        u = cloud.must(200, "GET", "/v1/usage?instance=" + run[name]
                       )["items"][0]
        expect(u["open"], False)
        for what in "start", "stop", "reboot", "pause", "resume":
            r = cloud.call("POST", "/v1/instances/%s/%s" % (name, what),
                           {} if what == "stop" else None)
            expect((r.status, r.code), (409, "node_lost"), what + repr(r))
        r = cloud.call("POST", "/v1/instances/%s/rebuild" % name,
                       {"image": "other"})
        expect((r.status, r.code), (409, "node_lost"), repr(r))
    expect(cloud.call("GET", "/v1/instances/g3").status, 404)
    o = cloud.must(200, "GET", "/v1/operations/" + stop["id"])
    expect((o["state"], o["problem"]["code"]), ("failed", "node_lost"), o)
    r = cloud.call("POST", "/v1/operations/%s/retry" % o["id"])
    expect((r.status, r.code), (409, "not_retryable"), repr(r))
    o = cloud.must(200, "GET", "/v1/operations/" + end["id"])
    expect(o["state"], "succeeded", o)
    # What was used ended when the node was heard of last, not when it was
    # given up.
    db = sqlite3.connect("file:%s/controller.db?mode=ro" % cloud.dir, uri=True)
    ends = [e for (e,) in db.execute(
        "SELECT end_us FROM usage_intervals WHERE instance_id IN (?, ?, ?)",
        list(run.values()))]
    db.close()
    expect({time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(e // 1000000))
            for e in ends}, {seen[:19]})
    expect([e["resource_id"] for e in cloud.must(
        200, "GET", "/v1/events?kinds=node.deleted")["items"]], [n["id"]])
    a = cloud.must(200, "GET", "/v1/audit?limit=100")["items"]
    expect(any(e["method"] == "DELETE" and e["resource_id"] == n["id"] and
               e["status"] == 204 for e in a), True, "audit")
    now = cloud.must(200, "GET", "/v1/projects/default/quota")["used"]
    expect(now["instances"], used["instances"] - 1)

    # The machine comes back: refused, and what it runs is left alone. Its
    # simulated guests died with it; they are not started again.
    cloud.daemon.end(signal.SIGKILL)
    cloud.start()
    argv = [program("virga-agentd"), "--state-dir", Node.agent.dir,
            "--controller", cloud.url, "--name", "n1", "--driver", "sim",
            "--heartbeat", "1s"]
    before = Node.record(run["g1"])
    back = Daemon("agent-back", argv)
    expect(wait_for(60, lambda: "given this node up" in back.said()), True)
    expect(wait_for(60, lambda: back.said().count(
        "does not know this instance any more") == 3), True, back.said())
    expect(cloud.call("GET", "/v1/nodes").json["items"], [])
    expect(Node.record(run["g1"]), before)
    expect(back.end(), 0)
    # Deleted at once, protection honoured, quota back.
    r = cloud.call("DELETE", "/v1/instances/g2")
    expect((r.status, r.code), (409, "delete_protected"), repr(r))
    cloud.must(200, "PATCH", "/v1/instances/g2", {"delete_protection": False})
    for name in "g1", "g2":
        o = cloud.must(202, "DELETE", "/v1/instances/" + name)
        expect(o["state"], "succeeded", o)
        expect(cloud.call("GET", "/v1/instances/" + name).status, 404)
    now = cloud.must(200, "GET", "/v1/projects/default/quota")["used"]
    expect(now["instances"], used["instances"] - 3)
    expect(now["vcpus"], used["vcpus"] - 3)
    # As a new one it joins and works.
    Node.agent = cloud.agent("n2")
    create("g4")
    gone("g4")


def run_cli(*args):
    env = dict(os.environ, VIRGA_URL=cloud.url, VIRGA_TOKEN=cloud.token,
               VIRGA_CA=cloud.ca)
    p = subprocess.run([program("virga"), *args], env=env, check=False,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=120)
    return p.returncode, p.stdout.decode()


case("pause halts the guest, resume lets it go on", pause_and_resume)
case("an agent that died finds it paused and leaves it so", paused_over_death)
case("what is paused is stopped, by its button and by force, and deleted",
     paused_stops)
case("what is paused is billed on", paused_is_billed)
case("a pause that fails says why, and is tried until it holds",
     pause_that_fails)
case("a driver that cannot pause says so; the wish is taken back",
     driver_without_pause)
case("a slow start says that it is at it", slow_start)
case("resize: the next run has the new size", resize)
case("rebuild: a new run from another image", rebuild)
case("rebuild over two deaths of the agent", rebuild_over_death)
case("an idle agent holds one connection and stays up", idle)
case("a silent agent's node lapses and returns", node_down)
case("a node that died while the controller was away is told down once",
     died_unseen)
case("a node that is gone for good is given up, and what was on it lost",
     given_up)
same("the agent ends in good order", Node.agent.end(), 0)
same("the controller ends in good order", cloud.daemon.end(), 0)
done()
