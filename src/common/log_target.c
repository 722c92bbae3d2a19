/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The targets of the log: stderr, syslog, a file.  Owns nothing; runs in every
 * process, called by log_sink.c.
 *
 * Pipes and terminals that others have open, too, must not become non-blocking
 * for them: stderr is opened once more by its name in /proc where that is
 * possible, and polled before each write where it isn't.  syslog(3) is not
 * used since it waits for a slow syslogd.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "log_target.h"

static const char *syslog_path = "/dev/log";

void
log_target_syslog_path(const char *path)
{
	syslog_path = path;
}

static int
open_file(const char *path, bool *ret_made)
{
	const int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = open(path, flags);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		fd = open(path, flags | O_CREAT | O_EXCL, 0640);
		*ret_made = fd >= 0;
		if (fd < 0 && errno == EEXIST)	/* somebody was faster */
			fd = open(path, flags);
	}
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(&fd);
		errno = EINVAL;
		return -1;
	}
	return fd_raise(fd);
}

static int
open_syslog(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(syslog_path);
	int fd;

	if (len >= sizeof to.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to.sun_path, syslog_path, len);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
		fd_close(&fd);
		return -1;
	}
	return fd_raise(fd);
}

static int
open_stderr(enum log_way *ret_way)
{
	enum log_way way = LOG_WAY_WRITE;
	struct stat st;
	int fd = -1, type = 0;
	socklen_t len = sizeof type;

	if (fstat(STDERR_FILENO, &st) < 0)
		return -1;
	if (S_ISSOCK(st.st_mode)) {
		way = LOG_WAY_SEND;
		if (getsockopt(STDERR_FILENO, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		    type != SOCK_STREAM)
			way = LOG_WAY_MESSAGES;
	} else if (!S_ISREG(st.st_mode)) {
		/* A file keeps its offset, which others share. */
		fd = open("/proc/self/fd/2",
		    O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd < 0)
			way = LOG_WAY_POLL;
	}
	if (fd < 0)
		fd = fd_dup(STDERR_FILENO, STDERR_FILENO + 1);
	if (fd < 0)
		return -1;
	*ret_way = way;
	return fd_raise(fd);
}

int
log_target_open(const char *target, enum log_way *ret_way, bool *ret_made)
{
	bool made = false;

	if (ret_made == NULL)
		ret_made = &made;
	*ret_made = false;
	if (strcmp(target, "stderr") == 0)
		return open_stderr(ret_way);
	if (strcmp(target, "syslog") == 0) {
		*ret_way = LOG_WAY_MESSAGES;
		return open_syslog();
	}
	if (target[0] == '/') {
		*ret_way = LOG_WAY_WRITE;
		return open_file(target, ret_made);
	}
	errno = EINVAL;
	return -1;
}
