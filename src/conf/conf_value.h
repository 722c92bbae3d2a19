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

/* Bytes that no setting may hold: control characters. */
bool conf_value_is_clean(const char *text);

/* Fills the field of setting id in the struct at base from n texts (one, if it
 * is not a list); false: a problem was added and the field is as before.  Not
 * for SCHEMA_RLIMIT and SCHEMA_SUB. */
bool conf_value_set(const struct conf_value_to *to, enum schema_id id, void *base,
		    const struct conf_text *v, int n);

/* The same for a resource limit. */
bool conf_value_set_rlimit(const struct conf_value_to *to, enum schema_id id,
			   struct conf_rlimit *ret, const struct conf_text *v);

/* The integer of a field, whatever its size. */
int64_t conf_value_integer(const struct schema_item *it, const void *base);

/* Do a setting's fields say the same?  Not for SCHEMA_RLIMIT and SCHEMA_SUB;
 * what was resolved (accounts, ids) is not looked at. */
bool conf_value_equal(const struct schema_item *it, const void *a, const void *b);

/* The same of two lists of strings, each NULL or NULL-terminated. */
bool conf_value_lists_equal(const char *const *a, const char *const *b);

/* The pointer of a field. */
const void *conf_value_pointer(const struct schema_item *it, const void *base);

/* Adds "service NAME: SETTING: " and the message. */
void conf_value_problem(const struct conf_value_to *to, enum schema_id id, int line,
			const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
