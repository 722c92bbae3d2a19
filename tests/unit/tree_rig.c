/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Trees of processes.  They tell their pids in memory that is shared.
 */
#include "config.h"

#include "tree_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIFE_S 30
#define PATIENCE_MS 15000
#define TOLD 8192
#define SHARED_FD 600		/* for programs, which don't inherit memory */

struct shared {
	_Atomic int n, bomb, bomb_max;
	_Atomic pid_t pids[TOLD];
};

static struct shared *shared;
static pid_t tester;
static char program[4096];

int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
pause_ms(int ms)
{
	(void)nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

int
tree_set_up(void **state)
{
	int fd = memfd_create("test", 0);

	(void)state;
	tester = getpid();
	/* valgrind tells the right one here only */
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) == -1)
		return -1;
	if (fd == -1 || ftruncate(fd, sizeof(*shared)) == -1 || dup2(fd, SHARED_FD) == -1)
		return -1;
	(void)close(fd);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	return shared == MAP_FAILED ? -1 : 0;
}

int
tree_tear_down(void **state)
{
	(void)state;
	(void)close(SHARED_FD);
	return munmap(shared, sizeof(*shared));
}

void
tell(void)
{
	int i = atomic_fetch_add(&shared->n, 1);

	if (i < TOLD)
		shared->pids[i] = getpid();
}

void
hold(bool stubborn)
{
	(void)alarm(LIFE_S);
	if (stubborn)
		(void)signal(SIGTERM, SIG_IGN);
	tell();
	for (;;)
		(void)pause();
}

pid_t
child_of_it(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)alarm(LIFE_S);
		fn();
		_exit(0);
	}
	return pid;
}

void
orphan_of_it(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)child_of_it(fn);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static _Noreturn void
become_program(char *arg, const char *env)
{
	char *const argv[] = { (char []){ "held" }, arg, NULL };
	char *const envp[] = { (char []){ "A=B" }, (char *)(uintptr_t)env, NULL };

	(void)execve(program, argv, envp);
	_exit(1);
}

void
become(const char *env)
{
	become_program((char []){ "--held" }, env);
}

void
become_bomb(const char *env)
{
	become_program((char []){ "--bomb" }, env);
}

int
held_program(char **argv)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (shared == MAP_FAILED)
		return 1;
	if (strcmp(argv[1], "--bomb") == 0)
		bomb();
	hold(false);
}

pid_t
handler(bool subreaper, void (*fn)(void))
{
	pid_t pid;

	shared->n = 0;
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	(void)alarm(LIFE_S);
	(void)prctl(PR_SET_CHILD_SUBREAPER, subreaper, 0, 0, 0);
	if (setsid() == -1)
		_exit(1);
	fn();
	hold(false);
}

int
told_count(void)
{
	return shared->n;
}

void
wait_told(int n)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (shared->n < n || shared->pids[n - 1] == 0) {
		if (now_ms() > end)
			fail_msg("%d of %d processes are there", shared->n, n);
		pause_ms(5);
	}
}

pid_t
told_pid(int i)
{
	return shared->pids[i];
}

bool
alive(pid_t pid)
{
	char name[40], line[512], *p;
	FILE *f;
	bool yes = false;

	(void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	f = fopen(name, "re");
	if (!f)
		return false;
	if (fgets(line, sizeof(line), f) && (p = strrchr(line, ')')))
		yes = p[2] != 'Z' && p[2] != 'X';
	(void)fclose(f);
	return yes;
}

/* All children of ours that have ended, but for one. */
static void
reap_others(pid_t keep)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 ||
		    info.si_pid == 0 || info.si_pid == keep)
			return;
		(void)waitpid(info.si_pid, NULL, 0);
	}
}

bool
dies(pid_t pid, pid_t keep)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (alive(pid)) {
		if (now_ms() > end)
			return false;
		pause_ms(5);
		reap_others(keep);
	}
	return true;
}

bool
all_die(pid_t keep)
{
	int n = shared->n < TOLD ? shared->n : TOLD;

	for (int i = 0; i < n; i++)
		if (!dies(shared->pids[i], keep))
			return false;
	return true;
}

int
count_alive(void)
{
	int count = 0, n = shared->n < TOLD ? shared->n : TOLD;

	for (int i = 0; i < n; i++)
		count += alive(shared->pids[i]);
	return count;
}

int
reap(pid_t pid)
{
	int status = -1;

	assert_int_equal(getpid(), tester);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 256 + WEXITSTATUS(status);
}

void
bomb_arm(int max)
{
	shared->bomb = 0;
	shared->bomb_max = max;
}

int
bomb_count(void)
{
	return shared->bomb;
}

/* Few at a time, always other ones: each starts its successor and ends. */
void
bomb(void)
{
	(void)alarm(LIFE_S);
	(void)signal(SIGTERM, SIG_IGN);
	tell();
	while (atomic_fetch_add(&shared->bomb, 1) < shared->bomb_max) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		if (pid == 0) {
			(void)alarm(LIFE_S);
			(void)setsid();
			tell();
		}
	}
	for (;;)
		(void)pause();
}
