"""lib_bad.py - malformed requests, by tables: what 30-bad-input.t sends.

A row is one request, who sends it, and the refusal that must come: status,
code, and the pointer of the field that is named. Rows come from three places:
the tables below; the API's own document (each field of each body with each
kind of wrong value); and each route with a path into another tenant's project.

Over 800 lines: flat tables, one for each subject.
"""
# pylint: disable=missing-function-docstring,too-many-lines
import json
import re
from collections import namedtuple

from cloud import MIB

NOWHERE = "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"
PASSWORD = "correct horse battery"
SENDS_JSON = {"Content-Type": "application/json"}
KEY = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPtT3yGbsNCa1ib9bpGpvaQGrHYd0YvD6"
       "xM0L9iqAp+p")
NUMBERS = {"instances": 1, "vcpus": 1, "memory_bytes": 1, "disk_bytes": 1,
           "volumes": 1, "addresses": 1, "networks": 1, "images": 1,
           "image_bytes": 1, "tokens": 1}

Row = namedtuple("Row", "what who call body status code pointer headers",
                 defaults=(None, 400, "invalid", None, None))


def instance(**kw):
    return dict({"name": "two", "image": "bravo-image", "flavor": "small"},
                **kw)


# ---- who one is ----

def login(_):
    call = "POST /v1/login"
    good = {"user": "bravo-admin", "password": PASSWORD}
    for what, body, status, code, pointer in [
            ("an unknown user", {"user": "nobody", "password": PASSWORD},
             401, "bad_credentials", None),
            ("a wrong password", dict(good, password=PASSWORD + "x"), 401,
             "bad_credentials", None),
            ("a password cut off", dict(good, password=PASSWORD[:-1]), 401,
             "bad_credentials", None),
            ("a project that is not the user's", dict(good, project="acme"),
             404, "not_found", "/project"),
            ("a project that is not there", dict(good, project="none-such"),
             404, "not_found", "/project"),
            ("a user's id that is none", dict(good, user="not/a/name"), 400,
             "invalid", "/user"),
            ("a password with a NUL", b'{"user":"bravo-admin","password":'
             b'"a\\u0000b"}', 400, "bad_json", None),
            ("a password of 1 MiB", dict(good, password="x" * MIB), 413,
             "body_too_large", None)]:
        yield Row("login: " + what, None, call, body, status, code, pointer)
    yield Row("login: a cookie for another site's page", None, call,
              dict(good, cookie=True), 403, "foreign_origin", None,
              {"Origin": "https://evil.example"})
    yield Row("login: an unknown parameter", None, call + "?next=/", good,
              pointer="?next")
    yield Row("login: by a form", None, call, b"user=ada&password=x", 415,
              "media_type", None,
              {"Content-Type": "application/x-www-form-urlencoded"})


def sessions(w):
    for call in ("GET /v1/sessions", "POST /v1/logout",
                 "DELETE /v1/sessions/" + NOWHERE):
        yield Row("session: %s with a token" % call[:20], "admin", call, None,
                  403, "session_required")
    for what, ref in [("nowhere", NOWHERE), ("no id", "x"),
                      ("another's", w["acme"]["session"]),
                      ("an escape", "%2e%2e"), ("a NUL", "%00"),
                      ("quotes", "'%20OR%201=1"), ("long", "a" * 250)]:
        yield Row("session: the end of one that is " + what, "session",
                  "DELETE /v1/sessions/" + ref, None, 404, "not_found")
    for what, ref, status, code in [
            ("another's", "acme", 404, "not_found"),
            ("another's by id", w["acme"]["project"], 404, "not_found"),
            ("none", NOWHERE, 404, "not_found"),
            ("no name", "../x", 400, "invalid")]:
        yield Row("session: to a project that is " + what, "session",
                  "PATCH /v1/session", {"project": ref}, status, code,
                  "/project")
    yield Row("password: with a token", "admin", "POST /v1/password",
              {"old_password": PASSWORD, "new_password": PASSWORD + "!"}, 403,
              "session_required")
    yield Row("password: another old one", "session", "POST /v1/password",
              {"old_password": PASSWORD + "x", "new_password": PASSWORD + "!"},
              400, "invalid", "/old_password")
    yield Row("password: a new one too short", "session", "POST /v1/password",
              {"old_password": PASSWORD, "new_password": "short"}, 400,
              "invalid", "/new_password")


def cookies(w):
    name, good = "__Host-virga", w["cookie"]
    for what, text, code in [
            ("without a value", name, "token_required"),
            ("with nothing", name + "=", "bad_token"),
            ("with garbage", name + "=x", "bad_token"),
            ("in quotes", '%s="%s"' % (name, good), "bad_token"),
            ("of another letter", name.lower() + "=" + good,
             "token_required"),
            ("with a name that ends so", "x" + name + "=" + good,
             "token_required"),
            ("cut off", "%s=%s" % (name, good[:-1]), "bad_token"),
            ("a bad one before the good one",
             "%s=x; %s=%s" % (name, name, good), "bad_token"),
            ("a bearer token's secret", "%s=%s" % (name, w["tokens"]["admin"]),
             "bad_token"),
            ("a bearer session's secret",
             "%s=%s" % (name, w["tokens"]["session"]), "bad_token"),
            ("50 others", "a=b; " * 50, "token_required"),
            ("semicolons only", ";" * 50, "token_required"),
            ("equal signs only", "=" * 500, "token_required")]:
        yield Row("cookie: " + what, None, "GET /v1/whoami", None, 401, code,
                  None, {"Cookie": text})
    yield Row("cookie: its secret as a bearer token", None, "GET /v1/whoami",
              None, 401, "bad_token", None,
              {"Authorization": "Bearer " + good})
    yield Row("cookie: beside a bad bearer token", None, "GET /v1/whoami",
              None, 401, "bad_token", None,
              {"Cookie": name + "=" + good, "Authorization": "Bearer x"})
    yield Row("cookie: beside an empty Authorization", None, "GET /v1/whoami",
              None, 401, "token_required", None,
              {"Cookie": name + "=" + good, "Authorization": ""})
    for what, csrf in [("no", None), ("an empty", ""), ("a wrong", "0" * 64),
                       ("a cut", w["csrf"][:-1]), ("a longer", w["csrf"] + "0"),
                       ("an upper-case", w["csrf"].upper()),
                       ("a huge", "0" * 4000)]:
        h = {"Cookie": name + "=" + good}
        if csrf is not None:
            h["X-CSRF-Token"] = csrf
        for call, body in [("POST /v1/keypairs", {"name": "k",
                                                  "public_key": KEY}),
                           ("DELETE /v1/instances/bravo-one", None)]:
            yield Row("cookie: %s CSRF token: %s" % (what, call), None, call,
                      body, 403, "csrf_token_required", None, h)
    yield Row("cookie: a console for another site's page", None,
              "GET /v1/instances/bravo-one/console", None, 403,
              "foreign_origin", None, {
                  "Cookie": name + "=" + good, "Upgrade": "websocket",
                  "Origin": "https://evil.example"})


def users(w):
    good = {"name": "carol", "password": PASSWORD}
    for what, who, change, status, code, pointer in [
            ("an operator, by a tenant", "admin", {"operator": True}, 400,
             "invalid", "/operator"),
            ("the role operator", "admin", {"role": "operator"}, 400,
             "invalid", "/role"),
            ("the role operator, by an operator", "operator",
             {"role": "operator", "project": "bravo"}, 400, "invalid",
             "/role"),
            ("another's project for home", "admin", {"project": "acme"}, 404,
             "not_found", "/project"),
            ("no project for home", "operator", {"project": "none-such"}, 404,
             "not_found", "/project"),
            ("a name that is taken", "admin", {"name": "bravo-admin"}, 409,
             "name_taken", "/name"),
            ("a name that another has", "admin", {"name": "carol-acme"}, 409,
             "name_taken", "/name"),
            ("a password of 9", "admin", {"password": "x" * 9}, 400,
             "invalid", "/password"),
            ("a password of 1025", "admin", {"password": "x" * 1025}, 400,
             "invalid", "/password"),
            ("a password with a line end", "admin",
             {"password": "ten letters\nand more"}, 400, "invalid",
             "/password"),
            ("memberships", "admin", {"memberships": []}, 400, "invalid",
             "/memberships")]:
        yield Row("user: " + what, who, "POST /v1/users", dict(good, **change),
                  status, code, pointer)
    for ref in NOWHERE, "none-such", w["acme"]["user"], "carol-acme", "%00", \
            "UP", "a" * 250:
        for method, body in ("PATCH", {"disabled": True}), ("DELETE", None), \
                ("GET", None):
            yield Row("user: %s %.12s" % (method, ref), "admin",
                      "%s /v1/users/%s" % (method, ref), body, 404,
                      "not_found")
    yield Row("user: oneself disabled", "session",
              "PATCH /v1/users/bravo-admin", {"disabled": True}, 409,
              "self_lockout")
    yield Row("user: oneself deleted", "session",
              "DELETE /v1/users/bravo-admin", None, 409, "self_lockout")
    at = "PUT /v1/projects/bravo/members/"
    for role in "operator", "king", "", "Reader", 7, None, ["reader"]:
        yield Row("member: the role %r" % role, "admin", at + "bravo-admin",
                  {"role": role}, pointer="/role")
    for ref in NOWHERE, "none-such", w["acme"]["user"], "carol-acme":
        yield Row("member: %.12s" % ref, "admin", at + ref,
                  {"role": "reader"}, 404, "not_found")
        yield Row("member: %.12s taken out" % ref, "admin",
                  at.replace("PUT", "DELETE") + ref, None, 404, "not_found")
    for ref in "acme", w["acme"]["project"], NOWHERE:
        yield Row("member: of the project %.12s" % ref, "admin",
                  "PUT /v1/projects/%s/members/bravo-admin" % ref,
                  {"role": "reader"}, 404, "not_found")


def quotas(w):
    call, good = "PUT /v1/projects/bravo/quota", {"limits": NUMBERS}
    yield Row("quota: without If-Match", "operator", call, good, 428,
              "precondition_required")
    for tag, status, code in [
            ('"0"', 412, "precondition_failed"),
            ('"999"', 412, "precondition_failed"),
            ('W/"1"', 412, "precondition_failed"),
            ('"-1"', 412, "precondition_failed"),
            ('"1 "', 400, "bad_if_match"), ("1", 400, "bad_if_match"),
            ("", 400, "bad_if_match"), ('"', 400, "bad_if_match"),
            ('"1', 400, "bad_if_match"), ('"1" "1"', 400, "bad_if_match"),
            ('"1"x', 400, "bad_if_match"), ("**", 400, "bad_if_match"),
            ("*, \"1\"", 400, "bad_if_match"), ("w/\"1\"", 400,
                                                "bad_if_match"),
            (",", 400, "bad_if_match"), ('"' + "1" * 3000 + '"', 412,
                                         "precondition_failed")]:
        yield Row("quota: If-Match: %.12s" % tag, "operator", call, good,
                  status, code, None, {"If-Match": tag})
    for key, value, pointer in [
            ("vcpus", -2, "/limits/vcpus"), ("vcpus", "1", "/limits/vcpus"),
            ("vcpus", 1.5, "/limits/vcpus"), ("cores", 1, "/limits/cores"),
            ("tokens", None, "/limits/tokens")]:
        yield Row("quota: %s %r" % (key, value), "operator", call,
                  {"limits": dict(NUMBERS, **{key: value})}, pointer=pointer,
                  headers={"If-Match": "*"})
    yield Row("quota: used, which is not to be set", "operator", call,
              {"limits": NUMBERS, "used": NUMBERS}, pointer="/used",
              headers={"If-Match": "*"})
    for ref in "acme", w["acme"]["project"], NOWHERE:
        yield Row("quota: of %.12s" % ref, "reader",
                  "GET /v1/projects/%s/quota" % ref, None, 404, "not_found")


def tokens(w):
    good = {"name": "t", "role": "reader"}
    for what, who, change, status, code, pointer in [
            ("an unknown scope", "admin", {"scopes": ["all"]}, 400, "invalid",
             "/scopes/0"),
            ("a star", "admin", {"scopes": ["*"]}, 400, "invalid",
             "/scopes/0"),
            ("a scope without a group", "admin", {"scopes": [":read"]}, 400,
             "invalid", "/scopes/0"),
            ("a scope without a verb", "admin", {"scopes": ["images"]}, 400,
             "invalid", "/scopes/0"),
            ("a scope in capitals", "admin", {"scopes": ["Images:read"]}, 400,
             "invalid", "/scopes/0"),
            ("a good scope and a bad one", "admin",
             {"scopes": ["images:read", "images:own"]}, 400, "invalid",
             "/scopes/1"),
            ("an empty scope", "admin", {"scopes": [""]}, 400, "invalid",
             "/scopes/0"),
            ("33 scopes", "admin", {"scopes": ["images:read"] * 33}, 400,
             "invalid", "/scopes"),
            ("a scope that is a number", "admin", {"scopes": [1]}, 400,
             "invalid", "/scopes/0"),
            ("a role above one's own", "admin", {"role": "operator"}, 400,
             "invalid", "/role"),
            ("an operator's with a project", "operator",
             {"role": "operator", "project": "bravo"}, 400, "invalid",
             "/project"),
            ("another's project", "admin", {"project": "acme"}, 404,
             "not_found", "/project"),
            ("another's project by id", "admin",
             {"project": w["acme"]["project"]}, 404, "not_found", "/project"),
            ("a time in the past", "admin",
             {"expires_at": "2001-01-01T00:00:00Z"}, 400, "invalid",
             "/expires_at"),
            ("the 30th of February", "admin",
             {"expires_at": "2031-02-30T00:00:00Z"}, 400, "invalid",
             "/expires_at"),
            ("a time without a zone", "admin",
             {"expires_at": "2031-02-01T00:00:00"}, 400, "invalid",
             "/expires_at"),
            ("the year 99999", "admin",
             {"expires_at": "99999-01-01T00:00:00Z"}, 400, "invalid",
             "/expires_at"),
            ("a time that is a number", "admin", {"expires_at": 4102444800},
             400, "invalid", "/expires_at"),
            ("a name that is taken", "admin", {"name": "admin"}, 409,
             "name_taken", "/name")]:
        yield Row("token: " + what, who, "POST /v1/tokens",
                  dict(good, **change), status, code, pointer)
    for ref in NOWHERE, "none-such", w["acme"]["token"], "%ff", "a" * 250:
        yield Row("token: %.12s revoked" % ref, "admin",
                  "DELETE /v1/tokens/" + ref, None, 404, "not_found")


def keypairs(w):
    kind, data = KEY.split()
    rsa = "AAAAB3NzaC1yc2EAAAADAQABAAAAgQ" + "D" * 170 + "8="
    for what, text in [
            ("text", "this is no key at all"), ("a type alone", kind + "  " * 9),
            ("no type", data), ("an unknown type", "ssh-x " + data),
            ("another type inside", "ssh-rsa " + data),
            ("DSA", "ssh-dss " + data),
            ("a certificate", "ssh-ed25519-cert-v01@openssh.com " + data),
            ("options before it", 'command="id" ' + KEY),
            ("bad base64", kind + " " + data.replace("A", "!", 1)),
            ("base64 cut off", kind + " " + data[:-1]),
            ("base64 with URL letters", kind + " " + data[:-4] + "-_-_"),
            ("base64 padded where none is", kind + " " + data + "===="),
            ("bytes behind its end", kind + " " + data + "AAAA"),
            ("a key of 31 bytes", kind + " " + data[:-4]),
            ("nothing in base64", kind + " ===="),
            ("RSA that is none", "ssh-rsa " + rsa),
            ("two lines", KEY + "\n" + KEY), ("a line end", KEY + "\n"),
            ("a carriage return", KEY + "\r"), ("a tab", kind + "\t" + data),
            ("a space before it", " " + KEY),
            ("two spaces in it", kind + "  " + data),
            ("a private key", "-----BEGIN OPENSSH PRIVATE KEY-----" + data),
            ("an escape in its comment", KEY + " \x1b[31mred"),
            ("16,385 bytes", KEY + " " + "c" * 16384), ("15 bytes", "x" * 15),
            ("umlauts for a type", "\u00fc\u00e4\u00f6 " + data)]:
        yield Row("keypair: " + what, "member", "POST /v1/keypairs",
                  {"name": "k", "public_key": text}, pointer="/public_key")
    yield Row("keypair: a NUL", "member", "POST /v1/keypairs",
              b'{"name":"k","public_key":"ssh-ed25519 \\u0000AAAA"}', 400,
              "bad_json")
    yield Row("keypair: a name taken", "member", "POST /v1/keypairs",
              {"name": "bravo-key", "public_key": KEY}, 409, "name_taken",
              "/name")
    yield Row("keypair: in another's project", "member",
              "POST /v1/keypairs?project=acme", {"name": "k",
                                                 "public_key": KEY}, 404,
              "not_found")
    for ref in NOWHERE, "none-such", w["acme"]["keypair"], "acme-key", "%00":
        for method in "GET", "DELETE":
            yield Row("keypair: %s %.12s" % (method, ref), "member",
                      "%s /v1/keypairs/%s" % (method, ref), None, 404,
                      "not_found")


# ---- instances ----

LABELS = [
    ("a list", [], "/labels"), ("a text", "a=b", "/labels"),
    ("a number for a value", {"a": 1}, "/labels/a"),
    ("null for a value", {"a": None}, "/labels/a"),
    ("an object for a value", {"a": {"b": "c"}}, "/labels/a"),
    ("an empty key", {"": "x"}, "/labels/"),
    ("a key of 64", {"k" * 64: "x"}, "/labels/" + "k" * 64),
    ("a value of 64", {"a": "v" * 64}, "/labels/a"),
    ("a key with a space", {"a b": "x"}, "/labels/a b"),
    ("a key that begins with -", {"-a": "x"}, "/labels/-a"),
    ("a key that ends with /", {"a/": "x"}, "/labels/a~1"),
    ("a key with ~", {"a~b": "x"}, "/labels/a~0b"),
    ("an umlaut for a key", {"\u00fc": "x"}, "/labels/\u00fc"),
    ("an umlaut in a value", {"a": "gr\u00fcn"}, "/labels/a"),
    ("an emoji", {"a": "\U0001f600"}, "/labels/a"),
    ("a value from right to left", {"a": "\u202eevil"}, "/labels/a"),
    ("a combining accent", {"a": "e\u0301"}, "/labels/a"),
    ("a zero-width space", {"a": "b\u200b"}, "/labels/a"),
    ("65 labels", {"k%d" % n: "v" for n in range(65)}, "/labels"),
    ("1,000 labels", {"k%d" % n: "v" for n in range(1000)}, "/labels"),
    ("a line end", {"a": "b\nc"}, "/labels/a"),
    ("an equal sign", {"a=b": "c"}, "/labels/a=b"),
    ("a comma", {"a": "b,c"}, "/labels/a")]


def labels(_):
    for what, value, pointer in LABELS:
        yield Row("labels: " + what, "member", "POST /v1/instances",
                  instance(labels=value), pointer=pointer)
        yield Row("labels: " + what + ", by PATCH", "member",
                  "PATCH /v1/instances/bravo-one", {"labels": value},
                  pointer=pointer)
    start = b'{"name":"two","image":"bravo-image","flavor":"small","labels":'
    for what, text in [
            ("a key twice", b'{"a":"b","a":"c"}}'),
            ("a NUL in a key", b'{"a\\u0000":"b"}}'),
            ("a NUL in a value", b'{"a":"\\u0000"}}'),
            ("a lone surrogate", b'{"a":"\\udc00"}}'),
            ("5,000 levels", b'{"a":' * 5000 + b"1" + b"}" * 5001)]:
        yield Row("labels: " + what, "member", "POST /v1/instances",
                  start + text, 400, "bad_json")


def create(w):
    for what, change, pointer in [
            ("user data with an escape", {"user_data": "\x1b[2J"},
             "/user_data"),
            ("user data beyond 64 KiB", {"user_data": "x" * 65537},
             "/user_data"),
            ("user data that is an object", {"user_data": {}}, "/user_data"),
            ("17 keypairs", {"keypairs": ["bravo-key"] * 17}, "/keypairs"),
            ("a keypair that is not there", {"keypairs": ["none-such"]},
             "/keypairs/0"),
            ("another's keypair", {"keypairs": ["bravo-key", "acme-key"]},
             "/keypairs/1"),
            ("another's keypair by id", {"keypairs": [w["acme"]["keypair"]]},
             "/keypairs/0"),
            ("a keypair twice", {"keypairs": ["bravo-key", "bravo-key"]},
             "/keypairs/1"),
            ("a keypair without a name", {"keypairs": [""]}, "/keypairs/0"),
            ("another's image", {"image": "acme-image"}, "/image"),
            ("another's image by id", {"image": w["acme"]["image"]},
             "/image"),
            ("an image by a path", {"image": "../acme/acme-image"},
             "/image"),
            ("no such flavor", {"flavor": NOWHERE}, "/flavor"),
            ("a policy that is none", {"restart_policy": "sometimes"},
             "/restart_policy"),
            ("locked by a word", {"locked": "yes"}, "/locked"),
            ("protected by 1", {"delete_protection": 1},
             "/delete_protection"),
            ("a node to be on", {"node_id": NOWHERE}, "/node_id"),
            ("another's project in the body",
             {"project_id": w["acme"]["project"]}, "/project_id")]:
        yield Row("create: " + what, "member", "POST /v1/instances",
                  instance(**change), pointer=pointer)
        yield Row("dry run: " + what, "member",
                  "POST /v1/instances?dry_run=true", instance(**change),
                  pointer=pointer)
        yield Row("batch: " + what, "member", "POST /v1/instance-batches",
                  {"instance": instance(**change), "count": 2},
                  pointer="/instance" + pointer)
    yield Row("create: in another's project", "member",
              "POST /v1/instances?project=acme", instance(), 404, "not_found")
    yield Row("create: in no project", "member",
              "POST /v1/instances?project=", instance(), 404, "not_found")
    for value in "yes", "1", "", "TRUE", "true%20", "tru%00e", "%ff":
        for path in "/v1/instances", "/v1/instance-batches":
            yield Row("dry_run=%s of %s" % (value, path), "member",
                      "POST %s?dry_run=%s" % (path, value),
                      instance() if path == "/v1/instances" else
                      {"instance": instance(), "count": 2},
                      pointer="?dry_run")
    for count in 0, -1, 1001, 2**31, 2**63 - 1, 1.5, "3", True, None, [3]:
        yield Row("batch: count %r" % count, "member",
                  "POST /v1/instance-batches",
                  {"instance": instance(), "count": count}, pointer="/count")
    for what, body, pointer in [
            ("no instance", {"count": 2}, "/instance"),
            ("a list for an instance", {"instance": [], "count": 2},
             "/instance"),
            ("a text for an instance", {"instance": "bravo-one", "count": 2},
             "/instance"),
            ("an instance of nothing", {"instance": {}, "count": 2},
             "/instance/image"),
            ("a field too many", {"instance": instance(colour="red"),
                                  "count": 2}, "/instance/colour"),
            ("a policy that is none", {"instance": instance(), "count": 2,
                                       "policy": "some"}, "/policy"),
            ("items", {"instance": instance(), "count": 2, "items": []},
             "/items"),
            ("62 letters, 2 times", {"instance": instance(name="a" * 62),
                                     "count": 2}, "/instance/name"),
            ("61 letters, 10 times", {"instance": instance(name="a" * 61),
                                      "count": 10}, "/instance/name"),
            ("60 letters, 100 times", {"instance": instance(name="a" * 60),
                                       "count": 100}, "/instance/name")]:
        yield Row("batch: " + what, "member", "POST /v1/instance-batches",
                  body, pointer=pointer)
    yield Row("batch: a name taken", "member", "POST /v1/instance-batches",
              {"instance": instance(name="bravo"), "count": 2}, 409,
              "name_taken", "/instance/name")


def changes(w):
    at = "/v1/instances/bravo-one"
    for what, body, status, code, pointer in [
            ("a name taken", {"name": "bravo-2"}, 409, "name_taken", "/name"),
            ("a name like an id", {"name": NOWHERE}, 400, "invalid", "/name"),
            ("a state", {"state": "stopped"}, 400, "invalid", "/state"),
            ("a flavor", {"flavor": "small"}, 400, "invalid", "/flavor"),
            ("user data", {"user_data": "x"}, 400, "invalid", "/user_data"),
            ("a list", [{"name": "x"}], 400, "invalid", ""),
            ("a JSON patch", [{"op": "remove", "path": "/name"}], 400,
             "invalid", "")]:
        yield Row("PATCH: " + what, "member", "PATCH " + at, body, status,
                  code, pointer)
    yield Row("PATCH: a JSON patch by its type", "member", "PATCH " + at, b"[]",
              415, "media_type", None,
              {"Content-Type": "application/json-patch+json"})
    for verb, body in [("PATCH ", {"locked": False}), ("DELETE ", None),
                       ("POST %s/stop", {}), ("POST %s/rebuild",
                                              {"image": "bravo-image"}),
                       ("POST %s/resize", {"flavor": "small"})]:
        call = verb % at if "%s" in verb else verb + at
        yield Row("If-Match: stale: " + call, "member", call, body, 412,
                  "precondition_failed", None, {"If-Match": '"777"'})
        yield Row("If-Match: garbage: " + call, "member", call, body, 400,
                  "bad_if_match", None, {"If-Match": "777"})
    for field, verb in ("flavor", "resize"), ("image", "rebuild"):
        for what, value in [("nothing", None), ("nothing there", "none-such"),
                            ("a number", 7), ("a path", "../x"), ("a list", []),
                            ("empty", "")]:
            yield Row("%s: to %s" % (verb, what), "member",
                      "POST %s/%s" % (at, verb),
                      {field: value} if value is not None else {},
                      pointer="/" + field)
    yield Row("rebuild: from another's image", "member",
              "POST %s/rebuild" % at, {"image": w["acme"]["image"]},
              pointer="/image")
    yield Row("rebuild: user data with a NUL", "member",
              "POST %s/rebuild" % at,
              b'{"image":"bravo-image","user_data":"\\u0000"}', 400,
              "bad_json")
    yield Row("rebuild: user data beyond 64 KiB", "member",
              "POST %s/rebuild" % at,
              {"image": "bravo-image", "user_data": "x" * 65537},
              pointer="/user_data")
    yield Row("stop: force by a word", "member", "POST %s/stop" % at,
              {"force": "yes"}, pointer="/force")
    for verb in "start", "resume":
        yield Row(verb + ": of what runs", "member", "POST %s/%s" % (at, verb),
                  None, 409, "wrong_state")
    for verb in "explode", "START", "start/", "start%00", "%2e%2e":
        yield Row("a verb that is none: " + verb, "member",
                  "POST %s/%s" % (at, verb), None, 404, "not_found")


def operations(w):
    refs = ["x", NOWHERE, NOWHERE.upper(), NOWHERE[:-1], NOWHERE + "0",
            "0" * 36, "-" * 36, "%00", "..%2fusers", "'--", "%F0%9F%98%80",
            w["acme"]["operation"], w["acme"]["instance"], "acme-one",
            "{%s}" % NOWHERE, "urn:uuid:" + NOWHERE, "9" * 250]
    for ref in refs:
        for call in "GET /v1/operations/%s", "POST /v1/operations/%s/cancel":
            yield Row("operation: " + call % ref[:20], "member", call % ref,
                      None, 404, "not_found")
        if "acme" not in ref and ref not in w["acme"].values():
            for verb in "retry", "undo":
                yield Row("operation: %s %.20s" % (verb, ref), "operator",
                          "POST /v1/operations/%s/%s" % (ref, verb), None,
                          404, "not_found")
    for verb in "retry", "undo":
        yield Row("operation: a tenant's %s" % verb, "admin",
                  "POST /v1/operations/%s/%s" % (w["operation"], verb), None,
                  403, "forbidden")
        yield Row("operation: %s of what succeeded" % verb, "operator",
                  "POST /v1/operations/%s/%s" % (w["operation"], verb), None,
                  409, "not_retryable" if verb == "retry" else "not_undoable")
    yield Row("operation: cancel of what succeeded", "member",
              "POST /v1/operations/%s/cancel" % w["operation"], None, 409,
              "not_cancellable")
    for wait in "61s", "-1s", "x", "", "1m1s", "1h", "1e9s", "%001s", "999999999h":
        yield Row("operation: wait=" + wait, "member",
                  "GET /v1/operations/%s?wait=%s" % (w["operation"], wait),
                  pointer="?wait")


def filters(_):
    for text in ["=", "!", "a", "!a", "state", "state=", "state=flying",
                 "state==running", "!state=running", "state!running",
                 "colour=red", "label.", "label.=x", "!label.", "label.a%20b=c",
                 "label.a=" + "x" * 64, "label." + "x" * 64, "label.%C3%BC=x",
                 "!label.a=b", "name=UPPER", "name=a%20b", "locked=yes",
                 "locked=1", "locked=TRUE", "node_id=" + NOWHERE, "image=%2F",
                 "state=running,", ",state=running", "a=b,,c=d", "%00", "%ff",
                 "%ff%fe=%fd", "state=running%00", "'%20OR%201=1",
                 "%20state=running", ",".join(["state=running"] * 100),
                 "name=" + "a" * 2000, "\u20ac".encode().hex("%").join(
                     ["%", "=x"]), "id%3Dx", "restart_policy=9"]:
        yield Row("filter of instances: %.30s" % text, "reader",
                  "GET /v1/instances?filter=" + text, pointer="?filter")
    for text in ["stuck=maybe", "state=flying", "resource_id=x", "colour=red",
                 "label.a=b", "stuck", "state=", ",", "state=running,"]:
        yield Row("filter of operations: " + text, "reader",
                  "GET /v1/operations?filter=" + text, pointer="?filter")
    for text in ["status=x", "status=", "status=1e3", "status=0x10",
                 "status=99999999999999999999", "resource_id=x", "colour=red",
                 "actor", "label.a=b", "status=200,"]:
        yield Row("filter of the audit log: " + text, "admin",
                  "GET /v1/audit?filter=" + text, pointer="?filter")


# ---- what happened ----

def events(w):
    for query, pointer in [
            ("since=-1", "?since"), ("since=x", "?since"), ("since=", "?since"),
            ("since=1e3", "?since"), ("since=%201", "?since"),
            ("since=%2B1", "?since"), ("since=0x10", "?since"),
            ("since=LATEST", "?since"), ("since=1.0", "?since"),
            ("since=99999999999999999999", "?since"),
            ("since=999999999999", None), ("limit=0", "?limit"),
            ("limit=1001", "?limit"), ("limit=-1", "?limit"),
            ("limit=%2B1", "?limit"), ("limit=%201", "?limit"),
            ("limit=1;since=2", "?limit"), ("limit=1&limit=2", "?limit"),
            ("wait=61s", "?wait"), ("wait=x", "?wait"), ("wait=-1s", "?wait"),
            ("page_token=x", "?page_token"), ("page_token=-1", "?page_token"),
            ("kinds=Instance.*", "?kinds"), ("kinds=instance.*x", "?kinds"),
            ("kinds=*x", "?kinds"), ("kinds=,", "?kinds"),
            ("kinds=node.up,,node.down", "?kinds"),
            ("kinds=node.up,", "?kinds"), ("kinds=" + "a" * 65, "?kinds"),
            ("kinds=" + ",".join(["node.up"] * 200), "?kinds"),
            ("kinds=n%00de", "?kinds"), ("kinds=%C3%BC", "?kinds"),
            ("kinds=a%20b", "?kinds"), ("colour=red", "?colour"),
            ("=x", "?"), ("%00=x", "?%00")]:
        code = "invalid" if pointer else "events_expired"
        yield Row("events: %.30s" % query, "reader", "GET /v1/events?" + query,
                  None, 400, code, pointer)
    for ref in "acme", w["acme"]["project"], NOWHERE, "", "UP":
        for path in "events", "instances", "operations", "usage":
            yield Row("%s: of the project %.12s" % (path, ref), "reader",
                      "GET /v1/%s?project=%s" % (path, ref), None, 404,
                      "not_found")
        yield Row("audit: of the project %.12s" % ref, "admin",
                  "GET /v1/audit?project=" + ref, None, 404, "not_found")
    for last in "x", "-1", "1e3", "1 ", "9" * 30, "0x1", "\u00fc", "1,2":
        yield Row("events: Last-Event-ID: %.8s" % last, "reader",
                  "GET /v1/events", None, 400, "invalid", "Last-Event-ID",
                  {"Last-Event-ID": last.encode(),
                   "Accept": "text/event-stream"})
    yield Row("events: a stream since nonsense", "reader",
              "GET /v1/events?since=soon", None, 400, "invalid", "?since",
              {"Accept": "text/event-stream"})
    for query, pointer in [
            ("limit=0", "?limit"), ("page_token=x", "?page_token"),
            ("page_token=" + NOWHERE.upper(), "?page_token"),
            ("from=yesterday", "?from"), ("path=/v1&path=/v2", "?path")]:
        yield Row("audit: " + query, "admin", "GET /v1/audit?" + query,
                  pointer=pointer)
    for query, pointer in [
            ("from=", "?from"), ("from=2026-02-30T00:00:00Z", "?from"),
            ("from=2026-01-01", "?from"), ("to=1e9", "?to"),
            ("to=2026-01-01T00:00:00", "?to"),
            ("from=2026-01-01T25:00:00Z", "?from"),
            ("from=-2026-01-01T00:00:00Z", "?from"),
            ("from=2026-01-01T00:00:00Z&from=2026-01-02T00:00:00Z", "?from")]:
        yield Row("usage: " + query, "reader", "GET /v1/usage?" + query,
                  pointer=pointer)
    for who, query, status, code, pointer in [
            ("admin", "", 403, "forbidden", None),
            ("member", "", 403, "forbidden", None),
            ("operator", "?full=true", 400, "invalid", "?full"),
            ("operator", "?%2e%2e", 400, "invalid", "?..")]:
        yield Row("backup: %s %s" % (who, query), who,
                  "GET /v1/admin/backup" + query, None, status, code, pointer)


BAD_URLS = [
    "", "x", "https://", "https:///x", "https:/x.example/", "//x.example/",
    "ftp://x.example/", "file:///etc/passwd", "gopher://x.example/",
    "javascript:alert(1)", "data:text/plain,xxxx", "unix:///run/x.sock",
    "https://u@x.example/", "https://u:p@x.example/", "https://:p@x.example/",
    "https://x.example\\@127.0.0.1/", "https://x.example:0/",
    "https://x.example:65536/", "https://x.example:-1/",
    "https://x.example:port/", "https://x.example:443:80/",
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/",
    "https://0x7f000001/", "https://0177.0.0.1/", "https://0/",
    "https://0.0.0.0/", "https://10.1.2.3/", "https://172.16.0.1/",
    "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/", "https://224.0.0.1/", "https://255.255.255.255/",
    "https://[::1]/", "https://[::]/", "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/", "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[zz]/",
    "https://[", "https://localhost/", "https://LOCALHOST:8080/",
    "https://localhost./", "https://a.localhost/",
    "https://%6c%6f%63%61%6c%68%6f%73%74/", "https://a b.example/",
    " https://x.example/", "https://x.example/ ", "https://x.example/\r\nX: y",
    "https://x.example/\u00fc", "https://m\u00fcller.example/",
    "https://127\u30020.0.1/", "https://\uff11\uff12\uff17.0.0.1/",
    "https://x..example/", "https://.example/", "https://-x.example/",
    "https://x-.example/", "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 130 + "example/", "https://x.example/" + "a" * 2048]


def webhooks(w):
    good = {"name": "h", "url": "https://hooks.example.com/"}
    hook = "/v1/webhooks/" + w["webhook"]
    for url in BAD_URLS:
        yield Row("webhook: %.40r" % url, "admin", "POST /v1/webhooks",
                  dict(good, url=url), pointer="/url")
        yield Row("webhook: changed to %.40r" % url, "admin", "PATCH " + hook,
                  {"url": url}, pointer="/url")
    for what, text in [
            ("short", "x"), ("of a prefix alone", "whsec_" + " " * 20),
            ("without the prefix", "A" * 44), ("not base64",
                                               "whsec_" + "!" * 40),
            ("16 bytes", "whsec_" + "AAAA" * 5 + "AA=="),
            ("too long", "whsec_" + "A" * 130),
            ("with a space", "whsec_" + "AAAA" * 10 + " AAA")]:
        yield Row("webhook: a secret that is " + what, "admin",
                  "POST /v1/webhooks", dict(good, secret=text),
                  pointer="/secret")
    for what, kinds, pointer in [
            ("in capitals", ["Node.up"], "/kinds/0"), ("empty", [""],
                                                       "/kinds/0"),
            ("with a comma", ["node.up,node.down"], "/kinds/0"),
            ("the second bad", ["node.up", "x y"], "/kinds/1"),
            ("a star inside", ["node.*.x"], "/kinds/0"),
            ("a number", [7], "/kinds/0"), ("null", [None], "/kinds/0"),
            ("65 of them", ["node.up"] * 65, "/kinds"),
            ("long together", ["a" * 60] * 20, "/kinds"),
            ("an object", {}, "/kinds")]:
        yield Row("webhook: kinds: " + what, "admin", "POST /v1/webhooks",
                  dict(good, kinds=kinds), pointer=pointer)
        yield Row("webhook: kinds changed: " + what, "admin", "PATCH " + hook,
                  {"kinds": kinds}, pointer=pointer)
    yield Row("webhook: a name taken", "admin", "POST /v1/webhooks",
              dict(good, name="bravo-hook"), 409, "name_taken", "/name")
    yield Row("webhook: in another's project", "admin",
              "POST /v1/webhooks?project=acme", good, 404, "not_found")
    yield Row("webhook: its secret changed", "admin", "PATCH " + hook,
              {"secret": "x"}, pointer="/secret")
    for ref in NOWHERE, "none-such", w["acme"]["webhook"], "acme-hook", "%ff":
        for call in ("GET /v1/webhooks/%s", "DELETE /v1/webhooks/%s",
                     "GET /v1/webhooks/%s/dead-letters",
                     "POST /v1/webhooks/%s/redeliver",
                     "DELETE /v1/webhooks/%s/dead-letters/" + NOWHERE):
            yield Row("webhook: " + call % ref[:12], "admin", call % ref, None,
                      404, "not_found")
    for ref in "x", NOWHERE, "%00", "0" * 36:
        yield Row("dead letter: " + ref[:12], "admin",
                  "DELETE %s/dead-letters/%s" % (hook, ref), None, 404,
                  "not_found")


# ---- the operator's ----

def operators(_):
    flavor = {"name": "f", "vcpus": 1, "memory_bytes": 64 * MIB}
    for price in "1e3", "-1", "01", ".5", "1.", "0x1", "", " 1", "1,5", \
            "9" * 40, 1, "NaN", "Infinity", "1.5 EUR":
        yield Row("flavor: the price %r" % price, "operator",
                  "POST /v1/flavors", dict(flavor, price_per_hour=price),
                  pointer="/price_per_hour")
    yield Row("flavor: more reserved than its limit", "operator",
              "POST /v1/flavors", dict(flavor, cpu_limit_percent=10,
                                       cpu_reservation_percent=11),
              pointer="/cpu_reservation_percent")
    for ttl in 0, -1, 2**62, "600", 1.5, [], {}:
        yield Row("join token: ttl_s %r" % ttl, "operator",
                  "POST /v1/join-tokens", {"ttl_s": ttl}, pointer="/ttl_s")
    for ref in NOWHERE, "none-such", "%00", "n1%20", "N1", "a" * 250:
        for call in ("GET /v1/nodes/%s", "POST /v1/nodes/%s/cordon",
                     "POST /v1/nodes/%s/uncordon", "DELETE /v1/nodes/%s"):
            yield Row("node: " + call % ref[:12], "operator", call % ref,
                      None, 404, "not_found")
    for path in "nodes", "nodes/n1":
        yield Row("%s: by a tenant" % path, "admin", "GET /v1/" + path, None,
                  403, "forbidden")


# ---- JSON and numbers, as text ----

TEXTS = [
    ("single quotes", b"{'name':'f'}"), ("a bare key", b'{name:"f"}'),
    ("a trailing comma", b'{"name":"f",}'), ("a comment", b'{/**/"name":"f"}'),
    ("a byte order mark", b'\xef\xbb\xbf{"name":"f"}'),
    ("UTF-16", '{"name":"f"}'.encode("utf-16")),
    ("UTF-32", '{"name":"f"}'.encode("utf-32-le")),
    ("two documents", b'{"name":"f"}{"name":"g"}'), ("a brace", b"{"),
    ("a bracket", b"]"), ("a NUL byte", b'{"name":"f"}\0'),
    ("a NUL byte in a text", b'{"name":"f\0"}'),
    ("a line end in a text", b'{"name":"f\n"}'),
    ("an escape that is none", b'{"name":"\\x66"}'),
    ("half an escape", b'{"name":"\\u00"}'),
    ("a lone low surrogate", b'{"name":"\\udc00"}'),
    ("surrogates the wrong way", b'{"name":"\\udc00\\ud800"}'),
    ("an overlong sequence", b'{"name":"\xc0\xaf"}'),
    ("a surrogate in UTF-8", b'{"name":"\xed\xa0\x80"}'),
    ("beyond U+10FFFF", b'{"name":"\xf4\x90\x80\x80"}'),
    ("half a sequence", b'{"name":"\xe2\x82"}'),
    ("a continuation alone", b'{"name":"\x80"}'), ("Latin-1", b'{"name":"\xfc"}'),
    ("a NUL key", b'{"\\u0000":1}'), ("nothing but space", b"   "),
    ("a number", b"7"), ("null", b"null"), ("true", b"true"),
    ("a key twice, one escaped", b'{"name":"f","n\\u0061me":"g"}'),
    ("a key twice inside", b'{"a":{"b":1,"b":2}}'),
    ("10,000 objects deep", b'{"a":' * 10000),
    ("100,000 commas", b'[' + b"," * 100000 + b"]"),
    ("a form", b"name=f"), ("XML", b"<name>f</name>"), ("YAML", b"name: f\n"),
]
# Text of a number, and whether it is a number for JSON.
NUMBER_TEXTS = [
    ("-0", True), ("1e400", False), ("-1e400", False), ("1E0", True),
    ("1.0", True), ("0.1e1", True), ("1e-400", True), ("01", False),
    ("+1", False), (".5", False), ("1.", False), ("0x10", False),
    ("1_000", False), ("NaN", False), ("Infinity", False), ("-", False),
    ("1e", False), ("9223372036854775807", True),
    ("9223372036854775808", False), ("-9223372036854775809", False),
    ("1" * 5000, False), ("1." + "0" * 5000 + "1", True), ("--1", False),
    ("1 2", False), ("\uff11", False)]


def texts(_):
    for what, text in TEXTS:
        yield Row("JSON: " + what, "operator", "POST /v1/flavors", text, 400,
                  "bad_json", None, SENDS_JSON)
    for text, is_number in NUMBER_TEXTS:
        yield Row("number: %.24s" % text, "operator", "POST /v1/flavors",
                  ('{"name":"f","vcpus":%s,"memory_bytes":67108864}' %
                   text).encode(), 400, "invalid" if is_number else "bad_json",
                  "/vcpus" if is_number else None, SENDS_JSON)


def headers(_):
    flavor = {"name": "f", "vcpus": 1, "memory_bytes": 64 * MIB}
    for what, name, value, status, code in [
            ("an empty key", "Idempotency-Key", "", 400, "bad_idempotency_key"),
            ("a key of 129", "Idempotency-Key", "k" * 129, 400,
             "bad_idempotency_key"),
            ("a key of 4,000", "Idempotency-Key", "k" * 4000, 400,
             "bad_idempotency_key"),
            ("text", "Content-Type", "text/plain", 415, "media_type"),
            ("almost JSON", "Content-Type", "application/jsonp", 415,
             "media_type"),
            ("another JSON", "Content-Type", "application/vnd.x+json", 415,
             "media_type"),
            ("no type at all", "Content-Type", "", 415, "media_type"),
            ("a list of types", "Content-Type", "application/json, text/html",
             415, "media_type"),
            ("gzip", "Content-Encoding", "gzip", 415, "media_type"),
            ("an unknown coding", "Content-Encoding", "x", 415, "media_type"),
            ("a token with a space", "Authorization", "Bearer a b", 401,
             "bad_token"),
            ("two schemes", "Authorization", "Basic x, Bearer y", 401,
             "token_required"),
            ("a scheme alone", "Authorization", "Bearer", 401,
             "token_required"),
            ("an empty token", "Authorization", "Bearer ", 401, None),
            ("a token of 8,000", "Authorization", "Bearer " + "a" * 8000, 401,
             "bad_token"),
            ("Latin-1 in a token", "Authorization", "Bearer \xfc", 401,
             "bad_token")]:
        yield Row("header: " + what, "operator", "POST /v1/flavors",
                  json.dumps(flavor).encode(), status, code, None,
                  dict(SENDS_JSON, **{name: value}))


TABLES = [login, sessions, cookies, users, quotas, tokens, keypairs, labels,
          create, changes, operations, filters, events, webhooks, operators,
          texts, headers]


# ---- from the API's document ----

def wrong_values(schema):
    """(what, value, tail of the pointer) that a field does not take."""
    kind = schema.get("type")
    if "enum" in schema:
        for value in "none-such", "", 7, [], {}:
            yield value, ""
    elif kind == "string":
        for value in 7, True, [], {}:
            yield value, ""
        if schema.get("format") in ("date-time", "uuid") or \
                "pattern" in schema:
            yield "Not This!", ""
            yield "x" * 70, ""
        if schema.get("minLength", 0) > 0:
            yield "x" * (schema["minLength"] - 1), ""
        if "maxLength" in schema:
            yield "x" * (schema["maxLength"] + 1), ""
        yield "a\x1bb", ""
    elif kind == "integer":
        for value in "1", 1.5, True, [], {}:
            yield value, ""
        for bound, step in ("minimum", -1), ("maximum", 1):
            value = schema.get(bound, 0) + step
            if bound in schema and abs(value) < 2**63:
                yield value, ""
    elif kind == "boolean":
        for value in "true", 1, [], {}:
            yield value, ""
    elif kind == "array":
        for value in "x", 7, {}:
            yield value, ""
        yield [[]], "/0"
        if "maxItems" in schema:
            yield ["x"] * (schema["maxItems"] + 1), ""
    else:
        for value in "x", 7, []:
            yield value, ""


def resolve(doc, schema):
    while "$ref" in schema:
        at = doc
        for part in schema["$ref"][2:].split("/"):
            at = at[part]
        schema = at
    return schema


def of_fields(doc):
    """Each field of each body with values that it does not take."""
    for path, ops in doc["paths"].items():
        for method, op in ops.items():
            body = op.get("requestBody", {}).get("content", {}).get(
                "application/json")
            if not body:
                continue
            at = re.sub(r"\{\w+\}", NOWHERE, path)
            call = "%s %s" % (method.upper(), at)
            who = {"node": "node"}.get(next(iter(
                (op["security"] or [{}])[0]), None), "operator")
            if not op["security"]:
                who = None
            head = {"If-Match": "*"} if path.endswith("/quota") else None
            schema = resolve(doc, body["schema"])
            for name, sub in schema["properties"].items():
                for value, tail in wrong_values(resolve(doc, sub)):
                    yield Row("%s %s: /%s: %.30r" % (
                        method.upper(), path, name, value), who, call,
                              {name: value}, pointer="/%s%s" % (name, tail),
                              headers=head)
            for name in schema.get("required", []):
                yield Row("%s %s: no %s" % (method.upper(), path, name), who,
                          call, {}, pointer="/" + name, headers=head)
            if who != "node":
                yield Row("%s %s: a field too many" % (method.upper(), path),
                          who, call, {"surplus": 1}, pointer="/surplus",
                          headers=head)


# ---- heads and framing, as bytes ----

def heads(token):
    """(what, bytes): none of them is served, nor what is hidden in it."""
    def head(*lines, first="POST /v1/flavors HTTP/1.1", host="Host: x"):
        return ("\r\n".join([first] + ([host] if host else []) + [
            "Authorization: Bearer " + token] + list(lines)) +
                "\r\n\r\n").encode("latin-1")

    def get(*lines, **kw):
        return head(*lines, first="GET /v1/whoami HTTP/1.1", **kw)

    js, hidden = "Content-Type: application/json", get()
    one = b"2\r\n{}\r\n0\r\n\r\n"
    chunked = "Transfer-Encoding: chunked"
    yield "a length and chunks", head(js, "Content-Length: 4", chunked) + \
        b"0\r\n\r\n" + hidden
    yield "chunks and a length", head(js, chunked, "Content-Length: 5") + \
        b"0\r\n\r\n" + hidden
    for a, b in ("2", "200"), ("2", "2"), ("0", "2"), ("2", "0"):
        yield "two lengths, %s and %s" % (a, b), head(
            js, "Content-Length: " + a, "Content-Length: " + b) + b"{}" + \
            hidden
    for text in "2, 2", "+2", "-2", "0x2", "2 2", "", "2.0", "two", "9" * 30:
        yield "the length %r" % text, head(js, "Content-Length: " + text) + \
            b"{}" + hidden
    for text in "gzip", "gzip, chunked", "chunked, identity", "xchunked", \
            "chunked;a=b", "", "identity", "chunked, chunked":
        yield "the encoding %r" % text, head(
            js, "Transfer-Encoding: " + text) + one + hidden
    yield "two encodings", head(js, "Transfer-Encoding: identity", chunked) + \
        one + hidden
    yield "a space before the colon", head(
        js, "Transfer-Encoding : chunked") + one + hidden
    yield "a space before the colon of a length", head(
        js, "Content-Length : 2") + b"{}" + hidden
    for what, text in [
            ("of -1", b"-1\r\n{}\r\n0\r\n\r\n"), ("of 0x2", b"0x2\r\n{}\r\n"),
            ("of 2^68", b"f" * 17 + b"\r\n{}\r\n"),
            ("without an end", b"2\r\n{}0\r\n\r\n"), ("of text", b"two\r\n"),
            ("of nothing", b"\r\n{}\r\n0\r\n\r\n"),
            ("of a space", b" 2\r\n{}\r\n0\r\n\r\n")]:
        yield "a chunk " + what, head(js, chunked) + text
    yield "no host", get(host=None)
    yield "two hosts", get("Host: y")
    for text in "a b", "a/b", "u@x", "x?y", "x#y", "\xfc", "x\\y", "<x>":
        yield "the host %r" % text, get(host="Host: " + text)
    yield "a line without a colon", get("X-Foo")
    for text in "X Foo: y", "X-F\xfco: y", "X(Foo): y", "X\tFoo: y", \
            "X-F\0oo: y", "\"X\": y", "X-Foo\r: y":
        yield "the header %r" % text, get(text)
    for text in "a\rb", "a\x01b", "a\x7fb", "\x1b[2J":
        yield "the value %r" % text, get("X-Foo: " + text)
    for name in "Authorization", "Cookie", "Content-Type", "If-Match", \
            "Idempotency-Key", "X-CSRF-Token", "Origin", "X-Request-Id", \
            "Last-Event-ID":
        yield "two of " + name, head(
            js, name + ": a", name.upper() + ": b", "Content-Length: 2") + b"{}"
    for first in ["GET /v1/whoami", "GET HTTP/1.1", "GET /v1/whoami HTTP/9",
                  "GET /v1/whoami XTTP/1.1", "GET /v1/whoami x HTTP/1.1",
                  "GET\t/v1/whoami\tHTTP/1.1", "get /v1/whoami HTTP/1.1",
                  "GET https://x/v1/whoami HTTP/1.1", "OPTIONS * HTTP/1.1",
                  "CONNECT x:443 HTTP/1.1", "TRACE /v1/whoami HTTP/1.1",
                  "GET /v1/whoami#x HTTP/1.1", "GET /v1/who\0ami HTTP/1.1",
                  "GET /v1/flavors/\xe4 HTTP/1.1", "GET whoami HTTP/1.1",
                  "GET /v1/flavors/a\x01b HTTP/1.1", "\0 / HTTP/1.1",
                  "G\xcbT /v1/whoami HTTP/1.1", "G" * 3000 + " / HTTP/1.1",
                  "GET /" + "a/" * 4000 + " HTTP/1.1",
                  "GET /v1/flavors?" + "p=1&" * 400 + " HTTP/1.1"]:
        yield "the line %.40r" % first, head(first=first)
    yield "a greeting of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "a header of 9,900 bytes", get("X: " + "a" * 9900)
    yield "a cookie of 20,000 bytes", get("Cookie: " + "a" * 20000)
    yield "300 headers", get(*["X-%d: y" % n for n in range(300)])
    yield "900 cookies", get("Cookie: " + "a=b; " * 900)
    yield "500 cookies of nothing", get("Cookie: " + ";" * 500)
    yield "5,000 cookies", get("Cookie: " + "a=b; " * 5000)
