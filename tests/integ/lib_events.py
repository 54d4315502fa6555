"""lib_events.py - a reader of server-sent events, and a receiver of webhooks,
for tests. Both are written from the specifications, not from our sources."""
import base64
import hashlib
import hmac
import http.server
import json
import socket
import threading
import time


class Event:
    def __init__(self, fields):
        self.id = fields.get("id")
        self.kind = fields.get("event", "message")
        self.data = json.loads(fields["data"]) if "data" in fields else None


class Stream:
    """WHATWG HTML, section 9.2.6: fields, an empty line dispatches."""

    def __init__(self, cloud, token=True, since=None, last_id=None, query="",
                 timeout=60):
        self.lines = self.unchunked = b""
        self.comments = 0
        self.sock = cloud.connect(timeout=timeout)
        self.sock.settimeout(timeout)
        ask = ("GET /v1/events?x=%s HTTP/1.1\r\nHost: x\r\nAccept: "
               "text/event-stream\r\nAuthorization: Bearer %s\r\n" % (
                   query, cloud.token if token is True else token))
        first = "since=%d" % since if since is not None else ""
        ask = ask.replace("x=", first, 1) if first else ask.replace(
            "x=" + query[:1], "", 1)
        if last_id is not None:
            ask += "Last-Event-ID: %d\r\n" % last_id
        self.sock.sendall(ask.encode() + b"\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.sock.recv(4096)
            if not part:
                raise AssertionError("no reply: %r" % head)
            head += part
        head, self.raw = head.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = dict(l.split(": ", 1) for l in lines[1:])
        self.fields, self.ended = {}, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def _more(self):
        """One more chunk's bytes into lines; False at the end."""
        while True:
            if b"\r\n" in self.raw:
                size, rest = self.raw.split(b"\r\n", 1)
                n = int(size, 16)
                if len(rest) >= n + 2:
                    self.raw = rest[n + 2:]
                    self.lines += rest[:n]
                    self.ended = n == 0
                    return n > 0
            try:
                part = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError, OSError) as e:
                if isinstance(e, socket.timeout):
                    raise
                part = b""
            if not part:
                self.ended = True
                return False
            self.raw += part

    def next(self):
        """The next event; None at the end."""
        while True:
            while b"\n" in self.lines:
                line, self.lines = self.lines.split(b"\n", 1)
                if line.startswith(b":"):
                    self.comments += 1
                elif line:
                    name, value = line.decode().split(":", 1)
                    self.fields[name] = value[1:]
                elif "data" in self.fields:
                    e = Event(self.fields)
                    self.fields = {}
                    return e
                else:
                    self.fields = {}
            if not self._more():
                return None

    def step(self):
        """Reads on by one chunk, whose comments are counted."""
        if not self._more():
            raise AssertionError("the stream ended")
        self.comments += self.lines.count(b":\n")

    def take(self, n):
        got = []
        while len(got) < n:
            e = self.next()
            if e is None:
                raise AssertionError("the stream ended after %d" % len(got))
            got.append(e)
        return got

    def until(self, last):
        got = []
        while not got or not last(got[-1]):
            got += self.take(1)
        return got

    def ends(self, seconds):
        self.sock.settimeout(seconds)
        while self.next() is not None:
            pass
        return self.ended


class Receiver:
    """An HTTP server for webhooks. answer(n) says what the n-th post gets: a
    status, or a way to fail."""

    def __init__(self, answer=lambda n: "200"):
        self.answer = answer
        self.posts, self.taken, self.faults = [], [], []
        self.secret = None
        self.open = self.n = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                receiver.post(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d/hook" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def events(self):
        return [p["event"]["data"] for p in self.posts]

    def check(self, headers, body):
        """Standard Webhooks, "Verifying signatures"."""
        if not self.secret:
            return
        key = base64.b64decode(self.secret[len("whsec_"):])
        text = "%s.%s.%s" % (headers["webhook-id"],
                             headers["webhook-timestamp"], body.decode())
        want = "v1," + base64.b64encode(hmac.new(
            key, text.encode(), hashlib.sha256).digest()).decode()
        if headers["webhook-signature"] != want:
            self.faults.append("signature %s" % headers["webhook-signature"])
        if abs(int(headers["webhook-timestamp"]) - time.time()) > 300:
            self.faults.append("timestamp")
        if json.loads(body)["id"] != headers["webhook-id"]:
            self.faults.append("id")

    def post(self, h):
        body = h.rfile.read(int(h.headers["Content-Length"]))
        event = json.loads(body)
        with self.lock:
            n = self.n
            self.n += 1
            self.open += 1
            self.check(h.headers, body)
            self.posts.append({"event": event,
                               "type": h.headers["Content-Type"]})
        try:
            self.reply(h, self.answer(n), event)
        except OSError:
            pass
        finally:
            with self.lock:
                self.open -= 1

    def reply(self, h, how, event):
        if how in ("200", "204", "huge"):
            with self.lock:
                self.taken.append(event["data"])
        if how == "hang":
            self.over.wait()
        if how in ("hang", "hang up"):
            h.close_connection = True
            return
        if how == "garbage":
            h.wfile.write(b"\0\xff nonsense\r\n\r\n" * 100)
            h.close_connection = True
            return
        if how == "huge":
            h.send_response(200)
            h.end_headers()
            h.close_connection = True
            for _ in range(10000):
                h.wfile.write(b"x" * 65536)
            return
        if how == "redirect":
            h.send_response(302)
            h.send_header("Location", self.url)
        else:
            h.send_response(int(how))
        h.send_header("Content-Length", "0")
        h.end_headers()

    def wait(self, n, seconds=60):
        deadline = time.monotonic() + seconds
        while len(self.posts) < n:
            if time.monotonic() > deadline:
                raise AssertionError("%d posts of %d" % (len(self.posts), n))
            time.sleep(0.02)
