/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time zones.  Runs in the master, its trial child and hatchctl; called by
 * conf_gate.c.
 */
#include "config.h"

#include "zones.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hours.h"

#define DIRECTORY "/usr/share/zoneinfo/"
#define LOCAL "/etc/localtime"
#define ZONES_MAX 1024		/* the database has some 600 names */

struct named {
	char name[HOURS_ZONE_LEN];
	struct zone *zone;	/* NULL: UTC, for want of a local one */
};

struct zones {
	struct named *list;
	int n;
};

struct zones *
zones_new(void)
{
	return calloc(1, sizeof(struct zones));
}

void
zones_free(struct zones *z)
{
	if (!z)
		return;
	for (int i = 0; i < z->n; i++)
		zone_free(z->list[i].zone);
	free(z->list);
	free(z);
}

/* No more than size bytes of a file; a zone is shorter.  -1 and errno. */
static ssize_t
read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		errno = EINVAL;
		return -1;
	}
	while (len < size && n > 0) {
		do
			n = read(fd, buf + len, size - len);
		while (n < 0 && errno == EINTR);
		len += n > 0 ? (size_t)n : 0;
	}
	(void)close(fd);
	return n < 0 ? -1 : (ssize_t)len;
}

/* NULL and *why, which is NULL if there is no such file. */
static struct zone *
load(const char *path, const char **why)
{
	char *buf = malloc(ZONE_FILE_MAX + 1);
	struct zone *zone = NULL;
	ssize_t len;

	*why = "out of memory";
	if (!buf)
		return NULL;
	len = read_file(path, buf, ZONE_FILE_MAX + 1);
	if (len >= 0)
		zone = zone_load(buf, (size_t)len, why);
	else
		*why = errno == ENOENT || errno == ENOTDIR ? NULL : "its file can't be read";
	free(buf);
	return zone;
}

static const struct zone *
add(struct zones *z, const char *name, const char **why)
{
	char path[sizeof(DIRECTORY) + HOURS_ZONE_LEN];
	struct named *bigger;
	struct zone *zone;

	if (z->n == ZONES_MAX) {
		*why = "too many different time zones";
		return NULL;
	}
	bigger = reallocarray(z->list, (size_t)z->n + 1, sizeof(*bigger));
	if (!bigger) {
		*why = "out of memory";
		return NULL;
	}
	z->list = bigger;
	(void)snprintf(path, sizeof(path), "%s%s", *name ? DIRECTORY : LOCAL, name);
	zone = load(path, why);
	if (!zone && (*why || *name)) {
		if (!*why)
			*why = "there is no such time zone";
		return NULL;
	}
	(void)snprintf(z->list[z->n].name, HOURS_ZONE_LEN, "%s", name);
	z->list[z->n++].zone = zone;
	return zone ? zone : zone_utc();
}

const struct zone *
zones_get(struct zones *z, const char *name, const char **why)
{
	if (strcmp(name, "UTC") == 0)	/* also where there is no database */
		return zone_utc();
	for (int i = 0; i < z->n; i++)
		if (strcmp(z->list[i].name, name) == 0)
			return z->list[i].zone ? z->list[i].zone : zone_utc();
	return add(z, name, why);
}
