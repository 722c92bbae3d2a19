# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Fixtures and marks of the integration tests; the harness is hatch.py."""
import ctypes
import os
import shutil
import signal
import subprocess

import pytest

import hatch

TEST_SECONDS = 150


CLONE_NEWNET = 0x40000000


def _own_network():
    """Of several processes that share the tests (HATCH_SHARE is "1/3", ...), each
    gets a network of its own if it may, so that none takes another's ports."""
    if "HATCH_SHARE" not in os.environ or not hatch.IS_ROOT:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up", "multicast", "on"], check=True)
        subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "lo"], check=True)


def pytest_configure(config):
    _own_network()
    for line in ("root: needs root", "netns: needs root and network namespaces",
                 "ipv6: needs ::1", "soak: runs for a long time (only with -m soak)"):
        config.addinivalue_line("markers", line)


def _netns_missing():
    if not hatch.IS_ROOT:
        return "not root"
    if not (shutil.which("unshare") and shutil.which("ip")):
        return "no unshare or ip"
    if subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode:
        return "no network namespaces here"
    return None


def pytest_collection_modifyitems(config, items):
    reasons = {}
    if not hatch.IS_ROOT:
        reasons["root"] = "needs root"
    if any(item.get_closest_marker("netns") for item in items):
        missing = _netns_missing()
        if missing:
            reasons["netns"] = "needs network namespaces: " + missing
    if not hatch.has_ipv6():
        reasons["ipv6"] = "needs ::1"
    for item in items:
        for mark, reason in reasons.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))
    left_out = set()
    if "soak" not in (config.option.markexpr or ""):
        left_out = {item for item in items if item.get_closest_marker("soak")}
    mine, of = map(int, os.environ.get("HATCH_SHARE", "1/1").split("/"))
    left_out.update(item for i, item in enumerate(items) if i % of != mine - 1)
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def pytest_sessionstart(session):
    if not os.access(hatch.HATCHD, os.X_OK):
        pytest.exit("no %s: build first, or set HATCHD" % hatch.HATCHD, returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for daemon in getattr(item, "daemons", ()):
            report.sections.append(("log of hatchd", daemon.log()))


@pytest.fixture(autouse=True)
def time_limit(request):
    """No test hangs: it fails after TEST_SECONDS."""
    if request.node.get_closest_marker("soak"):
        yield
        return

    def late(number, frame):
        raise TimeoutError("the test took longer than %d s" % TEST_SECONDS)

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def shared_tmp():
    """A folder that other accounts may enter (tmp_path is for us alone)."""
    path = hatch.make_dir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def hatchd(request):
    """hatchd(text, ...) starts a Daemon, which is stopped and checked after the
    test."""
    daemons = request.node.daemons = []

    def start(*args, **kw):
        daemon = hatch.Daemon(*args, **kw)
        daemons.append(daemon)
        return daemon

    yield start
    problems = []
    for daemon in reversed(daemons):
        try:
            daemon.close()
        except AssertionError as e:
            problems.append(str(e))
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
