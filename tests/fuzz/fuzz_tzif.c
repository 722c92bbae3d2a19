/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Files of time zones.  Whatever is taken has offsets of a day or so at all
 * times, which change only where that is told.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "hours.h"
#include "zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) do { if (!(x)) failed(#x, __LINE__); } while (0)

static void
failed(const char *what, int line)
{
	(void)fprintf(stderr, "fuzz_tzif.c:%d: not so: %s\n", line, what);
	abort();
}

static void
check_from(const struct zone *z, int64_t t, int steps)
{
	int64_t next;
	int32_t offset;

	for (int i = 0; i < steps; i++) {
		offset = zone_offset(z, t);
		CHECK(offset >= -27 * 3600 && offset <= 27 * 3600);
		next = zone_next(z, t);
		CHECK(next > t);
		if (next == INT64_MAX)
			break;
		CHECK(zone_offset(z, next - 1) == offset);
		CHECK(zone_offset(z, t + (int64_t)(((uint64_t)next - (uint64_t)t) / 2)) == offset);
		t = next;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t times[] = {
		INT64_MIN, INT64_MIN / 8, -2208988800, -1, 0, 1735689600, 2145916800, 2147483648,
		4102444800, 253402300800, 315360000000000, INT64_MAX / 8, INT64_MAX - 1,
	};
	const char *why = NULL;
	struct zone *z = zone_load(data, size, &why);
	struct hours_entry e;
	struct hours *h;

	if (!z) {
		CHECK(why && *why);
		return 0;
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		check_from(z, times[i], 30);
	h = hours_new();
	CHECK(h && hours_parse("Mon-Fri 22:00-06:00", &e, &why) == 0);
	CHECK(hours_add(h, &e, z) == 0);
	for (size_t i = 2; i < 11; i++) {
		int64_t next = hours_next_change(h, times[i]);

		CHECK(next > times[i]);
		CHECK(next == INT64_MAX || hours_open(h, next) != hours_open(h, times[i]));
	}
	hours_free(h);
	zone_free(z);
	return 0;
}
