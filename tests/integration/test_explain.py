# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""hatchd --explain: what the configuration says about a service and an address."""
import os
import re
import subprocess

import pytest

import hatch

CONF = """
service "git" {
    listen = { "tcp:127.0.0.1:9418" }
    exec   = { "/bin/cat" }
    access {
        allow = { "192.0.2.0/24", "2001:db8::/32",
                  "file:@tmp@/office.list" }
        deny  = { "192.0.2.66" }
        hours = { "Mon-Fri 08:00-20:00 UTC" }
        max_load = 9999.5
    }
    limits   { instances = 8 per_source = 3 source_prefix6 = 48 rate = "1000/1min"
               rate_per_source = "100/10s" when_full = "refuse" }
    timeouts { first_byte = 10s idle = 5min }
}
service "plain" {
    listen   = { "tcp:127.0.0.1:7", "unix:@tmp@/plain.sock" }
    internal = "echo"
}
service "local" {
    listen = { "unix:@tmp@/local.sock" }
    exec   = { "/bin/cat" }
    access { allow = { "uid:1234", "gid:77" } }
}
service "behind" {
    listen = { "tcp:127.0.0.1:8000" }
    exec   = { "/bin/cat" }
    access { deny = { "203.0.113.0/24" } }
    proxy  { from = { "10.0.0.1" } required = no }
}
service "strict" {
    listen = { "tcp:127.0.0.1:8001" }
    exec   = { "/bin/cat" }
    proxy  { from = { "10.0.0.0/8" } }
}
service "asleep" {
    enabled = no
    listen  = { "tcp:127.0.0.1:8002" }
    exec    = { "/bin/cat" }
    access  { allow = { "10.0.0.0/8" } }
}
"""
FRIDAY = "2026-11-20T14:30Z"
SUNDAY = "2026-11-22T14:30Z"

needs_utc = pytest.mark.skipif(not os.path.exists("/usr/share/zoneinfo/UTC"), reason="no zones")


@pytest.fixture
def explain(shared_tmp):
    """explain(service, address, *more) returns the exit status and a dict of the
    lines; the text is its key None, what is on stderr its key "stderr"."""
    with open(shared_tmp + "/office.list", "w") as f:
        f.write("# the office\n198.51.100.0/24   # all of it\n")
    os.chmod(shared_tmp + "/office.list", 0o644)
    path = shared_tmp + "/x.conf"

    def run(service, address, *more, text=CONF):
        text = text if os.path.exists("/usr/share/zoneinfo/UTC") else text.replace(" UTC", "")
        with open(path, "w") as f:
            f.write(hatch.config(text, shared_tmp))
        os.chmod(path, 0o644)
        done = subprocess.run([hatch.HATCHD, "-f", path, "--explain", service, address, *more],
                              capture_output=True, text=True, timeout=hatch.DEADLINE,
                              env=dict(os.environ, TZ="UTC0"))
        assert not hatch.SAD.search(done.stderr), done.stderr
        lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
        lines[None] = done.stdout.replace(shared_tmp, "@tmp@")
        lines["stderr"] = done.stderr
        return done.returncode, lines

    return run


@needs_utc
def test_everything_about_one_that_is_let_in(explain):
    code, said = explain("git", "192.0.2.7:4242", "--at", FRIDAY)
    assert code == 0
    assert re.sub(r"load: [0-9.]+ of", "load: N of", said[None]) == """\
service: git (@tmp@/x.conf:2)
peer: 192.0.2.7:4242
time: 2026-11-20 14:30
verdict: let in
rule: allow "192.0.2.0/24" at @tmp@/x.conf:6
hours: open until 2026-11-20 20:00
load: N of at most 9999.50 (now)
limits: source 192.0.2.7/32: at most 3 at once, 100 in 10s; service: at most 8 at once, \
1000 in 1min (then refused); max_processes 4096
timeouts: first_byte 10s, idle 5min, stop 5s
"""


def test_denied_by_a_rule(explain):
    code, said = explain("git", "192.0.2.66", "--at", FRIDAY)
    assert code == 1
    assert said["verdict"] == "refused (access)"
    assert re.fullmatch(r'deny "192.0.2.66" at .*/x.conf:8', said["rule"])


def test_no_rule_and_an_allow_list(explain):
    code, said = explain("git", "8.8.8.8", "--at", FRIDAY)
    assert (code, said["verdict"]) == (1, "refused (access)")
    assert said["rule"] == "no rule matches, and there is an allow list"


def test_rule_of_a_list_file(explain):
    code, said = explain("git", "198.51.100.9", "--at", FRIDAY)
    assert code == 0
    assert re.fullmatch(r'allow "198.51.100.0/24" at .*/office.list:2', said["rule"])


@needs_utc
def test_hours(explain):
    code, said = explain("git", "[2001:db8::1]:5", "--at", SUNDAY)
    assert (code, said["verdict"]) == (1, "refused (hours)")
    assert said["peer"] == "[2001:db8::1]:5"
    assert said["hours"] == "closed until 2026-11-23 08:00"
    assert said["limits"].startswith("source 2001:db8::/48: ")


def test_load(explain):
    text = CONF.replace("max_load = 9999.5", 'max_load = 0.01 max_pressure = { "io:100" }')
    code, said = explain("git", "192.0.2.7", "--at", FRIDAY, text=text)
    busy = re.match(r"([0-9.]+) of at most 0.01", said["load"])
    assert said["verdict"] == ("refused (load)" if busy and float(busy[1]) > 0.01 else "let in")
    assert code == (said["verdict"] != "let in")
    assert "100.00%" in said["pressure io"]


def test_no_list_at_all(explain):
    code, said = explain("plain", "203.0.113.5")
    assert (code, said["verdict"], said["rule"]) == (0, "let in", "no access list")
    assert (said["hours"], said["load"]) == ("always", "any")
    assert "time" not in said and "proxy" not in said and "note" not in said


def test_unix_peers(explain):
    for peer, code in (("uid:1234", 0), ("unix:uid=1234,gid=9", 0), ("unix:uid=5,gid=77", 0),
                       ("unix:uid=5,gid=5", 1)):
        assert explain("local", peer)[0] == code, peer
    said = explain("local", "unix:uid=1234,gid=9")[1]
    assert said["peer"] == "unix:uid=1234,gid=9"
    assert said["limits"].startswith("source uid 1234: ")
    assert explain("local", "127.0.0.1")[1]["note"] == "the service has no internet socket"
    assert explain("git", "uid:5")[1]["note"] == "the service has no UNIX socket"


def test_proxy(explain):
    code, said = explain("behind", "10.0.0.1")
    assert code == 0
    assert said["verdict"] == "let in, unless its PROXY header conveys another address"
    assert said["proxy"].startswith("a PROXY header is read; ")
    assert re.fullmatch(r'from "10.0.0.1" at .*/x.conf:\d+', said["proxy rule"])
    code, said = explain("behind", "10.0.0.2")
    assert (code, said["verdict"], said["proxy"]) == (0, "let in", "not in proxy.from")
    code, said = explain("strict", "192.0.2.1")
    assert (code, said["verdict"]) == (1, "refused (proxy)")
    assert said["proxy"] == "not in proxy.from, and nobody else may connect"


MUX = """
service "mux" {
    listen   = { "tcp:127.0.0.1:1" }
    internal = "tcpmux"
    access   { deny = { "192.0.2.9" } }
}
service "only" { tcpmux = "only" internal = "daytime" access { deny = { "192.0.2.8" } } }
service "also" { tcpmux = "also" internal = "echo"
                 listen = { "tcp:127.0.0.1:7", "udp:127.0.0.1:7007" } }
service "dgram" { internal = "echo" listen = { "udp:127.0.0.1:7008" } }
service "waits" {
    listen = { "tcp:127.0.0.1:8003" }
    exec   = { "/bin/cat" }
    wait   = yes
    limits { rate = "5/1s" }
}
"""


def test_tcpmux_is_judged_first(explain):
    code, said = explain("only", "192.0.2.7", text=MUX)
    assert (code, said["verdict"]) == (0, "let in")
    assert re.fullmatch(r"by service mux \(.*/x.conf:2\), there let in", said["tcpmux"])
    code, said = explain("only", "192.0.2.8", text=MUX)
    assert (code, said["verdict"]) == (1, "refused (access)")
    assert said["tcpmux"].endswith("there let in")
    code, said = explain("only", "192.0.2.9", text=MUX)
    assert (code, said["verdict"]) == (1, "refused (access)")
    assert said["rule"] == "no rule matches"
    assert said["tcpmux"].endswith("there refused (access)")
    assert re.fullmatch(r'deny "192.0.2.9" at .*/x.conf:5', said["tcpmux rule"])
    # there is another way to this one
    code, said = explain("also", "192.0.2.9", text=MUX)
    assert (code, said["verdict"]) == (0, "let in")
    assert said["tcpmux"].endswith("there refused (access)")


def test_any_tcpmux_will_do(explain):
    more = 'service "m2" { listen = { "tcp:127.0.0.1:2" } internal = "tcpmux" }\n'
    code, said = explain("only", "192.0.2.9", text=MUX + more)
    assert (code, said["verdict"]) == (0, "let in")
    assert said[None].count("\ntcpmux: by service ") == 2
    code, said = explain("only", "192.0.2.9", text=MUX.replace(
        'service "mux" {', 'service "mux" { enabled = no'))
    assert said["note"].startswith("no service with internal = tcpmux is enabled")


def test_datagrams_that_could_loop(explain):
    for port, code, verdict in ((777, 1, "refused (loop)"), (7007, 1, "refused (loop)"),
                                (4242, 0, "let in")):
        got, said = explain("dgram", "192.0.2.7:%d" % port, text=MUX)
        assert (got, said["verdict"]) == (code, verdict)
    code, said = explain("also", "192.0.2.7:777", text=MUX)
    assert (code, said["verdict"]) == (0, "let in")
    assert said["note"] == "a datagram from this port gets no answer (loop)"


def test_handler_that_accepts(explain):
    code, said = explain("waits", "192.0.2.7", text=MUX)
    assert (code, said["verdict"]) == (0, "let in")
    assert said["limits"] == ("wait = yes: one handler for each address of the service, 5 in 1s, "
                              "which accepts by itself; max_processes 4096")


def test_service_that_is_not_enabled(explain):
    for address, code in (("10.1.2.3", 0), ("192.0.2.1", 1)):
        got, said = explain("asleep", address)
        assert got == code
        assert said["service"].endswith(", not enabled")


@pytest.mark.parametrize("args, message", [
    (("gti", "192.0.2.7"), "there is no service 'gti': did you mean 'git'?"),
    (("nothing-like-it", "192.0.2.7"), "there is no service 'nothing-like-it'\n"),
    (("git", "192.0.2"), "192.0.2: not an address"),
    (("git", "192.0.2.7:x"), "the port is a number"),
    (("git", "192.0.2.7", "--at", "noon"), "noon: a time is written"),
    (("git", "192.0.2.7", "--at", "2026-02-30T10:00"), "there is no such day"),
])
def test_wrong_question(explain, args, message):
    code, said = explain(*args)
    assert code == 2
    assert message in said["stderr"]
    assert said[None] == ""


def test_wrong_configuration(explain):
    code, said = explain("git", "192.0.2.7", text=CONF.replace("192.0.2.66", "192.0.2.666"))
    assert code == 2
    assert re.search(r"x.conf:8: service git: access.deny: ", said["stderr"])


def test_no_file_needed():
    done = subprocess.run([hatch.HATCHD, "-l", "tcp:127.0.0.1:7000", "-u", hatch.USER,
                           "--set", "access.deny=127.0.0.9", "--explain", "command", "127.0.0.9",
                           "--", "/bin/cat"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert 'rule: deny "127.0.0.9" at command line:' in done.stdout
