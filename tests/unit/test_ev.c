/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The event loop, with every backend: descriptors, timers, signals, turns.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ev.h"

/* libevent's calls come here, too: they are counted. */
static unsigned epoll_ctls;

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	epoll_ctls++;
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static const char *const backends[] = { "auto", "epoll", "poll", "select" };

static struct ev *ev;
static struct ev_timer guard;
static int calls, bits;

static void
on_guard(void *arg)
{
	(void)arg;
	fail_msg("the loop hangs");
}

static void
begin(const char *backend)
{
	ev = ev_new(backend);
	assert_non_null(ev);
	ev_timer_init(ev, &guard, on_guard, NULL);
	assert_int_equal(ev_timer_start(&guard, 10000), 0);
	calls = bits = 0;
}

static void
end(void)
{
	ev_timer_stop(&guard);
	ev_free(ev);
	ev = NULL;
}

static void
stop(void *arg)
{
	ev_stop(arg);
}

/* Run the loop for ms. */
static void
spin(int64_t ms)
{
	struct ev_timer t;

	ev_timer_init(ev, &t, stop, ev);
	assert_int_equal(ev_timer_start(&t, ms), 0);
	assert_int_equal(ev_run(ev), 0);
}

#define EACH_BACKEND(body) do { \
	for (unsigned b_ = 0; b_ < sizeof(backends) / sizeof(backends[0]); b_++) { \
		begin(backends[b_]); \
		body(); \
		end(); \
	} \
} while (0)

static void
test_backends(void **data)
{
	(void)data;
	for (unsigned i = 1; i < sizeof(backends) / sizeof(backends[0]); i++) {
		begin(backends[i]);
		assert_string_equal(ev_backend(ev), backends[i]);
		assert_int_equal(ev_max_fd(ev), strcmp(backends[i], "select") == 0
						? FD_SETSIZE - 1 : INT_MAX);
		end();
	}
	begin("auto");
	assert_string_not_equal(ev_backend(ev), "select");
	end();
	errno = 0;
	assert_null(ev_new("kpoll"));
	assert_int_equal(errno, ENOTSUP);
	assert_null(ev_new(""));
	ev_free(NULL);
}

static void
test_environment_does_not_matter(void **data)
{
	(void)data;
	assert_int_equal(setenv("EVENT_NOEPOLL", "1", 1), 0);
	begin("epoll");
	assert_string_equal(ev_backend(ev), "epoll");
	end();
	unsetenv("EVENT_NOEPOLL");
}

static void
count(int fd, short what, void *arg)
{
	(void)fd;
	(void)arg;
	calls++;
	bits |= what;
	ev_stop(ev);
}

static void
io_body(void)
{
	struct ev_io io;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	ev_io_init(ev, &io, p[0], count, NULL);
	assert_int_equal(ev_io_get(&io), 0);
	assert_int_equal(ev_io_set(&io, EV_IN), 0);
	assert_int_equal(ev_io_get(&io), EV_IN);
	spin(5);
	assert_int_equal(calls, 0);

	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(bits, EV_IN);
	assert_int_equal(ev_run(ev), 0);	/* level-triggered: again */
	assert_int_equal(calls, 2);

	assert_int_equal(ev_io_set(&io, 0), 0);
	assert_int_equal(ev_io_get(&io), 0);
	assert_int_equal(ev_io_set(&io, 0), 0);
	spin(5);
	assert_int_equal(calls, 2);

	close(p[1]);				/* hang-up is readable */
	assert_int_equal(read(p[0], &(char){ 0 }, 1), 1);
	assert_int_equal(ev_io_set(&io, EV_IN), 0);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(calls, 3);
	assert_int_equal(bits, EV_IN);
	assert_int_equal(ev_io_set(&io, 0), 0);
	close(p[0]);
}

static void
test_io(void **data)
{
	(void)data;
	EACH_BACKEND(io_body);
}

static void
io_change_body(void)
{
	struct ev_io io;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	ev_io_init(ev, &io, s[0], count, NULL);
	assert_int_equal(ev_io_set(&io, EV_OUT), 0);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(bits, EV_OUT);
	assert_int_equal(ev_io_set(&io, EV_IN), 0);
	assert_int_equal(ev_io_get(&io), EV_IN);
	bits = calls = 0;
	spin(5);
	assert_int_equal(calls, 0);
	assert_int_equal(write(s[1], "x", 1), 1);
	assert_int_equal(ev_io_set(&io, EV_IN | EV_OUT), 0);
	assert_int_equal(ev_io_get(&io), EV_IN | EV_OUT);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(bits, EV_IN | EV_OUT);
	assert_int_equal(ev_io_set(&io, 0), 0);
	close(s[0]);
	close(s[1]);
}

static void
test_io_change(void **data)
{
	(void)data;
	EACH_BACKEND(io_change_body);
}

static void
test_io_set_again_costs_nothing(void **data)
{
	struct ev_io io;
	int p[2];
	unsigned before;

	(void)data;
	begin("epoll");
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	ev_io_init(ev, &io, p[0], count, NULL);
	before = epoll_ctls;
	assert_int_equal(ev_io_set(&io, 0), 0);
	assert_int_equal(epoll_ctls, before);
	assert_int_equal(ev_io_set(&io, EV_IN), 0);
	assert_int_equal(epoll_ctls, before + 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ev_io_set(&io, EV_IN), 0);
	assert_int_equal(epoll_ctls, before + 1);
	assert_int_equal(ev_io_set(&io, 0), 0);
	assert_int_equal(epoll_ctls, before + 2);
	close(p[0]);
	close(p[1]);
	end();
}

static void
test_io_refusals(void **data)
{
	struct ev_io io, zero;
	int fd;

	(void)data;
	begin("epoll");
	ev_io_init(ev, &io, -1, count, NULL);
	assert_int_equal(ev_io_set(&io, EV_IN), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(ev_io_get(&io), 0);

	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);	/* epoll can't watch it */
	ev_io_init(ev, &io, fd, count, NULL);
	assert_int_equal(ev_io_set(&io, EV_IN), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ev_io_get(&io), 0);
	close(fd);

	memset(&zero, 0, sizeof(zero));
	assert_int_equal(ev_io_get(&zero), 0);
	assert_int_equal(ev_io_set(&zero, 0), 0);
	end();
}

static void
test_S19_select_refuses_a_high_descriptor(void **data)
{
	struct rlimit lim;
	struct ev_io io;
	int p[2], high;

	(void)data;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	if (lim.rlim_max <= FD_SETSIZE + 1)
		skip();
	if (lim.rlim_cur <= FD_SETSIZE + 1) {
		lim.rlim_cur = FD_SETSIZE + 2;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	}
	begin("select");
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	high = fcntl(p[0], F_DUPFD_CLOEXEC, FD_SETSIZE);
	assert_true(high >= FD_SETSIZE);
	ev_io_init(ev, &io, high, count, NULL);
	assert_int_equal(ev_io_set(&io, EV_IN), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(ev_io_get(&io), 0);
	close(high);
	close(p[0]);
	close(p[1]);
	end();
}

/* A watcher that stops another one, which is ready, too, and frees itself. */
static struct ev_io *peers[2];

static void
stop_both(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	calls++;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ev_io_set(peers[i], 0), 0);
		free(peers[i]);
		peers[i] = NULL;
	}
}

static void
stop_in_callback_body(void)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	for (int i = 0; i < 2; i++) {
		peers[i] = malloc(sizeof(*peers[i]));
		assert_non_null(peers[i]);
		ev_io_init(ev, peers[i], p[0], stop_both, NULL);
		assert_int_equal(ev_io_set(peers[i], EV_IN), 0);
	}
	calls = 0;
	spin(5);
	assert_int_equal(calls, 1);
	close(p[0]);
	close(p[1]);
}

static void
test_stop_in_callback(void **data)
{
	(void)data;
	EACH_BACKEND(stop_in_callback_body);
}

static int64_t
real_ms(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static char order[8];

static void
note(void *arg)
{
	assert_true(strlen(order) < sizeof(order) - 1);
	order[strlen(order)] = *(char *)arg;
}

static void
timers_body(void)
{
	struct ev_timer a, b, c, zero;

	memset(order, 0, sizeof(order));
	memset(&zero, 0, sizeof(zero));
	ev_timer_stop(&zero);
	assert_false(ev_timer_active(&zero));
	ev_timer_init(ev, &a, note, "a");
	ev_timer_init(ev, &b, note, "b");
	ev_timer_init(ev, &c, note, "c");
	assert_false(ev_timer_active(&a));
	assert_int_equal(ev_timer_start(&a, 1), 0);
	assert_int_equal(ev_timer_start(&b, 15), 0);
	assert_int_equal(ev_timer_start(&c, INT64_MAX), 0);
	assert_int_equal(ev_timer_start(&a, 30), 0);	/* moved */
	assert_true(ev_timer_active(&a));
	spin(60);
	assert_string_equal(order, "ba");
	assert_false(ev_timer_active(&a));
	assert_true(ev_timer_active(&c));
	ev_timer_stop(&c);
	ev_timer_stop(&c);
	assert_false(ev_timer_active(&c));
	assert_int_equal(ev_timer_start(&a, INT64_MIN), 0);
	assert_int_equal(ev_timer_start(&c, 10), 0);
	ev_timer_stop(&c);
	spin(20);
	assert_string_equal(order, "baa");
}

static void
test_timers(void **data)
{
	(void)data;
	EACH_BACKEND(timers_body);
}

static void
test_timer_is_never_early(void **data)
{
	(void)data;
	begin("auto");
	for (int ms = 0; ms < 25; ms++) {
		int64_t start = real_ms();

		spin(ms);
		assert_true(real_ms() - start >= ms);
	}
	end();
}

static struct ev_timer *own;

static void
free_self(void *arg)
{
	assert_ptr_equal(arg, own);
	assert_false(ev_timer_active(own));
	free(own);
	own = NULL;
	calls++;
}

static void
restart(void *arg)
{
	if (++calls < 3)
		assert_int_equal(ev_timer_start(arg, 0), 0);
	else
		ev_stop(ev);
}

static void
test_timer_frees_or_restarts_itself(void **data)
{
	struct ev_timer t;

	(void)data;
	begin("auto");
	own = malloc(sizeof(*own));
	assert_non_null(own);
	ev_timer_init(ev, own, free_self, own);
	assert_int_equal(ev_timer_start(own, 0), 0);
	spin(5);
	assert_int_equal(calls, 1);
	assert_null(own);

	calls = 0;
	ev_timer_init(ev, &t, restart, &t);
	assert_int_equal(ev_timer_start(&t, 0), 0);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(calls, 3);
	end();
}

static int seen[NSIG];

static void
on_signal(int signo, void *arg)
{
	assert_ptr_equal(arg, seen);
	seen[signo]++;
	ev_stop(ev);
}

static void
signals_body(void)
{
	static const int list[] = { SIGUSR1, SIGUSR2, SIGCHLD };
	sigset_t old, now;

	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &old), 0);
	memset(seen, 0, sizeof(seen));
	assert_int_equal(ev_signals(ev, list, 3, on_signal, seen), 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &now), 0);
	assert_int_equal(sigismember(&now, SIGUSR1), 1);
	assert_int_equal(sigismember(&now, SIGTERM), 0);

	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(raise(SIGUSR2), 0);
	assert_int_equal(seen[SIGUSR1], 0);	/* not before the loop runs */
	assert_int_equal(ev_run(ev), 0);
	spin(5);
	assert_int_equal(seen[SIGUSR1], 1);
	assert_int_equal(seen[SIGUSR2], 1);
	assert_int_equal(seen[SIGCHLD], 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

static void
count_signal(int signo, void *arg)
{
	((int *)arg)[signo]++;
}

static void
test_signals_deferred(void **data)
{
	static const int list[] = { SIGUSR1 };
	sigset_t old;

	(void)data;
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &old), 0);
	begin("auto");
	memset(seen, 0, sizeof(seen));
	assert_int_equal(ev_signals(ev, list, 1, count_signal, seen), 0);
	ev_signals_defer(ev, 60000);
	ev_signals_defer(ev, 1);	/* doesn't shorten it */
	assert_int_equal(raise(SIGUSR1), 0);
	spin(30);
	assert_int_equal(seen[SIGUSR1], 0);
	ev_signals_defer(ev, 0);
	spin(30);
	assert_int_equal(seen[SIGUSR1], 1);
	ev_signals_defer(ev, 20);
	assert_int_equal(raise(SIGUSR1), 0);
	spin(200);
	assert_int_equal(seen[SIGUSR1], 2);
	end();
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

static void
test_signals(void **data)
{
	static const int bad[] = { SIGUSR1, 4711 };

	(void)data;
	EACH_BACKEND(signals_body);
	begin("auto");
	assert_int_equal(ev_signals(ev, bad, 2, on_signal, seen), -1);
	assert_int_equal(errno, EINVAL);
	end();
}

static void
in_turn(void *arg)
{
	int64_t *now = arg;

	assert_int_equal(calls, 2);		/* both watchers have run */
	assert_int_equal(ev_now_ms(ev), *now);
	ev_on_turn(ev, NULL, NULL);
	ev_stop(ev);
}

static void
slow(void *arg)
{
	int64_t *now = arg;
	int64_t until = real_ms() + 3;

	if (calls++ == 0)
		*now = ev_now_ms(ev);
	while (real_ms() < until)
		;
	assert_int_equal(ev_now_ms(ev), *now);
}

static void
test_turn(void **data)
{
	struct ev_timer a, b;
	int64_t now = 0;

	(void)data;
	begin("auto");
	ev_timer_init(ev, &a, slow, &now);
	ev_timer_init(ev, &b, slow, &now);
	assert_int_equal(ev_timer_start(&a, 0), 0);
	assert_int_equal(ev_timer_start(&b, 0), 0);
	ev_on_turn(ev, in_turn, &now);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(calls, 2);
	assert_true(ev_now_ms(ev) >= now + 3);	/* outside of a turn: fresh */
	end();
}

static void
test_stop_before_run(void **data)
{
	struct ev_timer t;

	(void)data;
	begin("auto");
	ev_timer_init(ev, &t, restart, &t);
	assert_int_equal(ev_timer_start(&t, 0), 0);
	ev_stop(ev);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(calls, 0);
	assert_int_equal(ev_run(ev), 0);
	assert_int_equal(calls, 3);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_environment_does_not_matter),
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_io_change),
		cmocka_unit_test(test_io_set_again_costs_nothing),
		cmocka_unit_test(test_io_refusals),
		cmocka_unit_test(test_S19_select_refuses_a_high_descriptor),
		cmocka_unit_test(test_stop_in_callback),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_timer_is_never_early),
		cmocka_unit_test(test_timer_frees_or_restarts_itself),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_signals_deferred),
		cmocka_unit_test(test_turn),
		cmocka_unit_test(test_stop_before_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
