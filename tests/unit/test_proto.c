/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The message table: what proto_check lets through is exactly what the header
 * promises, for every type, direction, state, size and descriptor.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto.h"

static const struct {
	const char *name;
	size_t size;
	enum proto_direction dir;
	bool fd;
	const char *states;	/* n(ew) s(tarted) r(unning) */
} want[MSG_MAX] = {
	[MSG_START] = { "start", sizeof(struct msg_start), PROTO_DOWN, true, "n" },
	[MSG_ERRLOG] = { "errlog", sizeof(struct msg_empty), PROTO_DOWN, true, "sr" },
	[MSG_CONTROL] = { "control", sizeof(struct msg_empty), PROTO_DOWN, true, "sr" },
	[MSG_CONN] = { "conn", sizeof(struct msg_conn), PROTO_DOWN, true, "r" },
	[MSG_DGRAM] = { "dgram", sizeof(struct msg_dgram), PROTO_DOWN, true, "r" },
	[MSG_DGRAM_DROP] = { "dgram-drop", sizeof(struct msg_dgram_drop), PROTO_DOWN, false, "r" },
	[MSG_SESSION] = { "session", sizeof(struct msg_session), PROTO_DOWN, true, "r" },
	[MSG_VERDICT] = { "verdict", sizeof(struct msg_verdict), PROTO_DOWN, false, "r" },
	[MSG_CLOSE] = { "close", sizeof(struct msg_close), PROTO_DOWN, false, "r" },
	[MSG_PREFIX] = { "prefix", sizeof(struct msg_prefix), PROTO_DOWN, true, "r" },
	[MSG_GREET] = { "greet", sizeof(struct msg_greet), PROTO_DOWN, true, "r" },
	[MSG_REFUSE] = { "refuse", sizeof(struct msg_refuse), PROTO_DOWN, true, "r" },
	[MSG_LINGER] = { "linger", sizeof(struct msg_linger), PROTO_DOWN, true, "r" },
	[MSG_MUX] = { "mux", sizeof(struct msg_mux), PROTO_DOWN, false, "r" },
	[MSG_STOP] = { "stop", sizeof(struct msg_empty), PROTO_DOWN, false, "sr" },
	[MSG_READY] = { "ready", sizeof(struct msg_empty), PROTO_UP, false, "s" },
	[MSG_ASK] = { "ask", sizeof(struct msg_ask), PROTO_UP, false, "r" },
	[MSG_ENDED] = { "ended", sizeof(struct msg_ended), PROTO_UP, false, "r" },
	[MSG_PASSED] = { "passed", sizeof(struct msg_passed), PROTO_UP, false, "r" },
	[MSG_ERRLINE] = { "errline", sizeof(struct msg_errline), PROTO_UP, false, "r" },
	[MSG_COUNT] = { "count", sizeof(struct msg_count), PROTO_UP, false, "r" },
};

static bool
allowed(unsigned type, size_t len, unsigned head, bool fd, enum proto_direction dir,
	enum proto_state state)
{
	return type >= 1 && type < MSG_MAX && len == want[type].size && head == len &&
	       fd == want[type].fd && dir == want[type].dir &&
	       strchr(want[type].states, "nsr"[state]) != NULL;
}

static void
try_one(unsigned type, size_t len, unsigned head, bool fd, enum proto_direction dir,
	enum proto_state state)
{
	enum proto_state after = state;
	union msg m;
	const char *wrong;

	memset(&m, 0xa5, sizeof(m));
	m.head.type = (uint16_t)type;
	m.head.size = (uint16_t)head;
	wrong = proto_check(&m, len, fd, dir, &after);
	if (allowed(type, len, head, fd, dir, state))
		assert_null(wrong);
	else
		assert_non_null(wrong);
	if (wrong == NULL && type == MSG_START)
		assert_int_equal(after, PROTO_STARTED);
	else if (wrong == NULL && type == MSG_READY)
		assert_int_equal(after, PROTO_RUNNING);
	else
		assert_int_equal(after, state);
}

static void
test_every_combination(void **data)
{
	static const unsigned types[] = { MSG_MAX + 1, 255, 256, 257, 32768, 65535 };

	(void)data;
	for (unsigned t = 0; t < MSG_MAX + 1 + sizeof(types) / sizeof(types[0]); t++) {
		unsigned type = t <= MSG_MAX ? t : types[t - MSG_MAX - 1];
		size_t size = type < MSG_MAX ? want[type].size : 4;

		for (unsigned bits = 0; bits < 12; bits++)
			for (size_t len = 0; len <= sizeof(union msg); len++) {
				enum proto_direction dir = bits & 1 ? PROTO_UP : PROTO_DOWN;
				enum proto_state state = (enum proto_state)(bits / 4);

				try_one(type, len, (unsigned)len, bits & 2, dir, state);
				try_one(type, len, (unsigned)size, bits & 2, dir, state);
				try_one(type, size, (unsigned)len, bits & 2, dir, state);
			}
	}
}

static void
test_names_and_sizes(void **data)
{
	(void)data;
	assert_string_equal(proto_name(0), "?");
	assert_string_equal(proto_name(MSG_MAX), "?");
	assert_string_equal(proto_name(UINT32_MAX), "?");
	assert_int_equal(proto_size(0), 0);
	assert_int_equal(proto_size(MSG_MAX), 0);
	assert_int_equal(proto_size(UINT32_MAX), 0);
	assert_false(proto_has_fd(0));
	assert_false(proto_has_fd(MSG_MAX));
	for (unsigned t = 1; t < MSG_MAX; t++) {
		assert_string_equal(proto_name(t), want[t].name);
		assert_int_equal(proto_size(t), want[t].size);
		assert_int_equal(proto_has_fd(t), want[t].fd);
	}
}

static void
test_nothing_up_carries_a_descriptor(void **data)
{
	(void)data;
	for (unsigned t = 1; t < MSG_MAX; t++)
		assert_false(want[t].dir == PROTO_UP && proto_has_fd(t));
}

static void
test_start_sequence(void **data)
{
	enum proto_state state = PROTO_NEW;
	union msg m;

	(void)data;
	memset(&m, 0, sizeof(m));
	m.head.type = MSG_START;
	m.head.size = sizeof(m.start);
	assert_null(proto_check(&m, sizeof(m.start), true, PROTO_DOWN, &state));
	assert_non_null(proto_check(&m, sizeof(m.start), true, PROTO_DOWN, &state));
	m.head.type = MSG_READY;
	m.head.size = sizeof(m.empty);
	assert_null(proto_check(&m, sizeof(m.empty), false, PROTO_UP, &state));
	assert_non_null(proto_check(&m, sizeof(m.empty), false, PROTO_UP, &state));
	assert_int_equal(state, PROTO_RUNNING);
}

static void
test_internal_names(void **data)
{
	static const char *const names[] = {
		"echo", "discard", "chargen", "daytime", "time", "tcpmux"
	};

	(void)data;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		enum internal in = internal_parse(names[i]);

		assert_int_equal(in, INTERNAL_ECHO + i);
		assert_string_equal(internal_name(in), names[i]);
	}
	assert_int_equal(internal_parse(""), INTERNAL_NONE);
	assert_int_equal(internal_parse("?"), INTERNAL_NONE);
	assert_int_equal(internal_parse("Echo"), INTERNAL_NONE);
	assert_string_equal(internal_name(INTERNAL_NONE), "?");
	assert_string_equal(internal_name(INTERNAL_MAX), "?");
	assert_string_equal(internal_name((enum internal)-1), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_combination),
		cmocka_unit_test(test_names_and_sizes),
		cmocka_unit_test(test_nothing_up_carries_a_descriptor),
		cmocka_unit_test(test_start_sequence),
		cmocka_unit_test(test_internal_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
