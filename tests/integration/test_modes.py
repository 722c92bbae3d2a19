# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""How the daemon is started, told things and stopped: background, -n, -d, -l,
as an ordinary user, as pid 1, under a service manager; signals; UNIX paths and
busy ports."""
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

import hatch
import world

CAT = 'service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" } %s }\n'
NEW = 'service "new" { listen = { "tcp4:127.0.0.1:@new@" } exec = { "/bin/cat" } }'


# In the background


class Background:
    """hatchd without -F: the pid file tells who it is."""

    def __init__(self, text, path):
        self.tmp, self.port = path, {}
        self.pid_file = path + "/pid"
        self.conf = path + "/hatchd.conf"
        with open(self.conf, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(hatch.config('log = "%s/log"\n' % path + text, path, self.port))
        hatch._be_subreaper()
        self.start = hatch.run("-f", self.conf)
        self.pid = int(open(self.pid_file).read()) if os.path.exists(self.pid_file) else 0

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + hatch.DEADLINE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == self.pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        raise AssertionError("hatchd did not exit")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def background(shared_tmp):
    started = []

    def start(text):
        started.append(Background(text, shared_tmp))
        return started[-1]

    yield start
    for b in started:
        b.close()


def test_background(background, shared_tmp):
    b = background(CAT % "")
    assert (b.start.returncode, b.start.stdout + b.start.stderr) == (0, "")
    # it serves when the starter has returned
    assert hatch.tcp_request(b.port["cat"], b"at once") == b"at once"
    w = world.World(b.pid)
    assert open(b.pid_file).read() == "%d\n" % b.pid
    assert stat.S_IMODE(os.stat(b.pid_file).st_mode) == 0o644
    assert (w.sid, w.tty, w.cwd) == (w.pid, 0, "/")
    assert [w.fds[fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3
    # a second one doesn't disturb it
    again = hatch.run("-f", b.conf)
    assert again.returncode == 1
    assert "pid file %s: hatchd is running already (pid %d)" % (b.pid_file, b.pid) \
        in again.stderr + open(shared_tmp + "/log").read()
    assert int(open(b.pid_file).read()) == b.pid
    assert hatch.tcp_request(b.port["cat"], b"still") == b"still"
    assert b.stop() == 0
    assert not os.path.exists(b.pid_file)


def test_relative_paths_after_the_start(shared_tmp):
    """-f and -p mean what they meant where it was started, though it leaves there."""
    ports = {}
    path, pid_file = shared_tmp + "/rel.conf", shared_tmp + "/rel.pid"

    def write(text):
        with open(path, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(hatch.config('log = "%s/rel.log"\n' % shared_tmp + text, shared_tmp, ports))

    def log():
        return open(shared_tmp + "/rel.log").read()

    write(CAT % "")
    hatch._be_subreaper()
    start = hatch.run("-f", "rel.conf", "-p", "rel.pid", cwd=shared_tmp)
    assert (start.returncode, start.stdout + start.stderr) == (0, "")
    pid = int(open(pid_file).read())
    try:
        write(CAT % "" + NEW)
        os.kill(pid, signal.SIGHUP)
        hatch.wait_until(lambda: "reload " in log(), what="reload")
        assert hatch.tcp_request(ports["new"], b"there") == b"there", log()
        write(CAT % "nonsense = 1")
        os.kill(pid, signal.SIGHUP)
        hatch.wait_until(lambda: path + ":2: unknown setting" in log(), what="the place")
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        pid = 0
        assert not os.path.exists(pid_file)
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_second_start_says_why_where_it_was_started(background):
    b = background(CAT % "")
    again = hatch.run("-f", b.conf)
    assert again.returncode == 1
    assert "running already (pid %d)" % b.pid in again.stderr


def test_pid_file_of_one_that_was_killed(background, shared_tmp):
    with open(shared_tmp + "/pid", "w") as f:
        f.write("1\n")
    b = background(CAT % "")
    assert b.start.returncode == 0 and b.pid != 1
    assert b.stop() == 0


def test_background_start_that_fails_says_so(background):
    b = background(CAT % "directory = relative")
    assert b.start.returncode == 1
    assert "/hatchd.conf:2: " in b.start.stderr
    assert b.pid == 0


def test_pid_file_that_can_not_be(shared_tmp):
    path = shared_tmp + "/hatchd.conf"
    with open(path, "w") as f:
        f.write(hatch.config('pid_file = "/nowhere/pid"\n' + CAT % "", shared_tmp))
    os.chmod(path, 0o600)
    done = hatch.run("-F", "-f", path)
    assert done.returncode == 1
    assert "/nowhere/pid: No such file or directory" in done.stderr


# Options


def test_all_problems_are_printed(shared_tmp):
    path = shared_tmp + "/hatchd.conf"
    with open(path, "w") as f:
        f.write(hatch.config("""max_processes = many
service "a" {
    listen = { "tcp:127.0.0.1:99999" }
    exec   = { "/bin/cat" }
    umaks  = 022
}
service "b" {
    listen = { "udp:1.2.3.4.5:1" }
    exec   = { "bin/cat" }
    user   = "no-such-user"
    limits { instances = -1 }
}
service "a" { listen = { "tcp:127.0.0.1:7" } internal = "ecko" }
""", shared_tmp))
    os.chmod(path, 0o600)
    done = hatch.run("-n", "-f", path)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1
    for number in (1, 3, 5, 8, 9, 10, 11, 13):
        assert [x for x in lines if x.startswith("%s:%d: " % (path, number))], (number, lines)
    assert all(x.startswith(path + ":") for x in lines), lines
    assert any("did you mean" in x and "umask" in x for x in lines)
    assert any("ecko" in x for x in lines)
    # and it doesn't start with it
    assert hatch.run("-F", "-f", path).returncode == 1


@pytest.mark.parametrize("args,text", [
    (("-x",), "usage:"), (("-f",), "usage:"), (("surplus",), "unexpected argument: surplus"),
    (("-l", "tcp:1"), "-l needs a command"), (("-u", "root"), "-u and --set go with -l"),
    (("-l", "tcp:1", "-f", "x", "--", "cat"), "exclude each other"),
    (("-l", "tcp:1", "--", "no-such-command"), "command not found: no-such-command"),
    (("-l", "tcp:1", "--set", "x", "--", "cat"), "SETTING=VALUE"),
])
def test_wrong_use(args, text):
    done = hatch.run(*args)
    assert done.returncode == 2
    assert text in done.stderr and "usage: hatchd" in done.stderr


def test_version():
    done = hatch.run("-V")
    assert done.returncode == 0 and done.stdout.startswith("hatchd ")


@pytest.mark.parametrize("args", [("-f", "/nowhere/hatchd.conf"), ("-n", "-f", "/dev/null/x")])
def test_configuration_that_is_not_there(args):
    done = hatch.run("-F", *args)
    assert done.returncode == 1
    assert args[-1] in done.stderr


def test_debug_tells_more_on_stderr(hatchd, shared_tmp):
    daemon = hatchd('log = "%s/log"\n' % shared_tmp + CAT % "", args=["-d"])
    assert daemon.tcp("cat", b"x") == b"x"
    hatch.wait_until(lambda: "debug: talker" in daemon.log())
    assert not os.path.exists(shared_tmp + "/log")


def test_command_line_alone(hatchd, shared_tmp):
    port, port2 = hatch.free_port(), hatch.free_port()
    path = shared_tmp + "/cat.sock"
    daemon = hatchd(args=["-l", "tcp:127.0.0.1:%d" % port, "-l", "tcp4:127.0.0.1:%d" % port2,
                          "-l", "unix:" + path, "-u", hatch.USER, "--set", "limits.instances=1",
                          "--set", "limits.when_full=refuse", "--set", "log_format=json",
                          "--set", "umask=077", "--", "sh", "-c", 'umask; echo "$1"; cat', "sh",
                          'a "quoted" $word'])
    assert hatch.tcp_request(port, b"x") == b'0077\na "quoted" $word\nx'
    hatch.wait_until(lambda: daemon.log().count('"end"') == 1)
    assert hatch.tcp_request(port2, b"y").endswith(b"\ny")
    hatch.wait_until(lambda: daemon.log().count('"end"') == 2)
    with hatch.connect(path) as a:
        assert a.recv(10)
        with hatch.connect(port) as b:
            assert b.recv(10) == b""


def test_command_line_is_checked_as_a_file_is():
    done = hatch.run("-l", "tcp:127.0.0.1:1", "--set", "limits.instnaces=5", "--", "cat")
    assert done.returncode == 1
    assert done.stderr.startswith("command line:") and "did you mean" in done.stderr


def test_command_line_needs_its_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = hatch.run("-l", "tcp:127.0.0.1:%d" % s.getsockname()[1], "-u", hatch.USER, "--",
                         "cat")
    assert done.returncode == 1
    assert "Address already in use" in done.stderr


def test_ordinary_user(hatchd):
    """Both processes and the handlers run as who started them."""
    text = CAT % "" + 'service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" }'
    path = hatch.make_dir()
    uid = os.stat(path).st_uid
    if hatch.IS_ROOT:
        import pwd
        uid = pwd.getpwnam(hatch.USER).pw_uid
        os.chown(path, uid, -1)

    class Mine(hatch.Daemon):
        def write(self, text):
            super().write(text)
            os.chown(self.conf, uid, -1)

    daemon = Mine(text, path=path, preexec_fn=hatch.drop_root)
    try:
        assert daemon.tcp("cat", b"x") == b"x"
        assert daemon.tcp("echo", b"x") == b"x"
        assert world.control(daemon, "status")["pid"] == daemon.pid
        with daemon.connect("cat"):
            for pid in [daemon.pid, daemon.talker] + hatch.wait_until(daemon.handlers):
                assert hatch.status_field(pid, "Uid").split() == [str(uid)] * 4
        daemon.reload(text + NEW)
        assert daemon.tcp("new", b"x") == b"x"
    finally:
        daemon.close()


def test_ordinary_user_can_not_have_other_accounts(shared_tmp):
    path = shared_tmp + "/hatchd.conf"
    with open(path, "w") as f:
        f.write("\n\n" + CAT.replace("@cat@", "1024") % 'user = "root"')
    os.chmod(path, 0o644)
    done = hatch.run("-n", "-f", path, preexec_fn=hatch.drop_root)
    assert done.returncode == 1
    assert path + ":3: " in done.stderr


# Service manager


def test_notify(hatchd):
    daemon = hatchd(CAT % "", env={"WATCHDOG_USEC": "100000"})
    hatch.wait_until(lambda: daemon.notify.poll().count("WATCHDOG=1") >= 4)
    states = daemon.notify.poll()
    assert states.count("READY=1") == 1 and "STOPPING=1" not in states
    daemon.reload(CAT % "umask = 077")
    states = hatch.wait_until(lambda: daemon.notify.poll().count("READY=1") == 2 and
                              daemon.notify.states)
    at = states.index("RELOADING=1")
    assert any(s.startswith("MONOTONIC_USEC=") for s in states[at:])
    daemon.stop()
    assert "STOPPING=1" in daemon.notify.poll()
    # no variable of it reaches a handler (see test_handler_world.py)


def test_watchdog_of_another_process(hatchd):
    daemon = hatchd(CAT % "", env={"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"})
    for _ in range(20):
        assert daemon.tcp("cat", b"x") == b"x"
    assert "WATCHDOG=1" not in daemon.notify.poll()


@pytest.mark.root
@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_pid_1(hatchd, signo):
    if subprocess.run(["unshare", "-pf", "--mount-proc", "true"],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no pid namespaces here")
    stranger = "(setsid sh -c 'sleep 0.05; exit 3' </dev/null >/dev/null 2>&1 &); echo done"
    daemon = hatchd(CAT % "" + """
service "stranger" { listen = { "tcp4:127.0.0.1:@stranger@" } exec = { "/bin/sh", "-c", "%s" } }
""" % stranger, args=["-d"], wrap=("unshare", "-pf", "--mount-proc"))
    init = hatch.wait_until(lambda: hatch.children(daemon.pid))[0]
    assert daemon.tcp("cat", b"x") == b"x"
    for _ in range(5):
        assert daemon.tcp("stranger") == b"done\n"
    hatch.wait_until(lambda: daemon.log().count("which was not started here") >= 5)
    assert [p for p in hatch.children(init) if hatch._stat(p)[1][0] == b"Z"] == []
    with daemon.connect("cat") as s:
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        os.kill(init, signo)
        assert daemon.wait() == 0


# Stopping


STUBBORN = """
service "stubborn" {
    listen = { "tcp4:127.0.0.1:@stubborn@" }
    exec = { "/bin/sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done" }
    timeouts { stop = %s }
}
"""


def test_term_then_kill(hatchd):
    daemon = hatchd(STUBBORN % "300ms" + CAT % "timeouts { stop = 60s }")
    with daemon.connect("stubborn") as s, daemon.connect("cat") as c:
        assert s.recv(3) == b"on\n"
        daemon.wait_log("start", svc="cat")
        begin = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        assert c.recv(1) == b""
        assert daemon.wait() == 0
        took = time.monotonic() - begin
        assert 0.25 < took < 5
        with pytest.raises(OSError):
            daemon.connect("cat").close()
    assert daemon.log_lines("end", svc="cat")[0]["signal"] == "TERM"
    assert daemon.log_lines("end", svc="stubborn")[0]["signal"] == "KILL"


def test_whole_process_group_is_ended(hatchd):
    daemon = hatchd("""service "tree" { listen = { "tcp4:127.0.0.1:@tree@" }
                       exec = { "/bin/sh", "-c", "sleep 1000 & sleep 1000 & echo on; wait" } }""")
    with daemon.connect("tree") as s:
        assert s.recv(3) == b"on\n"
        assert daemon.stop() == 0
    # the fixture looks for what is left


def test_second_term_kills_at_once(hatchd):
    daemon = hatchd(STUBBORN % "60s")
    with daemon.connect("stubborn") as s:
        assert s.recv(3) == b"on\n"
        daemon.send_signal(signal.SIGTERM)
        hatch.wait_until(lambda: "stopping on SIGTERM" in daemon.log())
        assert daemon.is_running()
        begin = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait() == 0
        assert time.monotonic() - begin < 5
    assert daemon.log_lines("end", svc="stubborn")[0]["signal"] == "KILL"


def test_quit_leaves_handlers(hatchd):
    daemon = hatchd(CAT % "" + """service "wait" { listen = { "unix:@tmp@/wait.sock" } wait = yes
                                  exec = { "/bin/sleep", "1000" } }""")
    daemon.may_leave = True
    with daemon.connect("cat") as s:
        s.sendall(b"before")
        assert s.recv(10) == b"before"
        assert daemon.stop(signal.SIGQUIT) == 0
        s.sendall(b"after")
        assert s.recv(10) == b"after"
        with pytest.raises(OSError):
            daemon.connect("cat").close()


def test_quit_leaves_the_paths_of_handlers(hatchd, shared_tmp):
    handler = os.path.join(shared_tmp, "handler.py")
    with open(handler, "w") as f:
        f.write("import socket\ns = socket.socket(fileno=0)\n"
                "while True:\n    c, _ = s.accept()\n    c.sendall(b'on')\n    c.close()\n")
    daemon = hatchd('''
service "w" { listen = { "unix:@tmp@/w.sock" } wait = yes exec = { "%s", "%s" } }
service "idle" { listen = { "unix:@tmp@/i.sock" } wait = yes exec = { "/bin/sleep", "1" } }
''' % (sys.executable, handler))
    daemon.may_leave = True
    path = daemon.tmp + "/w.sock"
    assert hatch.read_all(hatch.connect(path)) == b"on"
    assert daemon.stop(signal.SIGQUIT) == 0
    assert hatch.read_all(hatch.connect(path)) == b"on"
    assert not os.path.exists(daemon.tmp + "/i.sock")
    assert not os.path.exists(daemon.tmp + "/control.sock")


SCRIPT = "trap 'echo last words >&2; printf no >&2; exit 0' TERM; echo on; " \
    "while :; do sleep 0.02; done"
LAST_WORDS = '''service "s" { listen = { "tcp4:127.0.0.1:@s@" } limits { instances = 1 }
    exec = { "/bin/sh", "-c", "%s" } timeouts { first_byte = 60s stop = 20s } }
''' % SCRIPT


@pytest.mark.parametrize("waiting", [0, 3])
def test_last_words_at_the_stop(hatchd, waiting):
    """Whoever else is being ended: the talker is the last."""
    daemon = hatchd(LAST_WORDS)
    socks = [daemon.connect("s") for _ in range(1 + waiting)]
    socks[0].sendall(b"x")
    assert socks[0].recv(3) == b"on\n"
    for s in socks[1:]:
        s.sendall(b"x")
    if waiting > 0:
        hatch.wait_until(lambda: len(daemon.log_lines("limit")) == 2)
    assert daemon.stop() == 0
    texts = [e["text"] for e in daemon.log_lines("stderr", svc="s")]
    assert "last words" in texts and "no" in texts, daemon.log()
    assert not daemon.log_lines("talker")
    for s in socks:
        s.close()


def test_stop_removes_unix_paths(hatchd):
    daemon = hatchd("""
service "a" { listen = { "unix:@tmp@/a.sock", "unix-dgram:@tmp@/b.sock" } wait = yes
              exec = { "/bin/sleep", "1" } }
service "c" { listen = { "unix-seqpacket:@tmp@/c.sock" } internal = "echo" socket { mode = 0600 } }
""")
    paths = [daemon.tmp + "/%s.sock" % n for n in "abc"] + [daemon.tmp + "/control.sock"]
    assert all(stat.S_ISSOCK(os.stat(p).st_mode) for p in paths)
    assert stat.S_IMODE(os.stat(paths[0]).st_mode) == 0o666
    assert stat.S_IMODE(os.stat(paths[2]).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(paths[3]).st_mode) == 0o660
    assert daemon.stop() == 0
    assert [p for p in paths if os.path.exists(p)] == []


@pytest.mark.parametrize("n", range(3))
def test_stop_amid_the_work(hatchd, n):
    """With all kinds of sessions at once; the fixture looks for what is left."""
    daemon = hatchd(CAT % "limits { per_source = 0 }" + """
service "echo" { listen = { "tcp4:127.0.0.1:@echo@", "udp4:127.0.0.1:@echo@" } internal = "echo" }
service "session" { listen = { "udp4:127.0.0.1:@session@" } exec = { "/bin/cat" } }
service "wait" { listen = { "tcp4:127.0.0.1:@wait@" } wait = yes exec = { "/bin/sleep", "9" } }
service "queue" { listen = { "tcp4:127.0.0.1:@queue@" } exec = { "/bin/cat" }
          limits { instances = 1 } }
""")
    clients = [daemon.connect(name) for name in ["cat", "echo", "wait", "queue"] * 10]
    clients += [world.udp_client(daemon.port[name]) for name in ["session", "echo"] * 5]
    for s in clients:
        s.send(b"x")
    if n > 0:
        hatch.wait_until(lambda: len(daemon.handlers()) > 5 * n)
    assert daemon.stop() == 0
    for s in clients:
        s.close()


# UNIX paths


def test_stale_path_is_replaced_and_live_one_is_not(hatchd, shared_tmp):
    stale, live, file = (shared_tmp + "/" + n for n in ("stale", "live", "file"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(stale)
    with open(file, "w") as f:
        f.write("precious")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(live)
        s.listen()
        daemon = hatchd("".join(
            'service "%s" { listen = { "unix:%s" } exec = { "/bin/cat" } }\n' % (n, p)
            for n, p in (("stale", stale), ("live", live), ("file", file))))
        assert hatch.tcp_request(stale, b"mine now") == b"mine now"
        assert open(file).read() == "precious"
        s.settimeout(hatch.DEADLINE)
        with hatch.connect(live):
            s.accept()[0].close()
        log = daemon.log()
        assert "service live: unix:%s: bind: Address already in use, by " % live in log
        assert "(pid %d)" % os.getpid() in log
        assert "service file: unix:%s: bind: Address already in use" % file in log
    # the other one is gone, so it is ours by and by
    hatch.wait_until(lambda: daemon.log_lines("listen", svc="live", result="bound"))
    assert hatch.tcp_request(live, b"and this") == b"and this"
    assert daemon.stop() == 0
    assert open(file).read() == "precious"


def test_S23_directory_writable_by_everybody(hatchd, shared_tmp):
    path = shared_tmp + "/open"
    os.mkdir(path)
    os.chmod(path, 0o777)
    daemon = hatchd('service "u" { listen = { "unix:%s/u.sock" } exec = { "/bin/cat" } }' % path)
    assert "service u: unix:%s/u.sock: directory writable by everybody" % path in daemon.log()
    assert not os.path.exists(path + "/u.sock")
    os.chmod(path, 0o755)
    daemon.wait_log("listen", svc="u", result="bound")
    assert hatch.tcp_request(path + "/u.sock", b"x") == b"x"


def test_abstract_name(hatchd):
    name = "@hatchd-test-%d" % os.getpid()
    daemon = hatchd('service "u" { listen = { "unix:%s" } exec = { "/bin/cat" } }' % name)
    assert hatch.tcp_request(name, b"x") == b"x"
    daemon.wait_log("end", svc="u", exit=0)


# Ports


def test_U29_L30_busy_port(hatchd):
    """Its owner is told, all else is served at once, and it when it can be."""
    ports = [hatch.free_port() for _ in range(3)]
    held = []
    for port in ports:
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.bind(("127.0.0.1", port))
        s.listen()
        held.append(s)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", ports[0]))
    begin = time.monotonic()
    daemon = hatchd(CAT % "" + "".join(
        'service "busy%d" { listen = { "tcp4:127.0.0.1:%d" } exec = { "/bin/cat" } }\n' % (i, p)
        for i, p in enumerate(ports)) + """
service "busy-udp" { listen = { "udp4:127.0.0.1:%d" } internal = "echo" }""" % ports[0])
    assert time.monotonic() - begin < 3
    assert daemon.tcp("cat", b"x") == b"x"
    owner = ", by %s (pid %d)" % (open("/proc/self/comm").read().strip(), os.getpid())
    log = daemon.log()
    for i, port in enumerate(ports):
        line = "service busy%d: tcp:127.0.0.1:%d: bind: Address already in use" % (i, port)
        assert "%s:%d: %s%s\n" % (daemon.conf, i + 2, line, owner) in log
    assert "udp:127.0.0.1:%d: bind: Address already in use%s" % (ports[0], owner) in log
    held[1].close()
    daemon.wait_log("listen", svc="busy1", result="bound")
    assert hatch.tcp_request(ports[1], b"x") == b"x"
    assert not daemon.log_lines("listen", svc="busy0")
    for s in (udp, held[0], held[2]):
        s.close()
    for svc in ("busy0", "busy2", "busy-udp"):
        daemon.wait_log("listen", svc=svc, result="bound")
    assert hatch.tcp_request(ports[0], b"x") == b"x"
    assert hatch.udp_request(ports[0], b"x") == b"x"
    # told once, not every second
    assert daemon.log().count("Address already in use") == 4


def test_ready_line_tells_what_is_served(hatchd):
    off = 'service "off" { enabled = no listen = { "tcp4:127.0.0.1:@off@" } ' \
        'exec = { "/bin/cat" } }\n'
    daemon = hatchd(CAT % "" + off)
    hatch.wait_until(lambda: " is ready: 1 services, 1 sockets, " in daemon.log())
    port = hatch.free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        daemon = hatchd(CAT % "" + off + 'service "busy" { listen = { "tcp4:127.0.0.1:%d", '
                        '"tcp4:127.0.0.1:@free@" } exec = { "/bin/cat" } }' % port)
        hatch.wait_until(lambda: " is ready: 2 services, 2 sockets, 1 not bound yet, "
                         in daemon.log())


def test_service_with_two_sockets_one_of_them_busy(hatchd):
    port = hatch.free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        daemon = hatchd('service "two" { listen = { "tcp4:127.0.0.1:@free@", "tcp4:127.0.0.1:%d" }'
                        ' exec = { "/bin/cat" } }' % port)
        assert daemon.tcp("free", b"x") == b"x"
    daemon.wait_log("listen", svc="two", result="bound")
    assert hatch.tcp_request(port, b"x") == b"x"


def test_stop_while_a_port_is_busy(hatchd):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        daemon = hatchd('service "b" { listen = { "tcp4:127.0.0.1:%d" } exec = { "/bin/cat" } }'
                        % s.getsockname()[1])
        assert daemon.stop() == 0


def test_port_0_is_told(hatchd):
    daemon = hatchd("""
service "t" { listen = { "tcp4:127.0.0.1:0", "tcp4:127.0.0.1:0" } exec = { "/bin/cat" } }
service "u" { listen = { "udp4:127.0.0.1:0" } internal = "echo" }
""")
    lines = daemon.log_lines("listen", svc="t")
    assert [e["listen"] for e in lines] == ["tcp:127.0.0.1:0"] * 2
    assert len({e["port"] for e in lines}) == 2
    for e in lines:
        assert hatch.tcp_request(int(e["port"]), b"x") == b"x"
    port = int(daemon.log_lines("listen", svc="u")[0]["port"])
    assert hatch.udp_request(port, b"x") == b"x"
    # a reload keeps them
    daemon.reload()
    assert hatch.tcp_request(int(lines[0]["port"]), b"x") == b"x"


def test_names_of_services_and_ranges(hatchd):
    def is_free(port):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    def find():     # below those that clients get
        first = random.randrange(20000, 30000)
        return first if all(is_free(first + i) for i in range(3)) else 0

    first = hatch.wait_until(find, what="three free ports")
    daemon = hatchd('service "r" { listen = { "tcp4:localhost:%d-%d" } exec = { "/bin/cat" } }'
                    % (first, first + 2))
    for port in range(first, first + 3):
        assert hatch.tcp_request(port, b"x") == b"x"
    assert daemon.log_lines("fail") == []
