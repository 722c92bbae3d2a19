# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Time limits with many clients or long times.  Run by "make soak"."""
import signal
import time

import pytest

import hatch
import test_backoff
import test_timeouts
import world


@pytest.mark.soak
def test_S27_thousand_silent_clients(hatchd):
    if not world.raise_nofile(1200):
        pytest.skip("no 1200 descriptors")
    test_timeouts.silent_clients(hatchd, 1000, 2)


@pytest.mark.soak
def test_S21_U4_missing_binary_for_long(hatchd, shared_tmp):
    """The attempts get ever rarer, but who mends it isn't made to wait."""
    program = shared_tmp + "/program"
    test_backoff.run(hatchd, test_backoff.Crowd, lambda: test_backoff.make_program(program),
                     exec_=program, seconds=30)


@pytest.mark.soak
def test_idle_connection_that_talks_seldom(hatchd):
    """A hundred of them, each a little before its time."""
    daemon = hatchd('service "s" { listen = { "tcp4:127.0.0.1:@s@" } exec = { "/bin/cat" } '
                    'limits { per_source = 0 } timeouts { idle = 4s } log_events = { "end" } }')
    clients = [daemon.connect("s") for _ in range(100)]
    try:
        begin = time.monotonic()
        while time.monotonic() < begin + 20:
            for s in clients:
                s.sendall(b"x")
            for s in clients:
                assert s.recv(10) == b"x"
            assert world.cpu_share(daemon, 2.5) < 0.1
        assert daemon.log_lines("end") == []
        for s in clients:
            assert hatch.read_all(s) == b""
    finally:
        test_timeouts.close_all(clients)
    daemon.wait_log("end", n=100, ended_by="timeouts.idle")


@pytest.mark.soak
def test_daemon_stops_while_limits_end(hatchd):
    """Over and over, at another moment each time."""
    for i in range(20):
        daemon = hatchd(test_timeouts.service(
            "s", '"/bin/sh", "-c", "trap \'\' TERM; while :; do sleep 1; done"',
            "timeouts { total = 300ms stop = 100ms } limits { per_source = 0 }"))
        clients = [daemon.connect("s") for _ in range(20)]
        hatch.wait_until(lambda d=daemon: len(d.handlers()) >= 20)
        time.sleep(0.02 * i)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait() == 0
        test_timeouts.close_all(clients)
