"""lib_cloud.py - TAP, processes and an API client for tests in Python.

The daemons are this process's own children: they are signalled by the id
that the kernel cannot give to anybody else while we have not waited for it.
Everything lies in a private folder, which stays (with its logs) if a case
fails.

    VIRGA_BUILD=FOLDER  where the programs are [the current folder]
    VIRGA_SLOW=N        deadlines times N, for builds with sanitizers [1]
    VIRGA_KEEP=1        the private folder stays in any case
"""

import atexit
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from lib_record import recorder

SLOW = float(os.environ.get("VIRGA_SLOW", "1"))
SRC = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("VIRGA_BUILD", os.getcwd()))
# What a sanitizer says before it ends a process, or goes on.
SANITIZER = re.compile(
    rb"(ERROR|WARNING): \w+Sanitizer|runtime error:|Assertion .* failed")


def wait_until(seconds, condition, every=0.05):
    """Until condition() is true; its last value."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(every)


class Tap:
    """Cases, numbered; thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.n = self.failed = 0
        self.dir = tempfile.mkdtemp(prefix="virga-test.")
        self.finished = False
        atexit.register(self.cleanup)

    def diag(self, *text):
        with self.lock:
            for line in " ".join(str(t) for t in text).split("\n"):
                print("#", line, flush=True)

    def ok(self, good, what, *why):
        with self.lock:
            self.n += 1
            self.failed += not good
            print(f"{'ok' if good else 'not ok'} {self.n} - {what}",
                  flush=True)
        if not good and why:
            self.diag(*why)
        return good

    def none(self, problems, what):
        """A list of what is wrong, which must be empty."""
        shown = list(problems)[:20]
        if len(problems) > len(shown):
            shown.append(f"… and {len(problems) - len(shown)} more")
        return self.ok(not problems, what, "\n".join(map(str, shown)))

    def skip_all(self, why):
        print(f"1..0 # SKIP {why}", flush=True)
        self.finished = True
        sys.exit(0)

    def done(self):
        print(f"1..{self.n}", flush=True)
        self.finished = True
        sys.exit(1 if self.failed else 0)

    def cleanup(self):
        if self.finished and not self.failed and \
                os.environ.get("VIRGA_KEEP") != "1":
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"# kept: {self.dir}", flush=True)


class Daemon:
    """A program that is started, killed and started again."""

    def __init__(self, cloud, name, args):
        self.name = name
        self.args = args
        self.log = os.path.join(cloud.dir, name + ".log")
        self.proc = None
        self.starts = 0
        self.lock = threading.Lock()
        self.bad_exits = []
        cloud.daemons.append(self)

    def start(self, *extra):
        with self.lock, open(self.log, "ab") as log:
            self.starts += 1
            self.proc = subprocess.Popen(
                self.args + list(extra), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)

    def running(self):
        return self.proc is not None and self.proc.poll() is None

    def kill(self):
        """SIGKILL; what had ended by itself before is remembered."""
        with self.lock:
            if self.proc is None:
                return
            self.proc.kill()
            status = self.proc.wait()
            if status != -signal.SIGKILL:
                self.bad_exits.append(
                    f"{self.name} ended by itself with {status}")
            self.proc = None

    def stop(self, seconds=20):
        """SIGTERM; True if it ended in good order and time."""
        with self.lock:
            if self.proc is None:
                return True
            self.proc.terminate()
            try:
                status = self.proc.wait(seconds * SLOW)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
                status = f"nothing {seconds} s after SIGTERM"
            self.proc = None
            if status != 0:
                self.bad_exits.append(f"{self.name} ended with {status}")
            return status == 0

    def log_tail(self, lines=30):
        with open(self.log, "rb") as f:
            text = f.read()[-20000:].decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def sanitizer_reports(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, "rb") as f:
            return [f"{self.name}: {line.decode(errors='replace').strip()}"
                    for line in f if SANITIZER.search(line)]


def free_port():
    """A port that nobody listens on, and that the kernel gives to no
    outgoing connection while a daemon is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range",
              encoding="ascii") as f:
        low = int(f.read().split()[0])
    while True:
        port = random.SystemRandom().randrange(10000, max(low, 10001))
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Cloud:
    """One controller, and agents, in a folder of the test."""

    def __init__(self, tap, controller_args=(), name="a"):
        self.tap = tap
        self.dir = os.path.join(tap.dir, name)
        os.mkdir(self.dir)
        self.daemons = []
        self.agents = []
        self.state = os.path.join(self.dir, "c")
        self.ca = os.path.join(self.state, "pki", "ca.crt")
        self.port = free_port()
        self.controller = Daemon(self, "controller", [
            os.path.join(BUILD, "virga-controllerd"),
            "--state-dir", self.state, "--listen", f"127.0.0.1:{self.port}",
            "--project-quota", "unlimited", *controller_args])
        atexit.register(self.kill_all)

    def kill_all(self):
        for d in self.daemons:
            d.kill()

    def start_controller(self, seconds=20):
        self.controller.start()
        token_file = os.path.join(self.state, "admin.token")
        if not wait_until(seconds, lambda: self.answers() or
                          not self.controller.running()) or \
                not self.controller.running():
            self.tap.diag(self.controller.log_tail())
            raise SystemExit("the controller does not start")
        with open(token_file, encoding="ascii") as f:
            self.admin = f.read().strip()

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def context(self, cert=None):
        ctx = ssl.create_default_context(cafile=self.ca)
        if cert:
            ctx.load_cert_chain(*cert)
        return ctx

    def api(self, token=None, port=None, cert=None, seed=None):
        return Api(self, token or (None if cert else self.admin),
                   port or self.port, cert, seed)

    def add_agent(self, name, *args, port=None):
        """Joins an agent; back when its node is up."""
        state = os.path.join(self.dir, name)
        agent = Daemon(self, name, [
            os.path.join(BUILD, "virga-agentd"), "--state-dir", state,
            "--controller", f"https://127.0.0.1:{port or self.port}",
            "--name", name, *args])
        agent.state = state
        agent.identity = os.path.join(state, "identity")
        agent.journal = os.path.join(state, "sim", "journal")
        token = os.path.join(self.dir, name + ".join")
        api = self.api()
        made = api.must("POST", "/v1/join-tokens", {"ttl_s": 600})
        with open(token, "w", encoding="ascii") as f:
            f.write(made["token"] + "\n")
        agent.start("--join-token-file", token)
        self.agents.append(agent)

        def up():
            r = api.call("GET", f"/v1/nodes/{name}", final=(200, 404))
            return r.status == 200 and r.body["state"] == "up" or \
                not agent.running()
        if not wait_until(40, up) or not agent.running():
            self.tap.diag(agent.log_tail())
            raise SystemExit(f"{name} does not join")
        agent.node_id = api.must("GET", f"/v1/nodes/{name}")["id"]
        return agent

    def identity_of(self, agent):
        return (os.path.join(agent.identity, "node.crt"),
                os.path.join(agent.identity, "node.key"))

    def rows(self, path, sql, *args):
        """Read-only; a daemon may have it open."""
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def controller_rows(self, sql, *args):
        return self.rows(os.path.join(self.state, "controller.db"), sql,
                         *args)

    def integrity(self):
        """What SQLite finds wrong in any database."""
        bad = []
        files = [os.path.join(self.state, "controller.db")]
        files += [os.path.join(a.state, "agent.db") for a in self.agents]
        for path in files:
            for check in ("integrity_check", "foreign_key_check"):
                for row in self.rows(path, f"PRAGMA {check}"):
                    if row != ("ok",):
                        bad.append(f"{path}: {check}: {row}")
        return bad

    def end_in_order(self):
        """Stops every daemon; what went wrong in all of their lives."""
        for d in reversed(self.daemons):
            d.stop()
        bad = []
        for d in self.daemons:
            bad += d.bad_exits + d.sanitizer_reports()
        return bad


class GaveUp(Exception):
    """A request that got no final answer in time."""


class Reply:
    def __init__(self, status, headers, data):
        self.status = status
        self.headers = headers
        self.data = data
        self.body = None
        if data and "json" in (headers.get("Content-Type") or ""):
            self.body = json.loads(data)

    def code(self):
        return (self.body or {}).get("code")


class Api:
    """One keep-alive connection; used by one thread at a time."""

    # Try again: overload, the node does not answer yet, no room yet (after
    # its own start a controller knows of no node that is up).
    AGAIN = (429, 503, 507)

    def __init__(self, cloud, token, port, cert, seed):
        self.cloud = cloud
        self.token = token
        self.port = port
        self.ctx = cloud.context(cert)
        self.conn = None
        self.random = random.Random(seed)
        self.sent = self.lost = self.refused = 0
        self.slowest = 0.0

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def once(self, method, path, body=None, headers=None, timeout=10):
        """One try. OSError, HTTPException or ValueError: no answer."""
        h = dict(headers or {})
        if self.token:
            h["Authorization"] = "Bearer " + self.token
        if isinstance(body, bytes):
            data = body
        else:
            data = json.dumps(body).encode() if body is not None else None
            if data is not None:
                h["Content-Type"] = "application/json"
        if not self.conn:
            self.conn = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=self.ctx,
                timeout=timeout * SLOW)
        self.sent += 1
        try:
            self.conn.request(method, path, data, h)
            r = self.conn.getresponse()
            # A body that ends early is an error of http.client's.
            data = r.read()
            recorder.reply(method, path, r.status, r.headers, data)
            return Reply(r.status, r.headers, data)
        except (OSError, http.client.HTTPException, ValueError):
            self.lost += 1
            self.close()
            raise

    def call(self, method, path, body=None, headers=None, final=None,
             seconds=60):
        """Repeats the same request until it has an answer."""
        begun = time.monotonic()
        deadline = begun + seconds * SLOW
        pause = 0.02
        while True:
            try:
                r = self.once(method, path, body, headers)
                if r.status not in self.AGAIN or final and r.status in final:
                    self.slowest = max(self.slowest,
                                       time.monotonic() - begun)
                    return r
                why = f"{r.status} {r.code()}"
                self.refused += 1
            except (OSError, http.client.HTTPException, ValueError) as e:
                why = repr(e)
            if time.monotonic() > deadline:
                raise GaveUp(f"{method} {path}: {why}")
            time.sleep(pause * self.random.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.5)

    def must(self, method, path, body=None, headers=None, seconds=60):
        """The body of an answer that must be good."""
        r = self.call(method, path, body, headers, seconds=seconds)
        if r.status >= 300:
            raise AssertionError(f"{method} {path}: {r.status} {r.data!r}")
        return r.body

    def list(self, path, seconds=60):
        """Every item of all pages."""
        items, token = [], None
        mark = "&" if "?" in path else "?"
        while True:
            more = f"&page_token={token}" if token else ""
            page = self.must("GET", f"{path}{mark}limit=1000{more}",
                             seconds=seconds)
            items += page["items"]
            token = page.get("next_page_token")
            if not token:
                return items
