/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The command line of hatchd.
 */
#ifndef HATCHD_OPTIONS_H
#define HATCHD_OPTIONS_H

#include <stdbool.h>

#include "source.h"

struct options {
	const char *file;	/* -f, or the default; not used with -l */
	const char *pid_file;	/* -p, or NULL */
	bool check;		/* -n */
	bool foreground;	/* -F, -d, -l */
	bool debug;		/* -d */
	bool version;		/* -V */
	const char *explain;	/* --explain: a service's name, or NULL */
	const char *explain_address;	/* the word behind it */
	const char *explain_time;	/* --at, or NULL */
	char *paths[2];		/* malloced: what file and pid_file point to */
	char *text;		/* -l: the configuration made of it; malloced */
	size_t text_len;
};

/* 0, or -1 after a message on stderr (the usage is wrong). */
int options_parse(int argc, char **argv, struct options *ret);
void options_fini(struct options *o);

/* Makes file and pid_file absolute, so that they are the same when the working
 * directory isn't; 0, or -1 after a message on stderr. */
int options_settle(struct options *o);

/* The bytes of the configuration that the options name. */
struct sources *options_sources(const struct options *o, struct problems *p);

#endif
