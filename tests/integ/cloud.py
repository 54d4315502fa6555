"""cloud.py - a private controller and agents for tests written in Python, and
TAP for them. All state is under one private folder, the port is a free one;
everything that was started has ended when the test has (by process id), and
the folder is removed unless a case failed: then logs are shown and it stays.
"""
import atexit
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

from lib_record import recorder

SRC = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.environ.get("VIRGA_BUILD", os.getcwd())
T = tempfile.mkdtemp(prefix="virga-test.")
MIB = 1 << 20
# No session of whoever runs the tests.
os.environ["XDG_CONFIG_HOME"] = os.path.join(T, "config")


# ---- TAP ----

class Tap:
    n = failed = 0
    finished = False


def diag(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def ok(what, passed, why=""):
    Tap.n += 1
    if not passed:
        Tap.failed += 1
        diag(why)
    print("%sok %d - %s" % ("" if passed else "not ", Tap.n, what), flush=True)
    return passed


def same(what, got, want):
    return ok(what, got == want, "got:  %r\nwant: %r" % (got, want))


def skip(what, reason):
    Tap.n += 1
    print("ok %d - %s # SKIP %s" % (Tap.n, what, reason), flush=True)


def skip_all(reason):
    print("1..0 # SKIP " + reason)
    Tap.finished = True
    sys.exit(0)


def done():
    print("1..%d" % Tap.n)
    Tap.finished = True
    sys.exit(1 if Tap.failed else 0)


def case(what, fn, *args):
    """A case is a function that raises what is wrong."""
    try:
        fn(*args)
    except Exception:  # pylint: disable=broad-except
        return ok(what, False, traceback.format_exc(limit=-3))
    return ok(what, True)


def expect(got, want, what=""):
    if got != want:
        raise AssertionError("%s: got %r, want %r" % (what, got, want))


def wait_for(seconds, fn, *args):
    """Until fn() is true; its last value."""
    deadline = time.monotonic() + seconds
    while True:
        got = fn(*args)
        if got or time.monotonic() > deadline:
            return got
        time.sleep(0.03)


# ---- processes ----

class Daemon:
    all = []

    def __init__(self, name, argv):
        self.name = name
        self.log_path = os.path.join(T, name + ".log")
        self.log = open(self.log_path, "ab")
        self.start = self.log.tell()
        self.p = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                  stdout=self.log, stderr=self.log)
        Daemon.all.append(self)

    def said(self):
        """What it wrote since it was started."""
        with open(self.log_path, "rb") as f:
            f.seek(self.start)
            return f.read().decode(errors="replace")

    def alive(self):
        return self.p.poll() is None

    def end(self, sig=signal.SIGTERM, seconds=20):
        """Its exit status."""
        if self.alive():
            self.p.send_signal(sig)
        try:
            return self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise AssertionError(self.name + " did not end on signal")


def run(argv, seconds=30):
    """(exit status, output) of a command that ends by itself."""
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=seconds, check=False)
    return p.returncode, p.stdout.decode(errors="replace")


def program(name):
    return os.path.join(BUILD, name)


def guests_left():
    found = []
    for name in os.listdir("/proc"):
        try:
            exe = os.readlink("/proc/%s/exe" % name)
            if not os.path.basename(exe).startswith("qemu-system-"):
                continue
            with open("/proc/%s/cmdline" % name, "rb") as f:
                if (T + "/").encode() in f.read():
                    found.append(int(name))
        except (OSError, ValueError):
            continue
    return found


def clean_up():
    for d in reversed(Daemon.all):
        try:
            d.end()
        except AssertionError as e:
            diag(e)
    for pid in guests_left():
        diag("a guest is left: process %d" % pid)
        os.kill(pid, signal.SIGKILL)
    for line in open("/proc/self/mounts"):
        at = line.split()[1]
        if at.startswith(T + "/"):
            subprocess.run(["umount", at], check=False)
    if Tap.failed == 0 and Tap.finished:
        shutil.rmtree(T, ignore_errors=True)
        return
    for name in sorted(os.listdir(T)):
        if name.endswith(".log"):
            diag("--- " + name)
            with open(os.path.join(T, name), errors="replace") as f:
                diag("".join(f.readlines()[-40:]))
    diag("kept: " + T)


atexit.register(clean_up)
for sig_no in (signal.SIGINT, signal.SIGTERM):
    signal.signal(sig_no, lambda *_: sys.exit(130))


# ---- the API ----

class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The problem's code, or None."""
        if self.headers.get("Content-Type") != "application/problem+json":
            return None
        return self.json["code"]

    def __repr__(self):
        return "status %d %s" % (self.status, self.body[:600])


class KeepAlive:
    """One connection for many requests; see Cloud.call()."""

    def __init__(self, cloud, cert=None, timeout=70):
        self.cloud, self.cert, self.timeout = cloud, cert, timeout
        self.conn = None

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def call(self, method, path, body=None, token=None, headers=None):
        h = dict(headers or {})
        if token:
            h.setdefault("Authorization", "Bearer " + token)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            h.setdefault("Content-Type", "application/json")
        fresh = not self.conn
        if fresh:
            self.conn = http.client.HTTPSConnection(
                self.cloud.host, self.cloud.port, timeout=self.timeout,
                context=self.cloud.context(self.cert))
        try:
            self.conn.request(method, path, body, h)
            r = self.conn.getresponse()
            reply = Reply(r.status, r.headers, r.read())
            recorder.reply(method, path, r.status, r.headers, reply.body)
        except (http.client.RemoteDisconnected, BrokenPipeError):
            self.close()
            if fresh:
                raise
            # It was silent for too long, and closed before this came.
            return self.call(method, path, body, token, headers)
        except BaseException:
            self.close()
            raise
        if r.will_close:
            self.close()
        return reply


class Cloud:
    """A controller and what is asked of it."""

    def __init__(self, name="c", state_dir=None, options=()):
        self.name = name
        self.dir = state_dir or os.path.join(T, name)
        # Tests ask more often than people do; what is given here wins.
        self.options = ["--rate-limit", "0", "--address-rate-limit", "0",
                        "--connections-per-second", "0"] + list(options)
        self.listen = "127.0.0.1:0"
        self.daemon = None
        self.token = None

    def start(self):
        self.daemon = Daemon("controller-" + self.name, [
            program("virga-controllerd"), "--state-dir", self.dir, "--listen",
            self.listen] + self.options)
        wait_for(30, lambda: "ready" in self.daemon.said() and
                 " url=" in self.daemon.said() or not self.daemon.alive())
        m = re.search(r'msg="ready" url=https://(\S+):(\d+)',
                      self.daemon.said())
        if not m:
            raise AssertionError("no controller: " + self.daemon.said())
        self.host, self.port = m.group(1), int(m.group(2))
        self.listen = "%s:%d" % (self.host, self.port)
        self.url = "https://" + self.listen
        self.ca = os.path.join(self.dir, "pki/ca.crt")
        with open(os.path.join(self.dir, "admin.token")) as f:
            self.token = f.read().strip()
        return self

    def context(self, cert=None):
        """cert: (certificate file, key file)"""
        ctx = ssl.create_default_context(cafile=self.ca)
        if cert:
            ctx.load_cert_chain(*cert)
        return ctx

    def connect(self, cert=None, timeout=20):
        s = socket.create_connection((self.host, self.port), timeout)
        return self.context(cert).wrap_socket(s, server_hostname=self.host)

    def call(self, method, path, body=None, token=True, headers=None,
             cert=None, timeout=70):
        """token: True is the operator's, None is none. A dict is sent as
        JSON, bytes as they are."""
        h = dict(headers or {})
        if token:
            h.setdefault("Authorization", "Bearer " + (
                self.token if token is True else token))
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            h.setdefault("Content-Type", "application/json")
        c = http.client.HTTPSConnection(self.host, self.port, timeout=timeout,
                                        context=self.context(cert))
        try:
            c.request(method, path, body, h)
            r = c.getresponse()
            reply = Reply(r.status, r.headers, r.read())
            recorder.reply(method, path, r.status, r.headers, reply.body)
            return reply
        finally:
            c.close()

    def must(self, status, method, path, body=None, **kw):
        r = self.call(method, path, body, **kw)
        if r.status != status:
            raise AssertionError("%s %s: %r" % (method, path, r))
        return r.json if r.body.startswith(b"{") else r

    def raw(self, data, timeout=20, cert=None):
        """Sends these bytes, returns all that comes until the other side
        closes or is silent for the time."""
        got = b""
        with self.connect(cert, timeout) as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # closed early; what it said before counts
            try:
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    got += part
            except OSError:
                pass
        return got

    # ---- what is there ----

    def rows(self):
        db = sqlite3.connect("file:%s/controller.db?mode=ro" % self.dir,
                             uri=True, timeout=10)
        try:
            names = [n for (n,) in db.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
                "name NOT LIKE 'sqlite_%'")]
            # The audit log grows by refusals as well; nodes come and go by
            # themselves.
            which = {"events": " WHERE kind NOT IN ('node.up', 'node.down')"}
            return {n: db.execute("SELECT count(*) FROM " + n +
                                  which.get(n, "")).fetchone()[0]
                    for n in names if n != "audit"}
        finally:
            db.close()

    def contents(self):
        """All rows, but of what changes by itself."""
        db = sqlite3.connect("file:%s/controller.db?mode=ro" % self.dir,
                             uri=True, timeout=10)
        try:
            names = [n for (n,) in db.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
                "name NOT LIKE 'sqlite_%'")]
            return {n: sorted(map(repr, db.execute("SELECT * FROM " + n)))
                    for n in names if n not in ("audit", "events", "nodes",
                                                "sessions", "numbers")}
        finally:
            db.close()

    def files(self):
        """Every file of the image store."""
        return sorted(os.path.join(d, f) for d, _, fs in os.walk(
            os.path.join(self.dir, "images")) for f in fs)

    def healthy(self):
        for path in "/healthz", "/readyz":
            r = self.call("GET", path, token=None)
            if r.status != 200:
                raise AssertionError("%s: %r" % (path, r))
        if not self.daemon.alive():
            raise AssertionError("the controller is dead")

    # ---- what tests need often ----

    def agent(self, name, driver="sim", state_dir=None, options=()):
        where = state_dir or os.path.join(T, name)
        argv = [program("virga-agentd"), "--state-dir", where, "--controller",
                self.url, "--name", name, "--driver", driver, "--heartbeat",
                "1s"] + list(options)
        if not os.path.exists(where + "/identity/node.id"):
            token = os.path.join(T, name + ".token")
            with open(token, "w") as f:
                f.write(self.must(201, "POST", "/v1/join-tokens",
                                  {"ttl_s": 600})["token"])
            argv += ["--join-token-file", token]
        d = Daemon("agent-" + name, argv)
        d.dir = where
        d.cert = (where + "/identity/node.crt", where + "/identity/node.key")
        wait_for(60, lambda: not d.alive() or self.node_state(name) == "up")
        if not d.alive() or self.node_state(name) != "up":
            raise AssertionError("no agent: " + d.said())
        return d

    def node_state(self, name):
        r = self.call("GET", "/v1/nodes/" + name)
        return r.json["state"] if r.status == 200 else None

    def image(self, name, parts, cmdline=None, public=False, token=True):
        """parts: {"kernel": bytes, …}"""
        body = {"name": name, "public": public,
                "parts": [{"name": p} for p in parts]}
        if cmdline:
            body["cmdline"] = cmdline
        i = self.must(201, "POST", "/v1/images", body, token=token)
        for part, data in parts.items():
            self.must(200, "PUT", "/v1/images/%s/parts/%s" % (i["id"], part),
                      data, token=token)
        return i["id"]

    def flavor(self, name, **kw):
        body = {"name": name, "vcpus": 1, "memory_bytes": 64 * MIB}
        body.update(kw)
        return self.must(201, "POST", "/v1/flavors", body)["id"]

    def operation(self, op_id, seconds=60, token=True):
        """The operation when it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            o = self.must(200, "GET", "/v1/operations/%s?wait=10s" % op_id,
                          token=token)
            if o["state"] != "running" or time.monotonic() > deadline:
                return o

    def act(self, method, path, body=None, token=True, state="succeeded"):
        """Does it, and waits until its operation has ended."""
        want = 201 if path == "/v1/instances" else 202
        r = self.must(want, method, path, body, token=token)
        o = self.operation(r.get("operation_id") or r["id"], token=token)
        expect(o["state"], state, "%s %s: %s" % (method, path, o))
        return r


def tiny_kernel():
    """A Linux/x86 boot sector that halts: enough for the boot protocol, small
    enough to upload often."""
    k = bytearray(4096)
    k[0x1f1] = 1  # setup_sects
    k[0x1fe:0x200] = b"\x55\xaa"
    k[0x200:0x202] = b"\xeb\x66"  # jmp 0x268, behind the header
    k[0x202:0x206] = b"HdrS"
    k[0x206:0x208] = b"\x0c\x02"  # protocol 2.12
    k[0x211] = 1  # loaded high
    k[0x214:0x218] = (0x100000).to_bytes(4, "little")
    k[0x22c:0x230] = (0x7fffffff).to_bytes(4, "little")
    k[0x268:0x26b] = b"\xf4\xeb\xfd"  # hlt; jmp to it
    return bytes(k)


def demo_image():
    """The folder of the demo image."""
    where = os.path.join(BUILD, "demo-image")
    status, out = run([SRC + "/tools/virga-demo-image", where], 300)
    if status != 0:
        raise AssertionError(out)
    return where
