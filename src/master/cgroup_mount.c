/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The way to the daemon's own group.  Owns nothing; runs in the master at start,
 * called by cgroup.c.  There may be several mounts, some of a part of the
 * hierarchy only, and on systems with both versions it isn't /sys/fs/cgroup.
 */
#include "config.h"

#include "cgroup_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"

/* The next word of a line; \ooo stands for a byte in it.  Returns what follows,
 * NULL if it doesn't fit or there is none. */
static const char *
take_word(const char *s, char *buf, size_t size)
{
	size_t n = 0;

	while (*s != '\0' && *s != ' ' && *s != '\n') {
		char c = *s++;

		if (c == '\\' && s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' &&
		    s[2] >= '0' && s[2] <= '7') {
			c = (char)((s[0] - '0') * 64 + (s[1] - '0') * 8 + (s[2] - '0'));
			s += 3;
		}
		if (n + 1 >= size)
			return NULL;
		buf[n++] = c;
	}
	buf[n] = '\0';
	return n == 0 ? NULL : s + (*s == ' ');
}

/* ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS... - TYPE SOURCE OPTIONS; proc(5) */
bool
cgroup_mount_find(const char *line, const char *path, char *ret, size_t size)
{
	char word[64], root[PATH_MAX], point[PATH_MAX];
	size_t len;
	int n;

	for (int i = 0; i < 3; i++)
		if (!(line = take_word(line, word, sizeof(word))))
			return false;
	if (!(line = take_word(line, root, sizeof(root))) ||
	    !(line = take_word(line, point, sizeof(point))) || !(line = strstr(line, " - ")) ||
	    !take_word(line + 3, word, sizeof(word)) || strcmp(word, "cgroup2") != 0)
		return false;
	/* what is outside of our namespace begins with /.. */
	if (strncmp(root, "/..", 3) == 0 || strncmp(path, "/..", 3) == 0)
		return false;
	len = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return false;
	n = snprintf(ret, size, "%s%s", point, path + len);
	return n >= 0 && (size_t)n < size;
}

/* Our path in the hierarchy: the line "0::PATH". */
static bool
own_path(char *ret, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	if (!f)
		return false;
	while (!found && getline(&line, &room, f) > 0)
		if (strncmp(line, "0::/", 4) == 0) {
			int n = snprintf(ret, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);

			found = n >= 0 && (size_t)n < size;
		}
	free(line);
	(void)fclose(f);
	return found;
}

static int
open_group(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd == -1)
		return -1;
	if (fstatfs(fd, &fs) == -1 || fs.f_type != CGROUP2_SUPER_MAGIC) {
		(void)close(fd);	/* another file system lies over it */
		errno = ENOENT;
		return -1;
	}
	return fd_raise(fd);
}

int
cgroup_mount_open(int (*try)(int dir, void *arg), void *arg)
{
	char *line = NULL, path[PATH_MAX], where[PATH_MAX];
	FILE *mounts = own_path(path, sizeof(path)) ? fopen("/proc/self/mountinfo", "re") : NULL;
	size_t room = 0;
	int dir = -1, error = ENOENT;

	while (mounts && dir == -1 && getline(&line, &room, mounts) > 0) {
		if (!cgroup_mount_find(line, path, where, sizeof(where)))
			continue;
		dir = open_group(where);
		if (dir == -1 || try(dir, arg) == -1) {
			error = errno;
			fd_close(&dir);
		}
	}
	free(line);
	if (mounts)
		(void)fclose(mounts);
	errno = error;
	return dir;
}
