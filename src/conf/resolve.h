/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* From the text of one entry of an access list to what it stands for, with
 * names of hosts, users and groups looked up. */
#ifndef HATCHD_RESOLVE_H
#define HATCHD_RESOLVE_H

#include "acl_entry.h"
#include "names.h"

struct resolve;

struct resolve *resolve_new(void);	/* NULL: no memory */
void resolve_free(struct resolve *r);

/* Names of hosts come from here, instead of names that it has itself. */
void resolve_use(struct resolve *r, struct names *names);

/* An ACL_FILE, or one or more (the addresses of a host) of ACL_NET, ACL_UID,
 * ACL_GID.  How many, or -1 and why.  r NULL: nothing is looked up, and what
 * would have to be gives 0. */
int resolve_entry(struct resolve *r, const char *text, struct acl_entry ret[NAMES_ADDRS],
		  char why[ACL_WHY_LEN]);

#endif
