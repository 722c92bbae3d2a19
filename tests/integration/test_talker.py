# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""The talker: what it may do, what it answers, and that its death costs the
connections it held and nothing else."""
import errno
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

import hatch
from test_real_programs import GIT_ENV, git_service, make_repository, run

ECHO = """
service "echo" {
    listen   = { "tcp4:127.0.0.1:@echo@" }
    internal = "echo"
    limits { per_source = 0 instances = 0 }
}
"""


def start_clones(daemon, folder, n):
    url = "git://127.0.0.1:%d/project.git" % daemon.port["git"]
    return [subprocess.Popen(["git", "clone", "-q", "--bare", url, "%s/clone%d" % (folder, i)],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=dict(os.environ, **GIT_ENV)) for i in range(n)]


def kill_during_clones(hatchd, folder, clones, blobs, seconds):
    """Kills the talker in the middle of many clones."""
    make_repository(folder + "/project.git", blobs=blobs)
    daemon = hatchd(git_service(folder, "limits { per_source = 0 }") + ECHO)
    assert daemon.tcp("echo", b"before") == b"before"
    procs = start_clones(daemon, folder, clones)
    try:
        hatch.wait_until(lambda: len(daemon.log_lines("start", svc="git")) >= clones // 4, 60)
        begin, talker = time.monotonic(), daemon.talker
        os.kill(talker, signal.SIGKILL)
        hatch.wait_until(lambda: daemon.talker != talker)
        assert daemon.tcp("echo", b"after") == b"after"     # it waits in the backlog
        took = time.monotonic() - begin
        done = [(p.communicate(timeout=600)[1], p.returncode) for p in procs]
    finally:
        for p in procs:
            p.kill()
            p.wait()
    assert done == [(b"", 0)] * clones
    for i in range(clones):
        said = run("git", "-C", "%s/clone%d" % (folder, i), "count-objects", "-v").stdout.decode()
        assert int(re.search(r"in-pack: (\d+)", said).group(1)) > blobs, said
    assert took < seconds
    hatch.wait_until(lambda: len(daemon.log_lines("end", svc="git")) == clones, 60)
    assert {e["exit"] for e in daemon.log_lines("end", svc="git")} == {"0"}
    assert len(daemon.log_lines("talker", signal="KILL")) == 1


def test_killed_during_60_clones(hatchd, shared_tmp):
    kill_during_clones(hatchd, shared_tmp, 60, 3000, 3)


@pytest.mark.soak
def test_killed_during_200_clones(hatchd, shared_tmp):
    kill_during_clones(hatchd, shared_tmp, 200, 3000, 3)


def test_connections_meanwhile_are_served_by_the_next_one(hatchd):
    daemon = hatchd(ECHO)
    old = daemon.talker
    os.kill(old, signal.SIGSTOP)        # so that they are under way when it dies
    held = [daemon.connect("echo") for _ in range(50)]
    os.kill(old, signal.SIGKILL)
    hatch.wait_until(lambda: daemon.talker not in (0, old))
    with daemon.connect("echo") as s:
        s.sendall(b"new")
        assert s.recv(10) == b"new"
    # Each is served or has got its end; none hangs.
    for s in held:
        with s:
            try:
                s.sendall(b"held")
                assert s.recv(10) in (b"held", b"")
            except (ConnectionResetError, BrokenPipeError):
                pass


def test_no_connection_is_refused_because_a_talker_died(hatchd):
    """The ones that it had are over, but none that came later."""
    daemon = hatchd(ECHO)
    stop, wrong, n = threading.Event(), [], [0]

    def clients():
        while not stop.is_set():
            try:
                got = daemon.tcp("echo", b"x" * 100)
                if got not in (b"", b"x" * 100):        # the end came first
                    wrong.append(got)
                n[0] += 1
            except OSError as e:
                if e.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                    wrong.append(repr(e))               # else it was the talker's

    threads = [threading.Thread(target=clients) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        for _ in range(4):
            seen = n[0]
            hatch.wait_until(lambda: n[0] > seen + 20)
            daemon.kill_talker()
    finally:
        stop.set()
        for t in threads:
            t.join(hatch.DEADLINE)
    assert not wrong, wrong[:5]
    assert not daemon.log_lines("refuse")
    assert daemon.tcp("echo", b"after") == b"after"


# More than the link to a talker takes at a time, its queue and the kernel's.
MANY = 1100


def many_udp(n):
    """So many services at one port, each at an address of its own."""
    return ECHO + "".join('service "u%d" { listen = "udp4:127.1.%d.%d:@many@" internal = "echo" }\n'
                          % (i, i // 250, i % 250 + 1) for i in range(n))


def n_bound(port):
    with open("/proc/net/udp") as f:
        return sum(line.split()[1].endswith(":%04X" % port) for line in f)


def all_answer(daemon, n):
    """Asks those that have not answered until all have."""
    left = {("127.1.%d.%d" % (i // 250, i % 250 + 1), daemon.port["many"]) for i in range(n)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)

        def ask():
            asked = set(sorted(left)[:50])
            for address in asked:
                s.sendto(b"x", address)
            try:
                while asked & left:
                    left.discard(s.recvfrom(10)[1])
            except socket.timeout:
                pass
            return not left
        hatch.wait_until(ask, what="answers of %d services" % n)


def test_more_datagram_services_than_the_link_takes(hatchd):
    daemon = hatchd(many_udp(MANY))
    all_answer(daemon, MANY)
    daemon.kill_talker()
    all_answer(daemon, MANY)
    talker = daemon.talker
    os.kill(talker, signal.SIGSTOP)     # so that it is behind for certain
    try:
        daemon.reload(many_udp(1))
    finally:
        os.kill(talker, signal.SIGCONT)
    hatch.wait_until(lambda: n_bound(daemon.port["many"]) == 1, what="the sockets' end")
    daemon.reload(many_udp(MANY))
    all_answer(daemon, MANY)
    assert daemon.talker == talker
    assert "can't send" not in daemon.log()


def test_more_connections_end_than_the_link_takes(hatchd):
    conf = ('service "many" { listen = "tcp4:127.0.0.1:@many@" internal = "echo"'
            ' on_reload = "terminate" log_events = { }'
            ' limits { instances = 0 per_source = 0 } }\n')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 200), hard))
    clients = []
    try:
        daemon = hatchd(ECHO + conf)
        clients = [daemon.connect("many") for _ in range(MANY)]
        for c in clients:
            c.sendall(b"x")
        for c in clients:
            assert c.recv(10) == b"x"
        talker = daemon.talker
        os.kill(talker, signal.SIGSTOP)
        try:
            daemon.reload(ECHO)
        finally:
            os.kill(talker, signal.SIGCONT)
        for c in clients:
            assert c.recv(10) == b""
        assert daemon.tcp("echo", b"x") == b"x"
    finally:
        for c in clients:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert daemon.talker == talker


def test_repeated_deaths_follow_the_back_off(hatchd):
    daemon = hatchd(ECHO)
    expected = 0.1
    for n in range(5):
        pid = daemon.talker
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        hatch.wait_until(lambda: daemon.talker not in (0, pid), what="talker %d" % n)
        took = time.monotonic() - began
        assert took >= expected * 0.9, (n, took)
        assert took <= expected + 2, (n, took)
        assert daemon.tcp("echo", b"again") == b"again"
        expected *= 2
    assert len(daemon.log_lines("talker", signal="KILL")) == 5
    assert daemon.n_zombies() == 0


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSYS])
def test_whatever_ends_it_nothing_is_left_of_it(hatchd, number):
    daemon = hatchd(ECHO)
    before = hatch.n_fds(daemon.pid)
    assert daemon.tcp("echo", b"on") == b"on"
    for _ in range(2):
        daemon.kill_talker(number)
        assert daemon.tcp("echo", b"on") == b"on"
    assert daemon.log_lines("talker", signal=number.name[3:])
    hatch.wait_until(lambda: hatch.n_fds(daemon.pid) <= before, what="descriptors given back")


def test_stop_while_there_is_no_talker(hatchd):
    daemon = hatchd(ECHO)
    for _ in range(4):
        old = daemon.kill_talker()
    os.kill(old, signal.SIGKILL)
    hatch.wait_until(lambda: daemon.talker == 0)
    assert daemon.stop() == 0


def test_stderr_of_handlers_after_a_restart(hatchd):
    """One that runs on has its lines logged by the next talker."""
    daemon = hatchd("""
service "says" {
    listen = { "tcp:127.0.0.1:@says@" }
    exec   = { "/bin/sh", "-c", "while read x; do echo said $x >&2; echo ok; done" }
}
""")
    with daemon.connect("says") as s:
        for n, word in enumerate(("one", "two", "three")):
            s.sendall(word.encode() + b"\n")
            assert s.recv(10) == b"ok\n"
            line = daemon.wait_log("stderr", svc="says", text="said " + word)
            assert line["conn"] == "1"
            if n < 2:
                daemon.kill_talker()
    daemon.wait_log("end", svc="says", exit=0)


def test_stderr_written_while_there_is_no_talker(hatchd):
    daemon = hatchd("""
service "says" {
    listen = { "tcp:127.0.0.1:@says@" }
    exec   = { "/bin/sh", "-c", "while read x; do echo said $x >&2; echo ok; done" }
}
""")
    with daemon.connect("says") as s:
        old = daemon.talker
        os.kill(old, signal.SIGKILL)
        for i in range(10):
            s.sendall(b"%d\n" % i)
            assert s.recv(10) == b"ok\n"
        for i in range(10):
            daemon.wait_log("stderr", svc="says", conn=1, text="said %d" % i)


# What it may do

def confined_talker(hatchd):
    """Its pid when it has begun to serve, in the prison that it makes itself."""
    daemon = hatchd(ECHO)
    assert daemon.tcp("echo", b"there") == b"there"
    return daemon, daemon.talker


def compiled_with(text):
    with open(hatch.HATCHD + "-talker", "rb") as f:
        return text in f.read()


@pytest.mark.root
def test_confinement(hatchd):
    daemon, pid = confined_talker(hatchd)
    uid = str(pwd.getpwnam(hatch.USER).pw_uid)
    assert hatch.status_field(pid, "Uid").split() == [uid] * 4
    assert set(hatch.status_field(pid, "Gid").split()) != {"0"}
    assert hatch.status_field(pid, "Groups") == ""
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(hatch.status_field(pid, name), 16) == 0, name
    assert hatch.status_field(pid, "NoNewPrivs") == "1"
    assert os.readlink("/proc/%d/root" % pid) not in ("/", "")
    assert os.listdir("/proc/%d/root" % pid) == []
    assert os.readlink("/proc/%d/cwd" % pid) == os.readlink("/proc/%d/root" % pid)
    assert not os.path.exists(os.readlink("/proc/%d/root" % pid).split(" ")[0])
    with open("/proc/%d/environ" % pid, "rb") as f:
        assert b"=" not in f.read()


def test_limits_and_privileges(hatchd):
    """What holds for a user's daemon, too."""
    _, pid = confined_talker(hatchd)
    assert hatch.status_field(pid, "NoNewPrivs") == "1"
    if compiled_with(b"libseccomp") and not compiled_with(b"__asan_init"):
        assert hatch.status_field(pid, "Seccomp") == "2"
    limits = {}
    try:
        with open("/proc/%d/limits" % pid) as f:
            for line in f:
                limits[line[:26].strip()] = line[26:].split()[:2]
    except PermissionError:
        pytest.skip("a process that may not be looked at")
    assert limits["Max processes"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]


@pytest.mark.root
def test_descriptors(hatchd):
    """The link, the board, the handlers' stderr, the control socket, the log:
    nothing of the file system."""
    daemon, pid = confined_talker(hatchd)
    folder = "/proc/%d/fd/" % pid
    for name in os.listdir(folder):
        target = os.readlink(folder + name)
        kind = re.match(r"(socket:|anon_inode:|/memfd:|/dev/null$|pipe:)", target)
        assert kind or target == daemon.log_path, (name, target)
    # no writable view of the board
    with open("/proc/%d/maps" % pid) as f:
        boards = [line for line in f if "memfd:" in line]
    assert boards and all(line.split()[1] == "r--s" for line in boards), boards


# Internal services

ALL = """
defaults { user = "@user@" log_events = { "fail" } limits { per_source = 0 instances = 0 } }
""" + "".join("""
service "%s" {
    listen   = { "tcp4:127.0.0.1:@%s@", "tcp6:[::1]:@%s@", "unix:@tmp@/%s",
                 "unix-seqpacket:@tmp@/%s.seq", "udp4:127.0.0.1:@%s@", "udp6:[::1]:@%s@",
                 "unix-dgram:@tmp@/%s.dgram" }
    internal = "%s"
}
""" % ((name,) * 9) for name in ("echo", "discard", "chargen", "daytime", "time"))
NO_IPV6 = re.compile(r' "(tcp|udp)6:[^"]*",')

STREAMS = ("tcp4", pytest.param("tcp6", marks=pytest.mark.ipv6), "unix", "unix-seqpacket")
DATAGRAMS = ("udp4", pytest.param("udp6", marks=pytest.mark.ipv6), "unix-dgram")


def start_all(hatchd):
    return hatchd(ALL if hatch.has_ipv6() else NO_IPV6.sub("", ALL))


def client(daemon, kind, name):
    """A connected socket; datagram ones have an address of their own."""
    if kind.startswith("unix"):
        suffix = {"unix": "", "unix-seqpacket": ".seq", "unix-dgram": ".dgram"}[kind]
        s = socket.socket(socket.AF_UNIX, {"": socket.SOCK_STREAM, ".seq": socket.SOCK_SEQPACKET,
                                           ".dgram": socket.SOCK_DGRAM}[suffix])
        if suffix == ".dgram":
            s.bind("")                  # the kernel gives an abstract name
        address = "%s/%s%s" % (daemon.tmp, name, suffix)
    else:
        host = "::1" if kind[3] == "6" else "127.0.0.1"
        s = socket.socket(socket.AF_INET6 if kind[3] == "6" else socket.AF_INET,
                          socket.SOCK_DGRAM if kind[0] == "u" else socket.SOCK_STREAM)
        address = (host, daemon.port[name])
    s.settimeout(hatch.DEADLINE)
    s.connect(address)
    return s


DAYTIME = re.compile(rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] \d{4} "
                     rb"\d\d:\d\d:\d\d [+-]0000\r\n")


def is_now(data):
    assert len(data) == 4
    return abs(int.from_bytes(data, "big") - 2208988800 - time.time()) < 5


def check_chargen(text):
    """RFC 864's pattern: lines of 72, each begins one character later."""
    lines = text.split(b"\r\n")[:-1]
    assert lines and all(len(line) == 72 for line in lines), lines[:3]
    ring = bytes(range(32, 127)) * 2
    first = lines[0][0]
    for i, line in enumerate(lines):
        at = (first - 32 + i) % 95
        assert line == ring[at:at + 72], (i, line)


@pytest.mark.parametrize("kind", STREAMS)
def test_streams(hatchd, kind):
    daemon = start_all(hatchd)
    message = kind == "unix-seqpacket"
    with client(daemon, kind, "echo") as s:
        for data in (b"one", b"t\0w\n\xff", os.urandom(30000)):
            s.sendall(data)
            got = b""
            while len(got) < len(data):
                got += s.recv(65536)
                assert got
            assert got == data
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    with client(daemon, kind, "discard") as s:
        for _ in range(20):
            s.sendall(bytes(10000))
        s.settimeout(0.1)
        with pytest.raises(socket.timeout):
            s.recv(1)
        s.settimeout(hatch.DEADLINE)
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    with client(daemon, kind, "daytime") as s:
        assert DAYTIME.fullmatch(hatch.read_all(s))
    with client(daemon, kind, "time") as s:
        assert is_now(hatch.read_all(s))
    with client(daemon, kind, "chargen") as s:
        got = b""
        while len(got) < 74 * 300:
            part = s.recv(65536)
            assert part and (not message or len(part) == 74)
            got += part
        check_chargen(got[:len(got) // 74 * 74])
    # what it was told to end is over; another goes on
    with client(daemon, kind, "echo") as s:
        s.sendall(b"on")
        assert s.recv(10) == b"on"


@pytest.mark.parametrize("kind", DATAGRAMS)
def test_datagrams(hatchd, kind):
    daemon = start_all(hatchd)
    with client(daemon, kind, "echo") as s:
        for data in (b"one", b"", os.urandom(1400), os.urandom(60000), b"end"):
            s.send(data)
            assert s.recv(65536) == data
    with client(daemon, kind, "discard") as s:
        for n in (0, 1, 1000):
            s.send(bytes(n))
        s.settimeout(0.2)
        with pytest.raises(socket.timeout):
            s.recv(1)
    with client(daemon, kind, "daytime") as s:
        s.send(b"what time is it, please? It matters")
        assert DAYTIME.fullmatch(s.recv(1000))
    with client(daemon, kind, "time") as s:
        s.send(bytes(4))
        assert is_now(s.recv(1000))
    with client(daemon, kind, "chargen") as s:
        s.send(b"x")
        got = s.recv(1000)
        assert len(got) <= 512
        check_chargen(got)


@pytest.mark.parametrize("kind", ("tcp4", "unix"))
def test_echo_after_half_close(hatchd, kind):
    """All that was sent comes back, though the client has said its last."""
    daemon = start_all(hatchd)
    data = os.urandom(4 << 20)
    with client(daemon, kind, "echo") as s:
        def send():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        got = hatch.read_all(s)
        sender.join()
    assert got == data


def test_chargen_goes_on_after_half_close(hatchd):
    daemon = start_all(hatchd)
    with client(daemon, "tcp4", "chargen") as s:
        s.shutdown(socket.SHUT_WR)
        n = 0
        while n < 2 << 20:
            part = s.recv(65536)
            assert part
            n += len(part)


def test_input_that_nobody_reads_costs_no_answer(hatchd):
    """What the client sends to daytime does not turn its answer into a reset."""
    daemon = start_all(hatchd)
    for _ in range(50):
        with client(daemon, "tcp4", "daytime") as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert DAYTIME.fullmatch(hatch.read_all(s))


def test_clients_that_never_read(hatchd):
    """Chargen and echo wait for them, in little memory, and others are served."""
    daemon = start_all(hatchd)
    with client(daemon, "tcp4", "echo") as s:
        s.sendall(b"warm")
        assert s.recv(10) == b"warm"
    with client(daemon, "tcp4", "chargen") as s:
        assert s.recv(10)
    before = hatch.rss(daemon.talker)
    held = [client(daemon, "tcp4", "chargen") for _ in range(100)]
    n_echo = 20
    for _ in range(n_echo):
        s = client(daemon, "tcp4", "echo")
        held.append(s)
        s.settimeout(0.3)
        with pytest.raises(socket.timeout):
            s.sendall(bytes(64 << 20))
    try:
        spent = hatch.cpu_seconds(daemon.talker)
        began = time.monotonic()
        for i in range(50):
            assert daemon.tcp("echo", b"%d" % i) == b"%d" % i
        hatch.wait_until(lambda: time.monotonic() - began > 1)
        busy = (hatch.cpu_seconds(daemon.talker) - spent) / (time.monotonic() - began)
        grown = hatch.rss(daemon.talker) - before
        # at most one buffer each for echo, none for chargen
        assert grown < n_echo * (512 << 10) + (4 << 20), grown
        assert busy < 0.3, busy
    finally:
        for s in held:
            s.close()


def test_500_connections(hatchd):
    daemon = start_all(hatchd)
    assert daemon.tcp("echo", b"ready") == b"ready"
    before = hatch.n_fds(daemon.talker)
    clients = [client(daemon, "tcp4", "echo") for _ in range(500)]
    try:
        for n in range(3):
            for i, s in enumerate(clients):
                s.sendall(b"%d of client %d" % (n, i))
            for i, s in enumerate(clients):
                assert s.recv(100) == b"%d of client %d" % (n, i)
    finally:
        for s in clients:
            s.close()
    hatch.wait_until(lambda: hatch.n_fds(daemon.talker) <= before, what="connections ended")


def test_clients_that_reset(hatchd):
    daemon = start_all(hatchd)
    assert daemon.tcp("echo", b"ready") == b"ready"
    before = hatch.n_fds(daemon.talker)
    for n in range(200):
        s = client(daemon, "tcp4", ("echo", "chargen", "daytime", "discard")[n % 4])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if n % 3:
            s.sendall(b"x" * 1000)
        s.close()
    assert daemon.tcp("echo", b"on") == b"on"
    hatch.wait_until(lambda: hatch.n_fds(daemon.talker) <= before, what="all ended")


def test_it_is_counted_and_logged(hatchd):
    daemon = hatchd(ECHO)
    assert daemon.tcp("echo", b"12345") == b"12345"
    end = daemon.wait_log("end", svc="echo")
    assert (end["in"], end["out"]) == ("5", "5")
    start = daemon.wait_log("start", svc="echo")
    assert start["peer"] == end["peer"] and "pid" not in end
