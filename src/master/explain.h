/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * "hatchd --explain": what the configuration says about one service and one
 * address, and why.
 */
#ifndef HATCHD_EXPLAIN_H
#define HATCHD_EXPLAIN_H

#include "conf.h"
#include "options.h"

enum { EXPLAIN_LET_IN = 0, EXPLAIN_REFUSED = 1, EXPLAIN_ERROR = 2 };

/* Whether the question can be asked at all; a message on stderr if not. */
int explain_check(const struct options *o);

/* Prints the answer on standard output; EXPLAIN_... as exit status. */
int explain_run(const struct options *o, const struct conf *c);

#endif
