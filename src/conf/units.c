/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Numbers with units and the other small values of the language.
 *
 * strtol() and its kind are not used: they take leading blanks and signs, and
 * base 0 reads 010 as eight.  A number here is "0" or digits that begin with
 * 1-9; a unit follows at once or not at all.
 *
 * Pure; called by whatever reads a setting.
 */
#include "config.h"

#include "units.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* For reading any may match; for printing, the largest that divides, so they
 * go upwards and the name that is printed comes first of its factor. */
static const struct unit durations[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "min", 60 * 1000 },
	{ "h", 3600 * 1000 },
	{ "d", 24 * 3600 * 1000 },
	{ NULL, 0 },
};

static const struct unit sizes[] = {
	{ "", 1 },
	{ "KiB", UINT64_C(1) << 10 },
	{ "k", UINT64_C(1) << 10 },
	{ "K", UINT64_C(1) << 10 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "M", UINT64_C(1) << 20 },
	{ "GiB", UINT64_C(1) << 30 },
	{ "G", UINT64_C(1) << 30 },
	{ "TiB", UINT64_C(1) << 40 },
	{ "T", UINT64_C(1) << 40 },
	{ NULL, 0 },
};

/* The digits at the beginning; returns what follows, NULL if there are none,
 * one too many in front, or more than 64 bits. */
static const char *
digits(const char *s, uint64_t *ret)
{
	uint64_t n = 0;
	unsigned d;

	if (*s < '0' || *s > '9')
		return NULL;
	if (*s == '0' && s[1] >= '0' && s[1] <= '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		d = (unsigned)(*s - '0');
		if (n > (UINT64_MAX - d) / 10)
			return NULL;
		n = n * 10 + d;
	}
	*ret = n;
	return s;
}

static int
with_unit(const char *s, const struct unit *u, uint64_t max, uint64_t *ret)
{
	uint64_t n;

	s = digits(s, &n);
	if (!s)
		return -1;
	if (n == 0 && !*s) {
		*ret = 0;
		return 0;
	}
	for (; u->name; u++)
		if (!strcmp(s, u->name))
			break;
	if (!u->name || n > max / u->factor)
		return -1;
	*ret = n * u->factor;
	return 0;
}

int
units_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t n;

	s = digits(s, &n);
	if (!s || *s || n < min || n > max)
		return -1;
	*ret = n;
	return 0;
}

int
units_duration_ms(const char *s, uint32_t *ret)
{
	uint64_t n;

	if (with_unit(s, durations, UINT32_MAX, &n) < 0)
		return -1;
	*ret = (uint32_t)n;
	return 0;
}

bool
units_duration_is_long(const char *s)
{
	uint64_t n;

	return with_unit(s, durations, UINT64_MAX, &n) == 0 && n > UINT32_MAX;
}

int
units_size(const char *s, uint64_t *ret)
{
	return with_unit(s, sizes, UINT64_MAX, ret);
}

int
units_decimal(const char *s, uint32_t max, uint32_t *ret)
{
	static const unsigned weights[] = { 10, 1 };
	uint64_t n;
	size_t i;

	s = digits(s, &n);
	if (!s || n > UINT32_MAX)
		return -1;
	n *= 100;
	if (*s == '.' && s[1]) {
		s++;
		for (i = 0; i < 2 && *s >= '0' && *s <= '9'; i++, s++)
			n += (uint64_t)(*s - '0') * weights[i];
	}
	if (*s || n > max)
		return -1;
	*ret = (uint32_t)n;
	return 0;
}

int
units_octal(const char *s, unsigned max, unsigned *ret)
{
	unsigned n = 0, d;

	if (s[0] == '0' && s[1] == 'o')
		s += 2;
	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '7')
			return -1;
		d = (unsigned)(*s - '0');
		if (d > max || n > (max - d) / 8)
			return -1;
		n = n * 8 + d;
	}
	*ret = n;
	return 0;
}

int
units_bool(const char *s, bool *ret)
{
	static const char *const names[][2] = {
		{ "no", "yes" }, { "false", "true" }, { "off", "on" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (int v = 0; v < 2; v++)
			if (!strcmp(s, names[i][v])) {
				*ret = v;
				return 0;
			}
	return -1;
}

static const char *
print(uint64_t n, const struct unit *u, char *buf)
{
	const struct unit *best = u;

	for (; n && u->name; u++)
		if (u->factor > best->factor && n % u->factor == 0)
			best = u;
	(void)snprintf(buf, 32, "%" PRIu64 "%s", n / best->factor, n ? best->name : "");
	return buf;
}

const char *
units_print_duration(uint32_t ms, char *buf)
{
	return print(ms, durations, buf);
}

const char *
units_print_size(uint64_t bytes, char *buf)
{
	return print(bytes, sizes, buf);
}

const char *
units_print_decimal(uint32_t hundredths, char *buf)
{
	unsigned whole = hundredths / 100, rest = hundredths % 100;

	if (rest == 0)
		(void)snprintf(buf, 32, "%u", whole);
	else if (rest % 10 == 0)
		(void)snprintf(buf, 32, "%u.%u", whole, rest / 10);
	else
		(void)snprintf(buf, 32, "%u.%02u", whole, rest);
	return buf;
}
