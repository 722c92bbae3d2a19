/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What an access section says, compiled: who may connect, when, and how busy
 * the machine may be.  Immutable; a look-up is arithmetic, without a system call
 * or an allocation.  Pure: the time and the load are passed in.
 */
#ifndef HATCHD_GATE_H
#define HATCHD_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "acl.h"
#include "addr.h"
#include "hours.h"
#include "reason.h"

enum { GATE_CPU, GATE_MEMORY, GATE_IO, GATE_PRESSURES };

#define GATE_UNKNOWN UINT32_MAX

struct gate {
	struct acl *acl;	/* NULL: everybody */
	struct hours *hours;	/* NULL: always */
	uint32_t max_load;	/* of one minute, hundredths; 0: any */
	uint32_t max_pressure[GATE_PRESSURES];	/* "some" of ten seconds, hundredths of a
				 * percent; 0: any */
};

/* How busy the machine is; GATE_UNKNOWN where the kernel doesn't tell, which is
 * never too much. */
struct gate_load {
	uint32_t load;		/* hundredths */
	uint32_t pressure[GATE_PRESSURES];	/* hundredths of a percent */
};

/* A rule's tag in the access list: which element of allow (first) or deny (after
 * them) it is, and in which line of that element's file it stands, 0: in the
 * element itself. */
#define GATE_RULES 2048
static inline uint32_t
gate_tag(uint32_t element, uint32_t line)
{
	return line * GATE_RULES + element;
}

/* Whether it has to be told how busy the machine is. */
bool gate_wants_load(const struct gate *g);

/* REASON_NONE, REASON_ACCESS, REASON_HOURS, REASON_LOAD or REASON_PRESSURE, in this order.  g may
 * be NULL: all are let in.  now_s: seconds since 1970.  load may be NULL if
 * gate_wants_load says so.  *rule, if wanted: the tag, or ACL_NO_RULE. */
enum reason gate_judge(const struct gate *g, const struct addr *peer, int64_t now_s,
		       const struct gate_load *load, uint32_t *rule);

#endif
