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
