/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Token buckets in the table of sources: as if each source had a bucket for
 * ever, while there is room; and if there is none, sessions are never
 * forgotten, and of the others that which was idle longest.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy_random.h"
#include "srctab.h"

enum { KEYS = 80, SERVICES = 2, SOURCES = KEYS * SERVICES, STEPS = 300000 };

static const uint8_t secret[16] = "0123456789abcdef";

static struct addr
ip4(uint32_t n)
{
	struct addr a = { .family = AF_INET };

	for (int i = 0; i < 4; i++)
		a.ip[i] = (uint8_t)(n >> (24 - 8 * i));
	return a;
}

struct naive {
	struct limit_bucket bucket[SOURCES];
	uint32_t count[SOURCES], entry[SOURCES];
	uint64_t used[SOURCES];		/* when it was last used, by step; 0: forgotten */
	uint32_t live;
};

/* One session or token more or less. */
static void
one_step(struct srctab *t, struct naive *n, const struct limit_rate *rates, uint64_t step,
	 uint64_t now)
{
	uint32_t i = below(SOURCES), s = i % SERVICES;
	struct addr key = ip4(i / SERVICES);
	bool may;

	switch (below(5)) {
	case 0:
		n->entry[i] = srctab_take(t, s, &key);
		assert_int_not_equal(n->entry[i], SRCTAB_NONE);
		n->live += n->count[i]++ == 0;
		break;
	case 1:
	case 2:
		if (n->count[i] == 0)
			return;
		srctab_drop(t, n->entry[i]);
		n->live -= --n->count[i] == 0;
		break;
	default:
		assert_true(srctab_wait_ms(t, s, &key, &rates[s], now) ==
			    limit_wait_ms(&n->bucket[i], &rates[s], now));
		may = limit_take(&n->bucket[i], &rates[s], now);
		assert_int_equal(srctab_take_token(t, s, &key, &rates[s], now), may);
	}
	n->used[i] = step;
}

/* There is room for all: nothing is ever forgotten that matters. */
static void
test_like_a_bucket_each(void **state)
{
	static const struct limit_rate rates[SERVICES] = { { 5, 4000 }, { 2, 50000 } };
	struct srctab *t = srctab_new(SOURCES, secret);
	static struct naive n;
	uint64_t now = 1000000;

	(void)state;
	assert_non_null(t);
	for (uint32_t i = 1; i <= STEPS; i++) {
		now += below(1000) == 0 ? below(200000) : below(30);
		one_step(t, &n, rates, i, now);
		assert_int_equal(srctab_entries(t), n.live);
		assert_true(srctab_entries(t) + srctab_idle(t) <= SOURCES);
	}
	for (uint32_t i = 0; i < SOURCES; i++) {
		struct addr key = ip4(i / SERVICES);

		assert_int_equal(srctab_count(t, i % SERVICES, &key), n.count[i]);
	}
	assert_int_equal(srctab_evicted(t), 0);
	srctab_free(t);
}

/* Which of a full table's sources without sessions was used longest ago? */
static uint32_t
idlest(const struct naive *n, uint32_t *known)
{
	uint32_t best = SOURCES;

	*known = 0;
	for (uint32_t i = 0; i < SOURCES; i++) {
		if (n->used[i] == 0 && n->count[i] == 0)
			continue;
		(*known)++;
		if (n->count[i] == 0 && (best == SOURCES || n->used[i] < n->used[best]))
			best = i;
	}
	return best;
}

static bool
knows_token(const struct srctab *t, uint32_t i, const struct limit_rate *r, uint64_t now)
{
	struct addr key = ip4(i / SERVICES);

	return srctab_wait_ms(t, i % SERVICES, &key, r, now) > 0;
}

/* Buckets of one token that take for ever: whether a source is known can be
 * seen from outside.  The table has less room than there are sources. */
static void
test_evicts_the_idlest(void **state)
{
	static const struct limit_rate rate = { 1, UINT32_MAX };
	enum { ROOM = 40 };
	struct srctab *t = srctab_new(ROOM, secret);
	static struct naive n;
	uint64_t evicted = 0;
	uint32_t known, i, out;

	(void)state;
	for (uint32_t step = 1; step <= STEPS / 10; step++) {
		struct addr key;

		i = below(SOURCES);
		key = ip4(i / SERVICES);
		out = SOURCES;
		if (n.count[i] > 0 && below(3) > 0) {
			srctab_drop(t, n.entry[i]);
			n.live -= --n.count[i] == 0;
			n.used[i] = step;
			continue;
		}
		if (n.used[i] == 0) {
			out = idlest(&n, &known);
			if (known < ROOM)
				out = SOURCES;
			else if (out == SOURCES) {	/* all have sessions */
				assert_int_equal(srctab_take(t, i % SERVICES, &key), SRCTAB_NONE);
				assert_true(srctab_take_token(t, i % SERVICES, &key, &rate, 1));
				assert_false(knows_token(t, i, &rate, 1));
				continue;
			}
		}
		/* first the token, so that it is remembered without a session */
		assert_int_equal(srctab_take_token(t, i % SERVICES, &key, &rate, 1),
				 n.used[i] == 0);
		if (out != SOURCES) {
			n.used[out] = 0;
			evicted++;
		}
		n.used[i] = step;
		if (below(100) < (step / 3000 % 2 ? 70 : 10)) {
			n.entry[i] = srctab_take(t, i % SERVICES, &key);
			assert_int_not_equal(n.entry[i], SRCTAB_NONE);
			n.live += n.count[i]++ == 0;
		}
		assert_int_equal(srctab_entries(t), n.live);
		assert_int_equal(srctab_evicted(t), evicted);
		if (step % 100 == 0)
			for (uint32_t k = 0; k < SOURCES; k++)
				assert_int_equal(knows_token(t, k, &rate, 1), n.used[k] > 0);
	}
	assert_true(evicted > 1000);
	srctab_free(t);
}

/* Sources come and go, each with a full bucket after a second: the table holds
 * those of about that time, not all that it has room for. */
static void
test_full_buckets_are_let_go(void **state)
{
	static const struct limit_rate rate = { 10, 1000 };
	struct srctab *t = srctab_new(65536, secret);

	(void)state;
	for (uint32_t i = 0; i < 1000000; i++) {
		struct addr key = ip4(i);

		assert_true(srctab_take_token(t, 0, &key, &rate, i));	/* one each ms */
		assert_true(srctab_idle(t) <= 2200);
	}
	assert_int_equal(srctab_evicted(t), 0);
	srctab_free(t);
}

/* A million sources at once: each is served, and those with sessions stay. */
static void
test_flood(void **state)
{
	static const struct limit_rate rate = { 3, 3600000 };
	struct srctab *t = srctab_new(65536, secret);
	struct addr live = ip4(0xffffffff), key;
	uint32_t entry = srctab_take(t, 7, &live);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(srctab_take_token(t, 7, &live, &rate, 5));
	for (uint32_t i = 0; i < 1000000; i++) {
		key = ip4(i);
		assert_true(srctab_take_token(t, 7, &key, &rate, 5));
	}
	assert_int_equal(srctab_entries(t), 1);
	assert_int_equal(srctab_idle(t), 65535);
	assert_int_equal(srctab_evicted(t), 1000000 - 65535);
	assert_int_equal(srctab_count(t, 7, &live), 1);
	assert_false(srctab_take_token(t, 7, &live, &rate, 5));
	/* the newest are known, too: two tokens are left */
	for (int i = 0; i < 3; i++)
		assert_int_equal(srctab_take_token(t, 7, &key, &rate, 5), i < 2);
	srctab_drop(t, entry);
	assert_int_equal(srctab_entries(t), 0);
	assert_int_equal(srctab_idle(t), 65536);
	srctab_free(t);
}

static bool
is_odd(uint32_t service, void *arg)
{
	(*(unsigned *)arg)++;
	return service % 2 == 1;
}

static void
test_forget(void **state)
{
	static const struct limit_rate rate = { 1, 1000000 };
	struct srctab *t = srctab_new(100, secret);
	unsigned asked = 0;
	uint32_t entry = SRCTAB_NONE;

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		struct addr key = ip4(i / 2);

		assert_true(srctab_take_token(t, i % 2, &key, &rate, 1));
		if (i == 31)
			entry = srctab_take(t, 1, &key);
	}
	srctab_forget(t, is_odd, &asked);
	assert_int_equal(asked, 99);
	assert_int_equal(srctab_idle(t), 50);
	assert_int_equal(srctab_entries(t), 1);
	for (uint32_t i = 0; i < 100; i++) {
		struct addr key = ip4(i / 2);

		assert_int_equal(srctab_take_token(t, i % 2, &key, &rate, 1), i % 2 && i != 31);
	}
	srctab_drop(t, entry);
	assert_int_equal(srctab_idle(t), 100);
	srctab_free(t);
}

/* Without a rate nothing is kept of a source whose sessions have ended. */
static void
test_no_rate_no_trace(void **state)
{
	static const struct limit_rate none = { 0, 0 };
	struct srctab *t = srctab_new(4, secret);
	struct addr key = ip4(1);
	uint32_t entry;

	(void)state;
	assert_true(srctab_take_token(t, 1, &key, &none, 1));
	assert_int_equal(srctab_wait_ms(t, 1, &key, &none, 1), 0);
	assert_int_equal(srctab_idle(t), 0);
	entry = srctab_take(t, 1, &key);
	srctab_drop(t, entry);
	assert_int_equal(srctab_idle(t), 0);
	assert_int_equal(srctab_entries(t), 0);
	srctab_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_a_bucket_each),
		cmocka_unit_test(test_evicts_the_idlest),
		cmocka_unit_test(test_full_buckets_are_let_go),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_no_rate_no_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
