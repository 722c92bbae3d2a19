/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The pid file.  Runs in the master, at start and at the end; main.c calls it.
 */
#include "config.h"

#include "pidfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

int
pidfile_create(const char *path)
{
	char text[24] = "?";
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);

	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		log_warn("pid file %s", path);
		fd_close(&fd);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		n = read(fd, text, sizeof(text) - 1);
		text[n > 0 ? n : 1] = '\0';
		text[strcspn(text, "\n")] = '\0';
		log_err("pid file %s: hatchd is running already (pid %s)", path, text);
		fd_close(&fd);
		return -1;
	}
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) == -1 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		log_warn("pid file %s", path);
		fd_close(&fd);
		return -1;
	}
	return fd_raise(fd);
}

void
pidfile_remove(const char *path, int fd)
{
	struct stat there, ours;

	if (fd == -1)
		return;
	if (lstat(path, &there) == 0 && fstat(fd, &ours) == 0 &&
	    there.st_dev == ours.st_dev && there.st_ino == ours.st_ino)
		(void)unlink(path);
	(void)close(fd);
}
