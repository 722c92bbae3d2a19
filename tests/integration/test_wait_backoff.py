# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Handlers of `wait = yes` stream services that end well and at once: one that
accepted nobody must not be started for ever, one that accepted somebody must
not be slowed down."""
import os
import socket
import threading
import time

import pytest

import hatch
import world

LITTLE_CPU = 0.10
# The handler itself, so that a start costs little: accepts one and ends.
ONE = """#!/usr/bin/perl
use Socket;
accept(my $c, STDIN) or exit 0;
syswrite($c, "one\\n");
"""
LISTENS = ["tcp4:127.0.0.1:@w@", "tcp6:[::1]:@w@", "unix:%s/w.sock",
           "unix-seqpacket:%s/w.sock"]


def service(listen, program, extra=""):
    return 'service "w" { listen = { "%s" } wait = yes exec = { %s } %s }\n' % (
        listen, program, extra)


def client(daemon, listen):
    if listen.startswith("unix"):
        kind = socket.SOCK_SEQPACKET if "seqpacket" in listen else socket.SOCK_STREAM
        return world.unix_client(listen.split(":", 1)[1], kind)
    return daemon.connect("w", host="::1" if "tcp6" in listen else "127.0.0.1")


def place(listen, tmp):
    if "tcp6" in listen and not hatch.has_ipv6():
        pytest.skip("no IPv6")
    return listen % tmp if "%s" in listen else listen


def program(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


def started(daemon):
    return world.counters(daemon, "w")["started"]


def noticed(daemon):
    """How many were started until it was seen that nothing is accepted: mostly two or
    three; more if the kernel couldn't tell in the time that it is given, which a
    busy machine may be too slow for."""
    daemon.wait_log("fail", svc="w")
    return started(daemon)


@pytest.mark.parametrize("listen,seconds", zip(LISTENS, [3, 1, 1, 1]))
def test_nobody_accepted(hatchd, shared_tmp, listen, seconds):
    os.chmod(shared_tmp, 0o755)
    listen = place(listen, shared_tmp)
    daemon = hatchd(service(listen, '"/bin/true"'))
    with client(daemon, listen), client(daemon, listen):
        before = noticed(daemon)
        assert world.cpu_share(daemon, seconds) < LITTLE_CPU
        # 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s
        assert 2 <= started(daemon) - before <= 8
        lines = daemon.log_lines("fail", svc="w")
        assert [(n["step"], n["retry_ms"]) for n in lines[:3]] == \
            [("read", "100"), ("read", "200"), ("read", "400")]
        assert world.counters(daemon, "w")["refused"]["unread"] == len(lines)


def test_more_and_more_wait(hatchd):
    """Those that come later change nothing, nor do those that go."""
    daemon = hatchd(service("tcp4:127.0.0.1:@w@", '"/bin/true"'))
    waiting = []
    try:
        def one_more():
            waiting.append(daemon.connect("w"))
            if len(waiting) % 10 == 0:
                waiting.pop(5).close()
            time.sleep(0.01)
        one_more()
        before = noticed(daemon)
        assert world.cpu_share(daemon, 2, one_more) < LITTLE_CPU
        assert 2 <= started(daemon) - before <= 9
    finally:
        for s in waiting:
            s.close()


def test_clients_that_are_reset(hatchd):
    """They stay in the backlog, where they can't be seen any more."""
    daemon = hatchd(service("tcp4:127.0.0.1:@w@", '"/bin/true"'))

    def reset():
        with daemon.connect("w") as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        time.sleep(0.2)
    reset()
    before = noticed(daemon)
    assert world.cpu_share(daemon, 2) < LITTLE_CPU
    assert started(daemon) - before <= 6
    with daemon.connect("w"):
        assert world.cpu_share(daemon, 2, reset) < LITTLE_CPU
        assert started(daemon) - before <= 600


@pytest.mark.parametrize("listen", [LISTENS[0], LISTENS[2]])
def test_mended_handler(hatchd, shared_tmp, listen):
    os.chmod(shared_tmp, 0o755)
    listen = place(listen, shared_tmp)
    path = shared_tmp + "/program"
    program(path, "#!/bin/sh\nexit 0\n")
    daemon = hatchd(service(listen, '"%s"' % path))
    with client(daemon, listen) as first, client(daemon, listen) as second:
        daemon.wait_log("fail", n=3, svc="w")
        program(path, ONE)
        assert hatch.read_all(first) == b"one\n"
        assert hatch.read_all(second) == b"one\n"
    seen = len(daemon.log_lines("fail", svc="w"))
    begin = time.monotonic()
    for _ in range(10):
        with client(daemon, listen) as s:
            assert hatch.read_all(s) == b"one\n"
    assert time.monotonic() - begin < 5
    assert len(daemon.log_lines("fail", svc="w")) == seen


class Load(threading.Thread):
    """Clients that ask again and again."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.served, self.stop = ask, 0, False

    def run(self):
        while not self.stop:
            try:
                with self.ask() as s:
                    self.served += hatch.read_all(s) == b"one\n"
            except OSError:
                pass


@pytest.mark.parametrize("listen", [LISTENS[0], LISTENS[2]])
def test_one_by_one_under_load(hatchd, shared_tmp, listen):
    """The backlog is never empty nor shorter at the end of a handler."""
    os.chmod(shared_tmp, 0o755)
    listen = place(listen, shared_tmp)
    path = shared_tmp + "/program"
    program(path, ONE)
    daemon = hatchd(service(listen, '"%s"' % path))
    clients = [Load(lambda: client(daemon, listen)) for _ in range(8)]
    for c in clients:
        c.start()
    time.sleep(3)
    for c in clients:
        c.stop = True
    for c in clients:
        c.join(hatch.DEADLINE)
    assert daemon.log_lines("fail", svc="w") == []
    served = sum(c.served for c in clients)
    assert served >= started(daemon) - 8
    assert served > 30, served


def test_one_by_one_of_several_listeners(hatchd, shared_tmp):
    """A handler that has all of them and serves another than it was started for."""
    path = shared_tmp + "/program"
    program(path, """#!/usr/bin/perl
use Socket; use Fcntl;
for my $n (4, 3) {
	open(my $l, "+<&=", $n) or next;
	fcntl($l, F_SETFL, fcntl($l, F_GETFL, 0) | O_NONBLOCK);
	next unless accept(my $c, $l);
	syswrite($c, "one\\n");
	exit 0;
}
""")
    daemon = hatchd('service "w" { listen = { "tcp4:127.0.0.1:@w@", "tcp4:127.0.0.1:@v@" } '
                    'wait = yes pass = "listen_fds" exec = { "%s" } }' % path)
    clients = [Load(lambda n=n: daemon.connect(n)) for n in "wvwvwv"]
    for c in clients:
        c.start()
    time.sleep(3)
    for c in clients:
        c.stop = True
    for c in clients:
        c.join(hatch.DEADLINE)
    assert daemon.log_lines("fail", svc="w") == []
    assert sum(c.served for c in clients) > 30
