#!/usr/bin/env python3
"""pty-talk.py - plays a person at a terminal: runs a command on a terminal of
its own and follows a script from standard input, a step a line:

  send TEXT      types it; \\r, \\n, \\x1d … as in Python
  expect REGEX   waits until the output behind the last match has it
  status N       waits for the end; the exit status must be N

  pty-talk.py TRANSCRIPT SECONDS COMMAND...      (SECONDS for each step)

Exits 0 when every step did, else 1 and says which did not."""
import os
import pty
import re
import select
import sys
import termios
import time


def fail(text):
    print("pty-talk: " + text, file=sys.stderr)
    sys.exit(1)


class Talk:
    def __init__(self, transcript, seconds, command):
        self.transcript = open(transcript, "wb")
        self.seconds = seconds
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvp(command[0], command)
            finally:
                os._exit(127)
        self.before = termios.tcgetattr(self.fd)

    def read(self, deadline):
        """One piece of output; b"" at its end, None at the deadline."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.fd], [], [], left)[0]:
            return None
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side was closed
            data = b""
        self.transcript.write(data)
        self.transcript.flush()
        return data

    def expect(self, regex):
        deadline = time.monotonic() + self.seconds
        pattern = re.compile(regex.encode(), re.M)
        while True:
            m = pattern.search(self.seen)
            if m:
                self.seen = self.seen[m.end():]
                return
            data = self.read(deadline)
            if not data:
                fail("%s before /%s/; seen: %r" % (
                    "deadline" if data is None else "end", regex,
                    self.seen[-400:]))
            self.seen += data

    def send(self, text):
        data = text.encode().decode("unicode_escape").encode("latin-1")
        while data:
            data = data[os.write(self.fd, data):]

    def status(self, want):
        deadline = time.monotonic() + self.seconds
        # The settings as a shell would find them: before the terminal goes.
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                fail("the command does not end")
            self.read(min(deadline, time.monotonic() + 0.05))
        got = os.waitstatus_to_exitcode(status)
        if got != want:
            fail("exit status %d, not %d" % (got, want))


def main():
    talk = Talk(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if not verb or verb.startswith("#"):
            continue
        if verb == "send":
            talk.send(rest)
        elif verb == "expect":
            talk.expect(rest)
        elif verb == "status":
            talk.status(int(rest))
        else:
            fail("no such step: " + line)


main()
