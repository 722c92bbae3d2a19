/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What /proc says: names and environments are chosen by others.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proctab.h"

#define REST " 0 -1 4194560 5 0 0 0 1 2 3 4 20 0 "

static bool
parse(const char *line, struct proc *ret)
{
	return proctab_parse(line, strlen(line), ret);
}

static void
test_lines(void **state)
{
	static const char *const names[] = {
		"(sh)", "()", "(a b)", "(a) R 1 1 1)", "(()", "())", "(\n)", "(a\n2 (b) S 1 1 1)",
		"(123 (x) Z 7 7 7 0)", "(\\ \xff)",
	};
	struct proc p;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char line[256];

		(void)snprintf(line, sizeof(line),
			       "4711 %s S 12 13 14" REST "1 0 987654321 5 6 7\n", names[i]);
		if (!parse(line, &p))
			fail_msg("%s", line);
		assert_int_equal(p.pid, 4711);
		assert_int_equal(p.parent, 12);
		assert_int_equal(p.group, 13);
		assert_int_equal(p.session, 14);
		assert_int_equal(p.start, 987654321);
		assert_false(p.dead);
		assert_int_equal(p.above, -1);
		assert_int_equal(p.kin, PROCTAB_UNKNOWN);
		/* cut anywhere it is another number or nothing */
		for (size_t n = 0; n < strlen(line); n++)
			(void)proctab_parse(line, n, &p);
	}
}

static void
test_dead(void **state)
{
	struct proc p;

	(void)state;
	assert_true(parse("7 (a) Z 1 7 7" REST "1 0 5 6", &p));
	assert_true(p.dead);
	assert_true(parse("7 (a) X 0 7 7" REST "0 0 5 6", &p));
	assert_true(p.dead);
	assert_true(parse("7 (a) T 1 7 7" REST "1 0 5 6", &p));
	assert_false(p.dead);
	/* its first thread has ended, others go on */
	assert_true(parse("7 (a) Z 1 7 7" REST "3 0 5 6", &p));
	assert_false(p.dead);
}

static void
test_no_lines(void **state)
{
	static const char *const lines[] = {
		"", " ", "7", "7 (a", "7 (a)", "7 (a) ", "7 (a) S", "7 (a) S 1 2 3", "(a) S 1 2 3",
		"x (a) S 1 7 7" REST "1 0 5 6", "0 (a) S 1 7 7" REST "1 0 5 6",
		"12345678901 (a) S 1 7 7" REST "1 0 5 6", "-7 (a) S 1 7 7" REST "1 0 5 6",
		"7 (a)S 1 7 7" REST "1 0 5 6", "7 (a) S  1 7 7" REST "1 0 5 6",
		"7 (a) S 1 7 7" REST "1 0", "7 (a) SS 1 7 7" REST "1 0 5 6",
	};
	struct proc p = { .pid = 99 };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (parse(lines[i], &p))
			fail_msg("\"%s\"", lines[i]);
	assert_int_equal(p.pid, 99);
}

/* In pieces of every size it is the same. */
static void
check_environ(const char *env, size_t len, bool found, uint64_t value)
{
	for (size_t size = 1; size <= len; size++) {
		uint64_t n = 0;
		bool ok = false;
		int at = 0;

		for (size_t i = 0; i < len && !ok; i += size) {
			char *piece = malloc(size);	/* an end that is guarded */
			size_t k = len - i < size ? len - i : size;

			assert_non_null(piece);
			memcpy(piece, env + i, k);
			ok = proctab_parse_connection(piece, k, &at, &n);
			free(piece);
		}
		if (ok != found || (found && n != value))
			fail_msg("\"%s\" by %zu: %d %llu", env, size, ok, (unsigned long long)n);
	}
}

#define CHECK(env, found, value) check_environ(env, sizeof(env), found, value)
#define VAR "HATCHD_CONNECTION"

static void
test_environments(void **state)
{
	(void)state;
	CHECK(VAR "=1", true, 1);
	CHECK("A=1\0" VAR "=12345\0B=2", true, 12345);
	CHECK("A=1\0" VAR "=1\0" VAR "=2", true, 1);
	CHECK(VAR "=99999999999999999999", false, 0);
	CHECK(VAR "=9999999999999999999", true, 9999999999999999999u);
	CHECK(VAR "=0", true, 0);
	CHECK(VAR "=", false, 0);
	CHECK(VAR "=\0" VAR "=3", true, 3);
	CHECK(VAR, false, 0);
	CHECK(VAR "S=1", false, 0);
	CHECK("X" VAR "=1", false, 0);
	CHECK("X=" VAR "=1", false, 0);
	CHECK(VAR "=1x", false, 0);
	CHECK(VAR "=-1", false, 0);
	CHECK(VAR "= 1", false, 0);
	CHECK("HATCHD_HATCHD_CONNECTION=1", false, 0);
	CHECK("\0\0\0" VAR "=4\0\0", true, 4);
	CHECK("", false, 0);
	/* what was cut off is not a number */
	check_environ(VAR "=12", sizeof(VAR "=12") - 1, false, 0);
}

static void
check_kin(const pid_t parents[], int n, const char *expected)
{
	struct proctab t = { .n = n, .room = n };
	char got[32] = "";

	t.procs = calloc((size_t)n, sizeof(*t.procs));
	assert_non_null(t.procs);
	for (int i = 0; i < n; i++) {
		t.procs[i].above = parents[i];
		if (expected[i] == 'R')
			t.procs[i].kin = PROCTAB_IN;
	}
	proctab_spread(&t);
	for (int i = 0; i < n; i++) {
		assert_int_not_equal(t.procs[i].kin, PROCTAB_UNKNOWN);
		got[i] = t.procs[i].kin == PROCTAB_OUT ? '-' : expected[i] == 'R' ? 'R' : 'x';
	}
	assert_string_equal(got, expected);
	proctab_free(&t);
	assert_null(t.procs);
}

static void
test_kin(void **state)
{
	(void)state;
	check_kin((pid_t []){ -1, 0, 1, 2, 3 }, 5, "-Rxxx");
	check_kin((pid_t []){ -1, 0, 0, 1, 2, 3, 4 }, 7, "-R-x-x-");
	check_kin((pid_t []){ 3, 2, 4, -1, 3 }, 5, "---" "--");
	check_kin((pid_t []){ 1, 2, 3, 4, -1 }, 5, "xxxxR");	/* the pids went round */
	check_kin((pid_t []){ 1, 2, 0, 2 }, 4, "----");		/* a ring */
	check_kin((pid_t []){ 1, 2, 0, 2 }, 4, "xRxx");
	check_kin((pid_t []){ 0, 0 }, 2, "--");
	check_kin((pid_t []){ -1, 0, 1, 2, 3 }, 5, "-RxRx");
}

static void
test_this_machine(void **state)
{
	struct proctab t = { 0 };
	const struct proc *p, *child;
	struct proc other;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		/* the worst name that fits */
		(void)prctl(PR_SET_NAME, ") R 1 1 1\n(", 0, 0, 0);
		(void)raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	assert_int_equal(proctab_read(&t), 0);
	p = proctab_find(&t, getpid());
	child = proctab_find(&t, pid);
	assert_non_null(p);
	assert_non_null(child);
	assert_int_equal(p->parent, getppid());
	assert_int_equal(p->group, getpgrp());
	assert_int_equal(p->session, getsid(0));
	assert_ptr_equal(t.procs + child->above, p);
	for (int i = 1; i < t.n; i++)
		assert_true(t.procs[i - 1].pid < t.procs[i].pid);
	assert_null(proctab_find(&t, 99999999));

	assert_int_equal(proctab_kill(child, 0), 0);
	other = *child;
	other.start++;
	assert_int_equal(proctab_kill(&other, SIGKILL), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(proctab_kill(p, SIGKILL), -1);		/* never ourselves */
	assert_int_equal(proctab_kill(child, 0), 0);
	assert_int_equal(proctab_kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(proctab_kill(child, 0), -1);
	assert_int_equal(errno, ESRCH);
	proctab_free(&t);
	assert_null(proctab_find(&t, 1));
}

static void
test_no_descriptor_left(void **state)
{
	struct rlimit old, none;
	struct proctab t = { 0 };
	int results[3], errors[3];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	for (unsigned i = 0; i < 2; i++) {	/* none; the one for the folder */
		int next = dup(0);

		(void)close(next);
		none.rlim_cur = (rlim_t)next + i;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		results[i] = proctab_read(&t);
		errors[i] = errno;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(results[i], -1);
		assert_int_equal(errors[i], EMFILE);
	}
	assert_null(t.procs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_dead),
		cmocka_unit_test(test_no_lines),
		cmocka_unit_test(test_environments),
		cmocka_unit_test(test_kin),
		cmocka_unit_test(test_this_machine),
		cmocka_unit_test(test_no_descriptor_left),
	};

	if (access("/proc/self/stat", R_OK) == -1) {
		(void)fprintf(stderr, "skipped: no /proc\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
