# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""The handlers of services/ by themselves, without the daemon."""
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import hatch
import handler
from handler import (DATAERR, IOERR, OK, TEMPFAIL, UNAVAILABLE, USAGE, Handler, ask, recv_exactly,
                     start, start_session, tcp_pair, unix_pair)

ARGS = {"finger": ["/"], "health": ["/bin/true"]}
BOTH = pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
HOSTS = pytest.mark.parametrize("host", [
    "127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])


def ints(*values):
    return b"".join(struct.pack("!I", v) for v in values)


# The contract, broken


@pytest.mark.parametrize("name", [n for n in handler.NAMES if n != "env"])
def test_no_socket_on_fd_0(name):
    with open("/dev/null", "r+b") as null:
        h = Handler(name, *ARGS.get(name, []), stdin=null)
        h.expect(USAGE, name + ": fd 0 is not a socket")


@pytest.mark.parametrize("name", [n for n in handler.NAMES if n != "env"])
def test_closed_fd_0(name):
    with open("/dev/null", "r+b") as null:
        Handler(name, *ARGS.get(name, []), stdin=null,
                preexec_fn=lambda: os.close(0)).expect(USAGE, "not a socket")


@pytest.mark.parametrize("name, make", [
    ("hello", "listener"), ("hello", "datagram_socket"), ("qotd", "listener"),
    ("ident", "datagram_socket"), ("finger", "listener"), ("health", "listener"),
    ("chat", "datagram_socket"), ("bulletin", "listener")])
def test_wrong_kind_of_socket(name, make):
    with getattr(handler, make)() as s:
        code, text = Handler(name, *ARGS.get(name, []), stdin=s).end()
    assert code == USAGE
    assert "wait = yes" in text and "needed is" in text and text.count("\n") == 1


@pytest.mark.parametrize("name", ["chat", "bulletin"])
def test_connection_for_a_wait_handler(name):
    client, h = start(name)
    with client:
        h.expect(USAGE, "fd 0 is a stream connection, needed is")


def test_fd_1_is_something_else():
    client, theirs = tcp_pair()
    with client, theirs, open("/dev/null", "wb") as null:
        Handler("upper", stdin=theirs, stdout=null).expect(USAGE, "but fd 1 is not a socket")


@pytest.mark.parametrize("name", handler.NAMES)
def test_wrong_option(name):
    client, h = start(name, "-X")
    with client:
        h.expect(USAGE, "usage: " + name)


@pytest.mark.parametrize("value", ["0", "", "x", "1x", "-1", "99999999999"])
def test_wrong_number_of_seconds(value):
    client, h = start("upper", "-t", value)
    with client:
        h.expect(USAGE, "not a number of seconds")


@pytest.mark.parametrize("n", ["0", "65", "-1", "x"])
def test_wrong_listen_fds(n):
    with handler.listener() as s:
        # A shell that becomes the handler, since LISTEN_PID is its pid.
        p = subprocess.run(["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=%s exec "$0"' % n,
                            handler.path("upper")], stdin=s, stderr=subprocess.PIPE, text=True)
    assert p.returncode == USAGE and "LISTEN_FDS" in p.stderr


# Connections


@BOTH
def test_upper(pair):
    assert ask("upper", data=b"hello, World 1\n", pair=pair) == b"HELLO, WORLD 1\n"


def test_upper_keeps_utf8():
    text = "grüße, ñandú, 日本\n"
    assert ask("upper", data=text.encode()).decode() == "GRüßE, ñANDú, 日本\n"


@pytest.mark.parametrize("name", ["upper", "parrot"])
def test_binary(name):
    data = bytes(range(256)) * 300
    want = data if name == "parrot" else data.upper()
    assert ask(name, data=data) == want


def test_parrot_gives_back_a_megabyte_line():
    data = random.Random(1).randbytes(1 << 20).replace(b"\n", b" ")
    client, h = start("parrot")
    with client, h:
        writer = threading.Thread(target=lambda: (client.sendall(data),
                                                  client.shutdown(socket.SHUT_WR)))
        writer.start()
        got = hatch.read_all(client)
        writer.join()
        assert got == data
        h.expect(OK)


@BOTH
def test_one_byte_at_a_time(pair):
    client, h = start("upper", pair=pair)
    with client, h:
        if pair is tcp_pair:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"one at a time\n":
            client.sendall(bytes([byte]))
            assert client.recv(1) == bytes([byte]).upper()
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        h.expect(OK)


def test_counter():
    assert ask("counter", data=ints(0, 41, 0x7fffffff, 0xffffffff)) == ints(1, 42, 0x80000000, 0)


def test_counter_byte_by_byte():
    client, h = start("counter")
    with client, h:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for v in (1, 255, 65535):
            for byte in ints(v):
                client.sendall(bytes([byte]))
            assert recv_exactly(client, 4) == ints(v + 1)
        client.shutdown(socket.SHUT_WR)
        h.expect(OK)


def test_counter_ends_amid_an_integer():
    assert ask("counter", data=ints(5) + b"\0\0\1", code=DATAERR) == ints(6)


def test_counter_many_at_once():
    n = 100000
    client, h = start("counter")
    with client, h:
        writer = threading.Thread(target=lambda: (client.sendall(ints(*range(n))),
                                                  client.shutdown(socket.SHUT_WR)))
        writer.start()
        assert hatch.read_all(client) == ints(*range(1, n + 1))
        writer.join()
        h.expect(OK)


@pytest.mark.parametrize("name", ["upper", "parrot", "counter"])
def test_client_resets(name):
    client, h = start(name)
    client.sendall(b"abcd")
    assert len(recv_exactly(client, 4)) == 4
    handler.reset(client)
    h.expect(IOERR)


@pytest.mark.parametrize("name", ["upper", "parrot", "counter"])
def test_client_is_gone_before_the_answer(name):
    """The answer goes to a closed socket: no death by SIGPIPE."""
    client, theirs = unix_pair()
    with theirs:
        client.sendall(b"abcd" * 10)
        client.close()
        Handler(name, stdin=theirs).expect(IOERR)


def test_client_never_reads():
    client, h = start("parrot", "-t", "1")
    with client:
        client.settimeout(0.2)
        try:
            while True:
                client.send(b"x" * 65536)
        except TimeoutError:
            pass
        h.expect(TEMPFAIL)


def test_client_never_says_anything():
    client, h = start("upper", "-t", "1")
    with client:
        h.expect(TEMPFAIL)


def test_socket_may_be_nonblocking():
    client, theirs = tcp_pair()
    theirs.setblocking(False)
    with client, theirs, Handler("upper", stdin=theirs) as h:
        time.sleep(0.1)         # nothing there yet: it has to wait, not to end
        client.sendall(b"abc")
        assert client.recv(9) == b"ABC"
        client.shutdown(socket.SHUT_WR)
        h.expect(OK)


# hello, qotd


@HOSTS
def test_hello_by_socket(host):
    client, h = start("hello", pair=lambda: tcp_pair(host))
    with client:
        me = "[::1]:%d" if ":" in host else "127.0.0.1:%d"
        want = "hello, %s\r\n" % me % client.getsockname()[1]
        assert hatch.read_all(client).decode() == want
    h.expect(OK)


@pytest.mark.parametrize("env, want", [
    ({"REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "4242"}, b"192.0.2.7:4242"),
    ({"REMOTE_ADDR": "2001:db8::7", "REMOTE_PORT": "1"}, b"[2001:db8::7]:1"),
    ({"REMOTE_UID": "1000", "REMOTE_PID": "42"}, b"uid 1000 (pid 42)"),
    ({"REMOTE_ADDR": "x\x1b[2J", "REMOTE_PORT": "1"}, b"x?[2J:1"),
    ({}, b"unix")])
def test_hello_by_environment(env, want):
    assert ask("hello", pair=unix_pair, env=env) == b"hello, " + want + b"\r\n"


@pytest.mark.parametrize("name", ["hello", "qotd"])
def test_answer_survives_what_was_not_read(name):
    """Input that nobody reads does not cost the client its answer (RST)."""
    for _ in range(20):
        client, h = start(name)
        with client:
            client.sendall(b"x" * 20000)
            time.sleep(0.01)
            assert hatch.read_all(client).endswith(b"\n")
        h.expect(OK)


def test_hello_ends_though_the_client_stays():
    client, h = start("hello")
    with client:
        h.expect(OK, timeout=5)


def test_qotd_builtin():
    quotes = {ask("qotd") for _ in range(30)}
    assert len(quotes) > 1 and all(q.endswith(b"\n") and len(q) <= 512 for q in quotes)


def test_qotd_file(tmp_path):
    f = tmp_path / "quotes"
    f.write_bytes(b"%\none\n%\ntwo\nlines\n%\n%\nlast, with a % in it\n")
    quotes = {ask("qotd", f) for _ in range(60)}
    assert quotes == {b"one\n", b"two\nlines\n", b"last, with a % in it\n"}
    f.write_bytes(b"q" * 5000)
    assert ask("qotd", f) == b"q" * 512


@pytest.mark.parametrize("what, code", [("missing", UNAVAILABLE), ("fifo", UNAVAILABLE),
                                        ("folder", UNAVAILABLE), ("empty", DATAERR)])
def test_qotd_bad_file(tmp_path, what, code):
    f = tmp_path / what
    if what == "fifo":
        os.mkfifo(f)
    elif what == "folder":
        f.mkdir()
    elif what == "empty":
        f.write_bytes(b"%\n%\n")
    client, h = start("qotd", f)
    with client:
        h.expect(code, "qotd: " + str(f))


# ident, finger


@pytest.mark.parametrize("question, answer, code", [
    (b"6193, 23\r\n", b"6193 , 23 : ERROR : HIDDEN-USER\r\n", OK),
    (b" 65535\t,\t1 \n", b"65535 , 1 : ERROR : HIDDEN-USER\r\n", OK),
    (b"1,2", b"1 , 2 : ERROR : HIDDEN-USER\r\n", OK),
    (b"1,2\r\n3,4\r\n", b"1 , 2 : ERROR : HIDDEN-USER\r\n3 , 4 : ERROR : HIDDEN-USER\r\n", OK),
    (b"0, 23\n", b"0 , 23 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"65536, 23\n", b"0 , 23 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"99999999999999999999, 23\n", b"0 , 0 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"-1, 23\n", b"0 , 0 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"1, 23, 4\n", b"1 , 23 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"\r\n", b"0 , 0 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"1,2\0\n", b"0 , 0 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"1" * 5000 + b"\n", b"0 , 0 : ERROR : INVALID-PORT\r\n", DATAERR),
    (bytes(range(128, 256)), b"0 , 0 : ERROR : INVALID-PORT\r\n", DATAERR),
    (b"", b"", OK)])
def test_ident(question, answer, code):
    assert ask("ident", data=question, code=code) == answer


def test_ident_ends_after_64_questions():
    client, h = start("ident")
    with client:
        client.sendall(b"1,2\n" * 100)
        assert hatch.read_all(client).count(b"HIDDEN-USER\r\n") == 64
    h.expect(OK)


def test_ident_drips():
    """A byte now and then does not hold the handler longer than its time."""
    client, h = start("ident", "-t", "1")
    with client:
        begin = time.monotonic()
        try:
            while time.monotonic() - begin < 5:
                client.sendall(b"1")
                time.sleep(0.1)
        except OSError:
            pass
        h.expect(TEMPFAIL)
        assert time.monotonic() - begin < 3


@pytest.fixture
def people(tmp_path):
    d = tmp_path / "people"
    d.mkdir()
    (d / "ann").write_bytes(b"Ann\nRoom 1\x1b[2J\nno end of line")
    (d / "bob.b").write_text("Bob, Zürich\r\n")
    (d / ".hidden").write_text("secret\n")
    (d / "folder").mkdir()
    (d / "link").symlink_to("/etc/passwd")
    os.mkfifo(d / "fifo")
    (tmp_path / "outside").write_text("secret\n")
    os.link(tmp_path / "outside", d / "hard")
    (d / "big").write_bytes(b"a" * 99 + b"\n" + b"b" * 200000)
    return d


@pytest.mark.parametrize("question, answer", [
    (b"ann\r\n", b"Ann\r\nRoom 1?[2J\r\nno end of line\r\n"),
    (b"/W ann\r\n", b"Ann\r\nRoom 1?[2J\r\nno end of line\r\n"),
    (b"  ann  \n", b"Ann\r\nRoom 1?[2J\r\nno end of line\r\n"),
    (b"ann", b"Ann\r\nRoom 1?[2J\r\nno end of line\r\n"),
    ("bob.b\r\n".encode(), "Bob, Zürich\r\n".encode()),
    (b"carl\r\n", b"carl: nothing known\r\n"),
    (b"/W\r\n", None), (b"\r\n", None)] + [
    (q + b"\r\n", q + b": nothing known\r\n") for q in (b"link", b"folder", b"fifo", b"hard")] + [
    (q + b"\r\n", b"that name: nothing known\r\n") for q in (
        b".hidden", b"..", b"../outside", b"/etc/passwd", b"ann@host", b"@", b"a\x1b[2Jb",
        b"x" * 65, b"\xff\xfe", b"folder/../ann")])
def test_finger(people, question, answer):
    got = ask("finger", people, data=question)
    if answer is None:
        assert sorted(got.split()) == [b"ann", b"big", b"bob.b"]
    else:
        assert got == answer


def test_finger_cuts_a_long_file(people):
    got = ask("finger", people, data=b"big\n")
    assert got.startswith(b"a" * 99 + b"\r\nb") and len(got) <= 65536 + 4


@pytest.mark.parametrize("question", [b"x" * 10000, b"ann\0\n"])
def test_finger_bad_question(people, question):
    assert ask("finger", people, data=question, code=DATAERR) == b"that name: nothing known\r\n"


def test_finger_without_its_folder(tmp_path):
    client, h = start("finger", tmp_path / "missing")
    with client:
        h.expect(UNAVAILABLE, "finger: ")


# health


def http(data, *command, code=OK, text="", **kw):
    got = ask("health", *command, data=data, code=code, text=text, **kw)
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return lines[0], dict(line.split(": ", 1) for line in lines[1:]), body


@pytest.mark.parametrize("half_close", [True, False])
def test_health_good(half_close):
    status, fields, body = http(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "/bin/echo", "all is well",
                                half_close=half_close)
    assert status == "HTTP/1.1 200 OK"
    assert body == b"all is well\n" and fields["Content-Length"] == "12"
    assert fields["Connection"] == "close"


def test_health_bad():
    status, fields, body = http(b"GET /x?y HTTP/1.0\r\n\r\n", "/bin/sh", "-c",
                                "echo down; echo why >&2; exit 3", text="why")
    assert status == "HTTP/1.1 503 Service Unavailable" and body == b"down\n"


def test_health_killed_by_a_signal():
    assert http(b"GET / HTTP/1.0\r\n\r\n", "/bin/sh", "-c", "kill -9 $$")[0].split()[1] == "503"


def test_health_methods():
    for method, body in ((b"GET", b"ok\n"), (b"OPTIONS", b"ok\n"), (b"HEAD", b"")):
        status, fields, got = http(method + b" / HTTP/1.0\r\n\r\n", "/bin/echo", "ok")
        assert (status, got, fields["Content-Length"]) == ("HTTP/1.1 200 OK", body, "3")
    status, fields, _ = http(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "/bin/false",
                             code=DATAERR)
    assert status.split()[1] == "405" and fields["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("request_, status", [
    (b"hello\r\n\r\n", "400"), (b"get / HTTP/1.0\r\n\r\n", "400"), (b"\r\n", "400"),
    (b"GET / FTP/1.0\r\n\r\n", "400"), (b"GET /\r\n\r\n", "400"), (b"\x16\x03\x01\0\n\n", "400"),
    (b"GET / HTTP/1.0\r\nX: \0\r\n\r\n", "400"), (b"PRI * HTTP/2.0\r\n\r\n", "400"),
    (b"GET /" + b"a" * 10000 + b" HTTP/1.0\r\n\r\n", "431"),
    (b"GET / HTTP/1.0\r\n" + b"X: yyyyyyyy\r\n" * 1000 + b"\r\n", "431")])
def test_health_bad_request(request_, status):
    assert http(request_, "/bin/false", code=DATAERR)[0].split()[1] == status


def test_health_reads_the_request_first():
    client, h = start("health", "/bin/echo", "ok")
    with client, h:
        client.sendall(b"GET / HTTP/1.1\r\nHost:")
        time.sleep(0.2)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(hatch.DEADLINE)
        client.sendall(b" x\r\n\r\n")
        assert b"200 OK" in hatch.read_all(client)
        client.close()
        h.expect(OK)


def test_health_byte_by_byte():
    client, h = start("health", "/bin/echo", "ok")
    with client, h:
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n":
            client.sendall(bytes([byte]))
        assert hatch.read_all(client).endswith(b"\r\n\r\nok\n")
        client.close()
        h.expect(OK)


def test_health_port_check_alone():
    client, h = start("health", "/bin/false")
    client.close()
    h.expect(OK)


def test_health_slow_request():
    assert http(b"GET / HT", "-t", "1", "/bin/true", half_close=False,
                code=TEMPFAIL)[0].split()[1] == "408"


@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & sleep 60", "trap '' TERM; sleep 60"])
def test_health_command_takes_too_long(script):
    begin = time.monotonic()
    status, _, body = http(b"GET / HTTP/1.0\r\n\r\n", "-t", "1", "/bin/sh", "-c",
                           "echo begun; " + script, text="took too long")
    assert status.split()[1] == "503" and body == b"begun\n"
    assert time.monotonic() - begin < 5


def test_health_command_leaves_a_child():
    """A child that holds the pipe open doesn't hold the answer up."""
    begin = time.monotonic()
    body = http(b"GET / HTTP/1.0\r\n\r\n", "/bin/sh", "-c", "sleep 7 2>/dev/null & echo ok")[2]
    assert body == b"ok\n"
    assert time.monotonic() - begin < 5


def test_health_much_output():
    status, fields, body = http(b"GET / HTTP/1.0\r\n\r\n", "/bin/sh", "-c",
                                "head -c 1000000 /dev/zero")
    assert status.split()[1] == "200" and body == b"\0" * 65536


def test_health_missing_command():
    status, _, body = http(b"GET / HTTP/1.0\r\n\r\n", "/nonexistent/check",
                           text="cannot run /nonexistent/check: No such file")
    assert status.split()[1] == "503" and body == b"503 Service Unavailable\n"


def test_health_command_dies_with_the_handler(tmp_path):
    client, h = start("health", "/bin/sh", "-c", "echo $$ > %s/pid; exec sleep 60" % tmp_path)
    with client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        pid = int(hatch.wait_until(lambda: (tmp_path / "pid").exists() and
                                   (tmp_path / "pid").read_text()))
        h.proc.terminate()
        h.end()
        hatch.wait_until(lambda: not os.path.exists("/proc/%d" % pid) or
                         hatch.status_field(pid, "State").startswith("Z"))


# env


def test_env_text():
    got = ask("env", env={"PROTO": "TCP", "ODD": "a=b\n\x7f"}, pair=unix_pair).decode()
    lines = dict(line.split("=", 1) for line in got.splitlines())
    assert lines["env.PROTO"] == "TCP" and lines["env.ODD"] == "a=b\\x0a\\x7f"
    assert lines["process.uid"] == "%d %d %d" % os.getresuid()
    assert sorted(k for k in lines if k.startswith("fd.")) == ["fd.0", "fd.1", "fd.2"]
    assert lines["fd.0"].startswith("socket:[") and "a stream connection" in lines["fd.0"]


@pytest.mark.parametrize("how", ["stream", "session", "listener", "datagram", "by hand"])
def test_env_json(how):
    env = {"QUOTE": '"\\', "BYTES": b"\xff\xc3\xa9".decode("latin-1")}
    if how == "stream":
        got = ask("env", "--json", env=env)
    elif how == "session":
        ours, h = start_session("env", "--json", env=env)
        with ours:
            ours.send(b"?")
            got = ours.recv(65536)
        h.expect(OK)
    elif how == "by hand":
        got = subprocess.run([handler.path("env"), "--json"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, env=env, check=True).stdout
    else:
        make = handler.listener if how == "listener" else handler.datagram_socket
        with make() as s, Handler("env", "--json", stdin=s, env=env):
            if how == "listener":
                got = hatch.tcp_request(s.getsockname()[1])
            else:
                got = hatch.udp_request(s.getsockname()[1], b"?")
    seen = json.loads(got)
    assert seen["env.QUOTE"] == '"\\'
    assert seen["env.BYTES"].encode("latin-1").decode() == env["BYTES"]
    assert seen["process.directory"] == os.getcwd()


def test_env_sees_limits_and_signals():
    def set_up():
        import resource
        import signal
        resource.setrlimit(resource.RLIMIT_NOFILE, (77, 88))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        os.umask(0o27)
        os.nice(3)

    nice = os.nice(0)
    seen = json.loads(ask("env", "--json", preexec_fn=set_up))
    assert seen["limit.nofile"] == "77 88"
    assert seen["signal.10"] == "ignored" and seen["signal.12"] == "blocked"
    assert seen["process.umask"] == "027" and seen["process.nice"] == str(nice + 3)


# Datagram sessions


@pytest.mark.parametrize("name, question, answer", [
    ("upper", b"abc \xc3\xa4", b"ABC \xc3\xa4"), ("parrot", b"\0\1\2", b"\0\1\2"),
    ("parrot", b"x" * 65507, b"x" * 65507), ("counter", ints(41), ints(42)),
    ("hello", b"anything", b"hello, 192.0.2.1:5\r\n")])
def test_session(name, question, answer):
    ours, h = start_session(name, env={"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "5"})
    with ours:
        for _ in range(3):
            ours.send(question)
            assert ours.recv(100000) == answer
        ours.shutdown(socket.SHUT_WR)
        h.expect(OK)


def test_session_counter_leaves_wrong_lengths_unanswered():
    ours, h = start_session("counter")
    with ours:
        for data in (b"abc", ints(1) + b"x", b"x" * 60000, ints(7)):
            ours.send(data)
        assert ours.recv(100) == ints(8)
        ours.close()
        h.expect(OK)


def test_session_keeps_datagrams_apart():
    ours, h = start_session("upper")
    with ours:
        for i in range(100):
            ours.send(b"d%d" % i)
        assert [ours.recv(100) for _ in range(100)] == [b"D%d" % i for i in range(100)]
    h.expect(OK)


def test_session_silence_is_no_failure():
    ours, h = start_session("parrot", "-t", "1")
    with ours:
        h.expect(OK)


# wait = yes


@HOSTS
@pytest.mark.parametrize("blocking", [True, False])
def test_wait_stream(host, blocking):
    """One client after the other; then, when none comes, the end."""
    with handler.listener(host) as s:
        s.setblocking(blocking)
        with Handler("upper", "-i", "1", stdin=s) as h:
            for i in range(5):
                got = hatch.tcp_request(s.getsockname()[1], b"client %d" % i, host)
                assert got == b"CLIENT %d" % i
            h.expect(OK)


def test_wait_stream_survives_its_clients():
    with handler.listener() as s, Handler("counter", "-t", "1", "-i", "2", stdin=s) as h:
        port = s.getsockname()[1]
        silent = hatch.connect(port)            # served first, and for a second only
        handler.reset(hatch.connect(port))
        assert hatch.tcp_request(port, b"odd") == b""
        assert hatch.tcp_request(port, ints(1)) == ints(2)
        silent.close()
        h.expect(OK)


@HOSTS
@pytest.mark.parametrize("name, question, answer", [
    ("upper", b"abc", b"ABC"), ("parrot", b"x" * 20000, b"x" * 20000), ("parrot", b"", b""),
    ("counter", ints(41), ints(42))])
def test_wait_datagram(host, name, question, answer):
    with handler.datagram_socket(host) as s, Handler(name, "-i", "1", stdin=s) as h:
        for _ in range(3):
            assert hatch.udp_request(s.getsockname()[1], question, host) == answer
        h.expect(OK)


def test_wait_datagram_unix(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as c:
        s.bind(str(tmp_path / "s"))
        with Handler("upper", stdin=s):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
                nameless.sendto(b"nobody can answer this", str(tmp_path / "s"))
            c.bind(str(tmp_path / "c"))
            c.sendto(b"abc", str(tmp_path / "s"))
            c.settimeout(hatch.DEADLINE)
            assert c.recv(100) == b"ABC"


def test_wait_datagram_gets_no_ping_pong():
    """No answer to a service's port: two parrots would go on for ever."""
    with handler.datagram_socket() as s, Handler("parrot", stdin=s), \
            handler.datagram_socket("127.0.0.1") as c:
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(("127.0.0.2", s.getsockname()[1]))
        senders = [own]
        if hatch.IS_ROOT:
            low = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            low.bind(("127.0.0.3", 7))
            senders.append(low)
        for sender in senders:
            sender.sendto(b"ping", s.getsockname())
        c.sendto(b"me", s.getsockname())
        c.settimeout(hatch.DEADLINE)
        assert c.recv(10) == b"me"
        for sender in senders:
            sender.setblocking(False)
            with pytest.raises(BlockingIOError):
                sender.recv(10)
            sender.close()


def test_wait_with_listen_fds():
    """Several sockets from fd 3, IPv4 and UNIX, by one process."""
    with handler.listener() as a, handler.listener() as b:
        def set_up():
            os.dup2(a.fileno(), 203)
            os.dup2(b.fileno(), 204)
            os.dup2(203, 3)
            os.dup2(204, 4)
        p = subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$0" -i 1',
                              handler.path("upper")], stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, close_fds=False, preexec_fn=set_up)
        for s in (a, b, a):
            assert hatch.tcp_request(s.getsockname()[1], b"abc") == b"ABC"
        assert p.communicate(timeout=hatch.DEADLINE) == (None, b"") and p.returncode == OK


def test_parallel_connections():
    """As many handlers as clients, as with wait = no."""
    running = [start("upper", pair=unix_pair) for _ in range(100)]
    for i, (client, _) in enumerate(running):
        client.sendall(b"client %d" % i)
    for i, (client, h) in enumerate(running):
        assert client.recv(100) == b"CLIENT %d" % i
        client.close()
        h.expect(OK)


# The examples of services/README.md


def readme(language):
    with open(os.path.join(hatch.TOP, "services", "README.md")) as f:
        return f.read().split("```%s\n" % language, 1)[1].split("```", 1)[0]


@pytest.mark.parametrize("language", ["c", "sh", "python"])
def test_readme_example(tmp_path, language):
    """Each is complete, and does what it says."""
    program = tmp_path / "program"
    if language == "c":
        cc = shutil.which("cc") or pytest.skip("no C compiler")
        (tmp_path / "program.c").write_text(readme("c"))
        subprocess.run([cc, "-Wall", "-o", program, tmp_path / "program.c"], check=True)
    else:
        program.write_text(readme(language))
        program.chmod(0o755)
    command = {"c": [program], "sh": ["sh", program], "python": [sys.executable, program]}[language]
    client, theirs = tcp_pair()
    with client, theirs:
        p = subprocess.Popen(command, stdin=theirs, stdout=theirs, env={"REMOTE_ADDR": "192.0.2.7"})
        theirs.close()
        client.sendall(b"ann\n")
        client.shutdown(socket.SHUT_WR)
        assert hatch.read_all(client) == {"c": b"ann\n", "python": b"ANN\n",
                                          "sh": b"hello ann, you are 192.0.2.7\n"}[language]
        assert p.wait(hatch.DEADLINE) == 0


def test_source_is_small_and_stands_alone():
    """One file of at most 150 lines, which includes no other part of hatchd."""
    folder = os.path.join(hatch.TOP, "services")
    sources = sorted(f for f in os.listdir(folder) if f.endswith(".c"))
    assert [f[:-2] for f in sources] == sorted(handler.NAMES)
    for name in os.listdir(folder):
        if name.endswith((".c", ".h")):
            with open(os.path.join(folder, name)) as f:
                text = f.read()
            assert name.endswith(".h") or text.count("\n") <= 150, name
            assert all(i in ("config.h", "svc.h", "svc_wait.h", "svc_conn.h")
                       for i in re.findall(r'#include "(.*)"', text)), name
