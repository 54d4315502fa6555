#!/usr/bin/env python3
"""bench/vmm.py - virga-vmm beside QEMU's microvm, on this machine's /dev/kvm.

Run it in the build folder. Both start the same bare-metal guests in turn, so
that whatever else the machine does hits both; figures are medians, one JSON
object a line, the last of each kind with the ratio (QEMU / virga-vmm).

  start    exec to the first KVM_RUN, to the first byte the guest says, and
           the process's CPU time until then (microvm runs a firmware first)
  memory   private memory: PSS without the guest's RAM, 1 vCPU, 128 MiB, one
           disk, one NIC, after the guest has come up
  exits    nanoseconds for an exit that the VMM answers, by kind
  binary   bytes of virga-vmm, stripped

Real kernels, disks and networks are measured in an emulated host with nested
paging: bench/vmm-host.sh.
"""
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RAM_MIB = 128
FIRST_RUN_FD = 200


def say(**fields):
    print(json.dumps(fields), flush=True)


def tap_works():
    return os.geteuid() == 0 and os.path.exists("/dev/net/tun")


class Virga:
    name = "virga-vmm"

    def __init__(self, build):
        self.binary = os.path.join(build, "virga-vmm")

    def argv(self, kernel, disk=None, tap=None):
        a = [self.binary, "run", "--kernel", kernel, "--memory",
             "%dM" % RAM_MIB]
        if disk:
            a += ["--disk", disk]
        if tap:
            a += ["--net", "tap=" + tap]
        return a


class Microvm:
    name = "qemu-microvm"

    def __init__(self):
        self.binary = shutil.which("qemu-system-x86_64")
        self.cpu = "host"

    def argv(self, kernel, disk=None, tap=None):
        a = [self.binary, "-M", "microvm,accel=kvm,isa-serial=on",
             "-cpu", self.cpu, "-m", str(RAM_MIB), "-nodefaults",
             "-no-user-config", "-display", "none", "-no-reboot",
             "-serial", "stdio", "-kernel", kernel]
        if disk:
            a += ["-drive", "id=d,if=none,format=raw,file=" + disk,
                  "-device", "virtio-blk-device,drive=d"]
        if tap:
            a += ["-netdev", "tap,id=n,script=no,downscript=no,ifname=" + tap,
                  "-device", "virtio-net-device,netdev=n"]
        return a

    def usable(self, kernel):
        """Not every KVM takes every processor that QEMU thinks of."""
        if not self.binary:
            return False
        for cpu in ("host", "host,-arch-capabilities"):
            self.cpu = cpu
            try:
                run = Run(self, kernel)
                run.until(b"!", 20)
                run.end()
                return True
            except RuntimeError:
                continue
        return False


class Run:
    """One VMM with its guest."""

    def __init__(self, vmm, kernel, preload=None, **with_):
        env = dict(os.environ)
        pass_fds = ()
        self.clock = None
        if preload:
            self.clock, w = os.pipe()
            os.dup2(w, FIRST_RUN_FD)
            os.close(w)
            env["LD_PRELOAD"] = preload
            pass_fds = (FIRST_RUN_FD,)
        self.start = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.p = subprocess.Popen(
            vmm.argv(kernel, **with_), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env,
            pass_fds=pass_fds, bufsize=0)
        if preload:
            os.close(FIRST_RUN_FD)

    def until(self, text, seconds=60):
        got = b""
        end = time.monotonic() + seconds
        while text not in got:
            if not select.select([self.p.stdout], [], [],
                                 max(0, end - time.monotonic()))[0]:
                self.end()
                raise RuntimeError("no %r in time" % text)
            more = os.read(self.p.stdout.fileno(), 4096)
            if not more:
                self.end()
                raise RuntimeError("ended without %r" % text)
            got += more
        self.said = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return got

    def first_run(self):
        with os.fdopen(self.clock) as f:
            return int(f.readline())

    def cpu_ms(self):
        """Of all threads, in which the guest's few instructions count."""
        ns = 0
        tasks = "/proc/%d/task" % self.p.pid
        for tid in os.listdir(tasks):
            with open("%s/%s/schedstat" % (tasks, tid)) as f:
                ns += int(f.read().split()[0])
        return ns / 1e6

    def private_kib(self):
        """PSS of every mapping but the guest's RAM, which is the one of at
        least its size (2 MiB pages may make it a little larger)."""
        total = ram = 0
        size = 0
        with open("/proc/%d/smaps" % self.p.pid) as f:
            for line in f:
                m = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
                if m:
                    size = int(m[2], 16) - int(m[1], 16)
                elif line.startswith("Pss:"):
                    kib = int(line.split()[1])
                    if size >= RAM_MIB << 20:
                        ram += 1
                    else:
                        total += kib
        if ram != 1:
            raise RuntimeError("%d mappings look like guest RAM" % ram)
        return total

    def end(self):
        self.p.send_signal(signal.SIGKILL)
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


def compare(bench, values, unit):
    """values: {vmm name: [figures]}; the ratio is of QEMU to ours."""
    med = {k: statistics.median(v) for k, v in values.items() if v}
    for k, v in values.items():
        if v:
            say(bench=bench, vmm=k, unit=unit, median=round(med[k], 3),
                min=round(min(v), 3), max=round(max(v), 3), runs=len(v))
    if len(med) == 2 and med["virga-vmm"] > 0:
        say(bench=bench, ratio=round(med["qemu-microvm"] / med["virga-vmm"],
                                     2))


def bench_start(vmms, runs, build):
    guest = os.path.join(build, "bench/guests/first.elf")
    preload = os.path.join(build, "bench/first-run.so")
    run_ms = {v.name: [] for v in vmms}
    said_ms = {v.name: [] for v in vmms}
    cpu = {v.name: [] for v in vmms}
    for _ in range(runs):
        for v in vmms:
            r = Run(v, guest, preload=preload)
            first = r.first_run()
            r.until(b"!")
            run_ms[v.name].append((first - r.start) / 1e6)
            said_ms[v.name].append((r.said - r.start) / 1e6)
            cpu[v.name].append(r.cpu_ms())
            r.end()
    compare("vmm.start.first_kvm_run", run_ms, "ms")
    compare("vmm.start.first_guest_byte", said_ms, "ms")
    compare("vmm.start.cpu", cpu, "ms")


def bench_memory(vmms, runs, build, tmp):
    guest = os.path.join(build, "bench/guests/first.elf")
    disk = os.path.join(tmp, "disk")
    with open(disk, "wb") as f:
        f.truncate(64 << 20)
    kib = {v.name: [] for v in vmms}
    taps = tap_works()
    for _ in range(runs):
        for v in vmms:
            tap = "vb%d" % os.getpid() if taps else None
            r = Run(v, guest, disk=disk, tap=tap)
            r.until(b"!")
            kib[v.name].append(r.private_kib())
            r.end()
    say(bench="vmm.memory.with", disk=True, nic=taps)
    compare("vmm.memory.private", kib, "KiB")


def bench_exits(vmms, runs, build):
    guest = os.path.join(build, "bench/guests/exits.elf")
    figures = {}
    count = 4000
    for _ in range(runs):
        for v in vmms:
            r = Run(v, guest)
            text = r.until(b"done").decode()
            r.end()
            for name, ticks in re.findall(r"([a-z-]+) ([0-9a-f]{16})\n", text):
                figures.setdefault(name, {x.name: [] for x in vmms})[
                    v.name].append(int(ticks, 16))
    empty = figures.pop("empty")
    hz = tsc_hz()
    for name, by_vmm in figures.items():
        ns = {k: [(t - statistics.median(empty[k])) / count / hz * 1e9
                  for t in ticks] for k, ticks in by_vmm.items()}
        compare("vmm.exit." + name, ns, "ns")


def tsc_hz():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("cpu MHz"):
                return float(line.split(":")[1]) * 1e6
    raise RuntimeError("no clock rate in /proc/cpuinfo")


def main():
    build = os.getcwd()
    runs = int(os.environ.get("BENCH_RUNS", "15"))
    virga, micro = Virga(build), Microvm()
    vmms = [virga]
    if micro.usable(os.path.join(build, "bench/guests/first.elf")):
        vmms.append(micro)
    else:
        say(bench="vmm", note="QEMU's microvm does not run here: no ratios")
    with tempfile.TemporaryDirectory(prefix="virga-bench.") as tmp:
        stripped = os.path.join(tmp, "virga-vmm")
        subprocess.run(["strip", "-o", stripped, virga.binary], check=True)
        say(bench="vmm.binary", bytes=os.path.getsize(stripped))
        bench_start(vmms, runs, build)
        bench_memory(vmms, max(3, runs // 3), build, tmp)
        bench_exits(vmms, max(3, runs // 3), build)


if __name__ == "__main__":
    sys.exit(main())
