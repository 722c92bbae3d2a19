# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""The log: its grammar, what each line tells, JSON, files, and that nothing of
it holds up the daemon or can be forged from outside."""
import datetime
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import time

import pytest

import hatch
import world

F_SETPIPE_SZ = 1031


def sh(name, script, extra=""):
    """A service that runs a script."""
    return 'service "%s" { listen = { "tcp4:127.0.0.1:@%s@" } exec = { "/bin/sh", "-c", "%s" } ' \
        '%s }\n' % (name, name, script.replace("\\", "\\\\").replace('"', '\\"'), extra)


STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


# Grammar


def test_start_and_end(hatchd):
    daemon = hatchd(sh("s", "sleep 0.05; exit 7"))
    with daemon.connect("s") as s:
        peer = "127.0.0.1:%d" % s.getsockname()[1]
        hatch.read_all(s)
    start, end = daemon.wait_log("start"), daemon.wait_log("end")
    assert list(start) == ["svc", "conn", "pid", "peer", "local"]
    assert start["peer"] == peer
    assert start["local"] == "127.0.0.1:%d" % daemon.port["s"]
    assert list(end) == ["svc", "conn", "pid", "peer", "exit", "ms", "cpu_ms", "rss_kb"]
    assert (end["exit"], end["conn"], end["pid"], end["peer"]) == \
        ("7", start["conn"], start["pid"], peer)
    assert 40 <= int(end["ms"]) < 10000
    assert int(end["rss_kb"]) > 100
    for line in daemon.log().splitlines():
        assert STAMP.match(line), line
    told = datetime.datetime.strptime(end.text[:19], "%Y-%m-%dT%H:%M:%S")
    assert abs((datetime.datetime.utcnow() - told).total_seconds()) < 60


def test_cpu_time_of_a_handler(hatchd):
    daemon = hatchd(sh("s", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"))
    daemon.tcp("s")
    assert int(daemon.wait_log("end")["cpu_ms"]) >= 20


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "PIPE", "ABRT", "USR1"])
def test_signals_by_name(hatchd, name):
    daemon = hatchd(sh("s", "kill -%s $$" % name, "rlimits { core = 0 }"))
    daemon.tcp("s")
    end = daemon.wait_log("end")
    assert end["signal"] == name and "exit" not in end
    got = world.counters(daemon, "s")
    assert (got["started"], got["ended"], got["failed"]) == (1, 1, 1)


def test_end_of_internal_and_session(hatchd):
    daemon = hatchd("""
service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" }
service "session" { listen = { "udp4:127.0.0.1:@session@" } exec = { "/bin/cat" }
          session { once = yes } }
service "u" { listen = { "unix:@tmp@/u.sock" } exec = { "/bin/cat" } }
""")
    daemon.tcp("echo", b"12345")
    end = daemon.wait_log("end", svc="echo")
    assert (end["in"], end["out"]) == ("5", "5") and "pid" not in end and "exit" not in end
    assert daemon.udp("session", b"123") == b"123"
    end = daemon.wait_log("end", svc="session")
    assert (end["in"], end["out"], end["exit"]) == ("3", "3", "0")
    assert hatch.tcp_request(daemon.tmp + "/u.sock", b"x") == b"x"
    assert "uid=%d" % os.geteuid() in daemon.wait_log("start", svc="u")["peer"]


@pytest.mark.ipv6
def test_peer_over_ipv6(hatchd):
    daemon = hatchd('service "s" { listen = { "tcp6:[::1]:@s@" } exec = { "/bin/cat" } }')
    with daemon.connect("s", host="::1") as s:
        start = daemon.wait_log("start")
        assert start["peer"] == "[::1]:%d" % s.getsockname()[1]
        assert start["local"] == "[::1]:%d" % daemon.port["s"]


def test_every_line_of_a_busy_hour_is_regular(hatchd):
    daemon = hatchd(sh("ok", "echo 'a b' >&2; cat") + sh("die", "kill -9 $$") + """
service "none" { listen = { "tcp4:127.0.0.1:@none@" } exec = { "/nowhere" } }
service "full" { listen = { "tcp4:127.0.0.1:@full@" } exec = { "/bin/cat" }
          limits { per_source = 1 } }
service "echo" { listen = { "tcp4:127.0.0.1:@echo@" } internal = "echo" }
""")
    with daemon.connect("full") as s:
        daemon.wait_log("start", svc="full")
        for _ in range(30):
            with daemon.connect("full") as refused:
                assert refused.recv(1) == b""
        s.close()
    for name in ("ok", "die", "echo", "none"):
        daemon.tcp(name, b"")
    daemon.reload()
    daemon.reload("nonsense", ok=False)
    daemon.wait_log("stderr", svc="ok")
    for event in ("start", "end", "refuse", "stderr", "fail", "reload"):
        assert daemon.log_lines(event), event
    daemon.stop()
    for line in daemon.log().splitlines():
        if line.endswith(" (warning)"):     # of the load, for who started it
            continue
        line = STAMP.sub("", line, count=1)
        assert re.match(r"hatchd(-talker)?: ((err|warn|info|debug): \S|(err|warn|info|debug) "
                        r"[a-z]+( [a-z_]+=(\"([^\"\\]|\\.)*\"|[^\s\"]+))*$)", line), line


# JSON


def test_json(hatchd):
    daemon = hatchd("log_format = json\n" +
                    sh("s", r"printf 'q\042\\ \033[1m\377 \303\251\n' >&2; cat") + """
service "none" { listen = { "tcp4:127.0.0.1:@none@" } exec = { "/nowhere" } }
service "full" { listen = { "tcp4:127.0.0.1:@full@" } exec = { "/bin/cat" }
          limits { per_source = 1 } }
""")
    daemon.tcp("s", b"x")
    daemon.tcp("none")
    with daemon.connect("full") as s:
        hatch.wait_until(lambda: '"svc":"full"' in daemon.log())
        with daemon.connect("full") as refused:
            assert refused.recv(1) == b""
        s.close()
    hatch.wait_until(lambda: '"stderr"' in daemon.log())
    daemon.stop()
    lines = [x for x in daemon.log().splitlines() if x.startswith("{")]
    assert len(lines) == len([x for x in daemon.log().splitlines() if "(warning)" not in x])
    events = [json.loads(x) for x in lines]
    for e in events:
        assert {"time", "level", "event"} <= set(e)
        assert STAMP.fullmatch(e["time"] + " ") and e["level"] in ("err", "warn", "info")
    by = {e["event"]: e for e in events}
    assert {"start", "end", "refuse", "stderr", "fail"} <= set(by)
    assert isinstance(by["end"]["pid"], int) and isinstance(by["start"]["conn"], int)
    texts = [e["text"] for e in events if e["event"] == "stderr"]
    assert texts == ['q"\\ \x1b[1m\ufffd \u00e9']
    assert by["refuse"]["reason"] == "source-instances"
    assert by["fail"]["error"] == "No such file or directory"


# Files


def file_daemon(hatchd, path, text="", **kw):
    return hatchd('log = "%s"\n' % path +
                  'service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" } }\n'
                  + text, **kw)


def read(path):
    with open(path) as f:
        return f.read()


def test_file_and_rotation(hatchd, shared_tmp):
    path = shared_tmp + "/hatchd.log"
    daemon = file_daemon(hatchd, path)
    assert os.stat(path).st_mode & 0o777 == 0o640
    daemon.tcp("cat", b"one")
    hatch.wait_until(lambda: " end svc=cat conn=1 " in read(path))
    os.rename(path, path + ".1")
    daemon.tcp("cat", b"two")
    hatch.wait_until(lambda: " end svc=cat conn=2 " in read(path + ".1"))
    daemon.send_signal(signal.SIGUSR1)
    hatch.wait_until(lambda: os.path.exists(path))
    daemon.tcp("cat", b"three")
    hatch.wait_until(lambda: " end svc=cat conn=3 " in read(path))
    assert "conn=3" not in read(path + ".1")
    # lines of a file have no name of the program, and nothing is elsewhere
    assert STAMP.match(read(path)) and "hatchd:" not in read(path).splitlines()[0]
    assert "svc=cat" not in daemon.log()


def test_rotation_that_fails_keeps_the_old_file(hatchd, shared_tmp):
    path = shared_tmp + "/logs/hatchd.log"
    os.mkdir(shared_tmp + "/logs")
    daemon = file_daemon(hatchd, path)
    os.rename(shared_tmp + "/logs", shared_tmp + "/old")
    daemon.send_signal(signal.SIGUSR1)
    hatch.wait_until(lambda: "can't open the log again: No such file" in
                     read(shared_tmp + "/old/hatchd.log"))
    assert daemon.tcp("cat", b"on") == b"on"


def test_no_link_and_no_device_for_a_log(shared_tmp):
    os.symlink(shared_tmp + "/elsewhere", shared_tmp + "/link")
    for path in (shared_tmp + "/link", "/dev/null", shared_tmp):
        conf = shared_tmp + "/hatchd.conf"
        with open(conf, "w") as f:
            f.write(hatch.config('log = "%s"\n' % path, shared_tmp))
        os.chmod(conf, 0o600)
        done = hatch.run("-F", "-f", conf)
        assert done.returncode == 1
        assert "log %s: " % path in done.stderr
    assert not os.path.exists(shared_tmp + "/elsewhere")


def test_full_device(hatchd):
    """A log that can't be written is no reason not to serve."""
    daemon = hatchd('service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" } }',
                    wrap=("sh", "-c", 'exec 2>/dev/full; exec "$@"', "sh"))
    for _ in range(50):
        assert daemon.tcp("cat", b"x") == b"x"
    assert world.cpu_share(daemon, 0.5) < 0.1


def test_U52_reader_of_the_log_that_does_not_read(hatchd):
    """stderr is a pipe that nobody empties: all goes on, and what was lost is
    told when there is room again."""
    r, w = os.pipe()
    fcntl.fcntl(w, F_SETPIPE_SZ, 4096)
    os.set_inheritable(w, True)
    # preexec_fn runs before descriptors are closed
    daemon = hatchd('service "cat" { listen = { "tcp4:127.0.0.1:@cat@" } exec = { "/bin/cat" } }',
                    preexec_fn=lambda: os.dup2(w, 2))
    os.close(w)
    try:
        for i in range(1500):
            assert daemon.tcp("cat", b"x") == b"x"
        assert world.cpu_share(daemon, 0.5) < 0.1
        # the descriptor has stayed as the others that have it expect it to be
        got = b""
        os.set_blocking(r, False)
        end = time.monotonic() + hatch.DEADLINE
        while b"log lost=" not in got and time.monotonic() < end:
            try:
                got += os.read(r, 65536)
            except BlockingIOError:
                assert daemon.tcp("cat", b"x") == b"x"
        assert re.search(rb" warn log lost=\d+\n", got), got[-300:]
        lost = int(re.search(rb"log lost=(\d+)", got).group(1))
        assert lost > 500
        daemon.stop()
        # no line is torn
        got += os.read(r, 1 << 20)
        for line in got.decode().splitlines():
            assert STAMP.match(line), line
    finally:
        os.close(r)


# Handlers' stderr


def test_lines_belong_to_their_session(hatchd):
    """Those of the handler, of its children and of what these leave behind."""
    daemon = hatchd(sh("s", "read n; echo line of $n >&2; sh -c 'echo child of '$n' >&2; read x'; "
                       'sh -c "sh -c \\"echo grandchild of $n >&2; sleep 0.2\\" & wait"; cat'))
    clients = []
    for n in range(10):
        s = daemon.connect("s")
        start = daemon.wait_log("start", n=n + 1)
        s.sendall(b"%d\n" % n)
        clients.append((s, start))
    for s, start in clients:
        hatch.wait_until(lambda: daemon.log_lines("stderr", pid=start["pid"])[1:])
        s.sendall(b"go on\n")
    hatch.wait_until(lambda: len(daemon.log_lines("stderr")) == 30)
    for n, (s, start) in enumerate(clients):
        lines = daemon.log_lines("stderr", conn=start["conn"])
        assert [e["text"] for e in lines] == [
            "line of %d" % n, "child of %d" % n, "grandchild of %d" % n]
        for e in lines:
            assert (e["svc"], e["pid"], e["peer"]) == ("s", start["pid"], start["peer"])
        s.close()


def test_child_that_is_gone_at_once_is_never_taken_for_another(hatchd):
    """The kernel tells who wrote a line, but not any more whose child it was."""
    daemon = hatchd(sh("s", "read n; sh -c 'echo child of '$n' >&2'; echo on"))
    conns = {}
    for n in range(40):
        with daemon.connect("s") as s:
            s.sendall(b"%d\n" % n)
            assert hatch.read_all(s) == b"on\n"
        conns[n] = daemon.wait_log("start", n=n + 1)["conn"]

    def told():
        lines = daemon.log_lines("stderr")
        return sum(bool(e["text"]) + int(e.get("suppressed", 0)) for e in lines) == 40 and lines
    for e in hatch.wait_until(told):
        if e["text"]:
            assert e.get("conn") in (conns[int(e["text"].split()[-1])], None)


def test_last_words_of_one_that_ends_at_once(hatchd):
    daemon = hatchd(sh("s", "echo failed: no such thing >&2; exit 1"))
    for i in range(1, 21):
        daemon.tcp("s")
        daemon.wait_log("stderr", n=i)
    conns = sorted(int(e["conn"]) for e in daemon.log_lines("stderr", svc="s"))
    assert conns == list(range(1, 21))


def test_line_that_has_no_end(hatchd):
    daemon = hatchd(sh("s", "printf 'no newline' >&2") + sh("t", "printf 'in ' >&2; sleep 0.1; "
                                                            "printf 'parts\\n' >&2; sleep 0.1"))
    daemon.tcp("s")
    daemon.tcp("t")
    assert daemon.wait_log("stderr", text="no newline")
    assert daemon.wait_log("stderr", svc="t")["text"] == "in parts"


def test_S20_what_a_handler_writes_can_not_forge_lines(hatchd):
    script = r"printf 'x\r2026 hatchd: info end svc=s conn=9\033[2J\000 a=\\b \342\200\256 " \
        r"\302\233\n' >&2"
    daemon = hatchd(sh("s", script))
    daemon.tcp("s")
    line = daemon.wait_log("stderr")
    assert line["svc"] == "s" and "conn=9" in line["text"]
    assert line.text.isprintable()
    raw = line.text[line.text.index("text="):]
    assert raw == r'text="x\x0d2026 hatchd: info end svc=s conn=9\x1b[2J\x00 a=\\b ' \
        r'\xe2\x80\xae \xc2\x9b"'


def test_U35_much_stderr_is_bounded_and_no_client_sees_it(hatchd):
    daemon = hatchd(sh("s", r"head -c 1048576 /dev/zero | tr '\0' e | fold -w 63 >&2; echo served")
                    + 'service "good" { listen = { "tcp4:127.0.0.1:@good@" } '
                    'exec = { "/bin/cat" } }')
    with daemon.connect("s") as s:
        assert daemon.tcp("good", b"meanwhile") == b"meanwhile"
        assert hatch.read_all(s) == b"served\n"
    daemon.wait_log("end", svc="s")
    n = 1048576 // 63

    def all_told():
        told = daemon.log_lines("stderr")
        return len([e for e in told if e["text"]]) + \
            sum(int(e.get("suppressed", 0)) for e in told) >= n
    hatch.wait_until(all_told, what="suppressed=N for all that was left out")
    assert len(daemon.log()) < 64 << 10
    assert len(daemon.log_lines("stderr")) < 200
    assert daemon.tcp("good", b"after") == b"after"


def test_one_that_floods_takes_nothing_from_others(hatchd):
    daemon = hatchd(sh("loud", "while :; do echo eeeeeeeeeeeeeeeeeeeeeeeee; done >&2") +
                    sh("calm", "echo a word >&2; cat"))
    with daemon.connect("loud"):
        daemon.wait_log("stderr", svc="loud")
        for i in range(1, 6):
            assert daemon.tcp("calm", b"x") == b"x"
            assert daemon.wait_log("stderr", n=i, svc="calm")["text"] == "a word"
    os.kill(int(daemon.log_lines("start", svc="loud")[0]["pid"]), signal.SIGKILL)
    daemon.wait_log("end", svc="loud")
    assert len(daemon.log_lines("stderr", svc="loud")) < 400


def test_many_that_write_are_bounded_together(hatchd):
    """More sessions of a service than the talker remembers."""
    daemon = hatchd(sh("s", "cat >&2", "limits { instances = 0 per_source = 0 }") +
                    sh("calm", "echo a word >&2; cat"))
    clients = [daemon.connect("s") for _ in range(100)]
    for n in range(20):
        for s in clients:
            s.sendall(b"line %d\n" % n)
    for s in clients:
        s.close()
    daemon.wait_log("end", n=100, svc="s")

    def calm():
        assert daemon.tcp("calm", b"x") == b"x"
        return daemon.log_lines("stderr", svc="calm", text="a word")
    hatch.wait_until(calm, what="a line that comes after all of them")
    told = daemon.log_lines("stderr", svc="s")
    assert 20 <= len(told) < 1000
    daemon.wait_log("stderr", n=len(told) + 1, svc="s", timeout=20)
    told = daemon.log_lines("stderr", svc="s")
    assert sum(int(e.get("suppressed", 0)) for e in told) > 200


def test_talker_that_does_not_read_holds_up_no_handler_for_long(hatchd):
    """Its queue is full: a handler's write gives up and the handler goes on."""
    with open("/proc/sys/net/unix/max_dgram_qlen") as f:
        room = int(f.read())
    daemon = hatchd(sh("s", "i=0; while [ $i -lt %d ]; do echo e >&2; i=$((i+1)); done; "
                       "echo served" % (room + 4)))
    talker = hatch.wait_until(lambda: daemon.talker)
    daemon.tcp("s")
    os.kill(talker, signal.SIGSTOP)
    try:
        with daemon.connect("s", timeout=30) as s:
            assert s.recv(100) == b"served\n"
    finally:
        os.kill(talker, signal.SIGCONT)


# Selection


@pytest.mark.parametrize("events", [[], ["start"], ["end"], ["refuse"], ["stderr"], ["fail"],
                                    ["start", "fail"]])
def test_log_events(hatchd, events):
    setting = "log_events = { %s }" % ", ".join('"%s"' % e for e in events)
    daemon = hatchd(sh("a", "echo word >&2; cat", setting + " limits { per_source = 1 }") +
                    'service "b" { listen = { "tcp4:127.0.0.1:@b@" } exec = { "/nowhere" } %s }\n'
                    % setting + sh("witness", "echo word >&2"))
    with daemon.connect("a") as s:
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        with daemon.connect("a") as refused:
            assert refused.recv(1) == b""
    daemon.tcp("b")
    hatch.wait_until(lambda: world.counters(daemon, "a")["running"] == 0)
    daemon.tcp("witness")
    daemon.wait_log("stderr", svc="witness")
    found = {e.event for e in daemon.log_lines(svc="a") + daemon.log_lines(svc="b")}
    assert found == set(events)


def test_events_by_default(shared_tmp):
    daemon = hatch.Daemon('defaults { user = "@user@" }\n' + sh("s", "echo word >&2; cat"))
    try:
        daemon.tcp("s")
        daemon.wait_log("end", svc="s")
        daemon.wait_log("stderr", svc="s")
        assert daemon.log_lines("start") == []
    finally:
        daemon.close()


# syslog


SYSLOG = 'log = "syslog"\nservice "cat" { listen = { "tcp4:127.0.0.1:@cat@" } ' \
    'exec = { "/bin/cat" } }'


@pytest.fixture
def dev(shared_tmp):
    """A folder, and what makes it the /dev of a program, in a mount namespace."""
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no mount namespaces here")
    path = shared_tmp + "/dev"
    os.mkdir(path)
    for name in ("null", "full"):
        with open(path + "/" + name, "w"):
            pass
    script = "mount --bind /dev/null %s/null && mount --bind %s /dev && exec \"$@\"" % (path, path)
    return path, ("unshare", "-m", "sh", "-c", script, "sh")


def syslogd(path):
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(path + "/log")
    log.settimeout(hatch.DEADLINE)
    return log


@pytest.mark.root
@pytest.mark.parametrize("by", ["USR1", "HUP", "line"])
def test_a_syslogd_that_comes_later(hatchd, dev, by):
    """After a start without one the log goes to stderr, until there is one."""
    path, wrap = dev
    daemon = hatchd(SYSLOG, wrap=wrap)
    assert daemon.tcp("cat", b"x") == b"x"
    daemon.wait_log("end", svc="cat", conn=1)
    with syslogd(path) as log:
        def served():
            assert daemon.tcp("cat", b"y") == b"y"
            return select.select([log], [], [], 0.2)[0]

        if by == "line":
            hatch.wait_until(served)
        else:
            daemon.send_signal(getattr(signal, "SIG" + by))
        assert b"hatchd[%d]: info: log syslog: it is there now" % daemon.pid in log.recv(2000)
        n = len(daemon.log_lines())
        assert daemon.tcp("cat", b"z") == b"z"
        while b" end svc=cat " not in log.recv(2000):
            pass
        assert len(daemon.log_lines()) == n
    # it goes away and comes again, as any other
    os.unlink(path + "/log")
    with syslogd(path) as log:
        hatch.wait_until(served)


@pytest.mark.root
def test_a_reload_to_syslog_without_a_syslogd(hatchd, dev):
    path, wrap = dev
    daemon = hatchd(SYSLOG.replace("syslog", "@tmp@/a.log"), wrap=wrap)
    a = daemon.tmp + "/a.log"
    daemon.write(SYSLOG)
    daemon.send_signal(signal.SIGHUP)
    hatch.wait_until(lambda: " reload result=ok " in open(a).read())
    assert daemon.tcp("cat", b"x") == b"x"
    hatch.wait_until(lambda: " end svc=cat " in open(a).read())
    with syslogd(path) as log:
        daemon.send_signal(signal.SIGUSR1)
        assert b"log syslog: it is there now" in log.recv(2000)


@pytest.mark.root
def test_syslog(hatchd, dev):
    """With a /dev/log of our own."""
    path, wrap = dev
    with syslogd(path) as log:
        daemon = hatchd(SYSLOG, wrap=wrap)
        assert re.fullmatch(rb"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d hatchd\[%d\]: info: hatchd .* is "
                            rb"ready: .*" % daemon.pid, log.recv(2000))
        assert daemon.tcp("cat", b"x") == b"x"
        got = [log.recv(2000), log.recv(2000)]
        assert b"]: start svc=cat conn=1 " in got[0]
        assert b"]: end svc=cat conn=1 " in got[1]
