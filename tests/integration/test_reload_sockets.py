# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Reload, socket { }: a socket that is kept is afterwards what a new one would be."""
import ctypes
import errno
import os
import socket
import stat
import struct
import subprocess
import sys

import pytest

import hatch
from handler import in_namespace

PIDFD_GETFD = 438
FREEBIND, V6_FREEBIND, BUF_LOCK, MARK, TIMESTAMPNS = 15, 78, 72, 36, 35
# What is the same at all sockets of the daemon: level, option.
OPTIONS = {
    "rcvbuf": (socket.SOL_SOCKET, socket.SO_RCVBUF),
    "sndbuf": (socket.SOL_SOCKET, socket.SO_SNDBUF),
    "lock": (socket.SOL_SOCKET, BUF_LOCK),
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "mark": (socket.SOL_SOCKET, MARK),
    "broadcast": (socket.SOL_SOCKET, socket.SO_BROADCAST),
    "reuseaddr": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "reuseport": (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    "priority": (socket.SOL_SOCKET, socket.SO_PRIORITY),
    "passcred": (socket.SOL_SOCKET, socket.SO_PASSCRED),
    "timestamp": (socket.SOL_SOCKET, TIMESTAMPNS),
    "device": (socket.SOL_SOCKET, socket.SO_BINDTODEVICE),
}
INET = {
    socket.AF_INET: {
        "tos": (socket.IPPROTO_IP, socket.IP_TOS),
        "freebind": (socket.IPPROTO_IP, FREEBIND),
        "pktinfo": (socket.IPPROTO_IP, 8),
    },
    socket.AF_INET6: {
        "tos": (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
        "freebind": (socket.IPPROTO_IPV6, V6_FREEBIND),
        "pktinfo": (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
        "v6only": (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    },
}
GROUPS = ("239.1.2.3", "239.1.2.4", "239.1.2.5", "ff12::4711", "ff12::4712")


def sockets(daemon):
    """Copies of the listening sockets that the master has."""
    found = []
    pidfd = os.pidfd_open(daemon.pid)
    libc = ctypes.CDLL(None, use_errno=True)
    for name in os.listdir("/proc/%d/fd" % daemon.pid):
        if not os.readlink("/proc/%d/fd/%s" % (daemon.pid, name)).startswith("socket:"):
            continue
        fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
        if fd == -1:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        s = socket.socket(fileno=fd)
        address = s.getsockname()
        listens = s.type == socket.SOCK_DGRAM or s.getsockopt(socket.SOL_SOCKET,
                                                              socket.SO_ACCEPTCONN)
        if not address or not listens or "control" in str(address) \
                or s.family not in (*INET, socket.AF_UNIX):
            s.close()
        else:
            found.append(s)
    os.close(pidfd)
    return found


def is_member(s, group):
    """Whether the socket is in a group: then it can't join once more."""
    if (":" in group) != (s.family == socket.AF_INET6):
        return False
    if ":" in group:
        level, join, leave = socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.IPV6_LEAVE_GROUP
        value = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", 0)
    else:
        level, join, leave = socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, \
            socket.IP_DROP_MEMBERSHIP
        value = socket.inet_aton(group) + bytes(8)
    try:
        s.setsockopt(level, join, value)
    except OSError as e:
        assert e.errno == errno.EADDRINUSE, e
        return True
    s.setsockopt(level, leave, value)
    return False


def backlog(s):
    """How long the queue may be, by ss(8); of a UNIX socket by its name."""
    name = s.getsockname()
    column, what = (3, ["-x", "src", name]) if s.family == socket.AF_UNIX else \
        (2, ["-t", "sport = :%d" % name[1]])
    lines = subprocess.run(["ss", "-nlH", *what], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return sorted(line.split()[column] for line in lines)


def state(s):
    got = {}
    for name, (level, option) in {**OPTIONS, **INET.get(s.family, {})}.items():
        try:
            got[name] = s.getsockopt(level, option, 16)
        except OSError as e:
            got[name] = errno.errorcode[e.errno]
    if s.type == socket.SOCK_STREAM and s.family in INET:
        got["nodelay"] = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if s.type != socket.SOCK_DGRAM:
        got["backlog"] = backlog(s)
    elif s.family in INET:
        got["groups"] = [g for g in GROUPS if is_member(s, g)]
    if s.family == socket.AF_UNIX and s.getsockname()[:1] == "/":
        st = os.stat(s.getsockname())
        got["path"] = oct(st.st_mode), st.st_uid, st.st_gid
    return got


def look(daemon):
    """The state of each socket, by what it is, and who it is."""
    states, inodes = {}, {}
    for s in sockets(daemon):
        with s:
            name = s.getsockname()
            if s.family == socket.AF_UNIX:
                name = os.path.basename(name.decode() if isinstance(name, bytes) else name)
            key = "%s %s %s" % (s.family.name, s.type.name, name)
            states[key], inodes[key] = state(s), os.fstat(s.fileno()).st_ino
    return states, inodes


# Each service with the settings that make a difference to its sockets.
STREAM = ('backlog = 7', 'keepalive = yes', 'nodelay = yes', 'rcvbuf = "64KiB"',
          'sndbuf = "1MiB"', 'mark = 9', 'tos = 16', 'freebind = yes', 'freebind = no')
DATAGRAM = ('rcvbuf = "64KiB"', 'sndbuf = "64KiB"', 'mark = 9', 'tos = 17', 'broadcast = yes',
            'freebind = yes', 'freebind = no',
            'multicast = { "239.1.2.3", "239.1.2.4", "ff12::4711" }',
            'multicast = { "239.1.2.5", "239.1.2.4", "ff12::4711", "ff12::4712" }')
PATH = ('mode = 0600', 'owner = "nobody"', 'group = "daemon"',
        'mode = 0640 owner = "daemon" group = "daemon"', 'rcvbuf = "64KiB"', 'sndbuf = "64KiB"',
        'backlog = 7', 'keepalive = yes')
KINDS = {
    "tcp": ('listen = { "tcp:17001", "tcp:127.0.0.1:17003" } internal = "echo"', STREAM),
    "udp": ('listen = { "udp:17001", "udp:127.0.0.1:17003" } internal = "echo"', DATAGRAM),
    "wait": ('listen = { "udp:17002", "udp:127.0.0.1:17003" } exec = { "/bin/cat" } wait = yes',
             DATAGRAM),
    "unix": ('listen = { "unix:@tmp@/a.sock", "unix-seqpacket:@tmp@/b.sock" } internal = "echo"',
             PATH),
    "dgram": ('listen = { "unix-dgram:@tmp@/c.sock" } exec = { "/bin/cat" } wait = yes',
              PATH[:-2]),
}
NETWORK = ["ip link set lo multicast on", "ip route add 224.0.0.0/4 dev lo"]
if hatch.has_ipv6():
    NETWORK.append("ip -6 route add ff00::/8 dev lo table local")


def conf(kind, settings):
    return 'service "s" { %s socket { %s } }\n' % (KINDS[kind][0], settings)


def run(fn):
    """fn(start) in a network of its own; start(text) starts a daemon, which is ended
    after it."""
    def test():
        daemons = []

        def start(text):
            daemons.append(hatch.Daemon(text))
            return daemons[-1]

        try:
            fn(start)
        except BaseException:
            for daemon in daemons:
                print(daemon.log(), file=sys.stderr)
            raise
        finally:
            for daemon in reversed(daemons):
                daemon.close()

    in_namespace(test, *NETWORK)


def fresh(text):
    """What sockets are like after a start with this configuration."""
    daemon = hatch.Daemon(text)
    try:
        return look(daemon)[0]
    finally:
        daemon.close()


def walk(settings):
    """From none to each and back, then from each to the next."""
    for one in settings:
        yield one
        yield ""
    yield from settings
    yield " ".join(s for s in settings if len([t for t in settings
                                               if t.split()[0] == s.split()[0]]) == 1)
    yield ""


@pytest.mark.netns
@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_socket_is_what_a_new_one_would_be(kind):
    def test(start):
        new = {s: fresh(conf(kind, s)) for s in walk(KINDS[kind][1])}
        # each setting is seen by this test
        assert [s for s in new if new[s] == new[""]] == [""]
        daemon = start(conf(kind, ""))
        before = look(daemon)[1]
        for settings in walk(KINDS[kind][1]):
            daemon.reload(conf(kind, settings))
            assert look(daemon) == (new[settings], before), settings
        assert not daemon.log_lines(level="warn")

    run(test)


@pytest.mark.netns
def test_a_socket_of_another_device_is_a_new_one():
    def test(start):
        text = 'service "s" { listen = { "tcp4:17001", "udp4:17001" } internal = "echo" %s }\n'
        new = {more: fresh(text % more) for more in ("", 'socket { device = "lo" }')}
        daemon = start(text % "")
        for more in ('socket { device = "lo" }', "") * 2:
            before = look(daemon)[1]
            daemon.reload(text % more)
            states, inodes = look(daemon)
            assert states == new[more]
            assert not set(inodes.values()) & set(before.values())

    run(test)


@pytest.mark.netns
def test_a_socket_moves_to_a_service_with_other_settings():
    def test(start):
        text = 'service "%s" { listen = { "udp4:17001" } internal = "echo" %s }\n'
        rich = 'socket { multicast = { "239.1.2.3" } rcvbuf = "64KiB" broadcast = yes }'
        new = fresh(text % ("b", ""))
        daemon = start(text % ("a", rich))
        inodes = look(daemon)[1]
        assert look(daemon)[0] != new
        daemon.reload(text % ("b", ""))
        assert look(daemon) == (new, inodes)

    run(test)


@pytest.mark.netns
def test_a_group_is_left_when_there_is_no_route_to_it_any_more():
    def test(start):
        text = 'service "s" { listen = { "udp4:17001" } internal = "echo" %s }\n'
        daemon = start(text % 'socket { multicast = { "239.1.2.3" } }')
        with open("/proc/net/igmp") as f:
            assert "030201EF" in f.read()
        subprocess.run("ip route del 224.0.0.0/4 dev lo".split(), check=True)
        daemon.reload(text % "")
        with open("/proc/net/igmp") as f:
            assert "030201EF" not in f.read()

    run(test)


MANY = ", ".join('"239.2.0.%d"' % n for n in range(64))


@pytest.mark.netns
def test_settings_that_cannot_be_had_leave_all_as_it_was():
    """More groups than the kernel allows for a socket; the services before and behind
    have changed, too."""
    def test(start):
        text = """
service "a" { listen = { "unix:@tmp@/a.sock" } internal = "echo" socket { %s } }
service "b" { listen = { "udp4:17001" } internal = "echo" socket { multicast = { %s } } }
service "c" { listen = { "tcp:17001" } internal = "echo" socket { %s } }
"""
        daemon = start(text % ('mode = 0600 owner = "nobody"', '"239.1.2.3", "239.1.2.4"',
                               'tos = 16 rcvbuf = "64KiB"'))
        before = look(daemon)
        daemon.reload(text % ('mode = 0660 group = "daemon"', MANY, 'sndbuf = "64KiB"'), ok=False)
        assert "service b: udp:0.0.0.0:17001: multicast: " in daemon.log()
        assert look(daemon) == before
        with open("/proc/net/igmp") as f:
            assert "000002EF" not in f.read()
        # and when it is another service that fails
        daemon.reload(text % ("mode = 0660", '"239.1.2.5"', "backlog = 5") +
                      'service "d" { listen = { "tcp:203.0.113.7:9" } internal = "echo" '
                      "socket { freebind = no } }\n", ok=False)
        assert look(daemon) == before

    run(test)


def test_a_path_that_was_removed_is_no_reason_to_fail(hatchd):
    text = 'service "s" { listen = { "unix:@tmp@/s.sock" } internal = "echo" socket { mode = %s } }'
    daemon = hatchd(text % "0600")
    path = daemon.tmp + "/s.sock"
    os.unlink(path)
    os.symlink(daemon.conf, path)
    before = os.stat(path)
    daemon.reload(text % "0666")
    assert "%s: its socket is not there any more" % path in daemon.log()
    assert stat.S_IMODE(os.stat(path).st_mode) == stat.S_IMODE(before.st_mode) == 0o600
