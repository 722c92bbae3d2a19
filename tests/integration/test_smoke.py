# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""The first things that anybody tries."""
import os
import re

import pytest

import hatch

CONF = """
service "hello" {
    listen = { "tcp:127.0.0.1:@hello@" }
    exec   = { "/bin/sh", "-c", "echo hello $REMOTE_HOST" }
}
service "upper" {
    listen = { "tcp:127.0.0.1:@upper@" }
    exec   = { "/usr/bin/tr", "a-z", "A-Z" }
}
service "echo" {
    listen   = { "tcp:127.0.0.1:@echo@", "udp:127.0.0.1:@echo@" }
    internal = "echo"
}
"""


def test_exec_gets_the_connection_as_stdin_and_stdout(hatchd):
    daemon = hatchd(CONF)
    assert daemon.tcp("upper", b"shout this\n") == b"SHOUT THIS\n"


def test_environment_names_the_peer(hatchd):
    daemon = hatchd(CONF)
    assert daemon.tcp("hello") == b"hello 127.0.0.1\n"


def test_start_and_end_are_logged(hatchd):
    daemon = hatchd(CONF)
    daemon.tcp("hello")
    start = daemon.wait_log("start", svc="hello")
    end = daemon.wait_log("end", svc="hello", conn=start["conn"])
    assert end["exit"] == "0"
    assert end["pid"] == start["pid"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", end["peer"])


def test_many_connections_one_after_the_other(hatchd):
    daemon = hatchd(CONF)
    for i in range(50):
        text = b"line %d\n" % i
        assert daemon.tcp("upper", text) == text.upper()
    daemon.wait_log("end", n=50, svc="upper", exit=0)
    assert hatch.wait_until(lambda: daemon.handlers() == [])


def test_internal_echo_tcp(hatchd):
    daemon = hatchd(CONF)
    data = os.urandom(100000)
    with daemon.connect("echo") as s:
        s.sendall(b"ping")
        assert s.recv(100) == b"ping"
    assert daemon.tcp("echo", data[:50000]) == data[:50000]


def test_internal_echo_udp(hatchd):
    daemon = hatchd(CONF)
    assert daemon.udp("echo", b"ping") == b"ping"


def test_stop_leaves_nothing_behind(hatchd):
    daemon = hatchd(CONF)
    with daemon.connect("upper") as s:
        s.sendall(b"still here")
        hatch.wait_until(daemon.handlers)
        assert daemon.stop() == 0
    # the fixture looks for processes


def test_command_line_alone_as_an_ordinary_user(hatchd):
    port = hatch.free_port()
    daemon = hatchd(args=["-l", "tcp:127.0.0.1:%d" % port, "--", "cat"],
                    preexec_fn=hatch.drop_root)
    assert hatch.tcp_request(port, b"as it was") == b"as it was"
    daemon.wait_log("end", svc="command", exit=0)


def test_first_example_of_the_manual(hatchd):
    port = hatch.free_port()
    hatchd(args=["-l", "tcp:127.0.0.1:%d" % port, "--", "/bin/date"], preexec_fn=hatch.drop_root)
    assert re.search(rb"\d\d:\d\d:\d\d", hatch.tcp_request(port))


def test_second_example_of_the_manual(hatchd):
    port = hatch.free_port()
    hatchd(args=["-l", "udp:127.0.0.1:%d" % port, "--set", "session.once=yes", "--",
                 "/usr/bin/tr", "a-z", "A-Z"], preexec_fn=hatch.drop_root)
    assert hatch.udp_request(port, b"hello\n") == b"HELLO\n"


def test_killed_talker_comes_back(hatchd):
    daemon = hatchd(CONF)
    daemon.kill_talker()
    assert daemon.tcp("upper", b"on") == b"ON"
    assert daemon.tcp("echo", b"and on") == b"and on"
    assert daemon.log_lines("talker", signal="KILL")


def test_reload_takes_over_and_keeps(hatchd):
    daemon = hatchd(CONF)
    with daemon.connect("upper") as s:
        s.sendall(b"begun before")
        daemon.reload(CONF + """
service "new" {
    listen = { "tcp:127.0.0.1:@new@" }
    exec   = { "/bin/cat" }
}
""")
        s.shutdown(1)
        assert hatch.read_all(s) == b"BEGUN BEFORE"
    assert daemon.tcp("new", b"new") == b"new"


def test_reload_of_nonsense_changes_nothing(hatchd):
    daemon = hatchd(CONF)
    daemon.reload("service {", ok=False)
    assert daemon.tcp("upper", b"as before") == b"AS BEFORE"


@pytest.mark.parametrize("line", ['colour = "red"', 'listen = { "tcp:127.0.0.1:99999" }'])
def test_check_names_file_and_line(shared_tmp, line):
    path = os.path.join(shared_tmp, "hatchd.conf")
    with open(path, "w") as f:
        f.write(hatch.config('# one\n# two\nservice "x" {\n    %s\n    exec = { "/bin/true" }\n}\n'
                             % line, shared_tmp))
    os.chmod(path, 0o600)
    done = hatch.run("-n", "-f", path)
    assert done.returncode == 1
    assert ("%s:4: " % path) in done.stdout + done.stderr


def test_check_is_silent_about_a_good_file(shared_tmp):
    path = os.path.join(shared_tmp, "hatchd.conf")
    with open(path, "w") as f:
        f.write(hatch.config(CONF, shared_tmp))
    os.chmod(path, 0o600)
    done = hatch.run("-n", "-f", path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
