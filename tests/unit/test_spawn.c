/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Starting processes: a child finds exactly what it should, and a step that
 * fails is told with its errno.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "fd.h"
#include "spawn_rig.h"

#define NOBODY 65534

static void
test_what_it_finds(void **state)
{
	const char *argv[] = { "-sh", "--probe", "a b", "", NULL };
	const char *env[] = { "A=1", "B=c d", NULL };
	int in = sp.fd_in;

	(void)state;
	sp.argv = argv;
	sp.env = env;
	run_well();
	for (int i = 0; i < 3; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "fd%d", i);
		check_value(name, "%llu", inode_of(in));
	}
	assert_int_equal(count_lines("fd"), 3);
	check_value("pid", "%d", result->pid);
	check_value("ppid", "%d", getpid());
	check_value("sid", "%d", result->pid);
	check_value("pgid", "%d", result->pid);
	check_value("umask", "27");
	check_value("nice", "%d", getpriority(PRIO_PROCESS, 0));
	check_value("cwd", "/");
	check_value("args", "4");
	check_value("arg0", "-sh");
	check_value("env:A", "1");
	check_value("env:B", "c d");
	assert_int_equal(count_lines("env:"), 2);
}

static void
test_settings(void **state)
{
	struct conf_rlimit limits[] = {
		{ .resource = RLIMIT_CORE, .soft = 0, .hard = 4096 },
		{ .resource = RLIMIT_NOFILE, .soft = 50, .hard = 60 },
	};

	(void)state;
	sp.directory = dir;
	sp.umask = 0;
	sp.nice = 7;
	sp.rlimits = limits;
	sp.n_rlimits = 2;
	run_well();
	check_value("cwd", "%s", dir);
	check_value("umask", "0");
	check_value("nice", "7");
	check_value("core", "0,4096");
	check_value("nofile", "50,60");
	sp.directory = NULL;
	sp.n_rlimits = 0;
	run_well();
	check_value("cwd", "%s", getcwd((char [4096]){ 0 }, 4096));
}

/* The daemon raises its soft limit, handlers get the one that it found. */
static void
test_soft_limit_of_descriptors(void **state)
{
	struct rlimit old, raised;
	struct conf_rlimit own = { .resource = RLIMIT_NOFILE };

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	raised = old;
	raised.rlim_cur = raised.rlim_max < 2000 ? raised.rlim_max : 2000;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &raised), 0);
	assert_int_equal(spawn_init(100), 0);
	run_well();
	check_value("nofile", "100,%lld", (long long)raised.rlim_max);
	own.soft = 200;
	own.hard = 300;
	sp.rlimits = &own;
	sp.n_rlimits = 1;
	run_well();
	check_value("nofile", "200,300");
	sp.n_rlimits = 0;
	assert_int_equal(spawn_init(raised.rlim_cur), 0);
	run_well();
	check_value("nofile", "%lld,%lld", (long long)raised.rlim_cur, (long long)raised.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(spawn_init(0), 0);
}

static void
test_signals_are_reset(void **state)
{
	void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
	void (*size_before)(int) = signal(SIGXFSZ, SIG_IGN);
	sigset_t all, before, after;
	unsigned long ignored;

	(void)state;
	assert_int_equal(sigfillset(&all), 0);
	assert_int_equal(sigprocmask(SIG_BLOCK, &all, &before), 0);
	run_well();
	check_value("blocked", "0");
	ignored = strtoul(value_of("ignored"), NULL, 16);
	assert_int_equal(ignored & (1ul << SIGPIPE | 1ul << SIGXFSZ), 0);
	/* ours are as they were */
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, &after), 0);
	assert_true(sigismember(&after, SIGTERM));
	assert_ptr_equal(signal(SIGPIPE, pipe_before), SIG_IGN);
	assert_ptr_equal(signal(SIGXFSZ, size_before), SIG_IGN);
}

static void
test_listen_pid(void **state)
{
	char var[32] = "LISTEN_PID=??????????";
	const char *env[] = { var, "LISTEN_FDS=1", NULL };

	(void)state;
	sp.env = env;
	sp.listen_pid = var + 11;
	for (int i = 0; i < 3; i++) {
		run_well();
		check_value("env:LISTEN_PID", "%d", result->pid);
	}
}

static void
test_subreaper(void **state)
{
	(void)state;
	run_well();
	check_value("subreaper", "0");
	sp.subreaper = true;
	run_well();
	check_value("subreaper", "1");
}

/* A group for it, as the daemon makes one; NULL: there can't be. */
static struct cgroups *
new_group(void)
{
	struct cgroups *all = cgroups_new();

	if (!all) {
		(void)fprintf(stderr, "skipped: no cgroup for us: %s\n", strerror(errno));
		return NULL;
	}
	sp.in_cgroup = true;
	sp.cgroup_fd = cgroup_make(all, 1);
	assert_true(sp.cgroup_fd >= 0);
	return all;
}

static bool
told_group(void)
{
	const char *path = value_of("cgroup");
	char name[64];

	(void)snprintf(name, sizeof(name), "/hatchd-%d-1", getpid());
	return path && strlen(path) >= strlen(name) &&
		strcmp(path + strlen(path) - strlen(name), name) == 0;
}

/* It is in its group, as another user too, and has no way to it.  The number of
 * the descriptor may be one that is needed for something else. */
static void
test_cgroup(void **state)
{
	struct conf_account a = { .uid = NOBODY, .gid = 4711 };
	struct cgroups *all = new_group();
	int fds[2], first;

	(void)state;
	if (!all)
		skip();
	first = sp.cgroup_fd;
	if (geteuid() == 0)
		sp.account = &a;
	fds[0] = fds[1] = sp.fd_in;
	sp.fds = fds;
	for (sp.n_fds = 0; sp.n_fds <= 2; sp.n_fds++) {
		run_well();
		assert_true(told_group());
		assert_int_equal(count_lines("fd"), 3 + sp.n_fds);
	}
	sp.n_fds = 0;
	for (int low = 3; low <= 300; low += low == 3 ? 97 : 200) {	/* 3, 100, 300 */
		sp.cgroup_fd = fd_dup(first, low);
		run_well();
		assert_true(told_group());
		assert_int_equal(count_lines("fd"), 3);
		(void)close(sp.cgroup_fd);
	}
	/* ours is what it was */
	assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
	(void)close(first);
	assert_int_equal(cgroup_remove(all, 1), 0);
	cgroups_free(all);
}

static int
cgroup_without_sharing(void)
{
	if (!refuse_close_range() || spawn_init(0) == -1 || spawn_shares_files())
		return 2;
	if (run() != 0 || result->step != 0 ||
	    pread(sp.fd_in, told, sizeof(told) - 1, 0) <= 0 || count_lines("fd") != 3)
		return 3;
	return strstr(told, sp.argv[2]) ? 0 : 4;
}

static void
test_cgroup_without_sharing(void **state)
{
	struct cgroups *all = new_group();
	char name[64];
	const char *argv[] = { "probe", "--probe", name, NULL };

	(void)state;
	if (!all)
		skip();
	(void)snprintf(name, sizeof(name), "/hatchd-%d-1\n", getpid());
	sp.argv = argv;
	assert_int_equal(in_child(cgroup_without_sharing), 0);
	(void)close(sp.cgroup_fd);
	assert_int_equal(cgroup_remove(all, 1), 0);
	cgroups_free(all);
}

/* Every step, with its errno */

static void
test_cgroup_fails(void **state)
{
	struct cgroups *all;

	(void)state;
	sp.in_cgroup = true;
	sp.cgroup_fd = 200;
	(void)close(200);
	run_badly(SPAWN_CGROUP, EBADF);
	sp.cgroup_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(sp.cgroup_fd >= 0);
	run_badly(SPAWN_CGROUP, ENOSPC);
	(void)close(sp.cgroup_fd);
	all = new_group();
	if (!all)
		skip();
	assert_int_equal(cgroup_remove(all, 1), 0);
	run_badly(SPAWN_CGROUP, ENODEV);
	(void)close(sp.cgroup_fd);
	cgroups_free(all);
}

static void
make_script(const char *text, mode_t mode)
{
	FILE *f = fopen(script, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(script, mode), 0);
}

static void
test_exec_fails(void **state)
{
	(void)state;
	sp.path = "/no/where";
	run_badly(SPAWN_EXEC, ENOENT);
	sp.path = script;
	run_badly(SPAWN_EXEC, ENOENT);
	make_script("#!/bin/sh\n", 0644);
	run_badly(SPAWN_EXEC, EACCES);
	make_script("#!/no/interpreter\n", 0755);
	run_badly(SPAWN_EXEC, ENOENT);
	make_script("no program\n", 0755);
	run_badly(SPAWN_EXEC, ENOEXEC);
	sp.path = dir;
	run_badly(SPAWN_EXEC, EACCES);
	sp.path = program;
	run_well();
}

static void
test_directory_fails(void **state)
{
	(void)state;
	sp.directory = "/no/where";
	run_badly(SPAWN_DIRECTORY, ENOENT);
	sp.directory = program;
	run_badly(SPAWN_DIRECTORY, ENOTDIR);
}

static void
test_limits_fail(void **state)
{
	struct conf_rlimit limit = { .resource = RLIMIT_CORE, .soft = 2, .hard = 1 };

	(void)state;
	sp.rlimits = &limit;
	sp.n_rlimits = 1;
	run_badly(SPAWN_RLIMITS, EINVAL);
}

static void
test_descriptors_fail(void **state)
{
	int fds[] = { 200 }, in = sp.fd_in;

	(void)state;
	(void)close(200);
	sp.fd_in = 200;
	run_badly(SPAWN_STDIO, EBADF);
	sp.fd_in = in;
	sp.fd_err = 200;
	run_badly(SPAWN_STDIO, EBADF);
	sp.fd_err = -1;
	sp.fds = fds;
	sp.n_fds = 1;
	run_badly(SPAWN_STDIO, EBADF);
	fds[0] = 60000;
	errno = 0;
	if (spawn_shares_files()) {	/* it is to be copied to a low number first */
		assert_int_equal(run(), -1);
		assert_int_equal(errno, EMFILE);
	}
	assert_int_equal(result->pid, 0);
}

static void
test_chroot(void **state)
{
	(void)state;
	sp.chroot = "/no/where";
	run_badly(SPAWN_CHROOT, ENOENT);
	if (geteuid() != 0) {
		sp.chroot = dir;
		run_badly(SPAWN_CHROOT, EPERM);
		skip();
	}
	sp.chroot = program;
	run_badly(SPAWN_CHROOT, ENOTDIR);
	/* the program that is there outside isn't there inside */
	sp.chroot = dir;
	run_badly(SPAWN_EXEC, ENOENT);
	/* neither is the directory, which is looked for as the user */
	sp.directory = dir;
	run_badly(SPAWN_DIRECTORY, ENOENT);
	sp.chroot = "/";
	run_well();
	check_value("cwd", "%s", dir);
}

static void
test_account(void **state)
{
	static const gid_t groups[] = { 4711, 4712 };
	struct conf_account a = { .uid = NOBODY, .gid = 4711, .n_groups = 2, .groups = groups };
	char closed[64];

	(void)state;
	sp.account = &a;
	if (geteuid() != 0) {
		run_badly(SPAWN_GROUPS, EPERM);
		skip();
	}
	run_well();
	check_value("uids", "65534,65534,65534");
	check_value("gids", "4711,4711,4711");
	check_value("groups", "4711,4712");
	a.n_groups = 0;		/* none, not even ours */
	run_well();
	check_value("groups", "%s", "");
	a.uid = 0;
	run_well();
	check_value("uids", "0,0,0");
	check_value("gids", "4711,4711,4711");
	assert_int_equal(geteuid(), 0);

	/* what the kernel takes for "leave it" is no account */
	a.uid = (uid_t)-1;
	run_badly(SPAWN_VERIFY, EPERM);
	a.uid = NOBODY;
	a.gid = (gid_t)-1;
	run_badly(SPAWN_VERIFY, EPERM);
	a.gid = 4711;

	/* the user has to be able to enter and to execute */
	(void)snprintf(closed, sizeof(closed), "%s/closed", dir);
	assert_int_equal(mkdir(closed, 0700), 0);
	sp.directory = closed;
	run_badly(SPAWN_DIRECTORY, EACCES);
	assert_int_equal(rmdir(closed), 0);
	sp.directory = "/";
	assert_int_equal(chmod(program, 0700), 0);
	run_badly(SPAWN_EXEC, EACCES);
	assert_int_equal(chmod(program, 0755), 0);
}

static int
without_privilege(void)
{
	static const gid_t groups[] = { 1 };
	struct conf_account a = { .uid = 1, .gid = 1, .n_groups = 1, .groups = groups };
	struct rlimit rl = { .rlim_cur = 0, .rlim_max = 1000 };
	struct conf_rlimit limit = { .resource = RLIMIT_CORE, .soft = 0, .hard = 1001 };

	if (setrlimit(RLIMIT_CORE, &rl) == -1)
		return 1;
	if (geteuid() == 0 && (setgroups(0, NULL) == -1 || setresgid(NOBODY, NOBODY, NOBODY) ||
			       setresuid(NOBODY, NOBODY, NOBODY) == -1))
		return 2;
	sp.rlimits = &limit;
	sp.n_rlimits = 1;
	if (!fails_at(SPAWN_RLIMITS, EPERM))
		return 3;
	sp.n_rlimits = 0;
	sp.nice = -5;
	if (!fails_at(SPAWN_NICE, EACCES))
		return 4;
	sp.nice = 0;
	sp.chroot = dir;
	if (!fails_at(SPAWN_CHROOT, EPERM))
		return 5;
	sp.chroot = NULL;
	sp.account = &a;
	if (!fails_at(SPAWN_GROUPS, EPERM))
		return 6;
	sp.account = NULL;
	return run() == 0 && result->step == 0 ? 0 : 7;
}

static void
test_without_privilege(void **state)
{
	(void)state;
	assert_int_equal(in_child(without_privilege), 0);
}

static void
test_names_of_steps(void **state)
{
	(void)state;
	assert_string_equal(spawn_step_name(SPAWN_EXEC), "exec");
	assert_string_equal(spawn_step_name(SPAWN_CLONE), "clone");
	assert_string_equal(spawn_step_name(SPAWN_CGROUP), "cgroup");
	for (int i = 0; i <= SPAWN_EXEC; i++) {
		assert_non_null(spawn_step_name(i));
		assert_string_not_equal(spawn_step_name(i), "?");
	}
	assert_string_equal(spawn_step_name(SPAWN_EXEC + 1), "?");
	assert_string_equal(spawn_step_name(-1), "?");
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_what_it_finds),
		T(test_settings),
		T(test_soft_limit_of_descriptors),
		T(test_signals_are_reset),
		T(test_listen_pid),
		T(test_subreaper),
		T(test_cgroup),
		T(test_cgroup_without_sharing),
		T(test_cgroup_fails),
		T(test_exec_fails),
		T(test_directory_fails),
		T(test_limits_fail),
		T(test_descriptors_fail),
		T(test_chroot),
		T(test_account),
		T(test_without_privilege),
		T(test_names_of_steps),
	};

	if (argc > 1 && strcmp(argv[1], "--probe") == 0)
		return probe(argc, argv);
	if (under_valgrind())
		return 77;
	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
