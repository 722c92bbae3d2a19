# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Room that becomes free is given to those who wait for it, at once."""
import os
import resource
import signal
import socket
import time

import pytest

import hatch

SLOW = 'exec = { "/bin/sh", "-c", "read x; echo hello; exec sleep 0.3" }'


def begin(daemon, name):
    s = daemon.connect(name)
    s.sendall(b"x\n")
    assert s.recv(10) == b"hello\n"
    return s


def test_process_that_ended_makes_room_while_its_session_lingers(hatchd):
    """Its client doesn't close: others don't wait for that."""
    daemon = hatchd('max_processes = 1\n'
                    'service "s" { listen = { "tcp4:127.0.0.1:@s@" } %s timeouts { linger = 60s } }\n'
                    'service "t" { listen = { "tcp4:127.0.0.1:@t@" } exec = { "/bin/cat" } }' % SLOW)
    with begin(daemon, "s"):
        assert daemon.tcp("t", b"served") == b"served"
        assert not daemon.log_lines("end", svc="s")


def test_instance_that_lingers_makes_room_for_who_was_accepted(hatchd):
    daemon = hatchd('service "s" { listen = { "tcp4:127.0.0.1:@s@" } %s limits { instances = 1 }\n'
                    '    timeouts { first_byte = 60s linger = 60s } }' % SLOW)
    with begin(daemon, "s"), begin(daemon, "s"):
        assert not daemon.log_lines("end", svc="s")


@pytest.mark.root
def test_internal_services_wait_for_no_process(hatchd):
    """Descriptors were short, and no process can be started: that is none of theirs."""
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    daemon = hatchd('max_processes = 1\n'
                    'service "s" { listen = { "tcp4:127.0.0.1:@s@" } exec = { "/bin/cat" } }\n'
                    'service "e" { listen = { "tcp4:127.0.0.1:@e@" } internal = "echo"\n'
                    '    limits { instances = 0 per_source = 0 } }', preexec_fn=few_files)
    with daemon.connect("s") as held:
        held.sendall(b"x")
        assert held.recv(1) == b"x"
        clients = [daemon.connect("e") for _ in range(100)]
        daemon.wait_log("start", n=20, svc="e")
        for s in clients:
            s.close()
        assert daemon.tcp("e", b"echo") == b"echo"
        held.sendall(b"y")
        assert held.recv(1) == b"y"


def test_socket_that_comes_while_the_rate_is_used_up(hatchd):
    """It waits like the others of its service, without a poll in a circle."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        daemon = hatchd('service "s" { listen = { "tcp4:127.0.0.1:@a@", "tcp4:127.0.0.1:%d" }\n'
                        '    exec = { "/bin/cat" } limits { rate = "1/1h" } }' % port)
        assert daemon.tcp("a", b"x") == b"x"
        waits = daemon.connect("a")
        daemon.wait_log("limit", svc="s", reason="rate")
    daemon.wait_log("listen", svc="s", result="bound")
    with hatch.connect(port), waits:
        before, end = daemon.cpu_seconds(), time.monotonic() + 1
        hatch.wait_until(lambda: time.monotonic() >= end)
        assert daemon.cpu_seconds() - before < 0.5


ALL = ('service "w" { listen = { %s } exec = { "/bin/sleep", "1000" } wait = yes\n'
       '    pass = "%s" timeouts { stop = 1s } }')


@pytest.mark.parametrize("before,after", [(('"tcp4:127.0.0.1:@a@"', "listen_fds"),
                                           ('"tcp4:127.0.0.1:@a@", "tcp4:127.0.0.1:@b@"', "listen_fds")),
                                          (('"tcp4:127.0.0.1:@a@", "tcp4:127.0.0.1:@b@"', "stdio"),
                                           ('"tcp4:127.0.0.1:@a@", "tcp4:127.0.0.1:@b@"', "listen_fds"))])
@pytest.mark.parametrize("gone", [False, True])
def test_handler_with_all_sockets_waits_for_the_one_that_has_some(hatchd, before, after, gone):
    """Two that have the same one would outlive what is known of it."""
    daemon = hatchd(ALL % before)
    with daemon.connect("a"):
        first = int(daemon.wait_log("start")["pid"])
        daemon.reload(ALL % after)
        with daemon.connect("b"):
            if gone:    # what the first one has is closed here
                daemon.reload(ALL % ('"tcp4:127.0.0.1:@b@"', "listen_fds"))
            os.kill(first, signal.SIGKILL)
            daemon.wait_log("end", pid=first)
            daemon.wait_log("start", n=2)
            assert len(daemon.log_lines("start")) == 2
    daemon.stop()
