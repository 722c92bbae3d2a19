# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Who has just ended doesn't count, however busy the daemon is."""
import threading

import hatch

CONF = """
service "one" {
    listen = { "tcp:127.0.0.1:@one@" }
    exec   = { "/bin/echo", "served" }
    limits { per_source = 1 }
}
service "full" {
    listen = { "tcp:127.0.0.1:@full@" }
    exec   = { "/bin/echo", "served" }
    limits { instances = 1 when_full = "refuse" }
}
service "busy" {
    listen = { "tcp:127.0.0.1:@busy@" }
    exec   = { "/bin/true" }
    limits { per_source = 0 }
}
"""


def ask_again_and_again(daemon, name, times):
    """As soon as the last handler is dead, reaped or not: its socket is closed a
    little earlier, when it still counts."""
    for _ in range(times):
        assert daemon.tcp(name) == b"served\n"
        hatch.wait_until(lambda: not any(is_echo(pid) for pid in
                                         hatch.children(daemon.pid, zombies=False)))


def is_echo(pid):
    try:
        return hatch.comm(pid) == "echo"
    except OSError:
        return False


def test_client_that_comes_back_at_once(hatchd):
    """Its handler is dead, but the daemon may not have been told yet."""
    daemon = hatchd(CONF)
    ask_again_and_again(daemon, "one", 200)
    ask_again_and_again(daemon, "full", 200)
    assert daemon.log_lines("refuse") == []


def test_client_that_comes_back_under_load(hatchd):
    """Children are then reaped some at a time."""
    daemon = hatchd(CONF)
    stop = threading.Event()

    def load():
        while not stop.is_set():
            daemon.tcp("busy")

    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        ask_again_and_again(daemon, "one", 100)
        ask_again_and_again(daemon, "full", 100)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert daemon.log_lines("refuse") == []
    assert hatch.wait_until(lambda: daemon.n_zombies() == 0)
