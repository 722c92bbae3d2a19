# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Banners: what a client reads before its service, or instead of it.  Who is
refused gets all of it and a clean end, whatever it has sent; who doesn't read
it costs nothing."""
import os
import socket

import pytest

import hatch
import prefix
import world
from handler import recv_exactly
from prefix import client, nothing_left, talk

CAT = 'exec = { "/bin/cat" } stderr = "null"'
LONG = bytes(c for c in range(1, 256)) * 4 + b"1234"      # as long as may be
HTTP = b"GET / HTTP/1.1\r\nHost: example.org\r\nX: %s\r\n\r\n" % (b"x" * 150)


def service(more, what=CAT, name="svc", listen="tcp4:127.0.0.1:@svc@"):
    return 'service "%s" { listen = { "%s" } %s %s }\n' % (name, listen, what, more)


def write(path, data):
    with open(path, "wb") as f:
        os.fchmod(f.fileno(), 0o644)
        f.write(data)
    return path


# Before a service


@pytest.mark.parametrize("what", [CAT, 'internal = "echo"'], ids=["exec", "internal"])
def test_open_comes_before_the_service(hatchd, what):
    daemon = hatchd(service('banner { open = "220 welcome\\r\\n\\"all\\"\\t\\x21\\r\\n" }', what))
    banner = b'220 welcome\r\n"all"\t!\r\n'
    data = os.urandom(50000)
    with nothing_left(daemon):
        with client(daemon.port["svc"]) as s:
            assert recv_exactly(s, len(banner)) == banner     # nothing was sent
            assert talk(s, b"hello") == b"hello"
        assert daemon.tcp("svc", data) == banner + data
        assert daemon.tcp("svc") == banner
        got = prefix.in_parallel([lambda n=n: daemon.tcp("svc", b"%d" % n) for n in range(60)])
        assert got == [banner + b"%d" % n for n in range(60)]
    assert not daemon.log_lines("refuse")


def test_open_comes_before_what_the_handler_says_at_once(hatchd, shared_tmp):
    path = prefix.script(shared_tmp, "hello", "#!/bin/sh\necho hello\n")
    daemon = hatchd(service('banner { open = "first\\r\\n" }',
                            'exec = { "%s" } stderr = "null"' % path))
    with nothing_left(daemon):
        for _ in range(30):
            assert talk(client(daemon.port["svc"]), half_close=False) == b"first\r\nhello\n"


def test_open_of_a_file(hatchd, shared_tmp):
    path = write(shared_tmp + "/banner", LONG)
    conf = service('banner { open = "file:%s" }' % path)
    daemon = hatchd(conf)
    with nothing_left(daemon):
        assert daemon.tcp("svc", b"hello") == LONG + b"hello"
        write(path, b"another\n")
        assert daemon.tcp("svc", b"hello") == LONG + b"hello"
        daemon.reload()                     # is when it is read
        assert daemon.tcp("svc", b"hello") == b"another\nhello"
        os.unlink(path)
        daemon.reload(ok=False)
        assert daemon.tcp("svc", b"hello") == b"another\nhello"
        daemon.reload(service(""))
        assert daemon.tcp("svc", b"hello") == b"hello"


def test_open_on_other_sockets(hatchd, shared_tmp):
    path = shared_tmp + "/svc"
    more = 'banner { open = "welcome\\n" }'
    hosts = ["127.0.0.1"] + ["::1"] * hatch.has_ipv6()
    daemon = hatchd(service(more, listen="tcp:@svc@") + service(more, name="unix",
                                                                listen="unix:" + path))
    with nothing_left(daemon):
        for host in hosts:
            assert daemon.tcp("svc", b"hello", host=host) == b"welcome\nhello"
        assert talk(world.unix_client(path), b"hello") == b"welcome\nhello"


def test_open_for_who_leaves_at_once(hatchd):
    daemon = hatchd(service('banner { open = "welcome\\r\\n" }'))
    with nothing_left(daemon):
        for n in range(40):
            with client(daemon.port["svc"]) as s:
                if n % 2:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        hatch.wait_until(lambda: world.counters(daemon, "svc")["accepted"] == 40)
        assert daemon.tcp("svc", b"on") == b"welcome\r\non"


def test_open_and_a_new_talker(hatchd):
    """They wait for it."""
    daemon = hatchd(service('banner { open = "welcome\\r\\n" }'))
    with nothing_left(daemon):
        for _ in range(2):
            os.kill(daemon.talker, 9)
            got = prefix.in_parallel([lambda n=n: daemon.tcp("svc", b"%d" % n)
                                      for n in range(40)])
            assert got == [b"welcome\r\n%d" % n for n in range(40)]
            hatch.wait_until(lambda: daemon.talker)


# Instead of a service


REFUSED = [
    ('access { deny = { "127.0.0.0/8" } }', "access"),
    ("limits { per_source = 1 }", "source-instances"),
    ('limits { rate_per_source = "1/1h" }', "source-rate"),
    ('limits { rate = "1/1h" when_full = "refuse" }', "rate"),
    ('limits { instances = 1 when_full = "refuse" }', "instances"),
]


@pytest.mark.parametrize("text", ["short", "file"])
@pytest.mark.parametrize("more,reason", REFUSED, ids=[r for _, r in REFUSED])
def test_refuse_arrives_whole_and_ends_cleanly(hatchd, shared_tmp, more, reason, text):
    banner = LONG if text == "file" else b"busy, come back later\r\n"
    said = "file:" + write(shared_tmp + "/banner", LONG) if text == "file" else \
        "busy, come back later\\r\\n"
    daemon = hatchd(service(more + ' banner { refuse = "%s" }' % said))
    port = daemon.port["svc"]
    with nothing_left(daemon):
        with client(port) as first:
            if reason != "access":
                first.sendall(b"x")
                assert first.recv(1) == b"x"
            for data in b"", b"x", HTTP, os.urandom(30000):
                for half_close in True, False:
                    assert talk(client(port), data, half_close) == banner, (data[:9], half_close)
            got = prefix.in_parallel([lambda n=n: talk(client(port), HTTP * (n % 5), bool(n % 2))
                                      for n in range(100)])
            assert got == [banner] * 100
    line = daemon.wait_log("refuse", svc="svc")
    assert line["reason"] == reason
    assert prefix.refused(daemon, "svc", reason) >= 108
    assert len(daemon.log_lines("start")) == (reason != "access")


def test_refuse_on_a_unix_socket(hatchd, shared_tmp):
    path = shared_tmp + "/svc"
    daemon = hatchd(service('access { deny = { "uid:%d" } } banner { refuse = "no\\r\\n" }'
                            % os.geteuid(), listen="unix:" + path))
    with nothing_left(daemon):
        for data in b"", b"hello", os.urandom(20000):
            assert talk(world.unix_client(path), data) == b"no\r\n"


def test_refuse_of_an_internal_service(hatchd):
    daemon = hatchd(service('limits { instances = 1 when_full = "refuse" } '
                            'banner { open = "hi\\n" refuse = "busy\\n" }', 'internal = "echo"'))
    with nothing_left(daemon), client(daemon.port["svc"]) as s:
        s.sendall(b"x")
        assert recv_exactly(s, 4) == b"hi\nx"      # it is served
        assert talk(client(daemon.port["svc"]), HTTP) == b"busy\n"
        s.close()
        hatch.wait_until(lambda: prefix.running(daemon) == 0)
        assert daemon.tcp("svc", b"hello") == b"hi\nhello"


def test_who_is_refused_and_does_not_read_costs_nothing(hatchd):
    """No session, no process, and its descriptors are given back after a moment,
    though it neither reads nor closes.  Those who come beyond what is borne are
    ended at once."""
    daemon = hatchd(service('access { deny = { "127.0.0.66" } } banner { refuse = "no\\r\\n" }'))
    with nothing_left(daemon):
        before = prefix.fds(daemon)[0]
        rude = [client(daemon.port["svc"], "127.0.0.66") for _ in range(600)]
        for s in rude:
            try:
                s.sendall(HTTP)
            except OSError:
                pass
        prefix.wait_refused(daemon, "svc", "access", 600)
        master, talker = prefix.fds(daemon)
        assert master <= before + 1 and talker < 400
        assert world.control(daemon, "connections") == {"connections": []}
        for n in range(20):
            assert daemon.tcp("svc", b"%d" % n) == b"%d" % n
        hatch.wait_until(lambda: prefix.fds(daemon)[1] < 20)
        assert len(daemon.log_lines("refuse")) < 40
        for s in rude:
            s.close()


def test_refuse_while_there_is_no_talker(hatchd):
    """The text is missing then, and nothing else."""
    daemon = hatchd(service('access { deny = { "127.0.0.66" } } banner { refuse = "no\\r\\n" }'))
    with nothing_left(daemon):
        for _ in range(3):
            os.kill(hatch.wait_until(lambda: daemon.talker), 9)
            for _ in range(10):
                with client(daemon.port["svc"], "127.0.0.66") as s:
                    assert s.recv(100) in (b"no\r\n", b"")
                assert daemon.tcp("svc", b"on") == b"on"
        hatch.wait_until(lambda: daemon.talker)
        hatch.wait_until(lambda: talk(client(daemon.port["svc"], "127.0.0.66")) == b"no\r\n")


def test_reload_changes_what_is_said(hatchd):
    def conf(text):
        return service('access { deny = { "127.0.0.66" } } banner { open = "%s\\n" '
                       'refuse = "not %s\\n" }' % (text, text))
    daemon = hatchd(conf("one"))
    with nothing_left(daemon):
        for text in "one", "two":
            daemon.reload(conf(text))
            told = text.encode() + b"\n"
            assert daemon.tcp("svc", b"x") == told + b"x"
            assert talk(client(daemon.port["svc"], "127.0.0.66"), b"x") == b"not " + told


@pytest.mark.parametrize("text,why", [
    ("file:/nowhere/banner", "No such file"), ("x" * 1025, "1024"), ("\\\\q", "escape"),
    ("file:banner", "absolute"), ("a\\\\x00b", "NUL")])
def test_bad_banner_is_told(hatchd, text, why):
    daemon = hatchd(service(""))
    daemon.reload(service('banner { open = "%s" }' % text), ok=False)
    assert why in daemon.log()
    assert daemon.tcp("svc", b"on") == b"on"
