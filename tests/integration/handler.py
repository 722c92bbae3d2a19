# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Runs the handlers of services/ by themselves, as a super-server would."""
import ctypes
import os
import signal
import socket
import subprocess
import sys
import traceback

import hatch

SERVICES = os.path.join(hatch.BUILD, "services")
NAMES = ("bulletin", "chat", "counter", "env", "finger", "health", "hello", "ident", "parrot",
         "qotd", "upper")
# Exit codes, as in sysexits.h.
OK, USAGE, DATAERR, UNAVAILABLE, OSERR, CANTCREAT, IOERR, TEMPFAIL = 0, 64, 65, 69, 71, 73, 74, 75
CLONE_NEWNET = 0x40000000


def path(name):
    return os.path.join(SERVICES, name)


class Handler:
    """A handler on fd 0 and 1; given to `with`, it is ended at the end."""

    def __init__(self, name, *args, stdin, stdout=None, env=None, fds=(), preexec_fn=None):
        full = {"PATH": os.environ["PATH"]}
        full.update((k, v) for k, v in os.environ.items() if k.endswith("SAN_OPTIONS"))
        full.update(env or {})
        self.proc = subprocess.Popen([path(name), *map(str, args)], stdin=stdin,
                                     stdout=stdin if stdout is None else stdout,
                                     stderr=subprocess.PIPE, env=full, pass_fds=fds,
                                     preexec_fn=preexec_fn)
        self.pid = self.proc.pid

    def end(self, timeout=hatch.DEADLINE):
        """Waits for its end: exit status and standard error."""
        text = self.proc.communicate(timeout=timeout)[1].decode(errors="replace")
        assert not hatch.SAD.search(text), text
        return self.proc.returncode, text

    def expect(self, code, text="", timeout=hatch.DEADLINE):
        got = self.end(timeout)
        assert got[0] == code and text in got[1], got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        self.end()


def tcp_pair(host="127.0.0.1"):
    """Two ends of a TCP connection: the client's, the handler's."""
    with listener(host) as l:
        client = socket.create_connection(l.getsockname()[:2], hatch.DEADLINE)
        return client, l.accept()[0]


def unix_pair():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pair[0].settimeout(hatch.DEADLINE)
    return pair


def listener(host="127.0.0.1", backlog=1024):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    s.bind((host, 0))
    s.listen(backlog)
    return s


def datagram_socket(host="127.0.0.1"):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((host, 0))
    return s


def start(name, *args, pair=tcp_pair, **kw):
    """A handler with a connection: our end of it, the handler."""
    client, theirs = pair()
    with theirs:
        return client, Handler(name, *args, stdin=theirs, **kw)


def start_session(name, *args, **kw):
    """A handler with a datagram session: each send is a datagram."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(hatch.DEADLINE)
    with theirs:
        return ours, Handler(name, *args, stdin=theirs, **kw)


def ask(name, *args, data=b"", pair=tcp_pair, half_close=True, code=OK, text="", **kw):
    """Sends data to a new handler; all it answers.  It has to end with code."""
    client, handler = start(name, *args, pair=pair, **kw)
    with client, handler:
        client.sendall(data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        got = hatch.read_all(client)
        client.close()
        handler.expect(code, text)
    return got


def recv_exactly(s, n):
    got = b""
    while len(got) < n:
        part = s.recv(n - len(got))
        assert part, "the end after %d of %d bytes" % (len(got), n)
        got += part
    return got


def reset(s):
    """Closes a TCP connection with RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


def in_namespace(fn, *commands):
    """Runs fn in a child process with a network of its own, set up by the
    commands; what fails there fails here."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            for command in ("ip link set lo up", *commands):
                subprocess.run(command.split(), check=True)
            fn()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
