# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""instances, per_source, max_processes, session.max: what is over a limit waits
or is refused, is counted, and nobody is lost."""
import os
import socket
import threading

import pytest

import handler
import hatch
import world


def cat(name, limits, extra="", listen=None):
    return 'service "%s" { listen = { "%s" } %s limits { %s } }\n' % (
        name, listen or "tcp4:127.0.0.1:@%s@" % name, extra or 'exec = { "/bin/cat" }', limits)


def is_served(s, text=b"ping", timeout=hatch.DEADLINE):
    """Whether an echo comes; False if the connection is closed instead."""
    s.settimeout(timeout)
    try:
        s.sendall(text)
        return handler.recv_exactly(s, len(text)) == text
    except (AssertionError, ConnectionError):
        return False


def is_refused(s):
    """Whether the connection is closed without a byte."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def running(daemon, name):
    return world.counters(daemon, name)["running"]


def most_at_once(daemon):
    """Handlers, as the log tells."""
    now = most = 0
    for e in daemon.log_lines():
        now += (e.event == "start" and "pid" in e) - (e.event == "end" and "pid" in e)
        most = max(most, now)
    return most


def wait_counters(daemon, name, **values):
    """A handler may have answered before it was counted."""
    hatch.wait_until(lambda: values.items() <= world.counters(daemon, name).items())


def connect_from(daemon, name, source):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(hatch.DEADLINE)
    s.bind((source, 0))
    s.connect(("127.0.0.1", daemon.port[name]))
    return s


KINDS = pytest.mark.parametrize("kind", ['exec = { "/bin/cat" }', 'internal = "echo"'],
                                ids=["exec", "internal"])


# instances


@KINDS
def test_instances_queue(hatchd, kind):
    daemon = hatchd(cat("q", "instances = 2", kind))
    clients = [daemon.connect("q") for _ in range(6)]
    for s in clients:
        s.sendall(b"mine")
    for i, s in enumerate(clients):
        # its turn comes when those before have gone
        assert handler.recv_exactly(s, 4) == b"mine"
        assert running(daemon, "q") <= 2
        if i >= 1:
            clients[i - 1].close()
    wait_counters(daemon, "q", accepted=6, started=6, refused={})
    for s in clients:
        s.close()
    assert daemon.log_lines("refuse") == []


@KINDS
def test_instances_refuse(hatchd, kind):
    daemon = hatchd(cat("r", 'instances = 2 when_full = "refuse"', kind))
    with daemon.connect("r") as a, daemon.connect("r") as b:
        assert is_served(a) and is_served(b)
        for _ in range(3):
            with daemon.connect("r") as c:
                assert is_refused(c)
        line = daemon.wait_log("refuse", n=2, svc="r")      # of a limit not each one is told
        assert line["setting"] == "limits.instances"
        assert line["reason"] == "instances" and line["peer"].startswith("127.0.0.1:")
        assert line.level == "warn"
        got = world.counters(daemon, "r")
        assert (got["accepted"], got["started"], got["running"]) == (5, 2, 2)
        assert got["refused"] == {"instances": 3}
        assert is_served(a)
    hatch.wait_until(lambda: running(daemon, "r") == 0)
    with daemon.connect("r") as c:
        assert is_served(c)


def test_instances_of_wait(hatchd):
    """Several sockets, but only so many handlers."""
    daemon = hatchd("""service "w" { listen = { "tcp4:127.0.0.1:@a@", "tcp4:127.0.0.1:@b@" }
                       wait = yes exec = { "/bin/sleep", "0.3" } limits { instances = 1 } }""")
    with daemon.connect("a"), daemon.connect("b"):
        daemon.wait_log("end", svc="w", n=2)
    events = [e.event for e in daemon.log_lines(svc="w") if e.event in ("start", "end")]
    assert events[:4] == ["start", "end", "start", "end"]


def test_nobody_is_lost(hatchd):
    """300 clients at once, four handlers."""
    daemon = hatchd('service "q" { listen = { "tcp4:127.0.0.1:@q@" } log_events = { "fail" } '
                    'exec = { "/usr/bin/tr", "a-z", "A-Z" } '
                    'limits { instances = 4 per_source = 0 } }')
    answers, lock = [], threading.Lock()
    most = []

    def client(i):
        got = daemon.tcp("q", b"client %d" % i, timeout=40)
        with lock:
            answers.append(got)

    threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(300)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        most.append(running(daemon, "q"))
        threads[-1].join(0.02)
    assert sorted(answers) == sorted(b"CLIENT %d" % i for i in range(300))
    assert max(most) <= 4
    wait_counters(daemon, "q", accepted=300, started=300, refused={})


# per_source


@KINDS
def test_per_source(hatchd, kind):
    daemon = hatchd(cat("s", "per_source = 2", kind))
    with daemon.connect("s") as a, daemon.connect("s") as b:
        assert is_served(a) and is_served(b)
        with daemon.connect("s") as c:
            assert is_refused(c)
        assert daemon.wait_log("refuse", svc="s")["reason"] == "source-instances"
        with connect_from(daemon, "s", "127.0.0.2") as other:
            assert is_served(other)
        assert world.counters(daemon, "s")["refused"] == {"source-instances": 1}
    hatch.wait_until(lambda: running(daemon, "s") == 0)
    with daemon.connect("s") as a:
        assert is_served(a)


def test_per_source_by_prefix4(hatchd):
    daemon = hatchd(cat("s", "per_source = 2 source_prefix4 = 24"))
    with connect_from(daemon, "s", "127.0.0.7") as a, connect_from(daemon, "s", "127.0.0.8") as b:
        assert is_served(a) and is_served(b)
        with connect_from(daemon, "s", "127.0.0.9") as c:
            assert is_refused(c)
        with connect_from(daemon, "s", "127.0.1.9") as d:
            assert is_served(d)


def test_source_is_judged_before_the_service(hatchd):
    """One over its own limit takes nothing from the others."""
    daemon = hatchd(cat("s", 'instances = 3 per_source = 2 when_full = "refuse"'))
    with daemon.connect("s") as a, daemon.connect("s") as b:
        assert is_served(a) and is_served(b)
        for _ in range(5):
            with daemon.connect("s") as c:
                assert is_refused(c)
        with connect_from(daemon, "s", "127.0.0.2") as other:
            assert is_served(other)
            with daemon.connect("s") as c:
                assert is_refused(c)
            with connect_from(daemon, "s", "127.0.0.3") as c:
                assert is_refused(c)
    assert world.counters(daemon, "s")["refused"] == {"source-instances": 6, "instances": 1}


def test_per_source_is_of_each_service(hatchd):
    daemon = hatchd(cat("a", "per_source = 1") + cat("b", "per_source = 1"))
    with daemon.connect("a") as a, daemon.connect("b") as b:
        assert is_served(a) and is_served(b)


@pytest.mark.netns
def test_U11_addresses_of_a_64_are_one_source():
    def inside():
        daemon = hatch.Daemon(cat("s", "per_source = 2", listen="tcp6:[fd00:1::1]:@s@"))
        try:
            def client(source):
                s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
                s.settimeout(hatch.DEADLINE)
                s.bind((source, 0))
                s.connect(("fd00:1::1", daemon.port["s"]))
                return s
            with client("fd00:2::1") as a, client("fd00:2::2") as b:
                assert is_served(a) and is_served(b)
                for last in range(3, 9):
                    with client("fd00:2::%d" % last) as c:
                        assert is_refused(c)
                with client("fd00:2:0:1::1") as d:
                    assert is_served(d)
            assert world.counters(daemon, "s")["refused"] == {"source-instances": 6}
        finally:
            daemon.close()

    handler.in_namespace(inside, "ip -6 addr add fd00:1::1/64 dev lo nodad",
                         *("ip -6 addr add fd00:2::%d/64 dev lo nodad" % n for n in range(1, 9)),
                         "ip -6 addr add fd00:2:0:1::1/64 dev lo nodad")


@pytest.mark.root
@pytest.mark.parametrize("kind", ["unix", "unix-seqpacket"])
def test_per_source_by_uid(hatchd, kind):
    daemon = hatchd(cat("u", "per_source = 1", listen=kind + ":@tmp@/u.sock"))
    type_ = socket.SOCK_STREAM if kind == "unix" else socket.SOCK_SEQPACKET

    def client(uid):
        os.seteuid(uid)    # which is what the kernel tells of a peer
        try:
            return world.unix_client(daemon.tmp + "/u.sock", type_)
        finally:
            os.seteuid(0)

    with client(1001) as a:
        assert is_served(a)
        with client(1001) as b:
            assert is_refused(b)
        line = daemon.wait_log("refuse", svc="u")
        assert line["reason"] == "source-instances" and "1001" in line["peer"]
        with client(1002) as c:
            assert is_served(c)


# max_processes


def test_max_processes_queue(hatchd):
    daemon = hatchd("max_processes = 3\n" + cat("a", "") + cat("b", "") +
                    cat("echo", "", 'internal = "echo"'))
    clients = [daemon.connect(name) for name in "aabbab"]
    for s in clients:
        s.sendall(b"mine")
    hatch.wait_until(lambda: running(daemon, "a") + running(daemon, "b") == 3)
    # what needs no process isn't concerned
    with daemon.connect("echo") as s:
        assert is_served(s)
    waiting = list(clients)
    while waiting:
        for s in list(waiting):
            s.settimeout(0.05)
            try:
                assert handler.recv_exactly(s, 4) == b"mine"
            except socket.timeout:
                continue
            s.close()
            waiting.remove(s)
    assert most_at_once(daemon) == 3
    assert world.counters(daemon, "a")["refused"] == {}


def test_max_processes_refuse(hatchd):
    daemon = hatchd("max_processes = 1\n" + cat("a", "") + cat("b", 'when_full = "refuse"'))
    with daemon.connect("a") as a:
        assert is_served(a)
        with daemon.connect("b") as b:
            assert is_refused(b)
        assert daemon.wait_log("refuse", svc="b")["reason"] == "processes"
    hatch.wait_until(lambda: running(daemon, "a") == 0)
    with daemon.connect("b") as b:
        assert is_served(b)


def test_busy_services_leave_room_for_calm_ones(hatchd):
    """Each gets its turn, however many wait for another one."""
    calm = ["calm%d" % i for i in range(5)]
    text = 'exec = { "/bin/sleep", "0.02" }'
    daemon = hatchd("max_processes = 2\n" + cat("busy", "per_source = 0", text) +
                    "".join(cat(name, "", text) for name in calm))
    waiting = [daemon.connect("busy") for _ in range(150)]
    hatch.wait_until(lambda: running(daemon, "busy") == 2)
    others = [daemon.connect(name) for name in calm]
    for s in others:
        assert hatch.read_all(s) == b""
        s.close()
    daemon.wait_log("end", svc="calm4")
    ended = world.counters(daemon, "busy")["ended"]
    assert ended < 75, "%d of the busy service came first" % ended
    for s in waiting:
        assert hatch.read_all(s) == b""
        s.close()
    hatch.wait_until(lambda: world.counters(daemon, "busy")["ended"] == 150)


# Datagrams


def ask(s, text=b"ping", timeout=hatch.DEADLINE):
    """The answer to a datagram, None if there is none."""
    s.settimeout(timeout)
    s.send(text)
    try:
        return s.recv(100)
    except socket.timeout:
        return None


@pytest.mark.parametrize("limit,reason", [
    ("limits { per_source = 2 }", "source-instances"),
    ('limits { instances = 2 when_full = "refuse" }', "instances"),
    ("session { max = 2 }", "session-max"),
])
def test_sessions_over_a_limit(hatchd, limit, reason):
    daemon = hatchd('service "d" { listen = { "udp4:127.0.0.1:@d@" } exec = { "/bin/cat" } %s }'
                    % limit)
    with world.udp_client(daemon.port["d"]) as a, world.udp_client(daemon.port["d"]) as b, \
            world.udp_client(daemon.port["d"]) as c:
        assert ask(a) == b"ping" and ask(b) == b"ping"
        assert ask(c, timeout=0.3) is None
        hatch.wait_until(lambda: reason in world.counters(daemon, "d")["refused"])
        assert list(world.counters(daemon, "d")["refused"]) == [reason]
        assert ask(a) == b"ping" and ask(b) == b"ping"
        for pid in daemon.handlers():
            os.kill(pid, 15)
        hatch.wait_until(lambda: running(daemon, "d") == 0)
        # refused once is not refused for ever
        assert hatch.wait_until(lambda: ask(c, timeout=0.3) == b"ping")
