/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Starting processes.  Runs in the master; deliver.c and talkproc.c call it.
 *
 * The child is made by clone(CLONE_VM|CLONE_VFORK|CLONE_FILES) on a stack of
 * its own: neither page tables nor descriptor tables are copied, and we go on
 * when it has exec'd or exited.  Until then it runs in our memory, therefore
 * it makes system calls and nothing else: no memory, no locks, no stdio, no
 * functions of libc that keep state.  (syscall(2) sets errno, which is ours,
 * but we are suspended and don't look at it.)  No signal handler can run in
 * it, since the daemon has none (see ev.h).
 *
 * First of all it leaves the shared descriptor table, with a copy up to the
 * highest descriptor that it needs; those are low (fd.h), so it is small.
 */
#include "config.h"

#include "spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

#define STACK_SIZE (64 << 10)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NO_SANITIZE __attribute__((no_sanitize("address", "undefined")))
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define NO_SANITIZE __attribute__((no_sanitize_address, no_sanitize_undefined))
#endif
#ifndef NO_SANITIZE
#define NO_SANITIZE
#endif

/* One stack is enough: there is one thread, and it waits for each child. */
static char *stack;
static bool share_files;
static rlim_t nofile_soft;

const char *
spawn_step_name(int step)
{
	static const char *const names[] = {
		[SPAWN_OK] = "ok", [SPAWN_CLONE] = "clone", [SPAWN_FILES] = "files",
		[SPAWN_CGROUP] = "cgroup", [SPAWN_STDIO] = "stdio",
		[SPAWN_SESSION] = "session", [SPAWN_NICE] = "nice",
		[SPAWN_RLIMITS] = "rlimits", [SPAWN_CHROOT] = "chroot",
		[SPAWN_GROUPS] = "groups", [SPAWN_GROUP] = "group", [SPAWN_USER] = "user",
		[SPAWN_VERIFY] = "verify", [SPAWN_DIRECTORY] = "directory",
		[SPAWN_SIGNALS] = "signals", [SPAWN_EXEC] = "exec",
	};

	if (step < 0 || (size_t)step >= sizeof(names) / sizeof(*names))
		return "?";
	return names[step];
}

int
spawn_init(rlim_t nofile)
{
	if (!stack) {
		stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		if (stack == MAP_FAILED) {
			stack = NULL;
			return -1;
		}
	}
	struct rlimit rl;

	/* nothing to be put back for children if it wasn't raised */
	nofile_soft = getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == nofile ? 0 : nofile;
	/* Kernels before 5.9 don't have it and some containers' filters refuse
	 * it.  Nothing is open up there, and our table is not shared, so this
	 * changes nothing. */
	share_files = syscall(SYS_close_range, ~0U, ~0U, CLOSE_RANGE_UNSHARE) == 0;
	return 0;
}

void
spawn_fini(void)
{
	if (stack)
		(void)munmap(stack, STACK_SIZE);
	stack = NULL;
}

bool
spawn_shares_files(void)
{
	return share_files;
}

static NO_SANITIZE void
give_up(const struct spawn *s, enum spawn_step step, int error)
{
	*s->error = (int16_t)error;
	*s->step = (int16_t)step;
	(void)syscall(SYS_exit_group, 127);
	__builtin_unreachable();
}

/* Descriptors 0, 1, 2, 3, ...: sources that lie where a target is going to be
 * are moved away first. */
static NO_SANITIZE void
place_fds(const struct spawn *s)
{
	int from[3 + SPAWN_FDS], n = 3 + s->n_fds;

	from[0] = from[1] = s->fd_in;
	from[2] = s->fd_err == -1 ? s->fd_in : s->fd_err;
	for (int i = 0; i < s->n_fds; i++)
		from[3 + i] = s->fds[i];
	for (int i = 0; i < n; i++) {
		int old = from[i], moved;

		if (old >= n || old == i)
			continue;
		moved = (int)syscall(SYS_fcntl, old, F_DUPFD_CLOEXEC, n);
		if (moved == -1)
			give_up(s, SPAWN_STDIO, errno);
		for (int k = i; k < n; k++)
			if (from[k] == old && k != old)
				from[k] = moved;
	}
	for (int i = 0; i < n; i++) {
		/* dup2 on itself would leave CLOEXEC set */
		long r = from[i] == i ? syscall(SYS_fcntl, i, F_SETFD, 0) :
			syscall(SYS_dup3, from[i], i, 0);

		if (r == -1)
			give_up(s, SPAWN_STDIO, errno);
	}
}

static NO_SANITIZE void
set_limits(const struct spawn *s)
{
	struct rlimit rl;
	bool nofile_set = false;

	for (int i = 0; i < s->n_rlimits; i++) {
		rl.rlim_cur = s->rlimits[i].soft;
		rl.rlim_max = s->rlimits[i].hard;
		nofile_set = nofile_set || s->rlimits[i].resource == RLIMIT_NOFILE;
		if (syscall(SYS_prlimit64, 0, s->rlimits[i].resource, &rl, NULL) == -1)
			give_up(s, SPAWN_RLIMITS, errno);
	}
	/* we have raised our own; a handler gets what we had found */
	if (!nofile_set && nofile_soft > 0) {
		if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl) == -1)
			give_up(s, SPAWN_RLIMITS, errno);
		rl.rlim_cur = nofile_soft < rl.rlim_max ? nofile_soft : rl.rlim_max;
		if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &rl, NULL) == -1)
			give_up(s, SPAWN_RLIMITS, errno);
	}
}

/* The one function that sets credentials.  Raw calls, as libc's would try to
 * reach the other threads of this memory.  Then looks whether they are what
 * was wanted and can't be had back. */
static NO_SANITIZE void
become(const struct spawn *s)
{
	const struct conf_account *a = s->account;
	uid_t u[3];
	gid_t g[3];

	if (syscall(SYS_setgroups, a->n_groups, a->groups) == -1)
		give_up(s, SPAWN_GROUPS, errno);
	if (syscall(SYS_setresgid, a->gid, a->gid, a->gid) == -1)
		give_up(s, SPAWN_GROUP, errno);
	if (syscall(SYS_setresuid, a->uid, a->uid, a->uid) == -1)
		give_up(s, SPAWN_USER, errno);
	if (syscall(SYS_getresuid, &u[0], &u[1], &u[2]) == -1 ||
	    syscall(SYS_getresgid, &g[0], &g[1], &g[2]) == -1)
		give_up(s, SPAWN_VERIFY, errno);
	for (int i = 0; i < 3; i++)
		if (u[i] != a->uid || g[i] != a->gid)
			give_up(s, SPAWN_VERIFY, EPERM);
	if (a->uid != 0 && syscall(SYS_setuid, 0) == 0)
		give_up(s, SPAWN_VERIFY, EPERM);
}

/* Default dispositions and an empty mask; signals that came while they were
 * blocked arrive here.  The daemon ignores these two and nothing else: main
 * has set all others to default. */
static NO_SANITIZE void
reset_signals(const struct spawn *s)
{
	struct {		/* the kernel's idea of struct sigaction */
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} act = { .handler = SIG_DFL };
	unsigned long none = 0;

	if (syscall(SYS_rt_sigaction, SIGPIPE, &act, NULL, sizeof(none)) == -1 ||
	    syscall(SYS_rt_sigaction, SIGXFSZ, &act, NULL, sizeof(none)) == -1 ||
	    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none)) == -1)
		give_up(s, SPAWN_SIGNALS, errno);
}

static NO_SANITIZE void
write_pid(char *to)
{
	unsigned pid = (unsigned)syscall(SYS_getpid), n = 1;

	for (unsigned k = pid; k >= 10; k /= 10)
		n++;
	to[n] = '\0';
	for (; n > 0; pid /= 10)
		to[--n] = (char)('0' + pid % 10);
}

static NO_SANITIZE int
child(void *arg)
{
	const struct spawn *s = arg;
	int top = s->fd_in > s->fd_err ? s->fd_in : s->fd_err;

	if (s->in_cgroup && s->cgroup_fd > top)
		top = s->cgroup_fd;
	for (int i = 0; i < s->n_fds; i++)
		if (s->fds[i] > top)
			top = s->fds[i];
	if (share_files &&
	    syscall(SYS_close_range, (unsigned)top + 1, ~0U, CLOSE_RANGE_UNSHARE) == -1)
		give_up(s, SPAWN_FILES, errno);
	/* first of all, as it is needed no more then and may be overwritten */
	if (s->in_cgroup && syscall(SYS_write, s->cgroup_fd, "0", 1) == -1)
		give_up(s, SPAWN_CGROUP, errno);
	place_fds(s);
	if (syscall(SYS_setsid) == -1 ||
	    (s->subreaper && syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1))
		give_up(s, SPAWN_SESSION, errno);
	if (s->nice != 0 && syscall(SYS_setpriority, PRIO_PROCESS, 0, s->nice) == -1)
		give_up(s, SPAWN_NICE, errno);
	set_limits(s);
	if (s->chroot && (syscall(SYS_chroot, s->chroot) == -1 || syscall(SYS_chdir, "/") == -1))
		give_up(s, SPAWN_CHROOT, errno);
	if (s->account)
		become(s);
	if (s->directory && syscall(SYS_chdir, s->directory) == -1)
		give_up(s, SPAWN_DIRECTORY, errno);
	(void)syscall(SYS_umask, s->umask);
	if (s->listen_pid)
		write_pid(s->listen_pid);
	reset_signals(s);
	(void)syscall(SYS_execve, s->path, s->argv, s->env);
	give_up(s, SPAWN_EXEC, errno);
	return 127;
}

/* A wait handler's sockets lie at high numbers: the child gets low ones, so
 * that it needn't copy the whole table.  Returns how many copies were made, to
 * be closed afterwards, or -1. */
static int
lower(struct spawn *s, int *copies, int *fds)
{
	int n = 0;

	if (!share_files)
		return 0;
	if (s->fd_in >= FD_HIGH && (s->fd_in = copies[n++] = fd_dup(s->fd_in, 3)) == -1)
		return -1;
	for (int i = 0; i < s->n_fds; i++) {
		fds[i] = s->fds[i];
		if (fds[i] >= FD_HIGH && (fds[i] = copies[n++] = fd_dup(fds[i], 3)) == -1) {
			while (--n > 0)
				(void)close(copies[n - 1]);
			errno = EMFILE;
			return -1;
		}
	}
	if (s->n_fds > 0)
		s->fds = fds;
	return n;
}

int
spawn_start(struct spawn *s)
{
	int copies[1 + SPAWN_FDS], fds[SPAWN_FDS], n, error;
	pid_t pid;

	assert(stack && s->n_fds <= SPAWN_FDS);
	n = lower(s, copies, fds);
	if (n == -1)
		return -1;
	pid = clone(child, stack + STACK_SIZE,
		    CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD |
		    (share_files ? CLONE_FILES : 0), s, s->pid);
	error = errno;
	while (n > 0)
		(void)close(copies[--n]);
	errno = error;
	return pid == -1 ? -1 : 0;
}
