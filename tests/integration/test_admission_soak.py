# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Access and limits with the numbers that the tests of every day have small: a
million of refusals, as many sources as fit into SOURCE_SECONDS, floods of half a
minute.  Each prints its figures.  Run by "make soak"."""
import os
import time

import pytest

import crowd
import hatch
from board import counters

SOURCE_SECONDS = float(os.environ.get("SOURCE_SECONDS", "180"))
FLOOD_SECONDS = 30
pytestmark = pytest.mark.soak


@pytest.mark.parametrize("what", ['exec = { "/bin/echo", "in" }', 'internal = "daytime"'],
                         ids=["exec", "internal"])
@pytest.mark.parametrize("factor", [10, None], ids=["ten-times", "as-fast-as-it-can"])
def test_one_source_floods(hatchd, what, factor):
    daemon = hatchd(crowd.FLOODED % what)
    crowd.flood_by_one(daemon, FLOOD_SECONDS, factor)
    crowd.check_told(daemon, "f", "source-rate", "limits.rate_per_source")


def test_S7_a_million_refusals(hatchd):
    crowd.refusals_cost_no_memory(hatchd(crowd.REFUSING), 20000, 1000000)


@pytest.mark.netns
def test_U11_all_addresses_of_a_64():
    """That is, 65 536 from everywhere in it."""
    server = crowd.V6_SERVER
    text = """service "s" { listen = { "tcp6:[%s]:@s@" } internal = "daytime"
                  limits { rate_per_source = "10/1h" per_source = 0 } }""" % server

    def test(daemon):
        net = ["2001:db8:1:1:%x:%x:%x:%x" % (i * 40503 % 65536, i * 9973 % 65536, i // 7, i)
               for i in range(65536)]
        crowd.visit(daemon.port["s"], net[:2000], server)
        before = crowd.Memory(daemon)
        assert crowd.visit(daemon.port["s"], net[2000:], server) == 0
        grown = before.check(master=crowd.SLACK, talker=crowd.SLACK)
        c = counters(daemon, "s")
        assert c.refused == {"source-rate": 65526} and c["started"] == 10
        assert crowd.visit(daemon.port["s"], ["2001:db8:1:2::1"] * 12, server) == 10
        print("\n65536 addresses of one /64: 10 served, grown by %s bytes" % grown)

    crowd.in_v6_network(text, test)


@pytest.mark.netns
def test_a_million_sources():
    """Each leaves a bucket behind, for which there is a fixed amount of room."""
    server = crowd.V6_SERVER
    text = """service "s" { listen = { "tcp6:[%s]:@s@" } internal = "daytime"
                  log_events = { "refuse", "fail" }
                  limits { rate_per_source = "1/1d" per_source = 0 source_prefix6 = 128 } }"""

    def test(daemon):
        def sources(n):
            for i in range(done, done + n):
                yield "2001:db8:1:%x:%x::1" % (i >> 16, i & 65535)
        port, done = daemon.port["s"], 0
        empty = crowd.Memory(daemon)
        # until the table is full
        while done < 70000:
            assert crowd.visit(port, sources(2000), server) == 2000
            done += 2000
        full = crowd.Memory(daemon)
        end = time.monotonic() + SOURCE_SECONDS
        while time.monotonic() < end and done < 1 << 20:
            assert crowd.visit(port, sources(2000), server) == 2000
            done += 2000
        print("\n%d sources: grown by %s bytes with the first 70000, then by %s" % (
            done, {k: full.begin[k] - empty.begin[k] for k in full.begin},
            full.check(master=crowd.SLACK, talker=crowd.SLACK)))
        empty.check(master=crowd.SOURCES_BYTES + (1 << 20), talker=1 << 20)
        # those who came last are known, those who came first aren't any more
        last = ["2001:db8:1:%x:%x::1" % ((done - 1) >> 16, (done - 1) & 65535)]
        assert crowd.visit(port, last, server) == 0
        assert crowd.visit(port, ["2001:db8:1:0:0::1"], server) == 1

    crowd.in_v6_network(text % server, test)


def test_S11_a_scan_of_a_hundred_thousand(hatchd):
    daemon = hatchd("""
defaults { user = "@user@" log_events = { "refuse", "fail" } stderr = "null"
           limits { per_source = 0 } }
service "e" { listen = { "tcp4:127.0.0.1:@e@" } exec = { "/bin/cat" } }
service "f" { listen = { "tcp4:127.0.0.1:@f@" } exec = { "/bin/cat" }
    timeouts { first_byte = 5s } }
service "i" { listen = { "tcp4:127.0.0.1:@i@" } internal = "echo" }
""")

    def scan():
        for name in "efi":
            crowd.scan(daemon.port[name], 667)  # few enough to be through in time
        for name in "efi":
            assert daemon.tcp(name, b"still here") == b"still here"
        hatch.wait_until(lambda: not daemon.handlers())
        hatch.wait_until(lambda: all(counters(daemon, n)["running"] == 0 for n in "efi"))
    scan()
    before, begin = crowd.Memory(daemon), time.monotonic()
    for _ in range(50):
        scan()
    took = time.monotonic() - begin
    print("\n100000 connections that were reset at once, in %.1f s: grown by %s bytes; %s" % (
        took, before.check(master=256 << 10, talker=256 << 10),
        {n: dict(started=counters(daemon, n)["started"], **counters(daemon, n).refused)
         for n in "efi"}))
    assert len(daemon.log_lines("refuse")) + len(daemon.log_lines("fail")) <= 20
    crowd.check_descriptors(daemon)


def test_spoofed_flood_costs_fixed_memory(hatchd):
    crowd.spoofed_flood(hatchd(crowd.SPOOFED), 100000, crowd.FULL_ROUNDS + 3)
