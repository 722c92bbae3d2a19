# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What a `wait = yes` handler has done to the socket that it was lent: the next
client is served nevertheless."""
import socket
import time

import pytest

import hatch
import world

LITTLE_CPU = 0.10
DATAGRAM = """import os, socket, sys, time
s = socket.socket(fileno=0)
data, peer = s.recvfrom(100)
s.sendto(b"got " + data, peer)
def shut(how=socket.SHUT_RDWR):
    try:
        s.shutdown(how)
    except OSError:
        pass		# of datagrams: but it takes effect
def connect():
    other = socket.socket(s.family, s.type)
    other.bind("" if s.family == socket.AF_UNIX else (s.getsockname()[0], 0))
    s.connect(other.getsockname())
"""
STREAM = """import socket
s = socket.socket(fileno=0)
c, _ = s.accept()
c.send(b"one")
c.close()
"""
SHUT, CONNECTED = "a handler has shut it down", "a handler has connected it"
DATAGRAMS = ["udp4:127.0.0.1:@w@", "udp4:@w@", "udp6:[::1]:@w@", "udp6:@w@", "udp4:127.0.0.1:0",
             "unix-dgram:%s/w.sock", "unix-dgram:@%s/w"]
STREAMS = ["tcp4:127.0.0.1:@w@", "tcp6:@w@", "tcp4:127.0.0.1:0", "unix:%s/w.sock", "unix:@%s/w",
           "unix-seqpacket:%s/w.sock"]


def start(hatchd, tmp, listen, script, extra=""):
    """-> daemon, where to reach it: a path or a port"""
    if "6:" in listen and not hatch.has_ipv6():
        pytest.skip("no IPv6")
    with open(tmp + "/handler.py", "w") as f:
        f.write(script)
    listen = listen % tmp if "%s" in listen else listen
    daemon = hatchd('service "w" { listen = { "%s" } wait = yes %s\n'
                    'exec = { "/usr/bin/python3", "-S", "%s/handler.py" } }\n' % (listen, extra, tmp))
    if listen.startswith("unix"):
        return daemon, listen.split(":", 1)[1]
    if listen.endswith(":0"):
        return daemon, int(daemon.wait_log("listen", svc="w")["port"])
    return daemon, daemon.port["w"]


def client(where, listen, timeout=hatch.DEADLINE):
    kind = socket.SOCK_DGRAM if "udp" in listen or "dgram" in listen else \
        socket.SOCK_SEQPACKET if "seqpacket" in listen else socket.SOCK_STREAM
    if isinstance(where, str):
        s = world.unix_client(where, kind, timeout)
        if kind == socket.SOCK_DGRAM:
            s.bind("")
        return s
    host = "::1" if "6:" in listen else "127.0.0.1"
    if kind == socket.SOCK_DGRAM:
        return world.udp_client(where, host, timeout)
    return hatch.connect(where, host, timeout)


def mended(daemon, n, error, *results):
    """All of them, which is all that there is of such lines; the last result is that
    of the rest."""
    def found():
        lines = [x for x in daemon.log_lines("listen", svc="w") if "error" in x]
        return len(lines) >= n and lines
    lines = hatch.wait_until(found, what="%d mended" % n)
    assert [(x["error"], x["result"]) for x in lines] == \
        [(error, results[min(i, len(results) - 1)]) for i in range(n)]


def ask(where, listen, data=b"q"):
    with client(where, listen) as s:
        s.send(data)
        assert s.recv(100) == b"got " + data


@pytest.mark.parametrize("listen", DATAGRAMS)
@pytest.mark.parametrize("fault", ["shut()", "shut(socket.SHUT_RD)", "connect()"])
def test_datagrams(hatchd, shared_tmp, listen, fault):
    daemon, where = start(hatchd, shared_tmp, listen, DATAGRAM + fault)
    error = CONNECTED if fault == "connect()" else SHUT
    results = ["bound"] if error == SHUT else ["disconnected"]
    if error == CONNECTED and listen.endswith(":0"):
        results = ["bound", "disconnected"]	# the second was bound to that port
    for n in range(1, 4):
        ask(where, listen, b"%d" % n)
        mended(daemon, n, error, *results)
    assert len(daemon.log_lines("fail")) == 0


def test_shut_datagrams_cost_nothing(hatchd, shared_tmp):
    daemon, where = start(hatchd, shared_tmp, DATAGRAMS[0], DATAGRAM + "shut()")
    ask(where, DATAGRAMS[0])
    daemon.wait_log("end", svc="w")
    assert world.cpu_share(daemon, 1) < LITTLE_CPU


@pytest.mark.parametrize("listen", STREAMS)
@pytest.mark.parametrize("how", ["SHUT_RDWR", "SHUT_RD"])
def test_streams(hatchd, shared_tmp, listen, how):
    daemon, where = start(hatchd, shared_tmp, listen, STREAM + "s.shutdown(socket.%s)" % how)
    for n in range(1, 4):
        with client(where, listen) as s:
            assert s.recv(10) == b"one"
        mended(daemon, n, SHUT, "bound")
    assert len(daemon.log_lines("fail")) == 0
    assert world.cpu_share(daemon, 0.5) < LITTLE_CPU


def test_badly_ended(hatchd, shared_tmp):
    """What was lost with the socket is not what the handler left unread."""
    listen = "unix:%s/w.sock"
    daemon, where = start(hatchd, shared_tmp, listen,
                          STREAM + "s.shutdown(socket.SHUT_RDWR); raise SystemExit(1)")
    for n in range(1, 3):
        with client(where, listen) as s:
            assert s.recv(10) == b"one"
        mended(daemon, n, SHUT, "bound")
    assert len(daemon.log_lines("fail")) == 0


@pytest.mark.parametrize("listen", [DATAGRAMS[0], "unix-dgram:%s/w.sock"])
def test_child_keeps_it(hatchd, shared_tmp, listen):
    """As long as a process of the handler's has the address it can't be bound."""
    script = DATAGRAM + "shut()\nif data == b'fork' and not os.fork():\n" \
        "    while not os.path.exists('%s/end'): time.sleep(0.02)\n" % shared_tmp
    daemon, where = start(hatchd, shared_tmp, listen, script)
    ask(where, listen, b"fork")
    mended(daemon, 1, SHUT, "to be tried again")
    assert world.cpu_share(daemon, 0.5) < LITTLE_CPU
    open(shared_tmp + "/end", "w").close()
    daemon.wait_log("listen", svc="w", result="bound")
    ask(where, listen)


def test_child_shuts_it_down(hatchd, shared_tmp):
    """When it is nobody's: what is readable then is no datagram."""
    script = DATAGRAM + "if data == b'fork' and not os.fork():\n" \
        "    while not os.path.exists('%s/end'): time.sleep(0.02)\n    shut()\n" % shared_tmp
    daemon, where = start(hatchd, shared_tmp, DATAGRAMS[0], script)
    ask(where, DATAGRAMS[0], b"fork")
    daemon.wait_log("end", svc="w")
    open(shared_tmp + "/end", "w").close()
    hatch.wait_until(lambda: daemon.log_lines("listen", svc="w", error=SHUT))
    hatch.wait_until(lambda: daemon.log_lines("listen", svc="w", result="bound"))
    ask(where, DATAGRAMS[0])


def test_peek_offset(hatchd, shared_tmp):
    """SO_PEEK_OFF: the socket is readable, and a peek sees nothing."""
    daemon, where = start(hatchd, shared_tmp, DATAGRAMS[0],
                          DATAGRAM + "s.setsockopt(socket.SOL_SOCKET, 42, 1000)")
    for _ in range(3):
        ask(where, DATAGRAMS[0])
    with client(where, DATAGRAMS[0]) as s:
        begin = time.monotonic()
        s.send(b"q")
        assert s.recv(10) == b"got q"
        assert time.monotonic() - begin < 5
    assert world.cpu_share(daemon, 0.5) < LITTLE_CPU


def test_order_of_listen_fds(hatchd, shared_tmp):
    """A socket that was bound anew has its old place."""
    script = """import select, socket
socks = [socket.socket(fileno=fd) for fd in (3, 4, 5)]
s = select.select(socks, [], [])[0][0]
c, _ = s.accept()
c.send(b"%d" % socks.index(s))
c.close()
socks[1].shutdown(socket.SHUT_RDWR)
"""
    listen = 'tcp4:127.0.0.1:@a@", "tcp4:127.0.0.1:@w@", "tcp4:127.0.0.1:@c@'
    daemon, _ = start(hatchd, shared_tmp, listen, script, 'pass = "listen_fds"')
    for n in range(1, 4):
        for i, name in enumerate("awc"):
            with daemon.connect(name) as s:
                assert s.recv(10) == b"%d" % i
            mended(daemon, (n - 1) * 3 + i + 1, SHUT, "bound")


LEAVES_A_CHILD = STREAM + """import os, time
if os.fork() == 0:
    for fd in (1, 2):
        os.close(fd)
    %s
    os._exit(0)
"""
NOT_WAIT = ('service "w" { listen = { "tcp4:127.0.0.1:@w@" } exec = { "/bin/echo", "one" } }\n'
            'service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" } }\n')


@pytest.mark.parametrize("does,error", [("s.setblocking(True); time.sleep(0.01)", None),
                                        ("s.shutdown(socket.SHUT_RDWR); time.sleep(0.1)", SHUT)])
def test_child_that_has_the_socket_of_a_service_that_accepts_now(hatchd, shared_tmp, does, error):
    """The socket is what it was before the reload, so it can still spoil it: make it
    block, shut it down."""
    listen = STREAMS[0]
    again = "end = time.monotonic() + 60\n    while time.monotonic() < end:\n        %s" % does
    daemon, where = start(hatchd, shared_tmp, listen, LEAVES_A_CHILD % again)
    daemon.may_leave = True
    with client(where, listen) as s:
        assert s.recv(10) == b"one"
    daemon.wait_log("end", svc="w")
    daemon.reload(NOT_WAIT)
    for _ in range(20):
        # one that comes at the moment of the shutdown is refused or reset by the kernel
        def served():
            try:
                with client(where, listen) as s:
                    return s.recv(10) == b"one\n"
            except ConnectionError:
                return False
        hatch.wait_until(served)
        assert daemon.tcp("cat", b"served") == b"served"
    lines = [x for x in daemon.log_lines("listen", svc="w") if "error" in x]
    assert {x["error"] for x in lines} == ({error} if error else set())
