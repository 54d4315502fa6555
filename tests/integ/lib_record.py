"""lib_record.py - keeps what the API answered in a test, for 90-replies.t to
check against the API's document: a line of JSON for each reply, in a file for
each test in the folder VIRGA_RECORD (unset: nothing is kept). Of replies that
are alike only some are kept, and none that is huge.
"""
import json
import os
import re
import sys
import threading

ALIKE = 20  # of one method, path (whatever ids are in it) and status
BODY_MAX = 256 << 10
TOTAL_MAX = 16 << 20
ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Recorder:
    """Thread-safe."""

    def __init__(self):
        self.where = os.environ.get("VIRGA_RECORD")
        self.lock = threading.Lock()
        self.file = None
        self.seen = {}
        self.room = TOTAL_MAX

    def line(self, text):
        """Of this run alone: the first line makes the file anew."""
        if not self.file:
            os.makedirs(self.where, exist_ok=True)
            name = os.path.basename(sys.argv[0]) + ".jsonl"
            self.file = open(os.path.join(self.where, name), "w",
                             encoding="utf-8")
        self.file.write(text)
        self.file.flush()

    def reply(self, method, path, status, headers, body):
        """A reply of the controller's own: what its HTTP library answers by
        itself to a broken head has no X-Request-Id."""
        if not self.where or "X-Request-Id" not in headers or \
                len(body) > BODY_MAX:
            return
        alike = (method, ID.sub("", path.split("?")[0]), status)
        kind = headers.get("Content-Type")
        text = body.decode() if kind and "json" in kind else None
        line = json.dumps({"method": method, "path": path, "status": status,
                           "type": kind, "body": text}) + "\n"
        with self.lock:
            n = self.seen[alike] = self.seen.get(alike, 0) + 1
            if n <= ALIKE and len(line) <= self.room:
                self.room -= len(line)
                self.line(line)


recorder = Recorder()
