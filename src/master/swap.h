/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Puts a new configuration in the place of the running one: binds what is
 * new, switches, closes what is gone.
 */
#ifndef HATCHD_SWAP_H
#define HATCHD_SWAP_H

#include "conf.h"

struct master;

struct swap_result {
	int added, removed, changed;
	char names[512];	/* "+ftp ~git(limits) -talk", cut with "..." */
};

/* Takes conf if it returns 0; m->conf is then the new one.  -1: nothing has
 * changed, the reasons are in p. */
int swap_conf(struct master *m, struct conf *conf, struct problems *p,
	      struct swap_result *ret);

#endif
