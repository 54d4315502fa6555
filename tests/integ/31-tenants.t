#!/usr/bin/env python3
"""31-tenants.t - who may do what: every route of the API with every role, by
token and by session, with credentials that are no good (any more), and with
what belongs to another project. The routes come from the API's own
description: a new one without a case here fails. Users and sessions themselves
are in 32-users.t.

Over 500 lines: most of it is the table of routes."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import re
import time

from cloud import *  # pylint: disable=unused-wildcard-import

ROLES = ["reader", "member", "admin", "operator"]
NODE, OPEN = "node", "open"
ANYBODY = "anybody"  # who has a credential at all: their own affairs

# The least role of each route, or who else may. Written down here once more,
# so that a slip in the API's own table shows.
NEEDS = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": "operator",
    "GET /v1/openapi.json": OPEN,
    "GET /v1/ca": OPEN,
    "GET /": OPEN,
    "GET /dashboard/{file}": OPEN,
    "GET /v1/whoami": ANYBODY,
    "POST /v1/login": OPEN,
    "POST /v1/logout": ANYBODY,
    "POST /v1/password": ANYBODY,
    "PATCH /v1/session": ANYBODY,
    "GET /v1/sessions": ANYBODY,
    "DELETE /v1/sessions/{session}": ANYBODY,
    "POST /v1/users": "admin",
    "GET /v1/users": "admin",
    "GET /v1/users/{user}": "admin",
    "PATCH /v1/users/{user}": "admin",
    "DELETE /v1/users/{user}": "admin",
    "POST /v1/projects": "operator",
    "GET /v1/projects": "reader",
    "GET /v1/projects/{project}": "reader",
    "DELETE /v1/projects/{project}": "operator",
    "GET /v1/projects/{project}/members": "reader",
    "PUT /v1/projects/{project}/members/{user}": "admin",
    "DELETE /v1/projects/{project}/members/{user}": "admin",
    "GET /v1/projects/{project}/quota": "reader",
    "PUT /v1/projects/{project}/quota": "operator",
    "POST /v1/tokens": "admin",
    "GET /v1/tokens": "admin",
    "DELETE /v1/tokens/{token}": "admin",
    "POST /v1/keypairs": "member",
    "GET /v1/keypairs": "reader",
    "GET /v1/keypairs/{keypair}": "reader",
    "DELETE /v1/keypairs/{keypair}": "member",
    "POST /v1/flavors": "operator",
    "GET /v1/flavors": "reader",
    "GET /v1/flavors/{flavor}": "reader",
    "DELETE /v1/flavors/{flavor}": "operator",
    "POST /v1/images": "member",
    "GET /v1/images": "reader",
    "GET /v1/images/{image}": "reader",
    "DELETE /v1/images/{image}": "member",
    "PUT /v1/images/{image}/parts/{part}": "member",
    "POST /v1/instances": "member",
    "POST /v1/instance-batches": "member",
    "GET /v1/instances": "reader",
    "GET /v1/instances/{instance}": "reader",
    "PATCH /v1/instances/{instance}": "member",
    "DELETE /v1/instances/{instance}": "member",
    "POST /v1/instances/{instance}/start": "member",
    "POST /v1/instances/{instance}/stop": "member",
    "POST /v1/instances/{instance}/reboot": "member",
    "POST /v1/instances/{instance}/pause": "member",
    "POST /v1/instances/{instance}/resume": "member",
    "POST /v1/instances/{instance}/rebuild": "member",
    "POST /v1/instances/{instance}/resize": "member",
    "GET /v1/instances/{instance}/user-data": "member",
    "GET /v1/instances/{instance}/console-log": "reader",
    "GET /v1/instances/{instance}/console": "member",
    "GET /v1/instances/{instance}/stats": "reader",
    "GET /v1/operations": "reader",
    "GET /v1/operations/{operation}": "reader",
    "POST /v1/operations/{operation}/cancel": "member",
    "POST /v1/operations/{operation}/retry": "operator",
    "POST /v1/operations/{operation}/undo": "operator",
    "GET /v1/usage": "reader",
    "GET /v1/events": "reader",
    "POST /v1/webhooks": "admin",
    "GET /v1/webhooks": "admin",
    "GET /v1/webhooks/{webhook}": "admin",
    "PATCH /v1/webhooks/{webhook}": "admin",
    "DELETE /v1/webhooks/{webhook}": "admin",
    "GET /v1/webhooks/{webhook}/dead-letters": "admin",
    "DELETE /v1/webhooks/{webhook}/dead-letters/{letter}": "admin",
    "POST /v1/webhooks/{webhook}/redeliver": "admin",
    "GET /v1/audit": "admin",
    "GET /v1/admin/backup": "operator",
    "GET /v1/nodes": "operator",
    "GET /v1/nodes/{node}": "operator",
    "POST /v1/nodes/{node}/cordon": "operator",
    "POST /v1/nodes/{node}/uncordon": "operator",
    "DELETE /v1/nodes/{node}": "operator",
    "POST /v1/join-tokens": "operator",
    "POST /v1/join": OPEN,
    "POST /v1/agent/certificate": NODE,
    "GET /v1/agent/desired": NODE,
    "POST /v1/agent/report": NODE,
    "POST /v1/agent/requests/{request}": NODE,
    "GET /v1/agent/console/{request}": NODE,
    "GET /v1/agent/images/{image}/parts/{part}": NODE,
}
# What the role billing may beside what anybody may.
BILLING = {
    "GET /v1/projects", "GET /v1/projects/{project}",
    "GET /v1/projects/{project}/quota", "GET /v1/flavors",
    "GET /v1/flavors/{flavor}", "GET /v1/usage",
}
# Of those for anybody, the ones that need a user who is signed in.
SIGNED_IN = {r for r, n in NEEDS.items() if n == ANYBODY} - {"GET /v1/whoami"}
PASSWORD = "correct horse battery"
# Good enough to be decoded: what is refused is refused for the role.
BODIES = {
    "POST /v1/login": {"user": "nobody", "password": "x"},
    "POST /v1/password": {"old_password": PASSWORD,
                          "new_password": PASSWORD + "!"},
    "PATCH /v1/session": {"project": "alpha"},
    "POST /v1/users": {"name": "sneaked", "password": PASSWORD},
    "PATCH /v1/users/{user}": {"disabled": True},
    "PUT /v1/projects/{project}/members/{user}": {"role": "reader"},
    "PUT /v1/projects/{project}/quota": {"limits": {
        "instances": 1, "vcpus": 1, "memory_bytes": 1, "disk_bytes": 1,
        "volumes": 1, "addresses": 1, "networks": 1, "images": 1,
        "image_bytes": 1, "tokens": 1}},
    "POST /v1/projects": {"name": "sneaked"},
    "POST /v1/tokens": {"name": "sneaked", "role": "reader"},
    "POST /v1/keypairs": {"name": "sneaked", "public_key":
                          "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPtT3yGbsNCa1ib"
                          "9bpGpvaQGrHYd0YvD6xM0L9iqAp+p"},
    "POST /v1/flavors": {"name": "sneaked", "vcpus": 1,
                         "memory_bytes": 64 * MIB},
    "POST /v1/images": {"name": "sneaked", "parts": [{"name": "disk"}]},
    "POST /v1/instances": {"name": "sneaked", "image": "shared",
                           "flavor": "small"},
    "POST /v1/instance-batches": {"instance": {
        "name": "sneaked", "image": "shared", "flavor": "small"}, "count": 2},
    "PATCH /v1/instances/{instance}": {"restart_policy": "never"},
    "POST /v1/instances/{instance}/rebuild": {"image": "shared"},
    "POST /v1/instances/{instance}/resize": {"flavor": "small"},
    "POST /v1/webhooks": {"name": "sneaked", "disabled": True,
                          "url": "https://hooks.example.com/"},
    "PATCH /v1/webhooks/{webhook}": {"disabled": True},
    "POST /v1/join-tokens": {"ttl_s": 60},
}
WEBSOCKET = {"Upgrade": "websocket", "Connection": "Upgrade",
             "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
NOWHERE = "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"

cloud = Cloud().start()
node = cloud.agent("n1")
cloud.flavor("small")
cloud.image("shared", {"kernel": tiny_kernel()}, public=True)


def made(path, body, token):
    """The id of a new one."""
    return cloud.must(201, "POST", path, body, token=token)["id"]


def login(user, password=PASSWORD, **kw):
    return cloud.must(201, "POST", "/v1/login", dict(
        kw, user=user, password=password), token=None)


class Tenant:
    """A project with a token and a user of each role, and one of everything.
    """

    def __init__(self, name):
        self.name = name
        self.project = cloud.must(201, "POST", "/v1/projects",
                                  {"name": name})["id"]
        self.token, self.token_id = {}, {}
        self.user, self.session, self.session_id = {}, {}, {}
        for role in ROLES[:3] + ["billing"]:
            t = cloud.must(201, "POST", "/v1/tokens", {
                "name": role, "role": role, "project": name})
            self.token[role], self.token_id[role] = t["token"], t["id"]
            self.add_user(role)
        self.add_user("none")
        cloud.must(204, "DELETE", "/v1/projects/%s/members/%s-none" % (
            name, name))
        member = self.token["member"]
        # The same names in each project.
        self.image = cloud.image("own", {"kernel": tiny_kernel()},
                                 token=member)
        self.waiting = cloud.must(201, "POST", "/v1/images", {
            "name": "waiting", "parts": [{"name": "initrd"},
                                         {"name": "kernel"}]},
            token=member)["id"]
        self.keypair = made("/v1/keypairs", dict(
            BODIES["POST /v1/keypairs"], name="own"), member)
        self.webhook = made("/v1/webhooks", {
            "name": "own", "url": "https://hooks.example.com/", "disabled": True},
            self.token["admin"])
        i = cloud.act("POST", "/v1/instances", {
            "name": "web", "image": "own", "flavor": "small"}, token=member)
        self.instance, self.operation = i["id"], i["operation_id"]

    def add_user(self, role):
        name = self.name + "-" + role
        self.user[role] = cloud.must(201, "POST", "/v1/users", {
            "name": name, "password": PASSWORD, "project": self.name,
            "role": "reader" if role == "none" else role})["id"]
        s = login(name)
        self.session[role], self.session_id[role] = s["token"], s["id"]

    def ids(self):
        return [self.project, self.image, self.waiting, self.instance,
                self.operation, self.keypair, self.webhook] + list(
                    self.token_id.values()) + list(self.user.values()) + list(
                        self.session_id.values())


a, b = Tenant("alpha"), Tenant("beta")
ok("two projects have the same names in them", True)
operators_instance = cloud.act("POST", "/v1/instances", {
    "name": "web", "image": "shared", "flavor": "small"})["id"]
cloud.must(201, "POST", "/v1/tokens", {"name": "reader", "role": "operator"})

paths = cloud.must(200, "GET", "/v1/openapi.json")["paths"]
routes = sorted("%s %s" % (m.upper(), p) for p, ops in paths.items()
                for m in ops)
same("every route has its case here", routes, sorted(NEEDS))
for r in routes:
    method, path = r.split(" ")
    said = paths[path][method.lower()]
    want = {OPEN: [], NODE: [{"node": []}]}.get(
        NEEDS.get(r), [{"bearer": []}, {"session": []}])
    if said["security"] != want:
        ok(r + ": its description says who may", False, said)
ok("descriptions say who may", True)


def fill_in(path, t, by="id"):
    """The path with what belongs to that tenant."""
    values = {"id": {"project": t.project, "token": t.token_id["reader"],
                     "image": t.image, "instance": t.instance,
                     "user": t.user["reader"], "keypair": t.keypair,
                     "webhook": t.webhook},
              "name": {"project": t.name, "token": "reader", "image": "own",
                       "instance": "web", "user": t.name + "-reader",
                       "keypair": "own", "webhook": "own"}}[by]
    values = dict(values, flavor="small", node="n1", part="kernel",
                  operation=t.operation, request=NOWHERE, file="x.js",
                  session=t.session_id["reader"], letter=NOWHERE)
    return re.sub(r"\{(\w+)\}", lambda m: values[m.group(1)], path)


def ask(route, t, token, by="id", headers=()):
    method, path = route.split(" ")
    body = BODIES.get(route)
    if body is None and method in ("POST", "PUT"):
        body = b"" if method == "POST" else b"x"
    headers = dict(headers)
    if path.endswith("/console"):
        headers.update(WEBSOCKET)
    return cloud.call(method, fill_in(path, t, by), body, token=token,
                      headers=headers)


def may(role, route):
    need = NEEDS[route]
    if need in (OPEN, ANYBODY):
        return True
    if role == "billing":
        return route in BILLING
    return need in ROLES and role in ROLES and \
        ROLES.index(role) >= ROLES.index(need)


def everything():
    """What could have changed."""
    state = [cloud.must(200, "GET", p + "?limit=1000")["items"] for p in (
        "/v1/projects", "/v1/tokens", "/v1/flavors", "/v1/images",
        "/v1/instances", "/v1/operations", "/v1/users")]
    rows = cloud.rows()
    rows.pop("audit", None)  # where each refusal is to be found
    return state, rows, cloud.node_state("n1")


# ---- credentials that are no good ----

TAGS = sorted({op["tags"][0] for ops in paths.values() for op in ops.values()
               if {"bearer": []} in op["security"]})


def scoped(name, scopes):
    return cloud.must(201, "POST", "/v1/tokens", {
        "name": name, "role": "operator", "scopes": scopes})["token"]


# An operator's that is good for all but that group, or that changes nothing
# of that group.
without = {t: scoped("no-" + t, [o + ":write" for o in TAGS if o != t])
           for t in TAGS}
reading = {t: scoped("ro-" + t, [t + ":read"] + [
    o + ":write" for o in TAGS if o != t]) for t in TAGS}
short = cloud.must(201, "POST", "/v1/tokens", {
    "name": "short", "role": "operator", "expires_at": time.strftime(
        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))})["token"]
gone = cloud.must(201, "POST", "/v1/tokens", {"name": "gone",
                                              "role": "operator"})["token"]
cloud.must(204, "DELETE", "/v1/tokens/gone")
for who in "out", "off":
    cloud.must(201, "POST", "/v1/users", {"name": who, "password": PASSWORD,
                                          "operator": True})
out = login("out")["token"]
cloud.must(204, "POST", "/v1/logout", token=out)
off = login("off")["token"]
cloud.must(200, "PATCH", "/v1/users/off", {"disabled": True})
cloud.must(201, "POST", "/v1/users", {"name": "page", "password": PASSWORD,
                                      "operator": True})
r = cloud.call("POST", "/v1/login", {"user": "page", "password": PASSWORD,
                                     "cookie": True}, token=None)
cookie = {"Cookie": r.headers["Set-Cookie"].split(";")[0]}
cookie_secret = cookie["Cookie"].split("=", 1)[1]
csrf = r.json["csrf_token"]
USELESS = [(None, "token_required"), ("vt1." + "0" * 64, "bad_token"),
           ("vs1." + "0" * 64, "bad_token"), (gone, "bad_token"),
           (out, "bad_token"), (off, "bad_token"), (short, "token_expired"),
           # A cookie's secret is good as a cookie only, and none elsewhere.
           (cookie_secret, "bad_token")]


def is_expired():
    r = cloud.call("GET", "/v1/whoami", token=short)
    return r.code == "token_expired"


ok("a token ends at its time", wait_for(30, is_expired))
before = everything()

# ---- roles ----


def refused(route, want, *args, **kw):
    r = ask(route, *args, **kw)
    expect((r.status, r.code), want, repr(r))
    return r


def refused_everybody(route):
    """What is for nodes is for no token."""
    for token in (None, "vt1." + "0" * 64, True, a.token["admin"]):
        refused(route, (403, "certificate_required"), a, token)


def refused_useless(route):
    for token, code in USELESS:
        refused(route, (401, code), a, token)


def refused_roles(route):
    for role in ROLES[:3] + ["billing", "none"]:
        if may(role, route):
            continue
        for by in "id", "name":
            for token in (a.token.get(role), a.session[role]):
                if token:
                    refused(route, (403, "forbidden"), a, token, by)


def refused_scopes(route):
    method, path = route.split(" ")
    tag = paths[path][method.lower()]["tags"][0]
    # A console is read and written.
    reads = method == "GET" and not path.endswith("/console")
    token, scope = (without[tag], tag + ":read") if reads else \
        (reading[tag], tag + ":write")
    r = refused(route, (403, "scope_missing"), a, token)
    expect(scope in r.json["detail"], True, repr(r))


def refused_cookie(route):
    """What another site's page can make a browser send."""
    if route.endswith("/console"):
        for origin in ({}, {"Origin": "https://elsewhere.example"},
                       {"Origin": "null"}, {"Origin": "http://" +
                                            cloud.listen}):
            refused(route, (403, "foreign_origin"), a, None,
                    headers=dict(cookie, **origin))
    elif not route.startswith("GET "):
        for token in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": csrf[:-1]},
                      {"X-CSRF-Token": "0" * len(csrf)},
                      {"X-CSRF-Token": cookie_secret}):
            refused(route, (403, "csrf_token_required"), a, None,
                    headers=dict(cookie, **token))


def allowed(route):
    """Of nothing, or with a body that says nothing: whoever may gets as far as
    the question itself."""
    method, path = route.split(" ")
    path = re.sub(r"\{part\}", "kernel", path)
    path = re.sub(r"\{\w+\}", NOWHERE, path)
    body = None if method in ("GET", "DELETE") else b'{"no-such-field":1}'
    good = [(a.token.get(role), a.session[role]) for role in
            ROLES[:3] + ["billing", "none"] if may(role, route)]
    for token in [t for pair in good for t in pair if t] + [True]:
        r = cloud.call(method, path, body, token=token)
        if route in SIGNED_IN and not str(token).startswith("vs1."):
            if r.code != "invalid":  # the body may be looked at first
                expect((r.status, r.code), (403, "session_required"), repr(r))
            continue
        if r.status in (401, 403) or r.status >= 500:
            raise AssertionError(repr(r))
    if method == "GET" and not path.endswith("/console"):
        r = cloud.call(method, path, token=None, headers=cookie)
        expect(r.status in (401, 403), False, "by cookie: %r" % r)
    elif method != "GET":
        r = cloud.call(method, path, body, token=None, headers=dict(
            cookie, **{"X-CSRF-Token": csrf}))
        expect(r.status in (401, 403), False, "by cookie: %r" % r)


for route in routes:
    need = NEEDS.get(route, OPEN)
    if need == OPEN:
        continue
    if need == NODE:
        case(route + ": refused without a certificate", refused_everybody,
             route)
        continue
    case(route + ": refused without a good credential", refused_useless, route)
    case(route + ": refused by cookie alone", refused_cookie, route)
    if need != ANYBODY:
        case(route + ": refused without its role", refused_roles, route)
    if route != "GET /v1/whoami":
        case(route + ": refused without its scope", refused_scopes, route)
    if route != "POST /v1/logout":  # which would end what is used here
        case(route + ": not refused with its role", allowed, route)

# ---- what belongs to another ----

FOREIGN = [r for r in routes if re.search(
    r"\{(project|token|image|instance|operation|user|session|keypair|webhook)"
    r"\}", r) and NEEDS.get(r) in ROLES[:3] + [ANYBODY]]


def not_theirs(route):
    """As if it were not there: to every role, for every verb."""
    method, path = route.split(" ")
    good = [(role, token) for role in ROLES[:3] + ["billing"]
            for token in (a.token[role], a.session[role])
            if may(role, route) and (route not in SIGNED_IN or
                                     token.startswith("vs1."))]
    for role, token in good:
        r = ask(route, b, token)
        expect((r.status, r.code), (404, "not_found"), "%s: %r" % (role, r))
        # No word is different from what there never was.
        none = cloud.call(
            method, re.sub(r"\{part\}", "kernel", re.sub(
                r"\{(?!part)\w+\}", NOWHERE, path)),
            BODIES.get(route, b"" if method != "GET" else None), token=token,
            headers=WEBSOCKET if path.endswith("/console") else None)
        mine = r.json["detail"]
        for i in b.ids():
            mine = mine.replace(i, NOWHERE)
        expect(mine, none.json["detail"], "words")


ok("routes with what may be another's are found", len(FOREIGN) >= 36, FOREIGN)
for route in FOREIGN:
    case(route + ": another's is 404", not_theirs, route)


def by_name_is_ones_own():
    """A name means one's own, whoever else has it."""
    for t in a, b:
        token = t.token["admin"]
        i = cloud.must(200, "GET", "/v1/instances/web", token=token)
        expect((i["id"], i["project_id"]), (t.instance, t.project))
        i = cloud.must(200, "GET", "/v1/images/own", token=token)
        expect((i["id"], i["project_id"]), (t.image, t.project))
    expect(cloud.must(200, "GET", "/v1/instances/web")["id"],
           operators_instance, "the operator's")


case("names are per project", by_name_is_ones_own)


def other_projects_name():
    token = a.token["admin"]
    for ref in b.name, b.project, "default":
        r = cloud.call("GET", "/v1/projects/" + ref, token=token)
        expect((r.status, r.code), (404, "not_found"), repr(r))
        for path in "/v1/instances", "/v1/usage":
            r = cloud.call("GET", path + "?project=" + ref, token=token)
            expect((r.status, r.code), (404, "not_found"), repr(r))
    cloud.must(200, "GET", "/v1/instances?project=alpha", token=token)


def foreign_in_bodies():
    for role in "member", "admin":
        token = a.token[role]
        r = cloud.call("POST", "/v1/instances", {
            "name": "x", "image": b.image, "flavor": "small"}, token=token)
        none = cloud.call("POST", "/v1/instances", {
            "name": "x", "image": NOWHERE, "flavor": "small"}, token=token)
        expect((r.status, r.code), (none.status, none.code))
        expect(r.status, 400, repr(r))
    for ref in b.name, b.project:
        r = cloud.call("POST", "/v1/tokens", {
            "name": "x", "role": "reader", "project": ref},
            token=a.token["admin"])
        expect(r.status in (400, 404), True, repr(r))
    for role in "operator", "none":
        r = cloud.call("POST", "/v1/tokens", {"name": "x", "role": role},
                       token=a.token["admin"])
        expect(r.status, 400, repr(r))
    r = cloud.call("POST", "/v1/images", {
        "name": "x", "public": True, "parts": [{"name": "disk"}]},
        token=a.token["admin"])
    expect((r.status, r.code), (403, "forbidden"), repr(r))


def own_words_apart(path, r):
    """What is told beyond what the tenant's own callers once asked for, in
    vain: the audit log has those paths."""
    if path != "/v1/audit" or r.status != 200:
        return r.body.decode()
    entries = r.json["items"]
    for entry in entries:
        if entry["status"] >= 400:
            del entry["path"]
    return json.dumps(entries)


def no_leaks():
    """Whatever a tenant can read tells nothing of the other, not even by a
    page token that it should not know."""
    secrets = b.ids() + ["beta", operators_instance]
    for route in routes:
        method, path = route.split(" ")
        if method != "GET" or NEEDS[route] not in ROLES[:3] or \
                path.endswith("/console"):
            continue
        for role in [o for o in ROLES[:3] + ["billing"] if may(o, route)]:
            for query in "", "?page_token=" + b.instance[:-1] + "0":
                if query and "page_token" not in [
                        q["name"] for q in paths[path]["get"]["parameters"]]:
                    continue
                r = cloud.call("GET", fill_in(path, a) + query,
                               token=a.token[role])
                # Lists in the order of a log have page tokens of their own.
                if not query or r.status != 400 or \
                        path not in ("/v1/audit", "/v1/events"):
                    expect(r.status, 200, repr(r))
                text = own_words_apart(path, r)
                for s in secrets:
                    expect(s in text, False,
                           "%s of %s%s" % (s, path, query))
        if "node_id" in r.body.decode():
            raise AssertionError("%s tells a tenant the node" % path)
    lists = {p: cloud.must(200, "GET", p, token=a.token["admin"])["items"]
             for p in ("/v1/instances", "/v1/projects", "/v1/images",
                       "/v1/operations", "/v1/tokens")}
    expect([i["id"] for i in lists["/v1/instances"]], [a.instance])
    expect([p["id"] for p in lists["/v1/projects"]], [a.project])
    expect(sorted(i["name"] for i in lists["/v1/images"]),
           ["own", "shared", "waiting"])
    expect([o["id"] for o in lists["/v1/operations"]], [a.operation])
    expect(sorted(t["name"] for t in lists["/v1/tokens"]),
           ["admin", "billing", "member", "reader"])


def secrets_stay():
    for path in "/v1/tokens", "/v1/operations", "/v1/instances":
        text = cloud.call("GET", path).body.decode()
        expect("vt1." in text or "vs1." in text, False, path)
    text = cloud.call("GET", "/v1/users").body.decode()
    expect("argon2" in text or PASSWORD in text, False, "users")
    r = cloud.call("GET", "/v1/sessions", token=a.session["admin"])
    expect((r.status, "vs1." in r.body.decode()), (200, False), "sessions")
    with open(cloud.dir + "/controller.db", "rb") as f, \
            open(cloud.dir + "/controller.db-wal", "rb") as wal:
        rows = f.read() + wal.read()
    for s in (PASSWORD, a.token["admin"], a.session["admin"], cookie_secret,
              csrf):
        expect(s.encode() in rows, False, "a secret in the database")


def usage_is_separate():
    def of(token, query=""):
        return cloud.must(200, "GET", "/v1/usage" + query, token=token)
    for t in a, b:
        u = of(t.token["reader"])
        expect([i["instance_id"] for i in u["items"]], [t.instance])
        expect({i["project_id"] for i in u["items"]}, {t.project})
    u = of(a.token["reader"], "?instance=" + b.instance)
    expect((u["items"], float(u["running_seconds"])), ([], 0.0))
    ids = {i["instance_id"] for i in of(True)["items"]}
    expect(ids, {a.instance, b.instance, operators_instance}, "operator")
    ids = {i["instance_id"] for i in of(True, "?project=beta")["items"]}
    expect(ids, {b.instance}, "operator, by project")


def public_image():
    for t in a, b:
        for role in ROLES[:3]:
            i = cloud.must(200, "GET", "/v1/images/shared",
                           token=t.token[role])
            expect(i["public"], True)
        for role in "member", "admin":
            for ref in "shared", i["id"]:
                r = cloud.call("DELETE", "/v1/images/" + ref,
                               token=t.token[role])
                expect((r.status, r.code), (403, "forbidden"), repr(r))
                r = cloud.call("PUT", "/v1/images/%s/parts/kernel" % ref, b"x",
                               token=t.token[role])
                expect((r.status, r.code), (403, "forbidden"), repr(r))


case("another project by name or id: 404", other_projects_name)
case("another's in a request's body: refused as if it were not there",
     foreign_in_bodies)
case("nothing that a tenant reads tells of another", no_leaks)
case("no list and no row tells a secret", secrets_stay)
case("usage is separate", usage_is_separate)
case("a public image can be seen, and changed by nobody else", public_image)
after = everything()
same("nothing has changed by all of this", after, before)

# ---- what may be done ----


def use_public():
    i = cloud.act("POST", "/v1/instances", {
        "name": "of-shared", "image": "shared", "flavor": "small"},
        token=b.token["member"])
    cloud.act("DELETE", "/v1/instances/" + i["id"], token=b.token["member"])


def own_before_public():
    """One's own image of a public one's name is the one that is meant."""
    mine = cloud.image("shared", {"kernel": tiny_kernel()},
                       token=a.token["member"])
    i = cloud.must(200, "GET", "/v1/images/shared", token=a.token["member"])
    expect(i["id"], mine)
    i = cloud.must(200, "GET", "/v1/images/shared", token=b.token["member"])
    expect(i["public"], True)
    # Nor does it come between the operator and the operator's.
    i = cloud.must(200, "GET", "/v1/images/shared")
    expect((i["public"], i["id"] != mine), (True, True), "the operator's")
    cloud.must(204, "DELETE", "/v1/images/shared", token=a.token["member"])
    i = cloud.must(200, "GET", "/v1/images/shared", token=a.token["member"])
    expect(i["public"], True)


def operator_by_name():
    """A tenant's older image or token of the same name is not taken for the
    operator's own."""
    theirs = cloud.must(201, "POST", "/v1/images", {
        "name": "same", "parts": [{"name": "kernel"}]},
        token=a.token["member"])["id"]
    mine = cloud.must(201, "POST", "/v1/images", {
        "name": "same", "parts": [{"name": "kernel"}]})["id"]
    expect(cloud.must(200, "GET", "/v1/images/same")["id"], mine)
    cloud.must(200, "PUT", "/v1/images/same/parts/kernel", tiny_kernel())
    expect(cloud.must(200, "GET", "/v1/images/" + theirs)["state"], "pending")
    cloud.must(204, "DELETE", "/v1/images/same")
    cloud.must(200, "GET", "/v1/images/" + theirs)
    r = cloud.call("DELETE", "/v1/images/" + theirs)  # by id: means it
    expect(r.status, 204, repr(r))


def ambiguous_token():
    """Of two tenants' tokens of one name, the operator has to say which."""
    r = cloud.call("DELETE", "/v1/tokens/member")
    expect((r.status, r.code), (409, "ambiguous_name"), repr(r))
    cloud.must(204, "DELETE", "/v1/tokens/reader")  # the operator's own
    cloud.must(200, "GET", "/v1/whoami", token=b.token["reader"])
    cloud.must(204, "DELETE", "/v1/tokens/" + a.token_id["member"])
    cloud.must(204, "DELETE", "/v1/tokens/member")  # but one is left
    expect([cloud.call("GET", "/v1/whoami", token=t.token["member"]).status
            for t in (a, b)], [401, 401])


def token_lives_in_project():
    t = cloud.must(201, "POST", "/v1/tokens", {"name": "sub", "role": "admin"},
                   token=a.token["admin"])
    w = cloud.must(200, "GET", "/v1/whoami", token=t["token"])
    expect((w["project_id"], w["role"]), (a.project, "admin"))
    cloud.must(204, "DELETE", "/v1/tokens/sub", token=a.token["admin"])
    expect(cloud.call("GET", "/v1/whoami", token=t["token"]).status, 401)
    # The other's of that name is still good.
    cloud.must(204, "DELETE", "/v1/tokens/reader", token=a.token["admin"])
    expect(cloud.call("GET", "/v1/whoami",
                      token=a.token["reader"]).status, 401)
    cloud.must(200, "GET", "/v1/whoami", token=b.token["reader"])


def operators_see_all():
    ids = {i["id"] for i in cloud.must(200, "GET", "/v1/instances")["items"]}
    expect(ids, {a.instance, b.instance, operators_instance})
    i = cloud.must(200, "GET", "/v1/instances/" + b.instance)
    expect(i["project_id"], b.project)
    expect("node_id" in i, True)
    one = cloud.must(200, "GET", "/v1/instances?project=beta")["items"]
    expect([i["id"] for i in one], [b.instance])


def project_goes():
    """Its tokens go with it; while it owns something it stays."""
    r = cloud.call("DELETE", "/v1/projects/beta")
    expect((r.status, r.code), (409, "project_in_use"), repr(r))
    cloud.must(200, "GET", "/v1/whoami", token=b.token["reader"])
    cloud.must(201, "POST", "/v1/projects", {"name": "empty"})
    t = cloud.must(201, "POST", "/v1/tokens", {
        "name": "t", "role": "admin", "project": "empty"})["token"]
    cloud.must(200, "GET", "/v1/whoami", token=t)
    cloud.must(204, "DELETE", "/v1/projects/empty")
    expect(cloud.call("GET", "/v1/whoami", token=t).status, 401)


case("a public image can be used by all", use_public)
case("one's own image goes before a public one of its name",
     own_before_public)
case("the operator's names are the operator's", operator_by_name)
case("a token acts in its project, and ends when it is deleted",
     token_lives_in_project)
case("operators see all projects", operators_see_all)
case("a token's name that several projects have: 409 to operators",
     ambiguous_token)
case("a project goes when it is empty, with its tokens", project_goes)
case("the controller is well", cloud.healthy)
same("the agent ends in good order", node.end(), 0)
same("the controller ends in good order", cloud.daemon.end(), 0)
done()
