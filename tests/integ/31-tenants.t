#!/usr/bin/env python3
"""31-tenants.t - who may do what: every route of the API with every role, and
with what belongs to another project. The routes come from the API's own
description: a new one without a case here fails."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import re

from cloud import *  # pylint: disable=unused-wildcard-import

ROLES = ["reader", "member", "admin", "operator"]
NODE, OPEN = "node", "open"

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
    "GET /v1/whoami": "reader",
    "POST /v1/projects": "operator",
    "GET /v1/projects": "reader",
    "GET /v1/projects/{project}": "reader",
    "DELETE /v1/projects/{project}": "operator",
    "POST /v1/tokens": "admin",
    "GET /v1/tokens": "admin",
    "DELETE /v1/tokens/{token}": "admin",
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
    "GET /v1/instances": "reader",
    "GET /v1/instances/{instance}": "reader",
    "PATCH /v1/instances/{instance}": "member",
    "DELETE /v1/instances/{instance}": "member",
    "POST /v1/instances/{instance}/start": "member",
    "POST /v1/instances/{instance}/stop": "member",
    "POST /v1/instances/{instance}/reboot": "member",
    "GET /v1/instances/{instance}/console-log": "reader",
    "GET /v1/instances/{instance}/console": "member",
    "GET /v1/instances/{instance}/stats": "reader",
    "GET /v1/operations": "reader",
    "GET /v1/operations/{operation}": "reader",
    "GET /v1/usage": "reader",
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
# Good enough to be decoded: what is refused is refused for the role.
BODIES = {
    "POST /v1/projects": {"name": "sneaked"},
    "POST /v1/tokens": {"name": "sneaked", "role": "reader"},
    "POST /v1/flavors": {"name": "sneaked", "vcpus": 1,
                         "memory_bytes": 64 * MIB},
    "POST /v1/images": {"name": "sneaked", "parts": [{"name": "disk"}]},
    "POST /v1/instances": {"name": "sneaked", "image": "shared",
                           "flavor": "small"},
    "PATCH /v1/instances/{instance}": {"restart_policy": "never"},
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


class Tenant:
    """A project with a token of each role, and one of everything."""

    def __init__(self, name):
        self.name = name
        self.project = cloud.must(201, "POST", "/v1/projects",
                                  {"name": name})["id"]
        self.token, self.token_id = {}, {}
        for role in ROLES[:3]:
            t = cloud.must(201, "POST", "/v1/tokens", {
                "name": role, "role": role, "project": name})
            self.token[role], self.token_id[role] = t["token"], t["id"]
        member = self.token["member"]
        # The same names in each project.
        self.image = cloud.image("own", {"kernel": tiny_kernel()},
                                 token=member)
        self.waiting = cloud.must(201, "POST", "/v1/images", {
            "name": "waiting", "parts": [{"name": "initrd"},
                                         {"name": "kernel"}]},
            token=member)["id"]
        i = cloud.act("POST", "/v1/instances", {
            "name": "web", "image": "own", "flavor": "small"}, token=member)
        self.instance, self.operation = i["id"], i["operation_id"]

    def ids(self):
        return [self.project, self.image, self.waiting, self.instance,
                self.operation] + list(self.token_id.values())


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
    want = {OPEN: [], NODE: [{"node": []}]}.get(NEEDS.get(r),
                                               [{"bearer": []}])
    if said["security"] != want:
        ok(r + ": its description says who may", False, said)
ok("descriptions say who may", True)


def fill_in(path, t, by="id"):
    """The path with what belongs to that tenant."""
    values = {"id": {"project": t.project, "token": t.token_id["reader"],
                     "image": t.image, "instance": t.instance},
              "name": {"project": t.name, "token": "reader", "image": "own",
                       "instance": "web"}}[by]
    values = dict(values, flavor="small", node="n1", part="kernel",
                  operation=t.operation, request=NOWHERE, file="x.js")
    return re.sub(r"\{(\w+)\}", lambda m: values[m.group(1)], path)


def ask(route, t, token, by="id"):
    method, path = route.split(" ")
    body = BODIES.get(route)
    if body is None and method in ("POST", "PUT"):
        body = b"" if method == "POST" else b"x"
    headers = WEBSOCKET if path.endswith("/console") else None
    return cloud.call(method, fill_in(path, t, by), body, token=token,
                      headers=headers)


def everything():
    """What could have changed."""
    state = [cloud.must(200, "GET", p + "?limit=1000")["items"] for p in (
        "/v1/projects", "/v1/tokens", "/v1/flavors", "/v1/images",
        "/v1/instances", "/v1/operations")]
    return state, cloud.rows(), cloud.node_state("n1")


before = everything()

# ---- roles ----


def refused_roles(route):
    need = NEEDS[route]
    r = ask(route, a, None)
    if need == NODE:
        expect((r.status, r.code), (403, "certificate_required"),
               "without a token: %r" % r)
    else:
        expect((r.status, r.code), (401, "token_required"),
               "without a token: %r" % r)
        r = ask(route, a, "vt1." + "0" * 64)
        expect((r.status, r.code), (401, "bad_token"), "bad token: %r" % r)
    for role in ROLES:
        if need != NODE and ROLES.index(role) >= ROLES.index(need):
            continue
        token = True if role == "operator" else a.token[role]
        for by in "id", "name":
            r = ask(route, a, token, by)
            expect((r.status, r.code), (403, "certificate_required" if need ==
                                        NODE else "forbidden"),
                   "%s: %r" % (role, r))


for route in routes:
    if NEEDS.get(route, OPEN) != OPEN:
        case(route + ": refused without its role", refused_roles, route)

# ---- what belongs to another ----

FOREIGN = [r for r in routes if re.search(
    r"\{(project|token|image|instance|operation)\}", r) and
    NEEDS.get(r) in ROLES[:3]]


def not_theirs(route):
    """As if it were not there: to every role, for every verb."""
    least = ROLES.index(NEEDS[route])
    for role in ROLES[least:3]:
        r = ask(route, b, a.token[role])
        expect((r.status, r.code), (404, "not_found"), "%s: %r" % (role, r))
        # No word is different from what there never was.
        method, path = route.split(" ")
        none = cloud.call(
            method, re.sub(r"\{part\}", "kernel", re.sub(
                r"\{(?!part)\w+\}", NOWHERE, path)),
            b"" if method != "GET" else None, token=a.token[role],
            headers=WEBSOCKET if path.endswith("/console") else None)
        mine = r.json["detail"]
        for i in b.ids():
            mine = mine.replace(i, NOWHERE)
        expect(mine, none.json["detail"], "words")


ok("routes with what may be another's are found", len(FOREIGN) >= 14, FOREIGN)
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


def no_leaks():
    """Whatever a tenant can read tells nothing of the other, not even by a
    page token that it should not know."""
    secrets = b.ids() + ["beta", operators_instance]
    for route in routes:
        method, path = route.split(" ")
        if method != "GET" or NEEDS[route] not in ROLES[:3] or \
                path.endswith("/console"):
            continue
        for role in ROLES[ROLES.index(NEEDS[route]):3]:
            for query in "", "?page_token=" + b.instance[:-1] + "0":
                if query and "page_token" not in [
                        q["name"] for q in paths[path]["get"]["parameters"]]:
                    continue
                r = cloud.call("GET", fill_in(path, a) + query,
                               token=a.token[role])
                expect(r.status, 200, repr(r))
                for s in secrets:
                    expect(s in r.body.decode(), False,
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
           ["admin", "member", "reader"])


def secrets_stay():
    for path in "/v1/tokens", "/v1/operations", "/v1/instances":
        text = cloud.call("GET", path).body.decode()
        expect("vt1." in text, False, path)


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
case("no list tells a token's secret", secrets_stay)
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
