/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The end of a configuration.  Runs wherever one was loaded.
 */
#include "config.h"

#include "arena.h"
#include "conf.h"
#include "conf_gate.h"

void
conf_free(struct conf *c)
{
	if (!c)
		return;
	conf_gates_free(c->gates);
	arena_free(c->arena);	/* c lies in it */
}
