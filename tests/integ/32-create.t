#!/usr/bin/env python3
"""32-create.t - creates: quotas, batches, dry runs, labels and filters,
keypairs, user data, ETags, operators in other projects. Real daemons, the
driver sim."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import base64
import concurrent.futures
import random
import signal
import struct

from cloud import *  # pylint: disable=unused-wildcard-import

GIB = 1 << 30
UNLIMITED = {n: -1 for n in ("instances", "vcpus", "memory_bytes",
                             "disk_bytes", "volumes", "addresses", "networks",
                             "images", "image_bytes", "tokens")}

cloud = Cloud(options=["--project-quota", "tokens=9,images=3",
                       "--project-objects", "20"]).start()
node = cloud.agent("n1", options=["--sim-vcpus", "4000"]
                   if "--sim-vcpus" in run([program("virga-agentd"),
                                            "--help"])[1] else [])
cloud.flavor("small", disk_bytes=GIB, price_per_hour="0.0125")
cloud.flavor("plain")
cloud.image("shared", {"kernel": tiny_kernel()}, public=True)


def project(name, role="member", **limits):
    """Its id, and a token."""
    p = cloud.must(201, "POST", "/v1/projects", {"name": name})["id"]
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": role, "role": role, "project": name})["token"]
    if limits:
        set_quota(name, **limits)
    return p, t


def set_quota(name, **limits):
    return cloud.must(200, "PUT", "/v1/projects/%s/quota" % name,
                      {"limits": dict(UNLIMITED, **limits)},
                      headers={"If-Match": "*"})


def quota(name, token=True):
    return cloud.must(200, "GET", "/v1/projects/%s/quota" % name, token=token)


def sums(project_id):
    """What the rows add up to."""
    db = sqlite3.connect("file:%s/controller.db?mode=ro" % cloud.dir, uri=True,
                         timeout=10)
    try:
        i = db.execute(
            "SELECT count(*), coalesce(sum(vcpus), 0), "
            "coalesce(sum(memory_bytes), 0), coalesce(sum(disk_bytes), 0) "
            "FROM instances WHERE project_id = ? AND deleted_at IS NULL",
            (project_id,)).fetchone()
        images = db.execute("SELECT count(*) FROM images WHERE project_id = ?",
                            (project_id,)).fetchone()[0]
        image_bytes = db.execute(
            "SELECT coalesce(sum(size_bytes), 0) FROM image_parts WHERE "
            "image_id IN (SELECT id FROM images WHERE project_id = ?)",
            (project_id,)).fetchone()[0]
        tokens = db.execute("SELECT count(*) FROM tokens WHERE project_id = ?",
                            (project_id,)).fetchone()[0]
    finally:
        db.close()
    return dict({n: 0 for n in UNLIMITED}, instances=i[0], vcpus=i[1],
                memory_bytes=i[2], disk_bytes=i[3], images=images,
                image_bytes=image_bytes, tokens=tokens)


def instance(name, flavor="small", **kw):
    return dict({"name": name, "image": "shared", "flavor": flavor}, **kw)


def create(name, token=True, query="", status=201, **kw):
    return cloud.must(status, "POST", "/v1/instances" + query,
                      instance(name, **kw), token=token)


def batch(name, count, token=True, query="", status=201, policy="all",
          headers=None, **kw):
    return cloud.must(status, "POST", "/v1/instance-batches" + query,
                      {"instance": instance(name, **kw), "count": count,
                       "policy": policy}, token=token, headers=headers)


def delete(i, token=True):
    cloud.act("DELETE", "/v1/instances/" + i, token=token)


# ---- quotas ----

def quota_defaults():
    p, t = project("defaults")
    q = quota("defaults", t)
    expect(q["project_id"], p)
    expect(q["limits"]["tokens"], 9)
    expect(q["limits"]["images"], 3)
    expect(q["limits"]["instances"], 20)
    expect(q["limits"]["memory_bytes"], 160 * GIB)
    expect(q["used"], sums(p))
    expect(q["used"]["tokens"], 1)
    expect(set(quota("default")["limits"].values()), {-1}, "default project")
    r = cloud.call("GET", "/v1/projects/default/quota", token=t)
    expect((r.status, r.code), (404, "not_found"))


def quota_preconditions():
    project("careful")
    path = "/v1/projects/careful/quota"
    body = {"limits": dict(UNLIMITED, vcpus=7)}
    r = cloud.call("GET", path)
    tag = r.headers["ETag"]
    expect(tag, '"1"')
    r = cloud.call("PUT", path, body)
    expect((r.status, r.code), (428, "precondition_required"))
    r = cloud.call("PUT", path, body, headers={"If-Match": '"99"'})
    expect((r.status, r.code), (412, "precondition_failed"))
    r = cloud.call("PUT", path, body, headers={"If-Match": "99"})
    expect((r.status, r.code), (400, "bad_if_match"))
    r = cloud.call("PUT", path, body, headers={"If-Match": tag})
    expect((r.status, r.headers["ETag"]), (200, '"2"'))
    expect(r.json["limits"], body["limits"])
    r = cloud.call("PUT", path, body, headers={"If-Match": tag})
    expect((r.status, r.code), (412, "precondition_failed"))
    r = cloud.call("PUT", path, {"limits": {"vcpus": 1}},
                   headers={"If-Match": "*"})
    expect(r.status, 400)
    r = cloud.call("PUT", path, {"limits": dict(UNLIMITED, vcpus=-2)},
                   headers={"If-Match": "*"})
    expect((r.status, r.json["errors"][0]["pointer"]), (400, "/limits/vcpus"))


def quota_refuses_with_numbers():
    p, t = project("tight", instances=2, vcpus=1, memory_bytes=100 * MIB)
    create("a", t, flavor="plain")
    r = cloud.call("POST", "/v1/instances", instance("b", "plain"), token=t)
    expect((r.status, r.code), (403, "quota_exceeded"))
    expect(r.json["quota"], [
        {"resource": "vcpus", "limit": 1, "used": 1, "asked": 1},
        {"resource": "memory_bytes", "limit": 100 * MIB, "used": 64 * MIB,
         "asked": 64 * MIB}])
    expect([e["pointer"] for e in r.json["errors"]], ["/flavor", "/flavor"])
    expect(quota("tight")["used"], sums(p))
    r = cloud.call("POST", "/v1/instance-batches", {
        "instance": instance("c", "plain"), "count": 5}, token=t)
    expect((r.status, r.code), (403, "quota_exceeded"))
    expect({e["pointer"] for e in r.json["errors"]}, {"/count"})
    expect(r.json["quota"][0], {"resource": "instances", "limit": 2, "used": 1,
                                "asked": 5})
    delete("a", t)
    expect(quota("tight")["used"]["instances"], 0)
    create("b", t, flavor="plain")


def images_and_tokens_count():
    p, t = project("counts", "admin")
    parts = {"parts": [{"name": "disk"}]}
    ids = [cloud.must(201, "POST", "/v1/images", dict(parts, name="i%d" % n),
                      token=t)["id"] for n in range(3)]
    r = cloud.call("POST", "/v1/images", dict(parts, name="i3"), token=t)
    expect((r.status, r.code), (403, "quota_exceeded"))
    expect(r.json["quota"], [{"resource": "images", "limit": 3, "used": 3,
                              "asked": 1}])
    cloud.must(204, "DELETE", "/v1/images/" + ids[0], token=t)
    cloud.must(201, "POST", "/v1/images", dict(parts, name="i3"), token=t)
    for n in range(8):
        cloud.must(201, "POST", "/v1/tokens", {"name": "t%d" % n}, token=t)
    r = cloud.call("POST", "/v1/tokens", {"name": "t8"}, token=t)
    expect((r.status, r.code), (403, "quota_exceeded"))
    cloud.must(204, "DELETE", "/v1/tokens/t0", token=t)
    cloud.must(201, "POST", "/v1/tokens", {"name": "t8"}, token=t)
    # One that fails for its name counts for nothing.
    cloud.must(204, "DELETE", "/v1/tokens/t1", token=t)
    expect(cloud.call("POST", "/v1/tokens", {"name": "t2"}, token=t).code,
           "name_taken")
    expect(quota("counts")["used"], sums(p))


def put_part(image, data, token, chunked=False):
    """An upload; with `chunked` its length is not told before."""
    path = "/v1/images/%s/parts/disk" % image
    if not chunked:
        return cloud.call("PUT", path, data, token=token)
    c = http.client.HTTPSConnection(cloud.host, cloud.port, timeout=70,
                                    context=cloud.context())
    try:
        c.request("PUT", path, iter([data[n:n + 65536] for n in range(
            0, len(data), 65536)]), {"Authorization": "Bearer " + token},
            encode_chunked=True)
        r = c.getresponse()
        return Reply(r.status, r.headers, r.read())
    finally:
        c.close()


def image_files():
    return sum(len(files) for _, _, files in os.walk(cloud.dir + "/images"))


def bytes_of_images_count():
    """By the length that is told, by what comes, and over uploads that go on
    at the same time; nothing is left of what is refused."""
    p, t = project("bytes", "admin", image_bytes=3 * MIB)
    for n in range(5):
        cloud.must(201, "POST", "/v1/images", {
            "name": "d%d" % n, "parts": [{"name": "disk"}]}, token=t)
    disk = bytes(2 * MIB)
    before = image_files()
    expect(put_part("d0", disk, t).status, 200)
    expect(quota("bytes")["used"]["image_bytes"], 2 * MIB)
    for chunked in False, True:
        r = put_part("d1", disk, t, chunked)
        expect((r.status, r.code), (403, "quota_exceeded"), repr(r))
        q = r.json["quota"][0]
        expect((q["resource"], q["limit"], q["used"]),
               ("image_bytes", 3 * MIB, 2 * MIB))
    expect(put_part("d1", bytes(MIB), t, True).status, 200)
    expect(quota("bytes")["used"], sums(p))
    expect(put_part("d2", bytes(512), t).code, "quota_exceeded")
    # What is no image counts for nothing; what is deleted comes back.
    cloud.must(204, "DELETE", "/v1/images/d1", token=t)
    expect(quota("bytes")["used"]["image_bytes"], 2 * MIB)
    expect(put_part("d2", b"x", t).status, 400)
    expect(quota("bytes")["used"]["image_bytes"], 2 * MIB)
    # Two that hold room which neither has used yet.
    s = []
    for n in 2, 3:
        c = http.client.HTTPSConnection(cloud.host, cloud.port, timeout=70,
                                        context=cloud.context())
        c.putrequest("PUT", "/v1/images/d%d/parts/disk" % n)
        c.putheader("Authorization", "Bearer " + t)
        c.putheader("Content-Length", str(MIB))
        c.endheaders()
        s.append(c)
        if n == 2:
            c.send(bytes(1024))
            wait_for(60, lambda: put_part("d4", bytes(MIB), t).status == 403)
    s[1].send(bytes(MIB))
    expect(s[1].getresponse().status, 403)
    s[0].send(bytes(MIB - 1024))
    expect(s[0].getresponse().status, 200)
    for c in s:
        c.close()
    expect(quota("bytes")["used"], sums(p))
    expect(image_files(), before + 2)
    before = quota("bytes")
    cloud.daemon.end(signal.SIGKILL)
    cloud.start()
    expect(quota("bytes"), before)
    wait_for(60, lambda: cloud.node_state("n1") == "up")


def rows_of_a_project_are_bounded():
    """Keypairs, users and members: none fills the tables that all share."""
    _, t = project("rows", "admin")
    project("others", "admin")

    def fill(what, n, send):
        for k in range(n):
            r = send(k)
            expect(r.status // 100, 2, repr(r))
        r = send(n)
        expect((r.status, r.code), (403, "quota_exceeded"), repr(r))
        expect(r.json["quota"], [{"resource": what, "limit": 20, "used": 20,
                                  "asked": 1}])

    def key(n):
        return {"name": "k%d" % n, "public_key": blob_key(
            "ssh-ed25519", bytes([n]) * 32)}

    fill("keypairs", 20, lambda n: cloud.call("POST", "/v1/keypairs", key(n),
                                             token=t))
    cloud.must(204, "DELETE", "/v1/keypairs/k0", token=t)
    cloud.must(201, "POST", "/v1/keypairs", key(99), token=t)
    fill("users", 20, lambda n: cloud.call("POST", "/v1/users", {
        "name": "rows-%d" % n, "password": "quite a password"}, token=t))
    for n in range(21):
        cloud.must(201, "POST", "/v1/users", {
            "name": "free-%d" % n, "password": "quite a password"})
    fill("members", 20, lambda n: cloud.call(
        "PUT", "/v1/projects/others/members/free-%d" % n,
        {"role": "reader"}))
    # Who is one already can have another role.
    cloud.must(200, "PUT", "/v1/projects/others/members/free-0",
               {"role": "admin"})
    cloud.must(204, "DELETE", "/v1/projects/others/members/free-0")
    cloud.must(200, "PUT", "/v1/projects/others/members/free-20",
               {"role": "admin"})
    hooks = [cloud.call("POST", "/v1/webhooks", {
        "name": "w%d" % n, "url": "https://example.org/"}, token=t)
             for n in range(21)]
    expect([r.status for r in hooks], [201] * 20 + [403])
    expect(hooks[-1].json["quota"], [{"resource": "webhooks", "limit": 20,
                                      "used": 20, "asked": 1}])


def races_never_exceed():
    p, t = project("race", instances=10)

    def one(n):
        return cloud.call("POST", "/v1/instances", instance("r%d" % n,
                                                            "plain"), token=t)
    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        got = list(pool.map(one, range(50)))
    expect(sorted({r.status for r in got}), [201, 403])
    expect(sum(r.status == 201 for r in got), 10)
    expect({r.code for r in got if r.status == 403}, {"quota_exceeded"})
    expect(quota("race")["used"], sums(p))
    expect(sums(p)["instances"], 10)


def memory_equals_rows():
    """Random steps, some of which fail; then the controller is killed."""
    rnd = random.Random(7)
    p, t = project("random", "admin", instances=6, vcpus=6)

    def step(n):
        what = rnd.random()
        if what < 0.45:
            return cloud.call("POST", "/v1/instances", instance(
                "x%d" % rnd.randrange(8), "plain"), token=t).status
        if what < 0.6:
            return cloud.call("POST", "/v1/instance-batches", {
                "instance": instance("y%d" % n, "plain"), "count": 3,
                "policy": rnd.choice(["all", "fit"])}, token=t).status
        if what < 0.7:
            return cloud.call("POST", "/v1/instances", instance(
                "z", "none"), token=t).status
        l = cloud.must(200, "GET", "/v1/instances", token=t)["items"]
        if l:
            delete(rnd.choice(l)["id"], t)
        return 200
    seen = {step(n) for n in range(60)}
    expect({201, 403, 400} <= seen, True, seen)
    expect(quota("random")["used"], sums(p))
    before = quota("random")
    cloud.daemon.end(signal.SIGKILL)
    cloud.start()
    expect(quota("random"), before)
    wait_for(60, lambda: cloud.node_state("n1") == "up")


# ---- batches ----

def batches():
    _, t = project("many", instances=7)
    r = cloud.call("POST", "/v1/instance-batches", {
        "instance": instance("web", "plain", labels={"env": "prod"}),
        "count": 3}, token=t, headers={"Idempotency-Key": "b1"})
    expect(r.status, 201)
    b = r.json
    expect([i["name"] for i in b["items"]], ["web-1", "web-2", "web-3"])
    expect((b["count"], b["created"], b["policy"]), (3, 3, "all"))
    expect("instance" in b, False)
    expect(len({i["operation_id"] for i in b["items"]}), 3)
    expect("node_id" in b["items"][0], False)
    again = cloud.call("POST", "/v1/instance-batches", {
        "instance": instance("web", "plain", labels={"env": "prod"}),
        "count": 3}, token=t, headers={"Idempotency-Key": "b1"})
    expect((again.status, again.body), (201, r.body))
    for i in b["items"]:
        expect(cloud.operation(i["operation_id"], token=t)["state"],
               "succeeded")
        shown = cloud.must(200, "GET", "/v1/instances/" + i["name"], token=t)
        expect((shown["state"], shown["labels"]), ("running", {"env": "prod"}))
    r = cloud.call("POST", "/v1/instance-batches", {
        "instance": instance("web", "plain"), "count": 1}, token=t)
    expect((r.status, r.code, r.json["errors"][0]["pointer"]),
           (409, "name_taken", "/instance/name"))
    r = cloud.call("POST", "/v1/instance-batches", {
        "instance": instance("all", "plain"), "count": 5}, token=t)
    expect((r.status, r.code), (403, "quota_exceeded"))
    expect(quota("many")["used"]["instances"], 3)
    b = batch("fit", 9, t, policy="fit", flavor="plain")
    expect((b["count"], b["created"], len(b["items"])), (9, 4, 4))
    r = cloud.call("POST", "/v1/instance-batches", {
        "instance": instance("none", "plain"), "count": 9, "policy": "fit"},
        token=t)
    expect((r.status, r.code, r.json["quota"][0]["asked"]),
           (403, "quota_exceeded", 1))
    # A taken name in the middle: nothing is left of the others.
    _, t = project("gap")
    create("m-3", t, flavor="plain")
    for policy in "all", "fit":
        r = cloud.call("POST", "/v1/instance-batches", {
            "instance": instance("m", "plain"), "count": 5, "policy": policy},
            token=t)
        expect((r.status, r.code), (409, "name_taken"))
        expect(quota("gap")["used"]["instances"], 1)
    for bad, pointer in ((dict(count=0), "/count"),
                         (dict(count=1001), "/count"),
                         (dict(policy="some"), "/policy"),
                         (dict(instance=instance("x" * 60)),
                          "/instance/name"),
                         (dict(instance=instance("x", "none")),
                          "/instance/flavor"),
                         (dict(instance={"name": "x"}), "/instance/flavor")):
        body = dict({"instance": instance("x"), "count": 1000}, **bad)
        r = cloud.call("POST", "/v1/instance-batches", body, token=t)
        expect(r.status, 400, body)
        expect(pointer in [e["pointer"] for e in r.json["errors"]], True,
               r.json)


def node_claims():
    n = cloud.must(200, "GET", "/v1/nodes/n1")
    return (n["vcpus_claimed"], n["memory_claimed_bytes"],
            n["disk_claimed_bytes"])


def batches_and_room():
    """More than the node has room for."""
    n = cloud.must(200, "GET", "/v1/nodes/n1")
    free = n["memory_limit_bytes"] - n["memory_claimed_bytes"]
    each = max((free // 10 >> 20) << 20, 64 * MIB)
    fit = free // each
    cloud.flavor("large", memory_bytes=each)
    before = node_claims()
    p, t = project("room")
    set_quota("room")
    r = cloud.call("POST", "/v1/instance-batches", {
        "instance": instance("all", "large"), "count": fit + 1}, token=t)
    expect((r.status, r.code), (507, "no_capacity"))
    expect(("%d of %d fit" % (fit, fit + 1)) in r.json["detail"], True, r)
    expect(node_claims(), before)
    d = cloud.must(200, "POST", "/v1/instance-batches?dry_run=true", {
        "instance": instance("all", "large"), "count": fit + 1}, token=t)
    expect((d["fits"], d["count"]), (False, 0))
    expect(d["refusals"], [{"reason": "memory", "nodes": 1}])
    d = cloud.must(200, "POST", "/v1/instance-batches?dry_run=true", {
        "instance": instance("all", "large"), "count": fit + 1,
        "policy": "fit"}, token=t)
    expect((d["fits"], d["count"]), (True, fit))
    expect(node_claims(), before)
    b = batch("fit", fit + 1, t, policy="fit", flavor="large")
    expect(b["created"], fit)
    expect(quota("room")["used"], sums(p))
    for i in b["items"]:
        cloud.operation(i["operation_id"], token=t)
        delete(i["id"], t)
    expect(node_claims(), before)
    expect(quota("room")["used"], sums(p))


# ---- dry runs ----

def dry_runs():
    p, t = project("dry", instances=3)
    rows = cloud.rows()
    d = cloud.must(200, "POST", "/v1/instances?dry_run=true", instance("d"),
                   token=t, headers={"Idempotency-Key": "dry"})
    expect((d["fits"], d["count"], d["price_per_hour"], d["refusals"]),
           (True, 1, "0.0125", []))
    expect("node_id" in d or "quota" in d, False)
    expect(d["quota_after"]["used"]["instances"], 1)
    expect(d["quota_after"]["used"]["disk_bytes"], GIB)
    expect(d["quota_after"]["limits"]["instances"], 3)
    d = cloud.must(200, "POST", "/v1/instances?dry_run=true&project=dry",
                   instance("d"))
    node_id = cloud.must(200, "GET", "/v1/nodes/n1")["id"]
    expect((d["node_id"], d["quota_after"]["project_id"]), (node_id, p))
    d = cloud.must(200, "POST", "/v1/instance-batches?dry_run=true", {
        "instance": instance("d"), "count": 3}, token=t)
    expect((d["fits"], d["count"], d["price_per_hour"]), (True, 3, "0.0375"))
    d = cloud.must(200, "POST", "/v1/instance-batches?dry_run=true", {
        "instance": instance("d"), "count": 8}, token=t)
    expect((d["fits"], d["count"], d["price_per_hour"]), (False, 0, "0.1000"))
    expect(d["quota"], [{"resource": "instances", "limit": 3, "used": 0,
                         "asked": 8}])
    expect(d["quota_after"]["used"]["instances"], 8)
    d = cloud.must(200, "POST", "/v1/instance-batches?dry_run=true", {
        "instance": instance("d"), "count": 8, "policy": "fit"}, token=t)
    expect((d["fits"], d["count"], d["price_per_hour"]), (True, 3, "0.0375"))
    d = cloud.must(200, "POST", "/v1/instances?dry_run=true",
                   instance("d", "plain"), token=t)
    expect("price_per_hour" in d, False)
    expect(cloud.rows(), rows, "a dry run leaves no row")
    expect(quota("dry")["used"], sums(p))
    # It refuses what the create would refuse.
    for body, status, code in (
            (instance("d", "none"), 400, "invalid"),
            (instance("d", image="none"), 400, "invalid"),
            (instance("d", keypairs=["none"]), 400, "invalid")):
        r = cloud.call("POST", "/v1/instances?dry_run=true", body, token=t)
        expect((r.status, r.code), (status, code))
    create("d", t, query="?dry_run=false")
    r = cloud.call("POST", "/v1/instances?dry_run=true", instance("d"),
                   token=t)
    expect((r.status, r.code), (409, "name_taken"))
    r = cloud.call("POST", "/v1/instances?dry_run=yes", instance("e"), token=t)
    expect((r.status, r.json["errors"][0]["pointer"]), (400, "?dry_run"))
    for bad in "-1", "01", "1.", ".5", "1e3":
        r = cloud.call("POST", "/v1/flavors", {
            "name": "bad", "vcpus": 1, "memory_bytes": 64 * MIB,
            "price_per_hour": bad})
        expect((r.status, r.json["errors"][0]["pointer"]),
               (400, "/price_per_hour"), bad)


# ---- labels and filters ----

def listed(query, token=True):
    names, page = [], ""
    for _ in range(1000):
        r = cloud.must(200, "GET", "/v1/instances?%s%s" % (query, page),
                       token=token)
        names += [i["name"] for i in r["items"]]
        if "next_page_token" not in r:
            return names
        page = "&page_token=" + r["next_page_token"]
    raise AssertionError("the list does not end")


def filters():
    _, t = project("labels")
    _, other = project("labels2")
    create("f1", t, labels={"env": "prod", "tier": "web"})
    create("f2", t, labels={"env": "test", "a/b.c_d-e": ""})
    create("f3", t, flavor="plain", labels={"env": "prod"})
    create("f4", t, flavor="plain", locked=True)
    create("f1", other, labels={"env": "prod"})
    shown = cloud.must(200, "GET", "/v1/instances/f2", token=t)
    expect(shown["labels"], {"env": "test", "a/b.c_d-e": ""})
    expect("labels" in cloud.must(200, "GET", "/v1/instances/f4", token=t),
           False)
    for filt, want in (
            ("label.env=prod", ["f1", "f3"]),
            ("label.env=prod,label.tier=web", ["f1"]),
            ("label.env", ["f1", "f2", "f3"]),
            ("!label.env", ["f4"]),
            ("label.env!=prod", ["f2", "f4"]),
            ("label.a/b.c_d-e", ["f2"]),
            ("label.env=prod,flavor=plain", ["f3"]),
            ("name=f2", ["f2"]),
            ("name!=f2,name!=f3", ["f1", "f4"]),
            ("name=f1,label.env=test", []),
            ("locked=true", ["f4"]),
            ("image=shared", ["f1", "f2", "f3", "f4"]),
            ("label.none=x", [])):
        for limit in 1, 2, 100:
            expect(listed("limit=%d&filter=%s" % (limit, filt), t), want, filt)
    expect(listed("filter=label.env=prod&project=labels2"), ["f1"])
    expect(listed("filter=label.env=prod,name=f1"), ["f1", "f1"])
    node_id = cloud.must(200, "GET", "/v1/nodes/n1")["id"]
    expect(listed("project=labels&filter=node_id=" + node_id),
           ["f1", "f2", "f3", "f4"])
    wait_for(60, lambda: listed("filter=state=running", t) ==
             ["f1", "f2", "f3", "f4"])
    expect(listed("filter=state=running", t), ["f1", "f2", "f3", "f4"])
    delete("f1", t)
    expect(listed("filter=label.env=prod", t), ["f3"])
    for bad, code in (("colour=red", "unknown_field"),
                      ("node_id=" + node_id, "unknown_field"),
                      ("state=flying", "enum"), ("label.=x", "label"),
                      ("state", "term"), ("name=f1,", "term")):
        r = cloud.call("GET", "/v1/instances?filter=" + bad, token=t)
        expect((r.status, r.json["errors"][0]["pointer"],
                r.json["errors"][0]["code"]), (400, "?filter", code), bad)
    for bad in ({"-x": "y"}, {"x": "a b"}, {"": "x"}, {"x" * 64: "y"},
                {"x": 1}, {"x": None}, {"k%d" % n: "v" for n in range(65)},
                ["x"]):
        r = cloud.call("POST", "/v1/instances", instance("bad", labels=bad),
                       token=t)
        expect(r.status, 400, bad)
        expect(r.json["errors"][0]["pointer"].startswith("/labels"), True)


# ---- keypairs and user data ----

def ssh_keygen(*args):
    status, out = run(["ssh-keygen"] + list(args))
    expect(status, 0, out)
    return out


def made_key(kind, bits, name):
    path = os.path.join(T, name)
    ssh_keygen("-q", "-t", kind, "-b", bits, "-N", "", "-C", "me@here " + name,
               "-f", path)
    with open(path + ".pub") as f:
        return f.read().strip()


def blob_key(kind, *parts):
    blob = b"".join(struct.pack(">I", len(p)) + p
                    for p in (kind.encode(),) + parts)
    return kind + " " + base64.b64encode(blob).decode()


def fingerprint(key):
    path = os.path.join(T, "one.pub")
    with open(path, "w") as f:
        f.write(key + "\n")
    return ssh_keygen("-l", "-f", path).split()[1]


def keypairs():
    _, t = project("keys")
    point = made_key("ecdsa", "256", "p256").split()[1]
    point = base64.b64decode(point)[-65:]
    keys = {
        "ed25519": made_key("ed25519", "256", "ed"),
        "ecdsa256": made_key("ecdsa", "256", "ec256"),
        "ecdsa384": made_key("ecdsa", "384", "ec384"),
        "ecdsa521": made_key("ecdsa", "521", "ec521"),
        "rsa2048": made_key("rsa", "2048", "rsa2048"),
        "rsa3072": made_key("rsa", "3072", "rsa3072"),
        "sk-ed25519": blob_key("sk-ssh-ed25519@openssh.com", b"k" * 32,
                               b"ssh:"),
        "sk-ecdsa": blob_key("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256",
                             point, b"ssh:"),
    }
    for name, key in keys.items():
        k = cloud.must(201, "POST", "/v1/keypairs",
                       {"name": name, "public_key": key}, token=t)
        expect(k["fingerprint"], fingerprint(key), name)
        expect(k["public_key"], key)
        expect(cloud.must(200, "GET", "/v1/keypairs/" + name, token=t), k)
    good = keys["ed25519"]
    kind, body, *_ = good.split(" ")
    for bad in (body, "ssh-rsa " + body, "no-pty " + good, good + "\n" + good,
                kind + "  " + body, kind + " " + body[:-4], kind + " !" + body,
                kind + " " + body + "AAAA", kind, " " + good,
                "command=\"x\" " + good, made_key("rsa", "1024", "weak"),
                blob_key("ssh-ed25519", b"k" * 31),
                blob_key("ssh-ed25519", b"k" * 32, b"more"),
                blob_key("ssh-dss", b"k" * 32),
                blob_key("ecdsa-sha2-nistp256", b"nistp384", point),
                blob_key("ecdsa-sha2-nistp256", b"nistp256", b"\x02" +
                         point[1:33])):
        r = cloud.call("POST", "/v1/keypairs", {"name": "bad",
                                                "public_key": bad}, token=t)
        expect((r.status, r.json["errors"][0]["pointer"]),
               (400, "/public_key"), bad)
    r = cloud.call("POST", "/v1/keypairs", {"name": "ed25519",
                                            "public_key": good}, token=t)
    expect((r.status, r.code), (409, "name_taken"))
    l = cloud.must(200, "GET", "/v1/keypairs?limit=3", token=t)
    expect([k["name"] for k in l["items"]], list(keys)[:3])
    return t, keys


def desired():
    """The node's desired instances, as its agent gets them."""
    return {i["id"]: i for i in cloud.must(
        200, "GET", "/v1/agent/desired?since=0", token=None,
        cert=node.cert)["instances"]}


def seeds():
    t, keys = KEYS
    text = "#cloud-config\nhostname: \"käse\"\n"
    i = create("s", t, keypairs=["rsa2048", "ed25519"], user_data=text)
    expect(i["keypairs"], ["rsa2048", "ed25519"])
    expect("user_data" in i, False)
    r = cloud.call("GET", "/v1/instances/s/user-data", token=t)
    expect((r.status, r.body.decode(), r.headers["Content-Type"]),
           (200, text, "text/plain; charset=utf-8"))
    cloud.operation(i["operation_id"], token=t)
    d = desired()[i["id"]]
    expect((d["user_data"], d["keys"]),
           (text, [keys["rsa2048"], keys["ed25519"]]))
    # A key that is deleted stays with the instances that have it.
    cloud.must(204, "DELETE", "/v1/keypairs/rsa2048", token=t)
    expect(desired()[i["id"]]["keys"][0], keys["rsa2048"])
    expect(cloud.call("GET", "/v1/keypairs/rsa2048", token=t).status, 404)
    bare = create("bare", t)
    expect(cloud.call("GET", "/v1/instances/bare/user-data", token=t).body,
           b"")
    expect("keys" in desired()[bare["id"]], False)
    r = cloud.call("POST", "/v1/instances", instance(
        "x", keypairs=["ed25519", "rsa2048", "ed25519"]), token=t)
    expect((r.status, [(e["pointer"], e["code"]) for e in r.json["errors"]]),
           (400, [("/keypairs/1", "not_found"), ("/keypairs/2", "repeated")]))
    for bad in ({"user_data": "x" * 65537}, {"user_data": "a\x00b"},
                {"keypairs": ["k%d" % n for n in range(17)]}):
        r = cloud.call("POST", "/v1/instances", instance("x", **bad), token=t)
        expect(r.status, 400, list(bad))
    _, stranger = project("keys2")
    for path in ("keypairs/" + cloud.must(
            200, "GET", "/v1/keypairs/ed25519", token=t)["id"],
                 "instances/" + i["id"] + "/user-data"):
        expect(cloud.call("GET", "/v1/" + path, token=stranger).status, 404)
    r = cloud.call("POST", "/v1/instances", instance(
        "x", keypairs=["ed25519"]), token=stranger)
    expect(r.json["errors"][0]["pointer"], "/keypairs/0")
    delete("s", t)
    db = sqlite3.connect("file:%s/controller.db?mode=ro" % cloud.dir, uri=True,
                         timeout=10)
    left = db.execute("SELECT count(*) FROM instance_seeds WHERE instance_id "
                      "= ?", (i["id"],)).fetchone()[0]
    db.close()
    expect(left, 0, "what a deleted instance was given")


# ---- preconditions, operators ----

def etags():
    _, t = project("tags", "admin")
    ed = KEYS[1]["ed25519"]
    made = {
        "/v1/keypairs": {"name": "k", "public_key": ed},
        "/v1/images": {"name": "i", "parts": [{"name": "kernel"}]},
        "/v1/tokens": {"name": "t"},
        "/v1/flavors": {"name": "f", "vcpus": 1, "memory_bytes": 64 * MIB},
        "/v1/projects": {"name": "victim"},
    }
    for path, body in made.items():
        own = True if path in ("/v1/flavors", "/v1/projects") else t
        r = cloud.call("POST", path, body, token=own)
        expect((r.status, r.headers["ETag"]), (201, '"1"'), path)
        at = "%s/%s" % (path, r.json["id"])
        tag = '"1"'
        if path == "/v1/images":
            part = at + "/parts/kernel"
            expect(cloud.call("PUT", part, tiny_kernel(), token=t,
                              headers={"If-Match": '"7"'}).code,
                   "precondition_failed")
            r = cloud.call("PUT", part, tiny_kernel(), token=t,
                           headers={"If-Match": tag})
            expect((r.status, r.headers["ETag"]), (200, '"2"'), r)
            expect(cloud.call("DELETE", at, token=t,
                              headers={"If-Match": tag}).status, 412)
            tag = '"2"'
        r = cloud.call("DELETE", at, token=own, headers={"If-Match": '"7"'})
        expect((r.status, r.code), (412, "precondition_failed"), path)
        r = cloud.call("DELETE", at, token=own, headers={"If-Match": tag})
        expect(r.status, 204, path)
    r = cloud.call("POST", "/v1/nodes/n1/cordon", headers={"If-Match": '"9"'})
    expect(r.status, 412)
    r = cloud.call("POST", "/v1/nodes/n1/cordon", headers={"If-Match": '"1"'})
    expect((r.status, r.headers["ETag"]), (200, '"2"'))
    r = cloud.call("POST", "/v1/nodes/n1/cordon")
    expect(r.headers["ETag"], '"2"', "not changed again")
    r = cloud.call("POST", "/v1/nodes/n1/uncordon")
    expect(r.headers["ETag"], '"3"')


def operators_act():
    p, t = project("served")
    _, other = project("served2")
    i = create("by-op", query="?project=served")
    expect((i["project_id"], "node_id" in i), (p, True))
    expect(cloud.must(200, "GET", "/v1/instances/by-op", token=t)["id"],
           i["id"])
    expect(create("by-id", query="?project=" + p)["project_id"], p)
    expect(create("own", t, query="?project=served")["project_id"], p)
    for query in "?project=served2", "?project=nowhere":
        r = cloud.call("POST", "/v1/instances" + query, instance("x"),
                       token=t)
        expect((r.status, r.code), (404, "not_found"))
    r = cloud.call("POST", "/v1/instances?project=nowhere", instance("x"))
    expect((r.status, r.code), (404, "not_found"))
    k = cloud.must(201, "POST", "/v1/keypairs?project=served", {
        "name": "op", "public_key": KEYS[1]["ed25519"]})
    expect(k["project_id"], p)
    expect(create("with-key", query="?project=served",
                  keypairs=["op"])["keypairs"], ["op"])
    # The same key and body for another project is another request.
    head = {"Idempotency-Key": "op1"}
    r = cloud.call("POST", "/v1/instances?project=served", instance("idem"),
                   headers=head)
    expect(r.status, 201)
    r2 = cloud.call("POST", "/v1/instances?project=served", instance("idem"),
                    headers=head)
    expect((r2.status, r2.body), (201, r.body))
    r = cloud.call("POST", "/v1/instances?project=served2", instance("idem"),
                   headers=head)
    expect((r.status, r.code), (422, "idempotency_key_reused"))
    expect(listed("", other), [])


def stored_flags():
    _, t = project("flags")
    i = create("keep", t, locked=True, delete_protection=True)
    expect((i["locked"], i["delete_protection"]), (True, True))
    i = cloud.must(200, "GET", "/v1/instances/keep", token=t)
    expect((i["locked"], i["delete_protection"]), (True, True))


case("new projects have the quotas of the setting", quota_defaults)
case("limits are set by who has seen them", quota_preconditions)
case("a refusal has every number and field", quota_refuses_with_numbers)
case("images and tokens count, and count back", images_and_tokens_count)
case("files of images count while they come in", bytes_of_images_count)
case("no project fills tables with keypairs, users, members or webhooks",
     rows_of_a_project_are_bounded)
case("50 creates at once against a quota of 10 make 10", races_never_exceed)
case("what is used is what the rows add up to", memory_equals_rows)
case("batches make all or what fits", batches)
case("batches against the node's room", batches_and_room)
case("a dry run says what would be, and changes nothing", dry_runs)
case("labels are found by", filters)
KEYS = (None, {})


def keep_keys():
    global KEYS  # pylint: disable=global-statement
    KEYS = keypairs()


case("keypairs are taken as ssh-keygen reads them", keep_keys)
case("keys and user data go down to the node", seeds)
case("every object has an ETag and honours If-Match", etags)
case("operators act in any project, tenants in their own", operators_act)
case("lock and protection are stored", stored_flags)
case("the controller lives", cloud.healthy)
done()
