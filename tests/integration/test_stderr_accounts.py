# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""A handler can spoil its stderr for those of its own account, for nobody else."""
import pytest

import hatch

SPOIL = ("import socket; s = socket.socket(fileno=2); "
         "s.shutdown(socket.SHUT_RDWR); s.detach(); print('spoilt')")

CONF = """
service "hostile" {
    listen = { "tcp:127.0.0.1:@hostile@" }
    exec   = { "/usr/bin/python3", "-c", "%s" }
    user   = "65533"
    group  = "65533"
}
service "other" {
    listen = { "tcp:127.0.0.1:@other@" }
    exec   = { "/bin/sh", "-c", "echo heard >&2; echo served" }
    user   = "65532"
    group  = "65532"
}
""" % SPOIL


@pytest.mark.skipif(not hatch.IS_ROOT, reason="accounts can be changed by root only")
def test_shutdown_of_stderr_reaches_no_other_account(hatchd):
    daemon = hatchd(CONF)
    assert daemon.tcp("other") == b"served\n"
    daemon.wait_log("stderr", svc="other", text="heard")
    assert daemon.tcp("hostile") == b"spoilt\n"
    assert daemon.tcp("other") == b"served\n"
    daemon.wait_log("stderr", n=2, svc="other", text="heard")


CHILDREN = """
service "children" {
    listen = { "tcp:127.0.0.1:@children@" }
    exec   = { "/bin/sh", "-c", "ls /nonexistent; ls /nonexistent; echo done" }
}
"""


def test_children_that_end_at_once_are_attributed(hatchd):
    """ls writes its error and is gone before anybody can ask whose child it was:
    that of the only session there is, and in one line, which it writes in parts."""
    daemon = hatchd(CHILDREN)
    assert daemon.tcp("children") == b"done\n"
    for event in daemon.wait_log("stderr", n=2, svc="children", conn=1) and \
            daemon.log_lines("stderr"):
        assert event["text"].startswith("ls: cannot access")


def test_children_one_session_after_the_other(hatchd):
    daemon = hatchd(CHILDREN)
    for n in range(1, 21):
        assert daemon.tcp("children") == b"done\n"
        daemon.wait_log("stderr", n=2 * n, svc="children")
    assert daemon.log_lines("stderr", svc="?") == []
    assert all(e["text"].startswith("ls: cannot access") for e in daemon.log_lines("stderr"))


def test_children_of_one_service_side_by_side(hatchd):
    """Which session it was can't be told then, but which service."""
    daemon = hatchd(CHILDREN)
    open_ones = [daemon.connect("children") for _ in range(8)]
    for s in open_ones:
        assert hatch.read_all(s).endswith(b"done\n")
        s.close()
    daemon.wait_log("stderr", n=16, svc="children")
    assert daemon.log_lines("stderr", svc="?") == []
