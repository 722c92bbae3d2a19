/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Token buckets, against exact arithmetic: a bucket as the number of tokens
 * times per_ms in 128 bits, filled millisecond by millisecond.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "limit.h"
#include "policy_random.h"

__extension__ typedef unsigned __int128 wide;

/* The content, in tokens / per_ms, of a bucket that was full at `at`. */
struct exact {
	wide content;
	uint64_t at;
};

static void
exact_fill(struct exact *e, const struct limit_rate *r, uint64_t now)
{
	wide full = (wide)r->n * r->per_ms, came = (wide)(now - e->at) * r->n;

	e->content = came > full || e->content + came > full ? full : e->content + came;
	e->at = now;
}

static bool
exact_take(struct exact *e, const struct limit_rate *r, uint64_t now)
{
	exact_fill(e, r, now);
	if (e->content < r->per_ms)
		return false;
	e->content -= r->per_ms;
	return true;
}

static uint64_t
exact_wait(struct exact *e, const struct limit_rate *r, uint64_t now, wide goal)
{
	exact_fill(e, r, now);
	return e->content >= goal ? 0 : (uint64_t)((goal - e->content + r->n - 1) / r->n);
}

static struct limit_rate
any_rate(void)
{
	static const uint32_t edges[] = {
		1, 2, 3, 7, 10, 100, 1000, 65536, UINT32_MAX - 1, UINT32_MAX,
	};
	struct limit_rate r;

	r.n = below(2) ? edges[below(10)] : 1 + below(5000);
	r.per_ms = below(2) ? edges[below(10)] : 1 + below(100000);
	return r;
}

/* Pauses of all sizes, mostly such that the bucket is neither full nor empty. */
static uint64_t
any_pause(const struct limit_rate *r)
{
	switch (below(8)) {
	case 0:
		return 0;
	case 1:
		return next_random() % (2 * (uint64_t)r->per_ms + 1);
	case 2:
		return below(1000) == 0 ? next_random() >> 20 : 1;
	default:
		return next_random() % (2 * ((uint64_t)r->per_ms / r->n) + 2);
	}
}

static void
compare(const struct limit_rate *r, unsigned steps)
{
	uint64_t now = next_random() >> 20;
	struct exact e = { (wide)r->n * r->per_ms, now };
	struct limit_bucket b = { 0, 0 };

	for (unsigned i = 0; i < steps; i++) {
		now += any_pause(r);
		assert_true(limit_wait_ms(&b, r, now) == exact_wait(&e, r, now, r->per_ms));
		assert_true(limit_full_ms(&b, r, now) ==
			    exact_wait(&e, r, now, (wide)r->n * r->per_ms));
		assert_int_equal(limit_take(&b, r, now), exact_take(&e, r, now));
	}
}

static void
test_exact(void **state)
{
	(void)state;
	for (int i = 0; i < 400; i++) {
		struct limit_rate r = any_rate();

		compare(&r, 1000);
	}
}

/* However it is asked, in the long run just n per per_ms come, and n more at
 * the beginning. */
static void
test_no_drift(void **state)
{
	static const struct limit_rate rates[] = {
		{ 3, 1000 }, { 7, 999 }, { 100, 10000 }, { 1000, 7 },
	};

	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct limit_rate *r = &rates[i];
		struct limit_bucket b = { 0, 0 };
		uint64_t got = 0, end = (uint64_t)r->per_ms * 300;

		for (uint64_t now = 0; now <= end; now++)
			while (limit_take(&b, r, now + 12345))
				got++;
		assert_int_equal(got, (uint64_t)r->n * 301);
	}
}

static void
test_burst_then_steady(void **state)
{
	struct limit_rate r = { 100, 10000 };
	struct limit_bucket b = { 0, 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(limit_take(&b, &r, 1000000));
	assert_false(limit_take(&b, &r, 1000000));
	assert_int_equal(limit_wait_ms(&b, &r, 1000000), 100);
	assert_int_equal(limit_full_ms(&b, &r, 1000000), 10000);
	assert_false(limit_take(&b, &r, 1000099));
	assert_true(limit_take(&b, &r, 1000100));
	assert_false(limit_take(&b, &r, 1000100));
	assert_int_equal(limit_full_ms(&b, &r, 1011000), 0);
}

static void
test_no_limit(void **state)
{
	struct limit_rate r = { 0, 0 };
	struct limit_bucket b = { 0, 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(limit_take(&b, &r, 5));
	assert_int_equal(limit_wait_ms(&b, &r, 5), 0);
	assert_int_equal(limit_full_ms(&b, &r, 5), 0);
}

/* After a reload with another rate the bucket heals within the new time. */
static void
test_changed_rate(void **state)
{
	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct limit_rate old = any_rate(), r = any_rate();
		struct limit_bucket b = { 0, 0 };
		uint64_t now = next_random() >> 20;

		for (int k = 0; k < 50; k++)
			(void)limit_take(&b, &old, now);
		assert_true(limit_full_ms(&b, &r, now) <= r.per_ms);
		(void)limit_take(&b, &r, now);
		assert_true(limit_full_ms(&b, &r, now) <= r.per_ms);
		assert_int_equal(limit_wait_ms(&b, &r, now + r.per_ms), 0);
		assert_true(limit_take(&b, &r, now + r.per_ms));
	}
}

/* A clock that jumps back brings no tokens and stops nothing for good. */
static void
test_clock_goes_back(void **state)
{
	struct limit_rate r = { 2, 1000 };
	struct limit_bucket b = { 0, 0 };

	(void)state;
	assert_true(limit_take(&b, &r, 9000000));
	assert_true(limit_take(&b, &r, 9000000));
	assert_false(limit_take(&b, &r, 1000));
	assert_false(limit_take(&b, &r, 1499));
	assert_true(limit_take(&b, &r, 1500));
}

static void
test_parse(void **state)
{
	static const struct {
		const char *text;
		uint32_t n, per_ms;
	} good[] = {
		{ "", 0, 0 }, { "0", 0, 0 }, { "100/10s", 100, 10000 }, { "1/1ms", 1, 1 },
		{ "5/2min", 5, 120000 }, { "1/1h", 1, 3600000 }, { "7/1d", 7, 86400000 },
		{ "4294967295/4294967295ms", UINT32_MAX, UINT32_MAX }, { "1/49d", 1, 4233600000 },
	};
	static const char *const bad[] = {
		"/", "1", "1/", "/1s", "0/1s", "1/0s", "1/s", "1/0", "1/10", "-1/1s", "1/-1s",
		"+1/1s", " 1/1s", "1 /1s", "1/ 1s", "1/1s ", "01/1s", "1/01s", "1/1S", "1/1m",
		"1/1sec", "4294967296/1s", "1/4294967296ms", "1/50d", "1.5/1s", "1/1.5s", "1/1s/1s",
		"x", "1e3/1s",
		"99999999999999999999999/1s", "1/99999999999999999999999s", "1/1", "unlimited",
		"00",
	};
	struct limit_rate r;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		r = (struct limit_rate){ 77, 77 };
		assert_int_equal(limit_parse_rate(good[i].text, &r), 0);
		assert_int_equal(r.n, good[i].n);
		assert_int_equal(r.per_ms, good[i].per_ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = (struct limit_rate){ 77, 77 };
		if (limit_parse_rate(bad[i], &r) == 0)
			fail_msg("%s", bad[i]);
		assert_true(r.n == 77 && r.per_ms == 77);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_no_drift),
		cmocka_unit_test(test_burst_then_steady),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_changed_rate),
		cmocka_unit_test(test_clock_goes_back),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
