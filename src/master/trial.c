/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The trial.  trial_child runs in a forked child of the master, without
 * privileges and with little time and memory; all else in the master.
 * The child's problems come back as text through a pipe, a line each:
 * "E" or "W", then "file:line: text"; and the names that it looks up, as
 * names.c writes them.
 */
#include "config.h"

#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ev.h"
#include "fd.h"
#include "log.h"
#include "master.h"
#include "names.h"

#define TRIAL_MEMORY (1UL << 30)
#define TRIAL_LINE 8192		/* more than any of its lines has */

struct trial {
	struct master *master;
	struct problems *problems;
	struct trial_job job;
	pid_t pid;		/* 0: reaped */
	int status;
	int fd;			/* -1: all is read */
	bool late;
	bool odd;		/* it wrote what it can't have meant */
	int limit_ms;
	struct ev_io io;
	struct ev_timer timer;
	char host[64];		/* whose address it looks up; cut */
	size_t len;
	char text[TRIAL_LINE];
};

static void
write_problem(bool warning, const char *text, void *arg)
{
	FILE *f = arg;

	(void)fprintf(f, "%c%s\n", warning ? 'W' : 'E', text);
}

static void
limit(int resource, rlim_t value)
{
	struct rlimit rl = { .rlim_cur = value, .rlim_max = value };

	(void)setrlimit(resource, &rl);
}

/* List files and banners may be for root alone to read, and the child is to find
 * out whether they are in order. */
static void
keep_reading(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	uint32_t keep;

	if (syscall(SYS_capget, &head, data) == -1)
		return;
	keep = data[0].permitted & (1U << CAP_DAC_READ_SEARCH);
	if (!keep)		/* some containers have only this one */
		keep = data[0].permitted & (1U << CAP_DAC_OVERRIDE);
	memset(data, 0, sizeof(data));
	data[0].permitted = data[0].effective = keep;
	if (syscall(SYS_capset, &head, data) == -1)
		_exit(3);
}

/* What can't be given up is no reason not to try: it is a safeguard around
 * files that only root and we may write. */
static void
give_up_privileges(const struct master *m)
{
	const struct conf_account *a = m->conf->talker;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	limit(RLIMIT_CPU, TRIAL_MS / 1000);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
#ifndef SANITIZERS		/* they map terabytes */
	limit(RLIMIT_AS, TRIAL_MEMORY);
#endif
	if (!a)
		return;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1 || setgroups(0, NULL) == -1 ||
	    setresgid(a->gid, a->gid, a->gid) == -1 || setresuid(a->uid, a->uid, a->uid) == -1)
		_exit(3);
	keep_reading();
}

static void __attribute__((noreturn))
trial_child(const struct master *m, const struct trial_job *job, int out)
{
	struct problems *p;
	bool ok;
	sigset_t none;
	FILE *f;

	if (dup2(m->null_fd, 0) == -1 || dup2(m->null_fd, 1) == -1 ||
	    dup2(m->null_fd, 2) == -1 || dup2(out, 3) == -1)
		_exit(3);
	(void)syscall(SYS_close_range, 4U, ~0U, 0U);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (!job->privileged)
		give_up_privileges(m);
	p = problems_new();
	f = fdopen(3, "w");
	if (!p || !f)
		_exit(3);
	if (job->names)
		names_tell(job->names, f);
	ok = job->run(m, job->arg, p);
	problems_each(p, write_problem, f);
	if (fflush(f) == EOF)
		_exit(3);
	_exit(ok ? 0 : 1);
}

/* A line of the child. */
static void
take_line(struct trial *t, const char *line)
{
	switch (line[0]) {
	case 'E':
		problems_add(t->problems, NULL, 0, "%s", line + 1);
		break;
	case 'L':
		if (t->limit_ms == TRIAL_MS && !t->late) {
			t->limit_ms = TRIAL_NAMES_MS;
			(void)ev_timer_start(&t->timer, t->limit_ms);
		}
		(void)snprintf(t->host, sizeof(t->host), "%s", line + 1 + (line[1] == ' '));
		break;
	case 'N':
		t->host[0] = '\0';
		t->odd = t->odd || !t->job.names || !names_read(t->job.names, line);
		break;
	case 'W':		/* warnings come again when it is loaded */
		break;
	default:
		t->odd = true;
	}
}

/* The lines that are there; the beginning of another one stays. */
static void
take_lines(struct trial *t)
{
	char *line = t->text, *end;

	while ((end = memchr(line, '\n', t->len))) {
		*end = '\0';
		take_line(t, line);
		t->len -= (size_t)(end + 1 - line);
		line = end + 1;
	}
	memmove(t->text, line, t->len);
	if (t->len == sizeof(t->text)) {
		t->len = 0;
		t->odd = true;
	}
}

static void
tell_late(struct trial *t)
{
	problems_add(t->problems, NULL, 0, "%s took more than %d s%s%s", t->job.what,
		     t->limit_ms / 1000, t->host[0] ? ", at the name of the host " : "", t->host);
}

static void
finish(struct trial *t)
{
	bool ok = WIFEXITED(t->status) && WEXITSTATUS(t->status) == 0;

	if (t->pid != 0 || t->fd != -1)
		return;
	ev_timer_stop(&t->timer);
	if (t->late)
		tell_late(t);
	else if (WIFSIGNALED(t->status))
		problems_add(t->problems, NULL, 0, "%s was ended by SIG%s", t->job.what,
			     sigabbrev_np(WTERMSIG(t->status)));
	else if (t->odd)
		problems_add(t->problems, NULL, 0, "%s: the trial process told nonsense",
			     t->job.what);
	else if (!ok && problems_count(t->problems) == 0)
		problems_add(t->problems, NULL, 0, "%s failed in the trial process (exit %d)",
			     t->job.what, WEXITSTATUS(t->status));
	t->job.done(ok && !t->late && !t->odd, t->job.arg);
}

static void
on_text(int fd, short what, void *arg)
{
	struct trial *t = arg;
	ssize_t n = read(fd, t->text + t->len, sizeof(t->text) - t->len);

	(void)what;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		t->len += (size_t)n;
		take_lines(t);
		return;
	}
	(void)ev_io_set(&t->io, 0);
	fd_close(&t->fd);
	finish(t);
}

static void
on_late(void *arg)
{
	struct trial *t = arg;

	t->late = true;
	if (t->pid > 0)
		(void)kill(t->pid, SIGKILL);
}

bool
trial_reaped(struct trial *t, pid_t pid, int status)
{
	if (!t || t->pid != pid)
		return false;
	t->pid = 0;
	t->status = status;
	finish(t);
	return true;
}

struct trial *
trial_start(struct master *m, const struct trial_job *job, struct problems *p)
{
	struct trial *t = calloc(1, sizeof(*t));
	int fds[2], error;

	if (!t)
		return NULL;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1) {
		free(t);
		return NULL;
	}
	*t = (struct trial){
		.master = m, .problems = p, .job = *job, .fd = fds[0], .limit_ms = TRIAL_MS,
	};
	ev_io_init(m->ev, &t->io, t->fd, on_text, t);
	ev_timer_init(m->ev, &t->timer, on_late, t);
	(void)fd_set_nonblock(fds[1], false);
	log_flush();		/* or the child would have the same lines */
	t->pid = fork();
	if (t->pid == 0)
		trial_child(m, job, fds[1]);
	error = errno;
	(void)close(fds[1]);
	if (t->pid == -1) {
		t->pid = 0;
		trial_free(t);
		errno = error;
		return NULL;
	}
	if (ev_io_set(&t->io, EV_IN) == -1 || ev_timer_start(&t->timer, t->limit_ms) == -1) {
		trial_free(t);
		errno = ENOMEM;
		return NULL;
	}
	return t;
}

void
trial_free(struct trial *t)
{
	if (!t)
		return;
	(void)ev_io_set(&t->io, 0);
	ev_timer_stop(&t->timer);
	if (t->pid > 0)
		(void)kill(t->pid, SIGKILL);
	fd_close(&t->fd);
	free(t);
}
