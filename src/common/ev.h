/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The event loop: descriptors, timers, signals.  libevent_core does the work
 * and is seen nowhere else.  Watchers are embedded in the objects that own
 * them, so watching costs no allocation; an object stops its watchers before
 * it closes the descriptor and before its memory goes.
 *
 * Signals are blocked and read from a signalfd: nothing of ours ever runs in a
 * signal handler, and a child that shares our memory can't run one either.
 */
#ifndef HATCHD_EV_H
#define HATCHD_EV_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event_struct.h>

enum { EV_IN = 0x02, EV_OUT = 0x04 };	/* libevent's EV_READ and EV_WRITE */

struct ev;			/* the loop */

struct ev_io {
	struct event event;
};

struct ev_timer {
	struct event event;
	struct ev *ev;
	void (*fn)(void *arg);
	void *arg;
	int64_t due_ms;
};

/* backend: "auto", "epoll", "poll" or "select".  NULL if it isn't there
 * (errno ENOTSUP) or memory is out. */
struct ev *ev_new(const char *backend);
void ev_free(struct ev *ev);
const char *ev_backend(const struct ev *ev);

/* The highest descriptor that the backend can watch (select: FD_SETSIZE - 1);
 * INT_MAX if it doesn't care. */
int ev_max_fd(const struct ev *ev);

/* fn gets the descriptor, EV_IN and/or EV_OUT, arg.  Level-triggered.
 * ev_io_set starts (what != 0), changes or stops (what = 0) watching; returns
 * -1 and errno if the kernel or the backend refuses (EMFILE: select and a
 * number above ev_max_fd); nothing is watched then.  Calling it with what is
 * already set costs nothing. */
void ev_io_init(struct ev *ev, struct ev_io *io, int fd,
		void (*fn)(int fd, short what, void *arg), void *arg);
int ev_io_set(struct ev_io *io, int what);
int ev_io_get(const struct ev_io *io);

/* One shot; starting it again moves it.  ms <= 0 fires in the next turn.  Never
 * fires early by ev_now_ms.  Stopping one that does not run, or a zeroed one
 * that was never initialised, is no fault. */
void ev_timer_init(struct ev *ev, struct ev_timer *t,
		   void (*fn)(void *arg), void *arg);
int ev_timer_start(struct ev_timer *t, int64_t ms);
void ev_timer_stop(struct ev_timer *t);
bool ev_timer_active(const struct ev_timer *t);

/* Blocks the n signals and calls fn(signo, arg) from the loop for each that
 * comes; at most one call a loop; 0, or -1 and errno. */
int ev_signals(struct ev *ev, const int *signals, int n,
	       void (*fn)(int signo, void *arg), void *arg);

/* Looks for signals again in ms only, so that a flood of them doesn't wake the
 * loop for each; they are not lost.  ms = 0: looks at once.  While it is
 * deferred another call with ms > 0 changes nothing. */
void ev_signals_defer(struct ev *ev, int64_t ms);

/* fn(arg) at the end of each turn of the loop, after all watchers have run.
 * There is one; setting it again replaces it, NULL removes it. */
void ev_on_turn(struct ev *ev, void (*fn)(void *arg), void *arg);

/* Runs until the turn in which ev_stop was called is over (not at all if it
 * was called before); 0, or -1 if the backend failed. */
int ev_run(struct ev *ev);
void ev_stop(struct ev *ev);

/* CLOCK_MONOTONIC in milliseconds; within a turn it is read once, when first
 * asked for. */
int64_t ev_now_ms(const struct ev *ev);
/* The same clock, read now: for what takes its time within a turn. */
int64_t ev_clock_ms(void);

#endif
