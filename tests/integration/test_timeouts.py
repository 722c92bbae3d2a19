# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Time limits: who says nothing gets no handler, who goes on for too long or says
nothing more is ended, and how."""
import os
import select
import signal
import socket
import time

import pytest

import board
import handler
import hatch
import world

NO_LIMIT = "limits { per_source = 0 instances = 0 }"
SH = '"/bin/sh", "-c"'
MARGIN_MS = 5000        # a busy machine is late


def reaches_its_end(s):
    """Everything that it still gets; a reset is an end, too."""
    try:
        return hatch.read_all(s)
    except ConnectionResetError:
        return b""


def close_all(clients):
    for s in clients:
        s.close()


def check_end(line, ended_by, at_least_ms, **values):
    assert line.get("ended_by") == ended_by
    assert at_least_ms <= int(line["ms"]) < at_least_ms + MARGIN_MS, line
    for key, value in values.items():
        assert line.get(key) == value, line


# The first byte

SILENT = """
service "f" { listen = { "tcp4:127.0.0.1:@f@" } exec = { "/bin/cat" } %s
              timeouts { first_byte = %s } log_events = { "start", "refuse" } }
service "good" { listen = { "tcp4:127.0.0.1:@good@" } exec = { "/bin/cat" } }
"""


def silent_clients(hatchd, n, seconds):
    """They are all there, and others are served; then they are gone."""
    daemon = hatchd(SILENT % (NO_LIMIT, "%ds" % seconds))
    begin = time.monotonic()
    clients = [daemon.connect("f") for _ in range(n)]
    served = 0
    try:
        hatch.wait_until(lambda: board.counters(daemon, "f")["accepted"] == n)
        while time.monotonic() < begin + seconds / 2:
            assert daemon.tcp("f", b"first words") == b"first words"
            assert daemon.tcp("good", b"on") == b"on"
            served += 1
        assert served > 0
        for s in clients:
            assert reaches_its_end(s) == b""
        assert time.monotonic() - begin >= seconds - 0.02
        got = board.wait_counter(daemon, "f", lambda c: c["running"] == 0)
        assert (got["accepted"], got["started"]) == (n + served, served)
        assert got.reason("first-byte") == n
        assert len(daemon.log_lines("start", svc="f")) == served
    finally:
        close_all(clients)
    assert daemon.tcp("f", b"x") == b"x"
    lines = daemon.log_lines("refuse", svc="f")
    assert 1 <= len(lines) <= 10
    assert {e["setting"] for e in lines} == {"timeouts.first_byte"}


def test_S27_silent_clients(hatchd):
    silent_clients(hatchd, 200, 1)


def test_silent_clients_cost_nothing(hatchd):
    daemon = hatchd(SILENT % (NO_LIMIT, "1min"))
    clients = [daemon.connect("f") for _ in range(100)]
    try:
        hatch.wait_until(lambda: board.counters(daemon, "f")["running"] == 100)
        assert daemon.handlers() == []
        assert world.cpu_share(daemon, 0.5) < 0.1
        # in any order, each its own
        for i, s in reversed(list(enumerate(clients))):
            s.sendall(b"%d" % i)
            s.shutdown(socket.SHUT_WR)
        for i, s in enumerate(clients):
            assert hatch.read_all(s) == b"%d" % i
    finally:
        close_all(clients)


def test_client_that_leaves_without_a_byte(hatchd):
    daemon = hatchd(SILENT % (NO_LIMIT, "1min"))
    for _ in range(20):
        daemon.connect("f").close()
    with daemon.connect("f") as s:      # says no more, and still listens
        s.shutdown(socket.SHUT_WR)
        assert hatch.read_all(s) == b""
    with daemon.connect("f") as s:
        handler.reset(s)
    got = board.wait_counter(daemon, "f", lambda c: c["accepted"] == 22 and c["running"] == 0)
    assert got["started"] == 0
    assert got.reason("first-byte") == 22
    assert daemon.log_lines("start", svc="f") == []
    assert daemon.log_lines("refuse", svc="f") == []


def test_first_bytes_are_the_handlers(hatchd):
    daemon = hatchd(SILENT % (NO_LIMIT, "20s"))
    text = os.urandom(300000)
    with daemon.connect("f") as s:
        s.sendall(text[:1])
        assert handler.recv_exactly(s, 1) == text[:1]
        s.sendall(text[1:20000])
        assert handler.recv_exactly(s, 19999) == text[1:20000]
    # all at once, and the end too
    with daemon.connect("f") as s:
        s.sendall(text[:50000])
        s.shutdown(socket.SHUT_WR)
        assert hatch.read_all(s) == text[:50000]
    # its own deadline ends with it
    daemon.write(SILENT % (NO_LIMIT, "200ms"))
    daemon.reload()
    with daemon.connect("f") as s:
        s.sendall(b"x")
        assert handler.recv_exactly(s, 1) == b"x"
        assert select.select([s], [], [], 0.6)[0] == []
        s.sendall(b"y")
        assert handler.recv_exactly(s, 1) == b"y"


@pytest.mark.parametrize("kind", ["internal", "unix", "seqpacket"])
def test_first_byte_of_others(hatchd, kind):
    conf = {
        "internal": 'listen = { "tcp4:127.0.0.1:@s@" } internal = "echo"',
        "unix": 'listen = { "unix:@tmp@/s" } exec = { "/bin/cat" }',
        "seqpacket": 'listen = { "unix-seqpacket:@tmp@/s" } exec = { "/bin/cat" }',
    }[kind]
    daemon = hatchd('service "s" { %s timeouts { first_byte = 300ms } '
                    'banner { refuse = "late\\r\\n" } }' % conf)

    def client():
        if kind == "internal":
            return daemon.connect("s")
        return world.unix_client(daemon.tmp + "/s", socket.SOCK_SEQPACKET
                                 if kind == "seqpacket" else socket.SOCK_STREAM)
    begin = time.monotonic()
    with client() as silent, client() as talking, client() as gone:
        talking.sendall(b"first")
        assert talking.recv(100) == b"first"
        gone.close()
        assert silent.recv(100) == b"late\r\n"
        assert time.monotonic() - begin >= 0.28     # the loop counts in milliseconds
        assert silent.recv(100) == b""
        talking.sendall(b"second")
        assert talking.recv(100) == b"second"
    got = board.wait_counter(daemon, "s", lambda c: c["running"] == 0)
    assert got["started"] == 1
    assert got.reason("first-byte") == 2
    assert len(daemon.log_lines("start", svc="s")) == 1
    line = daemon.log_lines("refuse", svc="s")[0]
    assert (line["reason"], line["setting"]) == ("first-byte", "timeouts.first_byte")


# In all

def service(name, exec_, more):
    return 'service "%s" { listen = { "tcp4:127.0.0.1:@%s@" } exec = { %s } %s }\n' % (
        name, name, exec_, more)


def test_total_and_stop(hatchd):
    daemon = hatchd(
        service("plain", '"/bin/sleep", "1000"', "timeouts { total = 400ms }") +
        service("polite", SH + ', "trap \'echo bye; exit 3\' TERM; echo hello; '
                'while :; do sleep 0.05; done"', "timeouts { total = 400ms }") +
        service("stubborn", SH + ', "trap \'\' TERM; echo hello; while :; do sleep 1; done"',
                "timeouts { total = 400ms stop = 600ms }") +
        service("other", '"/bin/cat"', "timeouts { total = 1h }"))
    names = ("plain", "polite", "stubborn")
    with daemon.connect("other") as other:
        clients = {name: daemon.connect(name) for name in names}
        try:
            # that they write and read makes no difference
            got = {name: reaches_its_end(s) for name, s in clients.items()}
        finally:
            close_all(clients.values())
        assert got == {"plain": b"", "polite": b"hello\nbye\n", "stubborn": b"hello\n"}
        ends = {name: daemon.wait_log("end", svc=name) for name in names}
        check_end(ends["plain"], "timeouts.total", 400, signal="TERM")
        check_end(ends["polite"], "timeouts.total", 400, exit="3")
        check_end(ends["stubborn"], "timeouts.total", 1000, signal="KILL")
        for name in names:
            assert world.counters(daemon, name)["refused"] == {"total": 1}
        other.sendall(b"on")
        assert handler.recv_exactly(other, 2) == b"on"


def test_total_makes_room_for_the_next(hatchd):
    daemon = hatchd(service("one", SH + ', "echo hello; exec sleep 1000"',
                            "timeouts { total = 200ms } limits { instances = 1 }"))
    clients = [daemon.connect("one") for _ in range(4)]
    try:
        for s in clients:
            assert reaches_its_end(s) == b"hello\n"
    finally:
        close_all(clients)
    daemon.wait_log("end", n=4, svc="one", ended_by="timeouts.total")


def test_time_limits_of_those_who_end_in_time(hatchd):
    daemon = hatchd(service("s", '"/bin/cat"', "timeouts { total = 500ms idle = 500ms }"))
    for _ in range(20):
        assert daemon.tcp("s", b"quick") == b"quick"
    hatch.wait_until(lambda: len(daemon.log_lines("end", svc="s")) == 20)
    assert [e for e in daemon.log_lines("end") if "ended_by" in e] == []
    assert world.cpu_share(daemon, 0.7) < 0.1
    assert world.counters(daemon, "s")["refused"] == {}


# Idle

IDLE = 1.0


class Chatter:
    """Writes or reads a little for some time, so that its connection isn't idle."""

    def __init__(self, daemon, name, writes):
        self.sock, self.writes = daemon.connect(name), writes
        self.name = name

    def go_on(self):
        if self.writes:
            self.sock.sendall(b"x")
        while select.select([self.sock], [], [], 0)[0]:
            assert self.sock.recv(4096), "%s: its connection has ended" % self.name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def test_idle(hatchd):
    """Traffic in either direction keeps a connection alive, whoever it is from."""
    limit = "timeouts { idle = %gs } %s" % (IDLE, NO_LIMIT)
    daemon = hatchd(
        service("both", '"/bin/cat"', limit) +
        service("reads", SH + ', "exec cat > /dev/null"', limit) +
        service("writes", SH + ', "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo x; sleep 0.2; '
                'done; exec sleep 1000"', limit) +
        'service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" %s }\n' % limit)
    with Chatter(daemon, "both", True) as both, Chatter(daemon, "reads", True) as reads, \
            Chatter(daemon, "writes", False) as writes, Chatter(daemon, "echo", True) as echo, \
            daemon.connect("both") as silent, daemon.connect("echo") as silent_echo:
        begin = time.monotonic()
        while time.monotonic() < begin + 2.2 * IDLE:
            for chatter in (both, reads, writes, echo):
                chatter.go_on()
            time.sleep(0.05)
        stopped = time.monotonic()
        # the silent ones had their end meanwhile
        for s, svc in ((silent, "both"), (silent_echo, "echo")):
            assert reaches_its_end(s) == b""
            check_end(daemon.wait_log("end", svc=svc), "timeouts.idle", IDLE * 1000)
        assert len(daemon.log_lines("end")) == 2
        for chatter in (both, reads, writes, echo):
            reaches_its_end(chatter.sock)
        assert time.monotonic() - stopped > IDLE * 0.8
    for svc in ("both", "reads", "writes", "echo"):
        n = 2 if svc in ("both", "echo") else 1
        line = daemon.wait_log("end", n=n, svc=svc)
        check_end(line, "timeouts.idle", int(IDLE * 3000))
        assert line.get("signal") == (None if svc == "echo" else "TERM")
        assert world.counters(daemon, svc)["refused"] == {"idle": n}


def test_idle_does_not_count_while_it_waits(hatchd):
    """Two wait for their turn, longer than they may be silent then."""
    daemon = hatchd(service("s", '"/bin/cat"',
                            "timeouts { idle = 600ms } limits { instances = 1 }"))
    with Chatter(daemon, "s", True) as first, daemon.connect("s") as second, \
            daemon.connect("s") as third:
        second.sendall(b"second")
        begin = time.monotonic()
        while time.monotonic() < begin + 1:
            first.go_on()
            time.sleep(0.05)
        first.sock.close()
        assert handler.recv_exactly(second, 6) == b"second"
        assert reaches_its_end(second) == b""
        third.sendall(b"third")
        assert handler.recv_exactly(third, 5) == b"third"
    check_end(daemon.wait_log("end", n=2, svc="s"), "timeouts.idle", 600, signal="TERM")


def test_idle_and_a_handler_that_ignores_it(hatchd):
    daemon = hatchd(service("s", SH + ', "trap \'\' TERM; while :; do sleep 1; done"',
                            "timeouts { idle = 300ms stop = 400ms }"))
    with daemon.connect("s") as s:
        assert reaches_its_end(s) == b""
    check_end(daemon.wait_log("end"), "timeouts.idle", 700, signal="KILL")


# Those without a connection of their own

def test_total_of_internal_services(hatchd):
    daemon = hatchd('service "c" { listen = { "tcp4:127.0.0.1:@c@" } internal = "chargen" '
                    'timeouts { total = 400ms } }\n'
                    'service "u" { listen = { "unix:@tmp@/u" } internal = "echo" '
                    'timeouts { total = 400ms } }')
    with daemon.connect("c") as s, world.unix_client(daemon.tmp + "/u") as u:
        n = len(reaches_its_end(s))
        assert n > 0
        assert reaches_its_end(u) == b""
    check_end(daemon.wait_log("end", svc="c"), "timeouts.total", 400)
    check_end(daemon.wait_log("end", svc="u"), "timeouts.total", 400)
    assert int(daemon.log_lines("end", svc="c")[0]["out"]) >= n


def test_total_of_a_datagram_session(hatchd):
    """However busy it is; the next datagram begins another one."""
    daemon = hatchd('service "s" { listen = { "udp4:127.0.0.1:@s@" } exec = { "/bin/cat" } '
                    'timeouts { total = 400ms } }')
    with world.udp_client(daemon.port["s"]) as s:
        s.settimeout(0.1)
        answers, begin = 0, time.monotonic()

        def ask():
            nonlocal answers
            s.send(b"x")
            try:
                answers += s.recv(10) == b"x"
            except (socket.timeout, ConnectionRefusedError):
                pass
            return len(daemon.log_lines("end", svc="s")) >= 2
        hatch.wait_until(ask)
        assert answers >= 2
        assert time.monotonic() - begin >= 0.78
    for line in daemon.log_lines("end", svc="s")[:2]:
        # it may see the end of its input before
        check_end(line, "timeouts.total", 400)
        assert line.get("signal") == "TERM" or line.get("exit") == "0"
    assert len({e["pid"] for e in daemon.log_lines("start", svc="s")}) >= 2
    assert daemon.log_lines("fail") == []


WAIT_STREAM = """#!%s -I
import socket
l = socket.socket(fileno=0)
while True:
    with l.accept()[0] as s:
        s.sendall(b"here")
"""
WAIT_DATAGRAM = """#!%s -I
import socket
s = socket.socket(fileno=0)
while True:
    s.sendto(*s.recvfrom(100))
"""


@pytest.mark.parametrize("proto", ["tcp4", "udp4"])
def test_total_of_a_wait_handler(hatchd, shared_tmp, proto):
    """It ends in the midst of its work; the next client gets another one."""
    program = shared_tmp + "/program"
    with open(program, "w") as f:
        text = WAIT_STREAM if proto == "tcp4" else WAIT_DATAGRAM
        f.write(text % os.path.realpath("/usr/bin/python3"))
    os.chmod(program, 0o755)
    daemon = hatchd('service "w" { listen = { "%s:127.0.0.1:@w@" } exec = { "%s" } wait = yes '
                    'timeouts { total = 1100ms } }' % (proto, program))
    answers = 0

    def ask():
        nonlocal answers
        if proto == "tcp4":
            with daemon.connect("w") as s:
                answers += reaches_its_end(s) == b"here"
        else:
            answers += daemon.udp("w", b"here", timeout=0.2) == b"here"
        time.sleep(0.02)
        return len(daemon.log_lines("end", svc="w")) >= 2
    hatch.wait_until(ask)
    assert answers > 10
    for line in daemon.log_lines("end", svc="w")[:2]:
        check_end(line, "timeouts.total", 1100, signal="TERM")
    assert daemon.log_lines("fail") == []


# And at the end of all

def test_stopping_with_time_limits(hatchd):
    """What waits for its first byte is no reason to go on."""
    daemon = hatchd(SILENT % (NO_LIMIT, "1min") +
                    service("s", '"/bin/cat"', "timeouts { total = 1h idle = 1h }"))
    clients = [daemon.connect("f") for _ in range(20)] + [daemon.connect("s") for _ in range(5)]
    try:
        hatch.wait_until(lambda: board.counters(daemon, "f")["running"] == 20)
        hatch.wait_until(lambda: len(daemon.handlers()) == 5)
        begin = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        for s in clients:
            assert reaches_its_end(s) == b""
        assert daemon.wait() == 0
        assert time.monotonic() - begin < 5
    finally:
        close_all(clients)
    assert [e for e in daemon.log_lines("end") if "ended_by" in e] == []
