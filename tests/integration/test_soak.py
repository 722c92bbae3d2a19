# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Everything at once for SOAK_SECONDS (default 600): nothing may grow, and no
client may go without an answer.  Run by "make soak"."""
import os
import random
import threading
import time

import pytest

import hatch

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))

CONF = """
defaults { user = "@user@" log_events = { "fail" } }
service "upper" {
    listen = { "tcp:127.0.0.1:@upper@" }
    exec   = { "/usr/bin/tr", "a-z", "A-Z" }
}
service "upper-udp" {
    listen = { "udp:127.0.0.1:@upper@" }
    exec   = { "/usr/bin/tr", "a-z", "A-Z" }
    session { once = yes }
}
service "few" {
    listen = { "tcp:127.0.0.1:@few@" }
    exec   = { "/bin/cat" }
    limits { instances = 2 }
}
service "echo" {
    listen   = { "tcp:127.0.0.1:@echo@", "udp:127.0.0.1:@echo@" }
    internal = "echo"
}
"""


class Client(threading.Thread):
    def __init__(self, daemon, stop):
        super().__init__(daemon=True)
        self.hatchd, self.stop = daemon, stop
        self.served, self.failures = 0, []

    def one(self, rng):
        text = b"line %d" % rng.getrandbits(40)
        kind = rng.choice(("upper", "few", "echo", "echo-udp", "upper-udp", "left"))
        if kind == "upper":
            assert self.hatchd.tcp("upper", text) == text.upper()
        elif kind in ("few", "echo"):
            assert self.hatchd.tcp(kind, text * 500) == text * 500
        elif kind == "left":
            with self.hatchd.connect("upper") as s:
                s.sendall(text)
        else:
            name = kind.split("-")[0]
            got = self.hatchd.udp(name, text, timeout=5)
            assert got == (text if name == "echo" else text.upper())

    def run(self):
        rng = random.Random()
        while not self.stop.is_set():
            try:
                self.one(rng)
                self.served += 1
            except Exception as e:  # told by the test
                self.failures.append(repr(e))


def measure(daemon):
    return {who: (hatch.rss(pid), hatch.n_fds(pid))
            for who, pid in (("master", daemon.pid), ("talker", daemon.talker))}


@pytest.mark.soak
def test_soak(hatchd):
    daemon = hatchd(CONF)
    stop = threading.Event()
    clients = [Client(daemon, stop) for _ in range(8)]
    begin = time.monotonic()
    for c in clients:
        c.start()
    first = None
    try:
        while time.monotonic() - begin < SECONDS:
            stop.wait(min(10, SECONDS / 10))
            daemon.reload()
            now = measure(daemon)
            if first is None and time.monotonic() - begin > SECONDS / 5:
                first = now
            print("%5d s  %8d served  %s" % (time.monotonic() - begin,
                                             sum(c.served for c in clients), now))
    finally:
        stop.set()
        for c in clients:
            c.join(hatch.DEADLINE * 2)
    failures = [f for c in clients for f in c.failures]
    assert not failures, "%d failures: %s" % (len(failures), failures[:5])
    assert sum(c.served for c in clients) > 0
    hatch.wait_until(lambda: not daemon.handlers(), what="all handlers gone")
    assert hatch.wait_until(lambda: daemon.n_zombies() == 0)
    last = measure(daemon)
    for who, (memory, fds) in last.items():
        assert memory <= first[who][0] + (4 << 20), (who, first, last)
        assert fds <= first[who][1] + 8, (who, first, last)
