#!/usr/bin/env python3
"""47-abuse.t - clients that hold connections, drip, do not read or flood:
others are served meanwhile, each gets a proper answer or the end of its
connection, and afterwards everything is as before."""
# pylint: disable=invalid-name,missing-function-docstring,wildcard-import
import sys
sys.dont_write_bytecode = True  # the source folder may be read-only
# pylint: disable=wrong-import-position
import re
import select
import socket
import ssl
import time

from cloud import *  # pylint: disable=unused-wildcard-import

IDLE = 2        # a request may take twice as long to come in
SHARE = 60      # connections of one address
RATE = 20       # new connections a second; the bucket holds ten seconds of it
HERE = "127.0.0.1"

cloud = Cloud(options=[
    "--idle-timeout", "%ds" % IDLE, "--max-connections", "400",
    "--connections-per-address", str(SHARE),
    "--connections-per-second", str(RATE)])
cloud.start()


def connect(source, shake=True, timeout=60):
    s = socket.create_connection((cloud.host, cloud.port), timeout,
                                 source_address=(source, 0))
    if not shake:
        return s
    return cloud.context().wrap_socket(s, server_hostname=cloud.host)


def try_connect(source):
    try:
        return connect(source)
    except OSError:  # ssl.SSLError is one
        return None


def request(method, path, token=None, body=b"", more=""):
    auth = "Authorization: Bearer %s\r\n" % token if token else ""
    return ("%s %s HTTP/1.1\r\nHost: v\r\n%s%sContent-Length: %d\r\n\r\n" % (
        method, path, auth, more, len(body))).encode() + body


def reply(s):
    """Status and headers of one reply; (0, "") when the connection ended."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = s.recv(65536)
        if not part:
            return 0, ""
        got += part
    head, _, rest = got.partition(b"\r\n\r\n")
    head = head.decode()
    m = re.search(r"(?i)^content-length: (\d+)", head, re.M)
    left = (int(m.group(1)) if m else 0) - len(rest)
    while left > 0:
        part = s.recv(left)
        if not part:
            return 0, ""
        left -= len(part)
    return int(head.split()[1]), head


def ended(s, seconds=60):
    """Reads until the server ends the connection."""
    s.settimeout(seconds)
    try:
        while s.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def counter(name):
    text = cloud.call("GET", "/metrics").body.decode()
    m = re.search(r'event="%s"\} (\d+)' % name, text)
    return int(m.group(1)) if m else 0


class Guest:
    """A well-behaved client with one connection, which must keep working."""

    def __init__(self):
        self.s = None

    def ask(self):
        # Kept alive like any client's; its own silence may end it.
        for _ in range(2):
            if self.s is None:
                self.s = connect(HERE)
            try:
                self.s.sendall(request("GET", "/v1/whoami", cloud.token))
                status, _ = reply(self.s)
            except OSError:
                status = 0
            if status:
                expect(status, 200, "another client")
                return
            self.s.close()
            self.s = None
        raise AssertionError("another client is not served")


guest = Guest()


def all_end(conns, drip=None, seconds=120):
    """Until the server has ended every connection; the guest is served all
    the while, and drip(socket) is sent now and then."""
    left, end, sent = set(conns), time.monotonic() + seconds, 0
    while left:
        if time.monotonic() > end:
            raise AssertionError("%d connections are still there" % len(left))
        guest.ask()
        ready, _, _ = select.select(list(left), [], [], 0.05)
        for s in ready:
            if ended(s):
                left.discard(s)
        if drip and time.monotonic() - sent > 0.3:
            sent = time.monotonic()
            for s in list(left):
                try:
                    drip(s)
                except OSError:
                    left.discard(s)
    for s in conns:
        s.close()


def idle_connections():
    conns = [connect("127.0.0.2") for _ in range(SHARE)]
    guest.ask()
    all_end(conns)


def share_of_an_address():
    """No address gets more than its share; what it gives back is its again."""
    conns = [connect("127.0.0.3", shake=False) for _ in range(SHARE)]
    # Whether the server has taken them all shows only in the next ones.
    wait_for(60, lambda: (lambda s: s is None or (s.close() or False))(
        try_connect("127.0.0.3")))
    expect(try_connect("127.0.0.3"), None, "one connection more")
    guest.ask()
    for s in conns:
        s.close()

    def again():
        s = try_connect("127.0.0.3")
        return s and (s.close() or True)
    expect(bool(wait_for(60, again)), True, "a connection afterwards")


def slow_heads():
    before = counter("http_request_too_slow")
    conns = [connect("127.0.0.4") for _ in range(30)]
    for s in conns:
        s.sendall(b"GET /v1/instances HTTP/1.1\r\nHost: v\r\nX-Slow: ")
    all_end(conns, lambda s: s.sendall(b"x"))
    expect(counter("http_request_too_slow") > before, True, "counted")


def slow_bodies():
    before = counter("http_request_too_slow")
    head = request("POST", "/v1/instances", cloud.token,
                   more="Content-Type: application/json\r\n")
    head = head.replace(b"Content-Length: 0", b"Content-Length: 100000")
    conns = [connect("127.0.0.5") for _ in range(30)]
    for s in conns:
        s.sendall(head)
    all_end(conns, lambda s: s.sendall(b" "))
    expect(counter("http_request_too_slow") > before, True, "counted")


def slow_handshakes():
    conns = [connect("127.0.0.6", shake=False) for _ in range(30)]
    for s in conns:
        s.sendall(b"\x16\x03\x01\x02\x00")  # the start of a ClientHello
    all_end(conns)


def dead_readers():
    """They ask for far more than fits between them and the server, and read
    nothing: the server does not keep it for them for ever."""
    ask = request("GET", "/v1/openapi.json") * 40
    conns = []
    for _ in range(20):
        s = connect("127.0.0.7")
        s.sock = s
        s.setblocking(False)
        conns.append(s)
    for s in conns:
        try:
            s.send(ask)
        except OSError:
            pass
    end = time.monotonic() + 3 * IDLE
    while time.monotonic() < end:  # they are silent for longer than one may be
        guest.ask()
        select.select([], [], [], 0.1)
    for s in conns:
        s.setblocking(True)
        expect(ended(s), True, "the end of one that did not read")
        s.close()


def refused_requests():
    """Each refusal is proper; too many end the connection, and too many
    connections get none. Others do not notice, and it passes."""
    s, statuses, closed = connect("127.0.0.8"), set(), False
    for _ in range(RATE * 10 + 2000):
        s.sendall(request("GET", "/v1/instances", "vt1.wrong"))
        status, head = reply(s)
        statuses.add(status)
        if re.search(r"(?im)^connection: close", head):
            closed = True
            break
    expect(statuses, {401}, "statuses")
    expect(closed, True, "the connection of who is refused again and again")
    expect(ended(s), True, "its end")
    guest.ask()
    refused = counter("http_connection_refused")

    end = time.monotonic() + 60
    while counter("http_connection_refused") == refused and \
            time.monotonic() < end:
        for _ in range(RATE * 20):  # faster than the bucket fills
            connect("127.0.0.8", shake=False).close()
    expect(counter("http_connection_refused") > refused, True, "refused")
    guest.ask()

    def later():
        c = try_connect("127.0.0.8")
        return c and (c.close() or True)
    expect(bool(wait_for(60, later)), True, "a connection later")


def guessed_joins():
    """One address tries join tokens: it is slowed down, and that address
    alone. A good token is taken from wherever else."""
    def join(source, token):
        body = json.dumps({"token": token, "name": "thief",
                           "csr": "none"}).encode()
        s = connect(source)
        try:
            s.sendall(request("POST", "/v1/join", body=body,
                              more="Content-Type: application/json\r\n"))
            return reply(s)
        finally:
            s.close()

    bad = "vj1.%s.%s.0" % ("0197b3a0-0000-7000-8000-000000000000", "0" * 48)
    good = cloud.must(201, "POST", "/v1/join-tokens", {})["token"]
    got = []
    while got.count(403) < 400 and 429 not in got:
        s = connect("127.0.0.9")
        for _ in range(50):  # a connection that is refused too often ends
            body = json.dumps({"token": bad, "name": "thief",
                               "csr": "none"}).encode()
            s.sendall(request("POST", "/v1/join", body=body,
                              more="Content-Type: application/json\r\n"))
            status, head = reply(s)
            got.append(status)
            if status == 429 or re.search(r"(?im)^connection: close", head):
                break
        s.close()
    expect(set(got), {403, 429}, "statuses")
    expect(100 <= got.count(403) <= 200, True, got.count(403))
    # The request that is wrong (csr) with a token that is good is no guess.
    expect(join("127.0.0.9", good)[0], 429)
    for _ in range(3):
        expect(join("127.0.0.10", good)[0], 400)
    expect(counter("join_too_many_attempts") >= 2, True)
    guest.ask()


def garbage():
    for data in (b"\x00" * 2000, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x03"):
        s = connect("127.0.0.9", shake=False)
        try:
            s.sendall(data)
        except OSError:
            pass
        expect(ended(s), True, "end of %r" % data[:10])
        s.close()
        guest.ask()


case("idle connections are ended, and others served meanwhile",
     idle_connections)
case("one address has its share of connections", share_of_an_address)
case("headers that drip in are ended", slow_heads)
case("bodies that drip in are ended", slow_bodies)
case("handshakes that never go on are ended", slow_handshakes)
case("who does not read is given up", dead_readers)
case("a flood of refused requests ends by itself", refused_requests)
case("tries at join tokens are slowed down", guessed_joins)
case("what is no TLS harms nobody", garbage)
case("the controller is well", cloud.healthy)
same("the controller ends in good order", cloud.daemon.end(), 0)
done()
