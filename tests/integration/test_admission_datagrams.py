# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""access and rates for datagrams: who may not is consumed and counted, who sends
too many gets exactly what is his, and a flood from everywhere costs a fixed
amount of memory."""
import os
import socket
import time

import pytest

import crowd
import hatch
from board import wait_counter

ECHO = 'internal = "echo"'
CAT = 'exec = { "/bin/cat" }'
KINDS = pytest.mark.parametrize("what", [ECHO, CAT], ids=["internal", "session"])


def service(name, more, what=ECHO, listen=None):
    return 'service "%s" { listen = { "%s" } %s\n    %s }\n' % (
        name, listen or "udp4:127.0.0.1:@%s@" % name, what, more)


def client(daemon, name, source="127.0.0.1"):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(hatch.DEADLINE)
    s.bind((source, 0))
    s.connect(("127.0.0.1", daemon.port[name]))
    return s


def ask(s, text=b"ping", timeout=hatch.DEADLINE):
    """The answer, None if none comes in that time."""
    s.settimeout(timeout)
    s.send(text)
    try:
        return s.recv(1000)
    except socket.timeout:
        return None


def answers(s, silence=0.5):
    """How many there are, until none has come for a while."""
    n = 0
    s.settimeout(silence)
    try:
        while True:
            s.recv(1000)
            n += 1
    except socket.timeout:
        return n


def denied(daemon, name, source, n=3):
    """Sends n, of which none is answered, each in its own packet."""
    with client(daemon, name, source) as s:
        for _ in range(n):
            s.send(b"no")
        return answers(s, 0.1) == 0


# access


@KINDS
def test_access_deny(hatchd, what):
    daemon = hatchd(service("d", 'access { deny = { "127.0.0.8", "127.66.0.0/16" } }', what))
    # whoever may is served as ever, before, between and after
    with client(daemon, "d", "127.0.0.9") as s:
        for source in ("127.0.0.8", "127.66.1.1", "127.66.255.1"):
            assert ask(s) == b"ping"
            assert denied(daemon, "d", source, 5)
        assert ask(s) == b"ping"
        c = wait_counter(daemon, "d", lambda c: c.reason("access") == 15)
        assert set(c.refused) == {"access"}
        assert c["started"] == (1 if what is CAT else 0)
    line = daemon.wait_log("refuse", svc="d")
    assert line["reason"] == "access" and line["peer"].startswith("127.0.0.8:")
    assert len(daemon.log_lines("refuse", svc="d")) == 3    # not for each datagram


@KINDS
def test_access_allow(hatchd, what):
    daemon = hatchd(service("d", 'access { allow = { "127.0.0.7", "localhost" } }', what))
    for source in ("127.0.0.1", "127.0.0.7"):
        with client(daemon, "d", source) as s:
            assert ask(s) == b"ping"
    assert denied(daemon, "d", "127.0.0.6")
    wait_counter(daemon, "d", lambda c: c.reason("access") == 3)
    # hours, too, if they are such
    daemon.reload(service("d", 'access { hours = { "%s 00:00-24:00" } }' %
                          time.strftime("%a", time.gmtime(time.time() + 3 * 86400)), what))
    assert denied(daemon, "d", "127.0.0.7")
    c = wait_counter(daemon, "d", lambda c: c.reason("access") + c.reason("hours") == 6)
    assert c.refused == {"access": 3, "hours": 3}


@KINDS
def test_the_denied_can_not_fill_the_queue(hatchd, what):
    """Many of theirs, and all are consumed: nobody else's is lost behind them."""
    daemon = hatchd(service("d", 'access { deny = { "127.0.0.8" } }', what))
    sent = 0
    with client(daemon, "d", "127.0.0.8") as bad, client(daemon, "d", "127.0.0.9") as good:
        for _ in range(20):
            for _ in range(100):
                bad.send(b"x" * 100)
                sent += 1
            assert ask(good) == b"ping"
        c = wait_counter(daemon, "d", lambda c: c.reason("access") + c.reason("queue") == sent)
        assert c.reason("queue") <= 100, c.refused
    # one line when it was asked about, which is at most once a second
    assert len(daemon.log_lines("refuse", svc="d")) <= 5


def test_reload_changes_access(hatchd):
    """Also for peers that the talker has a verdict about."""
    daemon = hatchd(service("d", 'access { deny = { "127.0.0.8" } }'))
    with client(daemon, "d", "127.0.0.7") as a, client(daemon, "d", "127.0.0.8") as b:
        assert ask(a) == b"ping" and ask(b, timeout=0.1) is None
        daemon.reload(service("d", 'access { deny = { "127.0.0.7" } }'))
        # the talker hears of it a moment after the log; one that comes before is refused
        assert hatch.wait_until(lambda: ask(b, timeout=0.5)) == b"ping"
        assert ask(a, timeout=0.2) is None
        wait_counter(daemon, "d", lambda c: c.reason("access") >= 2)


@pytest.mark.root
def test_access_by_uid(hatchd):
    """Of a UNIX datagram socket: its sender's, whatever name it has."""
    daemon = hatchd(service("u", 'access { deny = { "uid:1001" } }',
                            listen="unix-dgram:@tmp@/u.sock"))

    def client(uid):
        os.setresuid(uid, uid, 0)   # the kernel tells the real one
        try:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.bind("")          # an abstract name, so that it can be answered
            s.connect(daemon.tmp + "/u.sock")
            s.settimeout(hatch.DEADLINE)
            s.send(b"ping")
        finally:
            os.setresuid(0, 0, 0)
        return s

    with client(1002) as s:
        assert s.recv(100) == b"ping"
    with client(1001) as s:
        assert answers(s, 0.2) == 0
    c = wait_counter(daemon, "u", lambda c: c["datagrams_out"] == 1)
    assert c.refused == {"access": 1}


# Rates


def test_rate_per_source(hatchd):
    """Exactly so many are answered, each of the rest is counted."""
    daemon = hatchd(service("d", 'limits { rate_per_source = "5/1h" }'))
    with client(daemon, "d", "127.0.0.7") as s:
        for n in range(5):
            assert ask(s, b"%d" % n) == b"%d" % n
        for _ in range(20):
            assert ask(s, b"no", 0.02) is None
    c = wait_counter(daemon, "d", lambda c: c.reason("source-rate") == 20)
    assert c.refused == {"source-rate": 20} and c["datagrams_out"] == 5
    # the source is the address, not the port
    assert denied(daemon, "d", "127.0.0.7")
    with client(daemon, "d", "127.0.0.8") as s:
        assert ask(s) == b"ping"
    line = daemon.wait_log("refuse", svc="d")
    assert line.level == "warn" and line["reason"] == "source-rate"
    assert line["setting"] == "limits.rate_per_source"
    assert len(daemon.log_lines("refuse", svc="d")) <= 2


def test_rate_per_source_of_a_burst(hatchd):
    """All at once: neither more nor fewer."""
    daemon = hatchd(service("d", 'limits { rate_per_source = "7/1h" }'))
    with client(daemon, "d", "127.0.0.7") as s:
        for _ in range(50):
            s.send(b"burst")
        assert answers(s) == 7
        # those for which there was no place until the answer came are told apart
        c = wait_counter(daemon, "d", lambda c: sum(c.refused.values()) == 43)
        assert set(c.refused) <= {"source-rate", "queue"} and c["datagrams_out"] == 7
    assert c["datagrams_in"] == 7


def test_rate_per_source_heals(hatchd):
    daemon = hatchd(service("d", 'limits { rate_per_source = "3/600ms" }'))
    with client(daemon, "d", "127.0.0.7") as s:
        for _ in range(8):      # as many as wait for the answer to the first
            s.send(b"x")
        assert 3 <= answers(s, 0.05) <= 5
        begin, n = time.monotonic(), 0
        while time.monotonic() < begin + 2:
            n += ask(s, timeout=0.05) == b"ping"
        took = time.monotonic() - begin
        # one each 200 ms, and up to three that had gathered
        assert took * 5 - 3 <= n <= took * 5 + 4
    c = wait_counter(daemon, "d", lambda c: c.reason("source-rate") >= 12)
    assert set(c.refused) == {"source-rate"}


def test_rate_of_the_service(hatchd):
    """Datagrams don't wait: what is over the rate is lost, whoever sent it, but a
    source over its own takes nothing from it."""
    daemon = hatchd(service("d", 'limits { rate = "6/1h" rate_per_source = "2/1h" }'))
    with client(daemon, "d", "127.0.0.7") as s:
        assert [ask(s, timeout=t) for t in (9, 9, 0.1, 0.1, 0.1)] == [b"ping"] * 2 + [None] * 3
    for source in ("127.0.0.8", "127.0.0.9"):
        with client(daemon, "d", source) as s:
            assert [ask(s) for _ in range(2)] == [b"ping"] * 2
    assert denied(daemon, "d", "127.0.0.10", 2)
    c = wait_counter(daemon, "d", lambda c: sum(c.refused.values()) == 5)
    assert c.refused == {"source-rate": 3, "rate": 2} and c["datagrams_out"] == 6
    assert daemon.wait_log("refuse", svc="d", reason="rate")["setting"] == "limits.rate"


@pytest.mark.parametrize("limit,reason", [('rate_per_source = "2/1h"', "source-rate"),
                                          ('rate = "2/1h"', "rate")])
def test_rates_of_sessions(hatchd, limit, reason):
    """They count handlers that begin, not what is said to them."""
    daemon = hatchd(service("d", "limits { %s }" % limit, CAT))
    with client(daemon, "d") as a, client(daemon, "d") as b:
        for _ in range(10):
            assert ask(a) == b"ping" and ask(b) == b"ping"
        for _ in range(3):
            assert denied(daemon, "d", "127.0.0.1", 2)
        assert ask(a) == b"ping" and ask(b) == b"ping"
        c = wait_counter(daemon, "d", lambda c: sum(c.refused.values()) == 6)
        assert c.refused == {reason: 6} and c["started"] == 2
    if reason == "source-rate":
        with client(daemon, "d", "127.0.0.2") as other:
            assert ask(other) == b"ping"


def test_one_source_floods(hatchd):
    """Others are served meanwhile, it is too a second later, in few lines of log."""
    daemon = hatchd(service("d", 'limits { rate = "400/1s" rate_per_source = "20/1s" }'))
    with client(daemon, "d", "127.0.0.66") as bad:
        flood = crowd.Pace(lambda: bad.send(b"flood"), 2000)
        served = asked = 0
        others = [client(daemon, "d", "127.0.1.%d" % n) for n in range(5)]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for s in others:
                asked += 1
                served += ask(s, timeout=1) == b"ping"
            time.sleep(0.08)
        flood.stop()
        assert flood.calls > 500
        assert served >= 0.99 * asked
        stopped = time.monotonic()
        hatch.wait_until(lambda: time.monotonic() - stopped >= 1)
        answers(bad, 0.05)
        assert [ask(bad) for _ in range(15)] == [b"ping"] * 15
        for s in others:
            s.close()
    lost = hatch.udp_drops(daemon.port["d"])    # by the kernel, on a busy machine
    c = wait_counter(daemon, "d", lambda c: c["datagrams_in"] + sum(c.refused.values()) ==
                     flood.calls + asked + 15 - lost)
    assert set(c.refused) <= {"source-rate", "queue"} and c.reason("source-rate") > 100
    assert len(daemon.log_lines("refuse")) <= 5


# Who isn't there


def test_spoofed_flood_costs_fixed_memory(hatchd):
    """10 000 sources that say a word each, and never hear of it."""
    crowd.spoofed_flood(hatchd(crowd.SPOOFED), 10000)
