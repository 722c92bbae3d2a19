/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Sets of descriptors that are watched for input, with each backend: what is
 * ready is told until it isn't, and what was removed is never told again.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ev_set.h"
#include "fd.h"

enum { MAX = 200, DEADLINE_MS = 20000 };

struct pipe_end {
	int in, out;
	int calls;
	bool there;		/* in the set */
};

struct rig {
	struct ev *ev;
	struct ev_set *set;
	struct ev_timer deadline, turn;
	struct pipe_end *ends[MAX];	/* NULL: removed and freed */
	int n, told;
	void (*fn)(struct rig *r, struct pipe_end *p);
};

static struct rig *rig;

static void
on_item(void *item)
{
	struct pipe_end *p = item;

	assert_true(p->there);
	p->calls++;
	rig->told++;
	rig->fn(rig, p);
}

static void
on_deadline(void *arg)
{
	(void)arg;
	fail_msg("nothing came");
}

static void
on_stop(void *arg)
{
	ev_stop(arg);
}

static void
open_rig(const char *backend)
{
	rig = calloc(1, sizeof(*rig));
	assert_non_null(rig);
	rig->ev = ev_new(backend);
	assert_non_null(rig->ev);
	assert_string_equal(ev_backend(rig->ev), backend);
	rig->set = ev_set_new(rig->ev, on_item);
	assert_non_null(rig->set);
	ev_timer_init(rig->ev, &rig->deadline, on_deadline, NULL);
	ev_timer_init(rig->ev, &rig->turn, on_stop, rig->ev);
}

static struct pipe_end *
add_pipe(void)
{
	struct pipe_end *p = calloc(1, sizeof(*p));
	int fds[2];

	assert_non_null(p);
	assert_int_equal(pipe(fds), 0);
	p->in = fds[0];
	p->out = fds[1];
	assert_int_equal(ev_set_add(rig->set, p->in, p), 0);
	p->there = true;
	rig->ends[rig->n++] = p;
	return p;
}

static void
take_out(struct pipe_end *p)
{
	assert_true(p->there);
	ev_set_remove(rig->set, p->in, p);
	p->there = false;
}

/* As the master frees a listener: its memory is gone at once. */
static void
destroy(struct pipe_end *p)
{
	if (p->there)
		take_out(p);
	(void)close(p->in);
	(void)close(p->out);
	for (int i = 0; i < rig->n; i++)
		if (rig->ends[i] == p)
			rig->ends[i] = NULL;
	free(p);
}

static void
close_rig(void)
{
	for (int i = 0; i < rig->n; i++)
		if (rig->ends[i])
			destroy(rig->ends[i]);
	ev_timer_stop(&rig->deadline);
	ev_timer_stop(&rig->turn);
	ev_set_free(rig->set);
	ev_free(rig->ev);
	free(rig);
	rig = NULL;
}

static void
fill(struct pipe_end *p)
{
	assert_int_equal(write(p->out, "x", 1), 1);
}

/* Until a callback calls ev_stop. */
static void
run(void)
{
	assert_int_equal(ev_timer_start(&rig->deadline, DEADLINE_MS), 0);
	assert_int_equal(ev_run(rig->ev), 0);
	ev_timer_stop(&rig->deadline);
}

/* Some turns in which nothing should be told. */
static void
run_idle(void)
{
	int told = rig->told;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(ev_timer_start(&rig->turn, 1), 0);
		run();
	}
	assert_int_equal(rig->told, told);
}

static void
read_one(struct rig *r, struct pipe_end *p)
{
	char c;

	assert_int_equal(read(p->in, &c, 1), 1);
	ev_stop(r->ev);
}

static void
leave_it(struct rig *r, struct pipe_end *p)
{
	if (p->calls == 3)
		ev_stop(r->ev);
}

/* Level-triggered: as long as there is something to read. */
static void
check_level(const char *backend)
{
	struct pipe_end *a, *b;

	open_rig(backend);
	a = add_pipe();
	b = add_pipe();
	rig->fn = read_one;
	run_idle();
	fill(b);
	run();
	assert_int_equal(b->calls, 1);
	assert_int_equal(a->calls, 0);
	run_idle();
	rig->fn = leave_it;
	fill(a);
	run();
	assert_int_equal(a->calls, 3);
	close_rig();
}

/* More than are told in one turn; none is forgotten. */
static void
check_many(const char *backend)
{
	open_rig(backend);
	rig->fn = read_one;
	for (int i = 0; i < MAX; i++)
		fill(add_pipe());
	while (rig->told < MAX)
		run();
	for (int i = 0; i < MAX; i++)
		assert_int_equal(rig->ends[i]->calls, 1);
	run_idle();
	close_rig();
}

/* The first that is told frees all others, which are ready too. */
static void
free_the_others(struct rig *r, struct pipe_end *p)
{
	for (int i = 0; i < r->n; i++)
		if (r->ends[i] && r->ends[i] != p)
			destroy(r->ends[i]);
	ev_stop(r->ev);
}

static void
check_removal_of_ready_ones(const char *backend)
{
	open_rig(backend);
	rig->fn = free_the_others;
	for (int i = 0; i < 20; i++)
		fill(add_pipe());
	run();
	assert_int_equal(rig->told, 1);
	close_rig();
}

static void
free_itself(struct rig *r, struct pipe_end *p)
{
	destroy(p);
	if (r->told == 10)
		ev_stop(r->ev);
}

static void
check_removal_of_itself(const char *backend)
{
	open_rig(backend);
	rig->fn = free_itself;
	for (int i = 0; i < 10; i++)
		fill(add_pipe());
	run();
	run_idle();
	assert_int_equal(rig->told, 10);
	close_rig();
}

/* Each frees its neighbour, whichever came first. */
static void
free_the_neighbour(struct rig *r, struct pipe_end *p)
{
	int i = 0;

	while (r->ends[i] != p)
		i++;
	if (r->ends[i ^ 1])
		destroy(r->ends[i ^ 1]);
	take_out(p);
	if (r->told == 10)
		ev_stop(r->ev);
}

static void
check_removal_of_neighbours(const char *backend)
{
	open_rig(backend);
	rig->fn = free_the_neighbour;
	for (int i = 0; i < 20; i++)
		fill(add_pipe());
	run();
	run_idle();
	close_rig();
}

/* Removed and added again within a callback, as a listener that is paused and
 * resumed at once. */
static void
take_out_and_in(struct rig *r, struct pipe_end *p)
{
	for (int i = 0; i < r->n; i++) {
		take_out(r->ends[i]);
		assert_int_equal(ev_set_add(r->set, r->ends[i]->in, r->ends[i]), 0);
		r->ends[i]->there = true;
	}
	read_one(r, p);
}

static void
check_again(const char *backend)
{
	struct pipe_end *p;

	open_rig(backend);
	rig->fn = take_out_and_in;
	for (int i = 0; i < 5; i++)
		fill(add_pipe());
	while (rig->told < 5)
		run();
	for (int i = 0; i < 5; i++)
		assert_int_equal(rig->ends[i]->calls, 1);
	/* and outside of one */
	p = rig->ends[2];
	rig->fn = read_one;
	take_out(p);
	fill(p);
	run_idle();
	assert_int_equal(ev_set_add(rig->set, p->in, p), 0);
	p->there = true;
	run();
	assert_int_equal(p->calls, 2);
	close_rig();
}

/* A number that is closed and given out again belongs to the new one. */
static void
check_same_number(const char *backend)
{
	struct pipe_end *a, *b;
	int number;

	open_rig(backend);
	rig->fn = read_one;
	a = add_pipe();
	number = a->in;
	destroy(a);
	b = add_pipe();
	assert_int_equal(b->in, number);
	fill(b);
	run();
	assert_int_equal(b->calls, 1);
	close_rig();
}

static void
check_errors(const char *backend)
{
	int fds[2];

	open_rig(backend);
	assert_int_equal(pipe(fds), 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	if (strcmp(backend, "epoll") == 0)	/* the others notice when they wait */
		assert_int_equal(ev_set_add(rig->set, fds[0], &fds), -1);
	ev_set_free(NULL);
	close_rig();
}

static void
with(const char *backend)
{
	check_level(backend);
	check_many(backend);
	check_removal_of_ready_ones(backend);
	check_removal_of_itself(backend);
	check_removal_of_neighbours(backend);
	check_again(backend);
	check_same_number(backend);
	check_errors(backend);
}

static void
test_epoll(void **state)
{
	(void)state;
	with("epoll");
}

static void
test_poll(void **state)
{
	(void)state;
	with("poll");
}

static void
test_select(void **state)
{
	(void)state;
	with("select");
}

/* A descriptor that select can't watch is refused, and the set is as before. */
static void
test_select_refuses_high_ones(void **state)
{
	struct rlimit old, lim;
	struct pipe_end *p;
	int high;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	if (old.rlim_max < 1100)
		skip();
	lim = old;
	lim.rlim_cur = 1100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	open_rig("select");
	rig->fn = read_one;
	p = add_pipe();
	high = fd_dup(p->in, 1050);
	assert_true(high > ev_max_fd(rig->ev));
	assert_int_equal(ev_set_add(rig->set, high, p), -1);
	fill(p);
	run();
	assert_int_equal(p->calls, 1);
	fd_close(&high);
	close_rig();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_epoll),
		cmocka_unit_test(test_poll),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_refuses_high_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
