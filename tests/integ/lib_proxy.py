"""lib_proxy.py - a TCP proxy that loses connections on purpose.

TLS passes through untouched, so a cut may fall anywhere: into the handshake,
a request, a reply. What was passed on before the cut has arrived: a request
may have been carried out whose reply is lost.
"""

import asyncio
import random
import socket
import struct
import threading

from lib_cloud import free_port


class Proxy:
    """To 127.0.0.1:target, listening on .port. Each connection's fate is
    drawn when it is made: after how many bytes in which direction it is
    cut, by FIN or RST, and if it falls silent before."""

    def __init__(self, target, seed, whole=0.3, reach=20000):
        self.target = target
        self.port = free_port()
        self.random = random.Random(seed)
        self.whole = whole  # share of connections that are left alone
        self.reach = reach  # a cut falls within that many bytes
        self.connections = self.cuts = 0
        self.open = set()
        self.calm = False
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self.main, args=(ready,),
                                       daemon=True)
        self.thread.start()
        ready.wait()

    def main(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(
            self.serve, "127.0.0.1", self.port))
        ready.set()
        self.loop.run_forever()

    def set_calm(self):
        """From now on nothing is cut, also of what is open."""
        self.calm = True

    def cut_all(self):
        self.loop.call_soon_threadsafe(
            lambda: [self.cut(w, True) for w in list(self.open)])

    def cut(self, writers, reset):
        if writers not in self.open:
            return
        self.open.discard(writers)
        self.cuts += 1
        for w in writers:
            if reset:
                w.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
                w.transport.abort()
            else:
                w.transport.close()

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            up = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        writers = (writer, up[1])
        self.open.add(writers)
        budget = {"up": 1 << 62, "down": 1 << 62}
        if not self.calm and self.random.random() > self.whole:
            way = "down" if self.random.random() < 0.7 else "up"
            # Half of the cuts early, where handshake and first reply are.
            budget[way] = int(self.reach * self.random.random() ** 2)
        # An agent says how long ago something happened, and libcurl sends a
        # request again by itself if its connection died unanswered: what was
        # silent that long is billed as much too late.
        silent = self.random.uniform(0.1, 0.7) \
            if self.random.random() < 0.2 else 0
        reset = self.random.random() < 0.5
        await asyncio.gather(
            self.pipe(reader, up[1], writers, budget["up"], reset, silent),
            self.pipe(up[0], writer, writers, budget["down"], reset, silent),
            return_exceptions=True)
        self.open.discard(writers)
        for w in writers:
            w.close()

    async def pipe(self, reader, writer, writers, budget, reset, silent):
        while True:
            try:
                data = await reader.read(16384)
            except OSError:
                data = b""
            if not data:
                break
            if len(data) > budget and not self.calm:
                writer.write(data[:budget])
                await writer.drain()
                # Both ends believe in it a while longer.
                await asyncio.sleep(silent)
                self.cut(writers, reset)
                return
            budget -= len(data)
            writer.write(data)
            await writer.drain()
        if writers in self.open:
            self.open.discard(writers)
            for w in writers:
                w.close()
