/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time zones.  Runs in the master, its trial child and hatchctl; called by
 * conf_gate.c and gate_build.c.
 */
#include "config.h"

#include "zones.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hours.h"
#include "textfile.h"

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
	len = textfile_load_bytes(path, buf, ZONE_FILE_MAX + 1);	/* a zone is shorter */
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
