# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""The counters of a running daemon, as its control socket gives them."""
import json
import socket

import hatch


def ask(daemon, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(hatch.DEADLINE)
        s.connect(daemon.tmp + "/control.sock")
        s.sendall(request.encode() + b"\n")
        return json.loads(hatch.read_all(s))


def counters(daemon, service):
    """The numbers of a service; those of a reason, too, 0 if there are none."""
    found = ask(daemon, "status " + service)["services"][0]
    refused = found.pop("refused")
    return Counters(found, refused)


class Counters(dict):
    def __init__(self, numbers, refused):
        super().__init__(numbers)
        self.refused = refused

    def reason(self, name):
        return self.refused.get(name, 0)


def wait_counter(daemon, service, fn, what=None):
    """Waits until fn of the counters is true; the talker tells once a second."""
    seen = []

    def look():
        seen[:] = [counters(daemon, service)]
        return fn(seen[0])
    try:
        hatch.wait_until(look)
    except AssertionError:
        raise AssertionError("%s: %s %s" % (what or "counters", seen[0], seen[0].refused)) from None
    return seen[0]
