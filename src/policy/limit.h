/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Token buckets: at most n at once, and n more in each per_ms, refilled all
 * the time and not in steps.  All arithmetic is exact, in integers: nothing is
 * lost or won by rounding, however often a bucket is asked.  Nothing needs to
 * be run for a bucket to fill.  Pure: the time is passed in.
 */
#ifndef HATCHD_LIMIT_H
#define HATCHD_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* n = 0: no limit.  Else per_ms > 0. */
struct limit_rate {
	uint32_t n;
	uint32_t per_ms;
};

/* All zeros: full.  A bucket may be used with another rate later (a reload);
 * what it lacks counts in the new measure then, and it is full after the new
 * per_ms at the latest. */
struct limit_bucket {
	uint64_t lacks;		/* what is missing, in tokens / per_ms */
	uint64_t last_ms;	/* as of then */
};

/* "100/10s": at least 1, and a duration as in the rest of the configuration
 * (ms, s, min, h, d), not 0.  "" and "0" mean no limit.  0, or -1: not wholly
 * understood, *ret is untouched. */
int limit_parse_rate(const char *text, struct limit_rate *ret);

/* Takes a token; false if there is none, and then nothing is taken.  now_ms
 * comes from a monotonic clock; should it jump back all the same, the bucket
 * fills from there on. */
bool limit_take(struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms);

/* How many milliseconds until there is a token, 0: there is one now. */
uint64_t limit_wait_ms(const struct limit_bucket *b, const struct limit_rate *rate,
		       uint64_t now_ms);

/* How many milliseconds until the bucket is full: it need not be kept then. */
uint64_t limit_full_ms(const struct limit_bucket *b, const struct limit_rate *rate,
		       uint64_t now_ms);

#endif
