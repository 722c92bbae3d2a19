/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of sources: whatever is taken and dropped in whatever order, it
 * counts as a list would that is searched from end to end.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "srctab.h"

enum { SIZE = 100, KEYS = 60, SERVICES = 3, STEPS = 200000 };

static const uint8_t secret[16] = "0123456789abcdef";

static uint32_t
next_random(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static struct addr
ip4(uint32_t n)
{
	struct addr a = { .family = AF_INET };

	for (int i = 0; i < 4; i++)
		a.ip[i] = (uint8_t)(n >> (24 - 8 * i));
	return a;
}

static struct addr
address(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

/* Keys of all three families; some differ in their last bits only. */
static struct addr
key_of(uint32_t i)
{
	struct addr a = { .family = AF_INET6 };

	if (i % 3 == 0)
		return ip4(0x0a000000 + i);
	if (i % 3 == 1) {
		a.ip[0] = 0x20;
		a.ip[15] = (uint8_t)i;
		return a;
	}
	a.family = AF_UNIX;
	a.cred.uid = i;
	return a;
}

struct naive {
	uint32_t count[SERVICES][KEYS], entry[SERVICES][KEYS], used;
};

static void
take(struct srctab *t, struct naive *n, uint32_t s, uint32_t k)
{
	struct addr key = key_of(k);
	uint32_t entry = srctab_take(t, s, &key);

	if (n->count[s][k] == 0 && n->used == SIZE) {
		assert_int_equal(entry, SRCTAB_NONE);
		return;
	}
	assert_true(entry < SIZE);
	if (n->count[s][k] == 0)
		n->used++;
	else
		assert_int_equal(entry, n->entry[s][k]);
	n->count[s][k]++;
	n->entry[s][k] = entry;
}

static void
drop(struct srctab *t, struct naive *n, uint32_t s, uint32_t k)
{
	if (n->count[s][k] == 0)
		return;
	srctab_drop(t, n->entry[s][k]);
	if (--n->count[s][k] == 0)
		n->used--;
}

static void
compare_all(const struct srctab *t, const struct naive *n)
{
	assert_int_equal(srctab_entries(t), n->used);
	for (uint32_t s = 0; s < SERVICES; s++)
		for (uint32_t k = 0; k < KEYS; k++) {
			struct addr key = key_of(k);

			assert_int_equal(srctab_count(t, s, &key), n->count[s][k]);
		}
}

/* There are more sources than places, so that the table is full at times. */
static void
test_like_a_naive_table(void **state)
{
	struct srctab *t = srctab_new(SIZE, secret);
	struct naive n;
	uint32_t full = 0;

	(void)state;
	assert_non_null(t);
	memset(&n, 0, sizeof(n));
	for (uint32_t i = 0; i < STEPS; i++) {
		uint32_t s = next_random() % SERVICES, k = next_random() % KEYS;
		/* waves, so that it is both filled and emptied */
		bool up = next_random() % 100 < (i / 2000 % 2 ? 35U : 65U);

		if (up)
			take(t, &n, s, k);
		else
			drop(t, &n, s, k);
		assert_int_equal(srctab_entries(t), n.used);
		full += n.used == SIZE;
		if (i % 997 == 0)
			compare_all(t, &n);
	}
	assert_true(full > 0);
	compare_all(t, &n);
	for (uint32_t s = 0; s < SERVICES; s++)
		for (uint32_t k = 0; k < KEYS; k++)
			while (n.count[s][k] > 0)
				drop(t, &n, s, k);
	assert_int_equal(srctab_entries(t), 0);
	compare_all(t, &n);
	srctab_free(t);
}

/* A full table refuses new sources, counts on for those it has, and throws
 * nobody out. */
static void
test_full(void **state)
{
	struct srctab *t = srctab_new(8, secret);
	uint32_t entry[8];
	struct addr a;

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		a = ip4(i);
		entry[i] = srctab_take(t, 1, &a);
		assert_true(entry[i] < 8);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(entry[i], entry[k]);
	}
	a = ip4(100);
	assert_int_equal(srctab_take(t, 1, &a), SRCTAB_NONE);
	assert_int_equal(srctab_count(t, 1, &a), 0);
	srctab_drop(t, SRCTAB_NONE);
	assert_int_equal(srctab_entries(t), 8);
	for (uint32_t i = 0; i < 8; i++) {
		a = ip4(i);
		assert_int_equal(srctab_count(t, 1, &a), 1);
		assert_int_equal(srctab_take(t, 1, &a), entry[i]);
		assert_int_equal(srctab_count(t, 1, &a), 2);
	}
	srctab_free(t);
}

static void
test_a_free_place_is_used_again(void **state)
{
	struct srctab *t = srctab_new(4, secret);
	uint32_t entry[4];
	struct addr a;

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		a = ip4(i);
		entry[i] = srctab_take(t, 0, &a);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		a = ip4(i);
		srctab_drop(t, entry[i % 4]);
		assert_int_equal(srctab_count(t, 0, &a), 0);
		assert_int_equal(srctab_entries(t), 3);
		a = ip4(i + 4);
		entry[i % 4] = srctab_take(t, 0, &a);
		assert_true(entry[i % 4] < 4);
		for (uint32_t k = i + 1; k <= i + 4; k++) {
			a = ip4(k);
			assert_int_equal(srctab_count(t, 0, &a), 1);
		}
	}
	srctab_free(t);
}

static void
test_one_entry(void **state)
{
	struct srctab *t = srctab_new(1, secret);
	struct addr a = ip4(1), b = ip4(2);

	(void)state;
	assert_int_equal(srctab_take(t, 0, &a), 0);
	assert_int_equal(srctab_take(t, 0, &b), SRCTAB_NONE);
	srctab_drop(t, 0);
	assert_int_equal(srctab_take(t, 0, &b), 0);
	srctab_free(t);
	srctab_free(NULL);
}

/* A source is an address at a service. */
static void
test_services_count_apart(void **state)
{
	struct srctab *t = srctab_new(16, secret);
	struct addr a = ip4(7);

	(void)state;
	assert_int_not_equal(srctab_take(t, 1, &a), srctab_take(t, 2, &a));
	assert_int_not_equal(srctab_take(t, 1, &a), SRCTAB_NONE);
	assert_int_equal(srctab_count(t, 1, &a), 2);
	assert_int_equal(srctab_count(t, 2, &a), 1);
	assert_int_equal(srctab_count(t, 3, &a), 0);
	srctab_free(t);
}

static bool
same_source(const char *a, const char *b, unsigned prefix4, unsigned prefix6)
{
	struct addr x = address(a), y = address(b);

	x.port = 1000;
	y.port = 2000;
	x = srctab_key(&x, prefix4, prefix6);
	y = srctab_key(&y, prefix4, prefix6);
	return memcmp(&x, &y, sizeof(x)) == 0;
}

static void
test_prefixes(void **state)
{
	(void)state;
	assert_true(same_source("192.0.2.7", "192.0.2.7", 32, 64));
	assert_false(same_source("192.0.2.7", "192.0.2.6", 32, 64));
	assert_true(same_source("192.0.2.7", "192.0.2.6", 31, 64));
	assert_true(same_source("192.0.2.7", "192.0.2.250", 24, 64));
	assert_false(same_source("192.0.2.7", "192.0.3.7", 24, 64));
	assert_true(same_source("1.2.3.4", "200.0.0.1", 0, 64));
	assert_true(same_source("2001:db8::1", "2001:db8::ffff:0:0:1", 32, 64));
	assert_false(same_source("2001:db8::1", "2001:db8:0:1::1", 32, 64));
	assert_true(same_source("2001:db8::1", "2001:db8:0:1::1", 32, 63));
	assert_false(same_source("2001:db8::1", "2001:db8::2", 32, 128));
	assert_true(same_source("2001:db8::1", "fe80::2", 32, 0));
	/* a mapped address is the IPv4 address, and neither is the other family */
	assert_true(same_source("::ffff:192.0.2.7", "192.0.2.7", 32, 64));
	assert_false(same_source("0.0.0.0", "::", 0, 0));
	/* the interface does not make another source */
	assert_true(same_source("fe80::1%1", "fe80::1%2", 32, 64));
}

static void
test_unix_peers_by_uid(void **state)
{
	struct addr a = { .family = AF_UNIX, .cred = { .pid = 10, .uid = 1000, .gid = 5 } };
	struct addr b = { .family = AF_UNIX, .cred = { .pid = 11, .uid = 1000, .gid = 6 } };
	struct addr c = { .family = AF_UNIX, .cred = { .pid = 10, .uid = 1001, .gid = 5 } };

	(void)state;
	a = srctab_key(&a, 32, 64);
	b = srctab_key(&b, 32, 64);
	c = srctab_key(&c, 32, 64);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_not_equal(&a, &c, sizeof(a));
}

/* However unlucky the addresses, the number of a chain's entries depends on a
 * secret: with another secret it is another table, but it counts the same. */
static void
test_other_secrets(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < 20; i++) {
		uint8_t key[16] = { i };
		struct srctab *t = srctab_new(512, key);

		for (uint32_t k = 0; k < 512; k++) {
			struct addr a = ip4(k << 8);

			assert_int_not_equal(srctab_take(t, i, &a), SRCTAB_NONE);
		}
		for (uint32_t k = 0; k < 512; k++) {
			struct addr a = ip4(k << 8);

			assert_int_equal(srctab_count(t, i, &a), 1);
		}
		srctab_free(t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_a_naive_table),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_a_free_place_is_used_again),
		cmocka_unit_test(test_one_entry),
		cmocka_unit_test(test_services_count_apart),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_unix_peers_by_uid),
		cmocka_unit_test(test_other_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
