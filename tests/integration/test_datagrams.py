# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Datagram services: a handler for each peer, handlers that get the socket
itself, and internal ones that nobody can turn against others."""
import fcntl
import os
import select
import socket
import struct
import time

import pytest

import hatch
import handler
import world
from board import counters, wait_counter

SIOCGIFHWADDR = 0x8927

# Answers each datagram with its pid and the peer's port.
WHO = "while x=$(dd bs=65536 count=1 2>/dev/null) && [ -n \\\"$x\\\" ]; do " \
      "printf '%s %s %s' $$ $UDPREMOTEPORT \\\"$x\\\"; done"


def socket_for(port, host="127.0.0.1", source=None):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(hatch.DEADLINE)
    if source is not None:
        s.bind(source)
    s.connect((host, port))
    return s


def silent(s, seconds=0.3):
    """Nothing comes (but perhaps word that nobody is there)."""
    s.settimeout(seconds)
    try:
        data = s.recv(65536)
    except (socket.timeout, ConnectionRefusedError):
        return True
    raise AssertionError("an answer: %r" % data[:100])


def service(name, what, listen='"udp4:127.0.0.1:@%s@"'):
    return 'service "%s" {\n    listen = { %s }\n    %s\n}\n' % (
        name, listen % name if "%s" in listen else listen, what)


# Sessions

def talk(daemon, name, peers, rounds=3):
    """Each peer has a handler of its own, the same one each time."""
    sockets = [socket_for(daemon.port[name]) for _ in range(peers)]
    pids = {}
    try:
        for n in range(rounds):
            waiting = {s: i for i, s in enumerate(sockets)}
            # A few at a time: a socket's queue is short.
            for first in range(0, peers, 50):
                batch = sockets[first:first + 50]
                for i, s in enumerate(batch, first):
                    s.send(b"%d of %d" % (n, i))
                for s in batch:
                    i = waiting.pop(s)
                    pid, port, text = s.recv(1000).split(b" ", 2)
                    assert text == b"%d of %d" % (n, i)
                    assert int(port) == s.getsockname()[1]
                    assert pids.setdefault(i, pid) == pid
    finally:
        for s in sockets:
            s.close()
    assert len(set(pids.values())) == peers


def sessions_service(idle, most):
    return service("who", 'exec = { "/bin/sh", "-c", "%s" }\n    session { idle = %s max = %d }\n'
                   '    limits { instances = 0 per_source = 0 }' % (WHO, idle, most))


def test_300_peers_have_a_handler_each(hatchd):
    daemon = hatchd(sessions_service("8s", 1024))     # none is idle so long while a round lasts
    talk(daemon, "who", 300)
    hatch.wait_until(lambda: not daemon.handlers(), 30, what="idle sessions ended")
    hatch.wait_until(lambda: len(daemon.log_lines("end", svc="who")) == 300)
    assert {e["exit"] for e in daemon.log_lines("end", svc="who")} == {"0"}
    wait_counter(daemon, "who", lambda c: c["running"] == 0 and c["started"] == 300)


@pytest.mark.soak
def test_1000_peers_have_a_handler_each(hatchd):
    daemon = hatchd(sessions_service("20s", 1024))
    talk(daemon, "who", 1000, 20)
    hatch.wait_until(lambda: not daemon.handlers(), 60)
    assert len(daemon.log_lines("end", svc="who", exit=0)) == 1000


def test_answer_of_a_handler_that_reads_nothing(hatchd):
    """It leaves its datagram unread, which the kernel reports before its answer."""
    daemon = hatchd(service("says", 'exec = { "/bin/echo", "something" } '
                            'limits { per_source = 0 }'))
    for _ in range(40):
        with socket_for(daemon.port["says"]) as s:
            s.send(b"?")
            assert s.recv(100) == b"something\n"


def test_environment_of_a_session(hatchd):
    daemon = hatchd(service("env", 'exec = { "/usr/bin/env" }'))
    with socket_for(daemon.port["env"]) as s:
        s.send(b"?")
        env = dict(line.split("=", 1) for line in s.recv(10000).decode().splitlines())
        me = str(s.getsockname()[1])
    assert env["PROTO"] == "UDP" and env["HATCHD_SERVICE"] == "env"
    assert (env["UDPREMOTEIP"], env["UDPREMOTEPORT"]) == ("127.0.0.1", me)
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == ("127.0.0.1", me)
    assert (env["UDPLOCALIP"], env["UDPLOCALPORT"]) == ("127.0.0.1", str(daemon.port["env"]))
    assert "TCPREMOTEIP" not in env


UPPER = 'exec = { "/usr/bin/tr", "a-z", "A-Z" }\n    session { once = yes }'


def test_once_answers_each_datagram(hatchd):
    """One peer, one datagram after the other: a new handler each time, though
    the one before may not have been reaped yet."""
    daemon = hatchd(service("upper", UPPER))
    with socket_for(daemon.port["upper"]) as s:
        for i in range(100):
            s.send(b"datagram %d" % i)
            assert s.recv(100) == b"DATAGRAM %d" % i
    daemon.wait_log("end", n=100, svc="upper", exit=0)


def test_once_answers_a_burst(hatchd):
    """Some datagrams at once wait for their turn."""
    daemon = hatchd(service("upper", UPPER))
    with socket_for(daemon.port["upper"]) as s:
        for i in range(5):
            s.send(b"datagram %d" % i)
        assert sorted(s.recv(100) for _ in range(5)) == [b"DATAGRAM %d" % i for i in range(5)]


def test_once_with_an_empty_datagram(hatchd):
    """It is an end of file with nothing before."""
    daemon = hatchd(service("size", 'exec = { "/usr/bin/wc", "-c" }\n    session { once = yes }'))
    with socket_for(daemon.port["size"]) as s:
        for data in (b"", b"12345", b""):
            s.send(data)
            assert s.recv(100).split() == [b"%d" % len(data)]


def test_once_from_50_peers(hatchd):
    daemon = hatchd(service("upper", UPPER))
    sockets = [socket_for(daemon.port["upper"]) for _ in range(50)]
    for n in range(3):
        for i, s in enumerate(sockets):
            s.send(b"%d from %d" % (n, i))
        for i, s in enumerate(sockets):
            assert s.recv(100) == b"%d FROM %d" % (n, i)
    for s in sockets:
        s.close()


def test_idle_session_ends_and_a_new_one_begins(hatchd):
    daemon = hatchd(service("who", 'exec = { "/bin/sh", "-c", "%s" }\n'
                            '    session { idle = 400ms }' % WHO))
    with socket_for(daemon.port["who"]) as s:
        s.send(b"a")
        first = s.recv(100).split()[0]
        began = time.monotonic()
        daemon.wait_log("end", svc="who", exit=0)
        assert time.monotonic() - began > 0.2
        s.send(b"b")
        assert s.recv(100).split()[0] != first


def test_session_that_is_used_does_not_end(hatchd):
    daemon = hatchd(service("who", 'exec = { "/bin/sh", "-c", "%s" }\n'
                            '    session { idle = 2s }' % WHO))
    with socket_for(daemon.port["who"]) as s:
        end, pids = time.monotonic() + 4, set()
        while time.monotonic() < end:
            s.send(b"a")
            pids.add(s.recv(100).split()[0])
            select.select([], [], [], 0.05)
    assert len(pids) == 1


def test_session_max(hatchd):
    """Peers beyond it get nothing and are counted; when one ends there is room."""
    daemon = hatchd(service("cat", 'exec = { "/bin/cat" }\n    session { idle = 3s max = 5 }'))
    sockets = [socket_for(daemon.port["cat"]) for _ in range(8)]
    for s in sockets[:5]:
        s.send(b"in")
        assert s.recv(10) == b"in"
    for s in sockets[5:]:
        s.send(b"out")
    assert all(silent(s, 0.1) for s in sockets[5:])
    assert len(daemon.handlers()) <= 5
    wait_counter(daemon, "cat", lambda c: c.reason("session-max") == 3)
    hatch.wait_until(lambda: not daemon.handlers())
    sockets[7].settimeout(hatch.DEADLINE)
    sockets[7].send(b"room")
    assert sockets[7].recv(10) == b"room"
    for s in sockets:
        s.close()


def test_session_max_of_peers_that_come_at_once(hatchd):
    daemon = hatchd(service("cat", 'exec = { "/bin/cat" }\n    session { max = 2 }'))
    sockets = [socket_for(daemon.port["cat"]) for _ in range(20)]
    for s in sockets:
        s.send(b"in")
    wait_counter(daemon, "cat", lambda c: c.reason("session-max") == 18)
    assert len(daemon.handlers()) == 2
    for s in sockets:
        s.close()


def test_session_max_once_answers_a_burst(hatchd):
    """The place of a handler that has ended is free, reaped or not."""
    daemon = hatchd(service("upper", UPPER.replace("once", "max = 1 once")))
    with socket_for(daemon.port["upper"]) as s:
        for n in range(20):
            for i in range(5):
                s.send(b"datagram %d" % i)
            assert [s.recv(100) for _ in range(5)] == [b"DATAGRAM %d" % i for i in range(5)]


def test_session_ends_with_its_handler(hatchd):
    """Though a child that it left has its socket; what it wrote last is delivered."""
    daemon = hatchd(service("leaves", 'exec = { "/bin/sh", "-c", "sleep 1000 & echo $! >&2; '
                            'x=$(dd bs=100 count=1 2>/dev/null); '
                            'for i in 1 2 3 4 5 6 7 8 9; do echo $x $i; done; exit 3" }'))
    with socket_for(daemon.port["leaves"]) as s:
        for n in range(1, 6):
            s.send(b"hello %d" % n)
            assert [s.recv(100) for _ in range(9)] == [b"hello %d %d\n" % (n, i)
                                                       for i in range(1, 10)]
            try:
                daemon.wait_log("end", n=n, svc="leaves", exit=3)
            finally:
                os.kill(int(daemon.wait_log("stderr", n=n, svc="leaves")["text"]), 9)
    wait_counter(daemon, "leaves", lambda c: c["running"] == 0 and c["started"] == 5)


def test_session_max_is_logged(hatchd):
    """The first time at once, then in numbers; all of them are those that are counted."""
    daemon = hatchd(service("cat", 'exec = { "/bin/cat" }\n    session { max = 1 }'))

    def told():
        lines = daemon.log_lines("refuse", svc="cat") + daemon.log_lines("suppressed", svc="cat")
        assert all(e["reason"] == "session-max" and e["setting"] == "session.max" and
                   e.level == "warn" for e in lines)
        return len(daemon.log_lines("refuse", svc="cat")) + \
            sum(int(e.get("suppressed", 0)) for e in lines)

    with socket_for(daemon.port["cat"]) as one:
        one.send(b"in")
        assert one.recv(10) == b"in"
        sockets = [socket_for(daemon.port["cat"]) for _ in range(50)]
        for s in sockets:
            s.send(b"out")
        daemon.wait_log("refuse", svc="cat")
        wait_counter(daemon, "cat", lambda c: c.reason("session-max") == 50)
        hatch.wait_until(lambda: told() == 50)
        for s in sockets:
            s.close()
    assert len(daemon.log_lines("refuse", svc="cat")) <= 4


@pytest.mark.parametrize("what", ['internal = "echo"', 'exec = { "/bin/cat" }'])
def test_answer_comes_from_the_address_asked(hatchd, what):
    daemon = hatchd(service("echo", what, '"udp:@%s@"'))
    hosts = ["127.0.0.1", "127.0.0.2", "127.9.9.9"] + (["::1"] if hatch.has_ipv6() else [])
    for host in hosts:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                           socket.SOCK_DGRAM) as s:
            s.settimeout(hatch.DEADLINE)
            for n in range(3):
                s.sendto(b"%d" % n, (host, daemon.port["echo"]))
                data, source = s.recvfrom(100)
                assert (data, source[:2]) == (b"%d" % n, (host, daemon.port["echo"]))


def test_one_socket_at_two_addresses_is_two_peers(hatchd):
    """From the same port to 127.0.0.1 and 127.0.0.2: two sessions, each knows
    which it is."""
    daemon = hatchd(service("local", 'exec = { "/bin/sh", "-c", "while read -r x; do '
                            'echo $UDPLOCALIP; done" }', '"udp4:@%s@"'))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(hatch.DEADLINE)
        for host in ("127.0.0.1", "127.0.0.2"):
            s.sendto(b"\n", (host, daemon.port["local"]))
            data, source = s.recvfrom(100)
            assert data.decode() == host + "\n" and source[0] == host
    assert len(daemon.log_lines("start", svc="local")) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])
def test_big_datagrams(hatchd, host):
    daemon = hatchd(service("cat", 'exec = { "/bin/cat" }',
                            '"udp4:127.0.0.1:@%s@"' if "." in host else '"udp6:[::1]:@%s@"'))
    with socket_for(daemon.port["cat"], host) as s:
        for n in (1, 1472, 1473, 9000, 60000, 65507):
            data = os.urandom(n)
            s.send(data)
            assert s.recv(65536) == data


def test_empty_datagram_is_not_an_end_of_file(hatchd):
    daemon = hatchd(service("cat", 'exec = { "/bin/cat" }'))
    with socket_for(daemon.port["cat"]) as s:
        for data in (b"a", b"b"):
            s.send(b"")
            s.send(data)
            assert s.recv(10) == data
    assert len(daemon.log_lines("start", svc="cat")) == 1


def test_handler_that_ends_at_once(hatchd):
    """Each datagram is worth one handler at most, and none is left spinning."""
    daemon = hatchd(service("true", 'exec = { "/bin/true" }'))
    with socket_for(daemon.port["true"]) as s:
        started = 0
        for n in (1, 5, 1, 20):
            for i in range(n):
                s.send(b"%d" % i)

            def calm():
                c = counters(daemon, "true")
                return c["started"] > started and c["running"] == 0
            hatch.wait_until(calm)
            begin = time.monotonic()
            hatch.wait_until(lambda: time.monotonic() - begin > 0.2 and calm())
            now = counters(daemon, "true")["started"]
            assert started < now <= started + n
            started = now
    hatch.wait_until(lambda: len(daemon.log_lines("end", svc="true", exit=0)) == started)


def test_handler_that_says_more_than_was_asked(hatchd):
    daemon = hatchd(service("three", 'exec = { "/bin/sh", "-c", "read -r x; echo 1; echo 2; '
                            'echo 3" }'))
    with socket_for(daemon.port["three"]) as s:
        s.send(b"\n")
        assert [s.recv(10) for _ in range(3)] == [b"1\n", b"2\n", b"3\n"]


def hammer(sockets, seconds, until=lambda: False):
    """Sends from all of them again and again; how often."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end and not until():
        for s in sockets:
            try:
                s.send(b"hammer")
                n += 1
            except ConnectionRefusedError:
                pass
        select.select([], [], [], 0.002)
    return n


def test_missing_binary_backs_off(hatchd):
    """20 peers hammer: an attempt a step, and at once again when it is there."""
    daemon = hatchd(service("late", 'exec = { "@tmp@/late" }'))
    sockets = [socket_for(daemon.port["late"]) for _ in range(20)]
    spent = daemon.cpu_seconds()
    assert hammer(sockets, 2) > 1000
    fails = daemon.log_lines("fail", svc="late", step="exec")
    assert 1 <= len(fails) <= 6, fails           # 0, 0.1, 0.3, 0.7, 1.5
    assert fails[0]["error"] == "No such file or directory"
    assert daemon.cpu_seconds() - spent < 0.6
    os.symlink("/bin/cat", daemon.tmp + "/late")
    # the longest step that can be waited for now
    def answered():
        sockets[0].send(b"now")
        return select.select([sockets[0]], [], [], 0.1)[0]
    hatch.wait_until(answered, what="an answer after the binary appeared")
    assert sockets[0].recv(100) == b"now"
    for s in sockets:
        s.close()


def test_killed_handler_is_logged_and_replaced(hatchd):
    daemon = hatchd(service("cat", 'exec = { "/bin/cat" }'))
    with socket_for(daemon.port["cat"]) as s:
        s.send(b"one")
        assert s.recv(10) == b"one"
        os.kill(daemon.handlers()[0], 9)
        daemon.wait_log("end", svc="cat", signal="KILL")
        s.send(b"two")
        assert s.recv(10) == b"two"


# When the talker dies

def test_sessions_end_with_their_talker(hatchd):
    """Handlers get their end of file; the next datagram begins a new session."""
    daemon = hatchd(service("who", 'exec = { "/bin/sh", "-c", "%s" }' % WHO))
    sockets = [socket_for(daemon.port["who"]) for _ in range(20)]
    before = set()
    for s in sockets:
        s.send(b"a")
        before.add(s.recv(100).split()[0])
    daemon.kill_talker()
    daemon.wait_log("end", n=20, svc="who")
    after = set()
    for s in sockets:
        s.send(b"b")
        after.add(s.recv(100).split()[0])
        s.close()
    assert not before & after


def test_handler_that_does_not_go_is_ended(hatchd):
    """One that doesn't look at its socket is told after the time to stop."""
    daemon = hatchd(service("sleeps", 'exec = { "/bin/sh", "-c", "echo up; exec sleep 1000" }\n'
                            '    timeouts { stop = 300ms }'))
    with socket_for(daemon.port["sleeps"]) as s:
        s.send(b"a")
        assert s.recv(100) == b"up\n"
        daemon.kill_talker()
        assert daemon.wait_log("end", svc="sleeps")["signal"] == "TERM"


def test_datagrams_meanwhile_wait_for_the_next_talker(hatchd):
    daemon = hatchd(service("upper", UPPER) + service("echo", 'internal = "echo"'))
    for name, data, answer in (("upper", b"meanwhile", b"MEANWHILE"), ("echo", b"and", b"and")):
        os.kill(daemon.talker, 9)
        hatch.wait_until(lambda: daemon.talker == 0)
        with socket_for(daemon.port[name]) as s:
            s.send(data)
            assert s.recv(100) == answer


# Handlers that get the socket itself (wait = yes)

def appends(path):
    return ('exec = { "/bin/sh", "-c", "dd bs=65536 count=1 2>/dev/null >>%s" }\n'
            '    wait = yes' % path)


@pytest.fixture
def shared_file(shared_tmp):
    path = shared_tmp + "/got"
    with open(path, "w"):
        pass
    os.chmod(path, 0o666)
    return path


def lines_of(path):
    with open(path) as f:
        return f.read().splitlines()


def test_wait_one_datagram_each(hatchd, shared_file):
    """A handler that reads one and exits: one after the other, none is lost."""
    daemon = hatchd(service("one", appends(shared_file)))
    with socket_for(daemon.port["one"]) as s:
        for i in range(60):
            s.send(b"%d\n" % i)
    hatch.wait_until(lambda: len(lines_of(shared_file)) == 60)
    assert lines_of(shared_file) == [str(i) for i in range(60)]
    daemon.wait_log("end", n=60, svc="one", exit=0)
    assert not daemon.log_lines("fail")


def test_wait_same_datagram_again_and_again(hatchd, shared_file):
    """That the next one looks like the last one is not that it was not read."""
    daemon = hatchd(service("one", appends(shared_file)))
    with socket_for(daemon.port["one"]) as s:
        for i in range(60):
            s.send(b"same\n")
    hatch.wait_until(lambda: len(lines_of(shared_file)) == 60)
    assert not daemon.log_lines("fail")
    assert counters(daemon, "one").reason("unread") == 0


def test_wait_busy_socket_leaves_room_for_the_others(hatchd, shared_tmp):
    """One socket always has a datagram: the other one of the service has its turn,
    though there is one handler only, and so has another service."""
    daemon = hatchd(service("two", 'exec = { "/bin/sh", "-c", "dd bs=99 count=1 2>/dev/null '
                            '>>%s/$UDPLOCALPORT" }\n    wait = yes limits { instances = 1 }'
                            % shared_tmp, '"udp4:127.0.0.1:@a@", "udp4:127.0.0.1:@b@"')
                    + 'service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" } }')
    os.chmod(shared_tmp, 0o777)
    read = {name: "%s/%d" % (shared_tmp, daemon.port[name]) for name in "ab"}
    with socket_for(daemon.port["a"]) as a, socket_for(daemon.port["b"]) as b:
        for _ in range(100):
            a.send(b"busy\n")
        hatch.wait_until(lambda: os.path.exists(read["a"]))
        b.send(b"also\n")
        assert daemon.tcp("cat", b"x") == b"x"
        hatch.wait_until(lambda: os.path.exists(read["b"]) and lines_of(read["b"]) == ["also"])
        assert len(lines_of(read["a"])) < 90
        hatch.wait_until(lambda: len(lines_of(read["a"])) == 100)
    assert not daemon.log_lines("fail")


def test_wait_handler_that_never_reads_cannot_spin(hatchd):
    daemon = hatchd(service("deaf", 'exec = { "/bin/true" }\n    wait = yes')
                    + service("echo", 'internal = "echo"'))
    spent, seconds = daemon.cpu_seconds(), 2.5
    with socket_for(daemon.port["deaf"]) as s:
        assert hammer([s], seconds) > 100
    starts = daemon.log_lines("start", svc="deaf")
    assert 2 <= len(starts) <= 7, len(starts)    # 0, 0.1, 0.3, 0.7, 1.5
    assert daemon.cpu_seconds() - spent < 0.1 * seconds
    fails = daemon.log_lines("fail", svc="deaf", step="read")
    assert len(fails) >= 2 and "without reading" in fails[0]["error"]
    assert fails[0]["peer"].startswith("127.0.0.1:")
    waits = [int(e["retry_ms"]) for e in fails]
    assert waits == [100 * 2 ** i for i in range(len(fails))]
    assert counters(daemon, "deaf").reason("unread") == len(fails)
    assert daemon.udp("echo", b"others") == b"others"


def test_wait_unread_datagrams_are_dropped_one_by_one(hatchd):
    """Three datagrams, three attempts, then silence."""
    daemon = hatchd(service("deaf", 'exec = { "/bin/true" }\n    wait = yes'))
    with socket_for(daemon.port["deaf"]) as s:
        for _ in range(3):
            s.send(b"x")
        daemon.wait_log("fail", n=3, svc="deaf", step="read")
        hatch.wait_until(lambda: counters(daemon, "deaf").reason("unread") == 3)
        began = time.monotonic()
        hatch.wait_until(lambda: time.monotonic() - began > 1)
    assert len(daemon.log_lines("start", svc="deaf")) == 3


def test_wait_recovers_at_the_first_success(hatchd, shared_file):
    """A handler that learns to read: the back-off is over."""
    flag = shared_file + ".flag"
    daemon = hatchd(service("learns", 'exec = { "/bin/sh", "-c", "[ -e %s ] || exit 0; exec dd '
                            'bs=65536 count=1 2>/dev/null >>%s" }\n    wait = yes'
                            % (flag, shared_file)))
    with socket_for(daemon.port["learns"]) as s:
        s.send(b"lost\n")
        s.send(b"lost\n")
        daemon.wait_log("fail", n=2, svc="learns", step="read")
        with open(flag, "w"):
            pass
        for i in range(10):
            s.send(b"%d\n" % i)
        hatch.wait_until(lambda: len(lines_of(shared_file)) == 10)
    assert lines_of(shared_file) == [str(i) for i in range(10)]


def test_wait_missing_binary(hatchd):
    daemon = hatchd(service("none", 'exec = { "@tmp@/none" }\n    wait = yes'))
    spent = daemon.cpu_seconds()
    with socket_for(daemon.port["none"]) as s:
        hammer([s], 1.2)
        fails = daemon.log_lines("fail", svc="none", step="exec")
        assert 2 <= len(fails) <= 5, fails
        assert daemon.cpu_seconds() - spent < 0.3
        os.symlink("/bin/true", daemon.tmp + "/none")   # it is there, but never reads
        daemon.wait_log("start", svc="none")


def test_wait_handler_that_stays_serves_many(hatchd):
    program = handler.path("parrot")
    daemon = hatchd(service("parrot", 'exec = { "%s" }\n    wait = yes\n    user = "%s"' % (
        program, "root" if hatch.IS_ROOT else hatch.USER)))
    sockets = [socket_for(daemon.port["parrot"]) for _ in range(40)]
    for n in range(5):
        for i, s in enumerate(sockets):
            s.send(b"%d from %d" % (n, i))
        for i, s in enumerate(sockets):
            assert s.recv(100) == b"%d from %d" % (n, i)
    for s in sockets:
        s.close()
    assert len(daemon.log_lines("start", svc="parrot")) == 1
    assert not daemon.log_lines("end") and not daemon.log_lines("fail")


def test_wait_several_sockets_have_a_handler_each(hatchd, shared_file):
    """The one of the first socket doesn't keep the others waiting."""
    daemon = hatchd(service("slow", 'exec = { "/bin/sh", "-c", "dd bs=65536 count=1 2>/dev/null '
                            '>>%s; read -r x <%s.fifo" }\n    wait = yes'
                            % (shared_file, shared_file),
                            ", ".join('"udp4:127.0.0.1:@%s@"' % n for n in ("a", "b", "c"))))
    os.mkfifo(shared_file + ".fifo", 0o666)
    os.chmod(shared_file + ".fifo", 0o666)
    fifo = os.open(shared_file + ".fifo", os.O_RDWR)
    sockets = {name: socket_for(daemon.port[name]) for name in "abc"}
    for name, s in sockets.items():
        s.send(name.encode() + b"\n")
    hatch.wait_until(lambda: sorted(lines_of(shared_file)) == ["a", "b", "c"])
    assert len(daemon.handlers()) == 3
    sockets["b"].send(b"b\n")               # waits until b's handler has ended
    assert len(daemon.log_lines("start", svc="slow")) == 3
    os.write(fifo, b"\n" * 3)
    hatch.wait_until(lambda: sorted(lines_of(shared_file)) == ["a", "b", "b", "c"])
    os.write(fifo, b"\n")
    daemon.wait_log("end", n=4, svc="slow", exit=0)
    os.close(fifo)
    for s in sockets.values():
        s.close()


def test_wait_listen_fds_gets_all_sockets(hatchd):
    """Datagram and stream sockets in one handler, in the order of listen."""
    code = ("import os, socket, select; n = int(os.environ['LISTEN_FDS']); "
            "assert os.environ['LISTEN_PID'] == str(os.getpid()); "
            "p = select.poll(); [p.register(3 + i, 1) for i in range(n)]; "
            "i = p.poll()[0][0] - 3; s = socket.socket(fileno=3 + i); t = s.type; "
            "d = t == 2; m, a = s.recvfrom(100) if d else s.accept(); "
            "o = ('%d of %d %d' % (i, n, t)).encode(); s.sendto(o, a) if d else m.sendall(o)")
    daemon = hatchd(service("all", 'exec = { "/usr/bin/python3", "-c", "%s" }\n    wait = yes\n'
                            '    pass = "listen_fds"' % code,
                            '"udp4:127.0.0.1:@a@", "tcp4:127.0.0.1:@b@", "udp4:127.0.0.1:@c@"'))
    for i, name in ((0, "a"), (2, "c"), (0, "a")):
        assert daemon.udp(name, b"?") == b"%d of 3 2" % i
    assert daemon.tcp("b") == b"1 of 3 1"
    daemon.wait_log("end", n=4, svc="all", exit=0)


# One service, several kinds of sockets

def test_udp_and_tcp_with_one_exec(hatchd):
    daemon = hatchd(service("cat", 'exec = { "/bin/cat" }',
                            '"tcp:127.0.0.1:@cat@", "udp:127.0.0.1:@cat@", "unix:@tmp@/cat"'))
    assert daemon.tcp("cat", b"by tcp") == b"by tcp"
    assert daemon.udp("cat", b"by udp") == b"by udp"
    assert hatch.tcp_request(daemon.tmp + "/cat", b"by unix") == b"by unix"
    assert len(daemon.log_lines("start", svc="cat")) == 3


def test_range_of_ports(hatchd):
    """Each knows the port it was asked on."""
    base = hatch.wait_until(free_range)
    daemon = hatchd(service("port", 'exec = { "/bin/sh", "-c", "read -r x; echo $UDPLOCALPORT" }',
                            '"udp4:127.0.0.1:%d-%d"' % (base, base + 3)))
    for port in range(base, base + 4):
        assert daemon.udp(port, b"\n") == b"%d\n" % port


def free_range():
    base = hatch.free_port()
    held = []
    try:
        for i in range(4):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held.append(s)
            s.bind(("127.0.0.1", base + i))
        return base
    except OSError:
        return None
    finally:
        for s in held:
            s.close()


# Nobody can turn them against others (S10, S15)

INTERNAL = "".join(service(n, 'internal = "%s"' % n) for n in
                   ("echo", "discard", "chargen", "daytime", "time"))
REFLECTING = ("echo", "chargen", "daytime", "time")
QUESTION = b"a question that is long enough for any answer of 40"


@pytest.mark.root
@pytest.mark.parametrize("name", REFLECTING)
def test_S10_no_answer_to_a_port_below_1024(hatchd, name):
    daemon = hatchd(INTERNAL)
    sent = 0
    for low in (7, 19, 53, 123, 1023):
        try:
            s = socket_for(daemon.port[name], source=("127.0.0.1", low))
        except OSError:
            continue                        # somebody has it
        sent += 1
        with s:
            s.send(QUESTION)
            assert silent(s, 0.1)
    with socket_for(daemon.port[name], source=("127.0.0.1", 0)) as s:
        s.send(QUESTION)
        assert s.recv(1000)
    wait_counter(daemon, name, lambda c: c["datagrams_out"] == 1 and c.reason("loop") >= sent)


def test_S10_no_amplification(hatchd):
    """Never more bytes than came; chargen as RFC 864 has it, and not often."""
    daemon = hatchd(INTERNAL)
    for name, most in (("daytime", 30), ("time", 3)):
        with socket_for(daemon.port[name]) as s:
            for n in (0, 1, most):
                s.send(b"x" * n)
            assert silent(s, 0.2), name
    with socket_for(daemon.port["chargen"]) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for _ in range(200):
            s.send(b"x")
        c = wait_counter(daemon, "chargen", lambda c: c["datagrams_in"] + c.reason("loop") +
                         c.reason("queue") >= 200)
        assert c["datagrams_out"] <= 30, c
        assert c["bytes_out"] <= 512 * c["datagrams_out"]
    for name in ("echo", "daytime", "time"):
        with socket_for(daemon.port[name]) as s:
            for _ in range(10):
                s.send(QUESTION)
                s.recv(1000)
        c = wait_counter(daemon, name, lambda c: c["datagrams_out"] == 10)
        assert c["bytes_out"] <= c["bytes_in"]


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def forged(source, sport, dest, dport, data):
    """An IPv4 packet that says it comes from somebody else."""
    udp = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(dest))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return head + udp


def send_forged(*packet):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(forged(*packet), (packet[2], 0))


def send_frame(by, to, packet):
    """As it comes from the other end of a cable."""
    mac = []
    for name in (to, by):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            got = fcntl.ioctl(s, SIOCGIFHWADDR, struct.pack("16s24x", name.encode()))
            mac.append(got[18:24])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((by, 0))
        s.send(mac[0] + mac[1] + b"\x08\0" + packet)


class Wire:
    """Everything that passes an interface, as (protocol, source, sport, dport)."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.bind((name, 3))
        self.sock.setblocking(False)

    def udp_from(self, ports):
        """The UDP packets that came from these ports, each once."""
        found = []
        while True:
            try:
                data, where = self.sock.recvfrom(65536)
            except BlockingIOError:
                return found
            if where[2] != socket.PACKET_OUTGOING and data[0] >> 4 == 4 and data[9] == 17:
                begin = (data[0] & 15) * 4
                if struct.unpack("!H", data[begin:begin + 2])[0] in ports:
                    found.append((socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])))

    def close(self):
        self.sock.close()


def in_network(fn, text):
    """fn(daemon) with a daemon in a network of its own."""
    def inside():
        daemon = hatch.Daemon(text)
        try:
            fn(daemon)
        finally:
            daemon.close()
    handler.in_namespace(inside, "ip link add v0 type veth peer name v1", "ip link set v0 up",
                         "ip link set v1 up", "ip addr add 10.9.8.1/24 brd + dev v0",
                         "ip route add default via 10.9.8.77 dev v0")


@pytest.mark.netns
def test_S10_echo_and_chargen_never_answer_each_other():
    """A datagram to each that says it comes from the other: no packet follows,
    and none from a session's handler either."""
    text = INTERNAL + service("cat", 'exec = { "/bin/cat" }')

    def test(daemon):
        names = ("echo", "chargen", "daytime", "time", "cat")
        ports = [daemon.port[n] for n in names]
        wire = Wire("lo")
        sent = 0
        for to in REFLECTING:
            for of in names:
                send_forged("127.0.0.1", daemon.port[of], "127.0.0.1", daemon.port[to], QUESTION)
                sent += 1
        for to in REFLECTING:
            wait_counter(daemon, to, lambda c: c.reason("loop") >= len(names))
            assert counters(daemon, to)["datagrams_out"] == 0
        assert len(wire.udp_from(ports)) == sent         # what we sent, and nothing else
        wire.close()

    in_network(test, text)


@pytest.mark.netns
def test_S10_no_answer_to_multicast_broadcast_and_nobody():
    """Also where the kernel lets such a source pass."""
    text = (INTERNAL.replace("127.0.0.1:", "") +
            service("cat", 'exec = { "/bin/cat" }', '"udp4:@%s@"'))

    def test(daemon):
        names = REFLECTING + ("cat",)
        ports = [daemon.port[n] for n in names]
        for path in ("all", "default", "lo", "v0"):
            for key, value in (("rp_filter", "0"), ("accept_local", "1")):
                with open("/proc/sys/net/ipv4/conf/%s/%s" % (path, key), "w") as f:
                    f.write(value)
        wires = [Wire("lo"), Wire("v0"), Wire("v1")]
        n = 0
        for source in ("239.1.2.3", "224.0.0.1", "255.255.255.255", "10.9.8.255", "0.0.0.0"):
            for port in ports:
                send_frame("v1", "v0", forged(source, 5000, "10.9.8.1", port, QUESTION))
                if source != "0.0.0.0":         # here it means: ours
                    for dest in ("127.0.0.1", "10.9.8.1"):
                        try:
                            send_forged(source, 5000, dest, port, QUESTION)
                            n += 1
                        except OSError:
                            pass
        for port in ports:                      # port 0 can't be answered
            send_forged("127.0.0.1", 0, "127.0.0.1", port, QUESTION)
        # and one that may be answered, so that all before it has been seen
        for name in names:
            assert daemon.udp(name, QUESTION)
        answers = [a for w in wires for a in w.udp_from(ports)]
        assert n >= 10 and answers == [("127.0.0.1", "127.0.0.1")] * len(names), (n, answers)
        # That 10.9.8.255 is no host only the kernel knows.  It lets it pass from
        # root's own raw sockets, but not an answer to it.
        peers = {e["peer"].split(":")[0] for e in daemon.log_lines("start", svc="cat")}
        assert peers - {"10.9.8.255"} == {"127.0.0.1"}, peers
        for w in wires:
            w.close()

    in_network(test, text)


@pytest.mark.netns
def test_S10_ipv6_sources_nobody_has():
    def test(daemon):
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
            for source in ("ff02::1", "::", "::ffff:10.0.0.1"):
                udp = struct.pack("!HHHH", 5000, daemon.port["echo"], 8 + len(QUESTION), 0)
                src, dst = (socket.inet_pton(socket.AF_INET6, a) for a in (source, "::1"))
                body = udp + QUESTION
                sum6 = checksum(src + dst + struct.pack("!IHBB", len(body), 0, 0, 17) + body)
                body = udp[:6] + struct.pack("!H", sum6) + QUESTION
                try:
                    s.sendto(struct.pack("!IHBB", 6 << 28, len(body), 17, 64) + src + dst + body,
                             ("::1", 0))
                except OSError:
                    pass
        assert daemon.udp("echo", QUESTION, host="::1") == QUESTION
        c = wait_counter(daemon, "echo", lambda c: c["datagrams_out"] >= 1)
        assert c["datagrams_out"] == 1

    in_network(test, service("echo", 'internal = "echo"', '"udp6:[::1]:@%s@"'))


def test_S15_limits_hold_for_datagrams(hatchd):
    """instances and per_source are judged for each new peer, and told."""
    daemon = hatchd(service("few", 'exec = { "/bin/cat" }\n    limits { per_source = 3 '
                            'instances = 4 when_full = "refuse" }', '"udp4:@%s@"'))
    near = [socket_for(daemon.port["few"]) for _ in range(5)]
    for s in near[:3]:
        s.send(b"in")
        assert s.recv(10) == b"in"
    for s in near[3:]:
        s.send(b"out")
        assert silent(s, 0.1)
    daemon.wait_log("refuse", svc="few", reason="source-instances")
    far = [socket_for(daemon.port["few"], source=("127.0.0.9", 0)) for _ in range(2)]
    far[0].send(b"in")
    assert far[0].recv(10) == b"in"
    far[1].send(b"out")
    assert silent(far[1], 0.1)
    daemon.wait_log("refuse", svc="few", reason="instances")
    assert len(daemon.handlers()) == 4
    for s in near + far:
        s.close()


def test_S20_datagrams_cannot_forge_the_log(hatchd):
    """Whatever the handler repeats of them to its stderr."""
    daemon = hatchd(service("cat", 'exec = { "/bin/sh", "-c", "exec cat >&2" }'))
    with socket_for(daemon.port["cat"]) as s:
        s.send(b"a\nend svc=forged conn=1 exit=0\n\x1b[2J\xff\"x\\\n")
        line = daemon.wait_log("stderr", n=3, svc="cat")
    assert "\x1b" not in daemon.log()
    assert not daemon.log_lines("end", svc="forged")
    assert line.text.isascii()


def test_flood_of_peers_costs_little(hatchd):
    """20 000 peers that say a word each: memory stays, the next is served."""
    daemon = hatchd(service("echo", 'internal = "echo"\n    limits { per_source = 0 }')
                    + service("cat", 'exec = { "/bin/cat" }\n    limits { per_source = 2 }\n'
                              '    session { idle = 1s }'))
    def flood(name, n):
        for i in range(n):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"x", ("127.0.0.1", daemon.port[name]))
    flood("echo", 2000)
    flood("cat", 500)
    # one may be lost: the socket's queue may be full of the flood yet
    assert hatch.wait_until(lambda: daemon.udp("echo", b"on", timeout=1)) == b"on"
    before = hatch.rss(daemon.talker), daemon.rss()
    flood("echo", 18000)
    flood("cat", 2000)
    assert hatch.rss(daemon.talker) - before[0] < 8 << 20 or world.is_sanitized()
    assert daemon.rss() - before[1] < 2 << 20 or world.is_sanitized()
    assert hatch.wait_until(lambda: daemon.udp("echo", b"on", timeout=1)) == b"on"
    assert len(daemon.handlers()) <= 2
    hatch.wait_until(lambda: not daemon.handlers())
    assert hatch.wait_until(lambda: daemon.udp("cat", b"on", timeout=1)) == b"on"
