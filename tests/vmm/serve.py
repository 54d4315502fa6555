#!/usr/bin/env python3
# serve.py - becomes `virga-vmm serve` with a description and its descriptors.
#   serve.py VMM FOLDER KERNEL [JSON]
# FOLDER gets the control socket, the console log and the end record. JSON is
# merged over the description; a value {"open": PATH, "flags": "r|rw|w|a|path"}
# or {"listen": PATH} or {"socket": "stream|seqpacket"} becomes the number of
# such a descriptor, {"same": FIELD} that of a field, null takes one away.
import json
import os
import socket
import sys

FLAGS = {
    "r": os.O_RDONLY,
    "rw": os.O_RDWR,
    "w": os.O_WRONLY | os.O_CREAT,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "path": os.O_PATH,
}
keep = []  # what must not be closed by being forgotten


def number(obj):
    os.set_inheritable(obj if isinstance(obj, int) else obj.fileno(), True)
    keep.append(obj)
    return obj if isinstance(obj, int) else obj.fileno()


def listening(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(16)
    return number(s)


def resolve(value, top):
    if isinstance(value, list):
        return [resolve(v, top) for v in value]
    if not isinstance(value, dict):
        return value
    if "open" in value:
        flags = FLAGS[value.get("flags", "r")]
        return number(os.open(value["open"], flags, 0o600))
    if "listen" in value:
        return listening(value["listen"])
    if "socket" in value:
        kind = getattr(socket, "SOCK_" + value["socket"].upper())
        a, b = socket.socketpair(socket.AF_UNIX, kind)
        keep.append(b)
        return number(a)
    if "same" in value:
        return top[value["same"]]
    return {k: resolve(v, top) for k, v in value.items()}


def main():
    vmm, folder, kernel = sys.argv[1:4]
    more = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    doc = {
        "version": 1,
        "id": "0192",
        "name": "web-1",
        "run": 3,
        "cpus": 1,
        "memory": {"bytes": 16 << 20},
        "kvm_fd": {"open": "/dev/kvm", "flags": "rw"},
        "kernel_fd": {"open": kernel},
        "control_fd": {"listen": folder + "/control"},
        "console_log_fd": {"open": folder + "/console", "flags": "a"},
        "end_fd": {"open": folder + "/end", "flags": "w"},
    }
    doc.update(more)
    top = {}
    for name, value in doc.items():
        if value is not None:
            top[name] = resolve(value, top)
    r, w = os.pipe()
    os.write(w, json.dumps(top).encode())
    os.close(w)
    os.execv(vmm, [vmm, "serve", str(number(r))])


main()
