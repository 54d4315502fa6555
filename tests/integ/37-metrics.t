#!/usr/bin/env python3
"""37-metrics.t - /metrics of the controller and of an agent: promtool has
nothing to say against it, it is OpenMetrics by that specification's rules, and
the figures are those of what is there."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import http.client
import os
import re
import shutil
import subprocess

from cloud import *  # pylint: disable=unused-wildcard-import

SUFFIXES = {"gauge": {""}, "counter": {"_total"},
            "histogram": {"_bucket", "_count", "_sum"}}
SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*"'
                    r',?)*)\})? (-?[0-9.e+]+|\+Inf|NaN)\Z')

cloud = Cloud(options=["--node-lapse", "2s", "--operation-stuck-after", "10s",
                       "--address-rate-limit", "5",
                       "--address-rate-limit-burst", "100"]).start()


def parse(text):
    """{family: (type, {labels: value})} by the rules of OpenMetrics 1.0; raises
    what is wrong. Samples of one family are told apart by their suffix."""
    lines = text.split("\n")
    expect(lines[-2:], ["# EOF", ""], "end")
    families, family, seen = {}, None, set()
    for line in lines[:-2]:
        if line.startswith("# "):
            kind, name, rest = line[2:].split(" ", 2)
            expect(kind in ("TYPE", "UNIT", "HELP"), True, line)
            if kind == "TYPE":
                expect(name in families, False, "a second family " + name)
                expect(rest in SUFFIXES, True, line)
                families[name] = (rest, {})
                family, seen = name, {"TYPE"}
                continue
            expect(name, family, "inside the family: " + line)
            expect(kind in seen, False, "a second " + line)
            seen.add(kind)
            if kind == "UNIT":
                expect(name.endswith("_" + rest), True, line)
            expect(families[name][1], {}, "before the samples: " + line)
            continue
        m = SAMPLE.match(line)
        expect(m is not None, True, "a sample: %r" % line)
        kind, samples = families[family]
        suffix = m.group(1)[len(family):]
        expect(m.group(1).startswith(family) and suffix in SUFFIXES[kind],
               True, "of the family %s: %s" % (family, line))
        expect("HELP" in seen, True, "help of " + family)
        key = suffix + "{" + (m.group(2) or "") + "}"
        expect(key in samples, False, "a second " + line)
        samples[key] = float(m.group(3))
        if kind != "gauge":
            expect(samples[key] >= 0, True, line)
    for name, (kind, samples) in families.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return families


def check_histogram(name, samples):
    """Buckets grow, the last one has all."""
    last, series = {}, {}
    for key, value in samples.items():
        if not key.startswith("_bucket"):
            continue
        of = re.sub(r',?le="[^"]*"', "", key)[len("_bucket"):]
        expect(value >= last.get(of, 0), True, "%s%s grows" % (name, key))
        last[of] = value
        series[of] = key
    for of, key in series.items():
        expect('le="+Inf"' in key, True, name + " ends with +Inf")
        expect(samples["_count" + of], last[of], "_count of " + name + of)
        expect("_sum" + of in samples, True, "_sum of " + name + of)


def scrape():
    r = cloud.call("GET", "/metrics")
    expect(r.status, 200, repr(r))
    expect(r.headers["Content-Type"],
           "application/openmetrics-text; version=1.0.0; charset=utf-8")
    return parse(r.body.decode())


def value(families, name, labels="", suffix=""):
    return families[name][1].get("%s{%s}" % (suffix, labels), 0)


def figures(**want):
    """Waits until gauges without labels, or name__state, are so."""
    def now():
        f = scrape()
        got = {}
        for k in want:
            name, _, state = k.partition("__")
            got[k] = value(f, "virga_" + name,
                           'state="%s"' % state if state else "")
        return got
    wait_for(60, lambda: now() == want)
    expect(now(), want)


def lint(text):
    """What promtool says; it reads the older format."""
    p = subprocess.run(["promtool", "check", "metrics"], input=text,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=60, check=False)
    expect((p.returncode, p.stdout.decode()), (0, ""), "promtool")


def requests(route, group):
    return value(scrape(), "virga_http_requests",
                 'route="%s",class="%s"' % (route, group), "_total")


# ---- what is there ----

node = cloud.agent("n1", options=["--metrics-listen", "127.0.0.1:0"])
other = cloud.agent("n2")
cloud.flavor("small")
cloud.image("tiny", {"kernel": tiny_kernel()})
cloud.must(200, "POST", "/v1/nodes/n2/cordon")
for name in "one", "two", "three":
    cloud.act("POST", "/v1/instances", {"name": name, "image": "tiny",
                                        "flavor": "small"})
cloud.act("POST", "/v1/instances/three/stop", {"force": True})
cloud.must(201, "POST", "/v1/webhooks", {
    "name": "hook", "url": "https://hooks.example.com/", "disabled": True})

case("nodes, instances, operations, webhooks, agents", lambda: figures(
    nodes__up=2, nodes__down=0, nodes_cordoned=1, instances__running=2,
    instances__stopped=1, instances__creating=0, operations_running=0,
    operations_stuck=0, webhooks=1, webhooks_failing=0,
    webhook_dead_letters=0, agents_connected=2, event_streams=0,
    node_questions=0))


def counted():
    before = requests("GET /v1/flavors/{flavor}", "2xx")
    bad = requests("GET /v1/flavors/{flavor}", "4xx")
    none = requests("none", "4xx")
    times = value(scrape(), "virga_http_request_seconds",
                  'route="GET /v1/flavors/{flavor}"', "_count")
    for _ in range(5):
        cloud.must(200, "GET", "/v1/flavors/small")
    for _ in range(3):
        cloud.must(404, "GET", "/v1/flavors/none")
    cloud.must(404, "GET", "/v1/nothing")
    cloud.must(405, "PUT", "/v1/flavors")
    expect(requests("GET /v1/flavors/{flavor}", "2xx"), before + 5)
    expect(requests("GET /v1/flavors/{flavor}", "4xx"), bad + 3)
    expect(requests("none", "4xx"), none + 2)
    expect(value(scrape(), "virga_http_request_seconds",
                 'route="GET /v1/flavors/{flavor}"', "_count"), times + 8)


def replays():
    before = value(scrape(), "virga_idempotent_replays", "", "_total")
    for _ in range(4):
        cloud.must(201, "POST", "/v1/projects", {"name": "once"},
                   headers={"Idempotency-Key": "k"})
    expect(value(scrape(), "virga_idempotent_replays", "", "_total"),
           before + 3)


def limited():
    got = [cloud.call("GET", "/v1/whoami", token="x").status
           for _ in range(150)]
    expect(set(got), {401, 429}, "statuses")
    expect(value(scrape(), "virga_http_rate_limited", "", "_total"),
           got.count(429), "refused")


def writes():
    was = scrape()
    for n in range(10):
        cloud.must(201, "POST", "/v1/projects", {"name": "w%d" % n})
    now = scrape()
    for name in "virga_db_wait_seconds", "virga_db_commit_seconds":
        grown = value(now, name, "", "_count") - value(was, name, "", "_count")
        expect(grown >= 10, True, "%s: %d" % (name, grown))
    # It is copied after 2 s of silence; the agents' reports are seldom.
    wait_for(60, lambda: value(scrape(), "virga_db_checkpoint_seconds", "",
                               "_count") > 0)
    f = scrape()
    expect(value(f, "virga_db_checkpoint_seconds", "", "_count") > 0, True)
    path = os.path.join(cloud.dir, "controller.db")
    expect(value(f, "virga_db_size_bytes") > 0, True)
    expect(value(f, "virga_db_size_bytes") <= os.path.getsize(path), True)
    expect(value(f, "virga_db_wal_size_bytes") <= os.path.getsize(
        path + "-wal"), True)


def streams():
    c = http.client.HTTPSConnection(cloud.host, cloud.port, timeout=70,
                                    context=cloud.context())
    c.request("GET", "/v1/events", headers={
        "Authorization": "Bearer " + cloud.token,
        "Accept": "text/event-stream"})
    expect(c.getresponse().status, 200)
    figures(event_streams=1)
    c.close()
    figures(event_streams=0)


case("requests by route and class of status, and their times", counted)
case("replies that are given again", replays)
case("refusals for too many requests", limited)
case("writes, checkpoints, sizes of files", writes)
case("streams of events", streams)

# ---- the format ----


def text_form():
    r = cloud.call("GET", "/metrics", headers={"Accept": "text/plain"})
    expect(r.headers["Content-Type"],
           "text/plain; version=0.0.4; charset=utf-8")
    return r.body


def agent_metrics(accept=None):
    port = re.search(r'msg="serving metrics" port=(\d+)', node.said()).group(1)
    c = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    c.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
    r = c.getresponse()
    expect(r.status, 200)
    body = r.read()
    c.close()
    return body


def agents_figures():
    f = parse(agent_metrics().decode())
    expect(len(f["virga_instance_cpu_seconds"][1]), 2, "running VMs")


case("the agent's are OpenMetrics, of the VMs that run", agents_figures)
case("all families have samples or are counters of branches", lambda: expect(
    [n for n, (_, s) in scrape().items() if not s], []))
if shutil.which("promtool"):
    case("promtool: the controller's", lambda: lint(text_form()))
    case("promtool: the agent's", lambda: lint(agent_metrics("text/plain")))
    case("promtool does find faults", lambda: expect(subprocess.run(
        ["promtool", "check", "metrics"], input=b"# TYPE x_total gauge\nx_total "
        b"1\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        check=False).returncode != 0, True))
else:
    skip("promtool: the controller's", "promtool is not installed")
    skip("promtool: the agent's", "promtool is not installed")

# ---- a node that is lost ----


def lost():
    other.end(9)
    figures(nodes__up=1, nodes__down=1, agents_connected=1)
    node.end(9)
    figures(nodes__up=0, nodes__down=2, agents_connected=0)
    cloud.must(202, "POST", "/v1/instances/one/stop", {"force": True})
    figures(operations_running=1, operations_stuck=1, instances__stopping=1,
            instances__running=1)


case("lost nodes, and the operations that wait for them", lost)
same("the controller ends in good order", cloud.daemon.end(), 0)
done()
