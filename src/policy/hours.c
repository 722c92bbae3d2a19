/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Hours of opening.  Made when a configuration loads, asked by the judge, in
 * the master, for each peer of a service that has them.
 */
#include "config.h"

#include "hours.h"

#include <errno.h>
#include <stdlib.h>

#include "zone.h"

enum { DAY_S = 86400, SEARCH_DAYS = 16 };

struct window {
	const struct zone *zone;
	struct hours_span span;
	uint8_t days;
};

struct hours {
	uint32_t n, room;
	struct window *windows;
};

struct hours *
hours_new(void)
{
	return calloc(1, sizeof(struct hours));
}

void
hours_free(struct hours *h)
{
	if (!h)
		return;
	free(h->windows);
	free(h);
}

int
hours_add(struct hours *h, const struct hours_entry *e, const struct zone *zone)
{
	struct window *w;

	if (h->room - h->n < e->n) {
		w = reallocarray(h->windows, (size_t)h->n + e->n, sizeof(*w));
		if (!w) {
			errno = ENOMEM;
			return -1;
		}
		h->windows = w;
		h->room = h->n + e->n;
	}
	for (uint8_t i = 0; i < e->n; i++)
		h->windows[h->n++] = (struct window){ zone, e->spans[i], e->days };
	return 0;
}

/* Seconds since 1970 as a clock on the wall has them, in days and seconds. */
struct wall {
	int64_t day;
	int32_t second;
};

static struct wall
wall_of(const struct zone *z, int64_t t)
{
	int64_t local = t + zone_offset(z, t);
	struct wall w = { local / DAY_S, (int32_t)(local % DAY_S) };

	if (w.second < 0) {
		w.second += DAY_S;
		w.day--;
	}
	return w;
}

static bool
has_day(const struct window *w, int64_t day)
{
	int64_t weekday = ((day + 4) % 7 + 7) % 7;	/* the first day was a Thursday */

	return w->days >> weekday & 1;
}

static bool
is_open(const struct window *w, struct wall now)
{
	int32_t minute = now.second / 60;

	if (w->span.from < w->span.to)
		return minute >= w->span.from && minute < w->span.to && has_day(w, now.day);
	return (minute >= w->span.from && has_day(w, now.day)) ||
		(minute < w->span.to && has_day(w, now.day - 1));
}

bool
hours_open(const struct hours *h, int64_t t)
{
	const struct zone *zone = NULL;
	struct wall now = { 0, 0 };

	for (uint32_t i = 0; i < h->n; i++) {
		if (h->windows[i].zone != zone) {
			zone = h->windows[i].zone;
			now = wall_of(zone, t);
		}
		if (is_open(&h->windows[i], now))
			return true;
	}
	return false;
}

/* A time after t before which a window neither opens nor closes. */
static int64_t
step(const struct window *w, int64_t t)
{
	const int32_t edges[] = { w->span.from * 60, w->span.to * 60 };
	int64_t best = zone_next(w->zone, t), at;
	struct wall now = wall_of(w->zone, t);

	for (int i = 0; i < 2; i++) {
		at = t + edges[i] - now.second;
		if (at <= t)
			at += DAY_S;
		best = at < best ? at : best;
	}
	return best;
}

int64_t
hours_next_change(const struct hours *h, int64_t t)
{
	bool open = hours_open(h, t);
	int64_t end = t + (int64_t)SEARCH_DAYS * DAY_S, next, at;

	/* All windows come every week, but a change of the zone may take one. */
	while (t < end) {
		next = INT64_MAX;
		for (uint32_t i = 0; i < h->n; i++) {
			at = step(&h->windows[i], t);
			next = at < next ? at : next;
		}
		if (next == INT64_MAX)
			break;
		t = next;
		if (hours_open(h, t) != open)
			return t;
	}
	return INT64_MAX;
}
