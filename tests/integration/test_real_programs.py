# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
"""Real servers behind hatchd, and the clients that people use for them."""
import os
import pwd
import shutil
import socket
import subprocess

import pytest

import hatch

GIT_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
           "GIT_TERMINAL_PROMPT": "0"}


def find(name):
    """A program's path; the test is left out if there is none."""
    places = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/lib/git-core:/usr/libexec/git-core:" + \
        os.environ["PATH"]
    path = shutil.which(name, path=places)
    if path is None:
        pytest.skip("no %s here" % name)
    return path


def run(*args, ok=True, input=b"", timeout=40):
    done = subprocess.run([str(a) for a in args], input=input, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout,
                          env=dict(os.environ, **GIT_ENV))
    if ok:
        assert done.returncode == 0, (args, done.stdout[-500:], done.stderr[-2000:])
    return done


def give(path):
    """Everything below path belongs to the handlers' account."""
    entry = pwd.getpwnam(hatch.USER)
    for folder, _, names in os.walk(path):
        for name in ["."] + names:
            os.chown(os.path.join(folder, name), entry.pw_uid, entry.pw_gid)


# git

def make_repository(path, blobs=3000, size=60):
    """A bare repository: 3 commits, some thousand files in 50 folders."""
    git = find("git")
    run(git, "init", "-q", "--bare", "-b", "main", path)
    stream = []
    for i in range(1, blobs + 1):
        data = b"file %d\n" % i + os.urandom(size // 2).hex().encode() + b"\n"
        stream.append(b"blob\nmark :%d\ndata %d\n%s\n" % (i, len(data), data))
    for n in range(3):
        stream.append(b"commit refs/heads/main\ncommitter A <a@example.org> %d +0000\n"
                      b"data 6\ncommit\n" % (1700000000 + n))
        for i in range(1 + n, blobs + 1, 3):
            stream.append(b"M 100644 :%d d%02d/f%04d\n" % (i, i % 50, i))
    run(git, "-C", path, "fast-import", "--quiet", input=b"".join(stream))
    run(git, "-C", path, "repack", "-adq")
    give(path)


def git_service(folder, more=""):
    return """
service "git" {
    listen = { "tcp:127.0.0.1:@git@" }
    exec   = { "%s", "--inetd", "--export-all", "--base-path=%s", "%s" }
    %s
}
""" % (find("git-daemon"), folder, folder, more)


def n_files(clone):
    return sum(len(names) for folder, _, names in os.walk(clone) if "/.git" not in folder)


def test_git_clone(hatchd, shared_tmp):
    make_repository(shared_tmp + "/project.git")
    daemon = hatchd(git_service(shared_tmp))
    url = "git://127.0.0.1:%d/project.git" % daemon.port["git"]
    for n in range(3):
        clone = "%s/clone%d" % (shared_tmp, n)
        run("git", "clone", "-q", url, clone)
        assert n_files(clone) == 3000
        end = daemon.wait_log("end", n=n + 1, svc="git", exit=0)
        assert end["peer"].startswith("127.0.0.1:") and int(end["ms"]) > 0
    run("git", "-C", shared_tmp + "/clone0", "fsck", "--full", "--no-progress")


def test_git_fault_is_told(hatchd, shared_tmp):
    """A repository that is not there: the client hears of it, and so does the
    log, from the handler's stderr or status."""
    make_repository(shared_tmp + "/project.git", blobs=5)
    daemon = hatchd(git_service(shared_tmp).replace('"--inetd"', '"--inetd", "--verbose", '
                                                    '"--log-destination=stderr"'))
    done = run("git", "clone", "git://127.0.0.1:%d/other.git" % daemon.port["git"],
               shared_tmp + "/x", ok=False)
    assert done.returncode != 0
    line = daemon.wait_log("stderr", svc="git")
    start = daemon.wait_log("start", svc="git")
    assert line["conn"] == start["conn"] and line["text"]
    daemon.wait_log("end", svc="git", conn=start["conn"])


def test_git_push_to_and_fro(hatchd, shared_tmp):
    make_repository(shared_tmp + "/project.git", blobs=100)
    daemon = hatchd(git_service(shared_tmp).replace('"--inetd"',
                                                    '"--inetd", "--enable=receive-pack"'))
    url = "git://127.0.0.1:%d/project.git" % daemon.port["git"]
    work = shared_tmp + "/work"
    run("git", "clone", "-q", url, work)
    with open(work + "/big", "wb") as f:
        f.write(os.urandom(3 << 20))
    run("git", "-C", work, "add", "big")
    run("git", "-C", work, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit",
        "-q", "-m", "big")
    run("git", "-C", work, "push", "-q", "origin", "main")
    run("git", "clone", "-q", url, shared_tmp + "/again")
    assert n_files(shared_tmp + "/again") == 101
    daemon.wait_log("end", n=3, svc="git", exit=0)


# tftp: a datagram service with wait = yes, whose handler stays for more

@pytest.mark.root
def test_tftp_get_and_put(hatchd, shared_tmp):
    tftpd, tftp = find("in.tftpd"), find("tftp")
    served = shared_tmp + "/tftp"
    os.mkdir(served)
    with open(served + "/get", "wb") as f:
        f.write(os.urandom(100000))
    give(served)
    daemon = hatchd("""
service "tftp" {
    listen = { "udp4:127.0.0.1:@tftp@" }
    exec   = { "%s", "--secure", "--create", "--timeout", "2", "--user", "@user@", "%s" }
    argv0  = "in.tftpd"
    wait   = yes
    user   = "root"
}
""" % (tftpd, served))
    port = str(daemon.port["tftp"])
    got, put = shared_tmp + "/got", shared_tmp + "/put"
    with open(put, "wb") as f:
        f.write(os.urandom(70000))

    def same(a, b):
        with open(a, "rb") as x, open(b, "rb") as y:
            return x.read() == y.read()

    for n in range(5):
        run(tftp, "127.0.0.1", port, "-m", "binary", "-c", "get", "get", got)
        assert same(got, served + "/get")
        os.unlink(got)
    run(tftp, "127.0.0.1", port, "-m", "binary", "-c", "put", put, "put")
    assert hatch.wait_until(lambda: same(put, served + "/put"))
    assert len(daemon.log_lines("start", svc="tftp")) == 1      # it stayed
    daemon.wait_log("end", svc="tftp", exit=0)                  # until nobody came
    run(tftp, "127.0.0.1", port, "-m", "binary", "-c", "get", "get", got)
    assert same(got, served + "/get")
    daemon.wait_log("start", n=2, svc="tftp")
    assert not daemon.log_lines("fail")


# rsync, which sees that its standard input is a socket

def test_rsync(hatchd, shared_tmp):
    rsync = find("rsync")
    source = shared_tmp + "/source"
    for i in range(20):
        os.makedirs("%s/d%d" % (source, i))
        for j in range(20):
            with open("%s/d%d/f%d" % (source, i, j), "wb") as f:
                f.write(os.urandom(2000 if j else 300000))
    incoming = shared_tmp + "/incoming"
    os.mkdir(incoming)
    give(source)
    give(incoming)
    with open(shared_tmp + "/rsyncd.conf", "w") as f:
        f.write("use chroot = no\nlog file = /dev/stderr\n[files]\npath = %s\n"
                "[incoming]\npath = %s\nread only = no\n" % (source, incoming))
    daemon = hatchd("""
service "rsync" {
    listen = { "tcp:127.0.0.1:@rsync@" }
    exec   = { "%s", "--daemon", "--config=%s/rsyncd.conf" }
}
""" % (rsync, shared_tmp))
    url = "rsync://127.0.0.1:%d/" % daemon.port["rsync"]
    run(rsync, "-r", url + "files/", shared_tmp + "/copy")
    run("diff", "-r", source, shared_tmp + "/copy")
    run(rsync, "-r", source + "/", url + "incoming/")
    run("diff", "-r", source, incoming)
    daemon.wait_log("end", n=2, svc="rsync", exit=0)
    assert run(rsync, url + "nosuch/", ok=False).returncode != 0
    daemon.wait_log("end", n=3, svc="rsync")


# ssh

@pytest.fixture
def run_sshd():
    """The folder that sshd insists on."""
    made = not os.path.isdir("/run/sshd")
    if made:
        os.mkdir("/run/sshd", 0o755)
    yield
    if made:
        os.rmdir("/run/sshd")


def root_is_locked():
    try:
        with open("/etc/shadow") as f:
            field = next(line.split(":")[1] for line in f if line.startswith("root:"))
    except (OSError, StopIteration):
        return "no /etc/shadow"
    return "the root account is locked" if field.startswith("!") else None


@pytest.mark.root
def test_sshd_inetd(hatchd, shared_tmp, run_sshd):
    sshd, ssh, keygen = find("sshd"), find("ssh"), find("ssh-keygen")
    why_not = root_is_locked()
    if why_not:
        pytest.skip(why_not)
    for name in ("host", "id"):
        run(keygen, "-q", "-t", "ed25519", "-N", "", "-f", "%s/%s" % (shared_tmp, name))
    shutil.copy(shared_tmp + "/id.pub", shared_tmp + "/authorized")
    with open(shared_tmp + "/sshd_config", "w") as f:
        f.write("HostKey %s/host\nAuthorizedKeysFile %s/authorized\nStrictModes no\nUsePAM no\n"
                "PermitRootLogin prohibit-password\nPasswordAuthentication no\nPrintMotd no\n"
                "KbdInteractiveAuthentication no\n" % (shared_tmp, shared_tmp))
    daemon = hatchd("""
service "ssh" {
    listen = { "tcp:127.0.0.1:@ssh@" }
    exec   = { "%s", "-i", "-e", "-f", "%s/sshd_config" }
    user   = "root"
}
""" % (sshd, shared_tmp))
    client = [ssh, "-F", "/dev/null", "-i", shared_tmp + "/id", "-p", str(daemon.port["ssh"]),
              "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
              "-o", "StrictHostKeyChecking=no",
              "-o", "UserKnownHostsFile=%s/known" % shared_tmp, "root@127.0.0.1"]
    assert run(*client, "id -u; echo $SSH_CONNECTION").stdout.split()[0] == b"0"
    data = os.urandom(2 << 20)
    assert run(*client, "cat", input=data).stdout == data
    assert run(*client, "exit 7", ok=False).returncode == 7
    daemon.wait_log("end", n=3, svc="ssh")
    assert any("Accepted publickey" in e["text"] for e in daemon.log_lines("stderr", svc="ssh"))
    client[client.index("-i") + 1] = shared_tmp + "/host"       # a key nobody knows
    assert run(*client, "true", ok=False).returncode == 255
    daemon.wait_log("end", n=4, svc="ssh")


# http

PAGE = b"<p>hatched</p>\n" * 1000


def curl(daemon, path, *args, ok=True):
    return run(find("curl"), "-sS", "--noproxy", "*", "--max-time", "20", *args,
               "http://127.0.0.1:%d/%s" % (daemon.port["http"], path), ok=ok)


def test_curl_of_micro_httpd(hatchd, shared_tmp):
    httpd = find("micro-httpd")
    with open(shared_tmp + "/page.html", "wb") as f:
        f.write(PAGE)
    daemon = hatchd("""
service "http" {
    listen = { "tcp:127.0.0.1:@http@" }
    exec   = { "%s", "%s" }
}
""" % (httpd, shared_tmp))
    for _ in range(20):
        assert curl(daemon, "page.html").stdout == PAGE
    assert b"page.html" in curl(daemon, "").stdout
    code = curl(daemon, "nosuch", "-o", "/dev/null", "-w", "%{http_code}").stdout
    assert code == b"404"
    daemon.wait_log("end", n=22, svc="http")


SCRIPT = """#!/bin/sh
# The request up to the empty line, then the page.
while IFS= read -r line && [ "${line%?}" != "" ]; do :; done
printf 'HTTP/1.0 200 OK\\r\\nContent-Type: text/html\\r\\n\\r\\n'
cat page.html
"""


def test_curl_of_a_script(hatchd, shared_tmp):
    with open(shared_tmp + "/page.html", "wb") as f:
        f.write(PAGE)
    with open(shared_tmp + "/httpd", "w") as f:
        f.write(SCRIPT)
    os.chmod(shared_tmp + "/httpd", 0o755)
    daemon = hatchd("""
service "http" {
    listen    = { "tcp:127.0.0.1:@http@" }
    exec      = { "%s/httpd" }
    directory = "%s"
}
""" % (shared_tmp, shared_tmp))
    for _ in range(20):
        assert curl(daemon, "page.html").stdout == PAGE
    daemon.wait_log("end", n=20, svc="http", exit=0)


# nc

@pytest.mark.parametrize("what", ['internal = "echo"', 'exec = { "/bin/cat" }'])
def test_100_parallel_nc(hatchd, shared_tmp, what):
    nc = find("nc")
    if b"-46C" not in run(nc, "-h", ok=False).stderr:
        pytest.skip("nc is not OpenBSD's")
    daemon = hatchd("""
service "echo" {
    listen = { "tcp4:127.0.0.1:@echo@" }
    %s
    limits { per_source = 0 }
}
""" % what)
    texts = [("client %d\n" % i).encode() * 2000 for i in range(100)]
    procs = [subprocess.Popen([nc, "-N", "127.0.0.1", str(daemon.port["echo"])],
                              stdin=subprocess.PIPE, stdout=open("%s/%d" % (shared_tmp, i), "wb"))
             for i in range(len(texts))]
    try:
        for p, text in zip(procs, texts):       # all of them are there before one ends
            p.stdin.write(text)
            p.stdin.flush()
        for p in procs:
            p.stdin.close()
        assert [p.wait(hatch.DEADLINE) for p in procs] == [0] * len(procs)
    finally:
        for p in procs:
            p.kill()
            p.wait()
    for i, text in enumerate(texts):
        with open("%s/%d" % (shared_tmp, i), "rb") as f:
            assert f.read() == text

    def told():
        lines = daemon.log_lines("end", svc="echo")
        return len(lines) == 100 and len({e["conn"] for e in lines}) == 100
    assert hatch.wait_until(told)
    assert len(daemon.log_lines("start", svc="echo")) == 100


def test_nc_over_udp_and_unix(hatchd, shared_tmp):
    nc = find("nc")
    daemon = hatchd("""
service "upper" {
    listen = { "tcp:127.0.0.1:@upper@", "udp:127.0.0.1:@upper@", "unix:%s/upper" }
    exec   = { "/usr/bin/tr", "a-z", "A-Z" }
    session { once = yes }
}
""" % shared_tmp)
    port = str(daemon.port["upper"])
    assert run(nc, "-N", "127.0.0.1", port, input=b"by tcp\n").stdout == b"BY TCP\n"
    assert run(nc, "-N", "-U", shared_tmp + "/upper", input=b"by unix\n").stdout == b"BY UNIX\n"
    assert run(nc, "-u", "-w", "1", "127.0.0.1", port, input=b"by udp\n").stdout == b"BY UDP\n"
    daemon.wait_log("end", n=3, svc="upper", exit=0)


def test_sockets_are_seen_by_programs_that_ask(hatchd):
    """What getpeername(2) says on fd 0 is what the environment says."""
    daemon = hatchd("""
service "who" {
    listen = { "tcp:127.0.0.1:@who@" }
    exec   = { "%s", "-c", "%s" }
}
""" % (find("python3"), "import os, socket; e = os.environ; print(socket.socket(fileno=0)."
       "getpeername()[1], e['TCPREMOTEPORT'], e['REMOTE_PORT'])"))
    with daemon.connect("who") as s:
        me = str(s.getsockname()[1])
        s.shutdown(socket.SHUT_WR)
        assert hatch.read_all(s).decode().split() == [me] * 3
