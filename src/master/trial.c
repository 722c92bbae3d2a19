/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The trial.  trial_child runs in a forked child of the master, without
 * privileges and with little time and memory; all else in the master.
 * The child's problems come back as text through a pipe, a line each:
 * "E" or "W", then "file:line: text".
 */
#include "config.h"

#include "trial.h"

#include <errno.h>
#include <grp.h>
#include <fcntl.h>
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

#define TRIAL_MEMORY (1UL << 30)
#define TRIAL_TEXT 65536	/* of problems that are passed on */

struct trial {
	struct master *master;
	struct problems *problems;
	struct trial_job job;
	pid_t pid;		/* 0: reaped */
	int status;
	int fd;			/* -1: all is read */
	bool late;
	struct ev_io io;
	struct ev_timer timer;
	size_t len;
	char text[TRIAL_TEXT];
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
	if (a && (setgroups(0, NULL) == -1 || setresgid(a->gid, a->gid, a->gid) == -1 ||
		  setresuid(a->uid, a->uid, a->uid) == -1))
		_exit(3);
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
	ok = job->run(m, job->arg, p);
	problems_each(p, write_problem, f);
	if (fflush(f) == EOF)
		_exit(3);
	_exit(ok ? 0 : 1);
}

/* The lines of the child become ours. */
static void
take_problems(struct trial *t)
{
	char *save, *line;

	t->text[t->len < sizeof(t->text) ? t->len : sizeof(t->text) - 1] = '\0';
	for (line = strtok_r(t->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == 'E')
			problems_add(t->problems, NULL, 0, "%s", line + 1);
		/* warnings come again when it is loaded */
	}
}

static void
finish(struct trial *t)
{
	bool ok = WIFEXITED(t->status) && WEXITSTATUS(t->status) == 0;

	if (t->pid != 0 || t->fd != -1)
		return;
	ev_timer_stop(&t->timer);
	take_problems(t);
	if (t->late)
		problems_add(t->problems, NULL, 0, "%s took more than %d s", t->job.what,
			     TRIAL_MS / 1000);
	else if (WIFSIGNALED(t->status))
		problems_add(t->problems, NULL, 0, "%s was ended by SIG%s", t->job.what,
			     sigabbrev_np(WTERMSIG(t->status)));
	else if (!ok && problems_count(t->problems) == 0)
		problems_add(t->problems, NULL, 0, "%s failed in the trial process (exit %d)",
			     t->job.what, WEXITSTATUS(t->status));
	t->job.done(ok && !t->late, t->job.arg);
}

static void
on_text(int fd, short what, void *arg)
{
	struct trial *t = arg;
	char rest[4096];
	ssize_t n;

	(void)what;
	if (t->len < sizeof(t->text) - 1)
		n = read(fd, t->text + t->len, sizeof(t->text) - 1 - t->len);
	else
		n = read(fd, rest, sizeof(rest));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		if (t->len < sizeof(t->text) - 1)
			t->len += (size_t)n;
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
	*t = (struct trial){ .master = m, .problems = p, .job = *job, .fd = fds[0] };
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
	if (ev_io_set(&t->io, EV_IN) == -1 || ev_timer_start(&t->timer, TRIAL_MS) == -1) {
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
