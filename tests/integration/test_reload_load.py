# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Reloads of a large configuration under load: no client of a service that has
not changed notices one."""
import os
import random
import signal
import socket
import threading
import time

import hatch
import world

SERVICES = int(os.environ.get("HATCH_SERVICES", "1000"))
CLIENTS = 8
RELOADS = 100
SECONDS = 20                # that they may take: a busy machine does fewer
MORE_SECONDS = 15
MORE_RELOADS = 500


def address(i):
    """All services have one port, each its own address."""
    return "127.1.%d.%d" % (i // 250, i % 250 + 1)


def service(i, what=None):
    if what is None:
        what = 'exec = { "/bin/cat" }' if i % 2 else 'internal = "echo"'
    return 'service "s%d" {\nlisten = { "tcp:%s:@p@" }\n%s\n}\n' % (i, address(i), what)


HEAD = """
defaults { user = "@user@" log_events = { "fail" } }
service "hammered" {
    listen = { "tcp:127.0.0.1:@hammered@" }
    exec   = { "/bin/echo", "served" }
    limits { per_source = 0 }
}
service "held" {
    listen = { "tcp:127.0.0.1:@held@", "udp:127.0.0.1:@held@" }
    exec   = { "/bin/cat" }
}
service "talked" {
    listen   = { "tcp:127.0.0.1:@talked@" }
    internal = "echo"
}
"""


def text(rng=None):
    """All services; with rng a tenth of them are gone or changed, and others
    are there."""
    if rng is None:
        return HEAD + "".join(map(service, range(SERVICES)))
    parts = [HEAD]
    for i in range(SERVICES):
        luck = rng.random()
        if luck < 0.03:
            continue
        if luck < 0.06:
            parts.append(service(i, 'exec = { "/bin/echo", "%d" }' % rng.randrange(9)))
        elif luck < 0.1:
            parts.append(service(i, 'internal = "discard" limits { instances = %d }'
                                 % rng.randrange(1, 9)))
        else:
            parts.append(service(i))
    for i in rng.sample(range(SERVICES, SERVICES + 100), 30):
        parts.append(service(i))
    return "".join(parts)


BROKEN = ("service {", "colour = 1", 'service "x" { listen = { "tcp:127.0.0.1:@hammered@" } '
          'exec = { "/x" } }', 'service "x" { listen = { "tcp:127.0.0.1:7" } exec = { "/x" } '
          'user = "nobody-has-this" }')


class Client(threading.Thread):
    def __init__(self, daemon, stop):
        super().__init__(daemon=True)
        self.port, self.stop = daemon.port["hammered"], stop
        self.served, self.failures, self.slowest = 0, [], 0.0

    def run(self):
        while not self.stop.is_set():
            begin = time.monotonic()
            try:
                got = hatch.tcp_request(self.port)
                assert got == b"served\n", got
                self.served += 1
            except Exception as e:      # told by the test
                self.failures.append(repr(e))
            self.slowest = max(self.slowest, time.monotonic() - begin)


class Held:
    """Connections that outlive all reloads."""

    def __init__(self, daemon):
        self.streams = [daemon.connect(name) for name in ("held", "talked") for _ in range(4)]
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.settimeout(hatch.DEADLINE)
        self.peer.connect(("127.0.0.1", daemon.port["held"]))
        self.check(b"begin")
        self.daemon, self.pids = daemon, set(daemon.handlers())

    def check(self, data):
        for s in self.streams + [self.peer]:
            s.send(data)
            assert s.recv(100) == data

    def close(self):
        self.check(b"end")
        assert self.pids <= set(self.daemon.handlers())
        for s in self.streams + [self.peer]:
            s.close()


class Reloads:
    """Sends HUP and waits for the end of the reload, reading no log twice."""

    def __init__(self, daemon):
        self.daemon, self.ok, self.failed = daemon, 0, 0
        self.log = open(daemon.log_path)
        self.log.seek(0, os.SEEK_END)

    def one(self, text=None):
        if text is not None:
            self.daemon.write(text)
        self.daemon.send_signal(signal.SIGHUP)
        rest = ""

        def told():
            nonlocal rest
            rest += self.log.read()
            self.daemon.notify.poll().clear()
            return [e for e in hatch.parse_log(rest) if e.event == "reload"]

        line = hatch.wait_until(told)[0]
        if line["result"] == "ok":
            self.ok += 1
        else:
            self.failed += 1
        return line


def test_no_client_of_an_unchanged_service_notices(hatchd):
    rng = random.Random(8)
    daemon = hatchd(text())
    stop = threading.Event()
    clients = [Client(daemon, stop) for _ in range(CLIENTS)]
    held = Held(daemon)
    reloads = Reloads(daemon)
    ms = []
    for c in clients:
        c.start()
    end = time.monotonic() + SECONDS
    try:
        for i in range(RELOADS):
            if i >= 10 and time.monotonic() >= end:
                break
            if i % 10 == 9:
                line = reloads.one(text() + rng.choice(BROKEN))
                assert line["result"] == "failed"
            else:
                line = reloads.one(text(rng))
                assert line["result"] == "ok", daemon.log()
                assert "~hammered" not in line["services"]
                ms.append(int(line["ms"]))
            if i % 10 == 0:
                held.check(b"%d" % i)
    finally:
        stop.set()
        for c in clients:
            c.join(hatch.DEADLINE)
    failures = [f for c in clients for f in c.failures]
    served = sum(c.served for c in clients)
    print("%d reloads (median %d ms, the trial included), %d connections, slowest %.0f ms" % (
        reloads.ok + reloads.failed, sorted(ms)[len(ms) // 2], served,
        1000 * max(c.slowest for c in clients)))
    assert not failures, "%d of %d failed: %s" % (len(failures), served, failures[:3])
    assert reloads.ok >= 9 and reloads.failed >= 1 and served > reloads.ok
    held.close()
    reloads.one(text())
    for i in (0, 1, SERVICES - 2, SERVICES - 1):
        assert hatch.tcp_request(daemon.port["p"], b"x", host=address(i)) == b"x"


def test_memory_stays_as_it_is(hatchd):
    rng = random.Random(9)
    daemon = hatchd(text())
    talker = daemon.talker
    reloads = Reloads(daemon)
    held = Held(daemon)
    texts = [text(rng) for _ in range(5)] + [text() + BROKEN[0], text() + BROKEN[2]]

    def measure():
        return [(hatch.rss(pid), hatch.n_fds(pid)) for pid in (daemon.pid, talker)]

    for t in texts * 3:                     # until all that grows once has grown
        reloads.one(t)
    reloads.one(text())
    before = measure()
    end = time.monotonic() + MORE_SECONDS
    n = 0
    while n < MORE_RELOADS and time.monotonic() < end:
        reloads.one(texts[n % len(texts)])
        n += 1
    reloads.one(text())
    after = measure()
    print("%d reloads; master, talker (bytes, descriptors): %s, then %s" % (n, before, after))
    for (memory, fds), (memory_then, fds_then) in zip(before, after):
        assert memory_then <= memory + (1 << 20) or world.is_sanitized()
        assert fds_then <= fds
    assert daemon.talker == talker
    held.close()
