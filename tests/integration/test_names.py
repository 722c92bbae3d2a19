# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Names of hosts in access lists and in listen, and files for root alone: what a
reload looks up and reads in its trial, and what of that the daemon then uses."""
import os
import re
import shutil
import socket
import subprocess

import pytest

import hatch

CAT = 'exec = { "/bin/cat" }'
CONF = """
service "echo" {
    listen = { "tcp:127.0.0.1:@echo@" }
    exec   = { "/bin/cat" }
}
"""


def knows_localhost():
    """Not as getent(1) asks: it wants an interface beside the loopback one."""
    try:
        return bool(socket.getaddrinfo("localhost", None, socket.AF_INET))
    except OSError:
        return False


needs_localhost = pytest.mark.skipif(not knows_localhost(), reason="no host localhost")


def service(name, access, listen="tcp:127.0.0.1:@%s@"):
    return 'service "%s" {\n    listen = { "%s" }\n    %s\n    access { %s }\n}\n' % (
        name, listen % name if "%" in listen else listen, CAT, access)


def is_let_in(daemon, name):
    try:
        return daemon.tcp(name, b"x") == b"x"
    except TimeoutError:
        raise
    except OSError:             # closed, before or after what we wrote
        return False


@needs_localhost
def test_host_at_start_and_on_reload(hatchd):
    daemon = hatchd(CONF + service("a", 'allow = { "localhost" }'))
    assert is_let_in(daemon, "a")
    daemon.reload(CONF + service("a", 'deny = { "localhost" }'))
    assert not is_let_in(daemon, "a")
    daemon.reload(CONF + service("a", 'allow = { "localhost" }') +
                  service("b", 'deny = { "localhost" }'))
    assert is_let_in(daemon, "a")
    assert not is_let_in(daemon, "b")


@needs_localhost
def test_host_in_a_list_file(hatchd):
    daemon = hatchd(CONF)
    path = daemon.tmp + "/list"
    with open(path, "w") as f:
        f.write("192.0.2.1\nlocalhost # here\n")
    os.chmod(path, 0o600)       # the trial has given up its rights, and reads it all the same
    daemon.reload(CONF + service("a", 'allow = { "file:@tmp@/list" }'))
    assert is_let_in(daemon, "a")
    with open(path, "w") as f:
        f.write("192.0.2.1\n")
    daemon.reload()
    assert not is_let_in(daemon, "a")


def test_S16_host_that_is_not_found(hatchd):
    daemon = hatchd(CONF)
    daemon.reload(CONF + service("a", 'deny = { "no-such-host.invalid" }'), ok=False)
    assert re.search(r"hatchd.conf:9: service a: access.deny: 'no-such-host.invalid': the host "
                     r"can't be looked up: (Name or service|Temporary failure)", daemon.log())
    assert daemon.tcp("echo", b"x") == b"x"
    assert "nonsense" not in daemon.log()


def test_L25_list_that_became_bad(hatchd):
    """The old configuration serves on, with the list that it had."""
    daemon = hatchd(CONF)
    path = daemon.tmp + "/list"

    def write(text):
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)

    write("127.0.0.1\n")
    daemon.reload(CONF + service("a", 'deny = { "file:@tmp@/list" }'))
    assert not is_let_in(daemon, "a")
    write("127.0.0.1\n127.0.0.2.oops/8\n")
    daemon.reload(ok=False)
    assert daemon.tmp + "/list:2: service a: access.deny: '127.0.0.2.oops/8': " in daemon.log()
    assert not is_let_in(daemon, "a")
    os.unlink(path)
    daemon.reload(ok=False)
    assert "hatchd.conf:9: service a: access.deny: 'file:%s' cannot be opened: No such file" % \
        path in daemon.log()
    assert not is_let_in(daemon, "a")
    write("# nobody\n")
    daemon.reload()
    assert is_let_in(daemon, "a")


@needs_localhost
def test_listen_at_a_name(hatchd):
    text = 'service "n" {\n    listen = { "tcp4:localhost:@n@" }\n    %s\n}\n' % CAT
    daemon = hatchd(CONF)
    daemon.reload(CONF + text)
    assert daemon.tcp("n", b"x") == b"x"
    daemon.reload(CONF + text.replace("tcp4:localhost", "tcp4:no-such-host.invalid"), ok=False)
    assert re.search(r"hatchd.conf:7: service n: no-such-host.invalid: (Name or service|Temporary)",
                     daemon.log())
    assert daemon.tcp("n", b"x") == b"x"
    daemon.reload(CONF + text)
    assert daemon.tcp("n", b"x") == b"x"


@needs_localhost
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_only_the_trial_looks_up(hatchd):
    """No file of the resolver is opened, and no socket made but for listening, by
    the daemon itself."""
    daemon = hatchd(CONF)
    out = daemon.tmp + "/trace"
    trace = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=openat,connect", "-o", out,
                              "-p", str(daemon.pid)], stderr=subprocess.PIPE)
    try:
        try:
            hatch.wait_until(lambda: hatch.status_field(daemon.pid, "TracerPid") not in ("0", 0) or
                             trace.poll() is not None)
        except AssertionError:
            pytest.skip("nothing can be traced here")
        if trace.poll() is not None:
            pytest.skip("nothing can be traced here")
        daemon.reload(CONF + service("a", 'allow = { "localhost" }', "tcp4:localhost:@%s@"))
        assert is_let_in(daemon, "a")
    finally:
        trace.terminate()
        trace.wait()
        trace.stderr.close()
    with open(out) as f:
        lines = [line.split(None, 1) for line in f]
    resolver = re.compile(r"/etc/(hosts|resolv\.conf|nsswitch\.conf|host\.conf|gai\.conf)"
                          r"|htons\(53\)")
    pids = {int(pid) for pid, call in lines if resolver.search(call)}
    assert pids and daemon.pid not in pids


@pytest.mark.root
def test_file_for_root_alone(hatchd):
    """What the daemon may read at start it may read on reload."""
    daemon = hatchd(CONF)
    path = daemon.tmp + "/list"
    with open(path, "w") as f:
        f.write("127.0.0.1\n")
    os.chmod(path, 0o600)
    daemon.reload(CONF + service("a", 'allow = { "file:@tmp@/list" }'))
    assert is_let_in(daemon, "a")
    os.chown(path, 4711, 0)
    daemon.reload(ok=False)
    assert path + ": is owned by uid 4711, not by root" in daemon.log()
    os.chown(path, 0, 0)
    os.chmod(path, 0o602)
    daemon.reload(ok=False)
    assert path + ": everybody may write it" in daemon.log()
    assert is_let_in(daemon, "a")
