/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Groups of the kernel for sessions, with real processes in them.  Needs a
 * cgroup2 file system in which we may make groups; else only the texts are tested.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "cgroup_mount.h"
#include "tree.h"
#include "tree_rig.h"

#define CONN 4711

static struct cgroups *all;
static char path[4096];		/* of the group that was made last */
static int procs = -1;

static void
make(uint64_t conn)
{
	char link[32];
	ssize_t n;

	procs = cgroup_make(all, conn);
	if (procs == -1)
		fail_msg("%s", strerror(errno));
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", procs);
	n = readlink(link, path, sizeof(path) - 1);
	assert_true(n > 0);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
}

static void
made(void)
{
	assert_int_equal(close(procs), 0);
	procs = -1;
}

static void
enter(void)
{
	if (write(procs, "0", 1) != 1)
		_exit(1);
}

static void
leaf(void)
{
	hold(false);
}

static void
stubborn(void)
{
	(void)setsid();
	hold(true);
}

static void
grow(void)
{
	enter();
	(void)child_of_it(leaf);
	(void)child_of_it(stubborn);
	orphan_of_it(stubborn);
	orphan_of_it(leaf);
}

static void
nothing(void)
{
}

static void
remove_at_last(uint64_t conn)
{
	int64_t end = now_ms() + 15000;

	while (cgroup_remove(all, conn) == -1) {
		assert_int_equal(errno, EBUSY);
		assert_true(now_ms() < end);
		pause_ms(5);
	}
	assert_int_equal(access(path, F_OK), -1);
}

static int
set_up(void **state)
{
	(void)state;
	all = cgroups_new();
	if (!all)
		(void)fprintf(stderr, "skipped: no cgroup for us: %s\n", strerror(errno));
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	if (procs != -1)
		made();
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	cgroups_free(all);
	return 0;
}

static void
test_empty_group(void **state)
{
	(void)state;
	if (!all)
		skip();
	make(CONN);
	assert_true(procs < 256);
	assert_int_equal(fcntl(procs, F_GETFD), FD_CLOEXEC);
	assert_int_equal(access(path, F_OK), 0);
	made();
	assert_true(cgroup_empty(all, CONN));
	assert_int_equal(cgroup_signal(all, CONN, SIGKILL), 0);
	assert_true(cgroup_kill(all, CONN));
	make(CONN);		/* what was left by another one of our pid */
	made();
	assert_int_equal(cgroup_remove(all, CONN), 0);
	assert_int_equal(access(path, F_OK), -1);
	/* none */
	assert_true(cgroup_empty(all, CONN));
	assert_int_equal(cgroup_signal(all, CONN, SIGKILL), 0);
	assert_true(cgroup_kill(all, CONN));
	assert_int_equal(cgroup_remove(all, CONN), 0);
}

static void
test_term_then_kill(void **state)
{
	pid_t root;

	(void)state;
	if (!all)
		skip();
	make(CONN);
	root = handler(false, grow);
	wait_told(5);
	made();
	assert_false(cgroup_empty(all, CONN));
	assert_int_equal(cgroup_remove(all, CONN), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(cgroup_make(all, CONN), -1);	/* nobody is taken over */
	assert_int_equal(errno, EBUSY);
	assert_int_equal(cgroup_signal(all, CONN, 0), 5);
	assert_int_equal(cgroup_signal(all, CONN, SIGTERM), 5);
	assert_int_equal(reap(root), SIGTERM);
	while (count_alive() > 2)
		pause_ms(5);
	assert_false(cgroup_empty(all, CONN));
	assert_true(cgroup_kill(all, CONN));
	assert_true(all_die(0));
	remove_at_last(CONN);
}

/* By the number alone: what is like it is another one. */
static void
test_strangers(void **state)
{
	pid_t mine, other, outside;

	(void)state;
	if (!all)
		skip();
	outside = handler(false, nothing);
	wait_told(1);
	make(CONN * 10);
	other = handler(false, enter);
	wait_told(1);
	made();
	make(CONN);
	mine = handler(false, enter);
	wait_told(1);
	made();
	assert_int_equal(cgroup_signal(all, CONN, SIGTERM), 1);
	assert_int_equal(reap(mine), SIGTERM);
	assert_true(cgroup_kill(all, CONN));
	assert_true(alive(other));
	assert_true(alive(outside));
	remove_at_last(CONN);
	assert_false(cgroup_empty(all, CONN * 10));
	assert_true(cgroup_kill(all, CONN * 10));
	assert_int_equal(reap(other), SIGKILL);
	assert_int_equal(cgroup_remove(all, CONN * 10), 0);
	assert_true(alive(outside));
	assert_int_equal(kill(outside, SIGKILL), 0);
	assert_int_equal(reap(outside), SIGKILL);
}

/* Where the handler may make groups of its own */
static void
go_deeper(void)
{
	char sub[4200], file[4300];
	int fd;

	enter();
	(void)snprintf(sub, sizeof(sub), "%s/a", path);
	(void)mkdir(sub, 0755);
	(void)snprintf(sub, sizeof(sub), "%s/a/b", path);
	(void)mkdir(sub, 0755);
	(void)snprintf(sub, sizeof(sub), "%s/c", path);
	(void)mkdir(sub, 0755);
	(void)snprintf(file, sizeof(file), "%s/a/b/cgroup.procs", path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd == -1 || write(fd, "0", 1) != 1)
		_exit(1);
	(void)child_of_it(leaf);
}

static void
test_groups_within(void **state)
{
	static const int signals[] = { SIGTERM, SIGKILL };

	(void)state;
	if (!all)
		skip();
	for (int i = 0; i < 2; i++) {
		pid_t root;

		make(CONN);
		root = handler(false, go_deeper);
		wait_told(2);
		made();
		assert_false(cgroup_empty(all, CONN));
		if (signals[i] == SIGTERM)
			assert_int_equal(cgroup_signal(all, CONN, SIGTERM), 2);
		else
			assert_true(cgroup_kill(all, CONN));
		assert_int_equal(reap(root), signals[i]);
		assert_true(all_die(0));
		remove_at_last(CONN);
	}
}

static void
enter_bomb(void)
{
	enter();
	(void)signal(SIGCHLD, SIG_IGN);
	(void)child_of_it(bomb);
	(void)child_of_it(bomb);
}

static void
test_fork_bomb(void **state)
{
	pid_t root;

	(void)state;
	if (!all)
		skip();
	bomb_arm(6000);
	make(CONN);
	root = handler(true, enter_bomb);
	wait_told(20);
	made();
	assert_true(cgroup_kill(all, CONN));
	assert_int_equal(reap(root), SIGKILL);
	remove_at_last(CONN);
	assert_true(all_die(0));
	assert_true(bomb_count() < 6000);
}

/* Of a daemon that has ended without a word: who lives is left alone. */
static void
test_stale_groups(void **state)
{
	char empty[4096], used[4096], strange[4200];
	pid_t pid, holder;
	int fds[2];

	(void)state;
	if (!all)
		skip();
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	holder = handler(false, nothing);
	wait_told(1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		cgroups_free(all);
		all = cgroups_new();
		if (!all)
			_exit(1);
		make(1);
		if (write(fds[1], path, sizeof(path)) != sizeof(path))
			_exit(1);
		made();
		make(2);
		(void)child_of_it(grow);
		if (write(fds[1], path, sizeof(path)) != sizeof(path))
			_exit(1);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(read(fds[0], empty, sizeof(empty)), sizeof(empty));
	assert_int_equal(read(fds[0], used, sizeof(used)), sizeof(used));
	wait_told(5);		/* four in the group */
	(void)snprintf(strange, sizeof(strange), "%s-1", empty);
	assert_int_equal(mkdir(strange, 0755), 0);

	/* it lives */
	cgroups_free(all);
	all = cgroups_new();
	assert_non_null(all);
	assert_int_equal(access(empty, F_OK), 0);
	assert_int_equal(access(used, F_OK), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(reap(pid), SIGKILL);
	cgroups_free(all);
	all = cgroups_new();
	assert_non_null(all);
	assert_int_equal(access(empty, F_OK), -1);
	assert_int_equal(access(used, F_OK), 0);
	assert_int_equal(access(strange, F_OK), 0);
	assert_int_equal(rmdir(strange), 0);
	assert_int_equal(count_alive(), 5);

	for (int i = 0; i < 5; i++)
		(void)kill(told_pid(i), SIGKILL);
	assert_true(all_die(holder));
	assert_int_equal(reap(holder), SIGKILL);
	for (int64_t end = now_ms() + 15000; access(used, F_OK) == 0; pause_ms(5)) {
		assert_true(now_ms() < end);
		cgroups_free(all);
		all = cgroups_new();
		assert_non_null(all);
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
test_own_groups_at_the_end(void **state)
{
	pid_t root;

	(void)state;
	if (!all)
		skip();
	make(CONN);
	root = handler(false, enter);
	wait_told(1);
	made();
	make(CONN + 1);
	made();
	assert_int_equal(access(path, F_OK), 0);
	cgroups_free(all);
	assert_int_equal(access(path, F_OK), -1);	/* was empty */
	/* as after an upgrade: the other one is found again */
	all = cgroups_new();
	assert_non_null(all);
	assert_false(cgroup_empty(all, CONN));
	assert_int_equal(cgroup_signal(all, CONN, SIGTERM), 1);
	assert_int_equal(reap(root), SIGTERM);
	remove_at_last(CONN);
}

static void
test_nothing_is_left_open(void **state)
{
	int before, after;

	(void)state;
	if (!all)
		skip();
	before = dup(0);
	(void)close(before);
	make(CONN);
	made();
	(void)cgroup_signal(all, CONN, SIGTERM);
	(void)cgroup_kill(all, CONN);
	(void)cgroup_empty(all, CONN);
	assert_int_equal(cgroup_remove(all, CONN), 0);
	after = dup(0);
	(void)close(after);
	assert_int_equal(after, before);
}

#define V1 "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"

static void
test_lines_of_mounts(void **state)
{
	static const struct {
		const char *line, *path, *where;
	} list[] = {
		{ "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n", "/",
		  "/sys/fs/cgroup/unified/" },
		{ "41 31 0:38 / /sys/fs/cgroup rw shared:9 master:1 - cgroup2 cgroup2 rw\n",
		  "/system.slice/hatchd.service", "/sys/fs/cgroup/system.slice/hatchd.service" },
		{ "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 none rw", "/a", "/sys/fs/cgroup/a" },
		{ "41 31 0:38 /docker/12 /cg rw - cgroup2 none rw", "/docker/12", "/cg" },
		{ "41 31 0:38 /docker/12 /cg rw - cgroup2 none rw", "/docker/12/x", "/cg/x" },
		{ "41 31 0:38 /docker/12 /cg rw - cgroup2 none rw", "/docker/123", NULL },
		{ "41 31 0:38 /docker/12 /cg rw - cgroup2 none rw", "/docker", NULL },
		{ "41 31 0:38 /docker/12 /cg rw - cgroup2 none rw", "/", NULL },
		{ "41 31 0:38 /../.. /cg rw - cgroup2 none rw", "/", NULL },
		{ "41 31 0:38 / /cg rw - cgroup2 none rw", "/../x", NULL },
		{ "41 31 0:38 / /a\\040b\\134 rw - cgroup2 none rw", "/x", "/a b\\/x" },
		{ "41 31 0:38 / /a\\04 rw - cgroup2 none rw", "/x", "/a\\04/x" },
		{ V1, "/", NULL }, { "", "/", NULL }, { "\n", "/", NULL }, { "41 31", "/", NULL },
		{ "41 31 0:38 / /cg rw cgroup2 none rw", "/", NULL },
		{ "41 31 0:38 / /cg rw - cgroup2x none rw", "/", NULL },
		{ "41 31 0:38 / /cg rw - ", "/", NULL },
	};
	char where[64];

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		const char *wanted = list[i].where;
		bool found = cgroup_mount_find(list[i].line, list[i].path, where, sizeof(where));

		if (found != (wanted != NULL) || (found && strcmp(where, wanted) != 0))
			fail_msg("%s%s: %s", list[i].line, list[i].path, found ? where : "none");
	}
	assert_false(cgroup_mount_find(list[0].line, list[0].path, where, 23));
	assert_true(cgroup_mount_find(list[0].line, list[0].path, where, 24));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_of_mounts),
		T(test_empty_group),
		T(test_term_then_kill),
		T(test_strangers),
		T(test_groups_within),
		T(test_fork_bomb),
		T(test_stale_groups),
		T(test_own_groups_at_the_end),
		T(test_nothing_is_left_open),
	};

	(void)alarm(120);
	if (tree_init() == -1)
		return 99;
	return cmocka_run_group_tests(tests, tree_set_up, tree_tear_down);
}
