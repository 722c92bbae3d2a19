/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time zones from TZif files.  Loaded with a configuration; looked up by
 * hours.c, for the judge in the master.
 *
 * A file of version 2 and later holds everything twice: first with times of 32
 * bits, which is skipped, then with 64 bits and a rule for the time after the
 * last transition.
 */
#include "config.h"

#include "zone.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "zone_rule.h"

enum { HEADER_LEN = 44, TYPE_LEN = 6, OFFSET_MAX = 26 * 3600 };

struct change {
	int64_t when;
	int32_t offset;		/* from then on */
};

struct zone {
	int32_t first;		/* the offset before the first change */
	uint32_t n;
	bool has_rule;
	int64_t rule_from;	/* the rule holds from then on */
	struct zone_rule rule;
	struct change changes[];
};

struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

/* One of the two parts of a file. */
struct part {
	struct counts n;
	const uint8_t *times, *indices, *types;
	size_t len;
	unsigned time_len;	/* 4 or 8 */
	uint8_t version;
};

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t
be64(const uint8_t *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

/* Finds the parts of a part; false if it is none, or does not fit. */
static bool
part_read(const uint8_t *p, size_t len, unsigned time_len, struct part *ret)
{
	uint32_t n[6];
	uint64_t need;

	if (len < HEADER_LEN || memcmp(p, "TZif", 4) != 0)
		return false;
	for (int i = 0; i < 6; i++) {
		n[i] = be32(p + 20 + 4 * i);
		if (n[i] > ZONE_FILE_MAX)
			return false;
	}
	*ret = (struct part){ .n = { n[0], n[1], n[2], n[3], n[4], n[5] },
			      .time_len = time_len, .version = p[4] };
	need = HEADER_LEN + (uint64_t)ret->n.time * (time_len + 1) +
		(uint64_t)ret->n.type * TYPE_LEN + ret->n.chars +
		(uint64_t)ret->n.leap * (time_len + 4) + ret->n.isstd + ret->n.isut;
	if (need > len)
		return false;
	ret->len = (size_t)need;
	ret->times = p + HEADER_LEN;
	ret->indices = ret->times + (size_t)ret->n.time * time_len;
	ret->types = ret->indices + ret->n.time;
	return true;
}

static int64_t
time_at(const struct part *p, uint32_t i)
{
	const uint8_t *at = p->times + (size_t)i * p->time_len;

	return p->time_len == 8 ? be64(at) : (int32_t)be32(at);
}

static int32_t
offset_of(const struct part *p, uint32_t type)
{
	return (int32_t)be32(p->types + (size_t)type * TYPE_LEN);
}

/* What is wrong with it, NULL: nothing. */
static const char *
part_check(const struct part *p)
{
	if (p->n.type == 0 || p->n.type > 256)
		return "a time zone without types of local time";
	if (p->n.leap > 0)
		return "the time zone counts leap seconds, which the system's clock does not";
	for (uint32_t i = 0; i < p->n.type; i++)
		if (offset_of(p, i) < -OFFSET_MAX || offset_of(p, i) > OFFSET_MAX)
			return "a time zone more than 26 hours from UTC";
	for (uint32_t i = 0; i < p->n.time; i++) {
		if (p->indices[i] >= p->n.type)
			return "a time zone with a transition to nowhere";
		if (i > 0 && time_at(p, i) <= time_at(p, i - 1))
			return "a time zone whose transitions are not in order";
	}
	return NULL;
}

/* The changes of offset; a transition that only has another name is none. */
static struct zone *
zone_new(const struct part *p)
{
	struct zone *z = calloc(1, sizeof(*z) + p->n.time * sizeof(z->changes[0]));
	int32_t offset = offset_of(p, 0), next;

	if (!z)
		return NULL;
	z->first = offset;
	for (uint32_t i = 0; i < p->n.time; i++) {
		next = offset_of(p, p->indices[i]);
		if (next != offset)
			z->changes[z->n++] = (struct change){ time_at(p, i), next };
		offset = next;
	}
	z->rule_from = p->n.time > 0 ? time_at(p, p->n.time - 1) : INT64_MIN;
	return z;
}

/* The line behind the second part; empty if there is no rule. */
static const char *
read_rule(const uint8_t *p, size_t len, struct zone *z)
{
	static const char broken[] = "the rule at the end of the time zone's file is broken";
	const uint8_t *end;

	if (len < 2 || p[0] != '\n')
		return broken;
	end = memchr(p + 1, '\n', len - 1);
	if (!end)
		return broken;
	if (end == p + 1)
		return NULL;
	if (zone_rule_parse((const char *)p + 1, (size_t)(end - p - 1), &z->rule) < 0)
		return broken;
	z->has_rule = true;
	return NULL;
}

struct zone *
zone_load(const void *bytes, size_t len, const char **why)
{
	const uint8_t *at = bytes;
	struct zone *z = NULL;
	struct part part;

	*why = "not a file of a time zone";
	if (len > ZONE_FILE_MAX || !part_read(at, len, 4, &part))
		return NULL;
	if (part.version >= '2') {
		at += part.len;
		len -= part.len;
		if (!part_read(at, len, 8, &part))
			return NULL;
	}
	*why = part_check(&part);
	if (*why)
		return NULL;
	z = zone_new(&part);
	if (!z)
		*why = "out of memory";
	else if (part.time_len == 8)
		*why = read_rule(at + part.len, len - part.len, z);
	if (*why) {
		zone_free(z);
		return NULL;
	}
	return z;
}

void
zone_free(struct zone *z)
{
	free(z);
}

const struct zone *
zone_utc(void)
{
	static const struct zone utc = { .rule_from = INT64_MIN };

	return &utc;
}

/* How many changes there were up to t. */
static uint32_t
passed(const struct zone *z, int64_t t)
{
	uint32_t from = 0, to = z->n, mid;

	while (from < to) {
		mid = from + (to - from) / 2;
		if (z->changes[mid].when <= t)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

int32_t
zone_offset(const struct zone *z, int64_t t)
{
	uint32_t i;

	if (z->has_rule && t >= z->rule_from)
		return zone_rule_offset(&z->rule, t, NULL);
	i = passed(z, t);
	return i == 0 ? z->first : z->changes[i - 1].offset;
}

int64_t
zone_next(const struct zone *z, int64_t t)
{
	int64_t next;
	uint32_t i;

	if (z->has_rule && t >= z->rule_from) {
		(void)zone_rule_offset(&z->rule, t, &next);
		return next;
	}
	i = passed(z, t);
	if (i < z->n)
		return z->changes[i].when;
	return z->has_rule ? z->rule_from : INT64_MAX;
}
