/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* What a configuration may hold once: names of services and addresses, with
 * the place where each was first. */
#ifndef HATCHD_CONF_SEEN_H
#define HATCHD_CONF_SEEN_H

#include <stdint.h>

enum {				/* kinds */
	SEEN_NAME,		/* of a service */
	SEEN_PATH,		/* of a UNIX socket */
	SEEN_MUX,		/* tcpmux, without the + */
	SEEN_PORT		/* + the kind and the port; text: the host (conf_address.c) */
};

struct conf_seen {
	uint32_t kind;
	const char *text;	/* interned, compared as a pointer; may be NULL */
	const char *service;
	const char *file;
	int line;
};

struct conf_seen_table;

struct conf_seen_table *conf_seen_new(void);	/* NULL: out of memory */
void conf_seen_free(struct conf_seen_table *t);

/* The one of this kind and text, or NULL. */
const struct conf_seen *conf_seen_find(const struct conf_seen_table *t, const struct conf_seen *s);

/* NULL: it is new, and remembered now (s is copied).  Else the first one. */
const struct conf_seen *conf_seen_before(struct conf_seen_table *t, const struct conf_seen *s);

#endif
