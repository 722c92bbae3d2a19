# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""PROXY headers: from a HAProxy, and by hand as no proxy would send them.  What
they convey is the client, in the handler's environment, in the log, in limits
and lists; nothing of them reaches the handler, and nothing behind them is lost."""
import os
import re
import socket
import threading
import time

import pytest

import hatch
import prefix
import world
from prefix import client, nothing_left, talk, v1, v2

# stderr: no socket for it, so that descriptors can be counted.
CAT = 'exec = { "/bin/cat" } stderr = "null"'
PAYLOAD = bytes(range(256)) * 80


@pytest.fixture
def who(shared_tmp):
    """A handler that tells who its client is, then repeats what it is told."""
    return 'exec = { "%s" } stderr = "null"' % prefix.script(shared_tmp, "who", prefix.WHO)


def service(what, name="who", proxy='from = { "127.0.0.1" } timeout = 20s', more=""):
    return """
service "%s" {
    listen = { "tcp4:127.0.0.1:@%s@" }
    %s
    proxy { %s }
    %s
}
""" % (name, name, what, proxy, more)


def ask(daemon, header, data=b"", name="who", source=None):
    return talk(client(daemon.port[name], source), header + data)


def check_told(daemon, peer, local, n=1, svc="who"):
    """The log has it, with the proxy's address."""
    start, end = daemon.wait_log("start", n=n, svc=svc), daemon.wait_log("end", n=n, svc=svc)
    assert start["local"] == local
    for line in start, end:
        assert line["peer"] == peer
        assert line["via"].startswith("127.0.0.1:")


# Headers by hand


@pytest.mark.parametrize("header,peer,local", [
    (v1("192.0.2.7"), "192.0.2.7:4242", "198.51.100.1:80"),
    (v1("2001:db8::7", "2001:db8::80", 1, 65535), "[2001:db8::7]:1", "[2001:db8::80]:65535"),
    (v2("192.0.2.7"), "192.0.2.7:4242", "198.51.100.1:80"),
    (v2("2001:db8::7"), "[2001:db8::7]:4242", "[2001:db8::80]:80"),
    (v2("192.0.2.7", tlvs=prefix.tlv(0x04, b"x" * 9) + prefix.tlv(0x02, b"example.org")),
     "192.0.2.7:4242", "198.51.100.1:80"),
    (v2("192.0.2.7", tlvs=prefix.tlv(0xe0, b"PROXY " * 10000)), "192.0.2.7:4242",
     "198.51.100.1:80"),
], ids=["v1-ipv4", "v1-ipv6", "v2-ipv4", "v2-ipv6", "v2-tlvs", "v2-60000"])
def test_header_with_payload_behind_it(hatchd, who, header, peer, local):
    daemon = hatchd(service(who))
    with nothing_left(daemon):
        got = ask(daemon, header, PAYLOAD)
    ip, port = re.fullmatch(r"\[?([^]]*)\]?:(\d+)", peer).groups()
    local_ip, local_port = re.fullmatch(r"\[?([^]]*)\]?:(\d+)", local).groups()
    assert got == ("%s %s %s %s\n" % (ip, port, local_ip, local_port)).encode() + PAYLOAD
    check_told(daemon, peer, local)


@pytest.mark.parametrize("header", [
    v1("192.0.2.7"), v2("192.0.2.7", tlvs=prefix.tlv(0x04, b"abc"))], ids=["v1", "v2"])
def test_byte_by_byte(hatchd, who, header):
    daemon = hatchd(service(who))
    with nothing_left(daemon), client(daemon.port["who"]) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for c in header + b"payload":
            s.sendall(bytes([c]))
            time.sleep(0.001)       # so that it is a segment of its own
        s.shutdown(socket.SHUT_WR)
        assert hatch.read_all(s) == b"192.0.2.7 4242 198.51.100.1 80\npayload"


@pytest.mark.parametrize("header", [
    v2(command=0), v2("192.0.2.7", command=0), v2(command=0, family=0x77, tlvs=b"\xff" * 300),
    v2(), v2(tlvs=prefix.tlv(0x04, b"")), v2(family=0x31, tlvs=b"\0" * 216),
    b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
], ids=["local", "local-inet", "local-odd", "unspec", "unspec-tlv", "unix", "unknown",
        "unknown-text"])
def test_own_connections_of_the_proxy(hatchd, who, header):
    daemon = hatchd(service(who))
    with client(daemon.port["who"]) as s:
        me = "127.0.0.1:%d" % s.getsockname()[1]
        s.sendall(header + b"hello")
        s.shutdown(socket.SHUT_WR)
        told, rest = hatch.read_all(s).split(b"\n")
    assert told.decode().split() == me.split(":") + ["127.0.0.1", str(daemon.port["who"])]
    assert rest == b"hello"
    start = daemon.wait_log("start", svc="who")
    assert start["peer"] == me and "via" not in start


@pytest.mark.parametrize("header", [
    v2("::ffff:192.0.2.7", "::ffff:198.51.100.1"), v1("::ffff:192.0.2.7", "::ffff:198.51.100.1")])
def test_mapped_addresses_are_what_they_map(hatchd, who, header):
    more = 'access { deny = { "192.0.2.7" } }'
    daemon = hatchd(service(who) + service(CAT, "closed", more=more))
    assert ask(daemon, header, b"hello") == b"192.0.2.7 4242 198.51.100.1 80\nhello"
    check_told(daemon, "192.0.2.7:4242", "198.51.100.1:80")
    with client(daemon.port["closed"]) as s:
        s.sendall(header)
        assert prefix.is_ended(s)
    assert daemon.wait_log("refuse", svc="closed")["reason"] == "access"


BAD = {
    "http": b"GET / HTTP/1.0\r\n\r\n",
    "zeros": b"\0" * 300,
    "long-line": b"PROXY TCP4 " + b"1" * 300,
    "long-unknown": b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n",
    "no-address": b"PROXY TCP4 host.example.org 192.0.2.1 1 2\r\n",
    "mixed": b"PROXY TCP4 2001:db8::1 192.0.2.1 1 2\r\n",
    "lf": b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n",
    "port": b"PROXY TCP4 192.0.2.7 192.0.2.1 1 65536\r\n",
    "blanks": b"PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
    "lower-case": b"proxy TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
    "udp": b"PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n",
    "v2-signature": prefix.SIGNATURE[:11] + b"X" + b"\0" * 20,
    "v2-version": prefix.SIGNATURE + b"\x31\x11\0\x0c" + b"\0" * 12,
    "v2-command": v2("192.0.2.7", command=5),
    "v2-udp": v2("192.0.2.7", family=0x12),
    "v2-short": prefix.SIGNATURE + b"\x21\x21\0\x0c" + b"\0" * 12,
}


def test_what_is_no_header_is_refused(hatchd, who):
    daemon = hatchd(service(who))
    with nothing_left(daemon):
        for n, (name, data) in enumerate(BAD.items(), 1):
            with client(daemon.port["who"]) as s:
                s.sendall(data)
                assert prefix.is_ended(s), name
            line = daemon.wait_log("refuse", n=n, svc="who")
            assert line["reason"] == "proxy" and line["peer"].startswith("127.0.0.1:"), name
        assert ask(daemon, v1("192.0.2.7"), b"on").endswith(b"\non")
    assert len(daemon.log_lines("start")) == 1
    assert prefix.refused(daemon, "who", "proxy") == len(BAD)


def test_who_leaves_in_the_midst_of_a_header(hatchd, who):
    """No session, no line in the log; but counted."""
    daemon = hatchd(service(who))
    headers = [b"", v1("192.0.2.7")[:-1], v2("192.0.2.7")[:-1], v2("192.0.2.7")[:13],
               v2("192.0.2.7", tlvs=b"\4\0\5hello")[:-3], b"\r"]
    with nothing_left(daemon):
        for n, data in enumerate(headers, 1):
            with client(daemon.port["who"]) as s:
                if data:
                    s.sendall(data)
                if n % 2:
                    s.shutdown(socket.SHUT_WR)
                    assert prefix.is_ended(s)
            prefix.wait_refused(daemon, "who", "proxy", n)
        assert ask(daemon, v1("192.0.2.7"), b"on").endswith(b"\non")
    assert not daemon.log_lines("refuse")
    assert len(daemon.log_lines("start")) == 1


def test_reset_behind_the_header_is_not_served(hatchd, who):
    """As a proxy ends its health checks: no process, no line in the log."""
    daemon = hatchd(service(who))
    rounds = 20
    with nothing_left(daemon):
        for n in range(rounds):
            with client(daemon.port["who"]) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                s.sendall(v1("127.0.0.1") if n % 2 else v2(command=0))
        hatch.wait_until(lambda: world.counters(daemon, "who")["accepted"] == rounds)
    assert not daemon.log_lines("refuse")
    # what the talker had passed on before the reset came is started
    assert len(daemon.log_lines("start")) <= rounds // 4


def test_slow_headers_are_refused_and_hold_up_nobody(hatchd, who):
    daemon = hatchd(service(who, proxy='from = { "127.0.0.1" } timeout = 1s'))
    begin = time.monotonic()
    with nothing_left(daemon):
        silent = [client(daemon.port["who"]) for _ in range(40)]
        for n, s in enumerate(silent):
            s.sendall(v2("192.0.2.7")[:n % 20])
        for _ in range(5):
            assert ask(daemon, v1("192.0.2.7"), b"on").endswith(b"\non")
        for s in silent[::2]:           # a byte now and then is not enough
            s.sendall(b"")
        for s in silent:
            assert prefix.is_ended(s)
            s.close()
        assert 0.9 < time.monotonic() - begin < 1 + hatch.DEADLINE / 3
    assert prefix.refused(daemon, "who", "proxy") == 40
    line = daemon.wait_log("refuse", svc="who")
    assert line["reason"] == "proxy" and line["peer"].startswith("127.0.0.1:")
    assert len(daemon.log_lines("start")) == 5


def test_dripping_header_is_refused(hatchd):
    """The time is for all of it, not for each byte."""
    daemon = hatchd(service(CAT, proxy='from = { "127.0.0.1" } timeout = 500ms'))
    begin = time.monotonic()
    with client(daemon.port["who"]) as s:
        with pytest.raises(OSError):
            for c in v1("192.0.2.7", "192.0.2.111") * 30:
                s.sendall(bytes([c]))
                time.sleep(0.05)
                if prefix.refused(daemon, "who", "proxy"):
                    raise OSError
    assert 0.4 < time.monotonic() - begin < hatch.DEADLINE
    assert not daemon.log_lines("start")


# Who may send one


def test_forged_header_where_it_is_required(hatchd):
    daemon = hatchd(service(CAT))
    with nothing_left(daemon), client(daemon.port["who"], "127.0.0.66") as s:
        s.sendall(v1("192.0.2.7") + b"hello")
        assert prefix.is_ended(s)
    line = daemon.wait_log("refuse", svc="who")
    assert line["reason"] == "proxy" and line["peer"].startswith("127.0.0.66:")
    assert "192.0.2.7" not in daemon.log() and not daemon.log_lines("start")


def test_forged_header_where_it_is_not_required(hatchd, who):
    """It is data like any other."""
    daemon = hatchd(service(who, proxy='from = { "127.0.0.1" } required = no'))
    for header in v1("192.0.2.7"), v2("192.0.2.7"):
        with client(daemon.port["who"], "127.0.0.66") as s:
            me = s.getsockname()
            told = b"%s %d 127.0.0.1 %d\n" % (me[0].encode(), me[1], daemon.port["who"])
            assert talk(s, header + b"hello") == told + header + b"hello"
    start = daemon.wait_log("start", n=2, svc="who")
    assert start["peer"].startswith("127.0.0.66:") and "via" not in start
    assert ask(daemon, v1("192.0.2.7"), b"hello") == b"192.0.2.7 4242 198.51.100.1 80\nhello"


def test_lists_and_limits_judge_the_client(hatchd):
    daemon = hatchd(service(CAT, more="""
    access { deny = { "192.0.2.66", "127.0.0.0/8" } }
    limits { per_source = 2 source_prefix4 = 32 }
"""))
    with nothing_left(daemon):
        with client(daemon.port["who"]) as s:
            s.sendall(v1("192.0.2.66") + b"x")
            assert prefix.is_ended(s)
        line = daemon.wait_log("refuse", svc="who")
        assert (line["reason"], line["peer"]) == ("access", "192.0.2.66:4242")
        with client(daemon.port["who"]) as s:       # the proxy's own are its own
            s.sendall(b"PROXY UNKNOWN\r\n")
            assert prefix.is_ended(s)
        line = daemon.wait_log("refuse", n=2, svc="who")
        assert line["reason"] == "access" and line["peer"].startswith("127.0.0.1:")
        held = []
        for n in range(2):
            held.append(client(daemon.port["who"]))
            held[n].sendall(v2("192.0.2.1", port=n + 1) + b"x")
            assert held[n].recv(1) == b"x"
        with client(daemon.port["who"]) as s:
            s.sendall(v2("192.0.2.1", port=3))
            assert prefix.is_ended(s)
        line = daemon.wait_log("refuse", n=3, svc="who")
        assert (line["reason"], line["peer"]) == ("source-instances", "192.0.2.1:3")
        assert ask(daemon, v2("192.0.2.2"), b"hello") == b"hello"
        for s in held:
            s.close()


def test_rate_per_source_is_the_clients(hatchd):
    daemon = hatchd(service(CAT, more='limits { rate_per_source = "2/1h" }'))
    for n in range(4):
        with client(daemon.port["who"]) as s:
            s.sendall(v2("192.0.2.1", port=n + 1) + b"x")
            if n < 2:
                assert s.recv(1) == b"x"
            else:
                assert prefix.is_ended(s)
        assert ask(daemon, v2("192.0.2.%d" % (n + 10)), b"hello") == b"hello"
    assert {e["reason"] for e in daemon.log_lines("refuse")} == {"source-rate"}


def test_full_service_queues_and_serves_in_order(hatchd):
    """More connections with their headers read than may be served at once."""
    daemon = hatchd(service(CAT, more="limits { instances = 2 }"))
    with nothing_left(daemon):
        socks = [client(daemon.port["who"]) for _ in range(12)]
        for n, s in enumerate(socks):
            s.sendall(v2("192.0.2.%d" % (n + 1)) + b"hello %d" % n)
        for n, s in enumerate(socks):
            s.shutdown(socket.SHUT_WR)
        for n, s in enumerate(socks):
            assert talk(s, half_close=False) == b"hello %d" % n
    assert len(daemon.log_lines("end", svc="who")) == 12


# What else there is between header and handler


@pytest.mark.parametrize("header", [v1("192.0.2.7"), v2("192.0.2.7")], ids=["v1", "v2"])
def test_internal_service_behind_a_proxy(hatchd, header):
    daemon = hatchd(service('internal = "echo"'))
    with nothing_left(daemon):
        assert ask(daemon, header, PAYLOAD) == PAYLOAD
    check_told(daemon, "192.0.2.7:4242", "198.51.100.1:80")


def test_banner_and_first_byte_behind_a_proxy(hatchd, who):
    daemon = hatchd(service(who, more="""
    banner { open = "welcome\\r\\n" refuse = "go away\\r\\n" }
    timeouts { first_byte = 700ms }
    access { deny = { "192.0.2.66" } }
"""))
    with nothing_left(daemon):
        with client(daemon.port["who"]) as s:
            s.settimeout(0.1)
            with pytest.raises(TimeoutError):       # who has to speak first is the proxy
                s.recv(1)
            s.settimeout(hatch.DEADLINE)
            s.sendall(v1("192.0.2.7"))
            assert s.recv(100) == b"welcome\r\n"
            assert not daemon.log_lines("start")
            assert talk(s, b"hello") == b"192.0.2.7 4242 198.51.100.1 80\nhello"
        assert ask(daemon, v1("192.0.2.7"), b"all at once") == \
            b"welcome\r\n192.0.2.7 4242 198.51.100.1 80\nall at once"
        assert ask(daemon, v1("192.0.2.66"), b"hello") == b"go away\r\n"
        with client(daemon.port["who"]) as s:
            s.sendall(v1("192.0.2.8"))
            assert hatch.read_all(s) == b"welcome\r\ngo away\r\n"
        line = daemon.wait_log("refuse", n=2, svc="who")
        assert (line["reason"], line["peer"]) == ("first-byte", "192.0.2.8:4242")
        assert ask(daemon, v1("192.0.2.9")) == b"welcome\r\n"       # gone without a word
    assert len(daemon.log_lines("refuse")) == 2
    assert len(daemon.log_lines("start")) == 2


def test_socket_of_the_handler_is_as_usual(hatchd):
    daemon = hatchd(service('exec = { "/bin/sleep", "60" }') + """
service "plain" {
    listen = { "tcp4:127.0.0.1:@plain@" }
    exec = { "/bin/sleep", "60" }
}
""")
    with client(daemon.port["who"]) as a, client(daemon.port["plain"]) as b:
        a.sendall(v1("192.0.2.7"))
        got, _ = world.of_handler(daemon, "who")
        usual, _ = world.of_handler(daemon, "plain")
        assert sorted(got.fds) == sorted(usual.fds) == [0, 1, 2]
        assert got.fds[0] == got.fds[1] and got.fds[0].startswith("socket:")
        assert [got.fd_flags(fd) for fd in (0, 1, 2)] == [usual.fd_flags(fd) for fd in (0, 1, 2)]
        assert not got.fd_flags(0) & os.O_NONBLOCK
        assert set(got.env) == set(usual.env)
        assert got.signals == usual.signals and got.limits == usual.limits
        # not as that of an idle connection, which is ended with its client only
        for s in a, b:
            s.close()
        for pid in daemon.handlers():
            os.kill(pid, 15)


# The talker, and reloads


def test_talker_killed_while_headers_are_waited_for(hatchd, who):
    daemon = hatchd(service(who))
    with nothing_left(daemon):
        socks = [client(daemon.port["who"]) for _ in range(20)]
        hatch.wait_until(lambda: prefix.running(daemon) == 20)
        daemon.kill_talker()
        for n, s in enumerate(socks):
            s.sendall((v2 if n % 2 else v1)("192.0.2.7", port=n + 1) + b"payload %d" % n)
        for n, s in enumerate(socks):
            assert talk(s) == b"192.0.2.7 %d 198.51.100.1 80\npayload %d" % (n + 1, n)
    assert not daemon.log_lines("refuse")
    assert len(daemon.log_lines("start", svc="who")) == 20


def test_talker_killed_in_the_midst_of_headers(hatchd, who):
    """What was read of them is lost, and the rest is not taken for another one,
    which a client could have sent: they are refused."""
    daemon = hatchd(service(who))
    with nothing_left(daemon):
        socks = [client(daemon.port["who"]) for _ in range(9)]
        hatch.wait_until(lambda: prefix.running(daemon) == 9)
        begun = [v1("192.0.2.7")[:20], v2("192.0.2.7", tlvs=prefix.tlv(0x02, b"x" * 300))[:60], b""]
        for n, s in enumerate(socks):
            s.sendall(begun[n % 3])
        time.sleep(0.2)             # they are read by then, or the next talker finds all of it
        daemon.kill_talker()
        forged = v1("192.0.2.99") + b"x"
        for n, s in enumerate(socks):
            try:
                s.sendall(forged)
            except OSError:
                pass
            if n % 3 < 2:
                assert prefix.is_ended(s)
                s.close()
            else:
                assert talk(s) == b"192.0.2.99 4242 198.51.100.1 80\nx"
    assert {e["reason"] for e in daemon.log_lines("refuse")} == {"talker"}
    assert len(daemon.log_lines("start")) == 3


def test_talker_killed_when_all_has_come_and_the_client_has_ended(hatchd, who):
    """An end is no byte that was read."""
    daemon = hatchd(service(who))
    with nothing_left(daemon):
        os.kill(hatch.wait_until(lambda: daemon.talker), 9)
        socks = [client(daemon.port["who"]) for _ in range(3)]
        for s in socks:
            s.sendall(v1("192.0.2.7") + b"x")
            s.shutdown(socket.SHUT_WR)
        for s in socks:
            assert talk(s, half_close=False) == b"192.0.2.7 4242 198.51.100.1 80\nx"


def test_talker_killed_again_and_again_under_load(hatchd, who):
    """Nobody gets anything wrong.  Who is refused is one whose header it had just
    read."""
    daemon = hatchd(service(who))

    def one(n):
        with client(daemon.port["who"]) as s:
            try:
                got = talk(s, v2("192.0.2.7", port=n + 1) + b"payload %d" % n)
            except OSError:
                got = b""
        return got == b"192.0.2.7 %d 198.51.100.1 80\npayload %d" % (n + 1, n) or got
    with nothing_left(daemon):
        killer = threading.Thread(target=lambda: [daemon.kill_talker() for _ in range(3)])
        killer.start()
        got = prefix.in_parallel([lambda n=n: one(n) for n in range(300)])
        killer.join()
    lost = [g for g in got if g is not True]
    assert lost == [b""] * len(daemon.log_lines("refuse", reason="talker")) and len(lost) < 10


def test_reload_while_headers_are_waited_for(hatchd, who):
    daemon = hatchd(service(who))
    with nothing_left(daemon):
        socks = [client(daemon.port["who"]) for _ in range(10)]
        hatch.wait_until(lambda: prefix.running(daemon) == 10)
        daemon.reload(service(who, more='access { deny = { "192.0.2.66" } }'))
        for n, s in enumerate(socks[:5]):
            assert talk(s, v1("192.0.2.7", port=n + 1) + b"x") == \
                b"192.0.2.7 %d 198.51.100.1 80\nx" % (n + 1)
        with socks[5] as s:                     # what it says now holds
            s.sendall(v1("192.0.2.66"))
            assert prefix.is_ended(s)
        assert daemon.wait_log("refuse", svc="who")["reason"] == "access"
        daemon.reload(service(who, proxy='from = { } '))
        for s in socks[6:]:                     # these came when it was wanted
            assert talk(s, v1("192.0.2.7") + b"x") == b"192.0.2.7 4242 198.51.100.1 80\nx"
        header = v1("192.0.2.7")
        assert ask(daemon, header).split(b"\n", 1)[1] == header


@pytest.mark.parametrize("into", [
    "", 'service "who" { listen = { "tcp4:127.0.0.1:@who@" } internal = "echo" }',
    'service "who" { listen = { "tcp4:127.0.0.1:@who@" } exec = { "/bin/cat" } wait = yes }',
    'service "who" { listen = { "tcp4:127.0.0.1:@who@" } internal = "tcpmux" }',
], ids=["gone", "internal", "wait", "tcpmux"])
def test_service_goes_while_headers_are_waited_for(hatchd, into):
    """Who hadn't been served yet is not served by what it has become."""
    other = service(CAT, "other")
    daemon = hatchd(service(CAT) + other)
    with nothing_left(daemon, listeners=-(into == "")):
        socks = [client(daemon.port["who"]) for _ in range(6)]
        hatch.wait_until(lambda: prefix.running(daemon) == 6)
        daemon.reload(into + "\n" + other)
        for n, s in enumerate(socks):
            try:                        # they may be ended at once
                s.sendall((v1("192.0.2.7") + b"x", b"nonsense", b"PROX")[n % 3])
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        for s in socks:
            assert prefix.is_ended(s)
            s.close()
        assert ask(daemon, v1("192.0.2.7"), b"on", "other") == b"on"


# HAProxy


needs_haproxy = pytest.mark.skipif(not prefix.has_haproxy(), reason="no haproxy here")
CHECK = "check check-send-proxy inter 50ms fall 1"
WAYS = {"v1": "send-proxy", "v2": "send-proxy-v2",
        "tlv": "send-proxy-v2 proxy-v2-options crc32c,unique-id"}


@pytest.fixture
def haproxy(shared_tmp):
    started = []

    def start(text):
        started.append(prefix.Haproxy(shared_tmp, text))
        return started[0]
    yield start
    for h in started:
        h.close()


def front(name, port, server, hosts=("127.0.0.1", "::1"), more=""):
    binds = "".join("    bind %s:%d\n" % (host, port) for host in hosts
                    if ":" not in host or hatch.has_ipv6())
    return "frontend f-%s\n%s    unique-id-format %%[uuid()]\n    default_backend %s\n" \
        "backend %s\n%s    server s %s\n" % (name, binds, name, name, more, server)


OK = ("L4OK", "L7OK")


def stays_up(h):
    """Now, and there was no check that failed."""
    rows = h.servers()
    # a star: the next one is under way
    return rows and all(r["status"] == "UP" and r["check_status"].strip("* ") in OK
                        and r["chkfail"] == r["chkdown"] == "0" for r in rows.values())


@needs_haproxy
@pytest.mark.parametrize("to", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])
def test_haproxy_conveys_its_clients(hatchd, haproxy, who, to):
    daemon = hatchd("".join("""
service "%s" {
    listen = { "tcp:%s:@%s@" }
    %s
    proxy { from = { "%s" } }
}
""" % (name, "[::1]" if ":" in to else to, name, who, to) for name in WAYS))
    ports = {name: hatch.free_port() for name in WAYS}
    with nothing_left(daemon):
        h = haproxy("".join(front(name, ports[name], "%s:%d %s %s" % (
            to, daemon.port[name], way, CHECK)) for name, way in WAYS.items()))
        for name, port in ports.items():
            for n, (host, source) in enumerate([("127.0.0.1", "127.0.0.9"), ("::1", None)], 1):
                if ":" in host and not hatch.has_ipv6():
                    continue
                with client(port, source, host) as s:
                    ip, number = s.getsockname()[:2]
                    told = ("%s %d %s %d\n" % (ip, number, host, port)).encode()
                    assert talk(s, PAYLOAD) == told + PAYLOAD
                shown = "[%s]" if ":" in ip else "%s"
                line = daemon.wait_log("end", svc=name, peer="%s:%d" % (shown % ip, number))
                assert line["via"].rsplit(":", 1)[0] == ("[::1]" if ":" in to else to)
                start = daemon.log_lines("start", svc=name, conn=line["conn"])[0]
                assert start["local"] == "%s:%d" % (shown % host, port)
        checks = hatch.wait_until(lambda: world.counters(daemon, "v1")["accepted"] >= 20)
        assert checks and stays_up(h)
        h.close()
    # of the checks, more than 20 each, there is no word of complaint, and at least
    # those that are seen to be over when they have been read start no handler
    assert not daemon.log_lines("refuse")
    checks = sum(world.counters(daemon, name)["accepted"] for name in WAYS)
    assert len(daemon.log_lines("start")) < checks


@needs_haproxy
def test_haproxy_limits_and_lists_are_of_its_clients(hatchd, haproxy):
    daemon = hatchd(service(CAT, more="""
    access { deny = { "127.0.0.13" } }
    limits { per_source = 2 }
    banner { refuse = "not you\\r\\n" }
"""))
    port = hatch.free_port()
    with nothing_left(daemon):
        h = haproxy(front("who", port, "127.0.0.1:%d send-proxy-v2 %s" % (daemon.port["who"],
                                                                         CHECK)))
        assert talk(client(port, "127.0.0.13"), half_close=False) == b"not you\r\n"
        line = daemon.wait_log("refuse", svc="who")
        assert line["reason"] == "access" and line["peer"].startswith("127.0.0.13:")
        held = [client(port, "127.0.0.11") for _ in range(2)]
        for s in held:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        assert talk(client(port, "127.0.0.11"), half_close=False) == b"not you\r\n"
        line = daemon.wait_log("refuse", n=2, svc="who")
        assert line["reason"] == "source-instances" and line["peer"].startswith("127.0.0.11:")
        got = prefix.in_parallel([lambda n=n: talk(client(port, "127.0.0.%d" % (n + 100)), b"hi")
                                  for n in range(60)])
        assert got == [b"hi"] * 60
        for s in held:
            s.close()
        assert stays_up(h)
        h.close()


@needs_haproxy
@pytest.mark.parametrize("way,own", [("send-proxy", False), ("send-proxy-v2", True)])
def test_haproxy_checks_that_want_an_answer(hatchd, haproxy, who, way, own):
    """Its own connections are served, by its own address."""
    daemon = hatchd(service(who))
    more = "    option tcp-check\n    tcp-check connect send-proxy\n" \
        "    tcp-check expect rstring ^127\\.0\\.0\\.1\\ [0-9]+\\ 127\n"
    with nothing_left(daemon):
        h = haproxy(front("who", hatch.free_port(), "127.0.0.1:%d %s check inter 100ms" % (
            daemon.port["who"], way), more=more))
        daemon.wait_log("end", n=3, svc="who", timeout=10)
        row = h.servers()["who"]
        assert row["status"] == "UP" and row["check_status"].strip("* ") == "L7OK", row
        assert stays_up(h)
        h.close()
    for line in daemon.log_lines("start"):
        assert line["peer"].startswith("127.0.0.1:")
        assert ("via" not in line) is own


@needs_haproxy
def test_haproxy_sees_no_end_of_the_talker_and_no_reload(hatchd, haproxy, who):
    daemon = hatchd(service(who))
    port = hatch.free_port()
    stop = threading.Event()

    def client_loop():
        n = 0
        while not stop.is_set():
            try:
                got = talk(client(port, "127.0.0.9"), b"hello")
            except ConnectionResetError:
                got = b""
            # none: its header was being read by the talker that was killed
            assert got == b"" or got.startswith(b"127.0.0.9 ") and got.endswith(b"\nhello"), got
            n += got != b""
        return n
    with nothing_left(daemon):
        h = haproxy(front("who", port, "127.0.0.1:%d send-proxy %s" % (daemon.port["who"], CHECK)))
        loops = [None] * 4

        def run(i):
            try:
                loops[i] = client_loop()
            except Exception as e:      # told below
                loops[i] = e
        threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for _ in range(2):
            daemon.kill_talker()
            daemon.reload()
        stop.set()
        for t in threads:
            t.join(hatch.DEADLINE)
        assert all(isinstance(n, int) and n > 0 for n in loops), loops
        assert stays_up(h)
        h.close()
    refused = daemon.log_lines("refuse")
    assert len(refused) == len(daemon.log_lines("refuse", reason="talker")) <= 2


@needs_haproxy
def test_haproxy_without_a_header_stays_down(hatchd, haproxy):
    """A server line without send-proxy: it is told, not served."""
    daemon = hatchd(service(CAT, proxy='from = { "127.0.0.1" } timeout = 300ms'))
    port = hatch.free_port()
    with nothing_left(daemon):
        h = haproxy(front("who", port, "127.0.0.1:%d" % daemon.port["who"]))
        assert talk(client(port), b"GET / HTTP/1.0\r\n\r\n", half_close=False) == b""
        assert talk(client(port), half_close=False) == b""      # says nothing: timeout
        h.close()
    assert [e["reason"] for e in daemon.log_lines("refuse")] == ["proxy", "proxy"]
