"""lib_guests.py - real guests (the demo image under libvirt) for tests in
Python: their processes, consoles and logs."""

import os
import re
import signal
import subprocess
from datetime import datetime

import lib_checks as checks
from lib_cloud import BUILD, SLOW, SRC, Cloud, wait_until


def qemus(state):
    """{instance id: pid} of the QEMU processes of an agent."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                line = f.read().decode(errors="replace")
            with open(f"/proc/{entry}/stat", encoding="ascii") as f:
                zombie = f.read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            continue
        name = os.path.basename(line.split("\0", 1)[0])
        m = re.search(re.escape(state) + r"/instances/([0-9a-f-]{36})/",
                      line)
        if m and name.startswith("qemu-system") and not zombie:
            found[m.group(1)] = int(entry)
    return found


def seconds(text):
    """Of an RFC 3339 time; of none, far off."""
    return float("inf") if text is None else datetime.fromisoformat(
        text.replace("Z", "+00:00")).timestamp()


class Guests:
    def __init__(self, tap):
        self.since = checks.now_text()
        self.cloud = Cloud(tap, ["--node-lapse", "10s"])
        self.cloud.start_controller()
        self.api = self.cloud.api()
        self.agent = None
        self.pids = {}

    def cli(self, *args, stdin=None):
        env = dict(os.environ, VIRGA_URL=f"https://127.0.0.1:"
                   f"{self.cloud.port}", VIRGA_TOKEN=self.cloud.admin,
                   VIRGA_CA=self.cloud.ca)
        return subprocess.run(
            [os.path.join(BUILD, "virga"), *args], input=stdin, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=60 * SLOW, check=False)

    def upload(self, tap):
        """Makes the demo image and gives it to the controller."""
        folder = os.path.join(BUILD, "demo-image")
        made = subprocess.run(
            [os.path.join(SRC, "tools", "virga-demo-image"), folder,
             "--disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False)
        if not tap.ok(made.returncode == 0, "the demo image is made",
                      made.stdout.decode(errors="replace")[-2000:]):
            tap.done()
        with open(os.path.join(folder, "cmdline"), encoding="ascii") as f:
            cmdline = f.read().strip()
        self.api.must("POST", "/v1/images", {
            "name": "demo", "public": True, "cmdline":
            cmdline + " virga.tick=2", "parts": [{"name": "kernel"},
                                                 {"name": "initrd"}]})
        for part, file in (("kernel", "vmlinuz"), ("initrd", "initrd.img")):
            with open(os.path.join(folder, file), "rb") as f:
                self.api.must("PUT", f"/v1/images/demo/parts/{part}",
                              f.read())
        self.api.must("POST", "/v1/flavors", {
            "name": "small", "vcpus": 1, "memory_bytes": 192 << 20,
            "disk_bytes": 16 << 20})

    def show(self, name):
        return self.api.must("GET", f"/v1/instances/{name}")

    def log(self, name):
        r = self.api.call("GET", f"/v1/instances/{name}/console-log"
                          "?limit=1000000")
        return r.data.decode(errors="replace") if r.status == 200 else ""

    def ticks(self, name):
        return [int(n) for n in
                re.findall(r"virga-guest tick: (\d+)", self.log(name))]

    def boots(self, name):
        return len(re.findall(r"virga-guest ready: ", self.log(name)))

    def type(self, name, *lines):
        """What the console answers to these lines."""
        text = "".join(line + "\n" for line in lines)
        r = self.cli("instance", "console", name, "--linger", "800ms",
                     stdin=text.encode())
        return r.stdout.decode(errors="replace")

    def boot_id(self, name):
        """The guest's own: another one after every boot."""
        got = []

        def ask():
            out = self.type(name, "", "echo id=$(cat "
                            "/proc/sys/kernel/random/boot_id)=")
            got[:] = re.findall(r"id=([0-9a-f-]{36})=", out)
            return got
        wait_until(30, ask)
        return got[0] if got else None

    def log_in(self, name):
        return wait_until(40, lambda: "Virga demo guest" in
                          self.type(name, "", "root") or
                          "Virga demo guest" in self.log(name))

    def state_is(self, name, state, timeout=30):
        return wait_until(timeout, lambda: self.show(name)["state"] == state,
                          every=0.02)

    def usage(self, name):
        i = self.show(name)["id"]
        return checks.usage(self.api, self.since).items[i]

    def gone(self, pid, timeout=40):
        return wait_until(timeout, lambda: pid not in
                          qemus(self.agent.state).values(), every=0.01)

    def launch(self, name, policy):
        self.api.must("POST", "/v1/instances", {
            "name": name, "flavor": "small", "image": "demo",
            "restart_policy": policy})

    def node(self):
        return self.api.must("GET", "/v1/nodes/real")

    def end_all(self):
        """Even after a failure no QEMU stays."""
        if self.agent:
            for pid in qemus(self.agent.state).values():
                os.kill(pid, signal.SIGKILL)
