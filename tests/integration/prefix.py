# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What stands before a service's own bytes: PROXY headers, by hand and from a
HAProxy; and what connections that wait or were refused leave behind."""
import contextlib
import csv
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import hatch
import world

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Tells of its client as it was told, then says what it is told, to the end.
WHO = """#!/bin/sh
echo "$TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP $TCPLOCALPORT"
[ "$REMOTE_ADDR $REMOTE_HOST $REMOTE_PORT" = "$TCPREMOTEIP $TCPREMOTEIP $TCPREMOTEPORT" ] || exit 1
exec cat
"""


def script(folder, name, text):
    """A program in a folder; its path."""
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


# Headers

def v1(peer, local="198.51.100.1", port=4242, local_port=80, kind=None):
    kind = kind or ("TCP6" if ":" in peer else "TCP4")
    return ("PROXY %s %s %s %d %d\r\n" % (kind, peer, local, port, local_port)).encode()


def _packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def v2(peer=None, local=None, port=4242, local_port=80, command=1, tlvs=b"", family=None):
    """peer None: no addresses."""
    rest = b""
    if peer is not None:
        if local is None:
            local = "2001:db8::80" if ":" in peer else "198.51.100.1"
        rest = _packed(peer) + _packed(local) + struct.pack(">HH", port, local_port)
        family = family or (0x21 if ":" in peer else 0x11)
    rest += tlvs
    return SIGNATURE + bytes([0x20 | command, family or 0]) + struct.pack(">H", len(rest)) + rest


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


# Clients

def client(port, source=None, host="127.0.0.1"):
    """A connection, from this address."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(hatch.DEADLINE)
    try:
        if source:
            s.bind((source, 0))
        s.connect((host, port))
    except BaseException:
        s.close()
        raise
    return s


def talk(s, data=b"", half_close=True):
    """Sends all and reads to the end; closes."""
    with s:
        if data:
            s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        return hatch.read_all(s)


def is_ended(s):
    """It was ended without a byte: by an end or, with something unread, a reset."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def in_parallel(jobs, width=16, timeout=40):
    """Calls all, some at a time; what they return, in order."""
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(width) as pool:
        return [f.result(timeout) for f in [pool.submit(job) for job in jobs]]


# What is left

def _n_fds(pid):
    try:
        return hatch.n_fds(pid)
    except PermissionError:
        return 0        # the talker is not to be looked into, but by root


def fds(daemon):
    """Of master and talker; 0: they can't be seen."""
    return _n_fds(daemon.pid), _n_fds(hatch.wait_until(lambda: daemon.talker))


def running(daemon):
    return sum(s["running"] for s in world.control(daemon, "status")["services"])


@contextlib.contextmanager
def nothing_left(daemon, listeners=0):
    """Afterwards master and talker have the descriptors they had before, but for
    so many listeners more, and there are no sessions, handlers and zombies."""
    running(daemon)
    before = fds(daemon)
    before = before[0] + listeners, before[1]
    yield
    hatch.wait_until(lambda: running(daemon) == 0 and not daemon.handlers()
                     and daemon.n_zombies() == 0, what="no session")
    try:
        hatch.wait_until(lambda: fds(daemon) == before, 5)
    except AssertionError:
        raise AssertionError("descriptors: %s before, %s after; %s" % (
            before, fds(daemon), world.control(daemon, "connections"))) from None


def refused(daemon, svc, reason):
    return world.counters(daemon, svc)["refused"].get(reason, 0)


def wait_refused(daemon, svc, reason, n=1):
    hatch.wait_until(lambda: refused(daemon, svc, reason) >= n,
                     what="%d refused for %s" % (n, reason))


# HAProxy

HEAD = """global
    nbthread 1
    maxconn 3000
    stats socket %s/stats.sock mode 600 level admin
defaults
    mode tcp
    timeout connect 10s
    timeout client 30s
    timeout server 30s
"""


class Haproxy:
    """One of our own, in the foreground, with a configuration and folder of its
    own."""

    def __init__(self, folder, text):
        self.sock = folder + "/stats.sock"
        self.log_path = folder + "/haproxy.log"
        path = folder + "/haproxy.cfg"
        with open(path, "w") as f:
            f.write(HEAD % folder + text)
        program = shutil.which("haproxy", path="/usr/sbin:/sbin:" + os.environ["PATH"])
        with open(self.log_path, "wb") as log:
            self.proc = subprocess.Popen([program, "-db", "-f", path], stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log, cwd=folder)
        try:
            hatch.wait_until(self._answers, what="haproxy")
        except BaseException:
            self.close()
            raise

    def _answers(self):
        assert self.proc.poll() is None, open(self.log_path).read()
        try:
            return self.ask("show info")
        except OSError:
            return False

    def ask(self, command):
        with world.unix_client(self.sock) as s:
            s.sendall(command.encode() + b"\n")
            return hatch.read_all(s).decode()

    def servers(self):
        """The rows of "show stat" by backend, of servers."""
        lines = self.ask("show stat").lstrip("# ").splitlines()
        return {row["pxname"]: row for row in csv.DictReader(lines)
                if row["svname"] not in ("FRONTEND", "BACKEND")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
        self.proc.wait()


def has_haproxy():
    return shutil.which("haproxy", path="/usr/sbin:/sbin:" + os.environ["PATH"]) is not None


def watch(seconds, *checks):
    """That all of them hold, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for check in checks:
            check()
        time.sleep(0.05)
