/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * One file that an administrator wrote, for the daemon to obey: opened without
 * ever blocking, checked by its open descriptor, read whole and once.  And one of
 * the system's, of which less is asked.
 */
#ifndef HATCHD_TEXTFILE_H
#define HATCHD_TEXTFILE_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "conf.h"

#define TEXTFILE_BYTES (16 << 20)

/* A descriptor, or -1 and errno. */
int textfile_open(const char *path);

/* A file has to be regular, owned by root or owner, not writable by group (unless
 * it is owner's or root's own) or others, at most TEXTFILE_BYTES.  0, or -1 and
 * a problem at path. */
int textfile_check(int fd, const char *path, uid_t owner, struct problems *p,
		   struct stat *ret);

/* All of it, with a NUL behind the *ret_len bytes and none in them; expected: its
 * size as fstat told.  malloced; NULL and a problem at path. */
char *textfile_read(int fd, const char *path, size_t expected, struct problems *p,
		    size_t *ret_len);

/* All three: open, check, read.  NULL and errno if it can't be opened; NULL and
 * errno 0 if a problem was added. */
char *textfile_load(const char *path, uid_t owner, struct problems *p, size_t *ret_len);

/* Whether there is no NUL in it: 0, or -1 and a problem at path. */
int textfile_check_text(const char *path, const char *text, size_t len, struct problems *p);

/* The first bytes of a regular file, whoever owns it and whatever is in it, at
 * most size.  How many, or -1 and errno; EINVAL: it is no regular file. */
ssize_t textfile_load_bytes(const char *path, void *buf, size_t size);

#endif
