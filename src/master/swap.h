/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Puts a new configuration in the place of the running one: binds what is
 * new, switches, closes what is gone.
 */
#ifndef HATCHD_SWAP_H
#define HATCHD_SWAP_H

#include "bind.h"
#include "conf.h"

struct master;
struct names;

#define SWAP_BUSY 16		/* busy addresses whose owners are looked for */

struct swap_busy {		/* an address that somebody else has */
	const struct conf_service *service;	/* of the new configuration */
	struct bind_target target;
	const char *step;
};

struct swap_result {
	int n_busy;		/* of a failure: not in the problems yet */
	struct swap_busy busy[SWAP_BUSY];
	int added, removed, changed;
	char names[512];	/* "+ftp ~git(limits) -talk", cut with "..." */
};

/* Takes conf if it returns 0; m->conf is then the new one.  -1: nothing has
 * changed, the reasons are in p and, as far as somebody else has an address,
 * in ret->busy, to be freed by swap_result_fini.  names: as for bind_targets. */
int swap_conf(struct master *m, struct conf *conf, struct names *names,
	      struct problems *p, struct swap_result *ret);

void swap_result_fini(struct swap_result *r);

#endif
