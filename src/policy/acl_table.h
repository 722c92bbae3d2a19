/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the table of who may connect looks like, for acl_build.c that makes it
 * and acl.c that looks it up; nobody else includes this.
 *
 * Nested prefixes are flattened to intervals that do not overlap, each from
 * its start to the next one's, the first from 0.  Starts lie side by side.  A
 * value is the tag of a rule (or ACL_NO_RULE) with the verdict above it.
 */
#ifndef HATCHD_ACL_TABLE_H
#define HATCHD_ACL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

enum { ACL_ALLOW_SHIFT = 31 };

/* An address as a number; IPv4 in the first 32 bits. */
struct acl_key {
	uint64_t hi, lo;
};

struct acl_id {
	uint32_t id, value;
};

struct acl {
	size_t bytes;
	uint32_t other;			/* the value where no rule speaks */
	bool empty;			/* no rule at all */
	uint32_t n4, n6, nids[2];
	const uint64_t *hi6, *lo6;	/* lo6 may be NULL: all zero */
	const uint32_t *start4, *value4, *value6;
	const struct acl_id *ids[2];	/* of uids and of gids, sorted */
	uint64_t memory[];
};

struct acl_key acl_key_of(const struct addr *a);

#endif
