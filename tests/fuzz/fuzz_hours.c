/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Hours of opening, one entry a line.  What is accepted has sound values, can
 * be written down again and means the same; the changes that are told are
 * those that there are.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hours.h"
#include "zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) do { if (!(x)) failed(#x, __LINE__); } while (0)

static const int64_t begin = 1735689600;	/* 2025 */

static void
failed(const char *what, int line)
{
	(void)fprintf(stderr, "fuzz_hours.c:%d: not so: %s\n", line, what);
	abort();
}

static void
check_entry(const struct hours_entry *e)
{
	static const char *const names[] = {
		"sun", "Monday", "TUE", "Wed", "thu", "Fri", "saturday",
	};
	char text[512] = "", one[32];
	struct hours_entry again;
	const char *why;

	CHECK(e->days > 0 && e->days < 0x80);
	CHECK(e->n > 0 && e->n <= HOURS_SPANS);
	CHECK(memchr(e->zone, '\0', sizeof(e->zone)));
	CHECK(e->zone[0] != '/' && !strstr(e->zone, ".."));
	for (int d = 0; d < 7; d++)
		if (e->days >> d & 1) {
			strcat(text, text[0] ? "," : "");
			strcat(text, names[d]);
		}
	for (int i = 0; i < e->n; i++) {
		struct hours_span s = e->spans[i];

		CHECK(s.from < 1440 && s.to <= 1440 && s.from != s.to);
		(void)snprintf(one, sizeof(one), "%c%02d:%02d-%d:%02d", i ? ',' : ' ', s.from / 60,
			       s.from % 60, s.to / 60, s.to % 60);
		strcat(text, one);
	}
	strcat(text, " ");
	strcat(text, e->zone);
	CHECK(hours_parse(text, &again, &why) == 0);
	CHECK(!memcmp(&again, e, sizeof(again)));
}

static void
check_changes(const struct hours *h)
{
	int64_t t = begin, next;

	for (int i = 0; i < 40; i++) {
		next = hours_next_change(h, t);
		CHECK(next > t);
		if (next == INT64_MAX) {
			for (int k = 0; k < 100; k++)
				CHECK(hours_open(h, t + k * 7919) == hours_open(h, t));
			return;
		}
		CHECK(hours_open(h, next) != hours_open(h, t));
		CHECK(hours_open(h, next - 1) == hours_open(h, t));
		CHECK(hours_open(h, t + (next - t) / 2) == hours_open(h, t));
		t = next;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hours *h = hours_new();

	CHECK(h);
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;
		char *line = strndup((const char *)data, len);
		struct hours_entry e;
		const char *why = NULL;

		CHECK(line);
		if (hours_parse(line, &e, &why) == 0) {
			check_entry(&e);
			CHECK(hours_add(h, &e, zone_utc()) == 0);
		} else {
			CHECK(why && *why);
		}
		free(line);
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
	check_changes(h);
	hours_free(h);
	return 0;
}
