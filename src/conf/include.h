/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The files that a main file's `conf` names; part of sources_read. */
#ifndef HATCHD_INCLUDE_H
#define HATCHD_INCLUDE_H

#include <stdbool.h>

#include "source.h"

struct include {		/* one pattern */
	char *pattern;
	int line;		/* in the main file */
};

/* The patterns of a guarded main file: malloced, ended by a NULL pattern; NULL
 * if there are none.  *ret_memory is false if memory ran out. */
struct include *include_list(const struct source *s, bool *ret_memory);
void include_list_free(struct include *list);

/* The paths that a pattern stands for, sorted: malloced, NULL-terminated,
 * perhaps empty; NULL if there was a problem.  One without * ? [ is taken as it
 * is, whether it exists or not.  main_file: what relative ones are beside. */
char **include_expand(const char *main_file, const struct include *inc, struct problems *p);
void include_paths_free(char **paths);

bool include_is_literal(const char *pattern);

#endif
