/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of arena.c. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"

static void
test_equal_strings_once(void **state)
{
	struct arena *a = arena_new();
	char copy[] = "nobody";
	const char *one = arena_string(a, "nobody");

	(void)state;
	assert_string_equal(one, "nobody");
	assert_ptr_equal(one, arena_string(a, copy));
	assert_ptr_not_equal(one, arena_string(a, "nobod"));
	assert_ptr_equal(arena_string(a, ""), arena_string(a, ""));
	assert_ptr_equal(arena_intern(a, NULL, 0), arena_string(a, ""));
	arena_free(a);
}

static void
test_equal_blocks_once(void **state)
{
	struct arena *a = arena_new();
	const uint64_t x[3] = { 1, 2, 3 }, y[3] = { 1, 2, 4 };
	const void *p = arena_intern(a, x, sizeof(x));

	(void)state;
	assert_memory_equal(p, x, sizeof(x));
	assert_ptr_equal(p, arena_intern(a, x, sizeof(x)));
	assert_ptr_not_equal(p, arena_intern(a, y, sizeof(y)));
	assert_ptr_not_equal(p, arena_intern(a, x, sizeof(x) - 8));
	arena_free(a);
}

/* A block that was first seen as bytes is aligned for a struct of its size. */
static void
test_alignment(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	for (size_t size = 1; size < 300; size++) {
		unsigned char data[300];
		size_t align = size & -size;

		memset(data, (int)size, sizeof(data));
		if (align > _Alignof(max_align_t))
			align = _Alignof(max_align_t);
		assert_int_equal((uintptr_t)arena_intern(a, data, size) % align, 0);
		assert_int_equal((uintptr_t)arena_alloc(a, size) % _Alignof(max_align_t), 0);
	}
	arena_free(a);
}

static void
test_zeroed_and_large(void **state)
{
	struct arena *a = arena_new();
	unsigned char *large, *small;

	(void)state;
	for (size_t size = 0; size < 2000000; size = size * 3 + 1) {
		small = arena_alloc(a, 24);
		large = arena_alloc(a, size);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(large[i], 0);
		memset(large, 0xff, size);
		for (size_t i = 0; i < 24; i++)
			assert_int_equal(small[i], 0);
	}
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc(a, SIZE_MAX - 8));
	assert_non_null(arena_alloc(a, 1));
	arena_free(a);
}

static void
test_many(void **state)
{
	static const char *p[20000];
	struct arena *a = arena_new();
	char name[32];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(name, sizeof(name), "service-%d", i);
		p[i] = arena_string(a, name);
	}
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(name, sizeof(name), "service-%d", i);
		assert_string_equal(p[i], name);
		assert_ptr_equal(p[i], arena_string(a, name));
	}
	arena_free(a);
}

static void
test_seal_keeps_what_is_there(void **state)
{
	struct arena *a = arena_new();
	const char *before = arena_string(a, "x"), *after;

	(void)state;
	arena_seal(a);
	assert_string_equal(before, "x");
	after = arena_string(a, "x");
	assert_string_equal(after, "x");
	arena_seal(a);
	arena_free(a);
	arena_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_strings_once),
		cmocka_unit_test(test_equal_blocks_once),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_zeroed_and_large),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_seal_keeps_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
