# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What the kernel tells of a handler: looked at from outside, so that nothing
of it is the handler's own doing."""
import json
import os
import resource
import socket
import time

import hatch


class World:
    """A process as it is now."""

    def __init__(self, pid):
        self.pid = pid = int(pid)
        status = dict(line.split(":\t", 1) for line in _read(pid, "status").splitlines()
                      if ":\t" in line)
        stat = _read(pid, "stat").rsplit(")", 1)[1].split()
        self.uid = [int(n) for n in status["Uid"].split()]
        self.gid = [int(n) for n in status["Gid"].split()]
        self.groups = {int(n) for n in status["Groups"].split()}
        self.umask = int(status["Umask"], 8)
        self.capabilities = {int(status[k], 16) for k in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
        self.signals = {k: int(status[k], 16) for k in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd")}
        self.no_new_privs = int(status["NoNewPrivs"])
        self.ppid, self.pgid, self.sid, self.tty = (int(n) for n in stat[1:5])
        self.nice = int(stat[16])
        self.argv = _read(pid, "cmdline").split("\0")[:-1]
        self.exe = _link(pid, "exe")
        self.cwd = _link(pid, "cwd")
        self.root = _link(pid, "root")
        self.env_list = _read(pid, "environ").split("\0")[:-1]
        self.env = dict(v.split("=", 1) for v in self.env_list)
        self.fds = {int(n): _link(pid, "fd/" + n) for n in os.listdir("/proc/%d/fd" % pid)}
        self.limits = limits(pid)

    def fd_flags(self, fd):
        for line in _read(self.pid, "fdinfo/%d" % fd).splitlines():
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
        raise KeyError(fd)


def _read(pid, name):
    with open("/proc/%s/%s" % (pid, name), errors="surrogateescape") as f:
        return f.read()


def _link(pid, name):
    return os.readlink("/proc/%s/%s" % (pid, name))


def limits(pid="self"):
    """{"open files": ("1024", "1048576"), ...}"""
    found = {}
    for line in _read(pid, "limits").splitlines()[1:]:
        found[line[4:26].strip()] = (line[26:47].strip(), line[47:68].strip())
    return found


def _asleep(pid):
    """Whether it has got as far as to wait for something: before that the
    linker has files open, and in the midst of exec there is nothing to see."""
    state = _read(pid, "stat").rsplit(")", 1)[1].split()[0]
    return state == "S" and _read(pid, "environ") != ""


def of_handler(daemon, svc, n=1):
    """Of the n-th handler of a service, which has to be running; and the line
    that told of its start."""
    start = daemon.wait_log("start", n=n, svc=svc)
    hatch.wait_until(lambda: _asleep(start["pid"]), what="a handler that sleeps")
    return World(start["pid"]), start


def unix_client(path, kind=socket.SOCK_STREAM, timeout=hatch.DEADLINE):
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(timeout)
    s.connect("\0" + path[1:] if path.startswith("@") else path)
    return s


def udp_client(port, host="127.0.0.1", timeout=hatch.DEADLINE):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(timeout)
    s.connect((host, port))
    return s


def control(daemon, request):
    """What the control socket answers."""
    with unix_client(daemon.tmp + "/control.sock") as s:
        s.sendall(request.encode() + b"\n")
        return json.loads(hatch.read_all(s))


def counters(daemon, svc):
    """The numbers of a service, of its status."""
    got = control(daemon, "status " + svc)["services"]
    assert [s["name"] for s in got] == [svc], got
    return got[0]


def cpu_share(daemon, seconds, work=None):
    """The part of one processor that both processes take while work() is called
    over and over."""
    def used():
        return daemon.cpu_seconds() + (hatch.cpu_seconds(daemon.talker) if daemon.talker else 0)
    begin, used_before = time.monotonic(), used()
    end = begin + seconds
    while time.monotonic() < end:
        if work is None:
            time.sleep(end - time.monotonic())
        else:
            work()
    return (used() - used_before) / (time.monotonic() - begin)


def raise_nofile(n):
    """So that the tests can have n sockets; False if that can't be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
    return n <= hard


def is_sanitized():
    """Whether the daemon was built with a sanitizer, whose memory is its own."""
    with open(hatch.HATCHD, "rb") as f:
        return b"__asan_init" in f.read()
