/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of gate.c: the order of the verdicts, and what is no limit. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gate.h"
#include "zone.h"

#define NOON (INT64_C(1700000000) / 86400 * 86400 + 12 * 3600)
#define NIGHT (NOON + 12 * 3600)

static struct addr
address(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static void
add(struct acl_builder *b, bool allow, const char *text, uint32_t tag)
{
	char why[ACL_WHY_LEN];
	struct acl_entry e;

	assert_int_equal(acl_parse(text, NULL, NULL, &e, why), 0);
	assert_int_equal(acl_add(b, allow, &e, tag), 0);
}

/* 10.0.0.0/8 but 10.6.0.0/16, from 8 to 20 o'clock, load 2, cpu 50, io 10 */
static struct gate
make(void)
{
	struct gate g = { .max_load = 200 };
	struct acl_builder *b = acl_builder_new();
	struct hours_entry e;
	const char *why;

	assert_non_null(b);
	add(b, true, "10.0.0.0/8", 7);
	add(b, false, "10.6.0.0/16", gate_tag(8, 3));
	g.acl = acl_build(b);
	assert_non_null(g.acl);
	acl_builder_free(b);
	assert_int_equal(hours_parse("08:00-20:00", &e, &why), 0);
	g.hours = hours_new();
	assert_non_null(g.hours);
	assert_int_equal(hours_add(g.hours, &e, zone_utc()), 0);
	g.max_pressure[GATE_CPU] = 5000;
	g.max_pressure[GATE_IO] = 1000;
	return g;
}

static void
fini(struct gate *g)
{
	acl_free(g->acl);
	hours_free(g->hours);
}

static void
test_no_gate_lets_all_in(void **state)
{
	struct addr peer = address("192.0.2.1"), none = { 0 };
	struct gate empty = { 0 };
	uint32_t rule = 1;

	(void)state;
	assert_false(gate_wants_load(NULL));
	assert_false(gate_wants_load(&empty));
	assert_int_equal(gate_judge(NULL, &peer, NOON, NULL, &rule), REASON_NONE);
	assert_int_equal(rule, ACL_NO_RULE);
	rule = 1;
	assert_int_equal(gate_judge(&empty, &none, NOON, NULL, &rule), REASON_NONE);
	assert_int_equal(rule, ACL_NO_RULE);
	assert_int_equal(gate_judge(&empty, &peer, INT64_MIN / 16, NULL, NULL), REASON_NONE);
}

static void
test_order_is_access_hours_load(void **state)
{
	const struct gate_load idle = { .load = 0 }, busy = { .load = 900 };
	struct addr in = address("10.1.2.3"), out = address("10.6.0.1"), other = address("::1");
	struct gate g = make();
	uint32_t rule;

	(void)state;
	assert_int_equal(gate_judge(&g, &in, NOON, &idle, &rule), REASON_NONE);
	assert_int_equal(rule, 7);
	assert_int_equal(gate_judge(&g, &in, NOON, &busy, &rule), REASON_LOAD);
	assert_int_equal(rule, 7);
	assert_int_equal(gate_judge(&g, &in, NIGHT, &busy, &rule), REASON_HOURS);
	assert_int_equal(gate_judge(&g, &out, NIGHT, &busy, &rule), REASON_ACCESS);
	assert_int_equal(rule, gate_tag(8, 3));
	assert_int_equal(gate_judge(&g, &other, NIGHT, &busy, &rule), REASON_ACCESS);
	assert_int_equal(rule, ACL_NO_RULE);
	assert_int_equal(gate_judge(&g, &out, NOON, &idle, NULL), REASON_ACCESS);
	fini(&g);
}

static void
test_load(void **state)
{
	struct addr in = address("10.1.2.3");
	struct gate_load load = { .load = 200, .pressure = { 5000, 10000, 1000 } };
	struct gate g = make();

	(void)state;
	assert_true(gate_wants_load(&g));
	/* at most: what is just as much is not too much; memory has no limit */
	assert_int_equal(gate_judge(&g, &in, NOON, &load, NULL), REASON_NONE);
	load.load = 201;
	assert_int_equal(gate_judge(&g, &in, NOON, &load, NULL), REASON_LOAD);
	load.load = GATE_UNKNOWN;
	assert_int_equal(gate_judge(&g, &in, NOON, &load, NULL), REASON_NONE);
	load.pressure[GATE_CPU] = 5001;
	assert_int_equal(gate_judge(&g, &in, NOON, &load, NULL), REASON_PRESSURE);
	load.pressure[GATE_CPU] = GATE_UNKNOWN;
	load.pressure[GATE_IO] = 1001;
	assert_int_equal(gate_judge(&g, &in, NOON, &load, NULL), REASON_PRESSURE);
	g.max_pressure[GATE_IO] = g.max_pressure[GATE_CPU] = 0;
	assert_true(gate_wants_load(&g));
	assert_int_equal(gate_judge(&g, &in, NOON, &load, NULL), REASON_NONE);
	g.max_load = 0;
	assert_false(gate_wants_load(&g));
	assert_int_equal(gate_judge(&g, &in, NOON, NULL, NULL), REASON_NONE);
	g.max_pressure[GATE_MEMORY] = 1;
	assert_true(gate_wants_load(&g));
	fini(&g);
}

static void
test_tags_are_apart(void **state)
{
	(void)state;
	assert_int_equal(gate_tag(5, 0), 5);
	assert_int_not_equal(gate_tag(0, 1), gate_tag(GATE_RULES - 1, 0));
	assert_int_equal(gate_tag(17, 1000000) % GATE_RULES, 17);
	assert_int_equal(gate_tag(17, 1000000) / GATE_RULES, 1000000);
	assert_true(gate_tag(GATE_RULES - 1, 1000000) < ACL_NO_RULE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_gate_lets_all_in),
		cmocka_unit_test(test_order_is_access_hours_load),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_tags_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
