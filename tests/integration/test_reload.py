# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Reload: a configuration is taken whole or not at all, and what has not
changed does not notice."""
import json
import os
import pwd
import re
import resource
import signal
import socket
import stat
import sys
import time

import pytest

import hatch

needs_root = pytest.mark.root

CONF = """
service "upper" {
    listen = { "tcp:127.0.0.1:@upper@" }
    exec   = { "/usr/bin/tr", "a-z", "A-Z" }
}
service "echo" {
    listen   = { "tcp:127.0.0.1:@echo@", "udp:127.0.0.1:@echo@" }
    internal = "echo"
}
"""

# A handler that accepts by itself: it answers each line with a tag before it,
# ends at the client's "bye", and tells who it is.
WAITER = """
import os, socket, sys
fd = 3 if "LISTEN_FDS" in os.environ else 0
listener = socket.socket(fileno=fd)
while True:
    try:
        c, _ = listener.accept()
    except BlockingIOError:
        os._exit(9)
    with c, c.makefile("rwb", 0) as f:
        for line in f:
            f.write(b"%s %d %s" % (sys.argv[1].encode(), os.getpid(), line))
            if line == b"bye\\n":
                sys.exit(0)
"""


def service(name, listen, what, more=""):
    if isinstance(listen, str):
        listen = (listen,)
    return 'service "%s" {\n    listen = { %s }\n    %s\n    %s\n}\n' % (
        name, ", ".join('"%s"' % l for l in listen), what, more)


def sh(script):
    return 'exec = { "/bin/sh", "-c", "%s" }' % script


CAT = 'exec = { "/bin/cat" }'
UPPER = 'exec = { "/usr/bin/tr", "a-z", "A-Z" }'
ECHO = 'internal = "echo"'
TERMINATE = 'on_reload = "terminate"'


def here(name):
    """Where a port is bound: "" is all addresses."""
    return "tcp:127.0.0.1:@%s@" % name


def one(instances):
    return "limits { instances = %d }" % instances


# What is seen from outside


def master_inodes(daemon):
    found = {}
    for fd in os.listdir("/proc/%d/fd" % daemon.pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (daemon.pid, fd))
        except OSError:
            continue
        if target.startswith("socket:["):
            found[int(target[8:-1])] = int(fd)
    return found


def bound(daemon, port, table="tcp"):
    """Inodes of the sockets that the master has bound to a port (or a path)."""
    mine = master_inodes(daemon)
    found = set()
    with open("/proc/net/" + table) as f:
        next(f)
        for line in f:
            w = line.split()
            if table == "unix":
                if len(w) > 7 and w[7] == port:
                    found.add(int(w[6]))
            elif int(w[1].rsplit(":", 1)[1], 16) == port and (w[3] in ("0A", "07")):
                found.add(int(w[9]))
    return sorted(i for i in found if i in mine)


def inode(daemon, port, table="tcp"):
    found = bound(daemon, port, table)
    assert len(found) == 1, (port, found)
    return found[0]


def control(daemon, request, path=None):
    s = hatch.connect(path or daemon.tmp + "/control.sock")
    with s:
        s.sendall(request.encode() + b"\n")
        return json.loads(hatch.read_all(s))


def counters(daemon, name):
    services = control(daemon, "status " + name).get("services", [])
    return services[0] if services else None


def refused(port):
    try:
        hatch.connect(port).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def ask(s, text):
    """A line to a connection, the line that comes back."""
    s.sendall(text + b"\n")
    got = b""
    while not got.endswith(b"\n"):
        part = s.recv(4096)
        assert part, got
        got += part
    return got


class Peer:
    """A UDP client with one address."""

    def __init__(self, port, host="127.0.0.1"):
        self.sock = socket.socket(hatch._family(host), socket.SOCK_DGRAM)
        self.sock.connect((host, port))

    def ask(self, data, timeout=hatch.DEADLINE):
        self.sock.settimeout(timeout)
        self.sock.send(data)
        try:
            return self.sock.recv(65536)
        except (socket.timeout, ConnectionRefusedError):
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


@pytest.fixture
def waiter(shared_tmp):
    """A folder with the program of WAITER, and the setting that runs it."""
    path = os.path.join(shared_tmp, "waiter.py")
    with open(path, "w") as f:
        f.write(WAITER)

    def setting(tag="w"):
        return 'exec = { "%s", "-u", "%s", "%s" }' % (sys.executable, path, tag)

    return setting


# Adding, removing, changing


def test_services_come_go_and_change(hatchd):
    daemon = hatchd(service("a", here("a"), CAT) + service("b", here("b"), CAT) +
                    service("c", here("c"), CAT) + service("d", here("d"), CAT))
    line = daemon.reload(service("b", here("b"), UPPER) +
                         service("c", here("c"), CAT, "enabled = no") +
                         service("d", here("d"), CAT) + service("e", here("e"), CAT))
    assert (line["added"], line["changed"], line["removed"]) == ("1", "1", "2")
    assert sorted(line["services"].split()) == ["+e", "-a", "-c", "~b(exec)"]
    assert refused(daemon.port["a"]) and refused(daemon.port["c"])
    assert daemon.tcp("b", b"changed") == b"CHANGED"
    assert daemon.tcp("d", b"same") == b"same"
    assert daemon.tcp("e", b"new") == b"new"
    assert counters(daemon, "a") is None and counters(daemon, "c") is None
    line = daemon.reload(service("c", here("c"), CAT))
    assert daemon.tcp("c", b"back") == b"back"
    assert sorted(line["services"].split()) == ["+c", "-b", "-d", "-e"]


def test_all_services_may_go_and_come_back(hatchd):
    daemon = hatchd(CONF)
    daemon.reload("# nothing\n")
    assert refused(daemon.port["upper"]) and refused(daemon.port["echo"])
    assert control(daemon, "status")["services"] == []
    daemon.reload(CONF)
    assert daemon.tcp("upper", b"again") == b"AGAIN"
    assert daemon.tcp("echo", b"again") == b"again"
    assert daemon.udp("echo", b"again") == b"again"


def test_a_reload_without_a_change_says_so(hatchd):
    daemon = hatchd(CONF)
    line = daemon.reload()
    assert (line["added"], line["changed"], line["removed"]) == ("0", "0", "0")
    assert "services" not in line


def test_many_changes_are_told_cut_short(hatchd):
    daemon = hatchd(CONF)
    text = "".join(service("service-%03d" % i, "unix:@tmp@/%d" % i, CAT) for i in range(100))
    line = daemon.reload(CONF + text)
    assert line["added"] == "100"
    assert line["services"].startswith("+service-000 +service-001 ")
    assert line["services"].endswith("...") and len(line["services"]) < 512


# What has not changed


def test_L28_unchanged_services_keep_their_sockets(hatchd):
    text = CONF + service("u", "unix:@tmp@/u.sock", CAT) + \
        service("d", "udp:127.0.0.1:@d@", CAT, "wait = yes")
    daemon = hatchd(text)
    path = daemon.tmp + "/u.sock"

    def all_of_it():
        return (inode(daemon, daemon.port["upper"]), inode(daemon, daemon.port["echo"]),
                inode(daemon, daemon.port["echo"], "udp"), inode(daemon, daemon.port["d"], "udp"),
                inode(daemon, path, "unix"), os.stat(path).st_ino)

    first = all_of_it()
    for i in range(5):
        daemon.reload(text + service("x%d" % i, here("x%d" % i), CAT))
        assert all_of_it() == first
    daemon.reload(text.replace("a-z", "b-y"))      # of the same socket, changed
    assert all_of_it() == first
    assert daemon.tcp("upper", b"abz") == b"aAz"


def test_L28_queued_connections_stay(hatchd):
    text = service("one", here("one"), CAT, one(1))
    daemon = hatchd(text)
    first = daemon.connect("one")
    assert ask(first, b"first") == b"first\n"
    queued = [daemon.connect("one") for _ in range(5)]
    for i, s in enumerate(queued):
        s.sendall(b"queued %d\n" % i)
    for i in range(4):
        daemon.reload(text + service("x%d" % i, here("x"), CAT))
    assert len(daemon.handlers()) == 1
    assert ask(first, b"still") == b"still\n"
    first.close()
    for i, s in enumerate(queued):
        assert s.recv(100) == b"queued %d\n" % i
        s.close()


def test_a_limit_that_is_raised_admits_the_queue(hatchd):
    daemon = hatchd(service("one", here("one"), CAT, one(1)))
    clients = [daemon.connect("one") for _ in range(4)]
    assert ask(clients[0], b"0") == b"0\n"
    daemon.reload(service("one", here("one"), CAT, one(4)))
    for i, s in enumerate(clients):
        assert ask(s, b"%d" % i) == b"%d\n" % i
        s.close()


def test_a_raised_max_processes_admits_the_queue(hatchd):
    text = "max_processes = %d\n" + service("one", here("one"), CAT)
    daemon = hatchd(text % 1)
    clients = [daemon.connect("one") for _ in range(4)]
    assert ask(clients[0], b"0") == b"0\n"
    line = daemon.reload(text % 4)
    assert line["global"] == "max_processes"
    for i, s in enumerate(clients):
        assert ask(s, b"%d" % i) == b"%d\n" % i
        s.close()


def test_counters_stay(hatchd):
    daemon = hatchd(CONF)
    for _ in range(7):
        daemon.tcp("upper", b"x")
        daemon.tcp("echo", b"x")
    daemon.wait_log("end", n=7, svc="upper")
    daemon.wait_log("end", n=7, svc="echo")
    before = counters(daemon, "upper"), counters(daemon, "echo")
    assert before[0]["accepted"] == before[0]["ended"] == 7
    assert before[1]["bytes_in"] == 7
    daemon.reload(CONF + service("x", here("x"), CAT))
    assert (counters(daemon, "upper"), counters(daemon, "echo")) == before
    daemon.reload(CONF.replace("a-z", "b-y"))       # and those of one that has changed
    assert counters(daemon, "upper") == before[0]
    daemon.reload("")
    daemon.reload(CONF)                             # but a new one begins anew
    assert counters(daemon, "upper")["accepted"] == 0


def test_running_handlers_stay(hatchd):
    daemon = hatchd(CONF)
    s = daemon.connect("upper")
    s.sendall(b"one ")
    pid = hatch.wait_until(daemon.handlers)
    with daemon.connect("echo") as e:
        assert ask(e, b"before") == b"before\n"
        for i in range(3):
            daemon.reload(CONF + service("x%d" % i, here("x"), CAT))
        assert ask(e, b"after") == b"after\n"
    assert daemon.handlers() == pid
    s.sendall(b"two")
    s.shutdown(socket.SHUT_WR)
    assert hatch.read_all(s) == b"ONE TWO"
    s.close()
    assert daemon.wait_log("end", svc="upper")["pid"] == str(pid[0])


# What has changed


def test_changes_hold_from_the_next_connection_on(hatchd):
    daemon = hatchd(service("s", here("s"), CAT))
    with daemon.connect("s") as old:
        assert ask(old, b"as it was") == b"as it was\n"
        daemon.reload(service("s", here("s"), UPPER))
        assert daemon.tcp("s", b"as it is") == b"AS IT IS"
        assert ask(old, b"goes on") == b"goes on\n"
        daemon.reload(service("s", here("s"), sh("echo $WHO $REMOTE_ADDR"),
                              'environment = { "WHO=me" }'))
        assert daemon.tcp("s") == b"me 127.0.0.1\n"
        assert ask(old, b"on") == b"on\n"


def test_settings_of_the_log_hold_from_the_next_connection_on(hatchd):
    text = service("s", here("s"), CAT, 'log_events = { %s }')
    daemon = hatchd(text % '"start"')
    with daemon.connect("s") as old:
        assert ask(old, b"x") == b"x\n"
        daemon.wait_log("start", svc="s")
        daemon.reload(text % '"end"')
        assert daemon.tcp("s", b"y") == b"y"
    daemon.wait_log("end", svc="s", conn=2)
    hatch.wait_until(lambda: not daemon.handlers())
    daemon.reload()
    assert len(daemon.log_lines("start")) == 1 and len(daemon.log_lines("end")) == 1


@pytest.mark.parametrize("on", [True, False])
def test_socket_options_are_applied_to_the_kept_socket(hatchd, on):
    text = service("s", "unix:@tmp@/s.sock", CAT, "socket { mode = %s }")
    daemon = hatchd(text % ("0600" if on else "0666"))
    path = daemon.tmp + "/s.sock"
    before = os.stat(path).st_ino
    daemon.reload(text % ("0666" if on else "0600"))
    assert stat.S_IMODE(os.stat(path).st_mode) == (0o666 if on else 0o600)
    assert os.stat(path).st_ino == before
    assert hatch.tcp_request(path, b"x") == b"x"


def test_a_listener_more_and_one_less(hatchd):
    daemon = hatchd(service("s", (here("a"), here("b")), CAT))
    kept = inode(daemon, daemon.port["b"])
    daemon.reload(service("s", (here("b"), here("c")), CAT))
    assert refused(daemon.port["a"])
    assert inode(daemon, daemon.port["b"]) == kept
    assert daemon.tcp("b", b"b") == b"b" and daemon.tcp("c", b"c") == b"c"


def test_a_removed_unix_path_is_removed(hatchd):
    daemon = hatchd(service("s", "unix:@tmp@/s.sock", CAT))
    assert os.path.exists(daemon.tmp + "/s.sock")
    daemon.reload("")
    assert not os.path.exists(daemon.tmp + "/s.sock")


# Sockets that move


def test_a_listener_moves_to_another_service_with_its_queue(hatchd):
    daemon = hatchd(service("one", here("p"), CAT, one(1)) + service("two", here("q"), UPPER))
    with daemon.connect("p") as first:
        assert ask(first, b"first") == b"first\n"
        queued = [daemon.connect("p") for _ in range(3)]
        for s in queued:
            s.sendall(b"queued\n")
        before = inode(daemon, daemon.port["p"]), inode(daemon, daemon.port["q"])
        daemon.reload(service("one", here("q"), CAT, one(1)) + service("two", here("p"), UPPER))
        assert (inode(daemon, daemon.port["p"]), inode(daemon, daemon.port["q"])) == before
        for s in queued:
            s.shutdown(socket.SHUT_WR)
            assert hatch.read_all(s) == b"QUEUED\n"
            s.close()
        assert ask(first, b"on") == b"on\n"
    assert daemon.tcp("q", b"q") == b"q"


def test_a_renamed_service_keeps_its_socket(hatchd):
    daemon = hatchd(service("old", (here("p"), "udp:127.0.0.1:@p@"), ECHO))
    before = inode(daemon, daemon.port["p"]), inode(daemon, daemon.port["p"], "udp")
    with daemon.connect("p") as s, Peer(daemon.port["p"]) as p:
        assert ask(s, b"x") == b"x\n" and p.ask(b"x") == b"x"
        line = daemon.reload(service("new", (here("p"), "udp:127.0.0.1:@p@"), ECHO))
        assert sorted(line["services"].split()) == ["+new", "-old"]
        assert (inode(daemon, daemon.port["p"]),
                inode(daemon, daemon.port["p"], "udp")) == before
        assert ask(s, b"y") == b"y\n" and p.ask(b"y") == b"y"


@pytest.mark.parametrize("proto,what", [
    ("tcp", CAT), ("tcp", ECHO), ("udp", ECHO), ("udp", CAT + " session { once = yes }"),
    ("udp", 'wait = yes ' + CAT)], ids=["exec", "internal", "udp-internal", "session", "wait"])
def test_all_addresses_to_one_and_back(hatchd, proto, what):
    """The old socket is in the way of the new one."""
    table = proto
    any_, loopback = proto + "4:@p@", proto + "4:127.0.0.1:@p@"
    daemon = hatchd(service("s", any_, what))

    def works():
        if "wait" not in what:
            text = os.urandom(8)
            assert getattr(daemon, proto)("p", text) == text
            hatch.wait_until(lambda: not daemon.handlers())     # the talker is done with it

    works()
    old = inode(daemon, daemon.port["p"], table)
    for listen in (loopback, any_, loopback, any_):
        daemon.reload(service("s", listen, what))
        new = inode(daemon, daemon.port["p"], table)
        assert new != old
        old = new
        works()


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_failure_after_the_old_socket_made_way_brings_it_back(hatchd, proto):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        other = service("x", "tcp:127.0.0.1:%d" % busy.getsockname()[1], CAT)
        daemon = hatchd(service("s", proto + "4:@p@", ECHO))
        for _ in range(3):
            daemon.reload(service("s", proto + "4:127.0.0.1:@p@", ECHO) + other, ok=False)
            assert getattr(daemon, proto)("p", b"x") == b"x"
    daemon.reload()
    assert getattr(daemon, proto)("p", b"x") == b"x"


def test_a_failed_reload_costs_the_queue_of_no_service(hatchd):
    """Also of one whose socket would have had to make way."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        daemon = hatchd(service("s", "tcp4:@p@", CAT, one(1)))
        old = inode(daemon, daemon.port["p"])
        with daemon.connect("p") as first:
            assert ask(first, b"first") == b"first\n"
            queued = daemon.connect("p")
            queued.sendall(b"queued\n")
            daemon.reload(service("s", here("p"), CAT, one(1)) +
                          service("x", "tcp:127.0.0.1:%d" % busy.getsockname()[1], CAT), ok=False)
        assert queued.recv(100) == b"queued\n"
        queued.close()
        assert inode(daemon, daemon.port["p"]) == old


def test_a_unix_path_changes_its_type(hatchd):
    daemon = hatchd(service("s", "unix:@tmp@/s.sock", CAT))
    path = daemon.tmp + "/s.sock"
    assert hatch.tcp_request(path, b"stream") == b"stream"
    for _ in range(2):
        daemon.reload(service("s", "unix-dgram:@tmp@/s.sock", 'internal = "discard"'))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(path)
            s.send(b"gone")
        daemon.reload(service("s", "unix-seqpacket:@tmp@/s.sock", CAT))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(hatch.DEADLINE)
            s.connect(path)
            s.send(b"packet")
            assert s.recv(100) == b"packet"
        daemon.reload(service("s", "unix:@tmp@/s.sock", CAT))
        assert hatch.tcp_request(path, b"stream") == b"stream"


def test_a_unix_path_whose_change_fails_stays_as_it_is(hatchd):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        daemon = hatchd(service("s", "unix:@tmp@/s.sock", CAT, one(1)))
        path = daemon.tmp + "/s.sock"
        with hatch.connect(path) as first:
            assert ask(first, b"first") == b"first\n"
            queued = hatch.connect(path)
            daemon.reload(service("s", "unix-dgram:@tmp@/s.sock", 'internal = "discard"') +
                          service("x", "tcp:127.0.0.1:%d" % busy.getsockname()[1], CAT), ok=False)
        assert ask(queued, b"queued") == b"queued\n"
        queued.close()
    assert hatch.tcp_request(path, b"stream") == b"stream"
    assert sorted(n for n in os.listdir(daemon.tmp) if n.startswith("s.")) == ["s.sock"]


FULL = 'timeouts { first_byte = 20s } banner { refuse = "not now\\r\\n" } ' + one(1)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("into", [
    "", ("new", CAT, ""), ("old", ECHO, ""), ("old", 'internal = "tcpmux"', ""),
    ("old", CAT, "wait = yes"),
], ids=["gone", "renamed", "internal", "tcpmux", "wait"])
def test_who_waits_for_what_is_gone_is_told(hatchd, into, told):
    """For the first byte or for room; and what it has said is no reason to be reset."""
    old = FULL if told else FULL.replace("banner", "#banner").replace("} limits", "}\nlimits")
    daemon = hatchd(service("old", here("p"), CAT, old))
    busy, room, first = [daemon.connect("p") for _ in range(3)]
    assert ask(busy, b"on") == b"on\n"
    room.sendall(b"waits for room")
    daemon.wait_log("limit", svc="old")
    hatch.wait_until(lambda: control(daemon, "status old")["services"][0]["accepted"] == 3)
    if into:
        banner = 'banner { refuse = "not now\\r\\n" }' if told and into[2] == "" else ""
        daemon.reload(service(into[0], here("p"), into[1], into[2] + " " + banner))
    else:
        daemon.reload("")
    with room, first:
        for s in room, first:
            expected = b"not now\r\n" if told and not (into and into[2]) else b""
            assert hatch.read_all(s) == expected
    for n in 1, 2:
        assert daemon.wait_log("refuse", n, svc="old")["reason"] == "spawn"
    assert counters(daemon, "old")["refused"]["spawn"] == 2
    assert ask(busy, b"still") == b"still\n"
    busy.close()


def test_port_0_keeps_its_port(hatchd):
    text = service("a", "tcp4:0", CAT) + service("b", ("tcp4:0", "tcp4:0"), UPPER)
    daemon = hatchd(text)
    ports = {int(e["port"]) for e in daemon.log_lines("listen")}
    assert len(ports) == 3
    a = int(daemon.log_lines("listen", svc="a")[0]["port"])
    for i in range(3):
        daemon.reload(text + service("x%d" % i, "tcp4:0", CAT))
        for port in ports:
            bound(daemon, port)
            assert hatch.tcp_request(port, b"x") in (b"x", b"X")
    assert len(daemon.log_lines("listen", svc="a")) == 1
    daemon.reload(text.replace("a-z", "b-z"))
    assert hatch.tcp_request(a, b"x") == b"x"
    assert len(daemon.log_lines("listen")) == 6


@pytest.mark.ipv6
def test_port_0_of_a_new_service_is_one_port_for_both_families(hatchd):
    daemon = hatchd(CONF)
    daemon.reload(CONF + service("z", "tcp:0", CAT))
    ports = [int(e["port"]) for e in daemon.log_lines("listen", svc="z")]
    assert len(ports) == 2 and ports[0] == ports[1]
    assert hatch.tcp_request(ports[0], b"4") == b"4"
    assert hatch.tcp_request(ports[0], b"6", host="::1") == b"6"


# Handlers that have the socket itself


def test_a_wait_handler_stays(hatchd, shared_tmp, waiter):
    text = service("w", here("w"), waiter(), "wait = yes")
    daemon = hatchd(text, path=shared_tmp)
    first = daemon.tcp("w", b"a\n")
    pid = first.split()[1]
    for i in range(3):
        daemon.reload(text + service("x%d" % i, here("x"), CAT))
        assert daemon.tcp("w", b"b\n") == b"w %s b\n" % pid
    assert len(daemon.handlers()) == 1
    daemon.tcp("w", b"bye\n")
    daemon.wait_log("end", svc="w")
    assert daemon.tcp("w", b"c\n").split()[1] != pid
    daemon.tcp("w", b"bye\n")


def test_a_changed_wait_service_lets_its_handler_finish(hatchd, shared_tmp, waiter):
    text = service("w", here("w"), waiter("old"), "wait = yes")
    daemon = hatchd(text, path=shared_tmp)
    assert daemon.tcp("w", b"a\n").startswith(b"old ")
    daemon.reload(text.replace('"old"', '"new"'))
    assert daemon.tcp("w", b"b\n").startswith(b"old ")
    assert len(daemon.handlers()) == 1
    daemon.tcp("w", b"bye\n")
    daemon.wait_log("end", svc="w", exit=0)
    assert daemon.tcp("w", b"c\n").startswith(b"new ")
    daemon.tcp("w", b"bye\n")


def test_wait_to_nowait_with_a_running_handler(hatchd, shared_tmp, waiter):
    daemon = hatchd(service("w", here("w"), waiter("old"), "wait = yes"), path=shared_tmp)
    assert daemon.tcp("w", b"a\n").startswith(b"old ")
    daemon.reload(service("w", here("w"), CAT))
    assert daemon.tcp("w", b"b\n").startswith(b"old ")
    daemon.tcp("w", b"bye\n")
    assert daemon.wait_log("end", svc="w")["exit"] == "0"
    assert daemon.tcp("w", b"c\n") == b"c\n"
    daemon.reload(service("w", here("w"), waiter("new"), "wait = yes"))
    assert daemon.tcp("w", b"d\n").startswith(b"new ")
    daemon.tcp("w", b"bye\n")


def test_a_removed_wait_service_lets_its_handler_finish(hatchd, shared_tmp, waiter):
    text = service("w", here("w"), waiter("old"), "wait = yes")
    daemon = hatchd(text, path=shared_tmp)
    s = daemon.connect("w")
    pid = ask(s, b"a").split()[1]
    daemon.reload("")
    assert ask(s, b"b") == b"old %s b\n" % pid
    assert ask(s, b"bye").endswith(b"bye\n")
    s.close()
    daemon.wait_log("end", svc="w", exit=0, pid=pid.decode())
    hatch.wait_until(lambda: refused(daemon.port["w"]))
    daemon.reload(text)
    assert daemon.tcp("w", b"c\n").startswith(b"old ")
    daemon.tcp("w", b"bye\n")


def test_a_wait_socket_moves_to_another_service(hatchd, shared_tmp, waiter):
    daemon = hatchd(service("w", here("w"), waiter("old"), "wait = yes"), path=shared_tmp)
    assert daemon.tcp("w", b"a\n").startswith(b"old ")
    daemon.reload(service("v", here("w"), waiter("new"), "wait = yes"))
    assert daemon.tcp("w", b"b\n").startswith(b"old ")
    daemon.tcp("w", b"bye\n")
    daemon.wait_log("end", svc="w", exit=0)
    assert daemon.tcp("w", b"c\n").startswith(b"new ")
    daemon.tcp("w", b"bye\n")
    daemon.wait_log("end", svc="v", exit=0)


def test_each_socket_of_a_wait_service_comes_free_with_its_own_handler(hatchd, shared_tmp,
                                                                       waiter):
    """One of them is removed while both have a handler."""
    daemon = hatchd(service("w", (here("a"), here("b")), waiter(), "wait = yes"),
                    path=shared_tmp)
    a = daemon.connect("a")
    pid_a = ask(a, b"x").split()[1]
    pid_b = daemon.tcp("b", b"x\n").split()[1]
    assert pid_a != pid_b
    daemon.reload(service("w", here("b"), waiter(), "wait = yes"))
    ask(a, b"bye")
    a.close()
    daemon.wait_log("end", svc="w", pid=pid_a.decode())
    for _ in range(5):
        assert daemon.tcp("b", b"y\n").split()[1] == pid_b
    assert len(daemon.handlers()) == 1
    daemon.tcp("b", b"bye\n")


def test_all_sockets_of_a_listen_fds_service_come_free(hatchd, shared_tmp, waiter):
    """Although the handler was started with all of them, and is given each by
    itself the next time, or the service has fewer by then."""
    text = service("w", (here("a"), here("b"), here("c")), waiter(),
                   'wait = yes pass = "listen_fds"')
    daemon = hatchd(text, path=shared_tmp)
    assert daemon.tcp("a", b"x\n").startswith(b"w ")
    daemon.reload(text.replace("listen_fds", "stdio"))
    daemon.tcp("a", b"bye\n")
    daemon.wait_log("end", svc="w", exit=0)
    for name in "abc":
        assert daemon.tcp(name, b"y\n").startswith(b"w ")
        daemon.tcp(name, b"bye\n")


def test_sockets_of_a_listen_fds_service_that_move_come_free(hatchd, shared_tmp, waiter):
    text = service("w", (here("a"), here("b"), here("c")), waiter(),
                   'wait = yes pass = "listen_fds"')
    daemon = hatchd(text, path=shared_tmp)
    assert daemon.tcp("a", b"x\n").startswith(b"w ")
    daemon.reload(service("w", here("b"), waiter(), 'wait = yes pass = "listen_fds"') +
                  service("v", (here("a"), here("c")), CAT))
    daemon.tcp("a", b"bye\n")
    daemon.wait_log("end", svc="w", exit=0)
    for name in "ac":
        assert daemon.tcp(name, b"y\n") == b"y\n"
    assert daemon.tcp("b", b"z\n").startswith(b"w ")
    daemon.tcp("b", b"bye\n")


def test_a_wait_socket_that_its_handler_has_cannot_make_way(hatchd, shared_tmp, waiter):
    """The handler would go on to have the port: the reload fails, nothing is lost."""
    daemon = hatchd(service("w", "tcp4:@w@", waiter("old"), "wait = yes"), path=shared_tmp)
    old = inode(daemon, daemon.port["w"])
    assert daemon.tcp("w", b"a\n").startswith(b"old ")
    line = daemon.reload(service("w", here("w"), waiter("new"), "wait = yes"), ok=None)
    if line["result"] == "failed":
        assert inode(daemon, daemon.port["w"]) == old
        assert daemon.tcp("w", b"b\n").startswith(b"old ")
        daemon.tcp("w", b"bye\n")
        daemon.wait_log("end", svc="w", exit=0)
        assert daemon.tcp("w", b"c\n").startswith(b"old ")
        daemon.tcp("w", b"bye\n")
        daemon.wait_log("end", n=2, svc="w", exit=0)
        daemon.reload()
    assert daemon.tcp("w", b"d\n").startswith(b"new ")
    daemon.tcp("w", b"bye\n")
    daemon.wait_log("end", svc="w", exit=0)


# Services that the talker serves


def test_internal_services_change(hatchd):
    text = service("i", (here("p"), "udp:127.0.0.1:@p@"), 'internal = "%s"')
    daemon = hatchd(text % "echo")
    with daemon.connect("p") as old, Peer(daemon.port["p"]) as peer:
        assert ask(old, b"a") == b"a\n" and peer.ask(b"a") == b"a"
        daemon.reload(text % "daytime")
        assert re.search(rb"\d\d:\d\d:\d\d", daemon.tcp("p"))
        assert re.search(rb"\d\d:\d\d:\d\d", daemon.udp("p", b"?" * 100))
        assert re.search(rb"\d\d:\d\d:\d\d", peer.ask(b"?" * 100))
        assert ask(old, b"b") == b"b\n"
        daemon.reload(service("i", (here("p"), "udp:127.0.0.1:@p@"), UPPER))
        assert daemon.tcp("p", b"c") == b"C"
        assert ask(old, b"d") == b"d\n"
        daemon.reload(text % "discard")
        assert daemon.tcp("p", b"e") == b""
        daemon.reload("")
        assert ask(old, b"f") == b"f\n"
    daemon.wait_log("end", svc="i")
    assert len({e["pid"] for e in daemon.log_lines("talker")}) == 0


def session(tag):
    """A datagram handler that answers with a tag."""
    return 'exec = { "%s", "-c", "import os; ' \
        "[os.write(1, b'%s ' + m) for m in iter(lambda: os.read(0, 999), b'')]\" }" % (
            sys.executable, tag)


def test_running_datagram_sessions_keep_what_they_were_started_with(hatchd):
    daemon = hatchd(service("s", "udp:127.0.0.1:@p@", session("old")))
    with Peer(daemon.port["p"]) as a, Peer(daemon.port["p"]) as b:
        assert a.ask(b"1") == b"old 1"
        daemon.reload(service("s", "udp:127.0.0.1:@p@", session("new")))
        assert a.ask(b"2") == b"old 2"
        assert b.ask(b"3") == b"new 3"
        daemon.reload(service("t", "udp:127.0.0.1:@p@", session("newer")))
        assert a.ask(b"4") == b"old 4"
        assert b.ask(b"5") == b"new 5"
        with Peer(daemon.port["p"]) as c:
            assert c.ask(b"6") == b"newer 6"
            assert len(daemon.handlers()) == 3


def test_sessions_end_when_a_wait_handler_gets_their_socket(hatchd):
    """They would take from it what comes."""
    once = 'exec = { "%s", "-c", "import socket; s = socket.socket(fileno=0); ' \
        "d, a = s.recvfrom(99); s.sendto(b'wait ' + d, a)\" }" % sys.executable
    daemon = hatchd(service("s", "udp:127.0.0.1:@p@", session("old")))
    with Peer(daemon.port["p"]) as a, Peer(daemon.port["p"]) as b:
        assert a.ask(b"1") == b"old 1"
        assert b.ask(b"2") == b"old 2"
        daemon.reload(service("s", "udp:127.0.0.1:@p@", once, "wait = yes"))
        for n in 1, 2:
            assert daemon.wait_log("end", n, svc="s")["exit"] == "0"
        for i in range(5):
            assert a.ask(b"%d" % i) == b"wait %d" % i
            with Peer(daemon.port["p"]) as c:
                assert c.ask(b"c") == b"wait c"
        daemon.reload(service("s", "udp:127.0.0.1:@p@", session("new")))
        assert a.ask(b"3") == b"new 3"


def test_a_removed_session_service_comes_back_when_its_sessions_are_over(hatchd):
    """Until then the talker has its port, for them."""
    text = service("s", "udp:127.0.0.1:@p@", session("old"), "session { idle = 3s }")
    daemon = hatchd(text)
    with Peer(daemon.port["p"]) as a:
        assert a.ask(b"1") == b"old 1"
        daemon.reload("")
        assert a.ask(b"2") == b"old 2"
        line = daemon.reload(text.replace("old", "new"), ok=None)
        if line["result"] == "failed":
            assert "Address already in use" in daemon.log()
            daemon.wait_log("end", svc="s")
        hatch.wait_until(lambda: daemon.reload(ok=None)["result"] == "ok")
        with Peer(daemon.port["p"]) as b:
            for i in range(20):
                assert b.ask(b"%d" % i) == b"new %d" % i


def test_session_settings_change(hatchd):
    text = service("s", "udp:127.0.0.1:@p@", UPPER, "session { once = %s }")
    daemon = hatchd(text % "yes")
    assert daemon.udp("p", b"once") == b"ONCE"
    daemon.reload(text % "no")
    assert daemon.udp("p", b"x", timeout=0.3) is None       # tr waits for more
    daemon.reload(text % "yes")
    assert daemon.udp("p", b"again") == b"AGAIN"


def test_a_reload_while_the_talker_is_away(hatchd):
    daemon = hatchd(CONF)
    old = daemon.talker
    os.kill(old, signal.SIGSTOP)
    try:
        daemon.reload(CONF + service("f", (here("f"), "udp:127.0.0.1:@f@"), ECHO))
        os.kill(old, signal.SIGKILL)
        daemon.reload(CONF + service("g", (here("g"), "udp:127.0.0.1:@g@"), ECHO))
    finally:
        try:
            os.kill(old, signal.SIGCONT)
        except ProcessLookupError:
            pass
    hatch.wait_until(lambda: daemon.talker not in (0, old), what="a new talker")
    assert daemon.tcp("g", b"g") == b"g"
    assert hatch.wait_until(lambda: daemon.udp("g", b"g", timeout=0.5)) == b"g"
    assert refused(daemon.port["f"])
    assert daemon.tcp("echo", b"e") == b"e"


# S28: what becomes of handlers that are no longer allowed


@pytest.mark.parametrize("more,kept", [("", True), (TERMINATE, False)], ids=["keep", "terminate"])
def test_S28_handlers_of_a_removed_service(hatchd, more, kept):
    daemon = hatchd(service("s", here("s"), CAT, more) + service("t", here("t"), CAT, TERMINATE))
    s, t = daemon.connect("s"), daemon.connect("t")
    assert ask(s, b"1") == b"1\n" and ask(t, b"1") == b"1\n"
    daemon.reload(service("t", here("t"), CAT, TERMINATE))
    assert refused(daemon.port["s"])
    if kept:
        assert ask(s, b"2") == b"2\n"
    else:
        assert s.recv(100) == b""
        daemon.wait_log("end", svc="s", signal="TERM")
    assert ask(t, b"2") == b"2\n"
    s.close()
    t.close()
    daemon.wait_log("end", svc="s")
    hatch.wait_until(lambda: counters(daemon, "s") is None)


@pytest.mark.parametrize("what", [ECHO, CAT], ids=["internal", "session"])
def test_S28_the_talkers_part_of_a_removed_service(hatchd, what):
    if what is ECHO:
        daemon = hatchd(service("s", here("s"), what, TERMINATE))
        s = daemon.connect("s")
        assert ask(s, b"1") == b"1\n"
    else:
        daemon = hatchd(service("s", "udp:127.0.0.1:@s@", what, TERMINATE))
        p = Peer(daemon.port["s"])
        assert p.ask(b"1") == b"1"
    daemon.reload("")
    daemon.wait_log("end", svc="s")
    if what is ECHO:
        assert s.recv(100) == b""
        s.close()
    else:
        p.sock.close()
    hatch.wait_until(lambda: not daemon.handlers())


@pytest.mark.parametrize("more,n", [("", 4), (TERMINATE, 2)], ids=["keep", "terminate"])
def test_S28_more_handlers_than_are_allowed_now(hatchd, more, n):
    """The oldest ones stay."""
    text = service("s", here("s"), CAT, more + " limits { instances = %d }")
    daemon = hatchd(text % 4)
    clients = []
    for _ in range(4):
        clients.append(daemon.connect("s"))
        assert ask(clients[-1], b"1") == b"1\n"
    daemon.reload(text % 2)
    for s in clients[:n]:
        assert ask(s, b"2") == b"2\n"
    for s in clients[n:]:
        assert s.recv(100) == b""
    hatch.wait_until(lambda: len(daemon.handlers()) == n)
    with daemon.connect("s") as late:
        late.sendall(b"late\n")
        for s in clients:
            s.close()
        assert late.recv(100) == b"late\n"


def test_S28_a_handler_that_ignores_TERM_is_killed(hatchd, shared_tmp):
    text = service("s", here("s"), sh("trap '' TERM; echo on; exec sleep 1000"),
                   TERMINATE + " timeouts { stop = 100ms }")
    daemon = hatchd(text, path=shared_tmp)
    with daemon.connect("s") as s:
        assert s.recv(100) == b"on\n"
        daemon.reload("")
        assert s.recv(100) == b""
    daemon.wait_log("end", svc="s", signal="KILL")


class Client:
    """Of a service "s" in one of the ways to serve: its connection and address."""

    def __init__(self, daemon, kind, host="127.0.0.1", port="s"):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "session"
                                  else socket.SOCK_STREAM)
        self.sock.settimeout(hatch.DEADLINE)
        self.sock.bind((host, 0))
        self.sock.connect(("127.0.0.1", daemon.port[port]))
        self.daemon, self.kind = daemon, kind
        self.name = "%s:%d" % self.sock.getsockname()

    def is_served(self):
        return ask(self.sock, b"1") == b"1\n"

    def is_ended(self, **why):
        """Alone of all who are served by now."""
        self.daemon.wait_log("end", svc="s", peer=self.name, **why)
        return self.kind == "session" or self.sock.recv(10) == b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def ended(daemon):
    return sorted(e["peer"] for e in daemon.log_lines("end", svc="s"))


def one_of(kind, more, port="s"):
    return service("s", ("udp" if kind == "session" else "tcp") + ":127.0.0.1:@%s@" % port,
                   ECHO if kind == "internal" else CAT, more)


KINDS = pytest.mark.parametrize("kind", ["exec", "internal", "session"])
BOTH = pytest.mark.parametrize("more", ["", TERMINATE], ids=["keep", "terminate"])


@BOTH
@KINDS
def test_S28_who_may_not_connect_any_more(hatchd, kind, more):
    daemon = hatchd(one_of(kind, more))
    with Client(daemon, kind, "127.0.0.2") as a, Client(daemon, kind, "127.0.0.3") as b:
        assert a.is_served() and b.is_served()
        daemon.reload(one_of(kind, more + ' access { deny = { "127.0.0.2" } }'))
        if more:
            assert a.is_ended(ended_by="access")
        else:
            assert a.is_served()
        assert b.is_served()
        assert ended(daemon) == ([a.name] if more else [])


@KINDS
def test_S28_who_may_not_connect_by_a_list_that_was_changed(hatchd, shared_tmp, kind):
    """The service itself is what it was."""
    path = shared_tmp + "/list"
    with open(path, "w") as f:
        f.write("192.0.2.1\n")
    daemon = hatchd(one_of(kind, TERMINATE + ' access { deny = { "file:%s" } }' % path))
    with Client(daemon, kind, "127.0.0.2") as a, Client(daemon, kind, "127.0.0.3") as b:
        assert a.is_served() and b.is_served()
        with open(path, "a") as f:
            f.write("127.0.0.2\n")
        daemon.reload()
        assert a.is_ended(ended_by="access") and b.is_served()


@KINDS
def test_S28_outside_the_hours(hatchd, kind):
    never = time.strftime("%a", time.gmtime(time.time() + 3 * 86400))
    daemon = hatchd(one_of(kind, TERMINATE))
    with Client(daemon, kind) as a:
        assert a.is_served()
        daemon.reload(one_of(kind, TERMINATE + ' access { hours = { "%s 00:00-00:01" } }' % never))
        assert a.is_ended(ended_by="access.hours")


@KINDS
def test_S28_the_load_ends_nobody(hatchd, kind):
    daemon = hatchd(one_of(kind, TERMINATE))
    with Client(daemon, kind) as a:
        assert a.is_served()
        daemon.reload(one_of(kind, TERMINATE + " access { max_load = 0.01 }"))
        assert a.is_served()
        assert ended(daemon) == []


@KINDS
def test_S28_a_service_that_is_not_enabled_any_more(hatchd, kind):
    daemon = hatchd(one_of(kind, TERMINATE))
    with Client(daemon, kind) as a:
        assert a.is_served()
        daemon.reload(one_of(kind, TERMINATE + " enabled = no"))
        assert a.is_ended()


@BOTH
@KINDS
def test_S28_a_socket_that_is_gone(hatchd, kind, more):
    listen = ('"udp' if kind == "session" else '"tcp') + ':127.0.0.1:@%s@"'
    text = one_of(kind, more).replace(listen % "s", listen % "s" + ", " + listen % "t")
    daemon = hatchd(text)
    with Client(daemon, kind) as a, Client(daemon, kind, port="t") as b:
        assert a.is_served() and b.is_served()
        daemon.reload(one_of(kind, more, "t"))
        if more:
            assert a.is_ended()
        else:
            assert a.is_served()
        assert b.is_served()
        assert ended(daemon) == ([a.name] if more else [])


@KINDS
def test_S28_a_socket_that_is_another_services_now(hatchd, kind):
    daemon = hatchd(one_of(kind, TERMINATE))
    with Client(daemon, kind) as a:
        assert a.is_served()
        daemon.reload(one_of(kind, TERMINATE).replace('"s"', '"t"') +
                      one_of(kind, TERMINATE, "other"))
        assert a.is_ended()


@KINDS
def test_S28_fewer_instances(hatchd, kind):
    daemon = hatchd(one_of(kind, TERMINATE))
    clients = [Client(daemon, kind) for _ in range(3)]
    assert all(c.is_served() for c in clients)
    daemon.reload(one_of(kind, TERMINATE + " limits { instances = 1 }"))
    assert clients[1].is_ended(ended_by="limits.instances")
    assert clients[2].is_ended(ended_by="limits.instances")
    assert clients[0].is_served()
    for c in clients:
        c.sock.close()


@BOTH
@KINDS
def test_S28_more_of_one_source(hatchd, kind, more):
    """Those count, too, that came when there was no such limit, or another network was
    a source."""
    text = one_of(kind, more + " limits { per_source = %d source_prefix4 = %d }")
    daemon = hatchd(text % (0, 32))
    clients = [Client(daemon, kind, "127.0.0.%d" % n) for n in (2, 3, 2, 2)]
    assert all(c.is_served() for c in clients)
    daemon.reload(text % (2, 32))
    if more:
        assert clients[3].is_ended(ended_by="limits.per_source")
    for c in clients[:3]:
        assert c.is_served()
    assert ended(daemon) == ([clients[3].name] if more else [])
    with Client(daemon, kind, "127.0.0.2") as late:
        late.sock.send(b"1\n")
        daemon.wait_log("refuse", svc="s", peer=late.name, reason="source-instances")
    daemon.reload(text % (1, 8))
    if more:
        assert clients[1].is_ended() and clients[2].is_ended()
    assert clients[0].is_served()
    assert len(ended(daemon)) == (3 if more else 0)
    for c in clients:
        c.sock.close()
    # and they are forgotten when they are over
    daemon.reload(text % (1, 32))
    if kind == "session":
        for pid in daemon.handlers():
            os.kill(pid, signal.SIGTERM)
    hatch.wait_until(lambda: counters(daemon, "s")["running"] == 0)
    with Client(daemon, kind, "127.0.0.2") as c:
        assert c.is_served()


def test_S28_many_connections_of_an_internal_service(hatchd):
    """More than there are messages under way at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        text = one_of("internal", TERMINATE + ' limits { per_source = 0 instances = 0 } '
                      'log_events = { } access { %s }')
        daemon = hatchd(text % "")
        clients = [Client(daemon, "internal") for _ in range(1500)]
        hatch.wait_until(lambda: counters(daemon, "s")["running"] == 1500)
        daemon.reload(text % 'deny = { "127.0.0.0/8" }')
        hatch.wait_until(lambda: counters(daemon, "s")["running"] == 0)
        for c in clients:
            c.sock.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_S28_a_wait_handler_whose_socket_is_gone(hatchd, waiter):
    more = waiter("old") + "\n    " + TERMINATE
    daemon = hatchd(service("w", here("a"), "wait = yes", more))
    with daemon.connect("a") as c:
        assert ask(c, b"x").startswith(b"old ")
        daemon.reload(service("w", here("b"), "wait = yes", more))
        assert c.recv(10) == b""
        daemon.wait_log("end", svc="w", signal="TERM")
    with daemon.connect("b") as c:
        assert ask(c, b"x").startswith(b"old ")
        daemon.reload(service("w", here("b"), "wait = yes", more + ' argv0 = "new"'))
        assert ask(c, b"y").startswith(b"old ")
        c.sendall(b"bye\n")
        assert c.recv(100)


def test_S28_who_came_by_tcpmux(hatchd):
    mux = service("mux", here("mux"), 'internal = "tcpmux"')
    text = mux + service("s", here("s"), CAT, TERMINATE + " %s")
    daemon = hatchd(text % 'tcpmux = "s"')
    with daemon.connect("mux") as c:
        c.sendall(b"s\r\n")
        assert ask(c, b"1") == b"1\n"
        daemon.reload(text % 'tcpmux = "s" limits { instances = 5 }')
        assert ask(c, b"2") == b"2\n"
        daemon.reload(text % "limits { instances = 5 }")
        assert c.recv(10) == b""
        daemon.wait_log("end", svc="s", signal="TERM")


@BOTH
def test_S28_who_waits_is_judged_again(hatchd, more):
    text = one_of("exec", more + " timeouts { first_byte = 60s } access { %s }")
    daemon = hatchd(text % "")
    with Client(daemon, "exec", "127.0.0.2") as a, Client(daemon, "exec", "127.0.0.3") as b:
        hatch.wait_until(lambda: counters(daemon, "s")["running"] == 2)
        daemon.reload(text % 'deny = { "127.0.0.2" }')
        assert a.sock.recv(10) == b""
        daemon.wait_log("refuse", svc="s", peer=a.name, reason="access")
        assert b.is_served()


# Global settings


def test_the_log_moves_to_another_file(hatchd, shared_tmp):
    a, b = os.path.join(shared_tmp, "a.log"), os.path.join(shared_tmp, "b.log")

    def lines(path):
        return [e.event for e in hatch.parse_log(open(path).read())]

    def reloaded(path, n, text):
        daemon.write(text)
        daemon.send_signal(signal.SIGHUP)
        hatch.wait_until(lambda: os.path.exists(path) and lines(path).count("reload") == n)

    daemon = hatchd('log = "%s"\n' % a + CONF, path=shared_tmp)
    assert daemon.tcp("upper", b"x") == b"X"
    hatch.wait_until(lambda: "end" in lines(a))
    reloaded(b, 1, 'log = "%s"\n' % b + CONF)
    assert daemon.tcp("upper", b"x") == b"X"
    hatch.wait_until(lambda: "end" in lines(b))
    assert lines(a).count("end") == 1 and "reload" not in lines(a)
    daemon.write(CONF)
    daemon.reload()
    assert daemon.tcp("upper", b"x") == b"X"
    daemon.wait_log("end", svc="upper")


def test_the_log_changes_its_format(hatchd):
    daemon = hatchd(CONF)
    daemon.write('log_format = "json"\n' + CONF)
    daemon.send_signal(signal.SIGHUP)

    def json_lines():
        return [json.loads(l) for l in daemon.log().splitlines() if l.startswith("{")]

    line = hatch.wait_until(lambda: [o for o in json_lines() if o.get("event") == "reload"])[0]
    assert line["result"] == "ok" and line["global"] == "log_format"
    assert daemon.tcp("upper", b"x") == b"X"
    hatch.wait_until(lambda: [o for o in json_lines() if o.get("event") == "end"])
    assert daemon.reload(CONF)["global"] == "log_format"


def test_the_control_socket_moves(hatchd):
    daemon = hatchd(CONF)
    old, new = daemon.tmp + "/control.sock", daemon.tmp + "/other.sock"
    assert control(daemon, "status", old)["pid"] == daemon.pid
    daemon.reload('control = "@tmp@/other.sock"\n' + CONF)
    hatch.wait_until(lambda: os.path.exists(new))
    assert control(daemon, "status", new)["pid"] == daemon.pid
    assert not os.path.exists(old)
    daemon.reload('control = ""\n' + CONF)
    hatch.wait_until(lambda: not os.path.exists(new))
    daemon.reload(CONF)
    hatch.wait_until(lambda: not refused(old))
    assert control(daemon, "status", old)["pid"] == daemon.pid
    daemon.kill_talker()
    hatch.wait_until(lambda: not refused(old))
    assert control(daemon, "status", old)["pid"] == daemon.pid


def test_a_log_that_cannot_be_opened(hatchd):
    daemon = hatchd(CONF)
    daemon.reload('log_format = "text"\nlog = "@tmp@/nowhere/a.log"\n' + CONF +
                  service("new", here("new"), CAT), ok=False)
    assert re.search(r"hatchd.conf:2: log: \S*/nowhere/a.log: No such file", daemon.log())
    assert refused(daemon.port["new"])
    assert daemon.tcp("upper", b"x") == b"X"
    daemon.wait_log("end", svc="upper")


def test_a_control_socket_that_cannot_be_bound(hatchd):
    daemon = hatchd(CONF)
    daemon.reload('control = "/proc/nowhere/other.sock"\n' + CONF +
                  service("new", here("new"), CAT), ok=False)
    assert re.search(r"hatchd.conf:1: control: /proc/nowhere/other.sock: bind: ", daemon.log())
    assert refused(daemon.port["new"])
    assert control(daemon, "status", daemon.tmp + "/control.sock")["pid"] == daemon.pid
    daemon.reload('control = "@tmp@/other.sock"\n' + CONF)
    assert control(daemon, "status", daemon.tmp + "/other.sock")["pid"] == daemon.pid
    assert not os.path.exists(daemon.tmp + "/control.sock")


@pytest.mark.parametrize("first", ["log", "control"])
def test_a_failed_reload_leaves_no_log_and_no_control_socket(hatchd, first):
    """Whatever it is that fails, what was made before is gone again."""
    daemon = hatchd(CONF)
    text = 'log = "@tmp@/new.log"\ncontrol = "%s"\n' % (
        "@tmp@/run/new.sock" if first == "control" else "/proc/nowhere/other.sock")
    if not hatch.IS_ROOT:
        os.mkdir(daemon.tmp + "/run")  # else it is made
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        daemon.port["busy"] = busy.getsockname()[1]
        daemon.reload(text + CONF + (service("x", here("busy"), CAT) if first == "control"
                                     else ""), ok=False)
        assert not os.path.exists(daemon.tmp + "/new.log")
        assert not os.path.exists(daemon.tmp + "/run/new.sock")
        assert not hatch.IS_ROOT or not os.path.exists(daemon.tmp + "/run")
        assert control(daemon, "status", daemon.tmp + "/control.sock")["pid"] == daemon.pid
        n = hatch.n_fds(daemon.pid)
        daemon.reload(ok=False)
        assert hatch.n_fds(daemon.pid) == n


def test_a_log_that_is_there_stays_there(hatchd):
    """Of a failed reload: also an empty one that somebody else has made."""
    daemon = hatchd(CONF)
    with open(daemon.tmp + "/new.log", "w"):
        pass
    daemon.reload('log = "@tmp@/new.log"\ncontrol = "/proc/nowhere/c"\n' + CONF, ok=False)
    assert os.path.exists(daemon.tmp + "/new.log")


def test_a_control_socket_takes_the_path_of_a_service(hatchd):
    daemon = hatchd(CONF + service("s", "unix:@tmp@/s.sock", CAT))
    path = daemon.tmp + "/s.sock"
    assert daemon.tcp(path, b"x") == b"x"
    daemon.reload('control = "@tmp@/s.sock"\n' + CONF)
    assert control(daemon, "status", path)["pid"] == daemon.pid


def test_a_control_socket_that_the_start_could_not_bind_fails_no_reload(hatchd):
    text = 'control = "@tmp@/no/where/control.sock"\n' + CONF
    daemon = hatchd(text)
    assert "control socket" in daemon.log()
    daemon.reload(text + service("new", here("new"), CAT))
    assert daemon.tcp("new", b"x") == b"x"


@needs_root
def test_the_control_socket_changes_its_group(hatchd):
    daemon = hatchd(CONF)
    path = daemon.tmp + "/control.sock"
    for group, gid in (("daemon", 1), ("adm", 4)):
        daemon.reload('control_group = "%s"\n' % group + CONF)
        assert os.stat(path).st_gid == gid
        assert control(daemon, "status", path)["pid"] == daemon.pid
    assert not daemon.log_lines(level="warn")


@pytest.mark.parametrize("line", ['event_backend = "poll"', 'pid_file = "@tmp@/other.pid"',
                                  'user = "daemon"'])
def test_what_needs_a_restart_is_told(hatchd, line):
    if line.startswith("user") and not hatch.IS_ROOT:
        pytest.skip("needs root")
    daemon = hatchd(CONF)
    name = line.split()[0]
    got = daemon.reload(line + "\n" + CONF)
    assert got["global"] == name
    assert "%s: a changed %s takes effect when hatchd is restarted" % (daemon.conf, name) \
        in daemon.log()
    assert daemon.tcp("echo", b"x") == b"x"


# Files of conf


def include(daemon, name, text):
    folder = os.path.join(daemon.tmp, "conf.d")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path + "~", "w") as f:
        f.write(re.sub(r"@(\w+)@", lambda m: str(
            daemon.port.setdefault(m.group(1), hatch.free_port())), text))
    os.chmod(path + "~", 0o600)
    os.rename(path + "~", path)
    return path


def test_files_come_and_go(hatchd):
    main = 'conf = { "@tmp@/conf.d/*.conf" }\n'
    daemon = hatchd(main + CONF)
    a = include(daemon, "a.conf", service("a", here("a"), CAT, 'user = "%s"' % hatch.USER))
    assert daemon.reload()["services"] == "+a"
    assert daemon.tcp("a", b"a") == b"a"
    b = include(daemon, "b.conf", "\n\n" + service("b", here("b"), CAT, 'colour = "red"'))
    daemon.reload(ok=False)
    assert "%s:6: " % b in daemon.log() and "colour" in daemon.log()
    assert refused(daemon.port["b"]) and daemon.tcp("a", b"a") == b"a"
    os.unlink(a)
    include(daemon, "b.conf", service("b", here("b"), CAT, 'user = "%s"' % hatch.USER))
    assert sorted(daemon.reload()["services"].split()) == ["+b", "-a"]
    assert daemon.tcp("b", b"b") == b"b" and refused(daemon.port["a"])
    include(daemon, "c.conf", service("b", here("c"), CAT, 'user = "%s"' % hatch.USER))
    daemon.reload(ok=False)                         # the name is there already
    assert "conf.d/c.conf:1: " in daemon.log()
    os.unlink(os.path.join(daemon.tmp, "conf.d/c.conf"))
    os.chmod(b, 0o666)
    daemon.reload(ok=False)
    assert "%s: everybody may write it" % b in daemon.log()
    os.chmod(b, 0o600)
    os.symlink("/nowhere", os.path.join(daemon.tmp, "conf.d/d.conf"))
    daemon.reload(ok=False)
    assert "conf.d/d.conf: cannot be opened: No such file" in daemon.log()
    os.unlink(os.path.join(daemon.tmp, "conf.d/d.conf"))
    daemon.reload()


# Every way to break one


def replace(daemon, make):
    os.unlink(daemon.conf)
    make(daemon.conf)


def sparse(path):
    with open(path, "w") as f:
        f.truncate(17 << 20)
    os.chmod(path, 0o600)


def socket_file(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.bind(path)


def with_bytes(data):
    def make(path):
        with open(path, "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(data)
    return make


BROKEN = {
    "syntax": (CONF + 'service "x" {\n listen = \n}\n', r":11: "),
    "open-section": (CONF + 'service "x" {\n', r":10: "),
    "open-string": (CONF + 'service "x {\n', r":10: "),
    "open-comment": (CONF + '/* for ever', r":10: "),
    "unknown-setting": (CONF + 'colour = "red"\n', r":10: .*colour"),
    "near-miss": (CONF + service("x", here("x"), CAT, 'usr = "x"'), r":13: .*did you mean"),
    "repeated-setting": (CONF + service("x", here("x"), CAT, 'wait = yes\nwait = no'), r":14: "),
    "repeated-service": (CONF + service("echo", here("x"), ECHO), r":10: "),
    "unknown-user": (CONF + service("x", here("x"), CAT, 'user = "nobody-has-this"'),
                     r":13: .*nobody-has-this"),
    "unknown-group": (CONF + service("x", here("x"), CAT, 'group = "nobody-has-this"'),
                      r":13: .*nobody-has-this"),
    "unknown-service": (CONF + service("x", "tcp:no-such-port", CAT), r":11: "),
    "name-unresolvable": (CONF + service("x", "tcp:no-such-host.invalid:7000", CAT),
                          r":11: service x: no-such-host.invalid: (Name or service not known|Temporary failure)"),
    "duplicate-listen": (CONF + service("x", here("upper"), CAT), r":11: .*is taken by service upper"),
    "foreign-address": (CONF + service("x", "tcp:203.0.113.7:7", CAT, "socket { freebind = no }"),
                        r":11: .*203.0.113.7.*Cannot assign"),
    "unix-directory": (CONF + service("x", "unix:@tmp@/nowhere/x", CAT), r":11: .*No such file"),
    "unix-file": (CONF + service("x", "unix:@tmp@/hatchd.conf", CAT), r":11: .*in use"),
    "long-line": (CONF + "#" + "x" * 5000, r":10: .*(long|4)"),
    "control-character": (CONF + "\1", r":10: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_text(hatchd, name):
    text, pattern = BROKEN[name]
    daemon = hatchd(CONF)
    daemon.write(text)
    fails(daemon, re.escape(daemon.conf) + pattern)


def fails(daemon, pattern, again=True):
    """One line tells that the reload failed, others why; all goes on."""
    before = inode(daemon, daemon.port["upper"]), inode(daemon, daemon.port["echo"])
    assert daemon.tcp("upper", b"x") == b"X"
    sockets = len(master_inodes(daemon))
    with daemon.connect("upper") as s, daemon.connect("echo") as e:
        s.sendall(b"begun")
        assert ask(e, b"begun") == b"begun\n"
        hatch.wait_until(daemon.handlers)
        seen = len(daemon.log())
        line = daemon.reload(ok=False)
        log = daemon.log()[seen:]
        assert line.level == "err"
        assert int(line["problems"]) >= 1
        assert re.search(pattern, log), log
        assert len([l for l in hatch.parse_log(log) if l.event == "reload"]) == 1
        assert (inode(daemon, daemon.port["upper"]), inode(daemon, daemon.port["echo"])) == before
        s.shutdown(socket.SHUT_WR)
        assert hatch.read_all(s) == b"BEGUN"
        assert ask(e, b"goes on") == b"goes on\n"
    assert daemon.tcp("upper", b"x") == b"X"
    assert daemon.tcp("echo", b"x") == b"x" and daemon.udp("echo", b"x") == b"x"
    assert len(master_inodes(daemon)) == sockets
    if not again:
        return
    if os.path.lexists(daemon.conf) and not os.path.isfile(daemon.conf) or \
            os.path.islink(daemon.conf):
        (os.rmdir if os.path.isdir(daemon.conf) and not os.path.islink(daemon.conf)
         else os.unlink)(daemon.conf)
    daemon.reload(CONF)
    assert daemon.tcp("upper", b"mended") == b"MENDED"


FILES = {
    "L17-removed": (lambda p: None, r": cannot be opened: No such file"),
    "directory": (os.mkdir, r": is a directory, not a file"),
    "fifo": (os.mkfifo, r": is a FIFO, not a file"),
    "socket": (socket_file, r": is not a file"),
    "endless": (lambda p: os.symlink("/dev/zero", p), r": is a character device, not a file"),
    "loop": (lambda p: os.symlink(p, p), r": cannot be opened: Too many levels"),
    "17-MiB": (sparse, r": is larger than 16 MiB"),
    "binary": (with_bytes(b"# text\n\0\1\2" * 100), r":2: NUL byte"),
    "latin1-name": (with_bytes(b'service "b\xe4r" {\n listen = { "tcp:7" }\n exec = { "/x" }\n}\n'),
                    r":1: "),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_file(hatchd, name):
    make, pattern = FILES[name]
    daemon = hatchd(CONF)
    replace(daemon, make)
    fails(daemon, re.escape(daemon.conf) + pattern)


@pytest.mark.parametrize("mode,pattern", [(0o602, "everybody may write it"),
                                          (0o666, "everybody may write it")])
def test_S24_a_file_that_others_may_write(hatchd, mode, pattern):
    daemon = hatchd(CONF)
    os.chmod(daemon.conf, mode)
    fails(daemon, re.escape(daemon.conf) + ": " + pattern)


@needs_root
def test_S24_a_file_of_somebody_else(hatchd):
    daemon = hatchd(CONF)
    os.chown(daemon.conf, pwd.getpwnam(hatch.USER).pw_uid, -1)
    fails(daemon, re.escape(daemon.conf) + r": is owned by uid \d+, not by root")


@needs_root
def test_S24_a_file_that_a_group_may_write(hatchd):
    daemon = hatchd(CONF)
    os.chown(daemon.conf, -1, 1)
    os.chmod(daemon.conf, 0o660)
    fails(daemon, re.escape(daemon.conf) + r": group 1 may write it")


@pytest.mark.parametrize("proto", ["tcp", "udp", "unix"])
def test_a_busy_port_names_its_owner(hatchd, shared_tmp, proto):
    path = os.path.join(shared_tmp, "busy")
    with socket.socket(socket.AF_UNIX if proto == "unix" else socket.AF_INET,
                       socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM) as busy:
        busy.bind(path if proto == "unix" else ("127.0.0.1", 0))
        if proto != "udp":
            busy.listen()
        where = path if proto == "unix" else "127.0.0.1:%d" % busy.getsockname()[1]
        daemon = hatchd(CONF)
        daemon.write(CONF + service("free", here("free"), CAT) +
                     service("x", proto + ":" + where, ECHO))
        text = "%s:16: service x: %s:%s: bind: Address already in use" % (
            daemon.conf, proto, where)
        owner = ", by %s (pid %d)" % (hatch.comm(os.getpid()), os.getpid())
        fails(daemon, re.escape(text + owner), again=False)
        assert refused(daemon.port["free"])


def test_what_was_bound_before_the_failure_is_closed_again(hatchd):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        daemon = hatchd(CONF)
        n = hatch.n_fds(daemon.pid)
        for _ in range(5):
            daemon.reload(CONF + service("free", (here("free"), "unix:@tmp@/free.sock"), CAT) +
                          service("x", "tcp:127.0.0.1:%d" % busy.getsockname()[1], CAT), ok=False)
            assert refused(daemon.port["free"])
            assert not os.path.exists(daemon.tmp + "/free.sock")
        assert hatch.n_fds(daemon.pid) == n


# As an ordinary user


def unprivileged(hatchd, shared_tmp, text):
    """A daemon of USER, whose files are his, too."""
    entry = pwd.getpwnam(hatch.USER)
    if hatch.IS_ROOT:
        os.chown(shared_tmp, entry.pw_uid, entry.pw_gid)

    class Mine(hatch.Daemon):
        def write(self, text):
            super().write(text)
            if hatch.IS_ROOT:
                os.chown(self.conf, entry.pw_uid, entry.pw_gid)

    old, hatch.Daemon = hatch.Daemon, Mine
    try:
        return hatchd(text, path=shared_tmp, preexec_fn=hatch.drop_root)
    finally:
        hatch.Daemon = old


def set_limit(daemon, what, soft):
    """Sets a soft limit of the running daemon, as its own user may; the old one."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            hatch.drop_root()
            old, hard = resource.prlimit(daemon.pid, what)
            resource.prlimit(daemon.pid, what, (soft, hard))
            os.write(write, b"%d" % old)
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as f:
        return int(f.read())


def test_L17_a_file_that_cannot_be_read(hatchd, shared_tmp):
    daemon = unprivileged(hatchd, shared_tmp, CONF)
    os.chmod(daemon.conf, 0)
    fails(daemon, re.escape(daemon.conf) + ": cannot be opened: Permission denied")


def test_no_process_for_the_trial(hatchd, shared_tmp):
    daemon = unprivileged(hatchd, shared_tmp, CONF)
    soft = set_limit(daemon, resource.RLIMIT_NPROC, 1)
    daemon.reload(ok=False)
    assert re.search(r"no process for the trial: Resource temporarily unavailable", daemon.log())
    assert daemon.tcp("echo", b"x") == b"x"
    set_limit(daemon, resource.RLIMIT_NPROC, soft)
    daemon.reload()
    assert daemon.tcp("upper", b"x") == b"X"


def test_no_descriptor_for_the_reload(hatchd, shared_tmp):
    daemon = unprivileged(hatchd, shared_tmp, CONF)
    soft = set_limit(daemon, resource.RLIMIT_NOFILE, 1024)
    for limit in (3, 6, 16):
        set_limit(daemon, resource.RLIMIT_NOFILE, limit)
        line = daemon.reload(CONF + service("x", here("x"), CAT), ok=None)
        assert line["result"] == ("failed" if limit < 16 else line["result"])
    set_limit(daemon, resource.RLIMIT_NOFILE, soft)
    daemon.reload()
    assert daemon.tcp("upper", b"x") == b"X"
    assert daemon.tcp("x", b"x") == b"x"


def test_a_trial_that_is_killed(hatchd):
    """Here by us; the same as a parser that crashes on a file."""
    text = "".join(service("s%d" % i, "unix:@tmp@/%d" % i, CAT) for i in range(4000))
    daemon = hatchd(CONF)
    daemon.write(CONF + text)
    daemon.send_signal(signal.SIGSTOP)          # so that we see its child
    daemon.send_signal(signal.SIGHUP)
    daemon.send_signal(signal.SIGCONT)
    trial = hatch.wait_until(daemon.handlers)[0]
    os.kill(trial, signal.SIGKILL)
    line = daemon.wait_log("reload")
    assert line["result"] == "failed"
    assert "loading was ended by SIGKILL" in daemon.log()
    assert daemon.tcp("upper", b"x") == b"X"
    daemon.reload(CONF)


def test_a_trial_that_takes_too_long(hatchd):
    text = "".join(service("s%d" % i, "unix:@tmp@/%d" % i, CAT) for i in range(4000))
    daemon = hatchd(CONF)
    daemon.write(CONF + text)
    daemon.send_signal(signal.SIGHUP)
    trial = hatch.wait_until(daemon.handlers)[0]
    os.kill(trial, signal.SIGSTOP)
    assert daemon.tcp("upper", b"meanwhile") == b"MEANWHILE"
    assert daemon.tcp("echo", b"meanwhile") == b"meanwhile"
    assert daemon.wait_log("reload")["result"] == "failed"
    assert "loading took more than 3 s" in daemon.log()
    hatch.wait_until(lambda: daemon.handlers() == [] and daemon.n_zombies() == 0)
    daemon.reload(CONF)


# Readiness, and several at once


def test_readiness_is_told(hatchd):
    daemon = hatchd(CONF)
    daemon.notify.poll().clear()
    daemon.reload()
    daemon.reload("service {", ok=False)
    daemon.reload(CONF)
    hatch.wait_until(lambda: len(daemon.notify.poll()) >= 9)
    states = [re.sub(r"=\d{6,}", "=", s) for s in daemon.notify.poll()]
    assert states == ["RELOADING=1", "MONOTONIC_USEC=", "READY=1"] * 3


def settled(daemon):
    """No reload is under way."""
    states = daemon.notify.poll()
    return states.count("RELOADING=1") == states.count("READY=1") - 1


def test_a_HUP_during_a_reload_starts_another_one(hatchd):
    daemon = hatchd(CONF)
    daemon.write("service {")
    daemon.send_signal(signal.SIGHUP)
    hatch.wait_until(lambda: "RELOADING=1" in daemon.notify.poll())
    daemon.write(CONF + service("x", here("x"), CAT))
    daemon.send_signal(signal.SIGHUP)
    assert daemon.wait_log("reload", n=2)["result"] == "ok"
    assert daemon.log_lines("reload")[0]["result"] in ("ok", "failed")
    assert daemon.tcp("x", b"x") == b"x"


def test_the_last_of_30_HUPs_counts(hatchd):
    daemon = hatchd(CONF)
    for i in range(30):
        daemon.write(CONF + service("x%d" % i, here("x%d" % i), CAT))
        daemon.send_signal(signal.SIGHUP)
        daemon.notify.poll()                    # its queue is short
    hatch.wait_until(lambda: settled(daemon) and not refused(daemon.port["x29"]))
    assert 1 <= len(daemon.log_lines("reload")) <= 30
    assert all(e["result"] == "ok" for e in daemon.log_lines("reload"))
    assert daemon.tcp("x29", b"x") == b"x"
    for i in range(29):
        assert refused(daemon.port["x%d" % i])
    hatch.wait_until(lambda: daemon.handlers() == [] and daemon.n_zombies() == 0)


def test_stopping_during_a_reload(hatchd):
    daemon = hatchd(CONF)
    daemon.send_signal(signal.SIGHUP)
    hatch.wait_until(lambda: "RELOADING=1" in daemon.notify.poll())
    assert daemon.stop() == 0


def test_a_command_line_is_reloaded_without_harm(hatchd):
    port = hatch.free_port()
    daemon = hatchd(args=["-l", "tcp:127.0.0.1:%d" % port, "--", "cat"],
                    preexec_fn=hatch.drop_root)
    with hatch.connect(port) as s:
        assert ask(s, b"a") == b"a\n"
        daemon.reload()
        assert ask(s, b"b") == b"b\n"
    assert hatch.tcp_request(port, b"c") == b"c"


def test_S29_many_random_reloads(hatchd, shared_tmp, waiter):
    """Each with connections that outlive it; no descriptor stays open."""
    import random
    rng = random.Random(29)
    kinds = [CAT, UPPER, ECHO, 'internal = "discard"', sh("echo $HATCHD_SERVICE"),
             "wait = yes " + waiter()]
    more = ["", TERMINATE, one(2), 'environment = { "A=B" }', "socket { keepalive = yes }"]
    addresses = ["tcp4:@%s@", "tcp:127.0.0.1:@%s@", "tcp:127.0.0.2:@%s@"]
    daemon = hatchd(CONF, path=shared_tmp)
    assert daemon.tcp("upper", b"x") == b"X"
    hatch.wait_until(lambda: not daemon.handlers())
    n = hatch.n_fds(daemon.pid)
    held = []
    results = {"ok": 0, "failed": 0}
    for _ in range(60):
        text = CONF
        for name in rng.sample("abcdefgh", rng.randrange(8)):
            kind = rng.choice(kinds)
            listen = [rng.choice(addresses) % ("p" + rng.choice("1234"))]
            if "wait" not in kind and rng.random() < 0.5:
                listen.append("udp:127.0.0.1:@p%s@" % rng.choice("1234"))
            if rng.random() < 0.3:
                listen.append("unix:@tmp@/%s.sock" % rng.choice("xyz"))
            text += service(name, listen, kind, rng.choice(more))
        if rng.random() < 0.1:
            text += "nonsense"
        results[daemon.reload(text, ok=None)["result"]] += 1
        for port in rng.sample("1234", 2):
            try:
                s = daemon.connect("p" + port) if "p" + port in daemon.port else None
            except OSError:
                continue
            if s:
                s.sendall(b"x\n")
                held.append(s)
        while len(held) > 6:
            held.pop(rng.randrange(len(held))).close()
        assert daemon.tcp("upper", b"x") == b"X"
    assert results["ok"] > 5 and results["failed"] > 5
    for s in held:
        s.close()
    daemon.reload(CONF)
    for pid in daemon.handlers():
        os.kill(pid, signal.SIGTERM)            # wait handlers have no client to wait for
    hatch.wait_until(lambda: not daemon.handlers())
    hatch.wait_until(lambda: hatch.n_fds(daemon.pid) == n, what="as many descriptors as before")
    assert daemon.udp("echo", b"x") == b"x"
