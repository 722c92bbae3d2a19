# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""services/chat by itself: one process, many clients."""
import os
import re
import selectors
import socket
import subprocess
import time

import pytest

import hatch
import handler
from handler import CANTCREAT, OK, Handler

IDLE = "2"


class Client:
    """A client that keeps what it was told, in lines."""

    def __init__(self, port):
        self.sock = hatch.connect(port)
        self.data = b""

    def say(self, text):
        self.sock.sendall(text.encode() + b"\n")

    def read(self):
        """Takes in what is there; False at the end."""
        part = self.sock.recv(1 << 20)
        self.data += part
        return bool(part)

    def wait_for(self, text, timeout=hatch.DEADLINE):
        self.sock.settimeout(timeout)
        while text.encode() + b"\n" not in self.data:
            assert self.read(), "the end, after %r" % self.data
        return self

    @property
    def lines(self):
        return self.data.decode(errors="replace").splitlines()


class Room:
    def __init__(self, *args, host="127.0.0.1", **kw):
        self.listener = handler.listener(host)
        self.port = self.listener.getsockname()[1]
        self.handler = Handler("chat", "-i", IDLE, *args, stdin=self.listener, **kw)
        self.clients = []

    def join(self):
        """A new client; it is in when all others have been told."""
        client = Client(self.port)
        if self.clients:
            name = "guest%d" % (len(self.clients) + 1)
            self.clients[0].wait_for(name + " joined")
        self.clients.append(client)
        return client

    def __enter__(self):
        self.handler.__enter__()
        return self

    def __exit__(self, *args):
        for c in self.clients:
            c.sock.close()
        self.handler.__exit__(*args)
        self.listener.close()


def read_until(clients, done):
    """Reads from all of them until done() is true."""
    with selectors.DefaultSelector() as sel:
        for c in clients:
            sel.register(c.sock, selectors.EVENT_READ, c)
        end = time.monotonic() + 40
        while not done():
            assert time.monotonic() < end, "not in time"
            for key, _ in sel.select(0.1):
                assert key.data.read(), "dropped"


def test_what_one_says_goes_to_all_others():
    with Room() as room:
        a, b, c = room.join(), room.join(), room.join()
        b.say("hello, ñandú\tx")
        a.wait_for("guest2: hello, ñandú\tx")
        c.wait_for("guest2: hello, ñandú\tx")
        c.say("ok")
        b.wait_for("guest3: ok")
        c.sock.close()
        b.wait_for("guest3 left: closed")
        assert b.lines == ["guest3 joined", "guest3: ok", "guest3 left: closed"]


def test_500_clients():
    """Every message reaches every other client once, in order per sender."""
    n, each = 500, 4
    with Room() as room:
        for _ in range(n):
            room.join()
        read_until(room.clients, lambda: all(
            len(c.lines) >= n - 1 - i for i, c in enumerate(room.clients)))
        for c in room.clients:
            c.data = b""
        for turn in range(each):
            for i, c in enumerate(room.clients):
                c.say("%d of %d" % (turn, i + 1))
            if turn == 1:       # the readers come late, but they come
                time.sleep(0.3)
        read_until(room.clients, lambda: all(
            c.data.count(b"\n") >= (n - 1) * each for c in room.clients))
        for i, c in enumerate(room.clients):
            turns = {}
            for line in c.lines:
                name, turn, of = re.fullmatch(r"guest(\d+): (\d+) of (\d+)", line).groups()
                assert name == of
                assert turns.get(name, 0) == int(turn)
                turns[name] = int(turn) + 1
            assert len(turns) == n - 1 and str(i + 1) not in turns
            assert set(turns.values()) == {each}


def test_stuck_client_harms_nobody():
    with Room() as room:
        stuck = Client.__new__(Client)
        stuck.data = b""
        stuck.sock = socket.socket()
        stuck.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sock.connect(("127.0.0.1", room.port))
        room.clients.append(stuck)
        a, b = Client(room.port), Client(room.port)
        room.clients += [a, b]
        a.wait_for("guest3 joined")
        text = "x" * 400
        slowest = 0
        for i in range(20000):
            a.say("%d %s" % (i, text))
            begin = time.monotonic()
            b.wait_for("guest2: %d %s" % (i, text))
            slowest = max(slowest, time.monotonic() - begin)
            b.data = b.data if b"left" in b.data else b""
            if b"guest1 left: too slow\n" in b.data:
                break
        else:
            pytest.fail("never dropped")
        assert slowest < 1
        a.wait_for("guest1 left: too slow")


def test_long_and_binary_lines():
    with Room() as room:
        a, b = room.join(), room.join()
        b.sock.sendall(b"y" * 1200 + b"\n")
        b.sock.sendall(b"\x1b[2J\x07bell \xc2\x9b\r\n\n\r\n\xff\xfe\n")
        b.say("end")
        a.wait_for("guest2: end")
        got = a.data.split(b"\n")[1:-1]
        assert got == [b"guest2: " + b"y" * 511, b"guest2: " + b"y" * 511, b"guest2: " + b"y" * 178,
                       b"guest2: ?[2J?bell ??", b"guest2: \xff\xfe", b"guest2: end"]


def test_byte_by_byte_and_half_close():
    with Room() as room:
        a, b = room.join(), room.join()
        b.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"slow\nunfinished":
            b.sock.sendall(bytes([byte]))
        a.wait_for("guest2: slow")
        b.sock.shutdown(socket.SHUT_WR)
        a.wait_for("guest2 left: closed")
        assert b.sock.recv(100) == b""
        assert "unfinished" not in a.data.decode()


def test_reset():
    with Room() as room:
        a, b = room.join(), room.join()
        handler.reset(b.sock)
        a.wait_for("guest2 left: connection lost")


def test_ends_when_idle_and_only_then():
    with Room() as room:
        a = room.join()
        time.sleep(float(IDLE) + 0.7)
        assert room.handler.proc.poll() is None
        a.sock.close()
        begin = time.monotonic()
        room.handler.expect(OK)
        assert time.monotonic() - begin > float(IDLE) - 0.2


def test_out_of_descriptors():
    """Who finds no room waits until another one leaves."""
    def few():
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))

    with Room(preexec_fn=few) as room:
        clients = [Client(room.port) for _ in range(12)]
        room.clients += clients
        clients[0].wait_for("guest5 joined")
        time.sleep(0.3)
        assert hatch.cpu_seconds(room.handler.pid) < 0.2
        before = len(clients[0].lines)
        for c in clients[1:4]:
            c.sock.close()
        clients[0].wait_for("guest%d joined" % (before + 3))


def test_operator(tmp_path):
    path = str(tmp_path / "op")
    for _ in range(2):      # the second one replaces the socket of the first
        with Room(path) as room:
            a, b = room.join(), room.join()
            assert os.stat(path).st_mode & 0o777 == 0o700
            op = Client.__new__(Client)
            op.sock, op.data = hatch.connect(path), b""
            op.say("who")
            op.wait_for("guest2")
            assert op.lines == ["guest1", "guest2"]
            op.say("say be kind")
            b.wait_for("operator: be kind")
            a.say("yes")
            op.wait_for("guest1: yes")
            op.say("kick guest1")
            b.wait_for("guest1 left: kicked")
            assert a.wait_for("guest2 joined").sock.recv(1 << 16) in (b"", b"operator: be kind\n")
            op.say("nonsense")
            op.say("quit")
            room.handler.expect(OK)
            op.sock.close()


@pytest.mark.parametrize("bad", ["/nonexistent/op", "x" * 108])
def test_operator_socket_that_cannot_be(bad):
    with handler.listener() as s:
        code, text = Handler("chat", bad, stdin=s).end()
    assert code in (CANTCREAT, handler.USAGE) and text.startswith("chat: " + bad)


def test_operator_socket_does_not_replace_a_file(tmp_path):
    f = tmp_path / "file"
    f.write_text("mine")
    with handler.listener() as s:
        Handler("chat", f, stdin=s).expect(CANTCREAT, "chat: ")
    assert f.read_text() == "mine"


def test_operator_on_standard_input():
    with handler.listener() as s:
        p = subprocess.Popen(
            ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"', handler.path("chat")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            close_fds=False, preexec_fn=lambda: os.dup2(os.dup(s.fileno()), 3))
        client = Client(s.getsockname()[1])
        assert p.stdout.readline() == b"guest1 joined\n"
        p.stdin.write(b"say hello\nquit\n")
        p.stdin.flush()
        out, err = p.communicate(timeout=hatch.DEADLINE)
        assert p.returncode == OK and err == b""
        client.sock.close()
