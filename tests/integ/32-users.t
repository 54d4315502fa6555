#!/usr/bin/env python3
"""32-users.t - users, their passwords and their sessions: who sees and changes
whom, how one signs in and out, what takes effect at once, and what guessing
costs. What each route refuses is in 31-tenants.t."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import base64
import hashlib
import http.client
import threading

from cloud import *  # pylint: disable=unused-wildcard-import

GOOD, OTHER = "correct horse battery", "staple and wire"

cloud = Cloud().start()
node = cloud.agent("n1")
cloud.flavor("small")
cloud.image("tiny", {"kernel": tiny_kernel()}, public=True)
project = {n: cloud.must(201, "POST", "/v1/projects", {"name": n})["id"]
           for n in ("alpha", "beta")}
admin = {n: cloud.must(201, "POST", "/v1/tokens", {
    "name": "admin", "role": "admin", "project": n})["token"]
    for n in project}


def make(name, token=True, **kw):
    body = {"name": name, "password": GOOD}
    body.update(kw)
    return cloud.must(201, "POST", "/v1/users", body, token=token)


def attempt(user, password=GOOD, source=None, **kw):
    """A login, from another address of this machine if asked."""
    body = json.dumps(dict(kw, user=user, password=password))
    c = http.client.HTTPSConnection(
        cloud.host, cloud.port, timeout=70, context=cloud.context(),
        source_address=source and (source, 0))
    try:
        c.request("POST", "/v1/login", body,
                  {"Content-Type": "application/json"})
        r = c.getresponse()
        return Reply(r.status, r.headers, r.read())
    finally:
        c.close()


def login(user, password=GOOD, **kw):
    r = attempt(user, password, **kw)
    expect(r.status, 201, repr(r))
    return r.json


def whoami(token, status=200):
    r = cloud.call("GET", "/v1/whoami", token=token)
    expect(r.status, status, repr(r))
    return r.json


def refused(want, *args, **kw):
    r = cloud.call(*args, **kw)
    expect((r.status, r.code), want, repr(r))
    return r


def pointers(r):
    return [e["pointer"] for e in r.json.get("errors", [])]


# ---- who makes, sees and changes whom ----

def creating():
    u = make("ada", admin["alpha"], role="admin")
    expect((u["project"], u["role"], u["operator"], u["disabled"]),
           (project["alpha"], "admin", False, False))
    expect([(m["project"], m["role"]) for m in u["memberships"]],
           [("alpha", "admin")])
    expect("password" in u, False)
    r = refused((409, "name_taken"), "POST", "/v1/users", {
        "name": "ada", "password": GOOD}, token=admin["beta"])
    expect(pointers(r), ["/name"])
    for body, where in (
            ({"project": "beta"}, "/project"), ({"operator": True},
                                                "/operator"),
            ({"role": "operator"}, "/role"), ({"role": "none"}, "/role"),
            ({"password": "short"}, "/password"),
            ({"password": "x" * 1025}, "/password")):
        r = cloud.call("POST", "/v1/users", dict(
            {"name": "eve", "password": GOOD}, **body), token=admin["alpha"])
        expect((r.status in (400, 404), pointers(r)), (True, [where]),
               "%s: %r" % (body, r))
    free = make("free")
    expect(("project" in free, free["memberships"]), (False, []))
    w = whoami(login("free")["token"])
    expect((w["role"], "project_id" in w, "memberships" in w),
           ("none", False, False))
    root = make("root", operator=True)
    expect((root["operator"], root["role"]), (True, "operator"))
    w = whoami(login("root")["token"])
    expect((w["role"], "project_id" in w), ("operator", False))


def seeing():
    make("both", admin["beta"], role="reader")
    cloud.must(200, "PUT", "/v1/projects/alpha/members/both",
               {"role": "member"})
    seen = {u["name"]: u for u in cloud.must(
        200, "GET", "/v1/users", token=admin["alpha"])["items"]}
    expect(sorted(seen), ["ada", "both"])
    # Nothing of where else they are.
    for u in seen["both"], cloud.must(200, "GET", "/v1/users/both",
                                      token=admin["alpha"]):
        expect((u["role"], "project" in u), ("none", False))
        expect([m["project"] for m in u["memberships"]], ["alpha"])
    u = cloud.must(200, "GET", "/v1/users/both", token=admin["beta"])
    expect([m["project"] for m in u["memberships"]], ["beta"])
    u = cloud.must(200, "GET", "/v1/users/both")
    expect([m["project"] for m in u["memberships"]], ["alpha", "beta"])
    for path in ("/v1/users/free", "/v1/users/root", "/v1/users/ada"):
        refused((404, "not_found"), "GET", path, token=admin["beta"])
    names = [m["user"] for m in cloud.must(
        200, "GET", "/v1/projects/alpha/members",
        token=admin["alpha"])["items"]]
    expect(sorted(names), ["ada", "both"])


def changing():
    """Home's admins only; nobody but operators touches an operator."""
    for method, body in (("PATCH", {"disabled": True}),
                         ("PATCH", {"password": OTHER}), ("DELETE", None)):
        refused((404, "not_found"), method, "/v1/users/both", body,
                token=admin["alpha"])
    make("deputy", operator=True, project="alpha")
    for method, body in (("PATCH", {"password": OTHER}), ("DELETE", None)):
        refused((403, "forbidden"), method, "/v1/users/deputy", body,
                token=admin["alpha"])
    cloud.must(204, "DELETE", "/v1/users/deputy")
    g = cloud.must(200, "GET", "/v1/users/both")["generation"]
    for method, body in (("PATCH", {"disabled": True}), ("DELETE", None)):
        refused((412, "precondition_failed"), method, "/v1/users/both", body,
                headers={"If-Match": '"%d"' % (g + 1)})
    u = cloud.must(200, "PATCH", "/v1/users/both", {"password": OTHER},
                   token=admin["beta"])
    expect(u["generation"], g + 1)
    expect(attempt("both", GOOD).code, "bad_credentials")
    login("both", OTHER)
    cloud.must(204, "DELETE", "/v1/users/both", token=admin["beta"])
    refused((404, "not_found"), "GET", "/v1/users/both")
    expect(attempt("both", OTHER).code, "bad_credentials")


def members():
    make("kim", admin["beta"], role="reader")
    # Whom one does not see one cannot take in.
    refused((404, "not_found"), "PUT", "/v1/projects/alpha/members/kim",
            {"role": "reader"}, token=admin["alpha"])
    refused((404, "not_found"), "PUT", "/v1/projects/beta/members/kim",
            {"role": "reader"}, token=admin["alpha"])
    for role in "operator", "none":
        for token in (True, admin["beta"]):
            r = cloud.call("PUT", "/v1/projects/beta/members/kim",
                           {"role": role}, token=token)
            expect((r.status, pointers(r)), (400, ["/role"]), repr(r))
    m = cloud.must(200, "PUT", "/v1/projects/beta/members/kim",
                   {"role": "billing"}, token=admin["beta"])
    expect((m["user"], m["project"], m["role"]), ("kim", "beta", "billing"))
    cloud.must(204, "DELETE", "/v1/projects/beta/members/kim",
               token=admin["beta"])
    refused((404, "not_found"), "DELETE", "/v1/projects/beta/members/kim",
            token=admin["beta"])
    # Each has a generation of its own, and honours If-Match.
    path = "/v1/projects/beta/members/kim"
    refused((412, "precondition_failed"), "PUT", path, {"role": "reader"},
            token=admin["beta"], headers={"If-Match": "*"})
    seen = set()
    for _ in range(2):
        r = cloud.call("PUT", path, {"role": "reader"}, token=admin["beta"])
        expect((r.status, r.headers["ETag"]),
               (200, '"%d"' % r.json["generation"]))
        first = r.headers["ETag"]
        listed = [m for m in cloud.must(
            200, "GET", "/v1/projects/beta/members",
            token=admin["beta"])["items"] if m["user"] == "kim"]
        expect(listed[0]["generation"], r.json["generation"])
        r = cloud.call("PUT", path, {"role": "member"}, token=admin["beta"],
                       headers={"If-Match": first})
        expect(r.status, 200, repr(r))
        expect(first in seen or r.headers["ETag"] in seen, False)
        seen |= {first, r.headers["ETag"]}
        for method, body in (("PUT", {"role": "admin"}), ("DELETE", None)):
            refused((412, "precondition_failed"), method, path, body,
                    token=admin["beta"], headers={"If-Match": first})
        cloud.must(204, "DELETE", path, token=admin["beta"],
                   headers={"If-Match": r.headers["ETag"]})
    # Its home can still take it back, and rid itself of it.
    cloud.must(200, "PUT", "/v1/projects/beta/members/kim",
               {"role": "reader"}, token=admin["beta"])
    cloud.must(204, "DELETE", "/v1/users/kim", token=admin["beta"])


def nobody_locks_all_out():
    token = login("root")["token"]
    refused((409, "self_lockout"), "PATCH", "/v1/users/root",
            {"disabled": True}, token=token)
    refused((409, "self_lockout"), "DELETE", "/v1/users/root", token=token)
    own = Cloud("alone").start()
    r = own.call("DELETE", "/v1/tokens/admin")
    expect((r.status, r.code), (409, "last_operator"), repr(r))
    # One that ends some day counts until then.
    own.must(201, "POST", "/v1/users", {"name": "op", "password": GOOD,
                                        "operator": True})
    own.must(204, "DELETE", "/v1/tokens/admin")
    t = own.must(201, "POST", "/v1/login", {"user": "op", "password": GOOD},
                 token=None)["token"]
    own.must(201, "POST", "/v1/tokens", {"name": "t", "role": "operator"},
             token=t)
    expect(own.daemon.end(), 0)


case("users are made by admins at home, by operators anywhere", creating)
case("admins see their members, and nothing of other projects", seeing)
case("admins change whose home is theirs", changing)
case("members are set, changed and taken out", members)
case("an operator is always left", nobody_locks_all_out)


# ---- signing in and out ----

def same_answer():
    """Of an unknown name and of a wrong password; of a disabled user, too."""
    make("sam", project="alpha")
    wrong = attempt("sam", "no")
    cloud.must(200, "PATCH", "/v1/users/sam", {"disabled": True})
    told = [(r.status, r.code, r.json["detail"]) for r in (
        wrong, attempt("nobody-knows", "no"), attempt("sam", "no"), attempt("sam", GOOD))]
    expect(len(set(told)), 1, told)
    expect(told[0][:2], (401, "bad_credentials"))
    cloud.must(200, "PATCH", "/v1/users/sam", {"disabled": False})
    login("sam")
    expect("last_login_at" in cloud.must(200, "GET", "/v1/users/sam"), True)


def choosing_a_project():
    make("two", project="alpha", role="reader")
    cloud.must(200, "PUT", "/v1/projects/beta/members/two", {"role": "admin"})
    s = login("two")
    expect((s["project_id"], s["role"]), (project["alpha"], "reader"), "home")
    for ref in "beta", project["beta"]:
        s = login("two", project=ref)
        expect((s["project_id"], s["role"]), (project["beta"], "admin"))
    r = attempt("two", project="default")
    expect((r.status, r.code, pointers(r)), (404, "not_found", ["/project"]))
    r = attempt("root", project="alpha")
    expect((r.status, pointers(r)), (400, ["/project"]))
    # Without home the first that there is.
    make("guest")
    cloud.must(200, "PUT", "/v1/projects/beta/members/guest",
               {"role": "reader"})
    expect(login("guest")["project_id"], project["beta"])
    # And to the other one.
    s = login("two")
    g = cloud.must(200, "PATCH", "/v1/session", {"project": "beta"},
                   token=s["token"])
    expect((g["id"], g["role"], g["generation"], g["current"]),
           (s["id"], "admin", 2, True))
    w = whoami(s["token"])
    expect((w["role"], w["project_id"]), ("admin", project["beta"]))
    refused((404, "not_found"), "PATCH", "/v1/session",
            {"project": "default"}, token=s["token"])


def at_once():
    """What a session may is what its user may at that moment."""
    make("max", project="alpha", role="reader")
    t = login("max")["token"]
    refused((403, "forbidden"), "GET", "/v1/tokens", token=t)
    cloud.must(200, "PUT", "/v1/projects/alpha/members/max",
               {"role": "admin"})
    cloud.must(200, "GET", "/v1/tokens", token=t)
    cloud.must(200, "PUT", "/v1/projects/alpha/members/max",
               {"role": "billing"})
    refused((403, "forbidden"), "GET", "/v1/instances", token=t)
    cloud.must(200, "GET", "/v1/usage", token=t)
    cloud.must(204, "DELETE", "/v1/projects/alpha/members/max")
    refused((403, "forbidden"), "GET", "/v1/usage", token=t)
    expect(whoami(t)["role"], "none")
    cloud.must(200, "PUT", "/v1/projects/alpha/members/max",
               {"role": "member"})
    cloud.must(200, "GET", "/v1/instances", token=t)
    cloud.must(200, "PATCH", "/v1/users/max", {"disabled": True})
    whoami(t, 401)
    cloud.must(200, "PATCH", "/v1/users/max", {"disabled": False})
    whoami(t, 401)  # ended is ended
    t = login("max")["token"]
    cloud.must(200, "PATCH", "/v1/users/max", {"password": OTHER})
    whoami(t, 401)
    t = login("max", OTHER)["token"]
    cloud.must(204, "POST", "/v1/logout", token=t)
    whoami(t, 401)
    t = login("max", OTHER)["token"]
    cloud.must(204, "DELETE", "/v1/users/max")
    whoami(t, 401)
    # A project that goes takes the role along.
    cloud.must(201, "POST", "/v1/projects", {"name": "brief"})
    make("lea", project="brief", role="admin")
    t = login("lea")["token"]
    cloud.must(204, "DELETE", "/v1/projects/brief")
    w = whoami(t)
    expect((w["role"], "project_id" in w, "memberships" in w),
           ("none", False, False))
    expect("project" in cloud.must(200, "GET", "/v1/users/lea"), False)


def own_password():
    make("pat", project="alpha")
    here, there = login("pat")["token"], login("pat")["token"]
    r = refused((400, "invalid"), "POST", "/v1/password", {
        "old_password": "not it", "new_password": OTHER}, token=here)
    expect(pointers(r), ["/old_password"])
    cloud.must(204, "POST", "/v1/password", {
        "old_password": GOOD, "new_password": OTHER}, token=here)
    whoami(here)
    whoami(there, 401)
    expect(attempt("pat", GOOD).status, 401)
    # The reply was lost and the request comes again.
    cloud.must(204, "POST", "/v1/password", {
        "old_password": GOOD, "new_password": OTHER}, token=here)
    login("pat", OTHER)


def sessions():
    make("sue", project="alpha")
    make("tom", project="alpha")
    mine, theirs = [login("sue") for _ in range(3)], login("tom")
    t = mine[0]["token"]
    items = cloud.must(200, "GET", "/v1/sessions", token=t)["items"]
    expect([s["id"] for s in items], [s["id"] for s in mine])
    expect([s["current"] for s in items], [True, False, False])
    expect({s["remote"] for s in items}, {"127.0.0.1"})
    expect({"token" in s or "csrf_token" in s for s in items}, {False})
    page = cloud.must(200, "GET", "/v1/sessions?limit=2", token=t)
    rest = cloud.must(200, "GET", "/v1/sessions?page_token=" +
                      page["next_page_token"], token=t)
    expect([s["id"] for s in page["items"] + rest["items"]],
           [s["id"] for s in mine])
    refused((404, "not_found"), "DELETE", "/v1/sessions/" + theirs["id"],
            token=t)
    refused((412, "precondition_failed"), "DELETE", "/v1/sessions/" +
            mine[1]["id"], token=t, headers={"If-Match": '"7"'})
    cloud.must(204, "DELETE", "/v1/sessions/" + mine[1]["id"], token=t,
               headers={"If-Match": '"1"'})
    whoami(mine[1]["token"], 401)
    whoami(theirs["token"])
    cloud.must(204, "DELETE", "/v1/sessions/" + mine[0]["id"], token=t)
    whoami(t, 401)
    whoami(mine[2]["token"])


def many_sessions():
    """The oldest of too many ends."""
    make("lot", project="alpha")
    first, second = login("lot"), login("lot")
    errors = []

    def some():
        try:
            for _ in range(16):
                login("lot")
        except Exception as e:  # pylint: disable=broad-except
            errors.append(e)
    threads = [threading.Thread(target=some) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(errors, [])
    whoami(first["token"])
    login("lot")  # one too many
    whoami(first["token"], 401)
    n = len(cloud.must(200, "GET", "/v1/sessions?limit=1000",
                       token=second["token"])["items"])
    expect(n, 50)


def cookies():
    r = attempt("ada", cookie=True)
    expect((r.status, "token" in r.json), (201, False), repr(r))
    parts = r.headers["Set-Cookie"].split("; ")
    expect(parts[0].startswith("__Host-virga=vs1."), True, parts)
    expect(set(parts[1:]), {"Path=/", "Max-Age=43200", "Secure", "HttpOnly",
                            "SameSite=Strict"})
    cookie = {"Cookie": "a=b; " + parts[0] + "; c"}
    w = cloud.must(200, "GET", "/v1/whoami", token=None, headers=cookie)
    expect(w["csrf_token"], r.json["csrf_token"])
    change = dict(cookie, **{"X-CSRF-Token": w["csrf_token"]})
    other = attempt("ada", cookie=True).json["csrf_token"]
    refused((403, "csrf_token_required"), "POST", "/v1/logout", token=None,
            headers=dict(cookie, **{"X-CSRF-Token": other}))
    cloud.must(201, "POST", "/v1/tokens", {"name": "by-page"}, token=None,
               headers=change)
    # A bearer token goes before the cookie, and needs no second secret.
    expect(cloud.must(200, "GET", "/v1/whoami", headers=cookie)["role"],
           "operator")
    refused((401, "bad_token"), "GET", "/v1/whoami", token="vt1.0",
            headers=cookie)
    # A bearer session's secret is no cookie.
    secret = login("ada")["token"]
    refused((401, "bad_token"), "GET", "/v1/whoami", token=None,
            headers={"Cookie": "__Host-virga=" + secret})
    console = {"Upgrade": "websocket", "Connection": "Upgrade",
               "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    refused((404, "not_found"), "GET", "/v1/instances/none/console",
            token=None, headers=dict(cookie, Origin="https://" + cloud.listen,
                                     **console))
    # Another site's page cannot sign anybody in either.
    refused((403, "foreign_origin"), "POST", "/v1/login", {
        "user": "ada", "password": GOOD, "cookie": True}, token=None,
        headers={"Origin": "https://elsewhere.example"})
    r = cloud.call("POST", "/v1/logout", token=None, headers=change)
    expect((r.status, "Max-Age=0" in r.headers["Set-Cookie"]), (204, True))
    refused((401, "bad_token"), "GET", "/v1/whoami", token=None,
            headers=cookie)


case("an unknown name is answered like a wrong password", same_answer)
case("a session acts in the project that was asked for", choosing_a_project)
case("a change of rights counts at once in what runs", at_once)
case("one's own password ends the other sessions", own_password)
case("sessions are listed and ended by their user", sessions)
case("a user has fifty sessions at most", many_sessions)
case("a page signs in by cookie", cookies)


# ---- what was begun with rights that are gone ----

def console_ends():
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "typist", "role": "operator"})
    cloud.act("POST", "/v1/instances", {"name": "web", "image": "tiny",
                                        "flavor": "small"})
    s = cloud.connect(timeout=60)
    s.sendall(("GET /v1/instances/web/console HTTP/1.1\r\nHost: x\r\n"
               "Authorization: Bearer %s\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: %s\r\n\r\n" % (
                   t["token"], base64.b64encode(b"0" * 16).decode())).encode())
    head = s.recv(4096)
    expect(b" 101 " in head.split(b"\r\n")[0], True, head)
    cloud.must(204, "DELETE", "/v1/tokens/typist")
    while s.recv(4096):  # until it is closed; else the deadline
        pass
    s.close()


def long_poll_is_asked_again():
    """It was let in, and its token is gone when it has something to tell."""
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "waiter", "role": "operator"})["token"]
    node.p.send_signal(signal.SIGSTOP)  # the operation cannot end
    op = cloud.must(202, "POST", "/v1/instances/web/stop", {"force": True})
    got = []

    def wait():
        got.append(cloud.call("GET", "/v1/operations/%s?wait=30s" % op["id"],
                              token=t))
    th = threading.Thread(target=wait)
    th.start()
    held = wait_for(10, lambda: any(
        "waiter" in x["name"] for x in cloud.must(
            200, "GET", "/v1/tokens")["items"]))
    th.join(0.3)  # it is held, however slow this machine is: nothing ends it
    expect((bool(held), got), (True, []))
    cloud.must(204, "DELETE", "/v1/tokens/waiter")
    node.p.send_signal(signal.SIGCONT)
    th.join(60)
    expect([(r.status, r.code) for r in got], [(401, "bad_token")])


case("a console ends when its token is revoked", console_ends)
case("a long poll tells nothing to a revoked token", long_poll_is_asked_again)


# ---- secrets and repeats ----

def repeats():
    """An Idempotency-Key belongs to the user in a project; no quick hash of a
    password is kept with it."""
    body = {"name": "idem", "password": "a password to look for"}
    key = {"Idempotency-Key": "k1"}
    first = cloud.call("POST", "/v1/users", body, headers=key)
    again = cloud.call("POST", "/v1/users", body, headers=key)
    expect((first.status, again.status, again.body == first.body),
           (201, 201, True))
    expect(again.headers["Idempotency-Replayed"], "true")
    refused((422, "idempotency_key_reused"), "POST", "/v1/users",
            dict(body, name="other"), headers=key)
    refused((422, "idempotency_key_reused"), "POST", "/v1/users",
            dict(body, password="another password"), headers=key)
    cloud.daemon.end()
    cloud.start()
    again = cloud.call("POST", "/v1/users", body, headers=key)
    expect((again.status, again.body == first.body), (201, True), "restart")
    refused((422, "idempotency_key_reused"), "POST", "/v1/users",
            dict(body, password="another password"), headers=key)
    # One's own password, whose reply was lost.
    pair = {"old_password": GOOD, "new_password": OTHER}
    make("ivo", project="alpha")
    t = login("ivo")["token"]
    for _ in range(2):
        cloud.must(204, "POST", "/v1/password", pair, token=t, headers=key)
    refused((422, "idempotency_key_reused"), "POST", "/v1/password",
            {"old_password": OTHER, "new_password": GOOD}, token=t,
            headers=key)
    login("ivo", OTHER)
    for text in json.dumps(body), json.dumps(body, separators=(",", ":")):
        h = hashlib.sha256(b"/v1/users\0" + text.encode()).digest()
        with open(cloud.dir + "/controller.db-wal", "rb") as f:
            expect(h in f.read(), False, "hash of the body")
    make("ida", project="alpha", role="admin")
    one, two = login("ida")["token"], login("ida")["token"]
    t = cloud.must(201, "POST", "/v1/images", {
        "name": "img", "parts": [{"name": "disk"}]}, token=one, headers=key)
    same_one = cloud.must(201, "POST", "/v1/images", {
        "name": "img", "parts": [{"name": "disk"}]}, token=two, headers=key)
    expect(same_one["id"], t["id"], "the user's other session")
    # In another project it is another question.
    cloud.must(200, "PUT", "/v1/projects/beta/members/ida", {"role": "admin"})
    cloud.must(200, "PATCH", "/v1/session", {"project": "beta"}, token=two)
    there = cloud.must(201, "POST", "/v1/images", {
        "name": "img", "parts": [{"name": "disk"}]}, token=two, headers=key)
    expect((there["id"] != t["id"], there["project_id"]),
           (True, project["beta"]))
    # A secret is told once.
    s = cloud.must(201, "POST", "/v1/tokens", {"name": "once"}, token=one,
                   headers={"Idempotency-Key": "k2"})
    refused((409, "secret_not_repeated"), "POST", "/v1/tokens",
            {"name": "once"}, token=one, headers={"Idempotency-Key": "k2"})
    expect(s["token"].startswith("vt1."), True)


def scopes():
    some = cloud.must(201, "POST", "/v1/tokens", {
        "name": "some", "role": "admin", "project": "alpha",
        "scopes": ["tenants:write", "images:read"]})
    expect(some["scopes"], ["tenants:write", "images:read"])
    t = some["token"]
    expect(sorted(whoami(t)["scopes"]), ["images:read", "tenants:write"])
    cloud.must(200, "GET", "/v1/tokens", token=t)  # write includes read
    cloud.must(200, "GET", "/v1/images", token=t)
    r = refused((403, "scope_missing"), "POST", "/v1/images", {
        "name": "x", "parts": [{"name": "disk"}]}, token=t)
    expect("images:write" in r.json["detail"], True, repr(r))
    refused((403, "scope_missing"), "GET", "/v1/instances", token=t)
    # Not more than its own, and no way round.
    for wanted in ([], ["images:write"], ["instances:read"]):
        r = cloud.call("POST", "/v1/tokens", {"name": "more",
                                              "scopes": wanted}, token=t)
        expect((r.status, pointers(r)), (400, ["/scopes"]), repr(r))
    refused((403, "scope_missing"), "POST", "/v1/users", {
        "name": "way-round", "password": GOOD, "role": "admin"}, token=t)
    refused((403, "scope_missing"), "PATCH", "/v1/users/ada",
            {"password": OTHER}, token=t)
    refused((403, "scope_missing"), "PUT", "/v1/projects/alpha/members/ada",
            {"role": "reader"}, token=t)
    less = cloud.must(201, "POST", "/v1/tokens", {
        "name": "less", "role": "admin", "scopes": ["images:read"]},
        token=t)["token"]
    cloud.must(200, "GET", "/v1/images", token=less)
    refused((403, "scope_missing"), "GET", "/v1/tokens", token=less)
    r = cloud.call("POST", "/v1/tokens", {
        "name": "odd", "scopes": ["images:read", "pictures:read", "images",
                                  "images:", "images:delete", ":read"]})
    expect((r.status, pointers(r)), (400, [
        "/scopes/%d" % n for n in range(1, 6)]), repr(r))
    # Those of a session that makes one are all that its user may.
    make("uma", project="alpha", role="admin")
    own = cloud.must(201, "POST", "/v1/tokens", {
        "name": "own", "role": "admin"}, token=login("uma")["token"])
    expect(whoami(own["token"])["role"], "admin")


def no_longer_than_its_maker():
    """A token with an end makes none without, nor a later one."""
    soon, later = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(
        time.time() + s)) for s in (3600, 7200))
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "soon", "role": "admin", "project": "alpha",
        "expires_at": soon})["token"]
    r = cloud.call("POST", "/v1/tokens", {"name": "later", "expires_at":
                                          later}, token=t)
    expect((r.status, pointers(r)), (400, ["/expires_at"]), repr(r))
    expect(r.json["errors"][0]["code"], "too_late")
    made = cloud.must(201, "POST", "/v1/tokens", {
        "name": "same", "role": "admin"}, token=t)
    expect(parse_time(made["expires_at"]), parse_time(soon))
    made = cloud.must(201, "POST", "/v1/tokens", {"name": "grandchild"},
                      token=made["token"])
    expect(parse_time(made["expires_at"]), parse_time(soon))


def parse_time(text):
    return time.strptime(text.split(".")[0].rstrip("Z"), "%Y-%m-%dT%H:%M:%S")


def end_with_their_user():
    """Tokens of a user, and those that they made, go with his rights."""
    def two(user, role="member"):
        own = cloud.must(201, "POST", "/v1/tokens", {
            "name": user + "-1", "role": "admin"},
            token=login(user)["token"])
        more = cloud.must(201, "POST", "/v1/tokens", {
            "name": user + "-2", "role": role}, token=own["token"])
        expect({own["user_id"], more["user_id"]},
               {cloud.must(200, "GET", "/v1/users/" + user)["id"]})
        return [own["token"], more["token"]]

    def used():
        return cloud.must(200, "GET", "/v1/projects/alpha/quota",
                          )["used"]["tokens"]

    before = used()
    other = cloud.must(201, "POST", "/v1/tokens", {
        "name": "nobodys", "role": "admin", "project": "alpha"})["token"]
    for how in (
            ("PATCH", "/v1/users/una", {"disabled": True}, (401, 401)),
            ("DELETE", "/v1/users/una", None, (401, 401)),
            ("DELETE", "/v1/projects/alpha/members/una", None, (401, 401)),
            ("PUT", "/v1/projects/alpha/members/una", {"role": "member"},
             (401, 200))):
        make("una", project="alpha", role="admin")
        tokens = two("una")
        for t in tokens:
            whoami(t)
        expect(used(), before + 3)
        r = cloud.call(*how[:3])
        expect(r.status // 100, 2, repr(r))
        for t, want in zip(tokens, how[3]):
            whoami(t, want)
        expect(used(), before + 1 + how[3].count(200), how[0])
        whoami(other)
        cloud.call("DELETE", "/v1/users/una")
    expect(used(), before + 1)
    deleted = [e for e in cloud.must(
        200, "GET", "/v1/events?kinds=token.deleted&limit=1000")["items"]
               if e.get("resource_name", "").startswith("una-")]
    expect(len(deleted), 8)
    # What they may elsewhere stays; so it is after a restart.
    make("una", project="alpha", role="admin")
    cloud.must(200, "PUT", "/v1/projects/beta/members/una", {"role": "admin"})
    here = two("una")
    there = cloud.must(201, "POST", "/v1/tokens", {"name": "una-there"},
                       token=login("una", project="beta")["token"])["token"]
    cloud.must(204, "DELETE", "/v1/projects/beta/members/una")
    cloud.daemon.p.kill()
    cloud.daemon.p.wait()
    cloud.start()
    whoami(there, 401)
    for t in here:
        whoami(t)
    cloud.must(204, "DELETE", "/v1/users/una")
    for t in here:
        whoami(t, 401)


def survive_restart():
    make("rob", project="alpha", role="member")
    t, ended = login("rob")["token"], login("rob")["token"]
    cloud.must(204, "POST", "/v1/logout", token=ended)
    cookie = attempt("rob", cookie=True)
    jar = {"Cookie": cookie.headers["Set-Cookie"].split(";")[0]}
    before = whoami(t)
    cloud.daemon.p.kill()
    cloud.daemon.p.wait()
    cloud.start()
    expect(whoami(t), before)
    whoami(ended, 401)
    w = cloud.must(200, "GET", "/v1/whoami", token=None, headers=jar)
    expect(w["csrf_token"], cookie.json["csrf_token"])
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "kept", "role": "admin", "project": "alpha",
        "scopes": ["usage:read"]})["token"]
    cloud.daemon.p.kill()
    cloud.daemon.p.wait()
    cloud.start()
    cloud.must(200, "GET", "/v1/usage", token=t)
    refused((403, "scope_missing"), "GET", "/v1/tokens", token=t)


def sessions_end():
    own = Cloud("short", options=["--session-ttl", "2s"]).start()
    own.must(201, "POST", "/v1/users", {"name": "op", "password": GOOD,
                                        "operator": True})
    t = own.must(201, "POST", "/v1/login", {"user": "op", "password": GOOD},
                 token=None)["token"]
    ended = wait_for(30, lambda: own.call("GET", "/v1/whoami",
                                          token=t).status == 401)
    expect(ended, True)
    expect(own.daemon.end(), 0)


case("repeated requests of users, without their passwords", repeats)
case("scopes of tokens", scopes)
case("a token makes none that outlives it", no_longer_than_its_maker)
case("tokens end with the rights of the user behind them", end_with_their_user)
case("sessions and scopes survive the controller's death", survive_restart)
case("a session ends at its time", sessions_end)


# ---- guessing ----

def guess_until_429(user, source):
    """How many wrong ones pass; one more comes every 12 s, so a slow machine
    gets some further."""
    for n in range(60):
        r = attempt(user, "guess %d" % n, source=source)
        if r.status == 429:
            expect(r.code, "too_many_attempts")
            expect(0 < int(r.headers["Retry-After"]) <= 12, True, r.headers)
            return n
        expect((r.status, r.code), (401, "bad_credentials"), repr(r))
    raise AssertionError("never slowed down")


def guessing():
    make("tess", project="alpha")
    login("tess", source="127.0.0.9")  # where tess is at home
    # An unknown name is treated as one that is known.
    for user, source in ("tess", "127.0.0.7"), ("tessa", "127.0.0.6"):
        expect(guess_until_429(user, source) >= 10, True)

    # The right password is no way past it; where the machine took so long
    # that one more was free, again from an address that tess never used.
    def refused_somewhere():
        refused_somewhere.n += 1
        guess_until_429("tess", "127.0.0.7")
        return attempt("tess", GOOD, source="127.0.0.%d" % (
            20 + refused_somewhere.n)).status == 429
    refused_somewhere.n = 0
    expect(wait_for(120, refused_somewhere), True)
    # And strangers are no way to shut tess out at home.
    for _ in range(12):
        login("tess", source="127.0.0.9")


def crowd():
    """Hashing holds up nobody else; a queue that is full says so."""
    got, lock = [], threading.Lock()
    start = threading.Event()

    def one(n):
        start.wait()
        # No two of the same name or address: no bucket stands before the pool.
        r = attempt("crowd-%d" % n, "guess", source="127.0.1.%d" % (n % 250 +
                                                                    1))
        with lock:
            got.append(r)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(120)]
    for t in threads:
        t.start()
    start.set()
    while_waiting = 0
    while any(t.is_alive() for t in threads):
        cloud.must(200, "GET", "/v1/whoami")
        with lock:
            while_waiting += len(got) < len(threads)
    for t in threads:
        t.join()
    expect({(r.status, r.code) for r in got} <= {
        (401, "bad_credentials"), (503, "busy")}, True, got[:5])
    expect({r.headers["Retry-After"] for r in got if r.status == 503} <= {"1"},
           True)
    expect(sum(r.status == 401 for r in got) >= 60, True)
    # Each answer of the pool takes longer than one of these.
    expect(while_waiting > 5, True, while_waiting)


case("guessing one user's password is slowed down", guessing)
case("a crowd that signs in holds up nobody else", crowd)
case("the controller is well", cloud.healthy)
same("the agent ends in good order", node.end(), 0)
same("the controller ends in good order", cloud.daemon.end(), 0)
done()
