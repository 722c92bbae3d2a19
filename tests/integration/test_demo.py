# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""etc/demo.conf, as tools/run serves it: every service of it answers."""
import os
import re
import struct
import subprocess

import pytest

import handler
import hatch

GIT_DAEMON = "/usr/lib/git-core/git-daemon"


def demo(folder):
    """Its text with the places filled in and each port replaced by a free one:
    the daemon's port[] has them by the demo's own numbers."""
    with open(os.path.join(hatch.TOP, "etc", "demo.conf")) as f:
        text = f.read()
    text = re.sub(r"(?ms)^#@tftp$.*?^#@end$", "", text)
    for name, value in (("USER", "@user@"), ("DIR", folder), ("SERVICES", handler.SERVICES),
                        ("GIT_DAEMON", GIT_DAEMON)):
        text = text.replace("@" + name + "@", value)
    return re.sub(r":(7\d\d\d)\"", r':@p\1@"', text)


@pytest.fixture
def served(hatchd, shared_tmp):
    os.makedirs(os.path.join(shared_tmp, "finger"))
    os.makedirs(os.path.join(shared_tmp, "git"))
    with open(os.path.join(shared_tmp, "finger", "hatchd"), "w") as f:
        f.write("Hatches programs.\n")
    daemon = hatchd(demo(shared_tmp))

    def tcp(port, data=b""):
        return daemon.tcp("p%d" % port, data)

    def udp(port, data=b""):
        return daemon.udp("p%d" % port, data)

    daemon.ask, daemon.ask_udp = tcp, udp
    return daemon


def test_handlers_of_streams(served):
    assert b"127.0.0.1" in served.ask(7001)
    assert served.ask(7002, b"shout\n") == b"SHOUT\n"
    assert served.ask(7003, struct.pack("!I", 41)) == struct.pack("!I", 42)
    assert served.ask(7005, b"parrot") == b"parrot"
    assert served.ask(7022, b"one by one\n") == b"ONE BY ONE\n"
    assert served.ask(7023, b"one by one\n") == b"ONE BY ONE\n"
    assert b"HATCHD_SERVICE" in served.ask(7024)
    assert served.ask(7017)
    assert b"Hatches programs." in served.ask(7079, b"hatchd\r\n")
    assert b"HIDDEN-USER" in served.ask(7113, b"1, 2\r\n")
    assert served.ask(7080, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert served.ask(7030).startswith(b"Hello 127.0.0.1")
    assert served.ask(7031, b"uryyb") == b"hello"


def test_handlers_of_datagrams(served):
    assert b"127.0.0.1" in served.ask_udp(7001, b"hi")
    assert served.ask_udp(7002, b"shout") == b"SHOUT"
    assert served.ask_udp(7003, struct.pack("!I", 41)) == struct.pack("!I", 42)
    assert served.ask_udp(7004, struct.pack("!I", 41)) == struct.pack("!I", 42)
    assert served.ask_udp(7005, b"parrot") == b"parrot"
    assert served.ask_udp(7006, b"parrot") == b"parrot"
    assert served.ask_udp(7031, b"uryyb") == b"hello"


def test_internal_services(served):
    assert served.ask(7007, b"echo") == b"echo"
    assert served.ask(7009, b"nothing comes back") == b""
    assert re.match(rb"\w{3}, \d\d \w{3} \d{4} ", served.ask(7013))
    assert served.ask_udp(7007, b"echo") == b"echo"
    assert len(served.ask_udp(7037, b"time")) == 4


def test_chat(served):
    with served.connect("p7020") as a, served.connect("p7020") as b:
        a.settimeout(hatch.DEADLINE)
        a.recv(1)
        b.sendall(b"hello, room\n")
        got = b""
        while b"hello, room" not in got:
            got += a.recv(4096)


def test_bulletin_is_logged(served):
    with hatch.socket.socket(hatch.socket.AF_INET, hatch.socket.SOCK_DGRAM) as s:
        s.sendto(b"read all about it", ("127.0.0.1", served.port["p7021"]))
    assert hatch.wait_until(lambda: "read all about it" in served.log())


@pytest.mark.skipif(not os.access(GIT_DAEMON, os.X_OK), reason="no git daemon")
def test_git(served, shared_tmp, tmp_path):
    bare = os.path.join(shared_tmp, "git", "demo")
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True)
    if hatch.IS_ROOT:
        subprocess.run(["chown", "-R", hatch.USER, bare], check=True)
    url = "git://127.0.0.1:%d/demo" % served.port["p7018"]
    subprocess.run(["git", "clone", "-q", url, str(tmp_path / "clone")], check=True,
                   timeout=hatch.DEADLINE)
