/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From bytes to struct conf, through libConfuse behind the guard; the only
 * user of confuse.h.
 */
#ifndef HATCHD_CONF_LOAD_H
#define HATCHD_CONF_LOAD_H

#include "conf.h"
#include "source.h"

struct names;

struct conf_load_env {
	uid_t uid;		/* who the daemon runs as; 0: accounts are switched */
	_Bool lookup;		/* resolve accounts and service names (else only
				 * numbers; for fuzzing) */
	struct names *names;	/* where names of hosts are found; NULL: they are looked
				 * up, which may take its time */
};

/* Parses, checks (conf_check) and resolves; NULL if there was any error, all
 * of which are in p.  Guards s's texts in place, so a struct sources can be
 * loaded once in each process. */
struct conf *conf_load(struct sources *s, const struct conf_load_env *env, struct problems *p);

#endif
