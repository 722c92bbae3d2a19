/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Numbers for the tests of src/policy: the same ones in each run.
 */
#ifndef HATCHD_POLICY_RANDOM_H
#define HATCHD_POLICY_RANDOM_H

#include <stdint.h>

static inline uint64_t
next_random(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x * 2685821657736338717u >> 8;
}

static inline uint32_t
below(uint32_t n)
{
	return (uint32_t)(next_random() % n);
}

#endif
