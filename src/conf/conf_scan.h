/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Which settings stand in a top-level entry of a file. */
#ifndef HATCHD_CONF_SCAN_H
#define HATCHD_CONF_SCAN_H

#include "conf.h"
#include "schema.h"
#include "source.h"

struct conf_entry {		/* a top-level setting or section */
	size_t at, len;		/* in its file's text */
	int first_line;		/* of its name */
	int line;		/* of its title or, without one, its name */
	int16_t file;		/* index in struct sources */
	int16_t id;		/* enum schema_id, -1: unknown, to be left out */
	bool odd;		/* not understood: set has every setting */
	bool faulty;		/* settings were reported and left out */
	struct schema_set set;	/* the settings in it, itself too */
	int empty, n_empty;	/* its empty lists, in conf_entries.empty */
};

struct conf_empty {		/* NAME = { } */
	int line;
	int16_t id;		/* enum schema_id */
};

struct conf_entries {		/* begins zeroed; list is the caller's to free */
	struct conf_entry *list;
	int n, max;
	struct conf_empty *empty;	/* the caller's to free, too */
	int n_empty, max_empty;
};

/* Adds the entries of s, a guarded text, in their order.  Settings that are
 * unknown, repeated or not allowed there are reported and blanked, so that the
 * rest can be parsed; what isn't of the form NAME = VALUE or NAME [TITLE] { } is
 * left to the parser.  Strings lose their quotes where they mean the same without.
 * -1: out of memory. */
int conf_scan(struct source *s, int file, struct conf_entries *to, struct problems *p);

#endif
