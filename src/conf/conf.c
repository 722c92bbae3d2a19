/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The end of a configuration.  Runs wherever one was loaded.
 */
#include "config.h"

#include "arena.h"
#include "conf.h"

void
conf_free(struct conf *c)
{
	if (c)
		arena_free(c->arena);	/* c lies in it */
}
