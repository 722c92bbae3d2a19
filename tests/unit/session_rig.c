/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * See session_rig.h.
 */
#include "config.h"

#include "session_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

struct addr
rig_ip(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	a.port = 4242;
	return a;
}

struct session *
rig_begin(struct service *s, enum board_kind kind, const char *peer, const char *local)
{
	struct sessions *all = rig_master()->sessions;
	struct addr a[2];
	uint32_t slot;

	if (peer)
		a[0] = rig_ip(peer);
	if (local)
		a[1] = rig_ip(local);
	slot = session_new(all, s, kind, peer ? &a[0] : NULL, local ? &a[1] : NULL);
	assert_int_not_equal(slot, SESSION_NONE);
	return session_at(all, slot);
}

void
rig_process(struct session *x, pid_t pid)
{
	struct sessions *all = rig_master()->sessions;

	session_row(all, x)->pid = pid;
	session_started(all, x);
}

static bool
is_free(void *arg)
{
	return session_at(rig_master()->sessions, *(uint32_t *)arg) == NULL;
}

void
rig_run_until_free(const struct session *x)
{
	uint32_t slot = session_slot(rig_master()->sessions, x);

	rig_run_until(is_free, &slot);
}

static bool
sessions_are(void *arg)
{
	return sessions_count(rig_master()->sessions) == *(uint32_t *)arg;
}

void
rig_run_until_sessions(uint32_t n)
{
	rig_run_until(sessions_are, &n);
}

uint64_t
rig_refused(const char *name, enum reason why)
{
	return service_counters(rig_service(name))->refused[why];
}

void
rig_unblock(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

pid_t
rig_child(bool stubborn)
{
	int fds[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setsid();
		(void)signal(SIGTERM, stubborn ? SIG_IGN : SIG_DFL);
		rig_unblock();
		(void)close(fds[0]);
		(void)close(fds[1]);	/* now it can be told something */
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 0);
	(void)close(fds[0]);
	return pid;
}
