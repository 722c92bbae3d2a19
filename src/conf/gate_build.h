/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Compiles one access section; part of conf_gate. */
#ifndef HATCHD_GATE_BUILD_H
#define HATCHD_GATE_BUILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "acl_list.h"
#include "conf.h"
#include "gate.h"
#include "resolve.h"
#include "zones.h"

struct gate_parts {		/* what the gates of one configuration share */
	struct acl_lists *lists;
	struct resolve *resolve;
	struct zones *zones;	/* outlives the gates */
	uint32_t rules;		/* in all of them, so far */
	uid_t owner;		/* who may own list files beside root */
};

struct gate_order {		/* who wants it */
	const char *service;	/* "": defaults */
	const char *section, *allow;	/* what they are called: "access", "allow" */
	bool lookup;		/* read files, look up names */
	bool addresses;		/* uid: and gid: are no entries of it */
	struct problems *problems;
};

/* False: problems were added, *ret is untouched. */
bool gate_build(struct gate_parts *parts, const struct gate_order *order,
		const struct conf_access *a, struct gate *ret);
void gate_fini(struct gate *gate);

#endif
