/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Names of hosts and their addresses, each asked for once.  A name server may
 * take its time, so a reload asks in the trial process: what that found is
 * written down, line by line, and read by the master, which then looks nothing
 * up.
 */
#ifndef HATCHD_NAMES_H
#define HATCHD_NAMES_H

#include <stdbool.h>
#include <stdio.h>

#include "addr.h"

#define NAMES_MAX 4096		/* of one configuration */
#define NAMES_ADDRS 64		/* of one name */
#define NAMES_LINE 4096		/* bytes of a line with its NUL: room for all of that */

struct names;

struct names *names_new(void);		/* NULL: no memory */
void names_free(struct names *n);

/* From now on "L NAME" is written to out before each look-up, which can take
 * long, and "N NAME ADDRESS ..." when it went well; each is flushed. */
void names_tell(struct names *n, FILE *out);

/* Takes such a line, without its end; false: it is no such line. */
bool names_read(struct names *n, const char *line);

/* From now on nothing is looked up: a name that is not there has no address. */
void names_close(struct names *n);

/* The addresses of a name, AF_INET and AF_INET6, without ports; not for literal
 * ones.  How many (not 0), or -1 and *ret_why, a constant text.  n may be NULL:
 * then nothing is remembered. */
int names_find(struct names *n, const char *host, struct addr ret[NAMES_ADDRS],
	       const char **ret_why);

#endif
