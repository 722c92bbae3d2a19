/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of who may connect, against a search of all rules one by one.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acl.h"
#include "policy_random.h"

enum { RULES = 300, ASKED = 2100 };	/* of 240 tables, twice: a million */

struct rule {
	struct acl_entry e;
	bool allow;
};

struct rules {
	struct rule r[RULES];
	uint32_t n;
};

static bool
matches(const struct acl_entry *e, const struct addr *a)
{
	if (e->kind == ACL_UID)
		return a->family == AF_UNIX && a->cred.uid == e->id;
	if (e->kind == ACL_GID)
		return a->family == AF_UNIX && a->cred.gid == e->id;
	if (a->family != e->net.family)
		return false;
	for (unsigned i = 0; i < e->bits; i++)
		if ((a->ip[i / 8] ^ e->net.ip[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

/* As DESIGN says it: the longest prefix over both lists, a tie denies; of
 * rules that say the same of the same the first one is told. */
static bool
by_hand(const struct rules *all, const struct addr *a, uint32_t *rule)
{
	const struct rule *best = NULL;
	bool others = true;

	*rule = ACL_NO_RULE;
	if (a->family == 0)
		return all->n == 0;
	for (uint32_t i = 0; i < all->n; i++) {
		const struct rule *r = &all->r[i];

		if (r->allow)
			others = false;
		if (!matches(&r->e, a))
			continue;
		if (!best || r->e.bits > best->e.bits ||
		    (r->e.bits == best->e.bits && best->allow && !r->allow) ||
		    (r->e.bits == best->e.bits && best->allow == r->allow &&
		     r->e.kind < best->e.kind)) {
			best = r;
			*rule = i;
		}
	}
	return best ? best->allow : others;
}

/* Few bits vary, so that prefixes lie within one another and meet. */
static struct addr
any_addr(void)
{
	static const uint8_t bytes[] = { 0, 0, 0, 1, 10, 0x20, 0x7f, 0x80, 0xfe, 0xff, 0xff };
	struct addr a = { .family = AF_INET };
	uint32_t kind = below(20);
	int len = 4;

	if (kind == 0) {
		a.family = 0;
		return a;
	}
	if (kind < 4) {
		a.family = AF_UNIX;
		a.cred.uid = below(12);
		a.cred.gid = below(12);
		return a;
	}
	if (kind < 12) {
		a.family = AF_INET6;
		len = 16;
	}
	for (int i = 0; i < len; i++)
		a.ip[i] = below(6) ? bytes[below(sizeof(bytes))] : (uint8_t)below(256);
	a.port = (uint16_t)below(65536);
	return a;
}

static struct rule
any_rule(bool allow, unsigned max6)
{
	struct rule r = { .allow = allow };

	do
		r.e.net = any_addr();
	while (r.e.net.family == 0);
	if (r.e.net.family == AF_UNIX) {
		r.e.kind = below(2) ? ACL_UID : ACL_GID;
		r.e.id = below(12);
		return r;
	}
	r.e.kind = ACL_NET;
	r.e.bits = (uint8_t)below(r.e.net.family == AF_INET ? 33 : max6 + 1);
	if (below(4) == 0)
		r.e.bits = r.e.net.family == AF_INET ? 32 : (uint8_t)max6;
	addr_mask(&r.e.net, r.e.bits);
	return r;
}

static struct acl *
build(const struct rules *all)
{
	struct acl_builder *b = acl_builder_new();
	struct acl *acl;

	assert_non_null(b);
	for (uint32_t i = 0; i < all->n; i++)
		assert_int_equal(acl_add(b, all->r[i].allow, &all->r[i].e, i), 0);
	acl = acl_build(b);
	assert_non_null(acl);
	acl_builder_free(b);
	return acl;
}

static void
assert_judged(const struct rules *all, const struct acl *acl, const struct addr *a)
{
	uint32_t hand, rule = 77;
	bool may = by_hand(all, a, &hand);

	assert_int_equal(acl_judge(acl, a, &rule), may);
	assert_int_equal(rule, hand);
	assert_int_equal(acl_judge(acl, a, NULL), may);
}

/* One more or one less at the edge of a rule's network. */
static struct addr
near(const struct rule *r)
{
	struct addr a = r->e.net;
	int last = a.family == AF_INET ? 3 : 15;
	bool up = below(2);

	if (a.family == AF_UNIX)
		return a;
	if (below(2)) {		/* from its last address on, else from its first */
		for (int i = r->e.bits; i <= last * 8 + 7; i++)
			a.ip[i / 8] |= (uint8_t)(0x80 >> i % 8);
	}
	if (below(3) == 0)
		return a;
	for (int i = last; i >= 0; i--) {
		a.ip[i] = (uint8_t)(a.ip[i] + (up ? 1 : -1));
		if (a.ip[i] != (up ? 0 : 0xff))
			break;
	}
	return a;
}

static void
compare(uint32_t n, unsigned allow_percent, unsigned max6)
{
	static struct rules all;
	struct acl *acl;
	struct addr a;

	all.n = n;
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0 && below(5) == 0) {		/* the same again, or its opposite */
			all.r[i] = all.r[below(i)];
			all.r[i].allow = below(100) < allow_percent;
		} else {
			all.r[i] = any_rule(below(100) < allow_percent, max6);
		}
	}
	acl = build(&all);
	for (int i = 0; i < ASKED; i++) {
		a = any_addr();
		assert_judged(&all, acl, &a);
		if (n > 0) {
			a = near(&all.r[below(n)]);
			assert_judged(&all, acl, &a);
		}
	}
	acl_free(acl);
}

static void
test_like_a_naive_search(void **state)
{
	static const unsigned allow[] = { 50, 0, 100, 10 };

	(void)state;
	for (unsigned i = 0; i < 240; i++)
		compare(i < 60 ? i / 6 : below(RULES), allow[i % 4], i % 3 ? 128 : 64);
}

static bool
judge(const struct acl *acl, const char *text, uint32_t *rule)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return acl_judge(acl, &a, rule);
}

static void
add(struct acl_builder *b, bool allow, const char *text, uint32_t tag)
{
	char why[ACL_WHY_LEN];
	struct acl_entry e;

	assert_int_equal(acl_parse(text, NULL, NULL, &e, why), 0);
	assert_int_equal(acl_add(b, allow, &e, tag), 0);
}

static void
test_an_example(void **state)
{
	struct acl_builder *b = acl_builder_new();
	struct acl *acl;
	uint32_t rule;

	(void)state;
	add(b, true, "10.0.0.0/8", 1);
	add(b, false, "10.66.0.0/16", 2);
	add(b, true, "10.66.1.1", 3);
	add(b, true, "2001:db8::/32", 4);
	add(b, false, "2001:db8::/32", 5);
	acl = acl_build(b);
	acl_builder_free(b);
	assert_true(judge(acl, "10.1.2.3", &rule));
	assert_int_equal(rule, 1);
	assert_false(judge(acl, "10.66.2.3", &rule));
	assert_int_equal(rule, 2);
	assert_true(judge(acl, "::ffff:10.66.1.1", &rule));
	assert_int_equal(rule, 3);
	assert_false(judge(acl, "2001:db8::1", &rule));
	assert_int_equal(rule, 5);
	assert_false(judge(acl, "192.0.2.1", &rule));
	assert_int_equal(rule, ACL_NO_RULE);
	assert_false(judge(acl, "::1", &rule));
	acl_free(acl);
}

/* A list of those who may that turns out to be empty admits nobody. */
static void
test_S16_empty_allow_list(void **state)
{
	struct addr a[] = {
		{ .family = 0 }, { .family = AF_INET }, { .family = AF_INET6 },
		{ .family = AF_UNIX },
	};

	(void)state;
	for (int deny = 0; deny < 2; deny++) {
		struct acl_builder *b = acl_builder_new();
		struct acl *acl;

		assert_non_null(b);
		if (deny)
			acl_deny_others(b);
		acl = acl_build(b);
		assert_non_null(acl);
		for (int i = 0; i < 4; i++)
			assert_int_equal(acl_judge(acl, &a[i], NULL), !deny);
		acl_free(acl);
		acl_builder_free(b);
	}
	acl_free(NULL);
	acl_builder_free(NULL);
}

static void
test_unix_peers(void **state)
{
	struct addr a = { .family = AF_UNIX, .cred = { .pid = 1, .uid = 1000, .gid = 100 } };
	struct acl_builder *b = acl_builder_new();
	struct acl *acl;
	uint32_t rule;

	(void)state;
	add(b, true, "uid:1000", 1);
	add(b, true, "gid:100", 2);
	add(b, false, "gid:200", 3);
	add(b, false, "uid:3000", 4);
	acl = acl_build(b);
	acl_builder_free(b);
	assert_true(acl_judge(acl, &a, &rule));
	assert_int_equal(rule, 1);
	a.cred.uid = 2000;
	assert_true(acl_judge(acl, &a, &rule));
	assert_int_equal(rule, 2);
	a.cred.uid = 3000;
	assert_false(acl_judge(acl, &a, &rule));
	assert_int_equal(rule, 4);
	a.cred.uid = 1000;
	a.cred.gid = 200;
	assert_false(acl_judge(acl, &a, &rule));
	assert_int_equal(rule, 3);
	a.cred.uid = 1;
	a.cred.gid = 1;
	assert_false(acl_judge(acl, &a, &rule));
	assert_int_equal(rule, ACL_NO_RULE);
	assert_false(judge(acl, "127.0.0.1", &rule));
	acl_free(acl);
}

/* All prefixes from /0 to /128 within one another, in any order. */
static void
test_as_deep_as_can_be(void **state)
{
	static struct rules all;
	struct acl *acl;
	struct addr a;

	(void)state;
	all.n = 129;
	for (uint32_t i = 0; i < 129; i++) {
		uint32_t bits = i * 50 % 129;

		memset(&all.r[i], 0, sizeof(all.r[i]));
		all.r[i].e.net.family = AF_INET6;
		memset(all.r[i].e.net.ip, 0xff, 16);
		all.r[i].e.bits = (uint8_t)bits;
		addr_mask(&all.r[i].e.net, bits);
		all.r[i].allow = bits % 2;
	}
	acl = build(&all);
	for (unsigned i = 0; i <= 128; i++) {
		memset(&a, 0, sizeof(a));
		a.family = AF_INET6;
		memset(a.ip, 0xff, 16);
		if (i < 128)
			a.ip[i / 8] ^= (uint8_t)(0x80 >> i % 8);
		assert_judged(&all, acl, &a);
		assert_int_equal(acl_judge(acl, &a, NULL), i % 2);
	}
	acl_free(acl);
}

/* As many as a list may hold; the memory is that of the intervals. */
static void
test_a_long_list(void **state)
{
	enum { N = 100000 };
	struct acl_builder *b = acl_builder_new();
	struct acl_entry e = { .kind = ACL_NET, .bits = 24, .net = { .family = AF_INET } };
	struct acl *acl;
	uint32_t rule;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		uint32_t k = i * 7919 % N;	/* every second /24 from 1.0.0.0 on */

		e.net.ip[0] = (uint8_t)(1 + (k >> 15));
		e.net.ip[1] = (uint8_t)(k >> 7);
		e.net.ip[2] = (uint8_t)(k << 1);
		assert_int_equal(acl_add(b, true, &e, k), 0);
	}
	acl = acl_build(b);
	acl_builder_free(b);
	assert_non_null(acl);
	assert_true(acl_bytes(acl) < 2 * N * 8 + 1000);
	for (uint32_t k = 0; k < N; k++) {
		struct addr a = { .family = AF_INET, .ip = {
			(uint8_t)(1 + (k >> 15)), (uint8_t)(k >> 7), (uint8_t)(k << 1), (uint8_t)k,
		} };

		assert_true(acl_judge(acl, &a, &rule));
		assert_int_equal(rule, k);
		a.ip[2] |= 1;
		assert_false(acl_judge(acl, &a, &rule));
	}
	acl_free(acl);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_a_naive_search),
		cmocka_unit_test(test_an_example),
		cmocka_unit_test(test_S16_empty_allow_list),
		cmocka_unit_test(test_unix_peers),
		cmocka_unit_test(test_as_deep_as_can_be),
		cmocka_unit_test(test_a_long_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
