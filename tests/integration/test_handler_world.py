# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What a handler receives, by every path that starts one: descriptors,
environment, ids, limits, signals, directories.  The handlers do nothing but
sleep; the kernel is asked about them."""
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess

import pytest

import hatch
import world

SLEEP = shutil.which("sleep")
PATH = "/usr/local/bin:/usr/bin:/bin"
ACCOUNT = pwd.getpwnam(hatch.USER)
O_CLOEXEC = 0o2000000

HANDLER = 'exec = { "%s", "1000" }\n' % SLEEP


class Path:
    """A way to a handler."""

    def __init__(self, listen, client, env, extra="", n_listen=1, marks=()):
        self.listen, self.client, self.env = listen, client, env
        self.extra, self.n_listen, self.marks = extra, n_listen, marks

    def conf(self, extra=""):
        return "service \"way\" {\n listen = { %s }\n %s %s %s }\n" % (
            self.listen, HANDLER, self.extra, extra)


def _tcp(daemon, host="127.0.0.1"):
    return daemon.connect("way", host=host)


def _udp(daemon, host="127.0.0.1"):
    s = world.udp_client(daemon.port["way"], host)
    s.send(b"x")
    return s


def _unix(daemon, kind=socket.SOCK_STREAM):
    s = world.unix_client(daemon.tmp + "/way.sock", kind)
    if kind == socket.SOCK_DGRAM:
        s.send(b"x")
    return s


def _inet_env(proto, ip):
    def expected(daemon, client):
        port = str(daemon.port["way"])
        mine = str(client.getsockname()[1])
        return {"PROTO": proto, proto + "LOCALIP": ip, proto + "LOCALPORT": port,
                proto + "REMOTEIP": ip, proto + "REMOTEPORT": mine,
                "REMOTE_HOST": ip, "REMOTE_ADDR": ip, "REMOTE_PORT": mine}
    return expected


def _wait_env(proto, ip="127.0.0.1"):
    def expected(daemon, client):
        return {"PROTO": proto, proto + "LOCALIP": ip, proto + "LOCALPORT":
                str(daemon.port["way"])}
    return expected


def _unix_env(daemon, client):
    return {"PROTO": "UNIX", "REMOTE_UID": str(os.geteuid()), "REMOTE_GID": str(os.getegid()),
            "REMOTE_PID": str(os.getpid())}


WAYS = {
    "tcp4": Path('"tcp4:127.0.0.1:@way@"', _tcp, _inet_env("TCP", "127.0.0.1")),
    "tcp6": Path('"tcp6:[::1]:@way@"', lambda d: _tcp(d, "::1"), _inet_env("TCP", "::1"),
                 marks=[pytest.mark.ipv6]),
    "tcp-any": Path('"tcp:@way@"', _tcp, _inet_env("TCP", "127.0.0.1")),
    "unix": Path('"unix:@tmp@/way.sock"', _unix, _unix_env),
    "unix-seqpacket": Path('"unix-seqpacket:@tmp@/way.sock"',
                           lambda d: _unix(d, socket.SOCK_SEQPACKET), _unix_env),
    "session": Path('"udp4:127.0.0.1:@way@"', _udp, _inet_env("UDP", "127.0.0.1")),
    "session6": Path('"udp6:[::1]:@way@"', lambda d: _udp(d, "::1"), _inet_env("UDP", "::1"),
                     marks=[pytest.mark.ipv6]),
    "session-any": Path('"udp:@way@"', _udp, _inet_env("UDP", "127.0.0.1")),
    "wait": Path('"tcp4:127.0.0.1:@way@"', _tcp, _wait_env("TCP"), "wait = yes"),
    "wait-datagram": Path('"udp4:127.0.0.1:@way@"', _udp, _wait_env("UDP"), "wait = yes"),
    "wait-unix": Path('"unix:@tmp@/way.sock"', _unix, lambda d, c: {"PROTO": "UNIX"},
                      "wait = yes"),
    "wait-unix-dgram": Path('"unix-dgram:@tmp@/way.sock"',
                            lambda d: _unix(d, socket.SOCK_DGRAM),
                            lambda d, c: {"PROTO": "UNIX"}, "wait = yes"),
    "listen_fds": Path('"tcp4:127.0.0.1:@way@", "unix:@tmp@/way.sock"', _tcp, _wait_env("TCP"),
                       'wait = yes pass = "listen_fds"', n_listen=2),
    "listen_fds-datagram": Path('"udp4:127.0.0.1:@way@"', _udp, _wait_env("UDP"),
                                'wait = yes pass = "listen_fds"'),
}


def each_way(fn):
    return pytest.mark.parametrize("way", [
        pytest.param(w, id=name, marks=w.marks) for name, w in WAYS.items()])(fn)


def account_env():
    return {"PATH": PATH, "HOME": ACCOUNT.pw_dir or "/", "USER": ACCOUNT.pw_name,
            "LOGNAME": ACCOUNT.pw_name, "SHELL": ACCOUNT.pw_shell or "/bin/sh"}


def account_groups():
    if not hatch.IS_ROOT:
        return set(os.getgroups())
    return set(os.getgrouplist(ACCOUNT.pw_name, ACCOUNT.pw_gid))


def dirty(*fds):
    """Started by somebody with odd habits."""
    def prepare():
        os.umask(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGXFSZ,
                       signal.SIGUSR1, signal.SIGINT, signal.SIGRTMIN):
            signal.signal(number, signal.SIG_IGN)
        if hatch.IS_ROOT:
            os.setgroups([1, 4, 27, 1234])
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (777, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return prepare


DIRTY_ENV = {"BASH_ENV": "/tmp/x", "LD_LIBRARY_PATH": "/nowhere", "IFS": "x", "REMOTE_HOST": "x",
             "TCPREMOTEIP": "192.0.2.1", "LISTEN_FDNAMES": "x", "HATCHD_SERVICE": "x"}
# Leaves descriptors open for the daemon to inherit.
OPEN_FDS = ("sh", "-c", 'exec 5</etc/passwd 7>/dev/null 9</dev/null; exec "$@"', "sh")


@each_way
def test_S1_S3_S5_S13_S14_handler_is_what_its_section_says(hatchd, way):
    daemon = hatchd(way.conf(), env=DIRTY_ENV, wrap=OPEN_FDS, preexec_fn=dirty())
    with way.client(daemon) as client:
        w, start = world.of_handler(daemon, "way")
        expected = dict(account_env(), HATCHD_SERVICE="way", HATCHD_CONNECTION=start["conn"],
                        **way.env(daemon, client))
        fds = {0, 1, 2}
        if "listen_fds" in way.extra:
            expected.update(LISTEN_FDS=str(way.n_listen), LISTEN_PID=str(w.pid),
                            LISTEN_FDNAMES=":".join(["way"] * way.n_listen))
            fds |= set(range(3, 3 + way.n_listen))
            assert w.fds[0] == w.fds[1] == "/dev/null"
            assert all(w.fds[fd].startswith("socket:") for fd in fds - {0, 1, 2})
            assert len({w.fds[fd] for fd in fds - {0, 1}}) == way.n_listen + 1
        else:
            assert w.fds[0] == w.fds[1]
            assert w.fds[0].startswith("socket:")
        # environment
        assert w.env == expected
        assert len(w.env_list) == len(w.env)
        # descriptors: stderr is the log's, none of them closes at the next exec
        assert set(w.fds) == fds
        assert w.fds[2].startswith("socket:") and w.fds[2] != w.fds[0]
        assert [fd for fd in fds if w.fd_flags(fd) & (O_CLOEXEC | os.O_NONBLOCK)] == []
        # ids
        assert w.uid == [ACCOUNT.pw_uid] * 4
        assert w.gid == [ACCOUNT.pw_gid] * 4
        assert w.groups == account_groups()
        assert w.capabilities == {0}
        assert w.no_new_privs == 0
        # the rest
        assert w.signals == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0, "ShdPnd": 0}
        assert (w.sid, w.pgid, w.tty, w.ppid) == (w.pid, w.pid, 0, daemon.pid)
        assert (w.cwd, w.root, w.umask, w.nice) == ("/", "/", 0o022, 0)
        assert w.argv == [SLEEP, "1000"]
        expected = world.limits()
        expected["open files"] = ("777", expected["open files"][1])
        expected["core file size"] = ("0", "0")
        assert w.limits == expected


@each_way
@pytest.mark.parametrize("to", ["socket", "null"])
def test_S3_stderr_of_each_kind(hatchd, way, to):
    daemon = hatchd(way.conf('stderr = "%s"' % to))
    with way.client(daemon):
        w, _ = world.of_handler(daemon, "way")
        assert w.fds[2] == ("/dev/null" if to == "null" else w.fds[0])
        assert set(w.fds) - {3, 4} == {0, 1, 2}
        assert (3 in w.fds) == ("listen_fds" in way.extra)


@pytest.mark.root
@each_way
def test_S1_configured_ids_by_each_way(hatchd, way):
    daemon = hatchd(way.conf('user = "daemon" group = "mail" groups = no'),
                    preexec_fn=lambda: os.setgroups([0, 4, 27]))
    with way.client(daemon):
        w, _ = world.of_handler(daemon, "way")
        uid = pwd.getpwnam("daemon").pw_uid
        gid = subprocess.run(["getent", "group", "mail"], stdout=subprocess.PIPE,
                             text=True).stdout.split(":")[2]
        assert w.uid == [uid] * 4
        assert w.gid == [int(gid)] * 4
        assert w.groups in ({int(gid)}, set())
        assert w.env["USER"] == "daemon"
        assert w.capabilities == {0}


def test_S14_id_says_the_same(hatchd):
    daemon = hatchd('service "id" { listen = { "tcp4:127.0.0.1:@id@" } exec = { "%s" } }'
                    % shutil.which("id"))
    got = daemon.tcp("id").decode().strip()
    own = dict(user=hatch.USER) if hatch.IS_ROOT else {}
    expected = subprocess.run(["id", *own.values()], stdout=subprocess.PIPE, text=True).stdout
    assert got == expected.strip()


@pytest.mark.root
def test_S14_groups_of_the_database_and_no_others(hatchd, shared_tmp):
    import grp
    users = [(u, g) for g in grp.getgrall() for u in g.gr_mem
             if u != "root" and any(p.pw_name == u for p in pwd.getpwall())]
    if not users:
        pytest.skip("no account here has supplementary groups")
    user, _ = users[0]
    gid = pwd.getpwnam(user).pw_gid
    text = ""
    for name, groups in (("with", "yes"), ("without", "no")):
        text += 'service "%s" { listen = { "tcp4:127.0.0.1:@%s@" } %s user = "%s" groups = %s }\n' \
            % (name, name, HANDLER, user, groups)
    daemon = hatchd(text)
    with daemon.connect("with"), daemon.connect("without"):
        assert world.of_handler(daemon, "with")[0].groups == set(os.getgrouplist(user, gid))
        assert world.of_handler(daemon, "without")[0].groups in ({gid}, set())


@pytest.mark.root
def test_root_is_root_only_if_it_says_so(hatchd):
    daemon = hatchd("""service "r" { listen = { "tcp4:127.0.0.1:@r@" } %s user = "root" }
                       service "n" { listen = { "tcp4:127.0.0.1:@n@" } %s
                                     user = "4242" group = "4243" }
                    """ % (HANDLER, HANDLER))
    with daemon.connect("r"), daemon.connect("n"):
        w, _ = world.of_handler(daemon, "r")
        assert w.uid == [0] * 4
        assert w.env["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        w, _ = world.of_handler(daemon, "n")
        assert (w.uid, w.gid, w.env["HOME"]) == ([4242] * 4, [4243] * 4, "/")


SETTINGS = """
service "s" {
    listen = { "tcp4:127.0.0.1:@s@" }
    %s
    argv0 = "a name of its own"
    umask = 077
    nice = 5
    directory = "@tmp@"
    rlimits { nofile = 64  core = 0  cpu = 60s  as = 512MiB  nproc = 5000  fsize = 10MiB
              stack = 1MiB  data = 64MiB  memlock = 0 }
}
""" % HANDLER


def test_settings_of_the_process(hatchd):
    daemon = hatchd(SETTINGS)
    with daemon.connect("s"):
        w, _ = world.of_handler(daemon, "s")
        assert w.argv == ["a name of its own", "1000"]
        assert w.exe == os.path.realpath(SLEEP)
        assert (w.umask, w.nice, w.cwd) == (0o077, 5, os.path.realpath(daemon.tmp))
        for name, value in (("open files", 64), ("core file size", 0), ("cpu time", 60),
                            ("address space", 512 << 20), ("processes", 5000),
                            ("file size", 10 << 20), ("stack size", 1 << 20),
                            ("data size", 64 << 20), ("locked memory", 0)):
            assert w.limits[name] == (str(value), str(value)), name


def test_S5_file_made_by_a_handler(hatchd, shared_tmp):
    os.chmod(shared_tmp, 0o777)
    text = 'service "%s" { listen = { "tcp4:127.0.0.1:@%s@" } exec = { "/bin/sh", "-c", ' \
        '"touch %s/%s" } %s }\n'
    daemon = hatchd(text % ("plain", "plain", shared_tmp, "plain", "") +
                    text % ("own", "own", shared_tmp, "own", "umask = 027"),
                    preexec_fn=lambda: os.umask(0))
    daemon.tcp("plain")
    daemon.tcp("own")
    assert os.stat(shared_tmp + "/plain").st_mode & 0o777 == 0o644
    assert os.stat(shared_tmp + "/own").st_mode & 0o777 == 0o640


def test_environment_settings_come_last(hatchd):
    daemon = hatchd("""
service "e" {
    listen = { "tcp4:127.0.0.1:@e@" }
    %s
    pass_environment = { "PASSED", "MISSING", "HOME", "EMPTY" }
    environment = { "LANG=C.UTF-8", "PATH=/mine", "PROTO=mine", "PASSED_NOT=x", "SPACE=a b = c",
                    "NOTHING=" }
}
""" % HANDLER, env={"PASSED": "through", "PASSED_NOT": "y", "HOME": "/the/daemon's", "EMPTY": ""})
    with daemon.connect("e") as client:
        w, start = world.of_handler(daemon, "e")
        expected = dict(account_env(), HATCHD_SERVICE="e", HATCHD_CONNECTION=start["conn"])
        way = _inet_env("TCP", "127.0.0.1")
        daemon.port["way"] = daemon.port["e"]
        expected.update(way(daemon, client))
        expected.update(LANG="C.UTF-8", PATH="/mine", PROTO="mine", PASSED_NOT="x",
                        SPACE="a b = c", NOTHING="", PASSED="through", EMPTY="",
                        HOME="/the/daemon's")
        assert w.env == expected
        assert len(w.env_list) == len(w.env)


@pytest.mark.parametrize("name", ["REMOTE_HOST", "REMOTE_PORT", "TCPLOCALIP", "TCPREMOTEPORT",
                                  "HATCHD_CONNECTION"])
def test_a_variable_that_is_set_replaces_that_one_alone(hatchd, name):
    daemon = hatchd('service "way" { listen = { "tcp4:127.0.0.1:@way@" } %s environment = '
                    '{ "%s=mine" } }' % (HANDLER, name))
    with daemon.connect("way") as client:
        w, start = world.of_handler(daemon, "way")
        expected = dict(account_env(), HATCHD_SERVICE="way", HATCHD_CONNECTION=start["conn"])
        expected.update(_inet_env("TCP", "127.0.0.1")(daemon, client))
        expected[name] = "mine"
        assert w.env == expected
        assert len(w.env_list) == len(w.env)


def test_names_of_listen_fds_can_be_set(hatchd):
    daemon = hatchd('service "way" { listen = { "tcp4:127.0.0.1:@way@" } %s wait = yes '
                    'pass = "listen_fds" environment = { "LISTEN_FDNAMES=web" } }' % HANDLER)
    with daemon.connect("way"):
        w, _ = world.of_handler(daemon, "way")
        assert (w.env["LISTEN_FDS"], w.env["LISTEN_PID"], w.env["LISTEN_FDNAMES"]) == \
            ("1", str(w.pid), "web")


def test_order_of_listen_fds_is_that_of_listen(hatchd):
    daemon = hatchd("""
service "l" {
    listen = { "unix:@tmp@/a.sock", "tcp4:127.0.0.1:@one@", "unix-seqpacket:@tmp@/b.sock" }
    wait = yes  pass = "listen_fds"
    %s
}
""" % HANDLER)
    with world.unix_client(daemon.tmp + "/b.sock", socket.SOCK_SEQPACKET):
        w, _ = world.of_handler(daemon, "l")
        with open("/proc/net/unix") as f:
            paths = {int(p[6]): p[7] for p in (line.split() for line in f)
                     if len(p) == 8 and p[6].isdigit()}
        inode = [int(w.fds[fd][len("socket:["):-1]) for fd in (3, 4, 5)]
        assert paths.get(inode[0]) == daemon.tmp + "/a.sock"
        assert inode[1] not in paths
        assert paths.get(inode[2]) == daemon.tmp + "/b.sock"


def make_jail(path):
    """A folder with sleep and what it needs."""
    out = subprocess.run(["ldd", SLEEP], stdout=subprocess.PIPE, text=True).stdout
    needed = [SLEEP] + [word for word in out.split() if word.startswith("/")]
    for name in needed:
        os.makedirs(path + os.path.dirname(name), exist_ok=True)
        shutil.copy(name, path + name)
    os.makedirs(path + "/work")


@pytest.mark.root
def test_chroot(hatchd, shared_tmp):
    jail = shared_tmp + "/jail"
    make_jail(jail)
    daemon = hatchd("""
service "plain" { listen = { "tcp4:127.0.0.1:@plain@" } chroot = "%s" %s }
service "work" { listen = { "tcp4:127.0.0.1:@work@" } chroot = "%s" directory = "/work" %s }
""" % (jail, HANDLER, jail, HANDLER))
    with daemon.connect("plain"), daemon.connect("work"):
        w, _ = world.of_handler(daemon, "plain")
        assert (w.root, w.cwd, set(w.fds)) == (jail, jail, {0, 1, 2})
        assert w.uid == [ACCOUNT.pw_uid] * 4
        w, _ = world.of_handler(daemon, "work")
        assert (w.root, w.cwd) == (jail, jail + "/work")


def test_daemon_started_without_standard_descriptors(hatchd):
    daemon = hatchd(WAYS["tcp4"].conf(), wrap=("sh", "-c", 'exec 0<&- 1>&-; exec "$@"', "sh"))
    with daemon.connect("way"):
        w, _ = world.of_handler(daemon, "way")
        assert set(w.fds) == {0, 1, 2}
        assert w.fds[0] == w.fds[1] != w.fds[2]


@pytest.mark.root
def test_talker_has_nothing_that_it_does_not_need(hatchd):
    daemon = hatchd(WAYS["tcp4"].conf(), env=DIRTY_ENV, wrap=OPEN_FDS, preexec_fn=dirty())
    w = world.World(hatch.wait_until(lambda: daemon.talker))
    hatch.wait_until(lambda: world.World(w.pid).no_new_privs == 1)
    w = world.World(w.pid)
    assert w.env == {}
    assert w.uid == [ACCOUNT.pw_uid] * 4
    assert w.gid == [ACCOUNT.pw_gid] * 4
    assert w.capabilities == {0}
    assert w.limits["processes"] == ("0", "0")
    assert not any("passwd" in to for to in w.fds.values())
    assert w.groups == set()
    assert w.root != "/"
