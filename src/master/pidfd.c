/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Signals that hit no stranger.  Runs in the master; tree.c and cgroup.c call
 * it.  While a process lives it is held by a descriptor; if it has ended when
 * the signal is sent, nobody gets it, whoever has its pid by then.  Kernels
 * before 5.3 and some containers' filters don't have that: there a moment
 * remains between the question and the signal.
 */
#include "config.h"

#include "pidfd.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
hold(pid_t pid)
{
#ifdef SYS_pidfd_open
	return (int)syscall(SYS_pidfd_open, pid, 0);
#else
	(void)pid;
	errno = ENOSYS;
	return -1;
#endif
}

static int
send_held(int fd, pid_t pid, int sig)
{
#ifdef SYS_pidfd_send_signal
	int r = (int)syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);

	if (r == 0 || errno != ENOSYS)
		return r;
#else
	(void)fd;
#endif
	return kill(pid, sig);
}

int
pidfd_kill(pid_t pid, int sig, bool (*still)(pid_t pid, const void *arg), const void *arg)
{
	int fd, r, error;

	if (pid <= 1 || pid == getpid()) {
		errno = ESRCH;
		return -1;
	}
	fd = hold(pid);
	if (fd == -1 && (errno == ESRCH || errno == EINVAL)) {
		errno = ESRCH;
		return -1;
	}
	if (still(pid, arg)) {
		r = fd == -1 ? kill(pid, sig) : send_held(fd, pid, sig);
		error = errno;
	} else {
		r = -1;
		error = ESRCH;
	}
	if (fd != -1)
		(void)close(fd);
	errno = error;
	return r;
}
