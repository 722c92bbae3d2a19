/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Descriptors of processes that are started: whatever their numbers were, each
 * gets to its place, and nothing happens to ours.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "spawn_rig.h"

enum { LOW = 8 };

struct placing {
	int in, err, n, fds[4];	/* numbers below LOW, or FAR */
};

#define FAR 1000		/* stands for one that lies above FD_HIGH */

static int
far_number(int n)
{
	return n == FAR ? FD_HIGH + 40 : n;
}

/* Numbers 0 to LOW - 1 and one high one are files of their own while it is
 * started; our own 0, 1, 2 come back before anything is asserted. */
static int
run_placed(const struct placing *p, unsigned long long inodes[LOW + 1])
{
	int saved[LOW], fds[4], high = far_number(FAR), r, in;

	for (int i = 0; i < LOW; i++)
		saved[i] = fd_dup(i, 500);
	for (int i = 0; i <= LOW; i++) {
		int fd = memfd_create("test", MFD_CLOEXEC);

		/* 0, 1, 2 are not CLOEXEC in the daemon either */
		if (i == LOW)
			(void)dup3(fd, high, O_CLOEXEC);
		else if (fd != i)
			(void)dup3(fd, i, i < 3 ? 0 : O_CLOEXEC);
		if (fd != i)
			(void)close(fd);
		inodes[i] = inode_of(i == LOW ? high : i);
	}
	for (int i = 0; i < p->n; i++)
		fds[i] = far_number(p->fds[i]);
	in = sp.fd_in;
	sp.fd_in = far_number(p->in);
	sp.fd_err = far_number(p->err);
	sp.n_fds = p->n;
	sp.fds = fds;
	r = run();
	(void)memset(told, 0, sizeof(told));
	if (pread(sp.fd_in, told, sizeof(told) - 1, 0) <= 0)
		r = -3;
	sp.fd_in = in;
	(void)close(high);
	for (int i = 0; i < LOW; i++) {
		if (saved[i] == -1) {
			(void)close(i);
		} else {
			(void)dup3(saved[i], i, i < 3 ? 0 : O_CLOEXEC);
			(void)close(saved[i]);
		}
	}
	return r;
}

static void
check_placed(const struct placing *p)
{
	unsigned long long inodes[LOW + 1];
	int from[7] = { p->in, p->in, p->err == -1 ? p->in : p->err }, r;

	*result = (struct result){ 0 };
	r = run_placed(p, inodes);
	assert_int_equal(r, 0);
	if (result->step != 0)
		fail_msg("%s: %s", spawn_step_name(result->step), strerror(result->error));
	memcpy(from + 3, p->fds, sizeof(p->fds));
	for (int i = 0; i < 3 + p->n; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "fd%d", i);
		check_value(name, "%llu", inodes[from[i] == FAR ? LOW : from[i]]);
	}
	if (count_lines("fd") != 3 + p->n)
		fail_msg("in %d err %d n %d (%d %d %d %d):\n%s", p->in, p->err, p->n, p->fds[0],
			 p->fds[1], p->fds[2], p->fds[3], told);
}

static void
test_stdio_from_every_number(void **state)
{
	static const int numbers[] = { 0, 1, 2, 3, 4, FAR };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct placing p = { .in = numbers[i], .err = -1 };

		check_placed(&p);
		for (size_t k = 0; k < sizeof(numbers) / sizeof(*numbers); k++) {
			p.err = numbers[k];
			check_placed(&p);
		}
	}
}

/* Permutations, cycles, the same one several times. */
static void
test_further_descriptors(void **state)
{
	static const struct placing list[] = {
		{ 3, 4, 1, { 5 } }, { 5, 4, 1, { 3 } }, { 4, 3, 1, { 4 } }, { 3, 2, 1, { 3 } },
		{ 0, 2, 2, { 4, 3 } }, { 3, 4, 3, { 4, 5, 3 } }, { 6, 7, 4, { 6, 5, 4, 3 } },
		{ 3, 3, 3, { 3, 3, 3 } }, { 5, 5, 3, { 5, 5, 5 } }, { 1, 0, 3, { 2, 1, 0 } },
		{ 2, 0, 4, { 0, 1, 2, 3 } }, { FAR, 2, 2, { FAR, 3 } }, { 4, FAR, 2, { FAR, FAR } },
		{ 3, 2, 3, { FAR, 3, 4 } }, { 7, -1, 4, { 3, 4, 5, 6 } }, { 6, -1, 3, { 4, 5, 3 } },
		{ 0, 1, 4, { 6, 3, 4, 5 } },
	};
	uint32_t x = 12345;

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
		check_placed(&list[i]);
	for (int i = 0; i < 60; i++) {
		struct placing p = { .n = i % 5 };
		int *all[6] = { &p.in, &p.err, &p.fds[0], &p.fds[1], &p.fds[2], &p.fds[3] };

		for (int k = 0; k < 6; k++) {
			x = x * 1103515245 + 12345;
			*all[k] = (int)(x >> 16) % (LOW + 1);
			if (*all[k] == LOW)
				*all[k] = FAR;
		}
		check_placed(&p);
	}
}

static int
count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3;		/* ".", "..", its own */

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void
test_as_many_as_there_may_be(void **state)
{
	int fds[SPAWN_FDS], before = count_open();
	unsigned long long inode[SPAWN_FDS];

	(void)state;
	for (int i = 0; i < SPAWN_FDS; i++) {
		fds[i] = fd_dup(new_file(), FD_HIGH + 100);
		inode[i] = inode_of(fds[i]);
	}
	sp.fds = fds;
	sp.n_fds = SPAWN_FDS;
	run_well();
	assert_int_equal(count_lines("fd"), 3 + SPAWN_FDS);
	for (int i = 0; i < SPAWN_FDS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "fd%d", 3 + i);
		check_value(name, "%llu", inode[i]);
	}
	assert_int_equal(count_open(), before + 2 * SPAWN_FDS);
	for (int fd = 3; fd < FD_HIGH + 100 + SPAWN_FDS; fd++)
		if (fd != sp.fd_in)
			(void)close(fd);
}

/* The table that the child shares with us for a moment */
static void
test_our_descriptors_stay(void **state)
{
	enum { N = 60 };
	int fds[N], own[2], before;
	unsigned long long inodes[N];

	(void)state;
	for (int i = 0; i < N; i++) {
		int fd = new_file();

		fds[i] = i % 2 == 0 ? fd : fd_dup(fd, FD_HIGH + 10 * i);
		if (i % 2 == 1)
			(void)close(fd);
		inodes[i] = inode_of(fds[i]);
	}
	own[0] = fds[3];
	own[1] = fds[4];
	before = count_open();
	for (int round = 0; round < 6; round++) {
		sp.path = round == 1 ? "/no/where" : program;
		sp.directory = round == 2 ? "/no/where" : "/";
		sp.fd_err = round == 3 ? fds[7] : -1;
		sp.n_fds = round >= 4 ? 2 : 0;
		sp.fds = own;
		assert_int_equal(run(), 0);
		assert_int_equal(result->step != 0, round == 1 || round == 2);
		*result = (struct result){ 0 };
		assert_int_equal(count_open(), before);
		for (int i = 0; i < N; i++) {
			assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
			assert_true(inode_of(fds[i]) == inodes[i]);
		}
		assert_int_equal(fcntl(0, F_GETFD) | fcntl(1, F_GETFD) | fcntl(2, F_GETFD), 0);
	}
	for (int i = 0; i < N; i++)
		fd_close(&fds[i]);
}

/* Five hundred in a row leave nothing: descriptors, children, memory. */
static void
test_nothing_leaks(void **state)
{
	int before = count_open(), fds[1] = { fd_dup(new_file(), FD_HIGH) };
	const char *true_argv[] = { "true", NULL };
	int low = sp.fd_in;

	(void)state;
	fd_close(&low);
	sp.fd_in = fds[0];
	sp.argv = true_argv;
	sp.path = "/bin/true";
	sp.fds = fds;
	sp.n_fds = 1;
	for (int i = 0; i < 500; i++) {
		sp.path = i % 5 == 4 ? "/no/where" : "/bin/true";
		assert_int_equal(run(), 0);
		assert_int_equal(result->step, i % 5 == 4 ? SPAWN_EXEC : 0);
		*result = (struct result){ 0 };
	}
	sp.fd_in = -1;
	fd_close(&fds[0]);
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_true(count_open() <= before);
}

/* Where close_range is refused, descriptors are copied, and all else is as it
 * was. */
static int
without_close_range(void)
{
	int fds[2] = { fd_dup(sp.fd_in, FD_HIGH + 20), sp.fd_in };

	if (!refuse_close_range())
		return 77;
	if (spawn_init(0) == -1 || spawn_shares_files())
		return 1;
	sp.n_fds = 2;
	sp.fds = fds;
	if (run() != 0 || result->step != 0 || WEXITSTATUS(status) != 42)
		return 2;
	if (pread(sp.fd_in, told, sizeof(told) - 1, 0) <= 0 || count_lines("fd") != 5)
		return 3;
	if (fcntl(fds[0], F_GETFD) != FD_CLOEXEC || fcntl(fds[1], F_GETFD) != FD_CLOEXEC)
		return 4;
	sp.path = "/no/where";
	return fails_at(SPAWN_EXEC, ENOENT) ? 0 : 5;
}

static void
test_without_close_range(void **state)
{
	int r = in_child(without_close_range);

	(void)state;
	if (r == 77)
		skip();
	assert_int_equal(r, 0);
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_stdio_from_every_number),
		T(test_further_descriptors),
		T(test_as_many_as_there_may_be),
		T(test_our_descriptors_stay),
		T(test_nothing_leaks),
		T(test_without_close_range),
	};

	if (argc > 1 && strcmp(argv[1], "--probe") == 0)
		return probe(argc, argv);
	if (under_valgrind())
		return 77;
	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
