# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""tcpmux (RFC 1078): services by name behind one port."""
import os
import socket
import time

import pytest

import hatch
import prefix
import world
from prefix import client, nothing_left, talk

# Answers for itself, as services without the plus do.
SELF = """#!/bin/sh
printf '+%s here\\r\\n' "$HATCHD_SERVICE"
echo "$TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALPORT"
exec cat
"""
MUX = """
service "mux" { listen = { "tcp4:127.0.0.1:@mux@" } internal = "tcpmux" %s }
"""
CAT = 'exec = { "/bin/cat" } stderr = "null"'


def target(name, what=CAT, mux=None, more=""):
    return 'service "%s" { %s tcpmux = "%s" %s }\n' % (name, what, mux or "+" + name, more)


def ask(daemon, line, data=b"", name="mux"):
    return talk(client(daemon.port[name]), line + b"\r\n" + data)


@pytest.fixture
def itself(shared_tmp):
    return 'exec = { "%s" } stderr = "null"' % prefix.script(shared_tmp, "self", SELF)


def test_help_lists_all_names(hatchd, itself):
    daemon = hatchd(MUX % "" + target("one") + target("two", itself, "Two") +
                    target("three", 'internal = "echo"', "+THREE") +
                    target("four", more="enabled = no") +
                    'service "five" { listen = { "tcp4:127.0.0.1:@five@" } %s }\n' % CAT)
    with nothing_left(daemon):
        for line in b"help", b"HELP", b"HeLp":
            got = ask(daemon, line)
            assert sorted(got.split(b"\r\n")) == [b"", b"one", b"three", b"two"], got
        # what follows is nobody's, and yet the answer arrives
        assert ask(daemon, b"help", b"x" * 30000) == got
        assert talk(client(daemon.port["mux"]), b"help\n") == got
    assert not daemon.log_lines("start") and not daemon.log_lines("refuse")


def test_help_without_a_service(hatchd):
    daemon = hatchd(MUX % "")
    assert ask(daemon, b"help") == b""
    assert ask(daemon, b"one") == b"-Service not available\r\n"


@pytest.mark.parametrize("line", [b"cat", b"CAT", b"Cat"])
def test_plus_is_answered_for_the_service(hatchd, line):
    daemon = hatchd(MUX % "" + target("cat", mux="+Cat"))
    with nothing_left(daemon), client(daemon.port["mux"]) as s:
        me = "127.0.0.1:%d" % s.getsockname()[1]
        s.sendall(line + b"\r\n")
        assert s.recv(100) == b"+Go\r\n"        # though the handler has got nothing
        assert talk(s, b"hello") == b"hello"
    start, end = daemon.wait_log("start", svc="cat"), daemon.wait_log("end", svc="cat")
    assert start["peer"] == end["peer"] == me and end["exit"] == "0"
    assert start["local"] == "127.0.0.1:%d" % daemon.port["mux"]
    assert world.counters(daemon, "cat")["accepted"] == 1


def test_without_plus_the_handler_answers(hatchd, itself):
    daemon = hatchd(MUX % "" + target("own", itself, "own"))
    with nothing_left(daemon), client(daemon.port["mux"]) as s:
        me = s.getsockname()[1]
        assert talk(s, b"Own\r\nhello") == b"+own here\r\n127.0.0.1 %d %d\nhello" % (
            me, daemon.port["mux"])


def test_internal_services_by_name(hatchd):
    daemon = hatchd(MUX % "" + "".join(
        target(name, 'internal = "%s"' % name) for name in ("echo", "discard", "daytime")) +
        target("bare", 'internal = "echo"', "bare"))
    data = os.urandom(100000)
    with nothing_left(daemon):
        assert ask(daemon, b"echo", data) == b"+Go\r\n" + data
        assert ask(daemon, b"bare", data) == data
        assert ask(daemon, b"discard", data) == b"+Go\r\n"
        assert ask(daemon, b"daytime")[:5] == b"+Go\r\n"
    daemon.wait_log("end", svc="echo")


def test_data_in_the_segment_of_the_line(hatchd, itself):
    daemon = hatchd(MUX % "" + target("cat") + target("own", itself, "own"))
    data = bytes(range(256)) * 200
    with nothing_left(daemon):
        assert ask(daemon, b"cat", data) == b"+Go\r\n" + data
        assert ask(daemon, b"own", data).split(b"\n", 2)[2] == data
        assert ask(daemon, b"cat", b"\r\ncat\r\n") == b"+Go\r\n\r\ncat\r\n"
        assert talk(client(daemon.port["mux"]), b"cat\n\ncat") == b"+Go\r\n\ncat"


def test_byte_by_byte(hatchd):
    daemon = hatchd(MUX % "" + target("cat"))
    with nothing_left(daemon), client(daemon.port["mux"]) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for c in b"cat\r\nhello":
            s.sendall(bytes([c]))
            time.sleep(0.002)       # so that it is a segment of its own
        assert talk(s) == b"+Go\r\nhello"


def test_what_is_no_name_is_told_and_ended_cleanly(hatchd):
    """An answer that begins with "-" and the end, whatever the client has sent."""
    daemon = hatchd(MUX % "" + target("cat"))
    bad = [b"\r\n", b"\n", b"ca\0t\r\n", b"cat\rx\r\n", "cat\u00e9\r\n".encode(),
           b"x" * 65 + b"\r\n", b"x" * 30000, b"\x16\3\1\2\0\1\0\1\xfc" + b"\xff" * 500,
           b"\r\n\r\n\0\r\nQUIT\n" * 10]
    unknown = [b"dog\r\n", b"ca\r\n", b"catt\r\n", b"+cat\r\n", b"mux\r\n", b"x" * 63 + b"\r\n",
               b" cat\r\n", b"cat \r\n", b"cat now\r\n", b"GET / HTTP/1.1\r\nHost: cat\r\n\r\n"]
    with nothing_left(daemon):
        for data in bad:
            assert talk(client(daemon.port["mux"]), data) == b"-Bad request\r\n", data
        for data in unknown:
            assert talk(client(daemon.port["mux"]), data) == b"-Service not available\r\n", data
        prefix.wait_refused(daemon, "mux", "tcpmux", len(bad) + len(unknown))
        assert ask(daemon, b"cat", b"on") == b"+Go\r\non"
    line = daemon.wait_log("refuse", svc="mux")
    assert line["reason"] == "tcpmux" and line["peer"].startswith("127.0.0.1:")
    assert len(daemon.log_lines("start")) == 1


def test_who_leaves_before_the_end_of_the_line(hatchd):
    daemon = hatchd(MUX % "" + target("cat"))
    with nothing_left(daemon):
        for n, data in enumerate([b"", b"c", b"cat", b"cat\r"]):
            assert talk(client(daemon.port["mux"]), data) == b""
            with client(daemon.port["mux"]) as s:
                s.sendall(data)
        prefix.wait_refused(daemon, "mux", "tcpmux", 8)
    assert not daemon.log_lines("refuse") and not daemon.log_lines("start")


def test_silent_clients_hold_up_nobody(hatchd):
    daemon = hatchd(MUX % "limits { per_source = 0 instances = 0 }" + target("cat"))
    with nothing_left(daemon):
        socks = [client(daemon.port["mux"]) for _ in range(300)]
        for n, s in enumerate(socks):
            s.sendall(b"cat\r"[:n % 5])
        got = prefix.in_parallel([lambda n=n: ask(daemon, b"cat", b"%d" % n) for n in range(50)])
        assert got == [b"+Go\r\n%d" % n for n in range(50)]
        for s in socks:
            s.close()


# Each service judges for itself


def test_lists_and_limits_of_the_service_hold(hatchd):
    daemon = hatchd(
        MUX % "" + target("closed", more='access { deny = { "127.0.0.0/8" } }') +
        target("hint", more='access { deny = { "127.0.0.0/8" } } '
               'banner { refuse = "ask me\\r\\n" }') +
        target("few", more='limits { instances = 1 when_full = "refuse" }') +
        target("one", more="limits { per_source = 1 }") +
        target("seldom", more='limits { rate_per_source = "1/1h" }'))
    with nothing_left(daemon):
        assert ask(daemon, b"closed", b"x" * 5000) == b"-Refused\r\n"
        assert ask(daemon, b"hint", b"x" * 5000) == b"-ask me\r\n"
        for name, reason in ((b"few", "instances"), (b"one", "source-instances")):
            with client(daemon.port["mux"]) as s:
                s.sendall(name + b"\r\n")
                assert s.recv(100) == b"+Go\r\n"
                s.sendall(b"x")
                assert s.recv(1) == b"x"
                assert ask(daemon, name, b"hello") == b"-Refused\r\n"
                assert talk(s) == b""
            line = daemon.wait_log("refuse", svc=name.decode())
            assert line["reason"] == reason
            daemon.wait_log("end", svc=name.decode())
            assert ask(daemon, name, b"hello") == b"+Go\r\nhello"
        assert ask(daemon, b"seldom", b"hello") == b"+Go\r\nhello"
        assert ask(daemon, b"seldom", b"hello") == b"-Refused\r\n"
    assert daemon.wait_log("refuse", svc="closed")["reason"] == "access"
    assert not daemon.log_lines("start", svc="closed")


def test_full_service_queues(hatchd):
    """It has been told to go on, and waits for its turn."""
    daemon = hatchd(MUX % "" + target("few", more="limits { instances = 2 }"))
    with nothing_left(daemon):
        got = prefix.in_parallel([lambda n=n: ask(daemon, b"few", b"%d" % n) for n in range(40)])
        assert got == [b"+Go\r\n%d" % n for n in range(40)]
    assert len(daemon.log_lines("end", svc="few")) == 40


def test_lists_and_limits_of_tcpmux_itself(hatchd):
    """Who waits for its line counts there, who was passed on doesn't any more."""
    daemon = hatchd(MUX % """limits { per_source = 2 } access { deny = { "127.0.0.66" } }
        banner { refuse = "no\\r\\n" }""" + target("cat"))
    with nothing_left(daemon):
        assert talk(client(daemon.port["mux"], "127.0.0.66"), b"cat\r\n") == b"no\r\n"
        served = []
        for n in range(4):
            served.append(client(daemon.port["mux"]))
            served[n].sendall(b"cat\r\n")
            assert served[n].recv(100) == b"+Go\r\n"
        waiting = [client(daemon.port["mux"]) for _ in range(2)]
        hatch.wait_until(lambda: world.counters(daemon, "mux")["running"] == 2)
        assert ask(daemon, b"cat") == b"no\r\n"
        assert daemon.wait_log("refuse", n=2, svc="mux")["reason"] == "source-instances"
        for s in waiting:
            assert talk(s, b"cat\r\nx") == b"+Go\r\nx"
        for s in served:
            assert talk(s, b"x") == b"x"


# Together with what else comes before a service


def test_banner_and_first_byte_of_the_service(hatchd):
    daemon = hatchd(MUX % "" + target("cat", more='banner { open = "welcome\\r\\n" } '
                                      "timeouts { first_byte = 500ms }") +
                    target("own", mux="own", more='banner { open = "+welcome\\r\\n" }'))
    with nothing_left(daemon):
        assert ask(daemon, b"own", b"hello") == b"+welcome\r\nhello"
        assert ask(daemon, b"cat", b"hello") == b"+Go\r\nwelcome\r\nhello"
        with client(daemon.port["mux"]) as s:
            s.sendall(b"cat\r\n")
            assert hatch.read_all(s).startswith(b"+Go\r\nwelcome\r\n")
    assert daemon.wait_log("refuse", svc="cat")["reason"] == "first-byte"
    assert len(daemon.log_lines("start", svc="cat")) == 1


def test_tcpmux_behind_a_proxy(hatchd, itself):
    daemon = hatchd(MUX % 'proxy { from = { "127.0.0.1" } }' + target("own", itself, "own") +
                    target("closed", more='access { deny = { "192.0.2.66" } }'))
    with nothing_left(daemon):
        for header in prefix.v1("192.0.2.7"), prefix.v2("192.0.2.7"):
            got = talk(client(daemon.port["mux"]), header + b"own\r\nhello")
            assert got == b"+own here\r\n192.0.2.7 4242 80\nhello"
        got = talk(client(daemon.port["mux"]), prefix.v1("192.0.2.66") + b"closed\r\nhello")
        assert got == b"-Refused\r\n"
    line = daemon.wait_log("start", svc="own")
    assert line["peer"] == "192.0.2.7:4242" and line["via"].startswith("127.0.0.1:")
    assert daemon.wait_log("refuse", svc="closed")["peer"] == "192.0.2.66:4242"


@pytest.mark.parametrize("full", ["refuse", "queue"])
def test_tcpmux_behind_a_proxy_has_its_own_instances(hatchd, full):
    """Who has not said yet who it is is none of them; who waits for room is served
    in turn."""
    more = 'proxy { from = "127.0.0.1" } limits { instances = 2 when_full = "%s" }' % full
    daemon = hatchd(MUX % more + target("cat"))
    header = prefix.v1("192.0.2.7")
    with nothing_left(daemon):
        silent = [client(daemon.port["mux"]) for _ in range(4)]
        hatch.wait_until(lambda: prefix.running(daemon) == 4)
        assert talk(client(daemon.port["mux"]), header + b"cat\r\nhello") == b"+Go\r\nhello"
        for s in silent[:3]:
            s.sendall(header)           # two instances now, and one who is too many
        if full == "refuse":
            line = daemon.wait_log("refuse", svc="mux")
            assert (line["reason"], line["peer"]) == ("instances", "192.0.2.7:4242")
            hatch.wait_until(lambda: prefix.running(daemon) == 3)
        else:
            daemon.wait_log("limit", svc="mux", reason="instances")
            late = client(daemon.port["mux"])       # has its turn behind those
            late.sendall(header + b"cat\r\nlate")
            for s in silent[:3]:
                assert talk(s, b"cat\r\nhello") == b"+Go\r\nhello"
            assert talk(late) == b"+Go\r\nlate"
        for s in silent:
            s.close()


def test_tcpmux_on_a_unix_socket(hatchd, shared_tmp):
    path = shared_tmp + "/mux"
    daemon = hatchd('service "mux" { listen = { "unix:%s" } internal = "tcpmux" }\n' % path +
                    target("cat") + target("echo", 'internal = "echo"'))
    with nothing_left(daemon):
        for name in b"cat", b"echo":
            assert talk(world.unix_client(path), name + b"\r\nhello") == b"+Go\r\nhello"
        assert talk(world.unix_client(path), b"dog\r\n") == b"-Service not available\r\n"


def test_socket_of_the_handler_is_as_usual(hatchd):
    """It was accepted for the talker, which wants it otherwise."""
    daemon = hatchd(MUX % "" + target("sleep", 'exec = { "/bin/sleep", "60" }') + """
service "plain" { listen = { "tcp4:127.0.0.1:@plain@" } exec = { "/bin/sleep", "60" } }
""")
    with client(daemon.port["mux"]) as a, client(daemon.port["plain"]):
        a.sendall(b"sleep\r\n")
        got, _ = world.of_handler(daemon, "sleep")
        usual, _ = world.of_handler(daemon, "plain")
        assert sorted(got.fds) == sorted(usual.fds) == [0, 1, 2]
        assert got.fd_flags(0) == usual.fd_flags(0) and not got.fd_flags(0) & os.O_NONBLOCK
        assert set(got.env) == set(usual.env)
        for pid in daemon.handlers():
            os.kill(pid, 15)


def test_talker_killed_while_lines_are_waited_for(hatchd):
    daemon = hatchd(MUX % "" + target("cat"))
    with nothing_left(daemon):
        socks = [client(daemon.port["mux"]) for _ in range(20)]
        hatch.wait_until(lambda: prefix.running(daemon) == 20)
        daemon.kill_talker()
        for n, s in enumerate(socks):
            assert talk(s, b"cat\r\n%d" % n) == b"+Go\r\n%d" % n
    assert not daemon.log_lines("refuse")


def test_talker_killed_in_the_midst_of_lines(hatchd):
    """The rest of one is not taken for another name."""
    daemon = hatchd(MUX % 'proxy { from = { "127.0.0.1" } }' + target("sftp") + target("ftp"))
    with nothing_left(daemon):
        half, whole = client(daemon.port["mux"]), client(daemon.port["mux"])
        half.sendall(prefix.v1("192.0.2.7") + b"s")
        whole.sendall(prefix.v1("192.0.2.7"))
        hatch.wait_until(lambda: world.control(daemon, "connections")["connections"][1:])
        time.sleep(0.2)             # it is read by then
        daemon.kill_talker()
        try:
            half.sendall(b"ftp\r\nhello")
        except OSError:
            pass
        with half:
            assert prefix.is_ended(half)
        assert talk(whole, b"ftp\r\nhello") == b"+Go\r\nhello"
    assert daemon.wait_log("refuse", svc="mux")["reason"] == "talker"
    assert len(daemon.log_lines("start")) == 1


# Reloads


def test_reload_changes_names(hatchd, itself):
    daemon = hatchd(MUX % "" + target("a") + target("b"))
    with nothing_left(daemon):
        waiting = [client(daemon.port["mux"]) for _ in range(4)]
        hatch.wait_until(lambda: prefix.running(daemon) == 4)
        held = client(daemon.port["mux"])
        held.sendall(b"b\r\n")
        assert held.recv(100) == b"+Go\r\n"
        daemon.reload(MUX % "" + target("a", mux="+z") + target("c", itself, "c"))
        assert sorted(ask(daemon, b"help").split()) == [b"c", b"z"]
        for name, told in ((b"a", b"-Service"), (b"b", b"-Service"), (b"z", b"+Go"),
                           (b"c", b"+c here")):
            assert ask(daemon, name).startswith(told)
            assert talk(waiting.pop(), name + b"\r\n").startswith(told)
        assert talk(held, b"hello") == b"hello"     # what runs goes on
        daemon.kill_talker()                        # the next one has the names, too
        assert sorted(ask(daemon, b"help").split()) == [b"c", b"z"]
        daemon.reload(MUX % "" + target("a", mux="a"))
        assert ask(daemon, b"a", b"hello") == b"hello"


def test_tcpmux_goes_while_lines_are_waited_for(hatchd):
    daemon = hatchd(MUX % "" + target("cat"))
    with nothing_left(daemon, listeners=-1):
        socks = [client(daemon.port["mux"]) for _ in range(4)]
        hatch.wait_until(lambda: prefix.running(daemon) == 4)
        daemon.reload(target("cat"))
        for s, line in zip(socks, (b"cat\r\n", b"help\r\n", b"", b"x" * 100)):
            with s:
                try:
                    s.sendall(line)
                    s.shutdown(socket.SHUT_WR)
                    hatch.read_all(s)
                except OSError:
                    pass
    assert daemon.is_running()


def test_many_at_the_same_time(hatchd, itself):
    daemon = hatchd(MUX % "limits { per_source = 0 instances = 0 }" +
                    target("cat", more="limits { per_source = 0 }") +
                    target("echo", 'internal = "echo"', more="limits { per_source = 0 }"))
    jobs = []
    for n in range(400):
        if n % 8 == 7:
            jobs.append((b"dog", b"", b"-Service not available\r\n"))
        else:
            data = b"%d " % n * 300
            jobs.append(((b"cat", b"echo")[n % 2], data, b"+Go\r\n" + data))
    with nothing_left(daemon):
        got = prefix.in_parallel([lambda j=j: ask(daemon, j[0], j[1]) for j in jobs])
    assert got == [j[2] for j in jobs]


def test_internal_service_that_becomes_tcpmux(hatchd):
    """Who was accepted before has no line to be read: it is closed, and the talker,
    which has no such service, goes on."""
    conf = 'service "m" { listen = { "tcp4:127.0.0.1:@m@" } internal = "%s" %s }\n'
    daemon = hatchd(conf % ("echo", "timeouts { first_byte = 20s }"))
    with nothing_left(daemon):
        s = client(daemon.port["m"])
        hatch.wait_until(lambda: world.counters(daemon, "m")["accepted"] == 1)
        talker = daemon.talker
        daemon.reload(conf % ("tcpmux", ""))
        with s:
            assert s.recv(1) == b""
        assert daemon.wait_log("refuse", svc="m")["reason"] == "spawn"
        assert talk(client(daemon.port["m"]), b"help\r\n") == b""
    assert daemon.talker == talker
