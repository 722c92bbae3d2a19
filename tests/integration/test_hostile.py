# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What local clients and handlers can do to a process that they share a socket with:
descriptors in messages, SO_LINGER, names that say nothing."""
import array
import os
import socket
import struct
import time

import pytest

import hatch
import world

SO_PASSRIGHTS = 83          # asm-generic/socket.h, Linux 6.16
OTHER = 61987


def lingering(seconds):
    """A connection with data that its peer doesn't read: close(2) waits so long."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    s = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()
    listener.close()
    s.setblocking(False)
    try:
        while True:
            s.send(b"x" * 65536)
    except BlockingIOError:
        pass
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    return s, peer


def send_fds(s, fds, data=b"x", address=None):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    return s.sendmsg([data], rights, 0, address) if address else s.sendmsg([data], rights)


# Datagrams of a wait service: only looked at


def said_by(path, uid, text, name=None):
    """From another process, so that these are its credentials."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                if name:
                    s.bind(name)
                s.sendto(text, path)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


@pytest.mark.root
@pytest.mark.parametrize("access,welcome", [('allow = { "uid:0" }', 0), ('deny = { "uid:%d" }' % OTHER, 0),
                                            ('allow = { "uid:%d" }' % OTHER, OTHER)])
def test_sender_of_a_wait_service_is_who_it_is(hatchd, shared_tmp, access, welcome):
    """Whether it has a name or not, which it chooses itself."""
    got = shared_tmp + "/got"
    daemon = hatchd('service "w" { listen = { "unix-dgram:%s/w.sock" } wait = yes access { %s }\n'
                    '    exec = { "/bin/sh", "-c", "dd bs=99 count=1 2>/dev/null >>%s" }\n'
                    '    limits { per_source = 0 } socket { mode = 0666 } }' % (shared_tmp, access, got))
    with open(got, "w"):
        os.chmod(got, 0o666)
    for i, uid in enumerate((0, OTHER) * 2):
        said_by(shared_tmp + "/w.sock", uid, b"%d\n" % uid, "\0hatchd-test-%d-%d" % (os.getpid(), i)
                if i < 2 else None)
    assert hatch.wait_until(lambda: daemon.log_lines("refuse", svc="w"))[0]["reason"] == "access"
    daemon.wait_log("end", n=2, svc="w")
    with open(got) as f:
        assert f.read().split() == [str(welcome)] * 2
    assert {e["peer"] for e in daemon.log_lines("refuse")} == {"unix:uid=%d" % (OTHER - welcome)}


def test_S1_descriptors_of_a_datagram_go_nowhere(hatchd, shared_tmp):
    """Neither into the master nor into handlers of others."""
    path = shared_tmp + "/w.sock"
    daemon = hatchd('service "w" { listen = { "unix-dgram:%s" } wait = yes exec = { "/bin/true" }\n'
                    '    limits { per_source = 0 } log_events = { } }\n'
                    'service "ls" { listen = { "tcp4:127.0.0.1:@ls@" }\n'
                    '    exec = { "/bin/ls", "-l", "/proc/self/fd" } }' % path)
    daemon.tcp("ls")
    before = hatch.n_fds(daemon.pid)
    # one that is known, and long lists of it
    with open(shared_tmp + "/secret", "w+") as secret, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        for _ in range(5):
            try:
                send_fds(s, [secret.fileno()] * 50, address=path)
            except PermissionError:     # the socket takes none
                s.sendto(b"x", path)
        counted = hatch.wait_until(lambda: world.counters(daemon, "w")["started"] >= 2)
        assert counted and b"secret" not in daemon.tcp("ls")
        assert hatch.n_fds(daemon.pid) <= before + 8


# SO_LINGER: close(2) would wait, and with it everybody


LINGERS = """
import socket, struct
s = socket.socket(fileno=0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 25))
s.setblocking(False)
try:
    while True:
        s.send(b"x" * 65536)
except BlockingIOError:
    s.detach()
"""


@pytest.mark.parametrize("timeouts", ["idle = 60s", "linger = 500ms"])
def test_handler_that_lets_its_socket_linger(hatchd, shared_tmp, timeouts):
    """Its client reads nothing; the others don't wait for it."""
    with open(shared_tmp + "/lingers", "w") as f:
        f.write(LINGERS)
    daemon = hatchd("""
service "bad"  { listen = { "tcp4:127.0.0.1:@bad@" } exec = { "/usr/bin/python3", "%s/lingers" }
                 timeouts { %s } }
service "cat"  { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" } }
service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" }
""" % (shared_tmp, timeouts))
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", daemon.port["bad"]))
        daemon.wait_log("end", svc="bad", timeout=20)
        begin = time.monotonic()
        assert daemon.tcp("cat", b"x") == b"x" and daemon.tcp("echo", b"y") == b"y"
        assert time.monotonic() - begin < 12


def takes_no_rights():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:
            return False
    return True


@pytest.mark.skipif(not takes_no_rights(), reason="SO_PASSRIGHTS needs Linux 6.16")
@pytest.mark.parametrize("kind", ["unix", "unix-dgram", "unix-seqpacket"])
def test_lingering_descriptors_are_not_taken(hatchd, shared_tmp, kind):
    """By what the talker reads: it would close them, and wait."""
    path = shared_tmp + "/s.sock"
    daemon = hatchd('service "s" { listen = { "%s:%s" } internal = "echo" }\n'
                    'service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" }' %
                    (kind, path))
    s, peer = lingering(25)
    types = {"unix": socket.SOCK_STREAM, "unix-dgram": socket.SOCK_DGRAM,
             "unix-seqpacket": socket.SOCK_SEQPACKET}
    with socket.socket(socket.AF_UNIX, types[kind]) as c:
        c.connect(path)
        with pytest.raises(PermissionError):
            send_fds(c, [s.fileno()])
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    s.close()
    peer.close()
    assert daemon.tcp("echo", b"y") == b"y"
