# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Handlers of services/ where they need a network of their own (several local
addresses, multicast, broadcast), and under other super-servers."""
import os
import re
import shutil
import socket
import struct
import subprocess

import pytest

import hatch
import handler
from handler import OK, Handler, in_namespace

VETH = ("ip link add v0 type veth peer name v1", "ip link set v0 up", "ip link set v1 up",
        "ip addr add 10.9.8.1/24 brd + dev v0", "ip addr add 10.9.8.2/24 dev v0",
        "ip addr add fd00:9::1/64 dev v0 nodad", "ip addr add fd00:9::2/64 dev v0 nodad")


def bulletin(*args):
    return subprocess.run([handler.path("bulletin"), "-s", *map(str, args)],
                          stderr=subprocess.PIPE, text=True)


def receive(sock, send, path):
    """The lines of a receiver that writes to a file, after send()."""
    with Handler("bulletin", "-o", path, "-i", "60", stdin=sock):
        send()
        hatch.wait_until(lambda: os.path.exists(path) and os.path.getsize(path))
    with open(path) as f:
        return f.read().splitlines()


@pytest.mark.netns
def test_bulletin_multicast(tmp_path):
    def test():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("", 5000))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                         socket.inet_aton("239.1.2.3") + socket.inet_aton("10.9.8.1"))
            lines = receive(s, lambda: bulletin("-I", "v0", "239.1.2.3", 5000, "to", "the group"),
                            str(tmp_path / "m"))
        assert len(lines) == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 10\.9\.8\.1:\d+: to the group",
                            lines[0]), lines

    in_namespace(test, *VETH)


@pytest.mark.netns
def test_bulletin_multicast_ipv6(tmp_path):
    def test():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::", 5000))
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                         socket.inet_pton(socket.AF_INET6, "ff15::99") +
                         struct.pack("@I", socket.if_nametoindex("v0")))
            lines = receive(s, lambda: bulletin("-I", "v0", "ff15::99", 5000, "six"),
                            str(tmp_path / "m"))
        assert len(lines) == 1 and lines[0].endswith(": six") and "[fd00:9::" in lines[0], lines

    in_namespace(test, *VETH)


@pytest.mark.netns
def test_bulletin_broadcast(tmp_path):
    def test():
        for n, address in enumerate(("10.9.8.255", "255.255.255.255")):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                s.bind(("", 5000))
                lines = receive(s, lambda: bulletin("-I", "v0", address, 5000, "to all"),
                                str(tmp_path / str(n)))
            assert len(lines) == 1 and lines[0].endswith(": to all"), lines

    in_namespace(test, *VETH)


@pytest.mark.netns
@pytest.mark.parametrize("address", ["10.9.8.2", "fd00:9::2"])
def test_wait_datagram_answers_from_the_address_asked(address):
    """A socket for all addresses; a connected client takes no other answer."""
    def test():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.bind(("", 5000))
            with Handler("counter", stdin=s):
                for i in range(3):
                    got = hatch.udp_request(5000, struct.pack("!I", i), address)
                    assert got == struct.pack("!I", i + 1)

    in_namespace(test, *VETH)


def test_bulletin_log_is_clean():
    """What is sent cannot forge lines or move the cursor."""
    with handler.datagram_socket() as s:
        h = Handler("bulletin", "-i", "1", stdin=s)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.bind(("127.0.0.1", 0))
            me = "127.0.0.1:%d: " % c.getsockname()[1]
            for data in (b"plain\n", b"a\nb\x1b[2J", b"", b"z" * 3000, "grüße\r\n".encode()):
                c.sendto(data, s.getsockname())
            code, text = h.end()
            c.setblocking(False)
            with pytest.raises(BlockingIOError):    # it never answers
                c.recv(1)
    assert code == OK
    assert text.splitlines() == [me + t for t in ("plain", "a?b?[2J", "", "z" * 1024, "grüße")]


@pytest.mark.parametrize("args, code, text", [
    (("127.0.0.1", "5000"), handler.USAGE, "usage"), (("127.0.0.1", "x", "t"), 68, "x"),
    (("-I", "nosuch0", "127.0.0.1", "5000", "t"), handler.USAGE, "no interface nosuch0"),
    (("127.0.0.1", "5000", "x" * 1024), handler.DATAERR, "longer")])
def test_bulletin_wrong_use(args, code, text):
    p = bulletin(*args)
    assert p.returncode == code and text in p.stderr


def test_bulletin_file_that_cannot_be():
    with handler.datagram_socket() as s:
        Handler("bulletin", "-o", "/nonexistent/x", stdin=s).expect(handler.CANTCREAT, "bulletin:")


# Other super-servers


def find(*names):
    places = os.environ["PATH"] + ":/usr/sbin:/sbin:/usr/local/sbin"
    if "HATCH_PEERS" in os.environ:
        places += "".join(":%s/%s/usr/sbin" % (os.environ["HATCH_PEERS"], n) for n in names)
    return next((p for p in (shutil.which(n, path=places) for n in names) if p), None)


def xinetd(tmp, program, user, tcp, udp):
    """Upper as nowait, counter as wait, in xinetd's language."""
    form = """service {0}
{{
	type = UNLISTED
	bind = 127.0.0.1
	port = {1}
	protocol = {2}
	socket_type = {3}
	wait = {4}
	user = {5}
	server = {6}
	instances = UNLIMITED
	cps = 10000 1
	per_source = UNLIMITED
}}
"""
    conf = tmp / "xinetd.conf"
    conf.write_text(form.format("upper", tcp, "tcp", "stream", "no", user, handler.path("upper"))
                    + form.format("counter", udp, "udp", "dgram", "yes", user,
                                  handler.path("counter")))
    return [program, "-dontfork", "-f", str(conf), "-pidfile", str(tmp / "pid"), "-filelog",
            str(tmp / "log")]


def inetd(tmp, program, user, tcp, udp):
    conf = tmp / "inetd.conf"
    conf.write_text("127.0.0.1:%d stream tcp nowait %s %s upper\n"
                    "127.0.0.1:%d dgram udp wait %s %s counter\n"
                    % (tcp, user, handler.path("upper"), udp, user, handler.path("counter")))
    return [program, "-i", str(conf)]


@pytest.mark.parametrize("names, arguments", [(("xinetd",), xinetd),
                                              (("openbsd-inetd", "inetd"), inetd)])
def test_under_another_super_server(tmp_path, names, arguments):
    """The same binaries, unchanged: a connection each, and wait = yes."""
    program = find(*names)
    if program is None:
        pytest.skip("no %s here" % " or ".join(names))
    if not hatch.IS_ROOT and names[0] != "xinetd":
        pytest.skip("needs root")
    tcp, udp = hatch.free_port(), hatch.free_port()
    user = "root" if hatch.IS_ROOT else hatch.USER      # who may read the build folder
    with open(tmp_path / "out", "wb") as out:
        server = subprocess.Popen(arguments(tmp_path, program, user, tcp, udp),
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=tmp_path)
    try:
        def is_up():
            assert server.poll() is None, (tmp_path / "out").read_text()
            try:
                return hatch.tcp_request(tcp, b"up?") == b"UP?"
            except ConnectionRefusedError:
                return False
        hatch.wait_until(is_up)
        clients = [hatch.connect(tcp) for _ in range(20)]
        for i, c in enumerate(clients):
            c.sendall(b"client %d\n" % i)
        for i, c in enumerate(clients):
            c.shutdown(socket.SHUT_WR)
            assert hatch.read_all(c) == b"CLIENT %d\n" % i
            c.close()
        for i in range(20):
            assert hatch.udp_request(udp, struct.pack("!I", i)) == struct.pack("!I", i + 1)
    finally:
        server.terminate()
        server.wait(hatch.DEADLINE)
