#!/usr/bin/env python3
"""33-events.t - what happened, told to those who may know: pages and streams
of events over restarts, webhooks, the audit log, rate limits."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import threading

from cloud import *  # pylint: disable=unused-wildcard-import
from lib_events import Stream

cloud = Cloud().start()
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

done()
