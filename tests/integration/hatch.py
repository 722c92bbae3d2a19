# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""The harness of the integration tests: runs the daemon, talks to it, watches it.

No fixed ports, no sleeping for luck (wait_until has a deadline), no need of
root: what needs it is marked so and left out otherwise.  A Daemon that is
stopped has to have exited with 0, left no process behind, and written no line
of a sanitizer or of valgrind.
"""
import atexit
import ctypes
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HATCHD = os.path.abspath(os.environ.get("HATCHD", os.path.join(TOP, "build", "hatchd")))
BUILD = os.path.dirname(HATCHD)


def _within_reach(build):
    """The build folder, or a copy of its programs if other accounts can't get at
    them, as in a clone below /root."""
    folder = build
    while folder != "/" and os.stat(folder).st_mode & 0o001:
        folder = os.path.dirname(folder)
    if os.geteuid() != 0 or folder == "/":
        return build
    copy = tempfile.mkdtemp(prefix="hatchd-build-")
    os.chmod(copy, 0o755)
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name in ("hatchd", "hatchd-talker"):
        shutil.copy2(os.path.join(build, name), copy)
    shutil.copytree(os.path.join(build, "services"), os.path.join(copy, "services"))
    return copy


if os.path.exists(HATCHD):
    BUILD = _within_reach(BUILD)
    HATCHD = os.path.join(BUILD, "hatchd")
# What the daemon is run under, for example "taskset 1".
WRAP = shlex.split(os.environ.get("HATCH_WRAP", ""))
IS_ROOT = os.geteuid() == 0
# The account of talker and handlers: nobody if root runs the tests, else us.
USER = "nobody" if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name
DEADLINE = float(os.environ.get("HATCH_DEADLINE", "30"))

PR_SET_CHILD_SUBREAPER = 36
SAD = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:"
                 r"|^==\d+==.*(Invalid |uninitialised|definitely lost|Process terminating)"
                 r"|Assertion .* failed|stack smashing detected|buffer overflow detected", re.M)

_ports_given = set()


def free_port(hosts=("0.0.0.0", "::")):
    """A port that the kernel just found free for TCP and UDP on all hosts; by default
    on all addresses, since a client may have it at any of 127/8."""
    for _ in range(200):
        held = []
        try:
            port = 0
            for host in hosts:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
                    held.append(s)
                    if ":" in host:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((host, port))
                    port = s.getsockname()[1]
            if port not in _ports_given:
                _ports_given.add(port)
                return port
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    raise RuntimeError("no free port")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def wait_until(fn, timeout=DEADLINE, what=None):
    """Calls fn until it returns something true, which is returned."""
    end = time.monotonic() + timeout
    pause = 0.002
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() >= end:
            raise AssertionError("not within %g s: %s" % (timeout, what or fn))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


# Processes


def _stat(pid):
    with open("/proc/%d/stat" % pid, "rb") as f:
        head, tail = f.read().rsplit(b")", 1)
    return head.split(b"(", 1)[1].decode(errors="replace"), tail.split()


def children(pid, zombies=True):
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            _, fields = _stat(int(name))
        except (OSError, IndexError):
            continue
        if int(fields[1]) == pid and (zombies or fields[0] != b"Z"):
            found.append(int(name))
    return found


def comm(pid):
    return _stat(pid)[0]


def cpu_seconds(pid):
    fields = _stat(pid)[1]
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_field(pid, name):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
    raise KeyError(name)


def rss(pid):
    """Resident memory in bytes."""
    return int(status_field(pid, "VmRSS").split()[0]) * 1024


def n_fds(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def udp_drops(port):
    """Datagrams that found the queues of the sockets at this port full (proc(5))."""
    with open("/proc/net/udp") as f:
        return sum(int(line.split()[-1]) for line in f
                   if line.split()[1].endswith(":%04X" % port))


# Clients


def _family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def connect(port, host="127.0.0.1", timeout=DEADLINE):
    """A connected TCP socket; port may be the path of a UNIX socket."""
    if isinstance(port, str):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address = "\0" + port[1:] if port.startswith("@") else port
    else:
        s = socket.socket(_family(host), socket.SOCK_STREAM)
        address = (host, port)
    s.settimeout(timeout)
    try:
        s.connect(address)
    except BaseException:
        s.close()
        raise
    return s


def read_all(s):
    parts = []
    while True:
        part = s.recv(65536)
        if not part:
            return b"".join(parts)
        parts.append(part)


def tcp_request(port, data=b"", host="127.0.0.1", timeout=DEADLINE, half_close=True):
    """Sends data, says that this was all, and reads to the end."""
    with connect(port, host, timeout) as s:
        if data:
            s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        return read_all(s)


def udp_request(port, data=b"", host="127.0.0.1", timeout=DEADLINE):
    """Sends a datagram; the first one that comes back, None if none does."""
    with socket.socket(_family(host), socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect((host, port))
        s.send(data)
        try:
            return s.recv(65536)
        except (socket.timeout, ConnectionRefusedError):
            return None


# The log

LINE = re.compile(r"^(?:\S+Z )?(?:hatchd(?:-talker)?(?:\[\d+\])?: )?"
                  r"(?:(?P<level>err|warn|info|debug):? )?(?P<event>[a-z][a-z_-]*)"
                  r"(?P<pairs>(?: [a-z_0-9]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\"]*))*)$")
PAIR = re.compile(r" ([a-z_0-9]+)=(\"(?:[^\"\\]|\\.)*\"|\S*)")
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)")


def _unquote(value):
    if not value.startswith('"'):
        return value
    raw = ESCAPE.sub(lambda m: bytes([int(m.group(1)[1:], 16)]) if len(m.group(1)) == 3
                     else m.group(1), value[1:-1].encode())
    return raw.decode(errors="surrogateescape")


class Event(dict):
    """A line of the log: event, level, text, and its values by key."""

    def __init__(self, match, text):
        super().__init__((k, _unquote(v)) for k, v in PAIR.findall(match.group("pairs")))
        self.event = match.group("event")
        self.level = match.group("level")
        self.text = text

    def __repr__(self):
        return "<%s>" % self.text


def parse_log(text):
    events = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            events.append(Event(match, line))
    return events


# The service manager's side of readiness


class NotifySocket:
    def __init__(self, path):
        self.path = path
        self.states = []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        os.chmod(path, 0o666)
        self.sock.setblocking(False)

    def poll(self):
        while True:
            try:
                got = self.sock.recv(4096).decode()
            except BlockingIOError:
                return self.states
            self.states += got.splitlines()

    def close(self):
        self.sock.close()


def run(*args, env=None, timeout=DEADLINE, **kw):
    """Runs the daemon's binary to its end: the CompletedProcess, with text."""
    full = dict(os.environ, **(env or {}))
    full.pop("NOTIFY_SOCKET", None)
    return subprocess.run([*WRAP, HATCHD, *map(str, args)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=full, timeout=timeout, **kw)


def drop_root():
    """preexec_fn: as an ordinary user would run it; nothing if not root."""
    if IS_ROOT:
        entry = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def make_dir():
    """A new folder that other accounts may enter."""
    path = tempfile.mkdtemp(prefix="hatchd-test-")
    os.chmod(path, 0o755)
    return path


def config(text, path, ports=None):
    """Completes a configuration: @tmp@ and @user@, a free port for each other
    @name@ (also put into ports), and what keeps it off the system's files."""
    ports = {} if ports is None else ports

    def replace(match):
        name = match.group(1)
        if name in ("tmp", "user"):
            return path if name == "tmp" else USER
        if name not in ports:
            ports[name] = free_port()
        return str(ports[name])

    head = ""
    top = re.sub(r"^(service|defaults)\b.*?^\}", "", text, flags=re.M | re.S)
    for name, value in (("log", "stderr"), ("user", USER),
                        ("control", path + "/control.sock"), ("pid_file", path + "/pid")):
        if not re.search(r"^\s*%s\s*=" % name, top, re.M):
            head += '%s = "%s" ' % (name, value)
    if not re.search(r"^\s*defaults\s*\{", text, re.M):
        head += 'defaults { user = "%s" log_events = { "start", "end", "refuse", "stderr", ' \
            '"fail" } }' % USER
    # On one line with what follows, so that line numbers stay as they are.
    return head + " " + re.sub(r"@([a-z][a-z0-9_]*)@", replace, text)


class Daemon:
    """hatchd -F with a configuration of its own.

    text: the configuration, completed by config(); None: args say all.
    port: the ports that were found for its @names@.
    """

    def __init__(self, text=None, args=(), env=None, ready=True, path=None, preexec_fn=None,
                 cwd=None, wrap=()):
        self.tmp = path or make_dir()
        self.port = {}
        self.proc = None
        self.expect_exit = 0
        self.may_leave = False  # processes after its end
        self.conf = os.path.join(self.tmp, "hatchd.conf")
        self.log_path = os.path.join(self.tmp, "log")
        self.notify = NotifySocket(os.path.join(self.tmp, "notify.sock"))
        self.mark = 0
        argv = [*wrap, *WRAP, HATCHD]
        if text is not None:
            self.write(text)
            argv += ["-F", "-f", self.conf]
        argv += [str(a) for a in args]
        full = {k: v for k, v in os.environ.items()
                if not k.startswith(("NOTIFY_", "LISTEN_", "WATCHDOG_"))}
        full["NOTIFY_SOCKET"] = self.notify.path
        full.update(env or {})
        _be_subreaper()
        self.before = set(children(os.getpid()))
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         env=full, cwd=cwd or self.tmp, preexec_fn=preexec_fn)
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.proc.kill()
                self.proc.wait()
                self._left_behind()
                self.notify.close()
                shutil.rmtree(self.tmp, ignore_errors=True)
                raise

    # Configuration

    def write(self, text):
        """Writes the configuration (again); names keep their ports."""
        data = config(text, self.tmp, self.port)
        with open(self.conf + ".new", "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(data)
        os.rename(self.conf + ".new", self.conf)

    # Life

    @property
    def pid(self):
        return self.proc.pid

    def is_running(self):
        return self.proc.poll() is None

    def wait_ready(self, timeout=DEADLINE):
        def ready():
            if "READY=1" in self.notify.poll():
                return True
            if not self.is_running():
                raise AssertionError("hatchd exited with %s instead of getting ready:\n%s"
                                     % (self.proc.returncode, self.log()))
            return False
        wait_until(ready, timeout, "READY=1; log:\n" + self.log())

    def reload(self, text=None, ok=True):
        """Writes the configuration if text is given, sends SIGHUP and waits
        until the log tells of the reload, which has to have succeeded (ok
        None: either)."""
        if text is not None:
            self.write(text)
        seen = len(self.log_lines("reload"))
        self.proc.send_signal(signal.SIGHUP)
        line = wait_until(lambda: self.log_lines("reload")[seen:], what="a reload")[-1]
        if ok is not None:
            assert (line.get("result", "ok") == "ok") is ok, line
        return line

    def send_signal(self, number):
        self.proc.send_signal(number)

    def wait(self, timeout=DEADLINE):
        """Until it has exited; the exit status."""
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("hatchd did not exit; log:\n" + self.log()) from None

    def stop(self, number=signal.SIGTERM, timeout=DEADLINE):
        if self.is_running():
            self.send_signal(number)
        return self.wait(timeout)

    def close(self):
        """Stops it and checks how it ended."""
        problems = []
        try:
            try:
                code = self.stop()
                if self.expect_exit is not None and code != self.expect_exit:
                    problems.append("exit status %s instead of %s" % (code, self.expect_exit))
            except AssertionError as e:
                problems.append(str(e).splitlines()[0])
                self.proc.kill()
                self.proc.wait()
            problems += self._left_behind()
            log = self.log()
            if SAD.search(log):
                problems.append("a sanitizer's report")
            if problems:
                raise AssertionError("; ".join(problems) + "; log:\n" + log)
        finally:
            self.notify.close()
            shutil.rmtree(self.tmp, ignore_errors=True)

    def _left_behind(self):
        # They are ours now, since this process is a subreaper.
        left = []
        for pid in set(children(os.getpid())) - self.before:
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode(errors="replace")
                state = _stat(pid)[1][0]
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (OSError, IndexError):
                continue
            # A zombie ended together with the daemon, and one that has no command
            # line any more is about to be one; init would reap it.
            if state != b"Z" and line and not self.may_leave:
                left.append("left behind: %d %s" % (pid, line))
        return left

    # What it says

    def log(self):
        self._settle()
        try:
            with open(self.log_path, errors="surrogateescape") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def _settle(self):
        """Until the master waits again: what it did is in the log then, which it
        writes once a turn.  One that never does is not waited for long."""
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                if _stat(self.pid)[1][0] not in (b"R", b"D"):
                    return
            except (OSError, IndexError):
                return
            time.sleep(0.001)

    def log_lines(self, event=None, **values):
        """The log's lines with this event and these values (key=value)."""
        return [e for e in parse_log(self.log())
                if (event is None or e.event == event)
                and all(e.get(k) == str(v) for k, v in values.items())]

    def wait_log(self, event, n=1, timeout=DEADLINE, **values):
        """Waits for the n-th such line and returns it."""
        def found():
            lines = self.log_lines(event, **values)
            return lines[n - 1] if len(lines) >= n else None
        try:
            return wait_until(found, timeout)
        except AssertionError:
            raise AssertionError("no %s %s in the log:\n%s" % (event, values, self.log())) from None

    # Its processes

    def _named(self, name):
        return [p for p in children(self.pid, zombies=False) if _comm_is(p, name)]

    @property
    def talker(self):
        """The talker's pid, 0 if there is none at present."""
        found = self._named("hatchd-talker")
        return found[0] if found else 0

    def handlers(self):
        """Pids of all children but the talker."""
        return [p for p in children(self.pid, zombies=False) if not _comm_is(p, "hatchd-talker")]

    def n_zombies(self):
        """Children that ended and were not reaped."""
        return len(children(self.pid)) - len(children(self.pid, zombies=False))

    def kill_talker(self, number=signal.SIGKILL):
        """Ends the talker and waits until there is a new one."""
        old = wait_until(lambda: self.talker, what="a talker")
        os.kill(old, number)
        return wait_until(lambda: self.talker not in (0, old) and self.talker,
                          what="a new talker")

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def rss(self):
        return rss(self.pid)

    # Clients, by the name of the port

    def tcp(self, name, data=b"", **kw):
        return tcp_request(self.port.get(name, name), data, **kw)

    def udp(self, name, data=b"", **kw):
        return udp_request(self.port.get(name, name), data, **kw)

    def connect(self, name, **kw):
        return connect(self.port.get(name, name), **kw)


def _comm_is(pid, name):
    try:
        return comm(pid) == name[:15]
    except (OSError, IndexError):
        return False


def _be_subreaper():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
