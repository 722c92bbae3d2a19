/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Helpers for descriptors.  Owns nothing; runs in every process, called by
 * whoever makes a descriptor that lives long.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"

static int
high_mark(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur / 2 < FD_HIGH)
		return (int)(lim.rlim_cur / 2);
	return FD_HIGH;
}

int
fd_raise(int fd)
{
	int saved = errno;
	int low = high_mark();
	int new;

	if (fd < 0)
		return fd;
	if (fd >= low) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);	/* fails for no open fd only */
		errno = saved;
		return fd;
	}
	new = fd_dup(fd, low);
	if (new >= 0)
		(void)close(fd);
	errno = saved;
	return new >= 0 ? new : fd;
}

int
fd_dup(int fd, int low)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, low);
}

void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd < 0)
		return;
	(void)close(*fd);	/* released whatever it returns */
	*fd = -1;
	errno = saved;
}

void
fd_close_now(int *fd)
{
	struct linger off = { 0 };
	int saved = errno;

	if (*fd >= 0)
		(void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	errno = saved;
	fd_close(fd);
}

void
fd_close_received(const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		fd_close_now(&fd);
	}
}

/* asm-generic/socket.h; where the number is another one, it isn't tried. */
#if !defined(SO_PASSRIGHTS) && (defined(__x86_64__) || defined(__aarch64__) || \
	defined(__i386__) || defined(__arm__) || defined(__riscv))
#define SO_PASSRIGHTS 83
#endif

void
fd_pass_rights(int fd, bool on)
{
#ifdef SO_PASSRIGHTS
	int value = on;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(value));
#else
	(void)fd;
	(void)on;
#endif
}

int
fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	int want;

	if (flags < 0)
		return -1;
	want = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return want == flags ? 0 : fcntl(fd, F_SETFL, want);
}

rlim_t
fd_raise_limit(rlim_t max, rlim_t *ret_old)
{
	struct rlimit lim;
	rlim_t old, want;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		lim.rlim_cur = lim.rlim_max = 1024;
	old = lim.rlim_cur;
	if (ret_old != NULL)
		*ret_old = old;

	want = lim.rlim_max < max ? lim.rlim_max : max;
	if (want <= old)
		return old;
	lim.rlim_cur = want;
	return setrlimit(RLIMIT_NOFILE, &lim) == 0 ? want : old;
}
