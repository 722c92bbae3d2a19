# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""timeouts.linger: a handler that leaves unread what its client has sent, a
health check's script for example, costs no client its answer.

Without it the kernel ends such a connection with a reset, and what the client
hasn't read by then is lost: nearly every client of these tests would see one.
How many is a matter of time, so nothing is claimed here of services without it.
"""
import errno
import os
import signal
import socket
import time

import pytest

import hatch
import prefix
import world
from prefix import client, nothing_left, talk

BODY = b"".join(b"line %d of what is to be said\n" % n for n in range(600))
# Prints its answer and doesn't read the request.
SCRIPT = """#!/bin/sh
printf 'HTTP/1.1 200 OK\\r\\nContent-Length: %%d\\r\\nConnection: close\\r\\n\\r\\n' %d
cat %s
"""
REQUEST = b"GET /health HTTP/1.1\r\nHost: example.org\r\n"
REQUEST += b"X-Padding: " + b"x" * (200 - len(REQUEST) - 15) + b"\r\n\r\n"
assert len(REQUEST) == 200


def make(folder, body=BODY):
    """The script; what it prints."""
    with open(folder + "/body", "wb") as f:
        os.fchmod(f.fileno(), 0o644)
        f.write(body)
    path = prefix.script(folder, "health", SCRIPT % (len(body), folder + "/body"))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    return path, head + body


def service(path, linger="1s", more="", listen="tcp:@http@"):
    return """
service "http" {
    listen   = { "%s" }
    exec     = { "%s" }
    stderr   = "null"
    timeouts { linger = %s }
    %s
}
""" % (listen, path, linger, more or "limits { per_source = 0 }")


def ask(port, n, host="127.0.0.1"):
    """What client n gets, up to an end that is none by reset."""
    data = REQUEST if n % 5 else REQUEST + os.urandom(30000)
    s = client(port, host=host)
    if n % 3 == 0:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)     # reads it in parts
    return talk(s, data, half_close=n % 2 == 0)


def test_everybody_gets_the_whole_answer(hatchd, shared_tmp):
    path, answer = make(shared_tmp)
    daemon = hatchd(service(path))
    with nothing_left(daemon):
        got = prefix.in_parallel([lambda n=n: ask(daemon.port["http"], n) for n in range(300)], 12)
        wrong = [(n, len(g)) for n, g in enumerate(got) if g != answer]
        assert not wrong
    lines = daemon.log_lines("end", svc="http", exit=0)
    assert len(lines) == 300 and not daemon.log_lines("fail")
    # the time is the handler's, not that of what followed
    assert world.counters(daemon, "http")["ended"] == 300


@pytest.mark.ipv6
def test_over_ipv6_and_unix(hatchd, shared_tmp):
    path, answer = make(shared_tmp)
    daemon = hatchd(service(path, listen='tcp:@http@", "unix:%s/http' % shared_tmp))
    with nothing_left(daemon):
        for n in range(10):
            assert ask(daemon.port["http"], n, "::1") == answer
            assert talk(world.unix_client(shared_tmp + "/http"), REQUEST) == answer


def test_end_comes_as_soon_as_the_handler_is_gone(hatchd, shared_tmp):
    """Not after the time, even if the client says nothing and doesn't close."""
    path, answer = make(shared_tmp, b"short\n")
    daemon = hatchd(service(path, "30s"))
    with nothing_left(daemon):
        begin = time.monotonic()
        for _ in range(10):
            assert talk(client(daemon.port["http"]), REQUEST, half_close=False) == answer
        assert time.monotonic() - begin < hatch.DEADLINE


def test_who_stays_is_left_after_the_time(hatchd, shared_tmp):
    """Silent, without reading, or sending for ever: after linger nothing is held
    for them."""
    path, answer = make(shared_tmp)
    daemon = hatchd(service(path, "700ms"))
    port = daemon.port["http"]
    begin = time.monotonic()
    with nothing_left(daemon):
        silent = [client(port) for _ in range(20)]
        for s in silent:
            s.sendall(REQUEST)
        noisy = client(port)
        noisy.settimeout(0.2)
        noisy.sendall(REQUEST)
        error = None
        while error is None and time.monotonic() < begin + hatch.DEADLINE:
            try:                    # 64 KiB at most are read of it
                noisy.sendall(b"x" * 10000)
            except TimeoutError:
                continue
            except OSError as e:
                error = e.errno
        assert error in (errno.EPIPE, errno.ECONNRESET)
        noisy.close()
        hatch.wait_until(lambda: prefix.running(daemon) == 0, what="nothing held")
        assert 0.5 < time.monotonic() - begin < 0.7 + hatch.DEADLINE / 2
        for s in silent:
            assert talk(s) == answer
    assert len(daemon.log_lines("end", svc="http", exit=0)) == 21


def test_who_lingers_takes_no_place(hatchd, shared_tmp):
    """Its handler is gone: the next one may be started, of a service that is full
    otherwise.  Of its source it still is one."""
    path, answer = make(shared_tmp, b"short\n")
    daemon = hatchd(service(path, "20s", 'limits { instances = 1 per_source = 5 }'))
    with nothing_left(daemon):
        socks = []
        for n in range(5):
            socks.append(client(daemon.port["http"], "127.0.0.9"))
            socks[n].sendall(REQUEST)
            assert hatch.read_all(socks[n]) == answer
        hatch.wait_until(lambda: not daemon.handlers())
        assert prefix.running(daemon) == 5
        with client(daemon.port["http"], "127.0.0.9") as s:
            assert prefix.is_ended(s)
        assert daemon.wait_log("refuse")["reason"] == "source-instances"
        assert talk(client(daemon.port["http"])) == answer
        for s in socks:
            s.close()
    assert len(daemon.log_lines("end", svc="http", exit=0)) == 6


def test_the_end_is_the_handlers(hatchd, shared_tmp):
    """What it left running has the connection, too, but says nothing any more."""
    path = prefix.script(shared_tmp, "fork", "#!/bin/sh\necho first\n(sleep 5; echo second) &\n")
    daemon = hatchd(service(path))
    daemon.may_leave = True
    begin = time.monotonic()
    with client(daemon.port["http"]) as s:
        s.sendall(REQUEST)
        assert hatch.read_all(s) == b"first\n"
    assert time.monotonic() - begin < 4
    hatch.wait_until(lambda: prefix.running(daemon) == 0)


def test_handlers_that_fail(hatchd, shared_tmp):
    daemon = hatchd("".join("""
service "%s" {
    listen = { "tcp4:127.0.0.1:@%s@" }
    exec   = { "%s" }
    stderr = "null"
    timeouts { linger = 1s }
}
""" % (name, name, path) for name, path in (
        ("exit", prefix.script(shared_tmp, "exit", "#!/bin/sh\necho sorry\nexit 3\n")),
        ("kill", prefix.script(shared_tmp, "kill", "#!/bin/sh\necho sorry\nkill -9 $$\n")),
        ("missing", "/nowhere/at-all"))))
    with nothing_left(daemon):
        for name in "exit", "kill":
            assert talk(client(daemon.port[name]), REQUEST, half_close=False) == b"sorry\n"
        with client(daemon.port["missing"]) as s:
            s.sendall(REQUEST)
            assert prefix.is_ended(s)
    assert daemon.wait_log("end", svc="exit")["exit"] == "3"
    assert daemon.wait_log("end", svc="kill")["signal"] == "KILL"
    assert daemon.wait_log("fail", svc="missing")["step"] == "exec"


def test_limits_of_time_together_with_linger(hatchd):
    daemon = hatchd("""
service "http" {
    listen = { "tcp4:127.0.0.1:@http@" }
    exec   = { "/bin/sleep", "60" }
    stderr = "null"
    timeouts { total = 300ms linger = 1s idle = 10s }
}
""")
    with nothing_left(daemon):
        for half_close in True, False:
            assert talk(client(daemon.port["http"]), REQUEST, half_close) == b""
    assert daemon.wait_log("end", n=2, svc="http")["ended_by"] == "timeouts.total"


def test_who_comes_while_there_is_no_talker_waits_for_it(hatchd, shared_tmp):
    path, answer = make(shared_tmp, b"short\n")
    daemon = hatchd(service(path))
    for n in range(3):              # just started, too
        got = prefix.in_parallel([lambda i=i: ask(daemon.port["http"], i) for i in range(20)])
        assert got == [answer] * 20
        hatch.wait_until(lambda: prefix.running(daemon) == 0)
        os.kill(hatch.wait_until(lambda: daemon.talker), 9)
        daemon.wait_log("talker", n=n + 1, signal="KILL")
    hatch.wait_until(lambda: daemon.talker)


def test_talker_killed_while_it_drains(hatchd, shared_tmp):
    path, answer = make(shared_tmp)
    daemon = hatchd(service(path, "20s"))
    with nothing_left(daemon):
        socks = [client(daemon.port["http"]) for _ in range(20)]
        for s in socks:
            s.sendall(REQUEST)
        for s in socks:
            assert hatch.read_all(s) == answer
        assert prefix.running(daemon) == 20
        daemon.kill_talker()
        hatch.wait_until(lambda: prefix.running(daemon) == 0)
        assert ask(daemon.port["http"], 1) == answer
        for s in socks:
            s.close()
    assert len(daemon.log_lines("end", svc="http", exit=0)) == 21


def test_reload_and_stop_while_somebody_lingers(hatchd, shared_tmp):
    path, answer = make(shared_tmp)
    daemon = hatchd(service(path, "20s"))
    socks = [client(daemon.port["http"]) for _ in range(5)]
    for s in socks:
        s.sendall(REQUEST)
        assert hatch.read_all(s) == answer
    assert prefix.running(daemon) == 5
    daemon.reload("")
    assert prefix.running(daemon) in (0, 5)
    begin = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begin < hatch.DEADLINE / 2
    for s in socks:
        s.close()


def test_a_handler_that_ends_while_there_is_no_talker(hatchd, shared_tmp):
    """The next one drains its connection."""
    go = shared_tmp + "/go"
    path = prefix.script(shared_tmp, "late", "#!/bin/sh\nwhile ! [ -e %s ]; do sleep 0.02; done\n"
                         "echo the answer\n" % go)
    daemon = hatchd(service(path, "5s"))
    with nothing_left(daemon):
        socks = [client(daemon.port["http"]) for _ in range(10)]
        for s in socks:
            s.sendall(REQUEST)
        hatch.wait_until(lambda: len(daemon.handlers()) >= 10)
        os.kill(daemon.talker, signal.SIGKILL)
        # what was sent to it before the master knew is lost with it
        hatch.wait_until(lambda: "the talker's link: closed" in daemon.log())
        with open(go, "w") as f:
            os.fchmod(f.fileno(), 0o644)
        for s in socks:
            assert talk(s) == b"the answer\n"
    assert len(daemon.log_lines("end", svc="http", exit=0)) == 10
