# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Handlers that can't be started while many clients ask for them: the attempts
follow the back-off, whatever the kind of service, they cost next to nothing, and
what is mended is noticed at once."""
import contextlib
import os
import select
import shutil
import socket
import subprocess
import threading
import time

import pytest

import hatch
import world

CLIENTS = 50
LITTLE_CPU = 0.20


def make_program(path, text="#!/bin/sh\necho here\n"):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


class Crowd(threading.Thread):
    """Clients that connect, wait for the end and connect again, each at most 50
    times a second; what they got, and when the first got something."""

    def __init__(self, port, n=CLIENTS):
        super().__init__(daemon=True)
        self.port, self.n = port, n
        self.stop, self.connected, self.served_at = False, 0, None

    def connect(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", self.port))
        self.connected += 1
        return s

    def look(self, s):
        """False: it is over."""
        try:
            got = s.recv(100)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if got and not self.served_at:
            self.served_at = time.monotonic()
        return bool(got)

    def run(self):
        clients = [self.connect() for _ in range(self.n)]
        while not self.stop:
            ready = select.select(clients, [], [], 0.05)[0]
            for s in ready:
                if not self.look(s):
                    clients.remove(s)
                    s.close()
                    clients.append(self.connect())
            time.sleep(0.02 if ready else 0)
        for s in clients:
            s.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.join()


class DatagramCrowd(threading.Thread):
    """The same with datagrams, from so many peers."""

    def __init__(self, port, n=CLIENTS):
        super().__init__(daemon=True)
        self.port, self.n, self.stop, self.served_at = port, n, False, None

    def run(self):
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(world.udp_client(self.port)) for _ in range(self.n)]
            while not self.stop:
                for s in peers:
                    with contextlib.suppress(OSError):
                        s.send(b"here\n")
                if select.select(peers, [], [], 0.02)[0] and not self.served_at:
                    self.served_at = time.monotonic()

    __enter__, __exit__ = Crowd.__enter__, Crowd.__exit__


def check_failures(daemon, svc, crowd, seconds):
    """They come at 0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3 s, or later on a busy machine."""
    lines = daemon.log_lines("fail", svc=svc)
    most = sum(0.1 * (2 ** i - 1) < seconds for i in range(10))
    assert most - 2 <= len(lines) <= most, lines
    assert {(e["step"], e["error"]) for e in lines} == {("exec", "No such file or directory")}
    assert [int(e["retry_ms"]) for e in lines] == [100 * 2 ** i for i in range(len(lines))]
    got = world.counters(daemon, svc)
    assert (got["started"], got["failed"]) == (0, len(lines))
    assert len(daemon.log().splitlines()) < len(lines) + 10, daemon.log()
    assert crowd.served_at is None


def check_mended(crowd, begin):
    hatch.wait_until(lambda: crowd.served_at, what="the first that is served")
    assert crowd.served_at - begin < 1, "the first success after %g s" % (crowd.served_at - begin)


CONF = """
service "s" { listen = { "%(proto)s:127.0.0.1:@s@" } exec = { "%(exec)s" } %(more)s
              limits { per_source = 0 instances = 0 } stderr = "null" }
service "good" { listen = { "tcp4:127.0.0.1:@good@" } exec = { "/bin/cat" } }
"""


def run(hatchd, crowd, mend, proto="tcp4", exec_="", more="", n=CLIENTS, seconds=2.4):
    daemon = hatchd(CONF % {"proto": proto, "exec": exec_, "more": more})
    with crowd(daemon.port["s"], n) as clients:
        begin = time.monotonic()
        share = world.cpu_share(daemon, seconds)
        assert daemon.tcp("good", b"on") == b"on"
        check_failures(daemon, "s", clients, time.monotonic() - begin)
        assert share < LITTLE_CPU
        begin = time.monotonic()
        mend()
        check_mended(clients, begin)
    return daemon


def test_S21_U4_missing_binary_and_a_crowd(hatchd, shared_tmp):
    program = shared_tmp + "/program"
    daemon = run(hatchd, Crowd, lambda: make_program(program), exec_=program,
                 seconds=4)
    # it is over for all of them
    begin = time.monotonic()
    for _ in range(20):
        assert daemon.tcp("s") == b"here\n"
    assert time.monotonic() - begin < 5


def test_U4_wait_stream_and_a_crowd(hatchd, shared_tmp):
    """The handler says "here" to one after the other, as long as they come."""
    program = shared_tmp + "/program"
    text = "#!%s -I\n" % os.path.realpath("/usr/bin/python3") + """
import select, socket
l = socket.socket(fileno=0)
while select.select([l], [], [], 1)[0]:
    with l.accept()[0] as s:
        s.sendall(b"here")
"""
    run(hatchd, Crowd, lambda: make_program(program, text), exec_=program, more="wait = yes")


def test_U4_wait_datagram_and_a_crowd(hatchd, shared_tmp):
    program = shared_tmp + "/program"
    text = "#!%s -I\n" % os.path.realpath("/usr/bin/python3") + """
import select, socket
s = socket.socket(fileno=0)
while select.select([s], [], [], 1)[0]:
    s.sendto(*s.recvfrom(100))
"""
    run(hatchd, DatagramCrowd, lambda: make_program(program, text), proto="udp4", exec_=program,
        more="wait = yes")


def test_U4_datagram_session_and_a_crowd(hatchd, shared_tmp):
    program = shared_tmp + "/program"
    run(hatchd, DatagramCrowd, lambda: make_program(program, "#!/bin/sh\nexec cat\n"),
        proto="udp4", exec_=program)


def test_U4_datagram_session_of_one_peer(hatchd, shared_tmp):
    """Nobody else asks again before it does."""
    program = shared_tmp + "/program"
    run(hatchd, DatagramCrowd, lambda: make_program(program, "#!/bin/sh\nexec cat\n"),
        proto="udp4", exec_=program, n=1, seconds=4)


@pytest.mark.parametrize("setting", [
    "directory",
    pytest.param("chroot", marks=pytest.mark.root),
])
def test_wrong_folder(hatchd, shared_tmp, setting):
    """Not so long: what differs is only what is looked at."""
    folder = shared_tmp + "/folder"
    exec_ = "/bin/echo" if setting == "directory" else "/here"
    daemon = hatchd(CONF % {"proto": "tcp4", "exec": exec_,
                            "more": '%s = "%s"' % (setting, folder)})
    with Crowd(daemon.port["s"], 5) as clients:
        line = daemon.wait_log("fail", n=4, svc="s")
        assert (line["step"], line["retry_ms"]) == (setting, "800")
        begin = time.monotonic()
        if setting == "chroot":     # and then it is another fault
            os.mkdir(folder)
            line = daemon.wait_log("fail", svc="s", step="exec")
            assert line["retry_ms"] == "100"
            assert time.monotonic() - begin < 1
            daemon.wait_log("fail", svc="s", step="exec", retry_ms="800")
            begin = time.monotonic()
            os.link(static_program(shared_tmp), folder + "/here")
        else:
            os.mkdir(folder)
        check_mended(clients, begin)


def static_program(folder):
    """That needs nothing in its chroot, or the test is left out."""
    if not shutil.which("gcc"):
        pytest.skip("no compiler")
    path = folder + "/static"
    done = subprocess.run(["gcc", "-static", "-o", path, "-x", "c", "-"], text=True,
                          input="#include <unistd.h>\nint main(void) "
                          "{ return write(1, \"here\\n\", 5) != 5; }\n", stderr=subprocess.PIPE)
    if done.returncode:
        pytest.skip("no static libc")
    return path


def test_permission_that_comes_later(hatchd, shared_tmp):
    """It is there all the time, but nobody may run it."""
    program = shared_tmp + "/program"
    make_program(program)
    os.chmod(program, 0o644)
    daemon = hatchd(CONF % {"proto": "tcp4", "exec": program, "more": ""})
    with Crowd(daemon.port["s"], 5) as clients:
        line = daemon.wait_log("fail", n=5, svc="s")
        assert (line["step"], line["error"]) == ("exec", "Permission denied")
        begin = time.monotonic()
        os.chmod(program, 0o755)
        check_mended(clients, begin)
