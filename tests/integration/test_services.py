# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""The handlers of services/, as etc/hatchd.d/ configures them, through hatchd."""
import json
import os
import re
import selectors
import signal
import socket
import struct
import threading
import time

import pytest

import handler
import hatch
from test_services_chat import Client, read_until
from test_services_net import VETH, bulletin

EXAMPLES = os.path.join(hatch.TOP, "etc", "hatchd.d")
NAMES = sorted(f[:-5] for f in os.listdir(EXAMPLES) if f.endswith(".conf"))
STREAMS = pytest.mark.parametrize("kind", [
    "tcp4", pytest.param("tcp6", marks=pytest.mark.ipv6), "unix"])
UDP = pytest.mark.parametrize("kind", ["udp4", pytest.param("udp6", marks=pytest.mark.ipv6)])
DATAGRAMS = pytest.mark.parametrize("kind", [
    "udp4", pytest.param("udp6", marks=pytest.mark.ipv6), "unix-dgram"])
ACCOUNT = {"PATH", "HOME", "USER", "LOGNAME", "SHELL"}
SERVICE = {"PROTO", "HATCHD_SERVICE", "HATCHD_CONNECTION"}
PEER = {"REMOTE_HOST", "REMOTE_ADDR", "REMOTE_PORT"}


def example(*names, edit=()):
    """The text of example files, made fit for a test: enabled, the programs of
    the build folder, and instead of each port one that is free, on loopback
    addresses and on UNIX sockets: @tmp@/SERVICE and @tmp@/SERVICE.dgram."""
    text = ""
    for name in names:
        with open(os.path.join(EXAMPLES, name + ".conf")) as f:
            text += f.read()
    for old, new in edit:
        assert old in text, old
        text = text.replace(old, new)
    text = text.replace("/usr/libexec/hatchd/services", handler.SERVICES)
    text = text.replace('"nobody"', '"@user@"')
    text = re.sub(r"enabled( *)= no", r"enabled\1= yes", text)
    return re.sub(r'^service "(.*?)" \{.*?^\}', _listen_for_test, text, flags=re.M | re.S)


def _listen_for_test(section):
    service, text = section.group(1), section.group(0)
    port = "@" + service.replace("-", "_") + "@"

    def listen(match):
        new = []
        for proto in re.findall(r'"(tcp|udp)4?:', match.group(2)):
            new += ['"%s4:127.0.0.1:%s"' % (proto, port)]
            new += ['"%s6:[::1]:%s"' % (proto, port)] if hatch.has_ipv6() else []
            if proto == "tcp":
                new += ['"unix:@tmp@/%s"' % service]
            elif re.search(r"wait +?= yes", text):     # a session can't be
                new += ['"unix-dgram:@tmp@/%s.dgram"' % service]
        return match.group(1) + "{ " + ", ".join(new) + " }"

    return re.sub(r"^(\s*listen\s*= )(\{.*\})", listen, text, flags=re.M)


def connect(d, service, kind):
    port = d.port[service.replace("-", "_")] if kind != "unix" else None
    if kind == "unix":
        return hatch.connect(os.path.join(d.tmp, service))
    return hatch.connect(port, "::1" if kind == "tcp6" else "127.0.0.1")


def ask(d, service, kind, data=b""):
    with connect(d, service, kind) as c:
        if data:
            c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        return hatch.read_all(c)


def datagram_client(d, service, kind):
    if kind == "unix-dgram":
        c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        c.bind("")              # an abstract name that the kernel chooses
        c.connect(os.path.join(d.tmp, service + ".dgram"))
    else:
        c = socket.socket(socket.AF_INET6 if kind == "udp6" else socket.AF_INET,
                          socket.SOCK_DGRAM)
        c.connect(("::1" if kind == "udp6" else "127.0.0.1", d.port[service.replace("-", "_")]))
    c.settimeout(hatch.DEADLINE)
    return c


def ask_datagram(d, service, kind, data):
    with datagram_client(d, service, kind) as c:
        c.send(data)
        return c.recv(65536)


# The examples


@pytest.mark.parametrize("name", NAMES)
def test_example_as_it_is(name, shared_tmp):
    """Valid, and nothing enabled."""
    with open(os.path.join(EXAMPLES, name + ".conf")) as f:
        text = f.read()
    assert len(re.findall(r"^service ", text, re.M)) == len(re.findall(r"enabled +?= no", text))
    conf = os.path.join(shared_tmp, "hatchd.conf")
    with open(conf, "w") as f:
        f.write('user = "%s"\n' % hatch.USER + text.replace('"nobody"', '"%s"' % hatch.USER))
    os.chmod(conf, 0o600)
    p = hatch.run("-n", "-f", conf)
    assert p.returncode == 0, p.stderr


def test_all_examples_at_once(hatchd):
    """None is in another's way, as they are."""
    text = ""
    for name in NAMES:
        with open(os.path.join(EXAMPLES, name + ".conf")) as f:
            text += f.read().replace('"nobody"', '"@user@"')
    d = hatchd(text)
    assert d.is_running() and not d.log_lines("listen")


# Connections


@STREAMS
def test_hello(hatchd, kind):
    d = hatchd(example("hello"))
    with connect(d, "hello", kind) as c:
        name = c.getsockname()
        got = hatch.read_all(c).decode()
    if kind == "unix":
        assert got == "hello, uid %d (pid %d)\r\n" % (os.getuid(), os.getpid())
    else:
        assert got == ("hello, [%s]:%d\r\n" if kind == "tcp6" else "hello, %s:%d\r\n") % name[:2]
    assert d.wait_log("end", svc="hello")["exit"] == "0"


@STREAMS
def test_upper(hatchd, kind):
    d = hatchd(example("upper"))
    assert ask(d, "upper", kind, "grüße\n".encode()).decode() == "GRüßE\n"
    clients = [connect(d, "upper", kind) for _ in range(60)]
    for i, c in enumerate(clients):
        c.sendall(b"client %d\n" % i)
    for i, c in enumerate(clients):
        assert handler.recv_exactly(c, len("client %d\n" % i)) == b"CLIENT %d\n" % i
        c.close()
    d.wait_log("end", n=61, svc="upper", exit=0)


@STREAMS
def test_counter(hatchd, kind):
    d = hatchd(example("counter"))
    question, answer = struct.pack("!3I", 0, 41, 2**32 - 1), struct.pack("!3I", 1, 42, 0)
    assert ask(d, "counter", kind, question) == answer
    assert ask(d, "counter", kind, b"odd") == b""
    d.wait_log("end", svc="counter", exit=handler.DATAERR)


@STREAMS
def test_parrot_binary_and_oversized(hatchd, kind):
    d = hatchd(example("parrot"))
    data = bytes(range(256)) * 8192
    with connect(d, "parrot", kind) as c:
        writer = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
        writer.start()
        got = hatch.read_all(c)
        writer.join()
    assert got == data


@STREAMS
def test_one_byte_at_a_time(hatchd, kind):
    d = hatchd(example("upper"))
    with connect(d, "upper", kind) as c:
        for byte in b"slowly\n":
            c.sendall(bytes([byte]))
            assert c.recv(1) == bytes([byte]).upper()


@STREAMS
def test_bad_clients_harm_nobody(hatchd, kind):
    """One that never reads, one that never writes, one that resets."""
    d = hatchd(example("upper", edit=[('services/upper"', 'services/upper", "-t", "2"')]))
    deaf = connect(d, "upper", kind)
    deaf.setblocking(False)
    try:
        while True:
            deaf.send(b"x" * 65536)
    except BlockingIOError:
        pass
    mute = connect(d, "upper", kind)
    rude = connect(d, "upper", kind)
    rude.sendall(b"x")
    rude.recv(1)
    handler.reset(rude) if kind != "unix" else rude.close()
    for _ in range(10):
        assert ask(d, "upper", kind, b"abc") == b"ABC"
    d.wait_log("end", n=2, svc="upper", exit=handler.TEMPFAIL)
    deaf.close()
    mute.close()


@STREAMS
def test_health(hatchd, kind):
    d = hatchd(example("health"))
    for method in (b"GET", b"HEAD", b"OPTIONS"):
        got = ask(d, "health", kind, method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: 3\r\n" in got
        assert got.endswith(b"\r\n\r\n" if method == b"HEAD" else b"\r\n\r\nup\n")
    d = hatchd(example("health", edit=[('"/bin/echo", "up"',
                                        '"/bin/sh", "-c", "echo no; exit 1"')]))
    got = ask(d, "health", kind, b"GET / HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 503 ") and got.endswith(b"\r\n\r\nno\n")


@STREAMS
def test_qotd_and_ident(hatchd, kind):
    d = hatchd(example("qotd", "ident"))
    assert 0 < len(ask(d, "qotd", kind)) <= 512
    assert ask(d, "ident", kind, b"6193, 23\r\n") == b"6193 , 23 : ERROR : HIDDEN-USER\r\n"


@STREAMS
def test_finger(hatchd, kind, shared_tmp):
    with open(os.path.join(shared_tmp, "ann"), "w") as f:
        f.write("Ann, room 1\n")
    os.symlink("/etc/passwd", os.path.join(shared_tmp, "bob"))
    d = hatchd(example("finger", edit=[("/srv/finger", shared_tmp)]))
    assert ask(d, "finger", kind, b"ann\r\n") == b"Ann, room 1\r\n"
    assert ask(d, "finger", kind, b"bob\r\n") == b"bob: nothing known\r\n"
    assert ask(d, "finger", kind, b"\r\n") == b"ann\r\n"


def test_finger_without_its_folder(hatchd):
    d = hatchd(example("finger", edit=[("/srv/finger", "/nonexistent")]))
    assert ask(d, "finger", "tcp4") == b""
    assert "/nonexistent" in d.wait_log("stderr", svc="finger")["text"]
    assert d.wait_log("end", svc="finger")["exit"] == str(handler.UNAVAILABLE)


def test_seqpacket_connection(hatchd):
    """Records in, records out."""
    d = hatchd('service "upper" { listen = { "unix-seqpacket:@tmp@/s" } exec = { "%s" } }'
               % handler.path("upper"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c:
        c.settimeout(hatch.DEADLINE)
        c.connect(os.path.join(d.tmp, "s"))
        c.send(b"one")
        c.send(b"two")
        assert [c.recv(100), c.recv(100)] == [b"ONE", b"TWO"]


@pytest.mark.parametrize("name", ["chat", "bulletin"])
def test_broken_contract_is_told(hatchd, name):
    """A wait handler that is given a connection."""
    d = hatchd('service "x" { listen = { "tcp4:127.0.0.1:@x@" } exec = { "%s" } }'
               % handler.path(name))
    assert d.tcp("x") == b""
    assert d.wait_log("end", svc="x")["exit"] == str(handler.USAGE)
    text = d.wait_log("stderr", svc="x")["text"]
    assert text.startswith(name + ": fd 0 is a stream connection, needed is")


# What a handler receives


def seen(answer, peer=(), extra=(), fds=("0", "1", "2")):
    """Checks the names of what env saw, and returns it."""
    got = json.loads(answer)
    names = {k[4:] for k in got if k.startswith("env.")}
    if "ASAN_OPTIONS" in names:
        names.remove("ASAN_OPTIONS")
    assert names == ACCOUNT | SERVICE | set(peer) | set(extra) | {"LANG"}
    assert {k[3:] for k in got if k.startswith("fd.")} == set(fds)
    assert not [k for k in got if k.startswith("signal.")]
    assert got["process.pid"] == got["process.pgid"] == got["process.sid"]
    return got


@STREAMS
def test_env_connection(hatchd, kind):
    d = hatchd(example("env"))
    if kind == "unix":
        got = seen(ask(d, "env", kind), {"REMOTE_UID", "REMOTE_GID", "REMOTE_PID"})
        assert got["env.REMOTE_UID"] == str(os.getuid()) and got["env.PROTO"] == "UNIX"
    else:
        got = seen(ask(d, "env", kind), PEER | {"TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP",
                                                "TCPREMOTEPORT"})
        host = "::1" if kind == "tcp6" else "127.0.0.1"
        assert got["env.TCPLOCALIP"] == got["env.REMOTE_HOST"] == host
        assert got["env.TCPLOCALPORT"] == str(d.port["env"]) and got["env.PROTO"] == "TCP"
    assert got["env.HATCHD_SERVICE"] == "env" and got["env.USER"] == hatch.USER
    assert got["fd.0"] == got["fd.1"] and got["fd.0"].endswith(", a stream connection")
    assert got["process.directory"] == "/" and got["process.umask"] == "022"
    assert d.wait_log("end")["conn"] == got["env.HATCHD_CONNECTION"]


@UDP
def test_env_session(hatchd, kind):
    d = hatchd(example("env"))
    answer = ask_datagram(d, "env", kind, b"?")
    got = seen(answer, PEER | {"UDPLOCALIP", "UDPLOCALPORT", "UDPREMOTEIP", "UDPREMOTEPORT"})
    assert got["env.UDPLOCALIP"] == ("::1" if kind == "udp6" else "127.0.0.1")
    assert got["env.PROTO"] == "UDP" and got["env.UDPLOCALPORT"] == str(d.port["env"])
    assert got["fd.0"] == got["fd.1"] and got["fd.0"].endswith(", a datagram session")


@pytest.mark.parametrize("proto, kind", [("tcp4", "a listening socket (wait = yes)"),
                                         ("udp4", "a datagram socket (wait = yes)")])
def test_env_wait(hatchd, proto, kind):
    d = hatchd('service "env" { listen = { "%s:127.0.0.1:@env@" } exec = { "%s", "--json" } '
               'wait = yes environment = { "LANG=C" } }' % (proto, handler.path("env")))
    answer = d.tcp("env") if proto == "tcp4" else d.udp("env", b"?")
    name = proto[:3].upper()
    got = seen(answer, (), {name + "LOCALIP", name + "LOCALPORT"})
    assert got["env.PROTO"] == name
    assert got["fd.0"] == got["fd.1"] and kind in got["fd.0"]


def test_env_listen_fds(hatchd):
    d = hatchd('service "env" { listen = { "tcp4:127.0.0.1:@env@", "unix:@tmp@/s" } wait = yes '
               'pass = "listen_fds" exec = { "%s", "--json" } environment = { "LANG=C" } }'
               % handler.path("env"))
    got = seen(d.tcp("env"), (), {"TCPLOCALIP", "TCPLOCALPORT", "LISTEN_FDS", "LISTEN_PID",
                                  "LISTEN_FDNAMES"}, ("0", "1", "2", "3", "4"))
    assert got["env.LISTEN_FDS"] == "2" and got["env.LISTEN_FDNAMES"] == "env:env"
    assert got["env.LISTEN_PID"] == got["process.pid"]
    assert got["fd.0"].startswith("/dev/null")
    assert "listening" in got["fd.3"] and "listening" in got["fd.4"]
    assert json.loads(hatch.tcp_request(os.path.join(d.tmp, "s")))


# Datagram sessions


@UDP
@pytest.mark.parametrize("name, question, answer", [
    ("upper", b"abc \xc3\xa4", b"ABC \xc3\xa4"), ("parrot", b"\0" * 1000, b"\0" * 1000),
    ("counter", struct.pack("!I", 41), struct.pack("!I", 42))],
    ids=["upper", "parrot", "counter"])
def test_session(hatchd, kind, name, question, answer):
    d = hatchd(example(name))
    with datagram_client(d, name, kind) as c:
        for _ in range(3):
            c.send(question)
            assert c.recv(65536) == answer
        d.wait_log("start", svc=name)
        assert len(d.handlers()) == 1       # the same for all three


@UDP
def test_hello_datagram(hatchd, kind):
    d = hatchd(example("hello"))
    assert ask_datagram(d, "hello", kind, b"?").startswith(b"hello, ")
    d.wait_log("end", svc="hello", exit=0)


@pytest.mark.parametrize("name", ["upper", "counter"])
def test_1000_sessions(hatchd, name):
    """Each is answered by its own handler."""
    n = 1000
    d = hatchd(example(name, edit=[("instances = 2000", "instances = 2000 per_source = 0")]))
    clients = [datagram_client(d, name, "udp4") for _ in range(n)]
    answers = {}
    with selectors.DefaultSelector() as sel:
        for i, c in enumerate(clients):
            sel.register(c, selectors.EVENT_READ, i)
        sent = 0
        end = time.monotonic() + 40
        while len(answers) < n and time.monotonic() < end:
            while sent < min(n, len(answers) + 64):     # what a socket's buffer bears
                clients[sent].send(struct.pack("!I", sent) if name == "counter" else
                                   b"peer %d" % sent)
                sent += 1
            for key, _ in sel.select(1):
                answers[key.data] = key.fileobj.recv(100)
    assert len(answers) == n
    for i, got in answers.items():
        assert got == (struct.pack("!I", i + 1) if name == "counter" else b"PEER %d" % i)
    # The second datagram of a peer goes to the same handler.
    for i in (0, n // 2, n - 1):
        clients[i].send(struct.pack("!I", 7) if name == "counter" else b"again")
        assert clients[i].recv(100) in (struct.pack("!I", 8), b"AGAIN")
    assert len(d.handlers()) == n
    assert len({e["pid"] for e in d.log_lines("start", svc=name)}) == n
    for c in clients:
        c.close()


@pytest.mark.netns
@pytest.mark.parametrize("name", ["upper", "counter"])
def test_sessions_of_two_local_addresses(name):
    """1000 peers, half of them at the second address of a socket for all: each
    is answered from the address it asked (a connected client hears no other)."""
    def test():
        path = os.path.join(EXAMPLES, name + ".conf")
        with open(path) as f:
            text = f.read()
        text = text.split("# The classic form")[0]
        text = re.sub("listen  = .*", 'listen = { "udp:5000" }', text).replace("= no", "= yes")
        text = text.replace("/usr/libexec/hatchd/services", handler.SERVICES)
        text = text.replace('"nobody"', '"@user@"').replace("2000", "2000 per_source = 0")
        d = hatch.Daemon(text)
        try:
            clients = []
            for i in range(1000):
                host = ("10.9.8.1", "10.9.8.2", "fd00:9::1", "fd00:9::2")[i % 4]
                c = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                                  socket.SOCK_DGRAM)
                c.settimeout(hatch.DEADLINE)
                c.connect((host, 5000))
                c.send(struct.pack("!I", i) if name == "counter" else b"peer %d" % i)
                clients.append(c)
                if i % 20 == 19:
                    for k in range(i - 19, i + 1):
                        want = struct.pack("!I", k + 1) if name == "counter" else b"PEER %d" % k
                        assert clients[k].recv(100) == want
            assert len(d.handlers()) == 1000
            local = {e["local"].rsplit(":", 1)[0] for e in d.log_lines("start")}
            assert local == {"10.9.8.1", "10.9.8.2", "[fd00:9::1]", "[fd00:9::2]"}
            for c in clients:
                c.close()
        finally:
            d.close()

    handler.in_namespace(test, *VETH)


# wait = yes


@DATAGRAMS
def test_wait_datagrams(hatchd, kind):
    d = hatchd(example("counter", "parrot", edit=[('"-i", "10"', '"-i", "1"')]))
    for i in range(20):
        question, answer = struct.pack("!I", i), struct.pack("!I", i + 1)
        assert ask_datagram(d, "counter-wait", kind, question) == answer
        assert ask_datagram(d, "parrot-wait", kind, b"x" * i + b"y") == b"x" * i + b"y"
    assert len(d.log_lines("start", svc="counter-wait")) == 1
    d.wait_log("end", svc="counter-wait", exit=0)       # idle; then the next one
    assert ask_datagram(d, "counter-wait", kind, struct.pack("!I", 1)) == struct.pack("!I", 2)
    d.wait_log("start", n=2, svc="counter-wait")


@STREAMS
@pytest.mark.parametrize("service", ["iterative", "iterative-wait"])
def test_iterative(hatchd, kind, service):
    """One client at a time; the next one waits, and is served."""
    d = hatchd(example("iterative"))
    first, second = connect(d, service, kind), connect(d, service, kind)
    first.sendall(b"first")
    assert first.recv(100) == b"FIRST"
    second.sendall(b"second")
    second.settimeout(0.3)
    with pytest.raises(TimeoutError):
        second.recv(100)
    assert len(d.handlers()) == 1
    first.close()
    second.settimeout(hatch.DEADLINE)
    assert second.recv(100) == b"SECOND"
    second.close()


def test_chat_500_clients(hatchd):
    """Over IPv4, IPv6 and UNIX, in one room; each message reaches every other
    one once, in order per sender."""
    n, each = 500, 2
    d = hatchd(example("chat", edit=[('"-i", "60"', '"-i", "1"')]))
    kinds = ["tcp4", "unix"] + (["tcp6"] if hatch.has_ipv6() else [])
    clients = []
    for i in range(n):
        c = Client.__new__(Client)
        c.data, c.sock = b"", connect(d, "chat", kinds[i % len(kinds)])
        clients.append(c)
        if i > 0:
            clients[0].wait_for("guest%d joined" % (i + 1))
    read_until(clients, lambda: all(
        c.data.count(b"\n") >= n - 1 - i for i, c in enumerate(clients)))
    for c in clients:
        c.data = b""
    for turn in range(each):
        for i, c in enumerate(clients):
            c.say("%d of %d" % (turn, i + 1))
    read_until(clients, lambda: all(c.data.count(b"\n") >= (n - 1) * each for c in clients))
    for i, c in enumerate(clients):
        turns = {}
        for line in c.lines:
            name, turn, of = re.fullmatch(r"guest(\d+): (\d+) of (\d+)", line).groups()
            assert name == of and turns.get(name, 0) == int(turn)
            turns[name] = int(turn) + 1
        assert len(turns) == n - 1 and set(turns.values()) == {each} and str(i + 1) not in turns
    assert len(d.handlers()) == 1
    for c in clients:
        c.sock.close()
    assert d.wait_log("end", svc="chat")["exit"] == "0"


def test_chat_ends_and_begins_again(hatchd):
    d = hatchd(example("chat", edit=[('"-i", "60"', '"-i", "1"')]))
    for turn in (1, 2):
        a, b = (Client(d.port["chat"]) for _ in range(2))
        a.wait_for("guest2 joined")
        b.say("turn %d" % turn)
        a.wait_for("guest2: turn %d" % turn)
        a.sock.close()
        b.sock.close()
        d.wait_log("end", n=turn, svc="chat", exit=0)
    assert len(d.log_lines("start", svc="chat")) == 2


def test_chat_begins_again_after_a_crash(hatchd):
    d = hatchd(example("chat"))
    for _ in range(2):
        a, b = (Client(d.port["chat"]) for _ in range(2))
        a.wait_for("guest2 joined")
        os.kill(d.handlers()[0], signal.SIGKILL)
        while a.read():
            pass
        a.sock.close()
        b.sock.close()
    d.wait_log("end", n=2, svc="chat", signal="KILL")


@pytest.mark.netns
def test_bulletin():
    """A multicast and a broadcast message, with their sender, in the log."""
    def test():
        text = example("bulletin", edit=[("udp4:7110", "udp4:5000")])
        text = re.sub("listen  = .*", 'listen = { "udp4:5000" }', text)
        d = hatch.Daemon(text)
        try:
            assert bulletin("-I", "v0", "239.255.71.10", 5000, "to the group").returncode == 0
            got = d.wait_log("stderr", svc="bulletin")["text"]
            assert re.fullmatch(r"10\.9\.8\.1:\d+: to the group", got)
            assert bulletin("-I", "v0", "10.9.8.255", 5000, "to", "all").returncode == 0
            assert d.wait_log("stderr", n=2, svc="bulletin")["text"].endswith(": to all")
            assert len(d.handlers()) == 1
        finally:
            d.close()

    # Groups are joined on the interface that the route to them names.
    handler.in_namespace(test, *VETH, "ip route add 224.0.0.0/4 dev v0")
