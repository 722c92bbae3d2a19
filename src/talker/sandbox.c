/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The talker's confinement; called by main.c, once.  The order matters: the
 * new root needs root's privileges, the system call filter comes last.  What
 * was given up is verified, because a step that silently did nothing would
 * never be noticed.
 */
#include "config.h"

#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif

#if defined SANITIZED
/* The leak checker wants a process, /proc and ptrace: none of them is there. */
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return 1;
}
#elif defined HAVE_LIBSECCOMP
#define WITH_FILTER 1
#include <seccomp.h>
#endif

static void
enter_root(int fd)
{
	if (fchdir(fd) < 0 || chroot(".") < 0 || chdir("/") < 0)
		fatal("talker: cannot enter its empty root");
	(void)close(fd);
}

static void
become(uid_t uid, gid_t gid)
{
	uid_t u[3];
	gid_t g[3];

	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		fatal("talker: cannot become uid %ld, gid %ld", (long)uid, (long)gid);
	if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
		fatal("talker: cannot tell who it is");
	for (int i = 0; i < 3; i++)
		if (u[i] != uid || g[i] != gid)
			fatalx("talker: is not uid %ld, gid %ld", (long)uid, (long)gid);
	if (getgroups(0, NULL) != 0)
		fatalx("talker: has supplementary groups");
}

static void
limit(int resource, const char *name)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(resource, &none) < 0)
		fatal("talker: cannot set its limit of %s", name);
}

/* No new processes, no files.  A log that is a file can still be written. */
static void
limit_resources(void)
{
	struct stat st;

	limit(RLIMIT_NPROC, "processes");
	limit(RLIMIT_CORE, "core");
	if (fstat(STDERR_FILENO, &st) == 0 && !S_ISREG(st.st_mode))
		limit(RLIMIT_FSIZE, "file size");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fatal("talker: prctl");
}

#if defined WITH_FILTER
/* Names that an architecture or an older library lacks are skipped: they are
 * what others use for the same. */
static const char *const allowed[] = {
	/* sockets */
	"accept4", "close", "getpeername", "getsockname", "getsockopt", "read", "readv",
	"recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmsg",
	"sendto", "shutdown", "socketcall", "write", "writev",
	/* the loop */
	"_newselect", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait",
	"poll", "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select",
	/* time */
	"clock_gettime", "clock_gettime64", "gettimeofday", "time",
	/* descriptors: duplicates, the board's size and head */
	"fcntl", "fcntl64", "fstat", "fstat64", "newfstatat", "pread64", "statx",
	/* memory; mmap and mprotect follow below */
	"brk", "futex", "futex_time64", "getrandom", "madvise", "mremap", "munmap",
	/* itself */
	"exit", "exit_group", "getpid", "getsid", "restart_syscall", "rt_sigprocmask",
	"rt_sigreturn", "sigreturn",
};

static const char *const not_executable[] = { "mmap", "mmap2", "mprotect" };

/* If its arguments are such; n = 0: however they are. */
static void
allow(scmp_filter_ctx f, const char *name, unsigned n, const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);
	int rc;

	if (nr == __NR_SCMP_ERROR)
		return;
	rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, nr, n, args);
	if (rc < 0 && rc != -EDOM)	/* EDOM: not on this architecture */
		fatalx("talker: seccomp: %s: %s", name, strerror(-rc));
}

static void
filter(void)
{
	const struct scmp_arg_cmp no_exec[] = { SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) };
	const struct scmp_arg_cmp linger[] = {	/* fd_close_now */
		SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_LINGER),
	};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (f == NULL)
		fatalx("talker: seccomp: no memory");
	for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
		allow(f, allowed[i], 0, NULL);
	for (size_t i = 0; i < sizeof not_executable / sizeof not_executable[0]; i++)
		allow(f, not_executable[i], 1, no_exec);
	allow(f, "setsockopt", 2, linger);
	rc = seccomp_load(f);
	seccomp_release(f);
	/* a kernel without it is no reason to fail: all else holds */
	if (rc < 0)
		log_debug("talker: no system call filter: %s", strerror(-rc));
}
#endif

void
sandbox_enter(const struct sandbox *s)
{
	if (s->change) {
		enter_root(s->root_fd);
		become(s->uid, s->gid);
	}
	if (setuid(0) == 0 || getuid() == 0 || geteuid() == 0)
		fatalx("talker: will not run as root");
	limit_resources();
#if defined WITH_FILTER
	filter();
#endif
}
