/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The event loop over libevent_core: watchers of descriptors, timers, signals.
 * Runs in the master and in the talker, in their only thread; spawned children
 * and the master's spawn threads must not touch it.
 *
 * The daemon calls event_base_loop for one turn at a time, so that something
 * can run between two turns.  libevent's clock is coarse and cached, so that a
 * timer may come a tick early: ours looks at the time itself and waits on.
 */
#include "config.h"

#include "ev.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "fd.h"
#include "log.h"

_Static_assert(EV_IN == EV_READ && EV_OUT == EV_WRITE, "ev_io uses libevent's bits");

#define TIMER_MAX_MS (INT64_C(1) << 40)		/* 34 years; keeps sums in range */

struct ev {
	struct event_base *base;
	bool in_turn, stop;
	int64_t now_ms;			/* of this turn, 0: not read yet */
	void (*turn)(void *arg);
	void *turn_arg;
	int signal_fd;
	struct ev_io signal_io;
	struct ev_timer signal_timer;
	void (*signal)(int signo, void *arg);
	void *signal_arg;
};

static void
on_log(int severity, const char *text)
{
	int error = errno;

	if (severity >= EVENT_LOG_WARN)
		log_warnx("libevent: %s", text);
	else
		log_debug("libevent: %s", text);
	errno = error;
}

static void
on_fatal(int error)
{
	fatalx("libevent: gave up, error %d", error);
}

/* Leave only the backend that is wanted; "auto" is any but select, whose limit
 * on descriptors nobody should meet unasked. */
static int
choose(struct event_config *cfg, const char *backend)
{
	const char **all = event_get_supported_methods();
	bool automatic = strcmp(backend, "auto") == 0;
	int found = 0;

	for (int i = 0; all[i] != NULL; i++) {
		bool wanted = automatic ? strcmp(all[i], "select") != 0
					: strcmp(all[i], backend) == 0;

		if (wanted)
			found++;
		else if (event_config_avoid_method(cfg, all[i]) < 0)
			return -1;
	}
	return found > 0 ? 0 : -1;
}

static struct event_base *
open_base(const char *backend)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg == NULL)
		return NULL;
	if (choose(cfg, backend) == 0 &&
	    event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV) == 0 &&
	    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

struct ev *
ev_new(const char *backend)
{
	struct ev *ev;

	event_set_log_callback(on_log);
	event_set_fatal_callback(on_fatal);
	ev = calloc(1, sizeof(*ev));
	if (ev == NULL)
		return NULL;
	ev->signal_fd = -1;
	ev->base = open_base(backend);
	if (ev->base == NULL) {
		free(ev);
		errno = ENOTSUP;
		return NULL;
	}
	return ev;
}

void
ev_free(struct ev *ev)
{
	if (ev == NULL)
		return;
	ev_timer_stop(&ev->signal_timer);
	(void)ev_io_set(&ev->signal_io, 0);	/* stopping does not fail */
	fd_close(&ev->signal_fd);
	event_base_free(ev->base);
	free(ev);
}

const char *
ev_backend(const struct ev *ev)
{
	return event_base_get_method(ev->base);
}

static bool
is_select(const struct event_base *base)
{
	return strcmp(event_base_get_method(base), "select") == 0;
}

int
ev_max_fd(const struct ev *ev)
{
	return is_select(ev->base) ? FD_SETSIZE - 1 : INT_MAX;
}

void
ev_io_init(struct ev *ev, struct ev_io *io, int fd,
	   void (*fn)(int fd, short what, void *arg), void *arg)
{
	/* fails only for a mixture of flags that isn't used here */
	(void)event_assign(&io->event, ev->base, fd, EV_PERSIST, fn, arg);
}

int
ev_io_get(const struct ev_io *io)
{
	if (!event_initialized(&io->event))
		return 0;
	return event_pending(&io->event, EV_READ | EV_WRITE, NULL);
}

int
ev_io_set(struct ev_io *io, int what)
{
	struct event *e = &io->event;
	int is = ev_io_get(io);
	int fd;

	if (is == what)
		return 0;
	if (is != 0 && event_del(e) < 0)
		return -1;
	if (what == 0)
		return 0;
	fd = event_get_fd(e);
	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	if (fd >= FD_SETSIZE && is_select(event_get_base(e))) {
		errno = EMFILE;
		return -1;
	}
	if (event_assign(e, event_get_base(e), fd, (short)(what | EV_PERSIST),
			 event_get_callback(e), event_get_callback_arg(e)) < 0)
		return -1;
	return event_add(e, NULL);
}

static int
timer_add(struct ev_timer *t, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	return event_add(&t->event, &tv);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct ev_timer *t = arg;
	int64_t left = t->due_ms - ev_now_ms(t->ev);

	(void)fd;
	(void)what;
	if (left > 0 && timer_add(t, left) == 0)
		return;
	t->fn(t->arg);		/* may free t */
}

void
ev_timer_init(struct ev *ev, struct ev_timer *t, void (*fn)(void *arg), void *arg)
{
	t->ev = ev;
	t->fn = fn;
	t->arg = arg;
	t->due_ms = 0;
	(void)event_assign(&t->event, ev->base, -1, 0, on_timer, t);
}

int
ev_timer_start(struct ev_timer *t, int64_t ms)
{
	if (ms < 0)
		ms = 0;
	if (ms > TIMER_MAX_MS)
		ms = TIMER_MAX_MS;
	t->due_ms = ev_now_ms(t->ev) + ms;
	return timer_add(t, ms);
}

void
ev_timer_stop(struct ev_timer *t)
{
	if (event_initialized(&t->event))
		(void)event_del(&t->event);	/* without a descriptor it can't fail */
}

bool
ev_timer_active(const struct ev_timer *t)
{
	return event_initialized(&t->event) && event_pending(&t->event, EV_TIMEOUT, NULL) != 0;
}

static void
on_signal(int fd, short what, void *arg)
{
	struct ev *ev = arg;
	struct signalfd_siginfo si[8];
	ssize_t n = read(fd, si, sizeof(si));

	(void)what;
	if (n < 0)
		return;		/* EAGAIN; what else there is comes again */
	for (size_t i = 0; i < (size_t)n / sizeof(si[0]); i++)
		ev->signal((int)si[i].ssi_signo, ev->signal_arg);
}

static void
watch_signals(void *arg)
{
	struct ev *ev = arg;

	/* it was watched before: there is memory for it */
	if (ev->signal_fd != -1 && ev_io_set(&ev->signal_io, EV_IN) < 0)
		log_warn("signals");
}

void
ev_signals_defer(struct ev *ev, int64_t ms)
{
	if (ev->signal_fd == -1 || (ms > 0 && ev_timer_active(&ev->signal_timer)))
		return;
	if (ms > 0 && ev_timer_start(&ev->signal_timer, ms) == 0) {
		(void)ev_io_set(&ev->signal_io, 0);	/* stopping does not fail */
	} else if (ms == 0 && ev_timer_active(&ev->signal_timer)) {
		ev_timer_stop(&ev->signal_timer);
		watch_signals(ev);
	}
}

int
ev_signals(struct ev *ev, const int *signals, int n, void (*fn)(int signo, void *arg), void *arg)
{
	sigset_t set;
	int fd;

	assert(ev->signal_fd == -1);
	sigemptyset(&set);
	for (int i = 0; i < n; i++)
		if (sigaddset(&set, signals[i]) < 0)
			return -1;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -1;
	ev->signal_fd = fd_raise(fd);
	ev->signal = fn;
	ev->signal_arg = arg;
	ev_io_init(ev, &ev->signal_io, ev->signal_fd, on_signal, ev);
	ev_timer_init(ev, &ev->signal_timer, watch_signals, ev);
	if (ev_io_set(&ev->signal_io, EV_IN) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
		int error = errno;

		(void)ev_io_set(&ev->signal_io, 0);
		fd_close(&ev->signal_fd);
		errno = error;
		return -1;
	}
	return 0;
}

void
ev_on_turn(struct ev *ev, void (*fn)(void *arg), void *arg)
{
	ev->turn = fn;
	ev->turn_arg = arg;
}

int
ev_run(struct ev *ev)
{
	int rc = 0;

	while (!ev->stop && rc >= 0) {
		ev->now_ms = 0;
		ev->in_turn = true;
		rc = event_base_loop(ev->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
		if (ev->turn != NULL)
			ev->turn(ev->turn_arg);
	}
	ev->in_turn = false;
	ev->stop = false;
	return rc < 0 ? -1 : 0;
}

void
ev_stop(struct ev *ev)
{
	ev->stop = true;
}

int64_t
ev_clock_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* always there */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
ev_now_ms(const struct ev *ev)
{
	int64_t now;

	if (ev->in_turn && ev->now_ms != 0)
		return ev->now_ms;
	now = ev_clock_ms();
	((struct ev *)ev)->now_ms = now;	/* a cache, not a change of the loop */
	return now;
}
