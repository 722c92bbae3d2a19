# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What those who are refused, or leave at once, cost: no memory, few lines of
log, and nobody else's service."""
import hatch

import crowd
import handler
from board import counters, wait_counter

CAT = 'exec = { "/bin/cat" }'


def service(name, limits, what='internal = "daytime"', extra=""):
    return 'service "%s" { listen = { "tcp4:127.0.0.1:@%s@" } %s %s\n    limits { %s } }\n' % (
        name, name, what, extra, limits)


def test_the_log_of_each_limit(hatchd):
    """Its first hit at once, as a warning that names the setting; then how many
    more there were."""
    daemon = hatchd(service("sr", 'rate_per_source = "1/1h"') +
                    service("r", 'rate = "1/1h" when_full = "refuse"') +
                    service("i", 'instances = 1 when_full = "refuse"', CAT) +
                    service("si", "per_source = 1", CAT) +
                    service("a", "", extra='access { deny = { "127.0.0.1" } }') +
                    service("q", 'rate = "30/1s" per_source = 0'))
    with daemon.connect("i") as a, daemon.connect("si") as b:
        for s in (a, b):
            s.sendall(b"in")
            assert handler.recv_exactly(s, 2) == b"in"
        for name in ("sr", "r", "i", "si", "a"):
            assert crowd.visit(daemon.port[name], ["127.0.0.1"] * 400) <= 1
        assert crowd.visit(daemon.port["q"], ["127.0.0.1"] * 64) == 64
        for name, reason, setting in (("sr", "source-rate", "limits.rate_per_source"),
                                      ("r", "rate", "limits.rate"),
                                      ("i", "instances", "limits.instances"),
                                      ("si", "source-instances", "limits.per_source")):
            crowd.check_told(daemon, name, reason, setting, 5)
        # of who is kept out each is news, up to a measure
        crowd.check_told(daemon, "a", "access", None, 40)
        assert counters(daemon, "a").refused == {"access": 400}
        lines = daemon.log_lines("limit", svc="q") + daemon.log_lines("suppressed", svc="q")
        assert 1 <= len(lines) <= 4 and all(e["setting"] == "limits.rate" for e in lines)


def test_S7_refusals_leave_no_memory_behind(hatchd):
    crowd.refusals_cost_no_memory(hatchd(crowd.REFUSING), 5000, 20000)


def test_S11_a_scan_leaves_it_serving(hatchd):
    """Connections that are reset before they are looked at."""
    daemon = hatchd('defaults { user = "@user@" log_events = { "refuse", "fail" } '
                    'limits { per_source = 0 } }\n' +
                    service("e", "", CAT) +
                    service("f", "", CAT, extra="timeouts { first_byte = 5s }") +
                    service("i", "", 'internal = "echo"'))
    for _ in range(5):
        crowd.scan(daemon.port["e"], 200)
        crowd.scan(daemon.port["f"], 500)
        crowd.scan(daemon.port["i"], 300)
    for name in "efi":
        assert daemon.tcp(name, b"still here") == b"still here"
    # nobody is left in front of the door, and nobody's going was news
    hatch.wait_until(lambda: not daemon.handlers())
    wait_counter(daemon, "f", lambda c: c.reason("first-byte") + c["ended"] == 2501)
    assert all(counters(daemon, n)["running"] == 0 for n in "ef")
    assert len(daemon.log_lines("refuse")) + len(daemon.log_lines("fail")) <= 5
    # what handlers said of it came when they had ended, but isn't wanted all the same
    assert not daemon.log_lines("stderr")
    crowd.check_descriptors(daemon)
