/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The part of the verdict that a service's access section decides.  Runs in
 * the master, for each peer, called by the judge; and wherever a verdict is
 * explained.
 */
#include "config.h"

#include "gate.h"

#include <assert.h>
#include <stddef.h>

bool
gate_wants_load(const struct gate *g)
{
	if (!g)
		return false;
	for (int i = 0; i < GATE_PRESSURES; i++)
		if (g->max_pressure[i])
			return true;
	return g->max_load != 0;
}

/* max 0: there is no limit; a machine that doesn't tell is never too busy */
static bool
over(uint32_t value, uint32_t max)
{
	return max != 0 && value != GATE_UNKNOWN && value > max;
}

static enum reason
too_busy(const struct gate *g, const struct gate_load *load)
{
	if (over(load->load, g->max_load))
		return REASON_LOAD;
	for (int i = 0; i < GATE_PRESSURES; i++)
		if (over(load->pressure[i], g->max_pressure[i]))
			return REASON_PRESSURE;
	return REASON_NONE;
}

enum reason
gate_judge(const struct gate *g, const struct addr *peer, int64_t now_s,
	   const struct gate_load *load, uint32_t *rule)
{
	if (rule)
		*rule = ACL_NO_RULE;
	if (!g)
		return REASON_NONE;
	if (g->acl && !acl_judge(g->acl, peer, rule))
		return REASON_ACCESS;
	if (g->hours && !hours_open(g->hours, now_s))
		return REASON_HOURS;
	if (!gate_wants_load(g))
		return REASON_NONE;
	assert(load);
	return too_busy(g, load);
}
