# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What takes its time: lines and headers that never end, ten thousand answers,
and everything that comes before a service at once for a tenth of SOAK_SECONDS.
Run by "make soak"."""
import os
import random
import threading
import time

import pytest

import hatch
import prefix
import test_linger
import world
from prefix import client, nothing_left, talk

SECONDS = float(os.environ.get("SOAK_SECONDS", "600")) / 10
CAT = 'exec = { "/bin/cat" } stderr = "null"'

pytestmark = pytest.mark.soak


def test_ten_thousand_answers_of_a_script_that_reads_nothing(hatchd, shared_tmp):
    path, answer = test_linger.make(shared_tmp)
    daemon = hatchd(test_linger.service(path))
    port = daemon.port["http"]
    with nothing_left(daemon):
        got = prefix.in_parallel([lambda n=n: test_linger.ask(port, n) == answer
                                  for n in range(10000)], timeout=600)
    assert got.count(True) == 10000
    counters = world.counters(daemon, "http")
    assert counters["ended"] == 10000 and counters["failed"] == 0


def test_lines_of_tcpmux_that_never_end(hatchd):
    """They have ten seconds, whether something comes or not."""
    daemon = hatchd('service "mux" { listen = { "tcp4:127.0.0.1:@mux@" } internal = "tcpmux" }\n'
                    'service "cat" { %s tcpmux = "+cat" }\n' % CAT)
    begin = time.monotonic()
    with nothing_left(daemon):
        socks = [client(daemon.port["mux"]) for _ in range(40)]
        socks[0].sendall(b"ca")
        for n in range(18):
            time.sleep(0.5)
            socks[1].sendall(b"x")
            assert talk(client(daemon.port["mux"]), b"cat\r\nx") == b"+Go\r\nx"
        for s in socks:
            assert prefix.is_ended(s)
        assert 9 < time.monotonic() - begin < 10 + hatch.DEADLINE
        for s in socks:
            s.close()
    assert prefix.refused(daemon, "mux", "tcpmux") == 40


CONF = """
service "proxied" {
    listen = { "tcp4:127.0.0.1:@proxied@" }
    exec   = { "%s" }
    stderr = "null"
    limits { per_source = 0 }
    proxy  { from = { "127.0.0.1" } timeout = 1s }
    access { deny = { "192.0.2.66" } }
    banner { refuse = "no\\r\\n" }
}
service "mux" {
    listen   = { "tcp4:127.0.0.1:@mux@" }
    internal = "tcpmux"
    limits { per_source = 0 }
}
service "cat"  { exec = { "/bin/cat" } stderr = "null" tcpmux = "+cat" limits { per_source = 0 } }
service "echo" { internal = "echo" tcpmux = "echo" limits { per_source = 0 } }
service "few"  {
    exec   = { "/bin/cat" }
    stderr = "null"
    tcpmux = "+few"
    limits { instances = 2 per_source = 0 }
    banner { open = "welcome\\r\\n" }
    timeouts { first_byte = 5s }
}
service "http" {
    listen   = { "tcp4:127.0.0.1:@http@" }
    exec     = { "%s" }
    stderr   = "null"
    limits { per_source = 0 }
    timeouts { linger = 1s }
}
"""


class Client(threading.Thread):
    def __init__(self, daemon, stop, answer):
        super().__init__(daemon=True)
        self.hatchd, self.stop, self.answer = daemon, stop, answer
        self.served, self.failures = 0, []

    def ask(self, name, data, half_close=True):
        return talk(client(self.hatchd.port[name]), data, half_close)

    def one(self, rng):
        text = b"%d " % rng.getrandbits(40) * rng.choice((1, 10, 2000))
        kind = rng.choice(("proxied", "denied", "garbage", "left", "silent", "cat", "echo", "few",
                           "unknown", "help", "http"))
        header = rng.choice((prefix.v1, prefix.v2))
        if kind == "proxied":
            port = rng.randrange(1, 65536)
            assert self.ask(kind, header("192.0.2.7", port=port) + text) == \
                b"192.0.2.7 %d 198.51.100.1 80\n" % port + text
        elif kind == "denied":
            assert self.ask("proxied", header("192.0.2.66") + text) == b"no\r\n"
        elif kind == "garbage":
            assert self.ask("proxied", b"nonsense" + text) == b"no\r\n"
        elif kind == "left":
            with client(self.hatchd.port["proxied"]) as s:
                s.sendall(header("192.0.2.7")[:rng.randrange(1, 30)])
        elif kind == "silent":
            assert self.ask("proxied", b"PROXY", half_close=False) == b"no\r\n"
        elif kind == "http":
            assert self.ask(kind, test_linger.REQUEST, rng.random() < 0.5) == self.answer
        elif kind == "unknown":
            assert self.ask("mux", b"dog\r\n" + text).startswith(b"-")
        elif kind == "help":
            assert len(self.ask("mux", b"help\r\n").split()) == 3
        else:
            said = {"cat": b"+Go\r\n", "echo": b"", "few": b"+Go\r\nwelcome\r\n"}[kind]
            assert self.ask("mux", kind.encode() + b"\r\n" + text) == said + text

    def run(self):
        rng = random.Random()
        while not self.stop.is_set():
            try:
                self.one(rng)
                self.served += 1
            except Exception as e:  # told by the test
                self.failures.append(repr(e))


def test_all_of_it_at_once(hatchd, shared_tmp):
    who = prefix.script(shared_tmp, "who", prefix.WHO)
    path, answer = test_linger.make(shared_tmp, b"short\n" * 100)
    daemon = hatchd('defaults { user = "@user@" log_events = { "fail" } }' + CONF % (who, path))
    stop = threading.Event()
    clients = [Client(daemon, stop, answer) for _ in range(12)]
    end, memory = time.monotonic() + SECONDS, None
    with nothing_left(daemon):
        for c in clients:
            c.start()
        try:
            while time.monotonic() < end:
                stop.wait(min(2, SECONDS / 10))
                daemon.reload()
                if memory is None and time.monotonic() > end - SECONDS * 0.8:
                    memory = hatch.rss(daemon.pid), hatch.rss(daemon.talker)
        finally:
            stop.set()
            for c in clients:
                c.join(hatch.DEADLINE * 2)
        failures = [f for c in clients for f in c.failures]
        assert not failures, "%d failures: %s" % (len(failures), failures[:5])
        print("%d served" % sum(c.served for c in clients))
    assert hatch.rss(daemon.pid) <= memory[0] + (4 << 20)
    assert hatch.rss(daemon.talker) <= memory[1] + (4 << 20)
