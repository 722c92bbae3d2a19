/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Starting processes: a child finds exactly what it should, a step that fails
 * is told with its errno, and nothing happens to us.  The program that is
 * started is this one, which then tells what it finds.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "spawn.h"

#define NOBODY 65534

/* The other side: a program that tells on fd 1 what it is. */

static void
tell_descriptors(FILE *out)
{
	DIR *d = opendir("/proc/self/fd");

	for (struct dirent *e; d && (e = readdir(d));) {
		int fd = atoi(e->d_name);
		struct stat st;

		if (e->d_name[0] != '.' && fd != dirfd(d) && fstat(fd, &st) == 0)
			(void)fprintf(out, "fd%d=%llu\n", fd, (unsigned long long)st.st_ino);
	}
	if (d)
		(void)closedir(d);
}

static void
tell_ids(FILE *out)
{
	uid_t u[3];
	gid_t g[3], groups[64];
	int n = getgroups(64, groups);

	(void)getresuid(&u[0], &u[1], &u[2]);
	(void)getresgid(&g[0], &g[1], &g[2]);
	(void)fprintf(out, "uids=%u,%u,%u\ngids=%u,%u,%u\ngroups=", u[0], u[1], u[2], g[0], g[1],
		      g[2]);
	for (int i = 0; i < n; i++)
		(void)fprintf(out, "%s%u", i > 0 ? "," : "", groups[i]);
	(void)fputc('\n', out);
}

static void
tell_limit(FILE *out, const char *name, int resource)
{
	struct rlimit rl;

	(void)getrlimit(resource, &rl);
	(void)fprintf(out, "%s=%lld,%lld\n", name, (long long)rl.rlim_cur, (long long)rl.rlim_max);
}

static void
tell_signals(FILE *out)
{
	sigset_t blocked;
	unsigned long mask = 0, ignored = 0;
	struct sigaction act;

	(void)sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (int sig = 1; sig < 64; sig++) {
		mask |= (unsigned long)(sigismember(&blocked, sig) == 1) << sig;
		if (sigaction(sig, NULL, &act) == 0)
			ignored |= (unsigned long)(act.sa_handler == SIG_IGN) << sig;
	}
	(void)fprintf(out, "blocked=%lx\nignored=%lx\n", mask, ignored);
}

static int
probe(int argc, char **argv)
{
	char cwd[4096] = "?", *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	mode_t mask = umask(0);

	if (!out)
		return 3;
	tell_descriptors(out);
	tell_ids(out);
	tell_signals(out);
	tell_limit(out, "nofile", RLIMIT_NOFILE);
	tell_limit(out, "core", RLIMIT_CORE);
	(void)fprintf(out, "pid=%d\nppid=%d\nsid=%d\npgid=%d\n", getpid(), getppid(), getsid(0),
		      getpgrp());
	(void)fprintf(out, "umask=%o\nnice=%d\ncwd=%s\nargs=%d\narg0=%s\n", mask,
		      getpriority(PRIO_PROCESS, 0), getcwd(cwd, sizeof(cwd)) ? cwd : "?", argc,
		      argv[0]);
	for (char **e = environ; *e; e++)
		(void)fprintf(out, "env:%s\n", *e);
	if (fclose(out) == EOF || pwrite(1, text, len, 0) != (ssize_t)len)
		return 4;
	free(text);
	return 42;
}

/* Our side */

struct result {			/* shared, as rows of the board are */
	pid_t pid;
	int16_t step, error;
};

static char dir[] = "/tmp/hatchd-test-spawn.XXXXXX", program[128], script[128];
static struct result *result;
static struct spawn sp;
static int status;
static char told[65536];	/* by the program */
static const char *argv_probe[] = { "probe", "--probe", NULL };
static const char *const no_env[] = { NULL };

static int
copy_program(const char *from)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(program, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	ssize_t n;

	if (in == -1 || out == -1)
		return -1;
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			return -1;
	(void)close(in);
	return fchmod(out, 0755) == 0 && close(out) == 0 && n == 0 ? 0 : -1;
}

static bool
refuse_close_range(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = 4, .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* It knows no clone with a shared descriptor table and gives up on it. */
static bool
under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* Nothing comes from those who started us; main.c sees to that in the daemon. */
static int
set_up_all(void **state)
{
	(void)state;
	for (int fd = 3; fd < 1024; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (!mkdtemp(dir) || chmod(dir, 0755) == -1)
		return -1;
	(void)snprintf(program, sizeof(program), "%s/probe", dir);
	(void)snprintf(script, sizeof(script), "%s/script", dir);
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	return result != MAP_FAILED && copy_program("/proc/self/exe") == 0 ? spawn_init(0) : -1;
}

static int
tear_down_all(void **state)
{
	(void)state;
	spawn_fini();
	spawn_fini();
	(void)unlink(script);
	(void)munmap(result, sizeof(*result));
	return unlink(program) | rmdir(dir);
}

/* A file of its own, so that it is known by its inode. */
static int
new_file(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static unsigned long long
inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int
set_up(void **state)
{
	(void)state;
	*result = (struct result){ 0 };
	sp = (struct spawn){
		.path = program, .argv = argv_probe, .env = no_env, .directory = "/",
		.umask = 027, .fd_in = new_file(), .fd_err = -1,
		.pid = &result->pid, .step = &result->step, .error = &result->error,
	};
	memset(told, 0, sizeof(told));
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fd_close(&sp.fd_in);
	return 0;
}

/* Starts it and waits until it has ended; spawn_start's result. */
static int
run(void)
{
	struct spawn copy = sp;
	int r = spawn_start(&copy);

	status = -1;
	if (r == 0 && waitpid(result->pid, &status, 0) != result->pid)
		return -2;
	return r;
}

/* It runs, and has told what it found. */
static void
run_well(void)
{
	ssize_t n;

	assert_int_equal(run(), 0);
	if (result->step != 0)
		fail_msg("%s: %s", spawn_step_name(result->step), strerror(result->error));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	n = pread(sp.fd_in, told, sizeof(told) - 1, 0);
	assert_true(n > 0);
	told[n] = '\0';
}

/* There is a process, which ends at that step with that errno. */
static void
run_badly(enum spawn_step step, int error)
{
	assert_int_equal(run(), 0);
	if (result->step != (int)step || result->error != error)
		fail_msg("%s: %s instead of %s: %s", spawn_step_name(result->step),
			 strerror(result->error), spawn_step_name(step), strerror(error));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 127);
	*result = (struct result){ 0 };
}

/* The value that was told; the last one if there are several. */
static const char *
value_of(const char *name)
{
	static char value[4096];
	size_t len = strlen(name);

	for (const char *line = told; *line; line += strcspn(line, "\n") + 1)
		if (strncmp(line, name, len) == 0 && line[len] == '=') {
			(void)snprintf(value, sizeof(value), "%.*s",
				       (int)strcspn(line + len + 1, "\n"), line + len + 1);
			return value;
		}
	return NULL;
}

static void
check_value(const char *name, const char *fmt, ...)
{
	const char *found = value_of(name);
	char expected[4096];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(expected, sizeof(expected), fmt, ap);
	va_end(ap);
	if (!found)
		fail_msg("%s was not told", name);
	if (strcmp(found, expected) != 0)
		fail_msg("%s is %s instead of %s", name, found, expected);
}

static int
count_lines(const char *prefix)
{
	int n = 0;

	for (const char *line = told; *line; line += strcspn(line, "\n") + 1)
		n += strncmp(line, prefix, strlen(prefix)) == 0;
	return n;
}

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

/* Every step, with its errno */

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
	check_value("groups", "");
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

/* fn in a process of its own, which may spoil itself; its result. */
static int
in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int code;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &code, 0), pid);
	return WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
}

static bool
fails_at(enum spawn_step step, int error)
{
	bool ok = run() == 0 && result->step == (int)step && result->error == error;

	if (!ok)
		print_error("%s: %s instead of %s: %s\n", spawn_step_name(result->step),
			    strerror(result->error), spawn_step_name(step), strerror(error));
	*result = (struct result){ 0 };
	return ok;
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

/* Descriptors: whatever their numbers were, each gets to its place. */

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

static void
test_names_of_steps(void **state)
{
	(void)state;
	assert_string_equal(spawn_step_name(SPAWN_EXEC), "exec");
	assert_string_equal(spawn_step_name(SPAWN_CLONE), "clone");
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
		T(test_exec_fails),
		T(test_directory_fails),
		T(test_limits_fail),
		T(test_descriptors_fail),
		T(test_chroot),
		T(test_account),
		T(test_without_privilege),
		T(test_stdio_from_every_number),
		T(test_further_descriptors),
		T(test_as_many_as_there_may_be),
		T(test_our_descriptors_stay),
		T(test_nothing_leaks),
		T(test_without_close_range),
		T(test_names_of_steps),
	};

	if (argc > 1 && strcmp(argv[1], "--probe") == 0)
		return probe(argc, argv);
	if (under_valgrind())
		return 77;
	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
