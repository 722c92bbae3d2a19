/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The talker's process.  Runs in the master.  It is started like every other
 * process, by spawn.c, as root (if we are), and drops everything itself as
 * soon as it has its program: see src/talker/sandbox.c.
 */
#include "config.h"

#include "talkproc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "link.h"
#include "log.h"
#include "master.h"
#include "session.h"
#include "spawn.h"

#define RESTART_MIN 100
#define RESTART_MAX 30000
#define STOP_MS 2000		/* what it may take to end */
#define STABLE_MS 10000		/* one that has lived so long starts the back-off anew */

struct talkproc {
	struct msg_link *link;
	char *path;
	pid_t pid;		/* 0: none; written by spawn_start */
	int16_t step, error;	/* of a failed start */
	int64_t started_ms;
	uint32_t restart_ms;
	bool ready, stopping;
	struct ev_timer restart, deadline;
};

static void start(void *arg);
static void on_deadline(void *arg);

/* Beside our own program (in a build tree), else where it is installed. */
static char *
find_program(void)
{
	char self[4096], *path;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		if (slash && asprintf(&path, "%.*s/hatchd-talker", (int)(slash - self), self) >= 0) {
			if (access(path, X_OK) == 0)
				return path;
			free(path);
		}
	}
	return strdup(TALKER_PATH);
}

int
talkproc_init(struct master *m)
{
	struct talkproc *t = calloc(1, sizeof(*t));

	if (!t)
		return -1;
	m->talkproc = t;
	t->path = find_program();
	if (!t->path)
		return -1;
	if (access(t->path, X_OK) == -1) {
		log_warn("%s", t->path);
		return -1;
	}
	ev_timer_init(m->ev, &t->restart, start, m);
	ev_timer_init(m->ev, &t->deadline, on_deadline, t);
	start(m);
	return 0;
}

void
talkproc_fini(struct master *m)
{
	struct talkproc *t = m->talkproc;

	if (!t)
		return;
	if (t->deadline.ev) {
		ev_timer_stop(&t->restart);
		ev_timer_stop(&t->deadline);
	}
	msg_link_free(t->link);
	free(t->path);
	free(t);
	m->talkproc = NULL;
}

/* A directory that nobody can reach and that is empty for ever: made, opened,
 * removed. */
static int
empty_directory(void)
{
	static const char *const places[] = { "/run", "/tmp", "/" };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char path[64];
		int fd;

		(void)snprintf(path, sizeof(path), "%s/hatchd-XXXXXX", places[i]);
		if (!mkdtemp(path))
			continue;
		fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		(void)rmdir(path);
		if (fd != -1)
			return fd;
	}
	return -1;
}

static int
run(struct master *m, struct talkproc *t, int link_fd, int root_fd)
{
	static const char *const no_env[] = { NULL };
	char uid[16] = "-", gid[16] = "-", limit[24];
	const char *argv[] = {
		"hatchd-talker", uid, gid, ev_backend(m->ev), limit, NULL
	};
	int fds[2] = { link_fd, root_fd };
	struct spawn sp = {
		.path = t->path, .argv = argv, .env = no_env,
		.directory = "/", .umask = 077, .fd_in = m->null_fd,
		/* in the background 2 is still the starter's, who waits for its end */
		.fd_err = m->options->foreground ? 2 : m->null_fd,
		.n_fds = root_fd == -1 ? 1 : 2, .fds = fds,
		.pid = &t->pid, .step = &t->step, .error = &t->error,
	};

	(void)snprintf(limit, sizeof(limit), "%llu", (unsigned long long)m->fd_limit);
	if (m->conf->talker) {
		(void)snprintf(uid, sizeof(uid), "%u", (unsigned)m->conf->talker->uid);
		(void)snprintf(gid, sizeof(gid), "%u", (unsigned)m->conf->talker->gid);
	}
	t->step = t->error = 0;
	t->pid = 0;
	if (spawn_start(&sp) == -1) {
		t->pid = 0;
		return -1;
	}
	if (t->step != 0) {
		errno = t->error;
		return -1;
	}
	return 0;
}

static void
restart_later(struct master *m)
{
	struct talkproc *t = m->talkproc;

	if (t->stopping || m->stopping)
		return;
	if (ev_now_ms(m->ev) - t->started_ms > STABLE_MS)
		t->restart_ms = 0;
	t->restart_ms = t->restart_ms == 0 ? RESTART_MIN : t->restart_ms * 2;
	if (t->restart_ms > RESTART_MAX)
		t->restart_ms = RESTART_MAX;
	(void)ev_timer_start(&t->restart, t->restart_ms);
}

static void
failed(struct master *m, const char *what)
{
	log_warn("can't start the talker: %s", what);
	restart_later(m);
}

static void
start(void *arg)
{
	struct master *m = arg;
	struct talkproc *t = m->talkproc;
	int pair[2], root_fd = -1, r, error;

	assert(!t->link);
	t->started_ms = ev_now_ms(m->ev);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1) {
		failed(m, "socketpair");
		return;
	}
	if (m->conf->talker && (root_fd = empty_directory()) == -1) {
		failed(m, "no directory can be made for it in /run, /tmp or /");
		(void)close(pair[0]);
		(void)close(pair[1]);
		return;
	}
	r = run(m, t, pair[1], root_fd);
	error = errno;
	(void)close(pair[1]);
	fd_close(&root_fd);
	if (r == -1) {
		(void)close(pair[0]);
		errno = error;
		failed(m, t->path);
		return;
	}
	t->link = link_new(m, fd_raise(pair[0]));
	if (!t->link || link_send_start(m) == -1)
		talkproc_broken(m, "no memory for its link");
}

struct msg_link *
talkproc_link(const struct master *m)
{
	return m->talkproc ? m->talkproc->link : NULL;
}

bool
talkproc_ready(const struct master *m)
{
	return m->talkproc && m->talkproc->ready;
}

pid_t
talkproc_pid(const struct master *m)
{
	return m->talkproc ? m->talkproc->pid : 0;
}

void
talkproc_is_ready(struct master *m)
{
	m->talkproc->ready = true;
	log_debug("talker %d is ready", (int)m->talkproc->pid);
}

/* Nothing of it is left when this returns but a process that is to be reaped;
 * the next one starts when it has been. */
void
talkproc_broken(struct master *m, const char *why)
{
	struct talkproc *t = m->talkproc;

	if (!t->stopping)
		log_warnx("the talker's link: %s", why);
	t->ready = false;
	msg_link_free(t->link);
	t->link = NULL;
	link_lost(m);
	if (t->pid > 0)
		(void)kill(t->pid, SIGKILL);
	else
		restart_later(m);
}

bool
talkproc_reaped(struct master *m, pid_t pid, int status)
{
	struct talkproc *t = m->talkproc;
	bool linked = t && t->link;
	struct log_line l;

	if (!t || t->pid != pid)
		return false;
	t->pid = 0;
	if (t->step != 0)	/* it never ran: failed() has told and waits */
		return true;
	if (!t->stopping) {
		const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

		log_begin(&l, LOGL_WARN, "talker");
		log_num(&l, "pid", pid);
		if (name)
			log_str(&l, "signal", name);
		else
			log_num(&l, "exit", WEXITSTATUS(status));
		log_str(&l, "next", "restart");
		log_end(&l);
	}
	if (linked)		/* what it said last, to its end, of which we are told */
		msg_link_finish(t->link);
	if (t->link)
		talkproc_broken(m, "ended");
	else if (!linked)
		restart_later(m);
	return true;
}

static void
on_deadline(void *arg)
{
	struct talkproc *t = arg;

	if (t->pid > 0)
		(void)kill(t->pid, SIGKILL);
}

void
talkproc_stop(struct master *m)
{
	struct talkproc *t = m->talkproc;

	if (!t || t->stopping)
		return;
	t->stopping = true;
	ev_timer_stop(&t->restart);
	(void)ev_timer_start(&t->deadline, STOP_MS);
	if (t->link)
		link_send_stop(m);
}
