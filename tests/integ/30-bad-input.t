#!/usr/bin/env python3
"""30-bad-input.t - whatever comes in wrong gets a clear error, leaves nothing
half-made, and the daemon lives. After each case the controller answers and
its tables have as many rows as before."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import threading
import time

if os.geteuid() == 0 and "VIRGA_TEST_NAMESPACE" not in os.environ and \
        os.system("unshare -m --propagation private true 2>/dev/null") == 0:
    # Small file systems are mounted where nobody else sees them.
    os.environ["VIRGA_TEST_NAMESPACE"] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private",
                          sys.executable] + sys.argv)

import lib_bad
from cloud import *  # pylint: disable=unused-wildcard-import

PRIVATE = "VIRGA_TEST_NAMESPACE" in os.environ
IDLE = 2

cloud = Cloud(options=["--idle-timeout", "%ds" % IDLE, "--node-lapse", "5s"])
cloud.start()


def unchanged(what, fn, *args):
    """The case holds, and nothing came of it."""
    def both():
        rows, files = cloud.rows(), cloud.files()
        fn(*args)
        cloud.healthy()
        expect(cloud.rows(), rows, "rows")
        expect(cloud.files(), files, "files of images")
    return case(what, both)


def is_problem(r, status, code, pointer=None):
    expect(r.status, status, "status (%r)" % r)
    p = r.json
    expect(r.headers.get("Content-Type"), "application/problem+json", "type")
    expect(p["code"], code, "code (%r)" % r)
    expect(p["status"], status, "status in the body")
    if not p["detail"] or not p["request_id"]:
        raise AssertionError("detail or request_id is missing: %r" % r)
    expect(r.headers.get("X-Request-Id"), p["request_id"], "X-Request-Id")
    if pointer is not None and pointer not in [
            e["pointer"] for e in p.get("errors", [])]:
        raise AssertionError("no error for %s: %r" % (pointer, r))


def refused(what, status, code, method, path, body=None, pointer=None, **kw):
    unchanged(what, lambda: is_problem(
        cloud.call(method, path, body, **kw), status, code, pointer))


# ---- what the cases work with ----

cloud.flavor("small")
cloud.flavor("huge", vcpus=64, memory_bytes=4 << 40)
image = cloud.image("tiny", {"kernel": tiny_kernel()}, "console=ttyS0")
node = cloud.agent("n1")
cloud.act("POST", "/v1/instances",
          {"name": "one", "image": "tiny", "flavor": "small"})
project = cloud.must(201, "POST", "/v1/projects", {"name": "acme"})["id"]
GOOD = {"name": "two", "image": "tiny", "flavor": "small"}

# Two things that need time to expire; looked at near the end.
short_join = cloud.must(201, "POST", "/v1/join-tokens", {"ttl_s": 10})
short_join_until = time.monotonic() + 10

# ---- bodies ----


def without(key):
    return {k: v for k, v in GOOD.items() if k != key}


def with_(**kw):
    return dict(GOOD, **kw)


for what, code, body, pointer in [
        ("unknown field", "invalid", with_(colour="red"), "/colour"),
        ("unknown field with / and ~ in its name", "invalid",
         dict(GOOD, **{"a/b~c": 1}), "/a~1b~0c"),
        ("read-only field", "invalid", with_(state="running"), "/state"),
        ("read-only id", "invalid",
         with_(id="0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"), "/id"),
        ("no name", "invalid", without("name"), "/name"),
        ("name null", "invalid", with_(name=None), "/name"),
        ("name a number", "invalid", with_(name=7), "/name"),
        ("name a list", "invalid", with_(name=["x"]), "/name"),
        ("name empty", "invalid", with_(name=""), "/name"),
        ("name with capitals", "invalid", with_(name="Web"), "/name"),
        ("name with a path", "invalid", with_(name="../etc"), "/name"),
        ("name too long", "invalid", with_(name="a" * 64), "/name"),
        ("name like an id", "invalid",
         with_(name="0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"), "/name"),
        ("name with a NUL", "bad_json", b'{"name":"a\\u0000b"}', None),
        ("image that is not there", "invalid", with_(image="none"), "/image"),
        ("flavor that is not there", "invalid", with_(flavor="none"),
         "/flavor"),
        ("flavor an object", "invalid", with_(flavor={}), "/flavor"),
        ("a list", "invalid", [], ""),
        ("a string", "bad_json", b'"x"', None),
        ("nothing", "invalid", b"", "/name"),
        ("half of it", "bad_json", json.dumps(GOOD).encode()[:-4], None),
        ("something behind it", "bad_json", json.dumps(GOOD).encode() + b"x",
         None),
        ("a key twice", "bad_json",
         b'{"name":"two","name":"three","image":"tiny","flavor":"small"}',
         None),
        ("invalid UTF-8", "bad_json", b'{"name":"tw\xff\xfe"}', None),
        ("a lone surrogate", "bad_json", b'{"name":"\\ud800"}', None),
        ("100,000 brackets", "bad_json", b"[" * 100000, None),
        ("nested objects", "bad_json",
         b'{"name":' * 5000 + b"1" + b"}" * 5000, None)]:
    unchanged(
        "body: " + what + ": 400", lambda: (
            lambda r: (
                expect(r.status, 400, repr(r)),
                code == "bad_json" and expect(r.code, code),
                pointer is not None and is_problem(r, 400, r.code, pointer))
        )(cloud.call("POST", "/v1/instances", body,
                     headers={"Content-Type": "application/json"})))

SIZE = {"name": "f", "vcpus": 1, "memory_bytes": 64 * MIB}
for what, pointer, change in [
        ("0 vcpus", "/vcpus", {"vcpus": 0}),
        ("65 vcpus", "/vcpus", {"vcpus": 65}),
        ("-1 vcpus", "/vcpus", {"vcpus": -1}),
        ("1.5 vcpus", "/vcpus", {"vcpus": 1.5}),
        ("\"1\" vcpus", "/vcpus", {"vcpus": "1"}),
        ("true vcpus", "/vcpus", {"vcpus": True}),
        ("a byte of memory", "/memory_bytes", {"memory_bytes": 1}),
        ("odd memory", "/memory_bytes", {"memory_bytes": 64 * MIB + 1}),
        ("2^63-1 of memory", "/memory_bytes", {"memory_bytes": 2**63 - 1}),
        ("odd disk", "/disk_bytes", {"disk_bytes": 513}),
        ("negative disk", "/disk_bytes", {"disk_bytes": -512})]:
    refused("flavor: " + what + ": 400", 400, "invalid", "POST",
            "/v1/flavors", dict(SIZE, **change), pointer)
unchanged("flavor: 2^63 of memory: 400", lambda: expect(
    cloud.call("POST", "/v1/flavors",
               dict(SIZE, memory_bytes=2**63)).status, 400))
unchanged("flavor: 1e400 vcpus: 400", lambda: expect(
    cloud.call("POST", "/v1/flavors", b'{"name":"f","vcpus":1e400}', headers={
        "Content-Type": "application/json"}).status, 400))

for what, pointer, body in [
        ("no parts", "/parts", {"name": "i", "parts": []}),
        ("an initrd alone", "/parts",
         {"name": "i", "parts": [{"name": "initrd"}]}),
        ("a part twice", "/parts/1/name",
         {"name": "i", "parts": [{"name": "disk"}, {"name": "disk"}]}),
        ("an unknown part", "/parts/0/name",
         {"name": "i", "parts": [{"name": "../x"}]}),
        ("a format for a kernel", "/parts/0/format",
         {"name": "i", "parts": [{"name": "kernel", "format": "qcow2"}]}),
        ("a command line without a kernel", "/cmdline",
         {"name": "i", "cmdline": "quiet", "parts": [{"name": "disk"}]}),
        ("a control character in the command line", "/cmdline",
         {"name": "i", "cmdline": "a\nb", "parts": [{"name": "kernel"}]}),
        ("four parts", "/parts",
         {"name": "i", "parts": [{"name": "kernel"}] * 4}),
        ("a size that the server sets", "/parts/0/size_bytes",
         {"name": "i", "parts": [{"name": "kernel", "size_bytes": 5}]})]:
    refused("image: " + what + ": 400", 400, "invalid", "POST", "/v1/images",
            body, pointer)

JSON = {"Content-Type": "application/json"}
refused("a form instead of JSON: 415", 415, "media_type", "POST",
        "/v1/flavors", b"name=f", headers={
            "Content-Type": "application/x-www-form-urlencoded"})
refused("body of 2 MiB: 413", 413, "body_too_large", "POST", "/v1/instances",
        b'{"name":"' + b"a" * (2 * MIB) + b'"}', headers=JSON)


def head(method, path, *lines, token=None):
    return ("\r\n".join(
        ["%s %s HTTP/1.1" % (method, path), "Host: x", "Authorization: Bearer "
         + (token or cloud.token)] + list(lines)) + "\r\n\r\n").encode()


def chunks(total, size=65536):
    out = b""
    while total > 0:
        n = min(size, total)
        out += b"%x\r\n" % n + b"a" * n + b"\r\n"
        total -= n
    return out + b"0\r\n\r\n"


def status_of(data):
    m = re.match(rb"HTTP/1\.1 (?:100 [^\r]*\r\n\r\nHTTP/1\.1 )?(\d+)", data)
    return int(m.group(1)) if m else None


def one_of(got, *want):
    if got not in want:
        raise AssertionError("got %r, want one of %r" % (got, want))


unchanged("body of 20 MiB: 413, before it is sent", lambda: expect(
    status_of(cloud.raw(head("POST", "/v1/instances",
                             "Content-Type: application/json",
                             "Content-Length: %d" % (20 * MIB)))), 413))
unchanged("chunks of 2 MiB: 413", lambda: expect(status_of(cloud.raw(
    head("POST", "/v1/instances", "Content-Type: application/json",
         "Transfer-Encoding: chunked") + chunks(2 * MIB), IDLE + 2)), 413))
unchanged("chunks of 20 MiB: cut off", lambda: one_of(status_of(cloud.raw(
    head("POST", "/v1/instances", "Content-Type: application/json",
         "Transfer-Encoding: chunked") + chunks(20 * MIB), IDLE + 2)),
    413, None))
for what, lines, want in [
        ("a negative length", ["Content-Length: -5"], (400, None)),
        ("a length that is none", ["Content-Length: x"], (400, None)),
        ("a length beyond 64 bits", ["Content-Length: 99999999999999999999"],
         (400, 413, None)),
        ("a bad chunk", ["Transfer-Encoding: chunked"], (400, None))]:
    unchanged("framing: " + what + ": refused or cut off",
              lambda: one_of(status_of(cloud.raw(head(
                  "POST", "/v1/flavors", "Content-Type: application/json",
                  *lines) + b"zz\r\n", IDLE + 2)), *want))

# ---- paths, methods, queries ----

# %00 would end the path early if it were let through.
for path in ["/v1", "/v1/", "//v1/flavors", "/v1/../healthz", "/v1/nothing",
             "/v1/flavors/small/", "/v1/flavors/small%2f", "/%2e%2e/etc/passwd",
             "/v1/instances/..%2f..%2fflavors", "/v1/flavors%00",
             "/v1/flavors/small%00x", "/v1/flavors/small%00", "/healthz%00/x",
             "/v1/flavors/%", "/v1/flavors/%zz", "/v1/flavors/%ff%fe",
             "/v1/flavors/" + "a" * 300, "/dashboard/../../etc/passwd",
             "/dashboard/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/dashboard/..",
             "/dashboard/.", "/dashboard/%2e%2e", "/v1/flavors/' OR 1=1 --",
             "/v1/flavors/*"]:
    unchanged("path %.40s: refused" % path, lambda: one_of(status_of(cloud.raw(
        head("GET", path.replace(" ", "%20"), "Connection: close"))),
        400, 404))
unchanged("path of 20,000 bytes: refused or cut off", lambda: one_of(
    status_of(cloud.raw(head("GET", "/v1/flavors/" + "a" * 20000,
                             "Connection: close"), IDLE + 2)),
    400, 404, 413, 414, 431, 500, None))
unchanged("a header of 64 KiB: refused or cut off", lambda: one_of(
    status_of(cloud.raw(head("GET", "/v1/flavors", "X-Big: " + "a" * 65536,
                             "Connection: close"), IDLE + 2)),
    400, 413, 431, 500, None))
# Whatever the size, there is room for a reply.
for size in range(7600, 12000, 100):
    reply = cloud.raw(head("GET", "/v1/flavors", "X-Big: " + "a" * size,
                           "Connection: close"), IDLE + 2)
    if status_of(reply) not in (200, 431):
        break
unchanged("headers of 7,600 to 12,000 bytes: each is answered", lambda: one_of(
    "%s at %d" % (status_of(reply), size), "431 at 11900"))
unchanged("5,000 headers: refused or cut off", lambda: one_of(
    status_of(cloud.raw(head("GET", "/v1/flavors", *["X-%d: y" % n for n in
                                                     range(5000)]), IDLE + 2)),
    400, 413, 431, 500, None))

paths = cloud.must(200, "GET", "/v1/openapi.json")["paths"]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


def methods():
    for path, ops in paths.items():
        have = {m.upper() for m in ops}
        at = re.sub(r"\{[^}]*\}", "x", path)
        for m in METHODS:
            if m in have:
                continue
            r = cloud.call(m, at)
            is_problem(r, 405, "method_not_allowed")
            expect(set(r.headers["Allow"].split(", ")), have, at)


unchanged("each path with each method that it does not take: 405 and Allow",
          methods)
unchanged("a method of no sense: refused or cut off", lambda: one_of(
    status_of(cloud.raw(head("BREW" * 8, "/v1/flavors", "Connection: close"))),
    400, 405, 501, None))

LISTS = [p for p, o in paths.items() if "get" in o and "page_token" in
         [q["name"] for q in o["get"]["parameters"]]]
ok("lists are found", len(LISTS) >= 8, LISTS)
PASSWORD = lib_bad.PASSWORD
NOWHERE = lib_bad.NOWHERE
cloud.must(201, "POST", "/v1/users", {"name": "ada", "password": PASSWORD,
                                      "operator": True})
session = cloud.must(201, "POST", "/v1/login", {
    "user": "ada", "password": PASSWORD}, token=None)["token"]
hook = cloud.must(201, "POST", "/v1/webhooks", {
    "name": "hook", "url": "https://hooks.example.com/",
    "disabled": True})["id"]
# What paths of lists name.
NAMED = {"{project}": "acme", "{webhook}": hook}


def bad_queries():
    for path in LISTS:
        for name, value in NAMED.items():
            path = path.replace(name, value)
        for query, pointer in [("colour=red", "?colour"), ("limit=0", "?limit"),
                               ("limit=1001", "?limit"), ("limit=x", "?limit"),
                               ("limit=", "?limit"), ("limit=-1", "?limit"),
                               ("limit=1e3", "?limit"),
                               ("limit=99999999999999999999", "?limit"),
                               ("page_token=x", "?page_token"),
                               ("page_token=" + "z" * 36, "?page_token"),
                               ("page_token='%20OR%201=1", "?page_token")]:
            is_problem(cloud.call("GET", path + "?" + query, token=session),
                       400, "invalid", pointer)


unchanged("each list: unknown parameter, bad limit, bad page_token: 400",
          bad_queries)
for query, pointer in [("from=yesterday", "?from"), ("to=2026-13-01T00:00:00Z",
                                                     "?to"),
                       ("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z",
                        "?to")]:
    refused("usage: %s: 400" % query, 400, "invalid", "GET",
            "/v1/usage?" + query, pointer=pointer)
for wait in "61s", "-1s", "x", "1000000000h":
    refused("operation: wait=%s: 400" % wait, 400, "invalid", "GET",
            "/v1/operations/0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77?wait=" + wait,
            pointer="?wait")
for query in "offset=-1", "limit=0", "limit=1048577", "offset=x":
    refused("console-log: %s: 400" % query, 400, "invalid", "GET",
            "/v1/instances/one/console-log?" + query)
refused("console without WebSocket: 400", 400, "websocket_required", "GET",
        "/v1/instances/one/console")

# ---- conflicts and room ----

refused("a name taken: 409", 409, "name_taken", "POST", "/v1/instances",
        with_(name="one"), "/name")
refused("a flavor's name taken: 409", 409, "name_taken", "POST",
        "/v1/flavors", dict(SIZE, name="small"), "/name")
refused("an image's name taken: 409", 409, "name_taken", "POST", "/v1/images",
        {"name": "tiny", "parts": [{"name": "disk"}]}, "/name")
refused("a project's name taken: 409", 409, "name_taken", "POST",
        "/v1/projects", {"name": "acme"}, "/name")
refused("no room on any node: 507", 507, "no_capacity", "POST",
        "/v1/instances", with_(flavor="huge"))
unchanged("no room: the reasons are told", lambda: (
    lambda d: expect(bool(re.search("memory", d)), True, d))(
        cloud.call("POST", "/v1/instances",
                   with_(flavor="huge")).json["detail"]))
refused("starting what runs: 409", 409, "wrong_state", "POST",
        "/v1/instances/one/start")
refused("deleting an image in use: 409", 409, "image_in_use", "DELETE",
        "/v1/images/tiny")
refused("deleting a node in use: 409", 409, "node_in_use", "DELETE",
        "/v1/nodes/n1")


def idempotency():
    key = {"Idempotency-Key": "k-1"}
    body = with_(name="idem")
    before = cloud.rows()
    a = cloud.call("POST", "/v1/instances", body, headers=key)
    expect(a.status, 201, repr(a))
    cloud.operation(a.json["operation_id"])
    one = cloud.rows()
    expect(one["instances"], before["instances"] + 1, "instances")
    b = cloud.call("POST", "/v1/instances", body, headers=key)
    expect((b.status, b.body, b.headers["Location"]),
           (a.status, a.body, a.headers["Location"]), "replay")
    is_problem(cloud.call("POST", "/v1/instances", with_(name="other"),
                          headers=key), 422, "idempotency_key_reused")
    is_problem(cloud.call("POST", "/v1/flavors", dict(SIZE, name="other"),
                          headers=key), 422, "idempotency_key_reused")
    expect(cloud.rows(), one, "rows after the replay")
    cloud.act("DELETE", "/v1/instances/idem")
    # Another token's key is another key.
    other = cloud.must(201, "POST", "/v1/tokens",
                       {"name": "idem", "role": "operator"})["token"]
    r = cloud.call("POST", "/v1/flavors", dict(SIZE, name="by-key"),
                   token=other, headers=key)
    expect(r.status, 201, repr(r))

    # Many at once: one is made, all get the same.
    replies = []

    def post():
        replies.append(cloud.call(
            "POST", "/v1/flavors", dict(SIZE, name="at-once"),
            headers={"Idempotency-Key": "k-2"}))
    threads = [threading.Thread(target=post) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect({(r.status, r.body) for r in replies},
           {(201, replies[0].body)}, "replies")
    cloud.healthy()


case("Idempotency-Key: replay, 422, one instance, also all at once",
     idempotency)


def secrets_are_not_kept():
    for path, body in (("/v1/tokens", {"name": "once", "role": "reader"}),
                       ("/v1/join-tokens", {"ttl_s": 60})):
        key = {"Idempotency-Key": "k-secret" + path.replace("/", "-")}
        secret = cloud.must(201, "POST", path, body, headers=key)["token"]
        is_problem(cloud.call("POST", path, body, headers=key), 409,
                   "secret_not_repeated")
        for name in ("controller.db", "controller.db-wal"):
            with open(os.path.join(cloud.dir, name), "rb") as f:
                if secret.encode() in f.read():
                    raise AssertionError(name + " holds a secret in clear")


case("Idempotency-Key: the reply with a secret is not kept",
     secrets_are_not_kept)
refused("Idempotency-Key of 129 characters: 400", 400, "bad_idempotency_key",
        "POST", "/v1/flavors", SIZE, headers={"Idempotency-Key": "k" * 129})
unchanged("Idempotency-Key: a refused request is not remembered", lambda: (
    is_problem(cloud.call("POST", "/v1/instances", with_(name="one"),
                          headers={"Idempotency-Key": "k-3"}), 409,
               "name_taken")))

# ---- tokens ----

refused("no token: 401", 401, "token_required", "GET", "/v1/whoami",
        token=None)
for token in "x", "vt1." + "0" * 64, "vt1.", "a" * 4000, cloud.token + "0", \
        cloud.token[:-1], cloud.token.upper():
    refused("token %.12s…: 401" % token, 401, "bad_token", "GET", "/v1/whoami",
            token=token)
refused("Basic instead of Bearer: 401", 401, "token_required", "GET",
        "/v1/whoami", token=None, headers={"Authorization": "Basic eDp5"})
unchanged("401 says Bearer", lambda: expect(cloud.call(
    "GET", "/v1/whoami", token=None).headers["WWW-Authenticate"], "Bearer"))


def revoked():
    t = cloud.must(201, "POST", "/v1/tokens", {"name": "gone"})
    cloud.must(200, "GET", "/v1/whoami", token=t["token"])
    cloud.must(204, "DELETE", "/v1/tokens/" + t["id"])
    is_problem(cloud.call("GET", "/v1/whoami", token=t["token"]), 401,
               "bad_token")


def expired():
    when = time.time() + 1.2
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "brief", "expires_at": time.strftime(
            "%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + ".%03dZ" % (
                when % 1 * 1000)})
    cloud.must(200, "GET", "/v1/whoami", token=t["token"])
    r = wait_for(5, lambda: (lambda r: r if r.status != 200 else None)(
        cloud.call("GET", "/v1/whoami", token=t["token"])))
    is_problem(r, 401, "token_expired")
    if time.time() < when - 0.01:
        raise AssertionError("too early")


case("a revoked token: 401 at once", revoked)
case("an expired token: 401", expired)
refused("a token that is to expire in the past: 400", 400, "invalid", "POST",
        "/v1/tokens", {"name": "old", "expires_at": "2001-01-01T00:00:00Z"},
        "/expires_at")
refused("a role that is none: 400", 400, "invalid", "POST", "/v1/tokens",
        {"name": "t", "role": "none"}, "/role")
unchanged("no secret is in the database or the log", lambda: [
    expect(secret.encode() in open(f, "rb").read(), False, f)
    for secret in [cloud.token]
    for f in [cloud.dir + "/controller.db", cloud.dir + "/controller.db-wal",
              cloud.daemon.log_path]])

# ---- malformed requests, by the table ----


def furnish(name):
    """A project with one of everything."""
    project = cloud.call("POST", "/v1/projects", {"name": name})
    one_of(project.status, 201, 409)
    w = {"project": cloud.must(200, "GET", "/v1/projects/" + name)["id"]}
    made, secret = {}, {}
    for role in "reader", "member", "admin":
        made[role] = cloud.must(201, "POST", "/v1/tokens", {
            "name": role, "role": role, "project": name})
        secret[role] = made[role]["token"]
    w["token"] = made["reader"]["id"]
    user = {"acme": "carol-acme"}.get(name, name + "-admin")
    w["user"] = cloud.must(201, "POST", "/v1/users", {
        "name": user, "password": PASSWORD, "project": name,
        "role": "admin"})["id"]
    s = cloud.must(201, "POST", "/v1/login", {
        "user": user, "password": PASSWORD}, token=None)
    w["session"], secret["session"] = s["id"], s["token"]
    w["image"] = cloud.image(name + "-image", {"kernel": tiny_kernel()},
                             token=secret["admin"])
    w["keypair"] = cloud.must(201, "POST", "/v1/keypairs", {
        "name": name + "-key", "public_key": lib_bad.KEY},
        token=secret["admin"])["id"]
    w["webhook"] = cloud.must(201, "POST", "/v1/webhooks", {
        "name": name + "-hook", "url": "https://hooks.example.com/",
        "disabled": True}, token=secret["admin"])["id"]
    for i in name + "-2", name + "-one":
        made = cloud.act("POST", "/v1/instances", {
            "name": i, "image": name + "-image", "flavor": "small"},
            token=secret["admin"])
    w["instance"], w["operation"] = made["id"], made["operation_id"]
    return w, secret


theirs, their_secrets = furnish("acme")
world, secrets = furnish("bravo")
r = cloud.call("POST", "/v1/login", {"user": "bravo-admin", "cookie": True,
                                     "password": PASSWORD}, token=None)
world.update(acme=theirs, tokens=secrets, csrf=r.json["csrf_token"],
             cookie=re.search("=([^;]*)", r.headers["Set-Cookie"]).group(1))
HIDDEN = list(theirs.values()) + list(their_secrets.values()) + [
    "acme-one", "acme-2", "acme-image", "acme-key", "acme-hook", "carol-acme"]
line = KeepAlive(cloud)
by_node = KeepAlive(cloud, node.cert)
sent = set()


def text_of(row):
    return repr((row.call, row.body, row.headers))


def send(row):
    """The refusal of a malformed request is the right one, says nothing of
    the other tenant, and is text."""
    method, path = row.call.split(" ", 1)
    token = cloud.token if row.who == "operator" else secrets.get(row.who)
    r = (by_node if row.who == "node" else line).call(
        method, path, row.body, token, row.headers)
    sent.add((row.who, text_of(row)))
    is_problem(r, row.status, row.code or r.code, row.pointer)
    said = r.body.decode() + str(r.headers)  # strictly UTF-8
    if row.who != "operator":
        for hidden in HIDDEN:
            if hidden in said and hidden not in text_of(row):
                raise AssertionError("tells of another tenant: " + hidden)


def send_all(rows):
    """All of them; what is wrong with any."""
    wrong, before, n = [], cloud.rows(), 0
    for row in rows:
        n += 1
        try:
            send(row)
            now = cloud.rows()
            if now != before:
                changed = {k: (before[k], v) for k, v in now.items()
                           if before[k] != v}
                before = now
                raise AssertionError("rows: %r" % changed)
        except Exception as e:  # pylint: disable=broad-except
            wrong.append("%s: %s: %s" % (row.what, type(e).__name__, e))
    cloud.healthy()
    if wrong:
        raise AssertionError("%d of %d:\n%s" % (len(wrong), n,
                                                "\n".join(wrong)))


contents = cloud.contents()
for table in lib_bad.TABLES:
    case("malformed: " + table.__name__, send_all, table(world))
doc = cloud.must(200, "GET", "/v1/openapi.json")
case("malformed: each field of each body", send_all, lib_bad.of_fields(doc))


def hidden_things():
    """A malformed request for another's thing is answered as one for nothing.
    """
    ids = dict(theirs, letter=NOWHERE, part="kernel")
    for path, ops in doc["paths"].items():
        name = re.search(r"\{(\w+)\}", path)
        if not name or name.group(1) not in theirs or "/agent/" in path:
            continue
        for method, op in ops.items():
            for query, headers in ("", {"If-Match": "x"}), ("?limit=x", {}), \
                    ("?wait=x", {}), ("?colour=red", {}), (
                        "", {"Content-Type": "x/y"}):
                said = []
                for ref in theirs[name.group(1)], NOWHERE:
                    at = path.replace(name.group(0), ref)
                    at = re.sub(r"\{(\w+)\}", lambda m: ids[m.group(1)], at)
                    row = lib_bad.Row("", "admin", "%s %s%s" % (
                        method.upper(), at, query), b"{}" if "requestBody" in
                        op else None, headers=headers)
                    r = line.call(method.upper(), at + query, row.body,
                                  secrets["session" if name.group(1) ==
                                          "session" else "admin"], headers)
                    sent.add(("admin", text_of(row)))
                    said.append((r.status, re.sub(
                        r'"request_id":"[^"]*"', "",
                        r.body.decode()).replace(ref, "")))
                    if not 400 <= r.status < 500:
                        raise AssertionError("%s: %r" % (row.call, r))
                expect(said[0], said[1], "%s %s%s" % (method, path, query))


unchanged("malformed: another's thing is answered as nothing", hidden_things)


def bad_heads():
    wrong = []
    for what, data in lib_bad.heads(cloud.token):
        got = cloud.raw(data, 1.5)
        sent.add(("operator", data))
        said = re.findall(rb"HTTP/1\.\d (\d+)", got)
        # 505: HTTP/2 is not spoken here (RFC 9110 section 15.6.6).
        if [s for s in said if s[:1] != b"4" and s != b"505"]:
            wrong.append("%s: %r" % (what, got[:300]))
    cloud.healthy()
    expect(wrong, [], "served")


unchanged("malformed: heads and framing", bad_heads)


def odd_request_ids():
    for text in "a b", "x" * 65, "<script>", "\u00fc".encode(), "a;b", "%0d":
        r = line.call("GET", "/v1/nothing", None, cloud.token,
                      {"X-Request-Id": text})
        is_problem(r, 404, "not_found")
        expect(re.fullmatch("[0-9a-f-]{36}", r.headers["X-Request-Id"]) is
               not None, True, r.headers["X-Request-Id"])


unchanged("an odd X-Request-Id: one of the server's own", odd_request_ids)
now = cloud.contents()
same("malformed: every row is as it was",
     [n for n, rows in contents.items() if now[n] != rows], [])
print("# %d malformed requests, all different" % len(sent))
ok("at least 300 malformed requests", len(sent) >= 300, len(sent))
for t in line, by_node:
    t.close()

# ---- connections ----


def serves():
    t0 = time.monotonic()
    cloud.must(200, "GET", "/v1/whoami")
    if time.monotonic() - t0 > 1.5:
        raise AssertionError("served after %.1f s only" % (
            time.monotonic() - t0))


def closed_within(socks, seconds):
    """All of them are closed by the other side."""
    end = time.monotonic() + seconds
    left = list(socks)
    while left and time.monotonic() < end:
        s = left[0]
        s.settimeout(max(0.05, end - time.monotonic()))
        try:
            while s.recv(4096):
                pass
        except (TimeoutError, socket.timeout):
            break
        except OSError:
            pass
        left.pop(0)
    for s in socks:
        s.close()
    if left:
        raise AssertionError("%d of %d are still open after %d s" % (
            len(left), len(socks), seconds))


def silent(text, n):
    socks = [cloud.connect() for _ in range(n)]
    for s in socks:
        s.sendall(text)
    serves()
    closed_within(socks, 3 * IDLE + 2)
    serves()


half_head = head("POST", "/v1/instances", "Content-Length: 100")
unchanged("60 × half a header, then silence: closed, others are served",
          silent, half_head[:40], 60)
unchanged("60 × half a body, then silence: closed, others are served", silent,
          half_head + b'{"name":', 60)
unchanged("60 × half an upload, then silence: closed, others are served",
          lambda: silent(head("POST", "/v1/flavors", "Content-Length: 900",
                              "Expect: 100-continue"), 60))


def silent_tcp():
    socks = [socket.create_connection((cloud.host, cloud.port))
             for _ in range(100)]
    serves()
    closed_within(socks, 3 * IDLE + 2)


unchanged("100 × no TLS greeting at all: closed, others are served",
          silent_tcp)


def trickle(first, total_seconds):
    """A byte at a time, always before the idle timeout."""
    socks = [cloud.connect() for _ in range(20)]
    for s in socks:
        s.sendall(first)
    end = time.monotonic() + total_seconds
    alive = list(socks)
    while alive and time.monotonic() < end:
        for s in list(alive):
            try:
                s.sendall(b"x")
                s.settimeout(0.001)
                if not s.recv(4096):
                    alive.remove(s)
            except (TimeoutError, socket.timeout, ssl.SSLWantReadError):
                pass
            except OSError:
                alive.remove(s)
        serves()
        time.sleep(0.4)
    for s in socks:
        s.close()
    if alive:
        raise AssertionError("%d of %d trickle on after %d s" % (
            len(alive), len(socks), total_seconds))


unchanged("20 × a header that trickles: cut off, others are served", trickle,
          half_head[:40], 4 * IDLE + 2)
unchanged("20 × a body that trickles: cut off, others are served", trickle,
          half_head, 4 * IDLE + 2)


def no_tls(data):
    with socket.create_connection((cloud.host, cloud.port), 10) as s:
        s.sendall(data)
        got = b""
        try:
            while True:
                part = s.recv(4096)
                if not part:
                    break
                got += part
        except ConnectionError:
            pass
        if b"HTTP/1.1 200" in got:
            raise AssertionError("served without TLS: %r" % got)


unchanged("plain HTTP: closed", no_tls, head("GET", "/healthz"))
unchanged("garbage instead of TLS: closed", no_tls, os.urandom(4096))
unchanged("a TLS record that is too long: closed", no_tls,
          b"\x16\x03\x01\xff\xff" + b"\x01" * 70000)


def old_tls():
    ctx = cloud.context()
    try:
        ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion.TLSv1_1
        ctx.set_ciphers("ALL:@SECLEVEL=0")
    except (ValueError, ssl.SSLError):
        return  # this OpenSSL cannot even ask
    try:
        with socket.create_connection((cloud.host, cloud.port), 10) as s:
            with ctx.wrap_socket(s, server_hostname=cloud.host):
                raise AssertionError("TLS 1.1 is accepted")
    except OSError:
        pass


unchanged("TLS 1.1: refused", old_tls)

# ---- uploads ----

waiting = cloud.must(201, "POST", "/v1/images", {
    "name": "waiting", "parts": [{"name": "kernel"}, {"name": "initrd"},
                                 {"name": "disk", "format": "qcow2"}]})["id"]


def put(part):
    return "/v1/images/waiting/parts/" + part


def qcow2(version=3, backing=0, crypt=0, incompatible=0, size=64 * MIB,
          cluster_bits=16):
    return (b"QFI\xfb" + version.to_bytes(4, "big") +
            backing.to_bytes(8, "big") + (9 if backing else 0).to_bytes(
                4, "big") + cluster_bits.to_bytes(4, "big") +
            size.to_bytes(8, "big") + crypt.to_bytes(4, "big") +
            bytes(36) + incompatible.to_bytes(8, "big") +
            bytes(8 + 8 + 4) + (104).to_bytes(4, "big") + bytes(4096))


for what, part, data, words in [
        ("garbage as kernel", "kernel", os.urandom(8192), "kernel"),
        ("nothing as kernel", "kernel", b"", "empty"),
        ("garbage as qcow2", "disk", os.urandom(8192), "qcow2"),
        ("a qcow2 with a backing file", "disk", qcow2(backing=112),
         "backing file"),
        ("a qcow2 with an external data file", "disk", qcow2(incompatible=4),
         "another file"),
        ("an encrypted qcow2", "disk", qcow2(crypt=1), "encrypted"),
        ("a qcow2 of 2^60 bytes", "disk", qcow2(size=1 << 60), "size"),
        ("a qcow2 of a version to come", "disk", qcow2(version=4), "version"),
        ("a qcow2 with unknown features", "disk", qcow2(incompatible=1 << 40),
         "not known"),
        ("a qcow2 with clusters of 2^62", "disk", qcow2(cluster_bits=62),
         "cluster")]:
    unchanged("upload: " + what + ": 400 and why", lambda: (
        lambda r: (is_problem(r, 400, "bad_image_part"),
                   expect(words in r.json["detail"], True, repr(r))))(
            cloud.call("PUT", put(part), data)))
refused("upload: a part that the image does not have: 404", 404, "not_found",
        "PUT", "/v1/images/tiny/parts/disk", b"x")
refused("upload: a part that there is not: 404", 404, "not_found", "PUT",
        "/v1/images/tiny/parts/passwd", b"x")
refused("upload: once more: 409", 409, "part_exists", "PUT",
        "/v1/images/tiny/parts/kernel", tiny_kernel())
refused("instance of an image that waits for parts: 409", 409,
        "image_pending", "POST", "/v1/instances", with_(image="waiting"))


def cut():
    with cloud.connect() as s:
        s.sendall(head("PUT", put("initrd"), "Content-Length: %d" % MIB) +
                  b"x" * (MIB // 2))
    files = cloud.files()
    wait_for(5, lambda: not [f for f in cloud.files() if ".tmp" in f])
    expect([f for f in cloud.files() if ".tmp" in f], [], "files")
    if [f for f in files if f.endswith("initrd")]:
        raise AssertionError("half a part is there")
    i = cloud.must(200, "GET", "/v1/images/waiting")
    expect([p["size_bytes"] for p in i["parts"] if p["name"] == "initrd"],
           [0], "size of the part")


unchanged("upload cut in the middle: nothing is left of it", cut)
unchanged("upload that stalls: nothing is left of it", lambda: (
    silent(head("PUT", put("initrd"), "Content-Length: %d" % MIB) +
           b"x" * 5000, 1),
    wait_for(5, lambda: not [f for f in cloud.files() if ".tmp" in f])))


def upload_again():
    for part, data in ("initrd", b"y" * 5000), ("kernel", tiny_kernel()), \
            ("disk", qcow2()):
        cloud.must(200, "PUT", put(part), data)
    expect(cloud.must(200, "GET", "/v1/images/waiting")["state"], "active")
    cloud.healthy()


case("upload again: the image becomes active", upload_again)

# ---- agents' routes ----

AGENT = sorted((m.upper(), p) for p, o in paths.items() for m in o
               if o[m]["security"] == [{"node": []}])
ok("agents' routes are found", len(AGENT) >= 6, AGENT)
X = "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"


def all_agent_routes(code, cert, token):
    for method, path in AGENT:
        at = path.replace("{image}", image).replace("{part}", "kernel")
        at = re.sub(r"\{[^}]*\}", X, at)
        body = {} if method == "POST" else None
        try:
            r = cloud.call(method, at, body, cert=cert, token=token)
        except (ssl.SSLError, ConnectionError) as e:
            if code == "tls":
                continue  # refused even earlier
            raise AssertionError("%s %s" % (method, at)) from e
        if code == "tls":
            expect(r.status, 403, repr(r))
        else:
            is_problem(r, 403, code)


unchanged("agents' routes without a certificate: 403", all_agent_routes,
          "certificate_required", None, None)
unchanged("agents' routes with the operator's token: 403", all_agent_routes,
          "certificate_required", None, True)

other = Cloud("other").start()
with open(node.dir + "/identity/node.csr") as f:
    node_csr = f.read()


def join(where, csr, token=None, name="ghost"):
    if token is None:
        token = where.must(201, "POST", "/v1/join-tokens", {})["token"]
    return where.call("POST", "/v1/join",
                      {"token": token, "name": name, "csr": csr}, token=None)


def keep(name, text):
    path = os.path.join(T, name)
    with open(path, "w") as out:
        out.write(text)
    return path


foreign = (keep("foreign.crt", join(other, node_csr).json["certificate"]),
           node.cert[1])
unchanged("agents' routes with another CA's certificate: 403 or no TLS",
          all_agent_routes, "tls", foreign, None)
status, out = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                   "/CN=" + X, "-keyout", T + "/self.key", "-out",
                   T + "/self.crt"])
expect(status, 0, out)
unchanged("agents' routes with a certificate of one's own: 403 or no TLS",
          all_agent_routes, "tls", (T + "/self.crt", T + "/self.key"), None)

unchanged("a stranger's certificate request is not looked at: 403", lambda: (
    is_problem(join(cloud, "nonsense", "vj1.%s.0.0" % X), 403,
               "bad_join_token"),
    is_problem(join(cloud, "nonsense", "nonsense"), 403, "bad_join_token")))
is_problem(join(cloud, "nonsense"), 400, "invalid", "/csr")
joined = join(cloud, node_csr).json
ghost = (keep("ghost.crt", joined["certificate"]), node.cert[1])
expect(cloud.call("POST", "/v1/agent/report", {"observations": []},
                  cert=ghost, token=None).status, 200, "ghost lives")
unchanged("a node asks for an image of another's instance: 404", lambda: (
    is_problem(cloud.call("GET", "/v1/agent/images/%s/parts/kernel" % image,
                          cert=ghost, token=None), 404, "not_found"),
    cloud.must(200, "GET", "/v1/agent/images/%s/parts/kernel" % image,
               cert=node.cert, token=None)))
one = cloud.must(200, "GET", "/v1/instances/one")


def lies():
    """A node tells of another node's instance, and beyond all bounds."""
    for o in [{"seq": 1, "instance_id": one["id"], "run": 1,
               "state": "deleted", "age_us": 0},
              {"seq": 2, "instance_id": X, "run": 1, "state": "running",
               "age_us": 0},
              {"seq": 3, "instance_id": one["id"], "run": 9,
               "state": "running", "age_us": 2**62}]:
        expect(cloud.call("POST", "/v1/agent/report", {"observations": [o]},
                          cert=ghost, token=None).status, 200)
    expect(cloud.must(200, "GET", "/v1/instances/one"), one, "the instance")


def bad_reports():
    for o, pointer in [
            ({"seq": 0}, "/observations/0/seq"),
            ({"seq": 2**63 - 1, "age_us": -1}, "/observations/0/age_us"),
            ({"run": -1}, "/observations/0/run"),
            ({"state": "dancing"}, "/observations/0/state"),
            ({"instance_id": "x"}, "/observations/0/instance_id")]:
        body = {"observations": [dict(
            {"seq": 9, "instance_id": one["id"], "run": 1, "age_us": 0,
             "state": "running"}, **o)]}
        is_problem(cloud.call("POST", "/v1/agent/report", body,
                              cert=ghost, token=None), 400, "invalid", pointer)
    is_problem(cloud.call("POST", "/v1/agent/report", {"host": {
        "driver": "x", "vcpus": 2**40, "memory_bytes": 1, "disk_bytes": -1}},
        cert=ghost, token=None), 400, "invalid", "/host/vcpus")


unchanged("a node lies about another's instance: nothing changes", lies)
unchanged("a node's report out of range: 400", bad_reports)
unchanged("a node answers a request that is not its own: 404", lambda: (
    is_problem(cloud.call("POST", "/v1/agent/requests/" + X, b"log",
                          cert=ghost, token=None), 404, "not_found")))
cloud.must(204, "DELETE", "/v1/nodes/ghost")
unchanged("agents' routes with a deleted node's certificate: 403",
          all_agent_routes, "unknown_node", ghost, None)

# ---- join tokens ----

status, out = run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                   "-keyout", T + "/k2.key", "-out", T + "/k2.csr"])
expect(status, 0, out)
with open(T + "/k2.csr") as f:
    csr2 = f.read()
used = cloud.must(201, "POST", "/v1/join-tokens", {})["token"]
first = join(cloud, node_csr, used, "twice").json
unchanged("join token, used before, with another key: 403", lambda: is_problem(
    join(cloud, csr2, used, "thief"), 403, "bad_join_token"))
unchanged("join token, used before, with the same key: the same node",
          lambda: expect(join(cloud, node_csr, used, "twice").json["node_id"],
                         first["node_id"]))
fresh = cloud.must(201, "POST", "/v1/join-tokens", {})["token"]
bits = fresh.split(".")
foreign_token = other.must(201, "POST", "/v1/join-tokens", {})["token"]
for what, token in [
        ("garbage", "x"), ("empty", ""), ("an API token", cloud.token),
        ("without a secret", ".".join(bits[:2])),
        ("with another secret", ".".join([bits[0], bits[1], "0" * 48,
                                          bits[3]])),
        ("with another id", ".".join([bits[0], X] + bits[2:])),
        ("with half a secret", ".".join([bits[0], bits[1], bits[2][:20],
                                         bits[3]])),
        ("of another cloud", foreign_token)]:
    unchanged("join token: " + what + ": 403", lambda: is_problem(
        join(cloud, csr2, token, "thief"), 403, "bad_join_token"))
for what, csr in [
        ("garbage", "x"), ("empty", ""),
        ("a certificate", open(T + "/ghost.crt").read()),
        ("cut off", csr2[:len(csr2) // 2]),
        ("with a broken signature", csr2[:-60] + "AAAA" + csr2[-56:])]:
    unchanged("join: certificate request: " + what + ": 400", lambda: one_of(
        join(cloud, csr, fresh, "thief").status, 400))
unchanged("join: a node's name that is taken: 409", lambda: is_problem(
    join(cloud, csr2, fresh, "n1"), 409, "name_taken"))
unchanged("join: a name that is none: 400", lambda: is_problem(
    join(cloud, csr2, fresh, "../x"), 400, "invalid", "/name"))


def join_expired():
    wait_for(15, lambda: time.monotonic() > short_join_until + 0.2)
    is_problem(join(cloud, csr2, short_join["token"], "late"), 403,
               "bad_join_token")


unchanged("join token that has expired: 403", join_expired)


def agent_fails(status, *words, token=None, options=(), name="bad"):
    argv = [program("virga-agentd"), "--state-dir", os.path.join(T, name),
            "--controller", cloud.url, "--driver", "sim"] + list(options)
    if token:
        argv += ["--join-token-file", keep(name + ".token", token)]
    got, text = run(argv)
    expect(got, status, text)
    for w in words:
        expect(w in text, True, "%s in %s" % (w, text))


unchanged("agent with a join token of another cloud: exit 1", lambda:
          agent_fails(1, "cannot join", "CA", token=foreign_token))
unchanged("agent with a used join token: exit 1", lambda: agent_fails(
    1, "cannot join", "was used", token=used, name="bad2"))
unchanged("agent with a garbled join token: exit 1", lambda: agent_fails(
    1, "join-token-file", token="vj1.x", name="bad3"))
unchanged("agent without a join token: exit 1", lambda: agent_fails(
    1, "join-token-file", name="bad4"))

# ---- settings ----


def settings(prog, what, status, text, *words):
    """A settings file, or options, that are wrong."""
    def check():
        argv = [program(prog)]
        if isinstance(text, str):
            argv += ["--config", keep("bad.conf", text)]
        else:
            argv += text
        got, said = run(argv)
        expect(got, status, said)
        for w in words:
            expect(w in said, True, "%r in %r" % (w, said))
    unchanged("%s: %s: exit %d" % (prog, what, status), check)


CONTROLLERD, AGENTD = "virga-controllerd", "virga-agentd"
for prog, base in ((CONTROLLERD, ""),
                   (AGENTD, "controller = https://127.0.0.1:1\n")):
    settings(prog, "unknown key", 2,
             base + "# x\n\nstate-dir = /nonexistent/x\ncolour = red\n",
             "bad.conf:%d" % (4 + base.count("\n")), 'unknown key "colour"')
    settings(prog, "no value", 2, base + "state-dir\n",
             "bad.conf:%d" % (1 + base.count("\n")), "key = value")
    settings(prog, "bad log level", 2, base + "log-level = loud\n",
             "log-level")
    settings(prog, "unknown option", 2, ["--colour", "red"], "--colour")
    settings(prog, "an argument", 2, ["start"], "start")
    settings(prog, "an option without its value", 2, ["--state-dir"],
             "--state-dir")
    settings(prog, "settings file that is not there", 2,
             ["--config", T + "/none.conf"], "none.conf")
settings(CONTROLLERD, "number that is none", 2, "threads = many\n",
         "bad.conf:1", "threads", "many")
settings(CONTROLLERD, "number out of range", 2, "\nthreads = 65\n",
         "bad.conf:2", "threads", "range")
settings(CONTROLLERD, "duration without sense", 2, "idle-timeout = soon\n",
         "bad.conf:1", "idle-timeout")
settings(CONTROLLERD, "relative state-dir", 2, "state-dir = here\n",
         "state-dir", "absolute")
settings(CONTROLLERD, "placement that is none", 2, "placement = random\n",
         "placement")
settings(AGENTD, "size that is none", 2,
         "controller = https://x\nmemory = lots\n", "bad.conf:2", "memory")
settings(AGENTD, "driver that is none", 2,
         "controller = https://x\ndriver = xen\n", "driver")
settings(AGENTD, "controller by plain HTTP", 2, "controller = http://x\n",
         "controller", "https://")
settings(AGENTD, "no controller", 2, "driver = sim\n", "controller")
settings(AGENTD, "sim option that is none", 1, [
    "--controller", "https://127.0.0.1:1", "--driver", "sim", "--state-dir",
    T + "/opt", "--sim-options", "colour=red"], "colour")


def controller_fails(state_dir, *words, listen="127.0.0.1:0"):
    got, text = run([program(CONTROLLERD), "--state-dir", state_dir,
                     "--listen", listen])
    expect(got, 1, text)
    for w in words:
        expect(str(w) in text, True, "%s in %s" % (w, text))


unchanged("port in use: exit 1, the port is named", lambda: controller_fails(
    T + "/c2", cloud.port, "another process", "--listen",
    listen=cloud.listen))
case("listen without a port: exit 1 or 2", lambda: one_of(run(
    [program(CONTROLLERD), "--state-dir", T + "/c3", "--listen",
     "127.0.0.1"])[0], 1, 2))
case("listen on a name that is none: exit 1 or 2", lambda: one_of(run(
    [program(CONTROLLERD), "--state-dir", T + "/c3", "--listen",
     "no.such.host.invalid:1"])[0], 1, 2))
unchanged("state folder of a running controller: exit 1",
          lambda: controller_fails(cloud.dir, "another process"))
unchanged("state folder of a running agent: exit 1", lambda: agent_fails(
    1, "another process", name="n1"))
case("state folder below a file: exit 1", lambda: controller_fails(
    keep("file", "x") + "/c", T + "/file"))
case("agent: state folder below a file: exit 1", lambda: agent_fails(
    1, T + "/file", options=["--state-dir", T + "/file/a"]))

# ---- databases that are damaged ----


def copy_of(where, name):
    to = os.path.join(T, name)
    shutil.copytree(where, to, ignore=lambda d, names: [
        n for n in names if not (os.path.isfile(os.path.join(d, n)) or
                                 os.path.isdir(os.path.join(d, n)))])
    return to


def tree(where):
    out = {}
    for d, _, fs in os.walk(where):
        for name in fs:
            path = os.path.join(d, name)
            with open(path, "rb") as f:
                out[path] = f.read()
    return out


other.daemon.end()


def damaged(name, damage, *words):
    """Starting on it fails and leaves every byte of it."""
    where = copy_of(other.dir, name)
    damage(where + "/controller.db")
    before = {p: b for p, b in tree(where).items() if not p.endswith(
        ("-shm", "-wal", "/lock"))}
    controller_fails(where, "controller.db", *words)
    after = tree(where)
    for path, data in before.items():
        expect(path in after and after[path] == data, True,
               path + " is as it was")


def overwrite(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def newer(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9999")
    db.commit()
    db.close()


case("database of garbage: exit 1, not a byte is changed", damaged, "d1",
     lambda p: open(p, "wb").write(os.urandom(65536)))
case("database with a damaged head: exit 1, not a byte is changed", damaged,
     "d2", lambda p: overwrite(p, 0, b"\0" * 100))
case("database with a damaged schema: exit 1, not a byte is changed", damaged,
     "d3", lambda p: overwrite(p, 100, os.urandom(3000)))
case("database cut off: exit 1, not a byte is changed", damaged, "d4",
     lambda p: os.truncate(p, 5000))
case("database of a newer program: exit 1, not a byte is changed",
     damaged, "d5", newer, "newer")


def agent_damaged():
    c = Cloud("for-agents").start()
    a = c.agent("n2")
    a.end()
    path = a.dir + "/agent.db"
    for damage in (lambda: open(path, "wb").write(os.urandom(65536)),
                   lambda: os.truncate(path, 5000)):
        whole = open(path, "rb").read()
        damage()
        before = open(path, "rb").read()
        got, text = run([program(AGENTD), "--state-dir", a.dir,
                         "--controller", c.url, "--driver", "sim"])
        expect(got, 1, text)
        expect("agent.db" in text, True, text)
        expect(open(path, "rb").read(), before, "the database")
        open(path, "wb").write(whole)
    c.agent("n2").end()  # mended: it goes on
    c.daemon.end()


case("agent: damaged database: exit 1, not a byte is changed", agent_damaged)


def bad_ca():
    where = copy_of(other.dir, "d6")
    for name in os.listdir(where + "/pki"):
        if name.startswith("ca"):
            with open(where + "/pki/" + name, "w") as f:
                f.write("nonsense\n")
    got, text = run([program(CONTROLLERD), "--state-dir", where, "--listen",
                     "127.0.0.1:0"])
    expect(got, 1, text)
    expect(where + "/pki" in text, True, text)


case("a damaged CA: exit 1, the folder is named", bad_ca)

# ---- full disks ----


def mount(name, size):
    at = os.path.join(T, name)
    os.mkdir(at, 0o700)
    got, text = run(["mount", "-t", "tmpfs", "-o",
                     "mode=700,size=%d" % size, "none", at])
    expect(got, 0, text)
    return at


def fill(at):
    """Uses up what is left; returns what to remove again."""
    path = at + "/filler"
    with open(path, "wb", buffering=0) as f:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    f.write(b"\xff" * size)
            except OSError:
                pass
    return path


def full_controller():
    at = mount("full", 24 * MIB)
    c = Cloud("full", at, ["--idle-timeout", "5s"]).start()
    image_id = c.must(201, "POST", "/v1/images", {
        "name": "i", "parts": [{"name": "kernel"}, {"name": "initrd"}]})["id"]
    at_rest = c.files()
    # More than there is room for, by far more than what is drained.
    is_problem(c.call("PUT", "/v1/images/i/parts/initrd", b"z" * (48 * MIB)),
               507, "storage_full")
    wait_for(5, lambda: c.files() == at_rest)
    expect(c.files(), at_rest, "files")
    filler = fill(at)
    # What SQLite's log has room for already may still be written.
    made, refused_at = [], None
    for n in range(3000):
        r = c.call("POST", "/v1/flavors", dict(SIZE, name="f%d" % n))
        if r.status == 201:
            made.append(r.json["name"])
            continue
        is_problem(r, 507, "storage_full")
        refused_at = n
        break
    if refused_at is None:
        raise AssertionError("never full")
    is_problem(c.call("POST", "/v1/projects", {"name": "x"}), 507,
               "storage_full")
    r = c.call("PUT", "/v1/images/i/parts/kernel", tiny_kernel())
    is_problem(r, 507, "storage_full")
    expect(c.files(), at_rest, "files")
    expect(c.call("GET", "/healthz", token=None).status, 200, "healthz")
    expect(c.call("GET", "/readyz", token=None).status, 503, "readyz")
    listed = [f["name"] for f in c.must(
        200, "GET", "/v1/flavors?limit=1000")["items"]]
    expect(listed, made[:1000], "what was acknowledged")
    os.unlink(filler)
    c.healthy()
    c.flavor("after")
    c.must(200, "PUT", "/v1/images/i/parts/kernel", tiny_kernel())
    c.must(200, "GET", "/v1/images/" + image_id)
    # A start on a full disk.
    c.daemon.end()
    want = c.rows()
    filler = fill(at)
    p = Daemon("controller-full2", [
        program(CONTROLLERD), "--state-dir", at, "--listen", c.listen])
    wait_for(10, lambda: not p.alive() or "ready" in p.said())
    if p.alive():  # nothing had to be written
        p.end()
    else:
        expect(p.p.returncode, 1, p.said())
        expect("space" in p.said() or "full" in p.said(), True, p.said())
    os.unlink(filler)
    c.start()
    expect(c.rows(), want, "rows")
    c.daemon.end()


def full_agent():
    at = mount("full-agent", 8 * MIB)
    a = cloud.agent("n3", state_dir=at)
    cloud.must(200, "POST", "/v1/nodes/n1/cordon")
    filler = fill(at)
    posted = [cloud.must(201, "POST", "/v1/instances",
                         with_(name="full-%d" % n)) for n in range(4)]
    # It can write none of it down, so it must not act; it keeps trying.
    wait_for(3, lambda: "trying again" in a.said())
    expect(a.alive(), True, "the agent lives: " + a.said())
    os.unlink(filler)
    for p in posted:
        o = cloud.operation(p["operation_id"])
        # The ones that it had no room for may have failed, and say why.
        if o["state"] != "succeeded":
            expect(o["problem"]["code"], "no_space", repr(o))
            cloud.act("POST", "/v1/instances/%s/start" % p["name"])
    for p in posted:
        cloud.act("DELETE", "/v1/instances/" + p["name"])
    expect(a.alive(), True, "the agent lives")
    expect(a.end(), 0, "exit status")
    cloud.must(200, "POST", "/v1/nodes/n1/uncordon")
    cloud.must(204, "DELETE", "/v1/nodes/n3")


def read_only():
    at = mount("read-only", 8 * MIB)
    c = Cloud("read-only", at).start()
    c.daemon.end()
    expect(run(["mount", "-o", "remount,ro", at])[0], 0, "remount")
    before = tree(at)
    got, text = run([program(CONTROLLERD), "--state-dir", at, "--listen",
                     "127.0.0.1:0"])
    expect(got, 1, text)
    expect("ead-only" in text and at in text, True, text)
    expect(tree(at), before, "files")
    got, text = run([program(AGENTD), "--state-dir", at + "/a",
                     "--controller", cloud.url, "--driver", "sim"])
    expect(got, 1, text)
    expect("ead-only" in text and at in text, True, text)


SMALL_DISKS = [
    ("disk full: 507, nothing is half-made, goes on with room",
     full_controller),
    ("agent's disk full: it lives, and goes on with room", full_agent),
    ("state folder that cannot be written: exit 1, and which", read_only)]
for what, fn in SMALL_DISKS:
    if PRIVATE:
        case(what, fn)
    else:
        skip(what, "needs root and mount namespaces")

# ---- images on a node (QEMU) ----

HAVE_QEMU = os.geteuid() == 0 and shutil.which("qemu-system-x86_64") and \
    shutil.which("qemu-img")


def error_of(name, body=None):
    """Creates it; its fault."""
    r = cloud.must(201, "POST", "/v1/instances",
                   body or with_(name=name, image=name))
    o = cloud.operation(r["operation_id"])
    expect(o["state"], "failed", repr(o))
    i = cloud.must(200, "GET", "/v1/instances/" + name)
    expect(i["state"], "error", repr(i))
    expect(i["fault"]["code"], o["problem"]["code"], "codes")
    return i["fault"]["code"]


def store_file(image_id, part):
    return os.path.join(cloud.dir, "images", image_id, part)


def on_qemu():
    at = mount("qemu", 96 * MIB) if PRIVATE else os.path.join(T, "qemu")

    def start():
        return cloud.agent("n4", "libvirt", state_dir=at,
                           options=["--accel", "tcg"])

    node4 = [start()]
    cloud.must(200, "POST", "/v1/nodes/n1/cordon")

    def runs(name, image_name):
        cloud.act("POST", "/v1/instances", with_(name=name, image=image_name))
        expect(cloud.must(200, "GET", "/v1/instances/" + name)["state"],
               "running")

    def ends(name):
        cloud.act("DELETE", "/v1/instances/" + name)

    def store_damaged():
        i = cloud.image("hurt", {"kernel": tiny_kernel()})
        overwrite(store_file(i, "kernel"), 3000, b"!")
        expect(error_of("hurt"), "image_digest_mismatch")
        expect([f for _, _, fs in os.walk(at + "/images/" + i) for f in fs],
               [], "files in the agent's cache")
        overwrite(store_file(i, "kernel"), 3000, b"\0")
        # Mended: a start succeeds.
        wait_for(10, lambda: cloud.operation(cloud.must(
            202, "POST", "/v1/instances/hurt/start")["id"])["state"] ==
            "succeeded")
        expect(cloud.must(200, "GET", "/v1/instances/hurt")["state"],
               "running")
        ends("hurt")

    def store_lost():
        i = cloud.image("lost", {"kernel": tiny_kernel()})
        os.unlink(store_file(i, "kernel"))
        expect(error_of("lost"), "image_unreadable")
        ends("lost")

    def store_short():
        i = cloud.image("short", {"kernel": tiny_kernel()})
        os.truncate(store_file(i, "kernel"), 1000)
        one_of(error_of("short"), "image_unreadable", "image_digest_mismatch")
        ends("short")

    def cache_damaged():
        i = cloud.image("cached", {"kernel": tiny_kernel()})
        runs("cached", "cached")
        ends("cached")
        path = at + "/images/" + i + "/kernel"
        os.truncate(path, 100)
        runs("cached", "cached")
        ends("cached")
        os.unlink(path)
        os.symlink("/etc/passwd", path)
        runs("cached", "cached")
        ends("cached")
        expect(os.path.islink(path), False, "a link is followed")

    def cache_flipped():
        """Same size, another byte."""
        i = cloud.image("flipped", {"kernel": tiny_kernel()})
        runs("flipped", "flipped")
        ends("flipped")
        path = at + "/images/" + i + "/kernel"
        overwrite(path, 3000, b"!")
        runs("flipped", "flipped")
        with open(path, "rb") as part:
            expect(part.read() == tiny_kernel(), True,
                   "the part is whole again")
        ends("flipped")
        # Also when nobody has looked at it since the agent began.
        expect(node4.pop().end(), 0, "exit status")
        overwrite(path, 3000, b"!")
        node4.append(start())
        runs("flipped", "flipped")
        with open(path, "rb") as part:
            expect(part.read() == tiny_kernel(), True,
                   "the part is whole again")
        ends("flipped")

    def no_room():
        i = cloud.image("large", {"kernel": tiny_kernel(),
                                  "initrd": b"z" * (40 * MIB)})
        expect(error_of("large"), "no_space")

        def parts():  # the kernel may still be on its way
            return sorted(f for _, _, fs in os.walk(at + "/images/" + i)
                          for f in fs)
        wait_for(10, lambda: parts() == ["kernel"])
        expect(parts(), ["kernel"], "files in the agent's cache")
        expect(run(["mount", "-o", "remount,size=%d" % (400 * MIB), at])[0],
               0, "remount")
        wait_for(10, lambda: cloud.operation(cloud.must(
            202, "POST", "/v1/instances/large/start")["id"])["state"] ==
            "succeeded")
        expect(cloud.must(200, "GET", "/v1/instances/large")["state"],
               "running")
        ends("large")

    case("a part damaged in the controller's store: error, then mended",
         store_damaged)
    case("a part lost from the controller's store: error", store_lost)
    case("a part cut short in the controller's store: error", store_short)
    case("a part cut short or replaced in the agent's cache: fetched again",
         cache_damaged)
    case("a part with another byte in the agent's cache: fetched again",
         cache_flipped)
    if PRIVATE:
        case("no room for an image on the node: error no_space, then runs",
             no_room)
    expect(node4[0].alive(), True, "the agent lives")
    expect(node4[0].end(), 0, "exit status")
    expect(guests_left(), [], "guests")


if HAVE_QEMU:
    case("a node with QEMU and bad images", on_qemu)
else:
    skip("a node with QEMU and bad images", "needs root and QEMU")

expect(node.alive(), True, "the agent lives")
same("the agent ends in good order", node.end(), 0)
same("the controller ends in good order", cloud.daemon.end(), 0)
done()
