/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* From the text of a setting to the field that holds its value. */
#ifndef HATCHD_CONF_VALUE_H
#define HATCHD_CONF_VALUE_H

#include <stdbool.h>

#include "arena.h"
#include "conf.h"
#include "schema.h"

struct conf_text {		/* one value as written */
	const char *text;	/* interned */
	int line;
};

struct conf_value_to {
	struct arena *arena;
	struct problems *problems;
	const char *file;
	const char *service;	/* for messages; "": defaults, NULL: global */
	bool lookup;		/* look up names of ports */
};

/* Fills the field of setting id in the struct at base from n texts (one, if it
 * is not a list); false: a problem was added and the field is as before.  Not
 * for SCHEMA_RLIMIT and SCHEMA_SUB. */
bool conf_value_set(const struct conf_value_to *to, enum schema_id id, void *base,
		    const struct conf_text *v, int n);

/* The same for a resource limit. */
bool conf_value_set_rlimit(const struct conf_value_to *to, enum schema_id id,
			   struct conf_rlimit *ret, const struct conf_text *v);

/* Adds "service NAME: SETTING: " and the message. */
void conf_value_problem(const struct conf_value_to *to, enum schema_id id, int line,
			const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
