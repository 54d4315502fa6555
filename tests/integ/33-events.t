#!/usr/bin/env python3
"""33-events.t - what happened, told to those who may know: pages and streams
of events over restarts, webhooks, the audit log, rate limits."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import threading
import http.client

from cloud import *  # pylint: disable=unused-wildcard-import
from lib_events import Receiver, Stream

cloud = Cloud(options=["--project-quota", "unlimited",
                       "--webhook-allow-private", "--webhook-retry", "50ms",
                       "--webhook-retry-max", "200ms", "--webhook-attempts",
                       "3"]).start()
agent = cloud.agent("n1")
cloud.flavor("small")
cloud.image("shared", {"kernel": tiny_kernel()}, public=True)


def tenant(name):
    cloud.must(201, "POST", "/v1/projects", {"name": name})
    return {role: cloud.must(201, "POST", "/v1/tokens", {
        "name": role, "role": role, "project": name})["token"]
            for role in ("reader", "member", "admin")}


a, b = tenant("alpha"), tenant("beta")
project = {n: cloud.must(200, "GET", "/v1/projects/" + n)["id"]
           for n in ("alpha", "beta")}


def events(query="", token=True):
    """All of them, page by page."""
    got, page = [], ""
    while True:
        r = cloud.must(200, "GET", "/v1/events?limit=7" + query + page,
                       token=token)
        got += r["items"]
        if "next_page_token" not in r:
            return got
        page = "&page_token=" + r["next_page_token"]


def make(name, token):
    return cloud.act("POST", "/v1/instances", {
        "name": name, "image": "shared", "flavor": "small"}, token=token)


# ---- pages ----

def life_is_told():
    i = make("web", a["member"])
    cloud.act("POST", "/v1/instances/web/stop", {"force": True},
              token=a["member"])
    cloud.act("DELETE", "/v1/instances/web", token=a["member"])
    got = [(e["kind"], e.get("state")) for e in events("", a["reader"])
           if e.get("resource_id") == i["id"]]
    expect(got, [("instance.created", "creating"),
                 ("instance.state", "running"),
                 ("instance.state", "stopping"),
                 ("instance.state", "stopped"),
                 ("instance.state", "deleting"),
                 ("instance.deleted", "deleted")])
    ops = [e for e in events("&kinds=operation.*", a["reader"])]
    expect({(e["kind"], e["project_id"]) for e in ops},
           {("operation.succeeded", project["alpha"])})


def numbers_grow():
    seqs = [e["seq"] for e in events()]
    expect(seqs, sorted(set(seqs)))
    ids = {e["id"] for e in events()}
    expect(len(ids), len(seqs))


def tenants_are_apart():
    make("secret", b["member"])
    for token in a.values():
        text = json.dumps(events("", token))
        expect(project["beta"] in text, False, "of beta")
        expect("node." in text, False, "nodes")
    both = {e.get("project_id") for e in events()}
    expect(both >= set(project.values()), True, both)
    only = {e.get("project_id") for e in events("&project=beta")}
    expect(only, {project["beta"]})
    r = cloud.call("GET", "/v1/events?project=beta", token=a["reader"])
    expect(r.status, 404)


def bad_questions():
    for query in ("since=x", "since=-1", "limit=0", "kinds=A", "kinds=,",
                  "kinds=a*b", "wait=2h", "kinds=" + "a" * 70, "since=1e3"):
        r = cloud.call("GET", "/v1/events?" + query)
        expect(r.status, 400, query)
    r = cloud.call("GET", "/v1/events?since=999999999")
    expect((r.status, r.code), (400, "events_expired"))


case("an instance's life is told, in order", life_is_told)
case("numbers grow, ids are unique", numbers_grow)
case("a tenant hears of its own project only", tenants_are_apart)
case("bad questions are refused", bad_questions)


def wait_is_answered():
    last = events()[-1]["seq"]
    s = threading.Timer(0.5, lambda: make("w2", b["member"]))
    s.start()
    r = cloud.must(200, "GET", "/v1/events?wait=60s&kinds=instance.created"
                   "&since=%d" % last, token=b["reader"])
    expect([e["resource_name"] for e in r["items"]], ["w2"])
    s.join()
    last = events("", b["reader"])[-1]["seq"]
    r = cloud.must(200, "GET", "/v1/events?wait=1s&since=%d" % last,
                   token=a["reader"])
    expect(r["items"], [])


case("a waiting call is answered by the event that it waits for",
     wait_is_answered)

# ---- streams ----


def stream_tells():
    with Stream(cloud, token=a["reader"]) as s:
        expect(s.headers["Content-Type"], "text/event-stream")
        i = make("s1", a["member"])
        got = s.take(3)
        expect(sorted(e.kind for e in got), [
            "instance.created", "instance.state", "operation.succeeded"])
        expect(got[0].data["resource_id"], i["id"])
        expect([int(e.id) for e in got], [e.data["seq"] for e in got])


def stream_resumes():
    every = events("", a["reader"])
    half = every[len(every) // 2]["seq"]
    with Stream(cloud, token=a["reader"], since=half) as s:
        got = s.take(len([e for e in every if e["seq"] > half]))
        expect([e.data for e in got], [e for e in every if e["seq"] > half])
    with Stream(cloud, token=a["reader"], since=1, last_id=half) as s:
        expect(s.take(1)[0].data, next(e for e in every if e["seq"] > half))


def stream_filters():
    with Stream(cloud, query="&kinds=operation.*&project=beta") as s:
        make("s2", a["member"])
        make("s3", b["member"])
        e = s.take(1)[0]
        expect((e.kind, e.data["project_id"]),
               ("operation.succeeded", project["beta"]))


def revoked_stream_ends():
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "gone", "role": "reader", "project": "alpha"})
    with Stream(cloud, token=t["token"]) as s, \
            Stream(cloud, token=a["reader"]) as other:
        cloud.must(204, "DELETE", "/v1/tokens/" + t["id"])
        expect(s.ends(20), True, "it went on")
        make("s4", a["member"])
        other.until(lambda e: e.kind == "operation.succeeded")


def gap_is_told():
    with Stream(cloud, since=999999999) as s:
        e = s.take(1)[0]
        expect(e.kind, "reset")
        make("s5", a["member"])
        s.until(lambda e: e.kind == "operation.succeeded")


case("a stream tells what happens", stream_tells)
case("a stream goes on where the client was", stream_resumes)
case("a stream has the same filters", stream_filters)
case("a stream ends with its token, others go on", revoked_stream_ends)
case("a number that never was is answered by a reset", gap_is_told)

# ---- webhooks ----


def webhook(name, receiver, token=True, **kw):
    return cloud.must(201, "POST", "/v1/webhooks", dict({
        "name": name, "url": receiver.url}, **kw), token=token)


def hook(name, token=True):
    return cloud.must(200, "GET", "/v1/webhooks/" + name, token=token)


def letters(name, token=True):
    return cloud.must(200, "GET", "/v1/webhooks/%s/dead-letters" % name,
                      token=token)["items"]


def webhook_delivers():
    with Receiver() as r:
        w = webhook("all", r, a["admin"])
        r.secret = w["secret"]
        expect(w["secret"].startswith("whsec_"), True)
        expect("secret" in hook("all", a["admin"]), False, "told again")
        last = events("", a["admin"])[-1]["seq"]
        make("h1", a["member"])
        make("h1b", b["member"])
        want = [e for e in events("", a["admin"]) if e["seq"] > last]
        r.wait(len(want) + 1)
        expect(r.events[0]["kind"], "webhook.created")
        expect(r.events[1:], want)
        expect({p["type"] for p in r.posts}, {
            "application/cloudevents+json; charset=utf-8"})
        e, d = r.posts[1]["event"], want[0]
        expect((e["specversion"], e["id"], e["type"], e["time"], e["data"]),
               ("1.0", d["id"], "virga." + d["kind"], d["at"], d))
        expect(e["source"].startswith("urn:uuid:"), True)
        expect(r.faults, [])
        wait_for(30, lambda: hook("all", a["admin"])["delivered_seq"] >=
                 want[-1]["seq"])
        expect(hook("all", a["admin"])["failures"], 0)
        cloud.must(204, "DELETE", "/v1/webhooks/all", token=a["admin"])
        n = len(r.posts)
        make("h2", a["member"])
        expect(len(r.posts), n, "deleted")


def webhook_is_ones_own():
    with Receiver() as r:
        w = webhook("mine", r, a["admin"])
        for token in b["admin"], b["reader"]:
            for ref in "mine", w["id"]:
                for method, path in (
                        ("GET", ""), ("DELETE", ""), ("POST", "/redeliver"),
                        ("GET", "/dead-letters"),
                        ("DELETE", "/dead-letters/" + w["id"])):
                    got = cloud.call(method, "/v1/webhooks/" + ref + path,
                                     token=token).status
                    expect(got, 404 if token == b["admin"] else 403, method)
        for bad in ({"url": "ftp://x/"}, {"url": "http://u:p@x.example/"},
                    {"url": "nonsense"}, {"kinds": ["A B"]},
                    {"kinds": ["a,b"]}, {"secret": "0" * 30},
                    {"secret": "whsec_" + "AAAA" * 5}):
            body = dict({"name": "bad", "url": r.url}, **bad)
            got = cloud.call("POST", "/v1/webhooks", body, token=a["admin"])
            expect(got.status, 400, bad)
        got = cloud.call("POST", "/v1/webhooks", {"name": "mine",
                                                  "url": r.url},
                         token=a["admin"])
        expect((got.status, got.code), (409, "name_taken"))
        cloud.must(204, "DELETE", "/v1/webhooks/mine", token=a["admin"])


def order_survives_failures():
    """Every answer fails now and then, in every way; order holds."""
    ways = ["500", "hang up", "garbage", "200", "redirect", "200", "204",
            "huge"]
    with Receiver(lambda n: ways[n % len(ways)]) as r:
        webhook("shaky", r, a["admin"], kinds=["keypair.*", "instance.*"])
        last = events("", a["admin"])[-1]["seq"]
        for i in range(4):
            make("o%d" % i, a["member"])
        want = [e["seq"] for e in events("&kinds=instance.*", a["admin"])
                if e["seq"] > last]
        expect(wait_for(60, lambda: [e["seq"] for e in r.taken] == want
                        or None) is not None, True,
               "%s, not %s" % ([e["seq"] for e in r.taken], want))
        seqs = [e["seq"] for e in r.events]
        expect(seqs, sorted(seqs), "never an older one again")
        expect(letters("shaky", a["admin"]), [])
        cloud.must(204, "DELETE", "/v1/webhooks/shaky", token=a["admin"])


def dead_letters_are_kept():
    answer = ["500"]
    with Receiver(lambda n: answer[0]) as r:
        webhook("dead", r, a["admin"], kinds=["instance.created"])
        make("d1", a["member"])
        make("d2", a["member"])
        expect(wait_for(60, lambda: len(letters("dead", a["admin"])) == 2),
               True)
        got = letters("dead", a["admin"])
        expect([(l["event"]["resource_name"], l["attempts"],
                 l["last_error"]) for l in got],
               [(n, 3, "the receiver answered 500") for n in ("d1", "d2")])
        expect([e["resource_name"] for e in r.events],
               ["d1"] * 3 + ["d2"] * 3)
        # Once more, in vain, then not.
        cloud.must(200, "POST", "/v1/webhooks/dead/redeliver",
                   token=a["admin"])
        expect(wait_for(30, lambda: {l["attempts"] for l in letters(
            "dead", a["admin"])} == {4}), True)
        answer[0] = "200"
        cloud.must(204, "DELETE", "/v1/webhooks/dead/dead-letters/" +
                   got[1]["id"], token=a["admin"])
        cloud.must(200, "POST", "/v1/webhooks/dead/redeliver",
                   token=a["admin"])
        expect(wait_for(30, lambda: letters("dead", a["admin"]) == []), True)
        expect(r.taken[-1], got[0]["event"])
        cloud.must(204, "DELETE", "/v1/webhooks/dead", token=a["admin"])


def bad_receiver_harms_nobody():
    """One that never answers, while another project's and the API go on."""
    with Receiver(lambda n: "hang") as slow, Receiver() as good:
        for i in range(6):
            webhook("slow%d" % i, slow, a["admin"])
        webhook("good", good, b["admin"], kinds=["instance.created"])
        begun = time.monotonic()
        make("g1", b["member"])
        good.wait(1)
        expect(time.monotonic() - begun < 12, True, "held up")
        # Few at a time of one project.
        expect(slow.open <= 4, True, slow.open)
        for i in range(6):
            cloud.must(204, "DELETE", "/v1/webhooks/slow%d" % i,
                       token=a["admin"])
        cloud.must(204, "DELETE", "/v1/webhooks/good", token=b["admin"])


def disabled_waits():
    with Receiver() as r:
        webhook("off", r, a["admin"], kinds=["instance.created"],
                disabled=True)
        for method, body in ("PATCH", {"disabled": False}), ("DELETE", None):
            got = cloud.call(method, "/v1/webhooks/off", body,
                             token=a["admin"], headers={"If-Match": '"7"'})
            expect((got.status, got.code), (412, "precondition_failed"))
        make("off1", a["member"])
        make("off2", a["member"])
        expect(r.posts, [])
        cloud.must(200, "PATCH", "/v1/webhooks/off", {"disabled": False},
                   token=a["admin"])
        r.wait(2)
        expect([e["resource_name"] for e in r.events], ["off1", "off2"])
        cloud.must(204, "DELETE", "/v1/webhooks/off", token=a["admin"])


case("a webhook gets its project's events, signed", webhook_delivers)
case("a webhook is its project's own; bad ones are refused",
     webhook_is_ones_own)
case("order and completeness survive a receiver that fails in all ways",
     order_survives_failures)
case("what cannot be delivered is a dead letter, and can be tried again",
     dead_letters_are_kept)
case("a receiver that hangs holds up nobody else", bad_receiver_harms_nobody)
case("a disabled webhook waits", disabled_waits)

# ---- over the death of the controller ----


def killed_controller_loses_nothing():
    with Receiver() as r:
        webhook("lives", r, a["admin"], kinds=["instance.created"])
        seen, names = [], ["k%d" % i for i in range(6)]
        s = Stream(cloud, token=a["reader"], query="&kinds=instance.created")
        for i, name in enumerate(names):
            cloud.must(201, "POST", "/v1/instances", {
                "name": name, "image": "shared", "flavor": "small"},
                token=a["member"])
            if i == 2:
                seen += s.take(2)
                cloud.daemon.end(signal.SIGKILL)
                s.close()
                cloud.start()
                s = Stream(cloud, token=a["reader"],
                           query="&kinds=instance.created",
                           last_id=int(seen[-1].id))
        seen += s.take(4)
        s.close()
        expect([e.data["resource_name"] for e in seen], names)
        expect(wait_for(60, lambda: {e["resource_name"] for e in r.events} >=
                        set(names)), True, r.events)
        first = list(dict.fromkeys(e["resource_name"] for e in r.events))
        expect(first, names)
        cloud.must(204, "DELETE", "/v1/webhooks/lives", token=a["admin"])


def streams_end_with_the_controller():
    streams = [Stream(cloud, token=a["reader"]) for _ in range(8)]
    begun = time.monotonic()
    cloud.daemon.end()
    took = time.monotonic() - begun
    for s in streams:
        expect(s.ends(20), True)
        s.close()
    cloud.start()
    expect(took < 15, True, "%.1f s" % took)


def quiet_stream_lives():
    """Longer than a silent connection may: pings keep it."""
    cloud.daemon.end()
    cloud.options += ["--idle-timeout", "1s"]
    cloud.start()
    with Stream(cloud, token=a["reader"]) as s:
        # A ping comes after 15 s; then an event on the same connection.
        s.sock.settimeout(120)
        while not s.comments:
            s.step()
        make("q1", a["member"])
        s.until(lambda e: e.kind == "operation.succeeded")


case("a quiet stream is kept alive", quiet_stream_lives)
case("a killed controller loses no event, and tells none twice",
     killed_controller_loses_nothing)
case("streams end when the controller stops", streams_end_with_the_controller)

# ---- audit ----


def audit(query="", token=True):
    got, page = [], ""
    while True:
        r = cloud.must(200, "GET", "/v1/audit?limit=50" + query + page,
                       token=token)
        got += r["items"]
        if "next_page_token" not in r:
            return got
        page = "&page_token=" + r["next_page_token"]


def entry(token=True, **want):
    def find():
        for e in audit("", token):
            if all(e.get(k) == v for k, v in want.items()):
                return e
        return None
    got = wait_for(20, find)
    if not got:
        raise AssertionError("no entry %r" % want)
    return got


def changes_are_logged():
    r = cloud.must(201, "POST", "/v1/projects", {"name": "logged"},
                   headers={"X-Request-Id": "log-1"})
    e = entry(request_id="log-1")
    expect((e["method"], e["path"], e["status"], e["actor"], e["actor_type"],
            e["remote"], e["resource_type"], e["resource_id"]),
           ("POST", "/v1/projects", 201, "admin", "token", "127.0.0.1",
            "project", r["id"]))
    cloud.call("DELETE", "/v1/projects/logged",
               headers={"X-Request-Id": "log-2"})
    expect(entry(request_id="log-2")["status"], 204)


def refusals_are_logged():
    for token, method, path, status, code in (
            (a["reader"], "POST", "/v1/images", 403, "forbidden"),
            (a["admin"], "DELETE", "/v1/instances/nobody", 404, "not_found"),
            (a["member"], "POST", "/v1/instances", 400, "invalid")):
        rid = "ref-%d" % status
        r = cloud.call(method, path, {} if method == "POST" else None,
                       token=token, headers={"X-Request-Id": rid})
        expect(r.status, status, repr(r))
        e = entry(a["admin"], request_id=rid)
        expect((e["status"], e["code"], e["path"]), (status, code, path))
    # Not what is only read, nor those who are not known.
    cloud.call("GET", "/v1/instances/nobody", token=a["admin"],
               headers={"X-Request-Id": "read-1"})
    cloud.call("POST", "/v1/projects", {"name": "x"}, token=None,
               headers={"X-Request-Id": "read-2"})
    expect([e for e in audit() if e.get("request_id", "")[:5] == "read-"], [])


def audit_is_apart():
    for e in audit("", a["admin"]):
        expect(e["project_id"], project["alpha"])
    expect({e["project_id"] for e in audit("&project=beta")},
           {project["beta"]})
    seqs = [e["seq"] for e in audit()]
    expect(seqs, sorted(seqs, reverse=True))
    expect(cloud.call("GET", "/v1/audit", token=a["member"]).status, 403)


def audit_is_filtered():
    every = audit()
    for query, want in (
            ("method=DELETE", lambda e: e["method"] == "DELETE"),
            ("status!=404,method=DELETE", lambda e: e["status"] != 404 and
             e["method"] == "DELETE"),
            ("actor=admin,status=403", lambda e: e.get("actor") == "admin" and
             e["status"] == 403),
            ("request_id=log-1", lambda e: e.get("request_id") == "log-1")):
        got = [e["seq"] for e in audit("&filter=" + query)]
        expect([s for s in got if s <= every[0]["seq"]],
               [e["seq"] for e in every if want(e)], query)
    got = audit("&path=/v1/tokens")
    expect({e["path"][:10] for e in got}, {"/v1/tokens"})
    expect(cloud.call("GET", "/v1/audit?filter=nonsense=1").status, 400)
    expect(cloud.call("GET", "/v1/audit?page_token=" +
                      project["alpha"]).status, 400)


def no_secret_is_logged():
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "sec", "role": "reader", "project": "alpha"})["token"]
    # Longer than any name it matches no path; a part of it would.
    cloud.call("DELETE", "/v1/tokens/" + t[:50],
               headers={"X-Request-Id": "sec-1"})
    expect(entry(request_id="sec-1")["path"], "/v1/tokens/***")
    with open(os.path.join(cloud.dir, "controller.db-wal"), "rb") as f:
        expect(t[4:50].encode() in f.read(), False, "on disk")


def flood_of_refusals_is_capped():
    before = len(audit())
    c = http.client.HTTPSConnection(cloud.host, cloud.port,
                                    context=cloud.context())
    begun = time.monotonic()
    for _ in range(1500):
        c.request("DELETE", "/v1/instances/nobody", headers={
            "Authorization": "Bearer " + a["member"]})
        c.getresponse().read()
    took = time.monotonic() - begun
    c.close()
    text = cloud.call("GET", "/metrics").body.decode()
    dropped = re.search(r'event="audit_dropped"} (\d+)', text)
    logged = wait_for(20, lambda: len(audit()) - before >=
                      1500 - int(dropped.group(1) if dropped else 0) and
                      len(audit()) - before)
    expect(logged + int(dropped.group(1) if dropped else 0), 1500)
    expect(logged <= 200 * (took + 2), True, "%d in %.1f s" % (logged, took))


KEY = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPtT3yGbsNCa1ib9bpGpvaQGrHYd0YvD6x"
       "M0L9iqAp+p")


def everything_is_told():
    """Whatever is made, changed or deleted is an event and an entry that say
    what it was; nobody but admins hears of credentials."""
    last = events()[-1]["seq"]
    pid = cloud.must(201, "POST", "/v1/projects", {"name": "told"})["id"]
    tid = cloud.must(201, "POST", "/v1/tokens", {
        "name": "t", "role": "reader", "project": "told"})
    uid = cloud.must(201, "POST", "/v1/users", {
        "name": "ada", "password": "correct horse battery",
        "project": "told", "role": "admin"})["id"]
    login = cloud.must(201, "POST", "/v1/login", {
        "user": "ada", "password": "correct horse battery"}, token=None)
    cloud.must(200, "PATCH", "/v1/users/ada", {"disabled": False})
    cloud.must(200, "PUT", "/v1/projects/told/members/ada",
               {"role": "admin"})
    kid = cloud.must(201, "POST", "/v1/keypairs?project=told", {
        "name": "told", "public_key": KEY})["id"]
    cloud.must(204, "DELETE", "/v1/keypairs/" + kid)
    mine = {(e["kind"], e.get("resource_id")) for e in events(
        "&since=%d" % last, login["token"])}
    heard = {e["kind"] for e in events("&since=%d" % last, tid["token"])}
    cloud.must(204, "POST", "/v1/logout", token=login["token"])
    cloud.must(204, "DELETE", "/v1/projects/told/members/ada")
    cloud.must(204, "DELETE", "/v1/users/ada")
    cloud.must(204, "DELETE", "/v1/tokens/" + tid["id"])
    cloud.must(204, "DELETE", "/v1/projects/told")
    fid = cloud.flavor("told")
    cloud.must(204, "DELETE", "/v1/flavors/told")
    iid = cloud.image("told", {"kernel": tiny_kernel()})
    cloud.must(204, "DELETE", "/v1/images/told")
    cloud.must(200, "POST", "/v1/nodes/n1/cordon")
    cloud.must(200, "POST", "/v1/nodes/n1/uncordon")
    got = {(e["kind"], e.get("resource_id")) for e in events(
        "&since=%d" % last)}
    nid = cloud.must(200, "GET", "/v1/nodes/n1")["id"]
    sid = login["id"]
    want = {("project.created", pid), ("project.deleted", pid),
            ("token.created", tid["id"]), ("token.deleted", tid["id"]),
            ("user.created", uid), ("user.changed", uid),
            ("user.deleted", uid), ("session.created", sid),
            ("session.deleted", sid), ("member.changed", uid),
            ("member.deleted", uid), ("keypair.created", kid),
            ("keypair.deleted", kid), ("flavor.created", fid),
            ("flavor.deleted", fid), ("image.created", iid),
            ("image.changed", iid), ("image.deleted", iid),
            ("node.changed", nid)}
    expect(got & want, want)
    expect(got - want, set(), "more")
    expect(("token.created", tid["id"]) in mine, True, mine)
    expect(("keypair.deleted", kid) in mine, True, mine)
    expect({k.split(".")[0] for k in heard} & {
        "token", "user", "session", "member", "project"}, set())
    logged = [e for e in audit() if e["seq"] > 0]
    for e in logged:
        if e["status"] < 300 and not e.get("resource_id"):
            raise AssertionError("of what? %r" % e)
    kinds = {e["resource_type"] for e in logged if e["status"] < 300}
    expect(kinds, {"project", "token", "user", "session", "member", "flavor",
                   "image", "instance", "keypair", "webhook", "dead_letter",
                   "node", "join_token"})


def failed_logins_are_logged():
    cloud.must(201, "POST", "/v1/users", {
        "name": "bob", "password": "correct horse battery",
        "project": "alpha", "role": "reader"})
    for user, rid in ("bob", "in-1"), ("hunter2-typed-here", "in-2"):
        r = cloud.call("POST", "/v1/login", {"user": user, "password": "x" *
                                             12}, token=None,
                       headers={"X-Request-Id": rid})
        expect(r.status, 401)
    e = entry(request_id="in-1")
    expect((e["actor_type"], e["actor"], e["status"], e["code"]),
           ("user", "bob", 401, "bad_credentials"))
    expect(entry(request_id="in-2").get("actor"), None)


case("everything that is made or changed is told, to whom it may be",
     everything_is_told)
case("failed logins are in the audit log", failed_logins_are_logged)
case("changes are in the audit log", changes_are_logged)
case("refusals are in the audit log", refusals_are_logged)
case("a project's admin sees its own entries", audit_is_apart)
case("the audit log is filtered", audit_is_filtered)
case("no secret is in the audit log", no_secret_is_logged)
case("a flood of refusals is capped, and what is left out is counted",
     flood_of_refusals_is_capped)

# ---- rate limits ----

agent.end()
cloud.daemon.end()
cloud.options = ["--rate-limit", "5", "--rate-limit-burst", "20",
                 "--address-rate-limit", "2", "--address-rate-limit-burst",
                 "10"]
cloud.start()


def token_is_limited():
    codes, last = [], None
    for _ in range(60):
        last = cloud.call("GET", "/v1/whoami", token=a["reader"])
        codes.append(last.status)
        if last.status == 429:
            break
    expect(codes[0], 200)
    expect((last.status, last.code), (429, "rate_limited"))
    expect(int(last.headers["Retry-After"]) >= 1, True)
    expect(last.headers["RateLimit-Policy"], '"token";q=20;w=4')
    expect(bool(re.fullmatch(r'"token";r=0;t=[0-9]+',
                             last.headers["RateLimit"])), True,
           last.headers["RateLimit"])
    # Others are not, and it is over soon.
    other = cloud.call("GET", "/v1/whoami", token=a["member"])
    expect(other.status, 200)
    expect(other.headers["RateLimit"], '"token";r=19;t=1')
    expect(wait_for(20, lambda: cloud.call(
        "GET", "/v1/whoami", token=a["reader"]).status == 200), True)


def address_is_limited():
    def until_limited(token):
        for _ in range(60):
            r = cloud.call("GET", "/v1/whoami", token=token)
            if r.status == 429:
                return r
            expect(r.status, 401)
        raise AssertionError("no limit")
    r = until_limited(None)
    expect(r.headers["RateLimit-Policy"], '"address";q=10;w=5')
    until_limited("vt1." + "0" * 64)
    # Whoever shows a token from there is let in.
    expect(cloud.call("GET", "/v1/whoami", token=b["admin"]).status, 200)


def session_is_limited():
    for name in ("busy", "calm"):
        cloud.must(201, "POST", "/v1/users", {
            "name": name, "password": "correct horse battery"})
    busy, calm = (cloud.must(201, "POST", "/v1/login", {
        "user": name, "password": "correct horse battery"},
        token=None)["token"] for name in ("busy", "calm"))
    expect(any(cloud.call("GET", "/v1/whoami", token=busy).status == 429
               for _ in range(60)), True)
    other = cloud.call("GET", "/v1/whoami", token=calm)
    expect((other.status, other.headers["RateLimit"]),
           (200, '"token";r=19;t=1'))


case("a token is limited, others are not", token_is_limited)
case("a session is limited, others are not", session_is_limited)
case("an address without a token is limited", address_is_limited)

# ---- webhooks stay outside ----

cloud.daemon.end()
cloud.options = ["--rate-limit", "0", "--address-rate-limit", "0",
                 "--webhook-retry", "50ms", "--webhook-attempts", "1"]
cloud.start()


def private_addresses_are_refused():
    with Receiver() as r:
        for url in (r.url, "http://localhost:%d/" % r.port,
                    "http://[::1]:1/", "http://169.254.169.254/",
                    "http://2130706433/", "http://10.1.2.3/",
                    "http://[::ffff:127.0.0.1]/", "http://0x7f.1/"):
            got = cloud.call("POST", "/v1/webhooks", {"name": "p", "url": url})
            expect((got.status, got.json["errors"][0]["code"]),
                   (400, "private_address"), url)
        # A name is looked at when it is used.
        name = socket.gethostname()
        try:
            at = socket.gethostbyname(name)
        except OSError:
            return
        if not at.startswith("127.") and not at.startswith("10.") and \
                not at.startswith("172.") and not at.startswith("192.168."):
            return
        cloud.must(201, "POST", "/v1/webhooks", {
            "name": "named", "url": "http://%s:%d/" % (name, r.port)})
        cloud.must(201, "POST", "/v1/projects", {"name": "noise"})
        expect(wait_for(30, lambda: len(letters("named")) > 0), True)
        expect(letters("named")[0]["last_error"],
               "the name leads to a private or special address")
        expect(r.posts, [])


case("webhooks do not lead to private addresses",
     private_addresses_are_refused)

done()
