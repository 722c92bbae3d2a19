/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The part of conf_check that is about admission: which services can have
 * access lists, banners, PROXY headers and times, and the resolved forms. */
#ifndef HATCHD_CONF_ADMIT_H
#define HATCHD_CONF_ADMIT_H

#include "conf_check.h"
#include "conf_seen.h"

struct conf_admit_text {	/* of the last service, and what it stands for */
	const char *text;
	const struct conf_bytes *bytes;
};

struct conf_admit {		/* part of one struct conf_check */
	struct arena *arena;
	struct conf_gates *gates;
	const struct conf_load_env *env;
	struct problems *problems;
	const struct conf_draft *builtin;
	struct conf_seen_table *seen;
	/* of the last service: */
	struct conf_access access;
	const struct gate *gate;
	const struct conf_rule *from;
	const struct gate *proxy_gate;
	struct conf_admit_text open, refuse;
	/* of all so far: */
	bool has_tcpmux;	/* an enabled internal = tcpmux */
	const char *mux_service, *mux_file;	/* the first service that is behind one */
	int mux_line;
};

/* The rest of conf_check_service. */
void conf_admit_check(struct conf_admit *a, struct conf_draft *d,
		      const struct conf_given *given);

/* Behind the last service. */
void conf_admit_end(struct conf_admit *a);

#endif
