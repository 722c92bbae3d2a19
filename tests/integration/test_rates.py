# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""limits.rate and rate_per_source: the excess of a service waits or is refused,
that of a source is refused, and nothing of it lasts or reaches others."""
import os
import threading
import time

import pytest

import crowd
import handler
import hatch
import world
from board import counters, wait_counter

EXEC = 'exec = { "/bin/echo", "in" }'
INTERNAL = 'internal = "daytime"'
CAT = 'exec = { "/bin/cat" }'
KINDS = pytest.mark.parametrize("what", [EXEC, INTERNAL], ids=["exec", "internal"])


def service(name, limits, what=INTERNAL, listen=None, extra=""):
    return 'service "%s" { listen = { "%s" } %s %s\n    limits { %s } }\n' % (
        name, listen or "tcp4:127.0.0.1:@%s@" % name, what, extra, limits)


def served(daemon, name, *sources):
    return [crowd.is_in(daemon, name, s) for s in sources]


def all_at_once(daemon, name, n):
    """So many clients; when each of them had its answer, in seconds."""
    begin = time.monotonic()
    sockets = [daemon.connect(name) for _ in range(n)]
    times, lock = [], threading.Lock()

    def wait(s):
        got = crowd.read_answer(s)
        s.close()
        with lock:
            times.append((time.monotonic() - begin, got != b""))

    threads = [threading.Thread(target=wait, args=(s,), daemon=True) for s in sockets]
    for t in threads:
        t.start()
    for t in threads:
        t.join(hatch.DEADLINE)
    assert len(times) == n and all(ok for _, ok in times)
    return sorted(t for t, _ in times)


# The rate of a service


@KINDS
def test_rate_queue(hatchd, what):
    """The excess waits and is served as tokens come; nobody is lost."""
    daemon = hatchd(service("q", 'rate = "30/1s" per_source = 0', what))
    times = all_at_once(daemon, "q", 50)
    # not sooner than there are tokens: 30, and one each 33 ms
    for i, t in enumerate(times):
        assert t >= (i - 30) / 30 - 0.02, (i, times)
    assert times[49] < 8
    c = wait_counter(daemon, "q", lambda c: c["ended"] == 50)
    assert c["accepted"] == 50 and c.refused == {}
    assert not daemon.log_lines("refuse")
    line = daemon.wait_log("limit", svc="q")
    assert line.level == "warn" and line["reason"] == "rate"
    assert line["setting"] == "limits.rate" and line["next"] == "queue"
    assert len(daemon.log_lines("limit")) <= 3


def test_rate_queue_by_several_sockets(hatchd):
    """One bucket for all of a service."""
    daemon = hatchd('service "q" { listen = { "tcp4:127.0.0.1:@a@", "tcp4:127.0.0.1:@b@", '
                    '"unix:@tmp@/q.sock" } internal = "daytime"\n limits { rate = "6/1500ms" } }')
    begin = time.monotonic()
    sockets = [daemon.connect(n) for n in ("a", "b", "a", "b", "a", "b", "b", "a")]
    sockets += [world.unix_client(daemon.tmp + "/q.sock") for _ in range(2)]
    for s in sockets:
        assert crowd.read_answer(s) != b""
        s.close()
    assert time.monotonic() - begin >= 4 * 0.25 - 0.02
    assert counters(daemon, "q").refused == {}


@KINDS
def test_rate_refuse(hatchd, what):
    daemon = hatchd(service("r", 'rate = "3/1h" when_full = "refuse"', what))
    sources = ["127.0.0.%d" % n for n in range(1, 9)]
    assert served(daemon, "r", *sources) == [True] * 3 + [False] * 5
    c = wait_counter(daemon, "r", lambda c: c["started"] == 3)
    assert c.refused == {"rate": 5} and c["accepted"] == 8
    line = daemon.wait_log("refuse", svc="r")
    assert line.level == "warn" and line["reason"] == "rate"
    assert line["setting"] == "limits.rate" and line["peer"].startswith("127.0.0.4:")
    # a better one is in force at once
    daemon.reload(service("r", 'rate = "50/300ms" when_full = "refuse"', what))
    hatch.wait_until(lambda: all(served(daemon, "r", *sources[:5])))


@KINDS
def test_rate_refuse_heals(hatchd, what):
    daemon = hatchd(service("r", 'rate = "4/1s" when_full = "refuse"', what))
    assert served(daemon, "r", *["127.0.0.1"] * 4) == [True] * 4
    hatch.wait_until(lambda: not crowd.is_in(daemon, "r"))
    refused = time.monotonic()
    crowd.served_after(daemon, "r")
    assert time.monotonic() - refused < 5


def test_rate_of_a_wait_datagram_service(hatchd, shared_tmp):
    """What has come stays where it is until there is a token."""
    os.chmod(shared_tmp, 0o777)
    got = shared_tmp + "/got"
    daemon = hatchd(service("w", 'rate = "3/600ms"', 'exec = { "/bin/sh", "-c", "dd bs=65536 '
                            'count=1 2>/dev/null >>%s" }' % got, "udp4:127.0.0.1:@w@",
                            "wait = yes"))
    begin = time.monotonic()
    with world.udp_client(daemon.port["w"]) as s:
        for n in range(7):
            s.send(b"%d" % n)
        c = wait_counter(daemon, "w", lambda c: c["ended"] == 7)
    assert time.monotonic() - begin >= 4 * 0.2 - 0.02
    with open(got) as f:
        assert f.read() == "0123456"
    assert c["started"] == 7 and c.refused == {}
    assert daemon.wait_log("limit", svc="w")["setting"] == "limits.rate"


def test_rate_of_a_wait_stream_service(hatchd):
    one = "import socket; s = socket.socket(fileno=0); s.accept()[0].send(b'in')"
    daemon = hatchd(service("w", 'rate = "2/1s"', 'exec = { "/usr/bin/python3", "-c", "%s" }' % one,
                            extra="wait = yes"))
    times = all_at_once(daemon, "w", 4)
    assert times[3] >= 1 - 0.02
    c = wait_counter(daemon, "w", lambda c: c["ended"] == 4)
    assert c["started"] == 4 and c.refused == {}


# The rate of a source


@KINDS
@pytest.mark.parametrize("when_full", ["queue", "refuse"])
def test_rate_per_source(hatchd, what, when_full):
    """It never waits."""
    daemon = hatchd(service("s", 'rate_per_source = "3/1h" when_full = "%s"' % when_full, what))
    assert served(daemon, "s", *["127.0.0.1"] * 8) == [True] * 3 + [False] * 5
    assert served(daemon, "s", *["127.0.0.2"] * 4) == [True] * 3 + [False]
    c = wait_counter(daemon, "s", lambda c: c["started"] == 6)
    assert c.refused == {"source-rate": 6} and c["accepted"] == 12
    line = daemon.wait_log("refuse", svc="s")
    assert line.level == "warn" and line["reason"] == "source-rate"
    assert line["setting"] == "limits.rate_per_source" and line["peer"].startswith("127.0.0.1:")


def test_rate_per_source_heals(hatchd):
    daemon = hatchd(service("s", 'rate_per_source = "2/800ms"'))
    assert served(daemon, "s", *["127.0.0.1"] * 2) == [True] * 2
    hatch.wait_until(lambda: not crowd.is_in(daemon, "s"))
    crowd.served_after(daemon, "s", "127.0.0.1")


def test_rate_per_source_by_prefix4(hatchd):
    daemon = hatchd(service("s", 'rate_per_source = "2/1h" source_prefix4 = 24'))
    assert served(daemon, "s", "127.0.0.1", "127.0.0.2", "127.0.0.3") == [True, True, False]
    assert served(daemon, "s", "127.0.1.1") == [True]


def test_rate_per_source_is_of_each_service_and_survives_a_reload(hatchd):
    text = service("a", 'rate_per_source = "1/1h"') + service("b", 'rate_per_source = "1/1h"')
    daemon = hatchd(text)
    assert served(daemon, "a", *["127.0.0.1"] * 2) == [True, False]
    assert served(daemon, "b", *["127.0.0.1"] * 2) == [True, False]
    daemon.reload(text + service("c", ""))
    assert served(daemon, "a", "127.0.0.1", "127.0.0.2") == [False, True]


@pytest.mark.root
def test_rate_per_source_by_uid(hatchd):
    daemon = hatchd(service("u", 'rate_per_source = "2/1h"', listen="unix:@tmp@/u.sock"))

    def is_in(uid):
        os.seteuid(uid)
        try:
            with world.unix_client(daemon.tmp + "/u.sock") as s:
                return crowd.read_answer(s) != b""
        finally:
            os.seteuid(0)
    assert [is_in(1001) for _ in range(4)] == [True, True, False, False]
    assert [is_in(1002) for _ in range(3)] == [True, True, False]


@pytest.mark.netns
def test_U11_a_64_has_one_bucket():
    """Hundreds of its addresses are one source, unless it is said otherwise."""
    server = crowd.V6_SERVER

    def addresses(net, n):
        return ["%s:%x:%x:%x:%x" % (net, i * 7919 % 65536, i, i * i % 65536, i + 1)
                for i in range(n)]

    def test(daemon):
        net, other = addresses("2001:db8:1:1", 300), addresses("2001:db8:1:2", 20)
        assert crowd.visit(daemon.port["s"], net, server) == 5
        assert crowd.visit(daemon.port["s"], other, server) == 5
        assert counters(daemon, "s").refused == {"source-rate": 310}
        assert crowd.visit(daemon.port["each"], net[:50], server) == 50
        assert crowd.visit(daemon.port["each"], net[:50], server) == 0
        assert crowd.visit(daemon.port["wide"], net[:20] + other, server) == 5

    crowd.in_v6_network("".join(
        service(n, 'per_source = 0 rate_per_source = "%s/1h" %s' % (rate, more),
                listen="tcp6:[%s]:@%s@" % (server, n))
        for n, rate, more in (("s", 5, ""), ("each", 1, "source_prefix6 = 128"),
                              ("wide", 5, "source_prefix6 = 48"))), test)


# What one takes from others


def test_source_over_its_rate_takes_nothing_from_the_service(hatchd):
    daemon = hatchd(service("s", 'rate = "6/1h" rate_per_source = "2/1h" when_full = "refuse"'))
    assert served(daemon, "s", *["127.0.0.1"] * 40) == [True] * 2 + [False] * 38
    # four are left for the others, and then it is the service that has no more
    assert served(daemon, "s", "127.0.0.2", "127.0.0.2", "127.0.0.2") == [True, True, False]
    assert served(daemon, "s", "127.0.0.3", "127.0.0.4", "127.0.0.5") == [True, True, False]
    assert counters(daemon, "s").refused == {"source-rate": 39, "rate": 1}


def test_source_over_per_source_takes_no_token(hatchd):
    daemon = hatchd(service("s", 'rate = "3/1h" per_source = 1 when_full = "refuse"', CAT))
    with crowd.connect(daemon.port["s"], "127.0.0.1") as first:
        first.sendall(b"in")
        assert handler.recv_exactly(first, 2) == b"in"
        for _ in range(20):
            assert not crowd.is_in(daemon, "s", "127.0.0.1")
        others = []
        for source in ("127.0.0.2", "127.0.0.3"):
            others.append(crowd.connect(daemon.port["s"], source))
            others[-1].sendall(b"in")
            assert handler.recv_exactly(others[-1], 2) == b"in"
        assert not crowd.is_in(daemon, "s", "127.0.0.4")
        for s in others:
            s.close()
    assert counters(daemon, "s").refused == {"source-instances": 20, "rate": 1}


def test_the_denied_take_no_token(hatchd):
    daemon = hatchd(service("s", 'rate = "2/1h" rate_per_source = "2/1h" when_full = "refuse"',
                            extra='access { deny = { "127.0.0.8" } }'))
    assert served(daemon, "s", *["127.0.0.8"] * 10) == [False] * 10
    assert served(daemon, "s", *["127.0.0.1"] * 3) == [True, True, False]
    assert counters(daemon, "s").refused == {"access": 10, "source-rate": 1}
    # nor do those whom the service refuses lose one of theirs
    daemon.reload(service("s", 'rate = "2/1h" rate_per_source = "2/1h" when_full = "refuse"'))
    assert served(daemon, "s", *["127.0.0.9"] * 5) == [False] * 5
    assert counters(daemon, "s").refused == {"access": 10, "source-rate": 1, "rate": 5}


def test_one_source_at_ten_times_its_limit(hatchd):
    """The others hardly notice, a second later it is forgiven, and the log tells of
    it in a handful of lines."""
    daemon = hatchd(crowd.FLOODED % EXEC)
    c = crowd.flood_by_one(daemon, 5, 10)
    assert c.reason("source-rate") > 100
    assert len(daemon.log_lines(svc="f")) <= 5
