/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of account.c, with the accounts of the machine they run on. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "account.h"

static struct arena *arena;
static struct account_cache *cache;

static int
setup(void **state)
{
	(void)state;
	arena = arena_new();
	cache = account_cache_new(arena);
	return cache ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	account_cache_free(cache);
	account_cache_free(NULL);
	arena_free(arena);
	return 0;
}

static void
test_own_account(void **state)
{
	const struct passwd *pw = getpwuid(getuid());
	const struct conf_account *a, *by_number;
	const char *why = NULL;
	char number[32];

	(void)state;
	if (!pw)
		skip();
	a = account_find(cache, pw->pw_name, NULL, true, &why);
	assert_non_null(a);
	assert_null(why);
	pw = getpwuid(getuid());
	assert_string_equal(a->name, pw->pw_name);
	assert_string_equal(a->home, *pw->pw_dir ? pw->pw_dir : "/");
	assert_int_equal(a->uid, pw->pw_uid);
	assert_int_equal(a->gid, pw->pw_gid);
	assert_true(a->n_groups >= 1);
	assert_int_equal(a->groups[0], pw->pw_gid);
	assert_ptr_equal(a, account_find(cache, pw->pw_name, NULL, true, &why));
	(void)snprintf(number, sizeof(number), "%u", (unsigned)pw->pw_uid);
	by_number = account_find(cache, number, NULL, true, &why);
	assert_ptr_equal(by_number, a);
}

static void
test_without_groups(void **state)
{
	const struct conf_account *a;
	const char *why = NULL;
	char number[32];

	(void)state;
	(void)snprintf(number, sizeof(number), "%u", (unsigned)getuid());
	a = account_find(cache, number, "4242", false, &why);
	assert_non_null(a);
	assert_int_equal(a->gid, 4242);
	assert_int_equal(a->n_groups, 1);
	assert_int_equal(a->groups[0], 4242);
}

static void
test_number_without_account(void **state)
{
	const struct conf_account *a;
	const char *why = NULL;

	(void)state;
	if (getpwuid(4123456789))
		skip();
	assert_null(account_find(cache, "4123456789", NULL, true, &why));
	assert_string_equal(why, "a user without an account needs a group");
	a = account_find(cache, "4123456789", "77", true, &why);
	assert_non_null(a);
	assert_string_equal(a->name, "4123456789");
	assert_string_equal(a->home, "/");
	assert_string_equal(a->shell, "/bin/sh");
	assert_true(a->uid == 4123456789);
	assert_int_equal(a->gid, 77);
	assert_int_equal(a->n_groups, 1);
}

static void
test_unknown(void **state)
{
	/* -1 and its like must never become a uid */
	static const char *const bad[] = {
		"", "no such user", "-1", "4294967295", "4294967296", "0x0", "00", "+0", " 0", "0 ",
		"18446744073709551616",
	};
	const char *why;

	(void)state;
	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			why = NULL;
			assert_null(account_find(cache, bad[i], "0", false, &why));
			assert_string_equal(why, "unknown user");
			why = NULL;
			assert_null(account_find(cache, "0", bad[i], false, &why));
			assert_string_equal(why, "unknown group");
		}
}

static void
test_supplementary_groups(void **state)
{
	const struct passwd *pw;
	const struct group *gr;
	const struct conf_account *a;
	const char *why;
	bool found = false;

	(void)state;
	setgrent();
	while ((gr = getgrent()))
		if (gr->gr_mem[0] && (pw = getpwnam(gr->gr_mem[0])) && pw->pw_gid != gr->gr_gid) {
			a = account_find(cache, gr->gr_mem[0], NULL, true, &why);
			assert_non_null(a);
			for (int i = 0; i < a->n_groups; i++)
				found = found || a->groups[i] == gr->gr_gid;
			assert_true(found);
			break;
		}
	endgrent();
	if (!found)
		skip();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_account),
		cmocka_unit_test(test_without_groups),
		cmocka_unit_test(test_number_without_account),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_supplementary_groups),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
