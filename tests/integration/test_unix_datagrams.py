# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""access and rates for UNIX datagrams of internal services: the sender is known
by its credentials, which it can't choose."""
import os
import socket

import pytest

import hatch
import world

UID = os.geteuid()
OTHER = 61987


def service(path, extra):
    return ('service "d" { listen = { "unix-dgram:%s" } internal = "echo" %s }\n'
            % (path, extra))


def client(path):
    s = world.unix_client(path, socket.SOCK_DGRAM)
    s.bind("")			# a name in the abstract namespace, to be answered
    return s


def refused(daemon):
    return world.counters(daemon, "d")["refused"]


@pytest.mark.parametrize("access", ['allow = { "uid:%d" }' % UID, 'allow = { "gid:%d" }' % os.getegid(),
                                    'deny = { "uid:%d" }' % OTHER, 'allow = { "10.0.0.0/8", "uid:%d" }' % UID])
def test_who_may(hatchd, shared_tmp, access):
    path = shared_tmp + "/d.sock"
    daemon = hatchd(service(path, "access { %s }" % access))
    with client(path) as s, client(path) as t:
        for i in range(20):
            s.send(b"%d" % i)
            t.send(b"t%d" % i)
            assert s.recv(10) == b"%d" % i
            assert t.recv(10) == b"t%d" % i
        assert refused(daemon) == {}
        assert world.counters(daemon, "d")["accepted"] == 1


@pytest.mark.parametrize("access", ['allow = { "uid:%d" }' % OTHER, 'deny = { "uid:%d" }' % UID,
                                    'allow = { "10.0.0.0/8" }', "allow = { }"])
def test_who_may_not(hatchd, shared_tmp, access):
    path = shared_tmp + "/d.sock"
    daemon = hatchd(service(path, "access { %s }" % access))
    with client(path) as s:
        for _ in range(5):
            s.send(b"no")
        hatch.wait_until(lambda: refused(daemon) == {"access": 5})
        line = daemon.wait_log("refuse", svc="d")
        assert line["peer"] == "unix:uid=%d" % UID and line["reason"] == "access"
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(10)
        assert world.counters(daemon, "d")["datagrams_out"] == 0


@pytest.mark.root
def test_another_account(hatchd, shared_tmp):
    path = shared_tmp + "/d.sock"
    os.chmod(shared_tmp, 0o755)
    daemon = hatchd(service(path, 'access { deny = { "uid:%d" } }' % OTHER))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(OTHER, OTHER, OTHER)
            os.setresuid(OTHER, OTHER, OTHER)
            with client(path) as s:
                s.send(b"no")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    hatch.wait_until(lambda: refused(daemon) == {"access": 1})
    with client(path) as s:
        s.send(b"yes")
        assert s.recv(10) == b"yes"


def test_rate_of_a_source(hatchd, shared_tmp):
    path = shared_tmp + "/d.sock"
    daemon = hatchd(service(path, 'limits { rate_per_source = "3/1h" }'))
    with client(path) as s:
        for i in range(10):
            s.send(b"%d" % i)
        assert [s.recv(10) for _ in range(3)] == [b"0", b"1", b"2"]
        hatch.wait_until(lambda: sum(refused(daemon).values()) == 7)
        assert refused(daemon)["source-rate"] >= 5	# others found its queue full


def test_descriptors_are_of_no_use(hatchd, shared_tmp):
    """They come with datagrams if somebody likes, and are closed."""
    path = shared_tmp + "/d.sock"
    daemon = hatchd(service(path, ""))

    def n_open():
        return len(os.listdir("/proc/%d/fd" % daemon.talker))
    with client(path) as s:
        s.send(b"x")
        assert s.recv(10) == b"x"
        before = n_open()
        for _ in range(200):
            try:
                socket.send_fds(s, [b"x"], [s.fileno()] * 4)
            except PermissionError:     # where the socket takes none
                s.send(b"x")
            assert s.recv(10) == b"x"
        assert n_open() == before
