# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""access: who may connect, when, and how busy the machine may be.  A list that
does not parse never yields a service."""
import os
import re
import socket
import time

import pytest

import crowd
import handler
import hatch
import world
from board import counters, wait_counter

INTERNAL = 'internal = "daytime"'
EXEC = 'exec = { "/bin/echo", "in" }'
UTC = os.path.exists("/usr/share/zoneinfo/UTC")


def service(name, access, what=INTERNAL, listen=None):
    return 'service "%s" { listen = { "%s" } %s\n    access { %s } }\n' % (
        name, listen or "tcp4:127.0.0.1:@%s@" % name, what, access)


def check(daemon, name, let_in, kept_out, host="127.0.0.1"):
    for source in let_in:
        assert crowd.is_in(daemon, name, source, host), "%s: %s is kept out" % (name, source)
    for source in kept_out:
        assert not crowd.is_in(daemon, name, source, host), "%s: %s is let in" % (name, source)


# access, who is let in, who isn't
RULES = {
    "nothing": ("", ["127.0.0.1", "127.9.9.9"], []),
    "address": ('allow = { "127.0.0.7" }', ["127.0.0.7"], ["127.0.0.6", "127.0.0.8", "127.0.1.7"]),
    "network": ('allow = { "127.1.0.0/16", "127.3.0.0/30" }',
                ["127.1.0.1", "127.1.255.254", "127.3.0.3"],
                ["127.0.255.255", "127.2.0.0", "127.3.0.4"]),
    "whole": ('allow = { "0.0.0.0/0" }', ["127.0.0.1", "127.255.0.1"], []),
    "nobody": ("allow = { }", [], ["127.0.0.1", "127.255.0.1"]),
    "othersix": ('allow = { "::/0" }', [], ["127.0.0.1"]),
    "deny": ('deny = { "127.0.0.8", "127.4.0.0/15" }', ["127.0.0.1", "127.0.0.9", "127.6.0.1"],
             ["127.0.0.8", "127.4.0.1", "127.5.255.255"]),
    "denyall": ('deny = { "0.0.0.0/0" }', [], ["127.0.0.1"]),
    "both": ('allow = { "127.0.0.0/8" } deny = { "127.66.0.0/16" }',
             ["127.0.0.1", "127.65.255.255", "127.67.0.1"], ["127.66.0.1", "127.66.255.254"]),
    "longest": ('allow = { "127.0.0.0/8", "127.66.6.6" } deny = { "127.66.0.0/16" }',
                ["127.66.6.6", "127.1.1.1"], ["127.66.6.7", "127.66.6.5"]),
    "nested": ('deny = { "127.0.0.0/8", "127.7.7.0/24" } allow = { "127.7.0.0/16", "127.7.7.7" }',
               ["127.7.0.1", "127.7.7.7"], ["127.8.0.1", "127.7.7.6", "127.7.7.8"]),
    "tie": ('allow = { "127.5.0.0/16", "127.6.0.0/16" } deny = { "127.5.0.0/16" }',
            ["127.6.0.1"], ["127.5.0.1", "127.7.0.1"]),
    "mapped": ('allow = { "::ffff:127.0.0.9", "::ffff:127.8.0.0/112" }',
               ["127.0.0.9", "127.8.255.1"], ["127.0.0.8", "127.9.0.1"]),
    "name": ('allow = { "localhost" }', ["127.0.0.1"], ["127.0.0.2", "127.1.0.1"]),
    "notname": ('deny = { "localhost" }', ["127.0.0.2"], ["127.0.0.1"]),
}


@pytest.mark.parametrize("what", [INTERNAL, EXEC], ids=["internal", "exec"])
def test_access_by_address(hatchd, what):
    daemon = hatchd("".join(service(n, access, what) for n, (access, _, _) in RULES.items()))
    for name, (_, let_in, kept_out) in RULES.items():
        check(daemon, name, let_in, kept_out)
        c = wait_counter(daemon, name, lambda c: c["started"] == len(let_in))
        assert c["accepted"] == len(let_in) + len(kept_out)
        assert c.refused == ({"access": len(kept_out)} if kept_out else {})
        for source in kept_out:
            lines = [e for e in daemon.log_lines("refuse", svc=name)
                     if e["peer"].startswith(source + ":")]
            assert len(lines) == 1 and lines[0]["reason"] == "access" and lines[0].level == "warn"


@pytest.mark.netns
def test_access_by_ipv6_prefix():
    server = crowd.V6_SERVER
    rules = {
        "net": ('allow = { "2001:db8:1::/64" }', ["2001:db8:1::1", "2001:db8:1::ffff:ffff:1"],
                ["2001:db8:1:1::1", "2001:db8::1"]),
        "odd": ('allow = { "2001:db8:8000::/33" }', ["2001:db8:8000::1", "2001:db8:fffe::1"],
                ["2001:db8:7fff::1"]),
        "one": ('deny = { "2001:db8:1::7" }', ["2001:db8:1::6", "2001:db8:1::8"],
                ["2001:db8:1::7"]),
        "longest": ('allow = { "2001:db8::/32", "2001:db8:2:2::/64" } deny = { "2001:db8:2::/48" }',
                    ["2001:db8:2:2::9", "2001:db8:3::1"], ["2001:db8:2:3::1", "2001:db8:2::1"]),
        "tie": ('allow = { "2001:db8:5::/48" } deny = { "2001:db8:5::/48" }', [],
                ["2001:db8:5::1"]),
        "four": ('allow = { "0.0.0.0/0" }', [], ["2001:db8:1::1"]),
        "all": ('allow = { "::/0" }', ["2001:db8:1::1"], []),
    }

    def test(daemon):
        for name, (_, let_in, kept_out) in rules.items():
            check(daemon, name, let_in, kept_out, server)
            assert counters(daemon, name).refused == (
                {"access": len(kept_out)} if kept_out else {})

    crowd.in_v6_network("".join(service(name, access, listen="tcp6:[%s]:@%s@" % (server, name))
                                for name, (access, _, _) in rules.items()), test)


@pytest.mark.ipv6
def test_access_by_name_with_both_families(hatchd):
    """localhost is what the resolver says, whatever the family."""
    daemon = hatchd(service("six", 'deny = { "127.0.0.0/8" }', listen="tcp6:[::1]:@six@") +
                    service("name", 'allow = { "ip6-localhost", "127.0.0.1" }'
                            if _resolves("ip6-localhost") else 'allow = { "::1" }',
                            listen="tcp:@name@"))
    assert crowd.is_in(daemon, "six", host="::1")
    assert crowd.is_in(daemon, "name", host="::1")
    assert not crowd.is_in(daemon, "name", "127.0.0.2")


def _resolves(name):
    try:
        return {a[4][0] for a in socket.getaddrinfo(name, None)} == {"::1"}
    except OSError:
        return False


# UNIX sockets


def unix_in(path, type_=socket.SOCK_STREAM):
    with world.unix_client(path, type_) as s:
        try:
            return s.recv(100) != b""
        except ConnectionResetError:
            return False


UNIX = {"unix": socket.SOCK_STREAM, "unix-seqpacket": socket.SOCK_SEQPACKET}


@pytest.mark.root
@pytest.mark.parametrize("listen", UNIX)
def test_access_by_uid_and_gid(hatchd, listen):
    rules = {       # (uid, gid) who are let in, and who aren't
        "uid": ('allow = { "uid:1001", "uid:nobody" }', [(1001, 5001), (65534, 5001)],
                [(1002, 5001), (0, 0)]),
        "gid": ('allow = { "gid:5001", "gid:daemon" }', [(1001, 5001), (1002, 1)], [(1001, 5002)]),
        "notuid": ('deny = { "uid:1001" }', [(1002, 5001), (0, 0)], [(1001, 5001)]),
        "notgid": ('deny = { "gid:5001" }', [(1001, 5002)], [(1001, 5001), (0, 5001)]),
        # equally exact, so it is a tie
        "either": ('allow = { "uid:1001", "gid:5001" }', [(1001, 5002), (1002, 5001)],
                   [(1002, 5002)]),
        "tie": ('allow = { "uid:1001" } deny = { "gid:5001" }', [(1001, 5002)], [(1001, 5001)]),
        # that an address may says nothing of a user
        "inet": ('allow = { "0.0.0.0/0", "::/0" }', [], [(1001, 5001), (0, 0)]),
    }
    daemon = hatchd("".join(service(name, access, 'exec = { "/bin/echo", "in" }',
                                    "%s:@tmp@/%s.sock" % (listen, name))
                            for name, (access, _, _) in rules.items()))
    for name, (_, let_in, kept_out) in rules.items():
        for who in let_in + kept_out:
            os.setegid(who[1])
            os.seteuid(who[0])
            try:
                got = unix_in("%s/%s.sock" % (daemon.tmp, name), UNIX[listen])
            finally:
                os.seteuid(0)
                os.setegid(0)
            assert got is (who in let_in), (name, who)
        assert counters(daemon, name).refused == ({"access": len(kept_out)} if kept_out else {})


def test_access_by_our_own_uid(hatchd):
    """What an ordinary user can see of it."""
    me = os.geteuid()
    daemon = hatchd(service("in", 'allow = { "uid:%d" }' % me, listen="unix:@tmp@/in.sock") +
                    service("out", 'deny = { "uid:%d" }' % me, listen="unix:@tmp@/out.sock") +
                    service("other", 'allow = { "uid:%d" }' % (me + 1),
                            listen="unix:@tmp@/other.sock"))
    assert unix_in(daemon.tmp + "/in.sock")
    assert not unix_in(daemon.tmp + "/out.sock")
    assert not unix_in(daemon.tmp + "/other.sock")
    line = daemon.wait_log("refuse", svc="other")
    assert line["reason"] == "access" and str(me) in line["peer"]


# Lists in files


def write_list(path, text):
    with open(path + ".new", "w") as f:
        os.fchmod(f.fileno(), 0o644)
        f.write(text)
    os.rename(path + ".new", path)


def test_access_by_list_file(hatchd, shared_tmp):
    office, banned = shared_tmp + "/office.list", shared_tmp + "/banned.list"
    write_list(office, "# who works here\n\n127.0.0.7 # one\n\t127.1.0.0/16  \nlocalhost\r\n"
               "2001:db8::/32\n")
    write_list(banned, "127.1.2.0/24")
    text = service("l", 'allow = { "file:%s", "127.0.0.9" } deny = { "file:%s" }'
                   % (office, banned))
    daemon = hatchd(text)
    check(daemon, "l", ["127.0.0.7", "127.1.1.1", "127.0.0.1", "127.0.0.9"],
          ["127.0.0.8", "127.1.2.9", "127.2.0.1"])

    # read again with the next reload, and not before
    write_list(banned, "127.0.0.7\n")
    check(daemon, "l", ["127.0.0.7"], ["127.1.2.9"])
    daemon.reload()
    check(daemon, "l", ["127.1.2.9"], ["127.0.0.7"])

    # one with an error changes nothing
    write_list(banned, "127.0.0.9\n127.0.0.300\n")
    daemon.reload(ok=False)
    assert "%s:2: " % banned in daemon.log()
    check(daemon, "l", ["127.0.0.9"], ["127.0.0.7"])
    os.unlink(banned)
    daemon.reload(ok=False)
    check(daemon, "l", ["127.0.0.9"], ["127.0.0.7"])

    # an empty one keeps nobody out, and lets nobody in
    write_list(banned, "# nobody\n")
    write_list(office, "")
    daemon.reload()
    check(daemon, "l", ["127.0.0.9"], ["127.0.0.7", "127.0.0.1"])


def test_long_list_file(hatchd, shared_tmp):
    path = shared_tmp + "/long.list"
    write_list(path, "".join("127.%d.%d.0/25\n" % (n >> 8, n & 255) for n in range(256, 20256)))
    daemon = hatchd(service("l", 'deny = { "file:%s" }' % path))
    check(daemon, "l", ["127.0.0.1", "127.1.0.128", "127.79.31.255"],
          ["127.1.0.1", "127.9.9.9", "127.79.31.1"])


# Mistakes

BAD = {
    "allow = { \"127.0.0.1.oops/8x\" }": "127.0.0.1.oops/8x",
    "deny = { \"127.0.0.1.oops/8x\" }": "127.0.0.1.oops/8x",
    "allow = { \"192.0.2.300\" }": "192.0.2.300",
    "deny = { \"192.0.2.300\" }": "192.0.2.300",
    "deny = { \"10.0.0.0/33\" }": "10.0.0.0/33",
    "deny = { \"10.0.0.0/\" }": "10.0.0.0/",
    "deny = { \"10.0.0.1/8\" }": "10.0.0.0/8",
    "deny = { \"10.0.0.0/255.0.0.0\" }": "10.0.0.0/255.0.0.0",
    "deny = { \"10.0\" }": "10.0",
    "deny = { \"2001:db8::/129\" }": "2001:db8::/129",
    "deny = { \"2001:db8:::/32\" }": "2001:db8:::/32",
    "deny = { \"fe80::1%lo\" }": "fe80::1%lo",
    "deny = { \"\" }": "deny",
    "deny = { \"*\" }": "*",
    "deny = { \"all\", \"10.0.0.0/8 \" }": "10.0.0.0/8 ",
    "deny = { \"uid:\" }": "uid:",
    "deny = { \"uid:no-such-user\" }": "no-such-user",
    "deny = { \"gid:no-such-group\" }": "no-such-group",
    "deny = { \"uid:-1\" }": "uid:-1",
    "deny = { \"gid:4294967295\" }": "gid:4294967295",
    "deny = { \"no-such-host.invalid\" }": "no-such-host.invalid",
    "deny = { \"file:relative.list\" }": "relative.list",
    "deny = { \"file:/nowhere/at.list\" }": "/nowhere/at.list",
    "denny = { \"10.0.0.0/8\" }": "did you mean 'access.deny'",
    "deny += { \"10.0.0.0/8\" }": "\"+=\" is not known",
    "deny = { \"10.0.0.0/8\" } deny = { \"11.0.0.0/8\" }": "deny",
    "hours = { \"Mon-Fri 08:00-25:00\" }": "08:00-25:00",
    "hours = { \"Mo 08:00-20:00\" }": "Mo 08:00-20:00",
    "hours = { \"08:00\" }": "08:00",
    "hours = { \"08:00-20:00 Mars/Olympus\" }": "Mars/Olympus",
    "hours = { \"08:00-20:00 ../../../etc/passwd\" }": "passwd",
    "max_load = -1": "max_load",
    "max_load = much": "much",
    "max_pressure = { \"cpu:101\" }": "cpu:101",
    "max_pressure = { \"disk:10\" }": "disk:10",
}
GOOD = service("old", 'deny = { "127.0.0.8" }')


def test_S16_every_mistake_in_access_is_an_error(shared_tmp):
    """Its place is told, with one run for all of them, and -n says 1."""
    path = shared_tmp + "/bad.conf"
    for text, told in BAD.items():
        with open(path, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(hatch.config('service "a" {\n    listen = { "tcp4:127.0.0.1:@a@" }\n    %s\n'
                                 '    access {\n        %s\n    }\n}\n' % (INTERNAL, text),
                                 shared_tmp))
        done = hatch.run("-n", "-f", path)
        said = done.stdout + done.stderr
        assert done.returncode == 1, text + said
        assert re.search(r"^%s:5: .*%s" % (re.escape(path), re.escape(told)), said, re.M), said


def test_S16_the_line_of_each_element(shared_tmp):
    path = shared_tmp + "/bad.conf"
    with open(path, "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(hatch.config('service "a" { listen = { "tcp4:127.0.0.1:@a@" } %s\n access {\n'
                             'allow = { "10.0.0.0/8",\n"10.0.0.256",\n# no\n"10.1.0.0/16",\n'
                             '"10.1.1.1/99" }\n} }\n' % INTERNAL, shared_tmp))
    done = hatch.run("-n", "-f", path)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert re.findall(r"^%s:(\d+): " % re.escape(path), said, re.M) == ["4", "7"], said


@pytest.mark.parametrize("line", ["127.0.0.300", "10.0.0.0/8 11.0.0.0/8", "10.0.0.0/8,", "*",
                                  "file:/etc/hosts", "uid:no-such-user", "x" * 5000])
def test_S16_mistakes_in_list_files(shared_tmp, line):
    listed, path = shared_tmp + "/a.list", shared_tmp + "/bad.conf"
    write_list(listed, "10.0.0.0/8\n\n" + line + "\n192.0.2.1\n")
    with open(path, "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(hatch.config(service("a", 'deny = { "file:%s" }' % listed), shared_tmp))
    done = hatch.run("-n", "-f", path)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "%s:3: " % listed in said, said


def test_S16_list_files_that_cannot_be_trusted(shared_tmp):
    open_to_all, pipe = shared_tmp + "/open.list", shared_tmp + "/pipe.list"
    write_list(open_to_all, "10.0.0.0/8\n")
    os.chmod(open_to_all, 0o666)
    os.mkfifo(pipe)
    path = shared_tmp + "/bad.conf"
    for listed in (open_to_all, pipe, "/dev/null", shared_tmp):
        with open(path, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(hatch.config(service("a", 'deny = { "file:%s" }' % listed), shared_tmp))
        done = hatch.run("-n", "-f", path)
        assert done.returncode == 1 and listed + ": " in done.stdout + done.stderr


@pytest.mark.parametrize("setting", ["allow", "deny"])
def test_L25_an_address_nobody_understands(hatchd, shared_tmp, setting):
    """Neither left out nor taken for all: there is no service, and on reload the
    old list goes on."""
    for word in ("127.0.0.1.oops/8x", "192.0.2.300"):
        bad = service("old", '%s = { "127.0.0.0/8", "%s" }' % (setting, word))
        new = hatch.Daemon(bad, ready=False)
        new.expect_exit = 1
        try:
            assert new.wait() == 1
            assert "%s:2: " % new.conf in new.log() and word in new.log()
        finally:
            new.close()
    daemon = hatchd(GOOD)
    daemon.reload(bad, ok=False)
    assert "%s:2: " % daemon.conf in daemon.log() and "192.0.2.300" in daemon.log()
    check(daemon, "old", ["127.0.0.1"], ["127.0.0.8"])


@pytest.mark.parametrize("text", [
    # whatever else says that it is to run
    'defaults { user = "@user@" enabled = yes }\n' + service("old", 'deny = { "a,b" }') +
    service("new", ""),
    service("old", 'deny = { "a,b" }', INTERNAL + " enabled = yes") + service("new", ""),
    # nor without the list of the defaults
    'defaults { user = "@user@" access { deny = { "a,b" } } }\n' + service("new", "") +
    service("old", ""),
    # or with an empty one of its own
    'defaults { user = "@user@" access { deny = { "10.0.0.0/40" } } }\n' + service("new", "") +
    service("old", "deny = { }"),
], ids=["defaults", "service", "list-of-defaults", "list-of-its-own"])
def test_L26_nothing_revives_a_service_without_its_list(hatchd, text):
    daemon = hatchd(GOOD)
    daemon.reload(text, ok=False)
    check(daemon, "old", ["127.0.0.1"], ["127.0.0.8"])
    with pytest.raises(ConnectionRefusedError):
        daemon.connect("new").close()
    assert hatch.run("-n", "-f", daemon.conf).returncode == 1


@pytest.mark.parametrize("access", ['allow = { "10.0.0.0/8" }', 'deny = { "10.0.0.0/8" }',
                                    'hours = { "00:00-24:00" }', "max_load = 5",
                                    'max_pressure = { "cpu:50" }'])
@pytest.mark.parametrize("listen", ["tcp4:127.0.0.1:@w@", "unix:@tmp@/w.sock"])
def test_access_of_a_wait_stream_service_is_an_error(shared_tmp, access, listen):
    """It accepts by itself: there is nobody who could keep anybody out."""
    path = shared_tmp + "/w.conf"
    own = service("w", access, 'wait = yes exec = { "/bin/cat" }', listen)
    shared = 'defaults { user = "@user@"\n    access { %s } }\n' % access + \
        service("w", "", 'wait = yes exec = { "/bin/cat" }', listen)
    for text in (own, shared):
        with open(path, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(hatch.config(text, shared_tmp))
        done = hatch.run("-n", "-f", path)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and access.split()[0] in said, said
        assert re.search(r"^%s:\d+: " % re.escape(path), said, re.M)
        assert "wait" in said


def test_access_of_the_defaults(hatchd):
    daemon = hatchd('defaults { user = "@user@" log_events = { "refuse" } '
                    'access { deny = { "127.0.0.8" } } }\n' + service("a", "") +
                    service("b", 'deny = { "127.0.0.9" }') + service("c", "deny = { }") +
                    service("d", 'allow = { "127.0.0.0/24" }'))
    check(daemon, "a", ["127.0.0.9"], ["127.0.0.8"])
    check(daemon, "b", ["127.0.0.8"], ["127.0.0.9"])
    check(daemon, "c", ["127.0.0.8", "127.0.0.9"], [])
    check(daemon, "d", ["127.0.0.9"], ["127.0.0.8", "127.0.1.1"])


def test_reload_changes_access(hatchd):
    """For those who come; who is in stays."""
    cat = 'exec = { "/bin/cat" }'
    daemon = hatchd(service("c", 'allow = { "127.0.0.7" }', cat))
    with crowd.connect(daemon.port["c"], "127.0.0.7") as s:
        s.sendall(b"before")
        assert handler.recv_exactly(s, 6) == b"before"
        daemon.reload(service("c", 'deny = { "127.0.0.7" }', cat))
        s.sendall(b"after")
        assert handler.recv_exactly(s, 5) == b"after"
        assert not crowd.is_in(daemon, "c", "127.0.0.7")
        with crowd.connect(daemon.port["c"], "127.0.0.6") as other:
            other.sendall(b"in")
            assert handler.recv_exactly(other, 2) == b"in"
    assert counters(daemon, "c").refused == {"access": 1}


# Datagrams for a handler that gets the socket itself


def test_first_sender_of_a_wait_datagram_service(hatchd, shared_tmp):
    """A denied one loses its datagram, is counted, and keeps nobody waiting."""
    os.chmod(shared_tmp, 0o777)
    got = shared_tmp + "/got"
    daemon = hatchd(service("w", 'deny = { "127.0.0.8", "127.66.0.0/16" }',
                            'wait = yes exec = { "/bin/sh", "-c", '
                            '"dd bs=65536 count=1 2>/dev/null >>%s" }' % got,
                            "udp4:127.0.0.1:@w@"))

    def send(source, text):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            s.sendto(text, ("127.0.0.1", daemon.port["w"]))

    def read():
        try:
            with open(got, "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    for _ in range(20):
        send("127.0.0.8", b"no ")
    send("127.66.6.6", b"no ")
    send("127.0.0.7", b"one ")
    hatch.wait_until(lambda: read() == b"one ")
    send("127.0.0.8", b"no ")
    send("127.0.0.9", b"two ")
    hatch.wait_until(lambda: read() == b"one two ")
    c = wait_counter(daemon, "w", lambda c: c["ended"] == 2)
    assert c.refused == {"access": 22} and c["started"] == 2 and c["accepted"] == 24
    assert daemon.log_lines("refuse", svc="w")[0]["peer"].startswith("127.0.0.8:")
    assert not daemon.log_lines("fail")


# When


def hours(*offsets):
    """Windows between these hours from now, in UTC."""
    now = time.time()
    return ", ".join('"%s-%s UTC"' % tuple(time.strftime("%H:%M", time.gmtime(now + h * 3600))
                                           for h in pair) for pair in offsets)


def days(*offsets):
    now = time.time()
    return ",".join(time.strftime("%a", time.gmtime(now + d * 86400)) for d in offsets)


@pytest.mark.skipif(not UTC, reason="no time zones here")
def test_hours(hatchd):
    rules = {
        "open": ("hours = { %s }" % hours((-2, 2)), True),
        "closed": ("hours = { %s }" % hours((2, 4)), False),
        "over": ("hours = { %s }" % hours((-12, -2)), False),
        "one-of": ("hours = { %s }" % hours((4, 6), (-1, 1), (-6, -4)), True),
        "none-of": ("hours = { %s }" % hours((4, 6), (-6, -4)), False),
        "whole": ('hours = { "00:00-24:00" }', True),
        "day": ('hours = { "%s 00:00-24:00 UTC" }' % days(-1, 0, 1), True),
        "no-day": ('hours = { "%s 00:00-24:00 UTC" }' % days(2, 3, 4, 5), False),
    }
    daemon = hatchd("".join(service(n, access, listen="tcp4:127.0.0.1:@%s@" % n.replace("-", "_"))
                            for n, (access, _) in rules.items()) +
                    service("both", 'deny = { "127.0.0.8" } hours = { %s }' % hours((2, 4))))
    for name, (_, is_open) in rules.items():
        assert crowd.is_in(daemon, name.replace("-", "_")) is is_open, rules[name]
        assert counters(daemon, name).refused == ({} if is_open else {"hours": 1})
    line = daemon.wait_log("refuse", svc="closed")
    assert line["reason"] == "hours" and line["setting"] == "access.hours"
    # who may never come is told that first
    for source in ("127.0.0.8", "127.0.0.9"):
        assert not crowd.is_in(daemon, "both", source)
    assert counters(daemon, "both").refused == {"access": 1, "hours": 1}


# How busy


def now_busy():
    """Load and pressure, as the kernel tells; 0 where it doesn't."""
    with open("/proc/loadavg") as f:
        load = float(f.read().split()[0])
    try:
        with open("/proc/pressure/cpu") as f:
            return load, float(re.search(r"some avg10=([\d.]+)", f.read()).group(1))
    except OSError:
        return load, 0


def test_max_load_that_is_far_away(hatchd):
    daemon = hatchd(service("l", "max_load = 9999.5") +
                    service("p", 'max_pressure = { "cpu:100", "memory:100", "io:100" }'))
    for name in "lp":
        assert crowd.is_in(daemon, name) and counters(daemon, name).refused == {}


@pytest.mark.parametrize("access,which", [("max_load = 0.01", 0),
                                          ('max_pressure = { "cpu:0.01" }', 1)])
def test_max_load_that_is_exceeded(hatchd, access, which):
    if now_busy()[which] < 0.3:
        pytest.skip("the machine is not busy enough")
    daemon = hatchd(service("l", access, EXEC))
    assert not crowd.is_in(daemon, "l")
    line = daemon.wait_log("refuse", svc="l")
    reason = ("load", "pressure")[which]
    assert (line["reason"], line["setting"]) == (reason, "access.max_" + reason)
    assert counters(daemon, "l").refused == {reason: 1}
    daemon.reload(service("l", "", EXEC))
    assert crowd.is_in(daemon, "l")
