#!/usr/bin/python3
"""usernet-talk.py PROGRAM CASE - a guest's network stack, as small as the case
needs it, on the other end of virga-usernet's socket. Ends with status 0 if
the case holds; see 65-usernet.t."""

import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time

HEADER = 12
MAC = bytes.fromhex("525400000001")
ALL = b"\xff" * 6
ME, ROUTER = bytes([10, 0, 2, 15]), bytes([10, 0, 2, 2])
ME6, ROUTER6 = (bytes.fromhex("fec0" + "00" * 13 + end) for end in ("0f", "02"))
SECONDS = 20
MIB = 1 << 20


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    n = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while n >> 16:
        n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff


def ip4(proto, src, dst, body, ident=1, frag=0):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), ident, frag,
                       64, proto, 0, src, dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def udp(src, dst, sport, dport, body):
    return ip4(17, src, dst,
               struct.pack("!HHHH", sport, dport, 8 + len(body), 0) + body)


class Guest:
    """The other end, and the program on its end."""

    def __init__(self, program, *options, kind=socket.SOCK_SEQPACKET):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        self.process = subprocess.Popen(
            [program, "--fd", str(theirs.fileno()), *options],
            pass_fds=[theirs.fileno()])
        theirs.close()
        self.router = ALL

    def send(self, ethertype, body, dst=None):
        frame = (dst or self.router) + MAC + struct.pack("!H", ethertype)
        self.sock.send(bytes(HEADER) + frame + body)

    def frames(self, seconds=SECONDS):
        """Each frame that comes, until so long nothing has been wanted."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return
            message = self.sock.recv(70000)
            if not message:
                return
            assert message[:10] == bytes(10), "an offload that nobody offered"
            yield message[HEADER:]

    def drain(self):
        while select.select([self.sock], [], [], 0)[0]:
            self.sock.recv(70000)

    def ask_router(self):
        self.send(0x0806, struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, MAC,
                                      ME, bytes(6), ROUTER), ALL)

    def arp(self):
        """Asked again now and then: an answer that finds us with a full
        socket is dropped."""
        for _ in range(SECONDS):
            self.drain()
            self.ask_router()
            for f in self.frames(1):
                if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2":
                    assert f[28:32] == ROUTER
                    self.router = f[22:28]
                    return
        raise AssertionError("no answer to ARP")

    def dhcp(self):
        """The address that it gives, asked for as a client does."""
        offer = None
        for kind, want in ((1, 2), (3, 5)):
            options = b"\x63\x82\x53\x63\x35\x01" + bytes([kind])
            if kind == 3:
                options += b"\x32\x04" + offer + b"\x36\x04" + ROUTER
            body = struct.pack("!BBBBIHH4s4s4s4s16s", 1, 1, 6, 0, 77, 0, 0,
                               bytes(4), bytes(4), bytes(4), bytes(4), MAC)
            body += bytes(192) + options + b"\xff"
            self.send(0x0800, udp(bytes(4), ALL[:4], 68, 67, body), ALL)
            offer = self.dhcp_reply(want)
        return offer

    def dhcp_reply(self, want):
        for f in self.frames():
            if f[12:14] != b"\x08\0" or f[23] != 17 or f[36:38] != b"\0\x44":
                continue
            b = f[42:]
            if b[4:8] == struct.pack("!I", 77) and \
               b"\x35\x01" + bytes([want]) in b[240:]:
                return b[16:20]
        raise AssertionError(f"no DHCP message of type {want}")

    def tcp(self, port, sport, flags, seq, ack, body=b"", to=ROUTER):
        seg = struct.pack("!HHIIBBHHH", sport, port, seq, ack, 0x50, flags,
                          65000, 0, 0)
        if len(to) == 16:
            self.ip6(to, 6, seg + body, 16)
            return
        pseudo = ME + to + struct.pack("!BBH", 0, 6, len(seg) + len(body))
        seg = seg[:16] + struct.pack("!H", checksum(pseudo + seg + body)) + \
            seg[18:]
        self.send(0x0800, ip4(6, ME, to, seg + body))

    def ip6(self, to, proto, body, check_at):
        """From an address of the guest's own; the checksum is filled in."""
        pseudo = ME6 + to + struct.pack("!II", len(body), proto)
        body = body[:check_at] + \
            struct.pack("!H", checksum(pseudo + body)) + body[check_at + 2:]
        self.send(0x86dd, struct.pack("!IHBB", 6 << 28, len(body), proto, 64) +
                  ME6 + to + body)

    def udp(self, port, to, body):
        if len(to) == 4:
            self.send(0x0800, udp(ME, to, 4000, port, body))
        else:
            self.ip6(to, 17, struct.pack("!HHHH", 4000, port, 8 + len(body), 0)
                     + body, 6)

    def segments(self, sport, seconds=SECONDS):
        for f in self.frames(seconds):
            if f[12:14] != b"\x08\0" or f[23] != 6:
                continue
            total = struct.unpack("!H", f[16:18])[0]
            t = f[34:14 + total]
            if struct.unpack("!H", t[2:4])[0] == sport:
                seq, ack, off, flags = struct.unpack("!IIBB", t[4:14])
                yield seq, ack, flags, t[off >> 4 << 2:]

    def talk(self, port, text, seconds=SECONDS):
        """What the listener answers, or None if it cannot be reached."""
        sport, seq, got = random.randrange(20000, 60000), 1000, b""
        self.tcp(port, sport, 2, seq, 0)
        seq += 1
        theirs = None
        for s, _, flags, body in self.segments(sport, seconds):
            if flags & 4:
                return None
            if flags & 2 and theirs is None:
                theirs = s + 1
                self.tcp(port, sport, 0x10, seq, theirs)
                self.tcp(port, sport, 0x18, seq, theirs, text)
                seq += len(text)
            elif theirs is not None and s == theirs:
                got += body
                theirs += len(body) + (flags & 1)
                self.tcp(port, sport, 0x10, seq, theirs)
                if flags & 1:
                    return got
        return None

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def status(self, field):
        path = f"/proc/{self.process.pid}/status"
        with open(path, encoding="ascii") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return line.split()[1:]
        raise AssertionError(f"no {field} in {path}")

    def end(self):
        self.sock.close()
        assert self.process.wait(SECONDS) == 0, "its end is no success"


class Listener:
    """Answers one connection with what it got, turned around."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.asked = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            c, _ = self.sock.accept()
            self.asked += 1
            with c:
                c.sendall(c.recv(1000)[::-1] * 5000)


def case_lease(program):
    g = Guest(program)
    g.arp()
    assert g.dhcp() == ME
    g.end()


def case_datagrams(program):
    g = Guest(program, kind=socket.SOCK_DGRAM)
    g.arp()
    assert g.dhcp() == ME
    g.process.terminate()
    g.process.wait(SECONDS)


def case_ipv6(program):
    """Neighbour discovery: the router is fec0::2 (RFC 4861)."""
    g = Guest(program)
    me = bytes.fromhex("fec0" + "00" * 13 + "0f")
    router = bytes.fromhex("fec0" + "00" * 13 + "02")
    group = bytes.fromhex("ff02" + "00" * 9 + "01ff000002")
    body = b"\x87\0\0\0" + bytes(4) + router + b"\1\1" + MAC
    pseudo = me + group + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    g.send(0x86dd, struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + me +
           group + body, b"\x33\x33\xff\0\0\2")
    assert any(f[12:14] == b"\x86\xdd" and f[54] == 136 and f[62:78] == router
               for f in g.frames()), "no neighbour advertisement"
    g.end()


def case_reach(program):
    g, far = Guest(program), Listener()
    g.arp()
    assert g.talk(far.port, b"abcdef") == b"fedcba" * 5000
    g.end()


def own_addresses():
    """Of this machine, as bytes: all ways that its sockets know."""
    found = [ROUTER, bytes([127, 0, 0, 1]), bytes([127, 9, 9, 9]), bytes(4),
             ALL[:4]]
    found += [ROUTER6, bytes(15) + b"\1", bytes(16),
              bytes(10) + b"\xff\xff\x7f\0\0\1", bytes(12) + b"\x7f\0\0\1"]
    for line in subprocess.run(["ip", "-o", "addr"], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines():
        kind, address = line.split()[2:4]
        if kind in ("inet", "inet6"):
            family = socket.AF_INET if kind == "inet" else socket.AF_INET6
            text = socket.inet_pton(family, address.split("/")[0])
            found += [text]
            if kind == "inet":
                found += [bytes(10) + b"\xff\xff" + text]
    return found


class Everywhere:
    """Listens at every address of this machine, TCP and UDP; notes what
    comes."""

    def __init__(self):
        family = socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET
        any_one = "::" if socket.has_ipv6 else "0.0.0.0"
        self.tcp = socket.socket(family, socket.SOCK_STREAM)
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        for s in (self.tcp, self.udp):
            if socket.has_ipv6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.setblocking(False)
        self.tcp.bind((any_one, 0))
        self.tcp.listen()
        self.port = self.tcp.getsockname()[1]
        self.udp.bind((any_one, self.port))

    def heard(self):
        return select.select([self.tcp, self.udp], [], [], 0)[0]


def knock(program, *options):
    """To how many of this machine's addresses the guest gets."""
    g = Guest(program, *options)
    got = {}
    g.arp()
    assert g.dhcp() == ME
    g.drain()
    for i, to in enumerate(own_addresses()):
        far = Everywhere()
        g.tcp(far.port, 5000 + i, 2, 1000, 0, to=to)
        g.udp(far.port, to, b"knock")
        for _ in g.frames(0.3):
            pass
        got[to.hex()] = [s.type.name for s in far.heard()]
        far.tcp.close()
        far.udp.close()
    g.end()
    return {to: kinds for to, kinds in got.items() if kinds}


def case_own_addresses(program):
    """What listens on this machine, at whatever address, is not for a guest
    from which the loopback is kept; it would seem to come from inside."""
    assert knock(program), "nothing was reached without the option either"
    got = knock(program, "--no-loopback")
    assert not got, f"reached: {got}"
    got = knock(program, "--isolated")
    assert not got, f"isolated, but reached: {got}"


def unreachable(program, option):
    g, far = Guest(program, option), Listener()
    g.arp()
    assert g.dhcp() == ME
    assert g.talk(far.port, b"abcdef", 2) is None
    assert far.asked == 0
    g.end()


def case_isolated(program):
    unreachable(program, "--isolated")


def case_no_loopback(program):
    unreachable(program, "--no-loopback")


def case_hostile(program):
    """Frames of every length and content; then it still works."""
    g = Guest(program)
    rnd = random.Random(int(os.environ.get("SEED", "1")))
    g.arp()
    for n in list(range(1, 80)) + [1526, 1530, 1531, 9000, 65000]:
        g.sock.send(bytes(n))
        g.sock.send(rnd.randbytes(n))
    g.sock.send(b"")
    g.sock.send(b"\1" + bytes(100))  # wants a checksum
    for _ in range(3000):
        n = rnd.randrange(14, 600)
        f = bytearray(g.router + MAC + rnd.choice([b"\x08\0", b"\x86\xdd",
                                                   b"\x08\6"]) +
                      rnd.randbytes(n))
        f[14] = rnd.choice([0x45, 0x60, 0x4f, 0x45, f[14]])
        if f[12:14] == b"\x08\0" and n >= 20 and rnd.randrange(4):
            f[16:18] = struct.pack("!H", n)
            f[23] = rnd.choice([1, 6, 17, 2])
            f[26:30] = ME
            f[30:34] = rnd.choice([ROUTER, bytes([10, 0, 2, 3])])
            f[24:26] = b"\0\0"
            f[24:26] = struct.pack("!H", checksum(bytes(f[14:34])))
        g.sock.send(bytes(HEADER) + bytes(f))
        g.drain()
    assert g.dhcp() == ME
    g.end()


def case_flood(program):
    """Fragments are not kept; segments with holes between them, in reverse
    order, on several connections, are 200 MiB to keep."""
    g, far = Guest(program), Listener()
    g.arp()
    assert g.dhcp() == ME
    start, most = g.resident(), 0
    for i in range(20000):
        g.send(0x0800, ip4(17, ME, ROUTER, bytes(1400), i, 0x2000))
    assert g.resident() - start < 8 * MIB
    for sport in range(5000, 5008):
        g.arp()  # it may have been started anew
        g.tcp(far.port, sport, 2, 0, 0)
        theirs = next(g.segments(sport))[0] + 1
        g.tcp(far.port, sport, 0x10, 1, theirs)
        for seq in range(60000, 3, -4):
            g.tcp(far.port, sport, 0x10, seq, theirs, b"x")
            if seq % 4000 == 0:
                most = max(most, g.resident())
            if seq % 200 == 0:
                g.drain()
    assert 100 * MIB < most - start < 150 * MIB, \
        f"it grew by {(most - start) >> 20} MiB"
    g.arp()
    assert g.dhcp() == ME
    assert g.talk(Listener().port, b"abcdef") == b"fedcba" * 5000
    g.end()


def case_reader_stops(program):
    """The guest does not read: what is sent to it is not kept for it."""
    g, far = Guest(program), Listener()
    g.arp()
    start = g.resident()
    for _ in range(20000):
        g.ask_router()
    assert g.resident() - start < 16 * MIB
    while select.select([g.sock], [], [], 0.2)[0]:
        g.sock.recv(70000)
    assert g.talk(far.port, b"abcdef") == b"fedcba" * 5000
    g.end()


def case_rights(program):
    # In the empty root a leak checker of a sanitizer finds no /proc.
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    g = Guest(program, "--uid", "65534", "--gid", "65533")
    g.arp()
    for field in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert g.status(field) == ["0" * 16], field
    assert g.status("NoNewPrivs") == ["1"]
    assert g.status("Seccomp") == ["2"]
    assert g.status("Uid") == ["65534"] * 4
    assert g.status("Gid") == ["65533"] * 4
    assert g.status("Groups") == []
    proc = f"/proc/{g.process.pid}"
    assert set(os.listdir(f"{proc}/root/")) <= {"etc"}
    files = os.listdir(f"{proc}/root/etc") if os.path.isdir(
        f"{proc}/root/etc") else []
    assert set(files) <= {"resolv.conf"}
    assert g.dhcp() == ME
    assert g.talk(Listener().port, b"xyz") == b"zyx" * 5000
    g.end()


def case_end(program):
    for kind in (socket.SOCK_SEQPACKET,):
        g = Guest(program, kind=kind)
        g.end()


def case_options(program):
    a, _b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with open("/dev/null", encoding="ascii") as null:
        for fd, bad, status in (
                (a, [], 1), (null, [], 1), (a, ["--mtu", "100"], 2),
                (a, ["--mtu", "99999"], 2), (a, ["--uid", "5"], 2),
                (a, ["--uid", "0", "--gid", "0"], 2), (a, ["more"], 2)):
            got = subprocess.run([program, "--fd", str(fd.fileno()), *bad],
                                 pass_fds=[fd.fileno()], check=False,
                                 timeout=SECONDS).returncode
            assert got == status, f"{bad}: {got}"
    assert subprocess.run([program], check=False).returncode == 2


if __name__ == "__main__":
    globals()["case_" + sys.argv[2].replace("-", "_")](sys.argv[1])
