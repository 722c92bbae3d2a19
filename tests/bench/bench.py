#!/usr/bin/python3
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""bench.py [--seconds N] [--clients N] HATCHD: how fast it is on this machine.

Connections a second with a small handler and with the internal echo, and what
processor time and memory the daemon used for it.  The clients are processes of
this program, so the numbers are for comparing one build with another on the
same machine; they are no limit of the daemon's.
"""
import argparse
import multiprocessing
import os
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))

CONF = """
max_processes = 0
defaults { user = "@user@" log_events = { } limits { per_source = 0 instances = 0 } }
service "true" { listen = { "tcp:127.0.0.1:@exec@" } exec = { "/bin/true" } }
service "echo" { listen = { "tcp:127.0.0.1:@echo@" } internal = "echo" }
"""


def connections(port, data, until, result):
    import hatch
    done = 0
    while time.monotonic() < until:
        hatch.tcp_request(port, data)
        done += 1
    result.put(done)


def round_trips(port, data, until, result):
    import hatch
    done = 0
    with hatch.connect(port) as s:
        while time.monotonic() < until:
            s.sendall(data)
            s.recv(len(data))
            done += 1
    result.put(done)


def load(worker, port, data, clients, seconds):
    result = multiprocessing.Queue()
    begin = time.monotonic()
    workers = [multiprocessing.Process(target=worker,
                                       args=(port, data, begin + seconds, result))
               for _ in range(clients)]
    for w in workers:
        w.start()
    total = sum(result.get(timeout=seconds + 30) for _ in workers)
    for w in workers:
        w.join()
    return total, time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("hatchd")
    options = parser.parse_args()
    os.environ["HATCHD"] = options.hatchd
    import hatch

    daemon = hatch.Daemon(CONF)
    try:
        print("%-28s %10s %14s %14s" % ("", "per second", "us of master", "us of talker"))
        for name, worker, port, data, clients in (
                ("exec, one client", connections, "exec", b"", 1),
                ("exec, %d clients" % options.clients, connections, "exec", b"", options.clients),
                ("echo, connections", connections, "echo", b"x", options.clients),
                ("echo, round trips", round_trips, "echo", b"x" * 64, options.clients)):
            pids = daemon.pid, hatch.wait_until(lambda: daemon.talker)
            before = [hatch.cpu_seconds(p) for p in pids]
            total, took = load(worker, daemon.port[port], data, clients, options.seconds)
            cpu = [(hatch.cpu_seconds(p) - b) * 1e6 / max(total, 1) for p, b in zip(pids, before)]
            print("%-28s %10.0f %14.1f %14.1f" % (name, total / took, *cpu))
        print("resident: master %d KiB, talker %d KiB"
              % (hatch.rss(daemon.pid) // 1024, hatch.rss(daemon.talker) // 1024))
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
