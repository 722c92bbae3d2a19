# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What goes wrong, and that all else goes on: handlers that can't be started,
resources that run out, peers that misbehave."""
import contextlib
import os
import resource
import signal
import socket
import struct
import threading
import time

import pytest

import handler
import hatch
import world

GOOD = """
service "good" { listen = { "tcp4:127.0.0.1:@good@" } exec = { "/bin/cat" } }
"""
LITTLE_CPU = 0.10


def bad(extra, exec_='"/bin/cat"', name="bad"):
    return 'service "%s" { listen = { "tcp4:127.0.0.1:@%s@" } exec = { %s } %s }\n' % (
        name, name, exec_, extra)


def ask_in_vain(daemon, name="bad"):
    """The connection is closed without a byte."""
    with daemon.connect(name) as s:
        try:
            assert hatch.read_all(s) == b""
        except ConnectionResetError:
            pass


def make_file(path, text="", mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


# Handlers that can't be started


def test_missing_binary(hatchd):
    daemon = hatchd(bad("", '"/nowhere/at-all"') + GOOD)
    ask_in_vain(daemon)
    line = daemon.wait_log("fail", svc="bad")
    assert (line["step"], line["error"]) == ("exec", "No such file or directory")
    assert line["exec"] == "/nowhere/at-all"
    assert line["peer"].startswith("127.0.0.1:")
    assert line.level == "warn"
    assert daemon.tcp("good", b"on") == b"on"
    assert daemon.log_lines("end", svc="bad") == []
    assert daemon.log_lines("start", svc="bad") == []
    got = world.counters(daemon, "bad")
    assert (got["accepted"], got["started"], got["failed"], got["running"]) == (1, 0, 1, 0)


@pytest.mark.parametrize("text,mode,error", [
    ("#!/bin/sh\n", 0o644, "Permission denied"),
    ("#!/nowhere/sh\n", 0o755, "No such file or directory"),
    ("no program\n", 0o755, "Exec format error"),
])
def test_file_that_is_no_program(hatchd, shared_tmp, text, mode, error):
    make_file(shared_tmp + "/program", text, mode)
    daemon = hatchd(bad("", '"%s/program"' % shared_tmp) + GOOD)
    ask_in_vain(daemon)
    line = daemon.wait_log("fail", svc="bad")
    assert (line["step"], line["error"]) == ("exec", error)
    assert daemon.tcp("good", b"on") == b"on"


def test_directory_without_permission(hatchd, shared_tmp):
    os.mkdir(shared_tmp + "/closed", 0o700 if hatch.IS_ROOT else 0)
    daemon = hatchd(bad('directory = "%s/closed"' % shared_tmp) + GOOD)
    ask_in_vain(daemon)
    line = daemon.wait_log("fail", svc="bad")
    assert (line["step"], line["error"]) == ("directory", "Permission denied")
    assert daemon.tcp("good", b"on") == b"on"


def test_directory_that_is_none(hatchd):
    daemon = hatchd(bad('directory = "/nowhere"') + GOOD)
    ask_in_vain(daemon)
    line = daemon.wait_log("fail", svc="bad")
    assert (line["step"], line["error"]) == ("directory", "No such file or directory")
    assert daemon.tcp("good", b"on") == b"on"


@pytest.mark.root
def test_chroot_to_nowhere(hatchd):
    daemon = hatchd(bad('chroot = "/nowhere"') + GOOD)
    ask_in_vain(daemon)
    line = daemon.wait_log("fail", svc="bad")
    assert (line["step"], line["error"]) == ("chroot", "No such file or directory")
    assert daemon.tcp("good", b"on") == b"on"


def test_L9_limit_that_can_not_be_set(hatchd):
    daemon = hatchd(bad("rlimits { nofile = 2147483647 }") + GOOD)
    ask_in_vain(daemon)
    line = daemon.wait_log("fail", svc="bad")
    assert (line["step"], line["error"]) == ("rlimits", "Operation not permitted")
    assert daemon.tcp("good", b"on") == b"on"


@pytest.mark.parametrize("setting", ['user = "no-such-user"', 'group = "no-such-group"'])
def test_unknown_account_is_told_at_load(shared_tmp, setting):
    path = shared_tmp + "/hatchd.conf"
    make_file(path, hatch.config("#\n#\n" + bad(setting), shared_tmp), 0o600)
    done = hatch.run("-F", "-f", path)
    assert done.returncode == 1
    assert done.stderr.startswith(path + ":3: ") and "no-such-" in done.stderr


def test_missing_binary_of_wait_and_session(hatchd):
    daemon = hatchd("""
service "w" { listen = { "tcp4:127.0.0.1:@w@" } wait = yes exec = { "/nowhere/w" } }
service "d" { listen = { "udp4:127.0.0.1:@d@" } wait = yes exec = { "/nowhere/d" } }
service "s" { listen = { "udp4:127.0.0.1:@s@" } exec = { "/nowhere/s" } }
""" + GOOD)
    with daemon.connect("w"), world.udp_client(daemon.port["d"]) as d, \
            world.udp_client(daemon.port["s"]) as s:
        d.send(b"x")
        s.send(b"x")
        for svc in "wds":
            line = daemon.wait_log("fail", svc=svc)
            assert (line["step"], line["error"]) == ("exec", "No such file or directory")
        assert daemon.tcp("good", b"on") == b"on"
        share = world.cpu_share(daemon, 1, lambda: (s.send(b"x"), d.send(b"x"),
                                                    time.sleep(0.002)))
    assert share < LITTLE_CPU
    for svc in "wds":    # 0.1 s, 0.2 s, 0.4 s, ...
        assert len(daemon.log_lines("fail", svc=svc)) <= 6


# Back-off


class Hammer(threading.Thread):
    """Connects, waits for the end, connects again."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.answers, self.stop = port, [], False

    def run(self):
        while not self.stop:
            try:
                with hatch.connect(self.port, timeout=1) as s:
                    self.answers.append(hatch.read_all(s))
            except OSError:
                pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.join()


def test_S21_U4_attempts_follow_the_backoff(hatchd, shared_tmp):
    program = shared_tmp + "/program"
    daemon = hatchd(bad("", '"%s"' % program) + GOOD)
    with Hammer(daemon.port["bad"]), Hammer(daemon.port["bad"]) as hammer:
        share = world.cpu_share(daemon, 2)
        failures = daemon.log_lines("fail", svc="bad")
        assert share < LITTLE_CPU
        # 0.1 + 0.2 + 0.4 + 0.8 = 1.5 s
        assert 3 <= len(failures) <= 6, failures
        assert [int(f["retry_ms"]) for f in failures] == \
            [100 * 2 ** i for i in range(len(failures))]
        assert world.counters(daemon, "bad")["failed"] == len(failures)
        assert daemon.tcp("good", b"on") == b"on"
        # it appears, and all is well
        make_file(program + ".new", "#!/bin/sh\necho here\n", 0o755)
        os.rename(program + ".new", program)
        hatch.wait_until(lambda: b"here\n" in hammer.answers, what="the first success")
    begin = time.monotonic()
    for _ in range(20):
        assert daemon.tcp("bad") == b"here\n"
    assert time.monotonic() - begin < 5
    # and the next failure begins anew
    seen = len(daemon.log_lines("fail", svc="bad"))
    os.rename(program, program + ".off")
    ask_in_vain(daemon)
    assert daemon.wait_log("fail", n=seen + 1, svc="bad")["retry_ms"] == "100"


def test_reload_ends_the_backoff(hatchd, shared_tmp):
    program = shared_tmp + "/program"
    text = bad("", '"%s"' % program)
    daemon = hatchd(text)
    with Hammer(daemon.port["bad"]) as hammer:
        daemon.wait_log("fail", n=4, svc="bad")
        make_file(program, "#!/bin/sh\necho here\n", 0o755)
        daemon.reload(text.replace("{ listen", "{ umask = 077 listen"))
        hatch.wait_until(lambda: b"here\n" in hammer.answers, timeout=5)


def test_U43a_wait_handler_that_dies_at_once(hatchd):
    daemon = hatchd('service "w" { listen = { "tcp4:127.0.0.1:@w@" } wait = yes '
                    'exec = { "/bin/false" } }' + GOOD)
    with daemon.connect("w"):
        share = world.cpu_share(daemon, 1.5)
        assert share < LITTLE_CPU
        ends = daemon.log_lines("end", svc="w")
        assert 2 <= len(ends) <= 6, ends
        assert daemon.log_lines("fail", svc="w")
        assert daemon.tcp("good", b"on") == b"on"


def test_U7_wait_handler_that_never_reads_its_datagram(hatchd):
    daemon = hatchd('service "d" { listen = { "udp4:127.0.0.1:@d@" } wait = yes '
                    'exec = { "/bin/true" } }' + GOOD)
    with world.udp_client(daemon.port["d"]) as s:
        share = world.cpu_share(daemon, 1.5, lambda: (s.send(b"x"), time.sleep(0.002)))
        assert share < LITTLE_CPU
        ends = daemon.log_lines("end", svc="d")
        assert 2 <= len(ends) <= 6, ends
        line = daemon.log_lines("fail", svc="d")[0]
        assert line["step"] == "read" and line["peer"].startswith("127.0.0.1:")
        # what was not read is gone, and counted
        assert world.counters(daemon, "d")["refused"]["unread"] >= len(ends) - 1


# Resources


def test_S9_L22_no_descriptor_for_accept(hatchd):
    daemon = hatchd(GOOD + """
service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" limits { per_source = 0 } }
""")
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    clients = [daemon.connect(name) for name in ["good", "echo"] * 20]
    try:
        assert world.cpu_share(daemon, 1) < LITTLE_CPU
        assert "Too many open files" in daemon.log()
        assert len(daemon.log().splitlines()) < 30
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        for s in clients:
            s.sendall(b"at last")
            s.shutdown(socket.SHUT_WR)
        for s in clients:
            assert hatch.read_all(s) == b"at last"
    finally:
        for s in clients:
            s.close()


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))


def test_S9_few_descriptors_and_many_clients(hatchd):
    """What can't be served now waits; as others leave, everybody's turn comes."""
    daemon = hatchd(GOOD + """
service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" limits { per_source = 0 } }
""", preexec_fn=few_descriptors)
    waiting = [daemon.connect("echo") for _ in range(100)]
    try:
        for s in waiting:
            s.sendall(b"mine")
        hatch.wait_until(lambda: n_answered(waiting) >= 5, what="some that are served")
        assert world.cpu_share(daemon, 1) < LITTLE_CPU
        assert daemon.tcp("good", b"on") == b"on"
        end = time.monotonic() + hatch.DEADLINE
        while waiting and time.monotonic() < end:
            for s in list(waiting):
                s.settimeout(0.02)
                try:
                    assert handler.recv_exactly(s, 4) == b"mine"
                except socket.timeout:
                    continue
                s.close()
                waiting.remove(s)
        assert waiting == []
        assert daemon.tcp("echo", b"again") == b"again"
        assert daemon.log_lines("talker") == []
    finally:
        for s in waiting:
            s.close()


def test_S9_few_descriptors_and_many_sessions(hatchd):
    daemon = hatchd(GOOD + """
service "session" { listen = { "udp4:127.0.0.1:@session@" } exec = { "/bin/cat" }
                    limits { per_source = 0 } }
service "echo" { listen = { "udp4:127.0.0.1:@echo@" } internal = "echo" }
""", preexec_fn=few_descriptors)
    peers = [world.udp_client(daemon.port["session"]) for _ in range(60)]
    try:
        for s in peers:
            s.send(b"mine")
        hatch.wait_until(lambda: n_answered(peers) >= 5, what="some that are served")
        hatch.wait_until(lambda: "sessions" in world.counters(daemon, "session")["refused"])
        assert world.cpu_share(daemon, 1, lambda: (peers[59].send(b"x"), time.sleep(0.01))) \
            < LITTLE_CPU
        assert daemon.tcp("good", b"on") == b"on"
        assert daemon.udp("echo", b"on") == b"on"
        # one that was refused is served when there is room
        left_out = [s for s in peers if n_answered([s]) == 0][0]
        for pid in daemon.handlers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

        def has_answer():
            left_out.settimeout(0.2)
            left_out.send(b"mine")
            try:
                return left_out.recv(10) == b"mine"
            except socket.timeout:
                return False
        hatch.wait_until(has_answer)
        assert daemon.log_lines("talker") == []
    finally:
        for s in peers:
            s.close()


def n_answered(clients):
    """How many have an answer to be read."""
    n = 0
    for s in clients:
        s.setblocking(False)
        try:
            n += len(s.recv(1, socket.MSG_PEEK)) > 0
        except OSError:
            pass
    return n


SPARE_UID = 61987


@pytest.mark.root
def test_no_process_to_be_had(hatchd, shared_tmp):
    """RLIMIT_NPROC: connections wait until others have ended, none is lost."""
    os.chown(shared_tmp, SPARE_UID, SPARE_UID)

    def become_poor():
        resource.setrlimit(resource.RLIMIT_NPROC, (8, 8))
        os.setgroups([])
        os.setresgid(SPARE_UID, SPARE_UID, SPARE_UID)
        os.setresuid(SPARE_UID, SPARE_UID, SPARE_UID)

    path = shared_tmp + "/hatchd"
    os.mkdir(path)
    os.chown(path, SPARE_UID, SPARE_UID)
    conf = """
user = "%d"
defaults { user = "%d" log_events = { "start", "end", "refuse", "stderr", "fail" } }
service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" }
          limits { per_source = 0 } }
service "session" { listen = { "udp4:127.0.0.1:@session@" } exec = { "/bin/cat" } }
service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" }
service "wait" { listen = { "tcp4:127.0.0.1:@wait@" } wait = yes exec = { "/bin/sleep", "0.1" } }
""" % (SPARE_UID, SPARE_UID)
    # no root among the file's owners
    daemon = PoorDaemon(conf, path=path, preexec_fn=become_poor)
    try:
        clients = [daemon.connect("cat") for _ in range(30)]
        hatch.wait_until(lambda: daemon.log_lines("fail", step="clone"))
        line = daemon.log_lines("fail", step="clone")[0]
        assert line["error"] == "Resource temporarily unavailable"
        with daemon.connect("wait"), world.udp_client(daemon.port["session"]) as s:
            s.send(b"x")
            assert world.cpu_share(daemon, 1) < LITTLE_CPU
        assert daemon.tcp("echo", b"on") == b"on"
        for s in clients:
            s.sendall(b"mine")
        # from the first, so that there is room for the next
        for s in clients:
            s.shutdown(socket.SHUT_WR)
            assert hatch.read_all(s) == b"mine"
            s.close()
        assert daemon.tcp("cat", b"again") == b"again"
        hatch.wait_until(lambda: world.counters(daemon, "cat")["started"] == 31)
        assert len(daemon.log_lines("fail", step="clone")) < 40
    finally:
        daemon.close()


class PoorDaemon(hatch.Daemon):
    """Its configuration belongs to the account that it runs as."""

    def write(self, text):
        super().write(text)
        os.chown(self.conf, SPARE_UID, SPARE_UID)


# Peers


def reset_scan(daemon, name, n):
    """Connections that are reset as soon as they are there."""
    address = ("127.0.0.1", daemon.port[name])
    linger = struct.pack("ii", 1, 0)
    for _ in range(n):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        s.connect(address)
        s.close()


NO_LIMIT = "limits { per_source = 0 instances = 0 }"


def test_S11_reset_scan(hatchd):
    daemon = hatchd("""
service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" }
          %s log_events = { "fail" } }
service "few" { listen = { "tcp4:127.0.0.1:@few@" } exec = { "/bin/cat" }
                limits { per_source = 2 instances = 2 } log_events = { "fail" } }
service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" %s log_events = { "fail" } }
service "wait" { listen = { "tcp4:127.0.0.1:@wait@" } wait = yes exec = { "%s" } }
""" % (NO_LIMIT, NO_LIMIT, handler.path("upper")))
    for name, n in (("echo", 3000), ("few", 3000), ("cat", 400), ("wait", 150)):
        reset_scan(daemon, name, n)
    for name in ("cat", "few", "echo"):
        assert daemon.tcp(name, b"still") == b"still"
    assert daemon.tcp("wait", b"still\n") == b"STILL\n"
    hatch.wait_until(lambda: world.counters(daemon, "echo")["running"] == 0)
    assert daemon.log_lines("talker") == []


@pytest.mark.parametrize("way", ["exec", "internal"])
def test_S12_peer_is_gone_before_it_is_accepted(hatchd, way):
    daemon = hatchd("""service "s" { listen = { "tcp4:127.0.0.1:@s@" } %s
                       limits { per_source = 10 } }""" %
                    ('internal = "echo"' if way == "internal" else 'exec = { "/bin/cat" }'))
    hatch.wait_until(lambda: daemon.talker)
    assert daemon.tcp("s", b"x") == b"x"
    daemon.send_signal(signal.SIGSTOP)
    try:
        reset_scan(daemon, "s", 200)
    finally:
        daemon.send_signal(signal.SIGCONT)
    assert hatch.wait_until(lambda: served(daemon, "s"))
    hatch.wait_until(lambda: world.counters(daemon, "s")["running"] == 0)


def served(daemon, name, text=b"still"):
    try:
        return daemon.tcp(name, text) == text
    except OSError:     # over the limit of its source still
        return False


def test_S18_storm_of_signals(hatchd):
    daemon = hatchd(GOOD)
    end, n = time.monotonic() + 3, 0
    while time.monotonic() < end:
        for _ in range(200):
            for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1):
                daemon.send_signal(number)
                n += 1
        assert daemon.tcp("good", b"on") == b"on"
    assert n > 3000
    daemon.reload(GOOD + bad("", name="new"))
    hatch.wait_until(lambda: served(daemon, "new"))
    assert hatch.wait_until(lambda: daemon.handlers() == [] and daemon.n_zombies() == 0)


def test_S19_many_idle_clients_beside_the_work(hatchd):
    n = 3000
    if not world.raise_nofile(n + 200):
        pytest.skip("no %d descriptors" % n)
    daemon = hatchd(GOOD + 'service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } '
                    'internal = "echo" %s log_events = { "fail" } }' % NO_LIMIT)
    clients = []
    try:
        for _ in range(n):
            clients.append(daemon.connect("echo"))
        hatch.wait_until(lambda: world.counters(daemon, "echo")["running"] == n)
        assert world.cpu_share(daemon, 0.5) < LITTLE_CPU
        for _ in range(20):
            assert daemon.tcp("good", b"work") == b"work"
        for s in clients[::100]:
            s.sendall(b"ping")
        for s in clients[::100]:
            assert handler.recv_exactly(s, 4) == b"ping"
    finally:
        for s in clients:
            s.close()
    hatch.wait_until(lambda: world.counters(daemon, "echo")["running"] == 0)


def test_S7_memory_of_refused_connections(hatchd):
    daemon = hatchd('service "few" { listen = { "tcp4:127.0.0.1:@few@" } exec = { "/bin/cat" } '
                    'limits { instances = 1 when_full = "refuse" } }')
    with daemon.connect("few"):
        daemon.wait_log("start", svc="few")

        def refused(n):
            linger = struct.pack("ii", 1, 0)
            for _ in range(n):
                with daemon.connect("few") as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    assert s.recv(1) == b""
        refused(1000)
        before = daemon.rss(), hatch.rss(daemon.talker)
        refused(20000)
        after = daemon.rss(), hatch.rss(daemon.talker)
        assert world.counters(daemon, "few")["refused"] == {"instances": 21000}

        def suppressed():
            lines = daemon.log_lines("refuse") + daemon.log_lines("suppressed")
            return sum(int(e.get("suppressed", 0)) for e in lines) > 20000
        hatch.wait_until(suppressed, what="the number of those not logged")
    if not world.is_sanitized():
        assert after[0] - before[0] <= 64 << 10
        assert after[1] - before[1] <= 64 << 10
    # and the log didn't grow with them
    assert len(daemon.log_lines("refuse")) < 100
