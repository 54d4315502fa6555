"""lib_events.py - a reader of server-sent events, and a receiver of webhooks,
for tests. Both are written from the specifications, not from our sources."""
import json
import queue
import socket
import threading


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
