# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What a handler has started is ended with it: its process group, or with kill =
"tree" everything, wherever it went; and nobody else."""
import contextlib
import glob
import os
import signal
import subprocess
import sys
import time

import pytest

import hatch
import world

# Starts what handlers start, tells the pids, and its own; ends when told to.
PROGRAM = """#!%s -I
import os, signal, sys, time

def start(kind):
    r, w = os.pipe()
    if os.fork() == 0:
        if kind != "child":
            signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in kind else signal.SIG_DFL)
        if "session" in kind or "daemon" in kind:
            os.setsid()
        if "daemon" in kind and os.fork() != 0:
            os._exit(0)
        if "child" not in kind:
            os.close(0)
            os.close(1)
        os.write(w, b"%%s:%%d " %% (kind.encode(), os.getpid()))
        os.close(w)
        while True:
            time.sleep(1000)
    os.close(w)
    return os.read(r, 100)

told = [start(kind) for kind in sys.argv[1].split(",")]
os.write(1, b"".join(told) + b"handler:%%d\\n" %% os.getpid())
os.read(0, 1)
"""
ALL = "child,session,daemon,deaf,deaf-session,deaf-daemon"
GROUP = "child,deaf"
CGROUPS = [True, False]


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


@contextlib.contextmanager
def bystander():
    """A process of the handlers' account that is none of the daemon's, though it
    looks like one."""
    proc = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(1000)"],
                            preexec_fn=hatch.drop_root, start_new_session=True,
                            env=dict(os.environ, HATCHD_CONNECTION="1"))
    try:
        yield proc
        assert proc.poll() is None, "the bystander was ended"
    finally:
        proc.kill()
        proc.wait()


def own_cgroup():
    """Where the daemon makes its groups, None if there is no such place."""
    with open("/proc/self/cgroup") as f:
        path = [line.split("::", 1)[1].strip() for line in f if line.startswith("0::")]
    with open("/proc/self/mountinfo") as f:
        mounts = [line.split() for line in f if " - cgroup2 " in line]
    for mount in mounts:
        folder = mount[4] + (path[0] if path else "")
        probe = folder + "/hatchd-test-probe-%d" % os.getpid()
        with contextlib.suppress(OSError):
            os.mkdir(probe)
            usable = os.path.exists(probe + "/cgroup.kill")
            os.rmdir(probe)
            if usable:
                return folder
    return None


def cgroups_left(pid):
    folder = own_cgroup()
    return glob.glob("%s/hatchd-%d-*" % (folder, pid)) if folder else []


# A namespace where there is another file system in the place of all cgroups.
HIDE = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"", "sh"]


@pytest.fixture(params=CGROUPS, ids=["cgroups", "no-cgroups"])
def tree(request, hatchd, shared_tmp):
    """tree(kinds, settings) starts a daemon and a client whose handler has started
    these; in the end all is looked at."""
    usable = own_cgroup()
    if request.param and not usable:
        pytest.skip("no cgroups to be made here")
    hide = HIDE if usable and not request.param else []
    if hide and subprocess.run([*HIDE, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no mount namespaces here")
    program = shared_tmp + "/program"
    with open(program, "w") as f:
        f.write(PROGRAM % os.path.realpath(sys.executable))
    os.chmod(program, 0o755)
    seen = []

    def start(kinds=ALL, settings='kill = "tree" timeouts { stop = 300ms }'):
        daemon = hatchd("""service "t" { listen = { "tcp4:127.0.0.1:@t@" }
            exec = { "%s", "%s" } %s }
service "good" { listen = { "tcp4:127.0.0.1:@good@" } exec = { "/bin/cat" } }
""" % (program, kinds, settings), wrap=hide)
        t = Tree(daemon, kinds)
        seen.append(t)
        if "tree" in settings:
            used = len(cgroups_left(daemon.pid))
            assert (used > 0) is request.param, "cgroups: %d" % used
        return t

    with bystander():
        yield start
        for t in seen:
            t.client.close()
            t.daemon.stop()
            assert cgroups_left(t.daemon.pid) == []
            for pid in t.pids.values():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            hatch.wait_until(lambda t=t: t.alive() == [])


class Tree:
    def __init__(self, daemon, kinds):
        self.daemon = daemon
        self.client = daemon.connect("t")
        told = b""
        while not told.endswith(b"\n"):
            part = self.client.recv(1000)
            assert part, "the handler has ended"
            told += part
        self.pids = {k: int(p) for k, p in (w.split(":") for w in told.decode().split())}
        assert set(self.pids) == set(kinds.split(",")) | {"handler"}
        assert all(is_alive(pid) for pid in self.pids.values())

    def alive(self):
        return sorted(kind for kind, pid in self.pids.items() if is_alive(pid))

    def wait_gone(self, left=()):
        hatch.wait_until(lambda: self.alive() == sorted(left), what="an end of all; alive: %s" %
                         self.alive())

    def wait_end(self):
        line = self.daemon.wait_log("end", svc="t")
        hatch.wait_until(lambda: world.counters(self.daemon, "t")["running"] == 0)
        assert cgroups_left(self.daemon.pid) == []
        assert self.daemon.n_zombies() == 0 or \
            hatch.wait_until(lambda: self.daemon.n_zombies() == 0)
        assert self.daemon.tcp("good", b"on") == b"on"
        return line


TREE = 'kill = "tree" timeouts { %s }'


def test_tree_after_total(tree):
    t = tree(settings=TREE % "total = 1s stop = 300ms")
    t.wait_gone()
    line = t.wait_end()
    assert (line["ended_by"], line["signal"]) == ("timeouts.total", "TERM")


def test_tree_after_its_handler_has_ended(tree):
    t = tree()
    t.client.sendall(b"x")
    t.wait_gone()
    line = t.wait_end()
    assert line["exit"] == "0" and "ended_by" not in line


def test_tree_that_obeys_is_not_waited_for(tree):
    t = tree("child,session,daemon", TREE % "stop = 30s")
    begin = time.monotonic()
    t.client.sendall(b"x")
    t.wait_gone()
    t.wait_end()
    assert time.monotonic() - begin < 10


def test_tree_after_the_daemons_term(tree):
    t = tree()
    t.daemon.send_signal(signal.SIGTERM)
    assert t.daemon.wait() == 0
    assert t.alive() == []


def test_tree_that_obeys_the_daemons_term(tree):
    t = tree("child,session,daemon", TREE % "stop = 30s")
    begin = time.monotonic()
    t.daemon.send_signal(signal.SIGTERM)
    assert t.daemon.wait() == 0
    assert t.alive() == []
    assert time.monotonic() - begin < 10


def test_tree_and_a_second_term(tree):
    """Nobody is waited for any longer."""
    t = tree("session,deaf,deaf-daemon", TREE % "stop = 1min")
    begin = time.monotonic()
    t.daemon.send_signal(signal.SIGTERM)
    t.wait_gone(["deaf", "deaf-daemon"])
    t.daemon.send_signal(signal.SIGTERM)
    assert t.daemon.wait() == 0
    assert t.alive() == []
    assert time.monotonic() - begin < 10


def test_tree_while_another_one_goes_on(tree):
    """Two clients of one service: what belongs to the one is left alone when the
    other one ends."""
    t = tree("session,daemon,deaf-daemon")
    other = Tree(t.daemon, "session,daemon,deaf-daemon")
    with other.client:
        t.client.sendall(b"x")
        t.wait_gone()
        t.daemon.wait_log("end", svc="t")
        assert other.alive() == ["daemon", "deaf-daemon", "handler", "session"]
        other.client.sendall(b"x")
        other.wait_gone()
    t.wait_end()


def test_failing_start_leaves_no_group(tree):
    """Nor one that is gone before it could be anywhere."""
    t = tree("child")
    d = t.daemon
    with open(d.conf) as f:
        text = f.read()
    with open(d.conf, "w") as f:
        f.write(text.replace('/program"', '/no-program"'))
    d.reload()
    for _ in range(3):
        with contextlib.suppress(OSError), d.connect("t") as s:
            s.settimeout(1)
            s.recv(1)
    d.wait_log("fail", svc="t")
    t.client.sendall(b"x")
    t.wait_gone()
    t.wait_end()


def test_group(tree):
    """Those that have left it are none of the daemon's business."""
    t = tree(settings="timeouts { total = 1s stop = 300ms }")
    t.wait_gone(["daemon", "session", "deaf-daemon", "deaf-session"])
    t.wait_end()


def test_group_after_its_handler_has_ended(tree):
    """By itself: then it is its own business what it leaves."""
    t = tree(GROUP, "timeouts { stop = 300ms }")
    t.client.sendall(b"x")
    t.wait_end()
    assert t.alive() == ["child", "deaf"]


def test_group_after_the_daemons_term(tree):
    t = tree(GROUP, "timeouts { stop = 300ms }")
    t.daemon.send_signal(signal.SIGTERM)
    assert t.daemon.wait() == 0
    assert t.alive() == []
