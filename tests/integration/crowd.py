# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Clients from many addresses, and very many clients: what the tests of access
and limits have in common.

All of 127.0.0.0/8 is ours to come from.  In a network of its own (V6_NETWORK)
so is all of 2001:db8::/32.
"""
import os
import random
import socket
import struct
import threading
import time

import board
import handler
import hatch
import world

IPV6_FREEBIND = 78
IP_PKTINFO = 8
IP_BIND_ADDRESS_NO_PORT = 24
RESET = struct.pack("ii", 1, 0)
BATCH = 32
V6_NETWORK = ("ip -6 route add local 2001:db8::/32 dev lo",)
V6_SERVER = "2001:db8:ffff::1"


def stream_socket(source=None, host="127.0.0.1"):
    """One that will come from source, an address without a port."""
    v6 = ":" in host
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(hatch.DEADLINE)
    if source is not None:
        if v6:
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((source, 0))
    return s


def connect(port, source=None, host="127.0.0.1"):
    s = stream_socket(source, host)
    try:
        s.connect((host, port))
    except BaseException:
        s.close()
        raise
    return s


def read_answer(s):
    """All that comes; b"" is said to those who are refused."""
    try:
        return hatch.read_all(s)
    except ConnectionResetError:
        return b""


def answer(port, source=None, host="127.0.0.1"):
    with connect(port, source, host) as s:
        return read_answer(s)


def is_in(daemon, name, source=None, host="127.0.0.1"):
    """Whether the service, which has to say something, serves the source."""
    return answer(daemon.port[name], source, host) != b""


def visit(port, sources, host="127.0.0.1"):
    """Connects from each of the sources, some at a time, and waits for what is
    said; how many were served, that is heard a word."""
    served = 0
    batch = []

    def finish():
        n = 0
        for s in batch:
            try:
                n += s.recv(1) != b""
            except ConnectionResetError:
                pass
            s.close()
        batch.clear()
        return n
    for source in sources:
        batch.append(connect(port, source, host))
        if len(batch) == BATCH:
            served += finish()
    return served + finish()


def scan(port, n, sources=("127.0.0.1",)):
    """Connects n times, from one source after the other, and resets at once."""
    for i in range(n):
        s = connect(port, sources[i % len(sources)])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        s.close()


def v4_sources(n, net=127, begin=1 << 16):
    """n different addresses of 127.0.0.0/8, no usual ones."""
    for i in range(begin, begin + n):
        yield "%d.%d.%d.%d" % (net, i >> 16 & 255, i >> 8 & 255, i & 255)


def send_from(s, sources, port, data=b"x", host="127.0.0.1"):
    """A datagram from each of the sources, with the one socket s, which is bound
    to no address."""
    for source in sources:
        info = struct.pack("I4s4s", 0, socket.inet_aton(source), b"\0" * 4)
        s.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (host, port))


def memory(pid):
    """Resident memory in bytes, to the page where the kernel lets us see it."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            for line in f:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return hatch.rss(pid)


class Memory:
    """How much both processes have grown since."""

    def __init__(self, daemon):
        self.pids = {"master": daemon.pid, "talker": daemon.talker}
        self.begin = self.now()

    def now(self):
        return {who: memory(pid) for who, pid in self.pids.items()}

    def grown(self):
        now = self.now()
        return {who: now[who] - self.begin[who] for who in now}

    def check(self, **most):
        """Each has grown by so many bytes at most.  A sanitizer keeps what was
        freed, so there is nothing to be seen then."""
        grown = self.grown()
        if not world.is_sanitized():
            for who, n in most.items():
                assert grown[who] <= n, (grown, self.begin)
        return grown


def check_descriptors(daemon, most=60):
    """Of both processes; only root sees those of the talker."""
    for pid in (daemon.pid, daemon.talker):
        try:
            assert hatch.n_fds(pid) < most
        except PermissionError:
            assert not hatch.IS_ROOT


# What a process that doesn't grow may have grown: pages that it had, but had not
# touched yet.
SLACK = 64 << 10


# One source floods a service, others go on


class Pace(threading.Thread):
    """Calls fn so many times a second until it is told to stop."""

    def __init__(self, fn, per_second):
        super().__init__(daemon=True)
        self.fn, self.per_second = fn, per_second
        self.ended = threading.Event()
        self.calls, self.served, self.errors = 0, 0, []
        self.start()

    def run(self):
        due = time.monotonic()
        while not self.ended.wait(max(0, due - time.monotonic())):
            # what couldn't be done in time is not made up for
            due = max(due, time.monotonic() - 1 / self.per_second) + 1 / self.per_second
            self.calls += 1
            try:
                self.served += bool(self.fn())
            except OSError as e:
                self.errors.append(repr(e))

    def stop(self):
        self.ended.set()
        self.join(hatch.DEADLINE * 2)
        assert not self.is_alive()


FLOODED = """
service "f" {
    listen = { "tcp4:127.0.0.1:@f@" }
    %s
    log_events = { "refuse", "fail" }
    limits { rate = "400/1s" rate_per_source = "20/1s" per_source = 0 }
}
"""
FLOODED_LIMIT = 20
FLOODER = "127.0.0.66"


class FastFlood:
    """As fast as it can, in a process of its own."""

    def __init__(self, port, seconds):
        self.pid = os.fork()
        if self.pid == 0:
            end = time.monotonic() + seconds
            try:
                while time.monotonic() < end:
                    visit(port, [FLOODER] * BATCH)
            finally:
                os._exit(0)

    def stop(self):
        os.waitpid(self.pid, 0)


def flood_by_one(daemon, seconds, factor=None):
    """One source at so many times its limit (None: as fast as it can), ten others
    below theirs: those are served, and a second later it is, too.  The counters."""
    if factor is None:
        bad = FastFlood(daemon.port["f"], seconds)
    else:
        bad = Pace(lambda: is_in(daemon, "f", FLOODER), FLOODED_LIMIT * factor)
    good = [Pace(lambda i=i: is_in(daemon, "f", "127.0.1.%d" % i), 5 + random.random())
            for i in range(10)]
    time.sleep(seconds)
    for g in good:
        g.stop()
    bad.stop()
    stopped = time.monotonic()
    # nobody does anything for it
    time.sleep(max(0, stopped + 1 - time.monotonic()))
    late = visit(daemon.port["f"], [FLOODER] * FLOODED_LIMIT)
    asked, served = sum(g.calls for g in good), sum(g.served for g in good)
    c = board.counters(daemon, "f")
    print("\n%g s: of the others %d of %d served; of the one %d refused, %d of %d a second later; "
          "%d lines of log" % (seconds, served, asked, c.reason("source-rate"), late,
                               FLOODED_LIMIT, len(daemon.log_lines(svc="f"))))
    assert served >= 0.99 * asked, [g.errors[:5] for g in good]
    assert late == FLOODED_LIMIT
    assert factor is None or (not bad.errors and bad.served <= FLOODED_LIMIT * (seconds + 3))
    assert set(c.refused) == {"source-rate"}
    return c


# Refusals

REFUSING = """
defaults { user = "@user@" log_events = { "refuse" } }
service "access" { listen = { "tcp4:127.0.0.1:@access@" } internal = "daytime"
    access { deny = { "127.0.0.0/8" } } }
service "banner" { listen = { "tcp4:127.0.0.1:@banner@" } internal = "daytime"
    access { deny = { "127.0.0.0/8" } } banner { refuse = "busy\\r\\n" } }
service "source" { listen = { "tcp4:127.0.0.1:@source@" } internal = "daytime"
    limits { rate_per_source = "1/1h" } }
service "rate" { listen = { "tcp4:127.0.0.1:@rate@" } internal = "daytime"
    limits { rate = "1/1h" when_full = "refuse" } }
"""


def refusals_cost_no_memory(daemon, warm_up, n):
    """Of any of four ways to be refused.  What they cost, in bytes."""
    def refuse(n):
        for _ in range(n // 400):
            for name in ("access", "source", "rate"):
                assert visit(daemon.port[name], ["127.0.0.1"] * 100) <= 1
            assert visit(daemon.port["banner"], ["127.0.0.1"] * 100) == 100

    refuse(warm_up)
    board.counters(daemon, "access")    # which takes its own, once
    before = Memory(daemon)
    refuse(n)
    refused = sum(sum(board.counters(daemon, name).refused.values())
                  for name in ("access", "banner", "source", "rate"))
    assert refused == (warm_up // 400 + n // 400) * 400 - 2
    grown = before.check(master=SLACK, talker=SLACK)
    check_descriptors(daemon)
    print("\n%d refused: grown by %s bytes from %s" % (n, grown, before.begin))
    return grown


def check_told(daemon, name, reason, setting, most=10):
    """The log has told of each refusal, in few lines: the first at once."""
    def told():
        lines = daemon.log_lines(svc=name, reason=reason)
        n = sum(e.event == "refuse" for e in lines) + sum(int(e.get("suppressed", 0))
                                                          for e in lines)
        return n == board.counters(daemon, name).reason(reason) and lines
    # the last of it comes when nothing else has come for ten seconds
    lines = hatch.wait_until(told, hatch.DEADLINE + 10, "refusals in the log")
    assert lines[0].event == "refuse" and "suppressed" not in lines[0]
    assert all(e.level == "warn" and e.get("setting") == setting for e in lines)
    assert len(lines) <= most, lines
    return lines


def served_after(daemon, name, source=None):
    """It becomes so without help."""
    return hatch.wait_until(lambda: is_in(daemon, name, source), what="being served again")


# Datagrams of people who aren't there

SPOOFED = """
defaults { user = "@user@" log_events = { "refuse", "fail" } }
service "limited" { listen = { "udp4:127.0.0.1:@limited@" } internal = "discard"
    limits { rate_per_source = "1/1h" } }
service "denied" { listen = { "udp4:127.0.0.1:@denied@" } internal = "echo"
    access { deny = { "127.64.0.0/10" } } }
service "session" { listen = { "udp4:127.0.0.1:@session@" } exec = { "/bin/cat" }
    limits { rate = "1/1h" } }
"""
# What the tables take when they are full: the sources of the master, the peers of
# the talker.
SOURCES_BYTES = (65536 * 64 + 65536 * 4) + SLACK
LINK_BYTES = 512 * 1100     # each end's queue of messages, as far as it was ever used
PEERS_BYTES = 16384 * 192 + (1 << 20)
FULL_ROUNDS = 4


def spoofed_flood(daemon, n, rounds=1):
    """A third of n different sources for each of three services; those who were
    there before notice nothing.  Rounds after the FULL_ROUNDS first, with yet other
    sources, find the tables full, and cost nothing more."""
    def ping(s):
        s.send(b"ping")
        return s.recv(100)

    def send(sources):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for i in range(0, len(sources), 192):
                for k, name in enumerate(("limited", "denied", "session")):
                    send_from(s, sources[i + k:i + 192:3], daemon.port[name])
                assert ping(before) == b"ping"  # what came in front of it has been read

    with world.udp_client(daemon.port["session"]) as before, \
            world.udp_client(daemon.port["denied"]) as other:
        assert ping(before) == b"ping" and ping(other) == b"ping"
        send(list(v4_sources(300, begin=63 << 16)))
        for i in range(rounds):
            memory_then = Memory(daemon)
            send(list(v4_sources(n, begin=(64 << 16) + i * n)))
            full = i >= FULL_ROUNDS
            grown = memory_then.check(
                master=LINK_BYTES + (SLACK if full else SOURCES_BYTES),
                talker=LINK_BYTES + (SLACK if full else PEERS_BYTES))
            print("\n%d sources: grown by %s bytes from %s" % (n, grown, memory_then.begin))
        assert ping(before) == b"ping" and ping(other) == b"ping"
    # how many of them there was no time to ask about depends on the machine
    sent = rounds * (n // 3)
    c = board.wait_counter(daemon, "denied", lambda c: sum(c.refused.values()) >= 0.99 * sent)
    assert set(c.refused) <= {"access", "queue"} and c.reason("access") > 0, c.refused
    print("of %d that were denied %s" % (sent, c.refused))
    assert board.counters(daemon, "session")["started"] == 1
    assert len(daemon.log_lines()) < 60 + 10 * rounds


def in_v6_network(text, fn):
    """fn(daemon) where all of 2001:db8::/32 is ours."""
    def inside():
        daemon = hatch.Daemon(text)
        try:
            fn(daemon)
        finally:
            daemon.close()
    handler.in_namespace(inside, *V6_NETWORK)
