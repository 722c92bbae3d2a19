# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""What hatchd.conf(5) says that entries of inetd.conf and xinetd.conf become."""
import os
import re

import pytest

import hatch


def examples():
    """The sections of hatchd in that part of the manual, by their name."""
    with open(os.path.join(hatch.TOP, "man", "hatchd.conf.5")) as f:
        part = re.search(r"(?ms)^\.Sh COMING FROM INETD OR XINETD$(.*?)^\.Sh ", f.read()).group(1)
    blocks = re.findall(r"(?ms)^\.Bd -literal.*?\n(.*?)^\.Ed$", part)
    found = {b.split('"')[1]: b for b in blocks if b.startswith('service "')}
    assert sorted(found) == ["finger", "rsync"] and len(blocks) == 4
    return found


def replace(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def test_line_of_inetd_conf(hatchd):
    """A shell that doesn't know its option says so, under the name that it is told,
    on standard error."""
    daemon = hatchd(replace(examples()["finger"], ("tcp4:finger", "tcp4:127.0.0.1:@finger@"),
                            ("/usr/sbin/in.fingerd", "/bin/sh"), ("nobody", "@user@")))
    assert re.fullmatch(rb"(?s)in\.fingerd: .*-w.*", daemon.tcp("finger"))
    daemon.wait_log("end", svc="finger")
    assert not daemon.log_lines("stderr")


def rsync(path):
    """The entry of xinetd.conf, with a script instead of rsync."""
    script = path + "/rsync"
    with open(script, "w") as f:
        f.write('#!/bin/sh\necho "$*"\necho "LC_ALL=$LC_ALL"\necho oops >&2\n')
    os.chmod(script, 0o755)
    return replace(examples()["rsync"], ("tcp:rsync", "tcp4:127.0.0.1:@rsync@"),
                   ("/usr/bin/rsync", script), ('user        = "root"', 'user = "@user@"'))


def test_entry_of_xinetd_conf(hatchd, shared_tmp):
    daemon = hatchd(replace(rsync(shared_tmp), ("07:00-19:00", "00:00-24:00")))
    assert daemon.tcp("rsync") == b"--daemon --no-detach\nLC_ALL=C\noops\n"


@pytest.mark.parametrize("peer,time,verdict", [
    ("192.0.2.7", "12:00", "let in"), ("192.0.2.7", "20:00", "refused (hours)"),
    ("192.0.2.66", "12:00", "refused (access)"), ("198.51.100.1", "12:00", "refused (access)"),
    ("127.0.0.1", "12:00", "let in")])
def test_access_as_with_xinetd(shared_tmp, peer, time, verdict):
    path = shared_tmp + "/hatchd.conf"
    with open(path, "w") as f:
        f.write(hatch.config(rsync(shared_tmp), shared_tmp))
    os.chmod(path, 0o600)
    done = hatch.run("-f", path, "--explain", "rsync", peer, "--at", "2026-11-20T" + time)
    assert re.search("^verdict: (.*)$", done.stdout, re.M).group(1) == verdict, done.stderr
    # the network has to be written as one
    with open(path) as f:
        text = replace(f.read(), ("192.0.2.0/24", "192.0.2.0"))
    with open(path, "w") as f:
        f.write(text)
    alone = hatch.run("-f", path, "--explain", "rsync", "192.0.2.7", "--at", "2026-11-20T12:00")
    assert "verdict: refused (access)" in alone.stdout
    assert re.search("at most 4 at once; service: at most 20 at once, 50 in 1s", done.stdout), \
        done.stdout
