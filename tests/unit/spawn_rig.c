/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the tests of spawn.c share: the program that is started, and our side.
 */
#include "config.h"

#include "spawn_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"

char dir[] = "/tmp/hatchd-test-spawn.XXXXXX", program[128], script[128];
struct result *result;
struct spawn sp;
int status;
char told[65536];
static const char *argv_probe[] = { "probe", "--probe", NULL };
static const char *const no_env[] = { NULL };

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

/* Its place in the tree and among the groups; the "0::" is cgroup v2's. */
static void
tell_place(FILE *out)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[4096];
	int on = -1;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "0::", 3) == 0)
			(void)fprintf(out, "cgroup=%s", line + 3);
	if (f)
		(void)fclose(f);
	(void)prctl(PR_GET_CHILD_SUBREAPER, &on, 0, 0, 0);
	(void)fprintf(out, "subreaper=%d\n", on);
}

int
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
	tell_place(out);
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

bool
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

bool
under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* Nothing comes from those who started us; main.c sees to that in the daemon. */
int
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

int
tear_down_all(void **state)
{
	(void)state;
	spawn_fini();
	spawn_fini();
	(void)unlink(script);
	(void)munmap(result, sizeof(*result));
	return unlink(program) | rmdir(dir);
}

int
new_file(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

unsigned long long
inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

int
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

int
tear_down(void **state)
{
	(void)state;
	fd_close(&sp.fd_in);
	return 0;
}

int
run(void)
{
	struct spawn copy = sp;
	int r = spawn_start(&copy);

	status = -1;
	if (r == 0 && waitpid(result->pid, &status, 0) != result->pid)
		return -2;
	return r;
}

void
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

void
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

const char *
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

void
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

int
count_lines(const char *prefix)
{
	int n = 0;

	for (const char *line = told; *line; line += strcspn(line, "\n") + 1)
		n += strncmp(line, prefix, strlen(prefix)) == 0;
	return n;
}

int
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

bool
fails_at(enum spawn_step step, int error)
{
	bool ok = run() == 0 && result->step == (int)step && result->error == error;

	if (!ok)
		print_error("%s: %s instead of %s: %s\n", spawn_step_name(result->step),
			    strerror(result->error), spawn_step_name(step), strerror(error));
	*result = (struct result){ 0 };
	return ok;
}
