/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Files that say what the daemon is to do: the configuration, the lists and the
 * time zones it names.
 *
 * A file is opened without blocking, and all that is asked about it is asked of
 * the open descriptor, so that nobody can change it in between.  One that
 * others may write would let them start anything as anybody, or let anybody
 * in, so it is refused, not warned about.  Who owns the system's database of
 * time zones is the system's affair.
 *
 * Runs in the master, its trial child and hatchctl; called by source.c,
 * acl_list.c and zones.c.
 */
#include "config.h"

#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_FIRST (16 << 10)

static const char *
type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return "a directory";
	case S_IFIFO: return "a FIFO";
	case S_IFSOCK: return "a socket";
	case S_IFCHR: return "a character device";
	case S_IFBLK: return "a block device";
	default: return "something strange";
	}
}

/* The group in which nobody but the owner is: root's, or one that has the
 * owner's name, is its primary group and lists no other members. */
static bool
is_own_group(gid_t gid, uid_t owner)
{
	const struct passwd *pw;
	const struct group *gr;
	char **m;

	if (gid == 0)
		return true;
	pw = getpwuid(owner);
	if (!pw || pw->pw_gid != gid)
		return false;
	gr = getgrgid(gid);
	if (!gr || strcmp(gr->gr_name, pw->pw_name))
		return false;
	for (m = gr->gr_mem; *m; m++)
		if (strcmp(*m, pw->pw_name))
			return false;
	return true;
}

static int
check_rights(const char *path, const struct stat *st, uid_t owner, struct problems *p)
{
	unsigned mode = st->st_mode & 07777;

	if (st->st_uid != 0 && st->st_uid != owner) {
		if (owner)
			problems_add(p, path, 0, "is owned by uid %u, not by root or uid %u",
				     (unsigned)st->st_uid, (unsigned)owner);
		else
			problems_add(p, path, 0, "is owned by uid %u, not by root",
				     (unsigned)st->st_uid);
		return -1;
	}
	if (mode & S_IWOTH) {
		problems_add(p, path, 0, "everybody may write it (mode %04o): chmod go-w", mode);
		return -1;
	}
	if ((mode & S_IWGRP) && !is_own_group(st->st_gid, st->st_uid)) {
		problems_add(p, path, 0, "group %u may write it (mode %04o): chmod g-w",
			     (unsigned)st->st_gid, mode);
		return -1;
	}
	return 0;
}

int
textfile_open(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

int
textfile_check(int fd, const char *path, uid_t owner, struct problems *p, struct stat *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		problems_add(p, path, 0, "cannot be read: %s", strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		problems_add(p, path, 0, "is %s, not a file", type_of(st.st_mode));
		return -1;
	}
	if (check_rights(path, &st, owner, p) < 0)
		return -1;
	if (st.st_size > TEXTFILE_BYTES) {
		problems_add(p, path, 0, "is larger than %d MiB", TEXTFILE_BYTES >> 20);
		return -1;
	}
	*ret = st;
	return 0;
}

/* Until size bytes are read or there are no more; how many, or -1 and errno. */
static ssize_t
read_up_to(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		do
			n = read(fd, buf + len, size - len);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

struct buffer {
	char *text;
	size_t len, size;	/* size: without room for a NUL */
};

static int
make_room(struct buffer *b)
{
	size_t size = b->text ? 2 * b->size : b->size;
	char *bigger;

	if (b->text && b->len < b->size)
		return 0;
	bigger = realloc(b->text, size + 1);
	if (!bigger)
		return -1;
	b->text = bigger;
	b->size = size;
	return 0;
}

/* However large fstat(2) said it is: files grow, and those of /proc have no
 * size. */
static int
read_all(int fd, const char *path, struct buffer *b, struct problems *p)
{
	size_t room;
	ssize_t n;

	do {
		if (make_room(b) < 0) {
			problems_add(p, path, 0, "out of memory");
			return -1;
		}
		room = b->size - b->len;
		if (room > TEXTFILE_BYTES + 1 - b->len)
			room = TEXTFILE_BYTES + 1 - b->len;
		n = read_up_to(fd, b->text + b->len, room);
		if (n < 0) {
			problems_add(p, path, 0, "cannot be read: %s", strerror(errno));
			return -1;
		}
		b->len += (size_t)n;
		if (b->len > TEXTFILE_BYTES) {
			problems_add(p, path, 0, "is larger than %d MiB", TEXTFILE_BYTES >> 20);
			return -1;
		}
	} while ((size_t)n == room);
	b->text[b->len] = '\0';
	return 0;
}

int
textfile_check_text(const char *path, const char *text, size_t len, struct problems *p)
{
	const char *nul = memchr(text, '\0', len);
	int line = 1;

	if (!nul)
		return 0;
	for (const char *c = text; c < nul; c++)
		line += *c == '\n';
	problems_add(p, path, line, "NUL byte: this is not a text file");
	return -1;
}

char *
textfile_read(int fd, const char *path, size_t expected, struct problems *p, size_t *ret_len)
{
	struct buffer b = { .size = expected + 1 > READ_FIRST ? expected + 1 : READ_FIRST };
	char *smaller;

	if (read_all(fd, path, &b, p) < 0 ||
	    textfile_check_text(path, b.text, b.len, p) < 0) {
		free(b.text);
		return NULL;
	}
	*ret_len = b.len;
	smaller = realloc(b.text, b.len + 1);
	return smaller ? smaller : b.text;
}

char *
textfile_load(const char *path, uid_t owner, struct problems *p, size_t *ret_len)
{
	int fd = textfile_open(path);
	struct stat st;
	char *text = NULL;

	if (fd < 0)
		return NULL;
	if (textfile_check(fd, path, owner, p, &st) == 0)
		text = textfile_read(fd, path, (size_t)st.st_size, p, ret_len);
	(void)close(fd);
	errno = 0;
	return text;
}

ssize_t
textfile_load_bytes(const char *path, void *buf, size_t size)
{
	int fd = textfile_open(path), error;
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode))
			n = read_up_to(fd, buf, size);
		else
			errno = EINVAL;
	}
	error = errno;
	(void)close(fd);
	errno = error;
	return n;
}
