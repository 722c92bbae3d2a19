/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Token buckets.  Asked by the judge, in the master, for services and through
 * srctab.c for sources; limit_parse_rate is asked when a configuration loads.
 *
 * What a bucket lacks is kept in units of 1 / per_ms of a token.  A token is
 * then per_ms units, a millisecond brings n units, a full bucket has n * per_ms
 * of them: whole numbers below 2^64, whatever the rate.
 */
#include "config.h"

#include "limit.h"

#include <string.h>

/* Digits, without a sign and without zeros in front; NULL: none or too many. */
static const char *
number(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (*s < '1' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > max)
			return NULL;
	}
	*ret = n;
	return s;
}

static uint64_t
unit_ms(const char *name)
{
	static const struct {
		char name[4];
		uint32_t ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(name, units[i].name))
			return units[i].ms;
	return 0;
}

int
limit_parse_rate(const char *text, struct limit_rate *ret)
{
	uint64_t n, time, unit;

	if (!*text || !strcmp(text, "0")) {
		*ret = (struct limit_rate){ .n = 0 };
		return 0;
	}
	text = number(text, UINT32_MAX, &n);
	if (!text || *text != '/')
		return -1;
	text = number(text + 1, UINT32_MAX, &time);
	if (!text)
		return -1;
	unit = unit_ms(text);
	if (unit == 0 || time > UINT32_MAX / unit)
		return -1;
	*ret = (struct limit_rate){ .n = (uint32_t)n, .per_ms = (uint32_t)(time * unit) };
	return 0;
}

/* What it lacks now. */
static uint64_t
lacks(const struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms)
{
	uint64_t size = (uint64_t)rate->n * rate->per_ms;
	uint64_t missing = b->lacks < size ? b->lacks : size;
	uint64_t passed = now_ms > b->last_ms ? now_ms - b->last_ms : 0, came;

	if (passed >= rate->per_ms)
		return 0;
	came = passed * rate->n;
	return missing > came ? missing - came : 0;
}

bool
limit_take(struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms)
{
	if (rate->n == 0)
		return true;
	b->lacks = lacks(b, rate, now_ms);
	b->last_ms = now_ms;	/* back, too: it must not wait for a clock that jumped */
	if (b->lacks > (uint64_t)(rate->n - 1) * rate->per_ms)
		return false;
	b->lacks += rate->per_ms;
	return true;
}

uint64_t
limit_wait_ms(const struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms)
{
	uint64_t missing, may_lack;

	if (rate->n == 0)
		return 0;
	missing = lacks(b, rate, now_ms);
	may_lack = (uint64_t)(rate->n - 1) * rate->per_ms;
	if (missing <= may_lack)
		return 0;
	return (missing - may_lack - 1) / rate->n + 1;
}

uint64_t
limit_full_ms(const struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms)
{
	uint64_t missing = rate->n == 0 ? 0 : lacks(b, rate, now_ms);

	return missing == 0 ? 0 : (missing - 1) / rate->n + 1;
}
