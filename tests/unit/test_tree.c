/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A handler is ended with all that it has started, and nobody else is.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tree.h"
#include "tree_rig.h"

#define BOMB 6000		/* processes, one after the other */

static pid_t stranger;

static void
nothing(void)
{
}

static void
leaf(void)
{
	hold(false);
}

static void
stubborn_leaf(void)
{
	hold(true);
}

static void
leader(void)
{
	(void)setsid();
	hold(false);
}

static void
stubborn_leader(void)
{
	(void)setsid();
	hold(true);
}

static void
own_group(void)
{
	(void)setpgid(0, 0);
	(void)child_of_it(leaf);
	hold(false);
}

/* Each test: somebody who has nothing to do with it. */
static int
set_up(void **state)
{
	(void)state;
	stranger = handler(false, nothing);
	wait_told(1);
	return 0;
}

static int
tear_down(void **state)
{
	bool lives = alive(stranger);

	(void)state;
	(void)kill(stranger, SIGKILL);
	(void)waitpid(stranger, NULL, 0);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return lives ? 0 : -1;
}

static void
test_alone(void **state)
{
	static const int signals[] = { SIGTERM, SIGKILL };

	(void)state;
	for (int i = 0; i < 2; i++) {
		pid_t root = handler(true, nothing);

		wait_told(1);
		assert_int_equal(tree_signal(root, 0), 1);
		assert_int_equal(tree_signal(root, signals[i]), 1);
		assert_int_equal(reap(root), signals[i]);
		assert_int_equal(tree_leftovers(root, 1, SIGKILL), 0);
	}
}

static void
grow(void)
{
	(void)child_of_it(leaf);
	(void)child_of_it(leader);
	(void)child_of_it(own_group);
	orphan_of_it(leaf);
	orphan_of_it(leader);
}

static void
grow_stubborn(void)
{
	grow();
	(void)child_of_it(stubborn_leaf);
	orphan_of_it(stubborn_leader);
}

static void
test_term_to_all(void **state)
{
	pid_t root = handler(true, grow);

	(void)state;
	wait_told(7);
	assert_int_equal(tree_signal(root, 0), 7);
	assert_int_equal(tree_signal(root, SIGTERM), 7);
	assert_true(all_die(root));
	assert_int_equal(reap(root), SIGTERM);
	assert_int_equal(tree_leftovers(root, 1, SIGTERM), 0);
}

static void
test_kill_to_all(void **state)
{
	pid_t root = handler(true, grow_stubborn);

	(void)state;
	wait_told(9);
	assert_int_equal(tree_signal(root, SIGKILL), 9);
	assert_true(all_die(root));
	assert_int_equal(reap(root), SIGKILL);
}

/* The flow of a session that is stopped: TERM, then KILL. */
static void
test_term_then_kill(void **state)
{
	pid_t root = handler(true, grow_stubborn);
	int n;

	(void)state;
	wait_told(9);
	assert_int_equal(tree_signal(root, SIGTERM), 9);
	assert_int_equal(reap(root), SIGTERM);
	/* who is left: one in its session, one who has left everything and is our
	 * child now, without a word about where it comes from */
	while ((n = tree_leftovers(root, 1, 0)) > 1)
		pause_ms(5);
	assert_int_equal(n, 1);
	assert_int_equal(tree_leftovers(root, 1, SIGKILL), 1);
	while (count_alive() > 1)
		pause_ms(5);
	for (int i = 0; i < told_count(); i++)
		if (alive(told_pid(i)))
			assert_int_equal(kill(told_pid(i), SIGKILL), 0);
	assert_true(all_die(0));
	assert_int_equal(tree_leftovers(root, 1, SIGKILL), 0);
}

/* It is told by what the kernel knows of it as long as it is not reaped. */
static void
test_root_has_ended(void **state)
{
	pid_t root = handler(true, grow);

	(void)state;
	wait_told(7);
	assert_int_equal(kill(root, SIGKILL), 0);
	while (alive(root))
		pause_ms(1);
	/* those of its session and their children; the two who have left it are ours */
	assert_int_equal(tree_signal(root, SIGKILL), 4 + 1);
	assert_int_equal(reap(root), SIGKILL);
	while (count_alive() > 2)
		pause_ms(5);
	for (int i = 0; i < 7; i++)
		if (alive(told_pid(i)))
			assert_int_equal(kill(told_pid(i), SIGKILL), 0);
	assert_true(all_die(0));
}

static void
mine(void)
{
	(void)setsid();
	become("HATCHD_CONNECTION=77");
}

static void
mine_and_child(void)
{
	(void)setsid();
	(void)child_of_it(leader);
	become("HATCHD_CONNECTION=77");
}

static void
of_another(void)
{
	(void)setsid();
	become("HATCHD_CONNECTION=777");
}

static void
of_another_in_session(void)
{
	become("HATCHD_CONNECTION=7");
}

static void
leave_by_environment(void)
{
	orphan_of_it(mine);
	orphan_of_it(mine_and_child);
	orphan_of_it(of_another);
	(void)child_of_it(leaf);
	(void)child_of_it(of_another_in_session);
}

static void
test_what_is_left(void **state)
{
	pid_t root = handler(true, leave_by_environment);

	(void)state;
	wait_told(7);
	assert_int_equal(kill(root, SIGTERM), 0);
	assert_int_equal(reap(root), SIGTERM);
	assert_int_equal(tree_leftovers(root, 78, 0), 1);	/* by its session */
	assert_int_equal(tree_leftovers(root, 77, 0), 4);
	assert_int_equal(tree_leftovers(root, 77, SIGTERM), 4);
	while (count_alive() > 2)
		pause_ms(5);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	assert_int_equal(tree_leftovers(root, 77, SIGKILL), 0);
	assert_int_equal(count_alive(), 2);
	assert_int_equal(tree_leftovers(root, 777, SIGKILL), 1);
	assert_int_equal(tree_leftovers(root, 7, SIGKILL), 1);
	assert_true(all_die(0));
}

/* Its pid is another process's by now, which leads a session of that number. */
static void
test_pid_given_out_again(void **state)
{
	pid_t other = handler(true, grow);

	(void)state;
	wait_told(7);
	assert_int_equal(tree_leftovers(other, 5, SIGKILL), 0);
	pause_ms(50);
	assert_int_equal(count_alive(), 7);
	assert_int_equal(tree_signal(other, SIGKILL), 7);
	assert_int_equal(reap(other), SIGKILL);
	assert_true(all_die(0));
}

/* We run as a handler of another daemon: our children have its number. */
static void
test_our_own_environment(void **state)
{
	pid_t root = handler(true, mine);

	(void)state;
	wait_told(1);
	assert_int_equal(setenv("HATCHD_CONNECTION", "77", 1), 0);
	assert_int_equal(tree_leftovers(99999999, 77, 0), 0);
	assert_int_equal(unsetenv("HATCHD_CONNECTION"), 0);
	assert_int_equal(tree_leftovers(99999999, 77, 0), 1);
	assert_int_equal(tree_signal(root, SIGKILL), 1);
	assert_int_equal(reap(root), SIGKILL);
}

/* It doesn't go on, and hasn't ended by itself. */
static void
check_bomb(void)
{
	int n = bomb_count();

	pause_ms(20);
	assert_int_equal(bomb_count(), n);
	assert_true(n < BOMB);
}

static void
start_bomb(void)
{
	(void)signal(SIGCHLD, SIG_IGN);
	(void)child_of_it(bomb);
	(void)child_of_it(bomb);
}

static void
test_fork_bomb(void **state)
{
	pid_t root;

	(void)state;
	bomb_arm(BOMB);
	root = handler(true, start_bomb);
	wait_told(20);
	(void)tree_signal(root, SIGKILL);
	assert_int_equal(reap(root), SIGKILL);
	assert_true(all_die(0));
	check_bomb();
	while (tree_leftovers(root, 1, SIGKILL) > 0)	/* dying */
		pause_ms(20);
}

static void
bomb_with_name(void)
{
	(void)setsid();
	become_bomb("HATCHD_CONNECTION=77");
}

static void
leave_bomb(void)
{
	orphan_of_it(bomb_with_name);
	orphan_of_it(bomb_with_name);
}

static void
test_bomb_is_left(void **state)
{
	pid_t root;

	(void)state;
	bomb_arm(BOMB);
	root = handler(true, leave_bomb);
	wait_told(20);
	assert_int_equal(kill(root, SIGKILL), 0);
	assert_int_equal(reap(root), SIGKILL);
	(void)signal(SIGCHLD, SIG_IGN);
	while (tree_leftovers(root, 77, SIGKILL) > 0)
		pause_ms(20);
	(void)signal(SIGCHLD, SIG_DFL);
	assert_true(all_die(0));
	check_bomb();
}

static void
two_leaves(void)
{
	(void)child_of_it(leaf);
	(void)child_of_it(leaf);
}

/* Without descriptors /proc can't be read: then it is the process group. */
static void
test_nothing_to_be_found_out(void **state)
{
	pid_t root = handler(true, two_leaves);
	struct rlimit old, none;
	int n, left;

	(void)state;
	wait_told(3);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	n = tree_signal(root, SIGKILL);
	assert_int_equal(waitpid(root, NULL, 0), root);
	left = tree_leftovers(root, 1, SIGKILL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(n, 1);
	assert_in_range(left, 0, 1);
	assert_true(all_die(0));
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_alone),
		T(test_term_to_all),
		T(test_kill_to_all),
		T(test_term_then_kill),
		T(test_root_has_ended),
		T(test_what_is_left),
		T(test_pid_given_out_again),
		T(test_our_own_environment),
		T(test_fork_bomb),
		T(test_bomb_is_left),
		T(test_nothing_to_be_found_out),
	};

	if (argc > 1)
		return held_program(argv);
	(void)alarm(120);
	if (tree_init() == -1 || access("/proc/self/stat", R_OK) == -1) {
		(void)fprintf(stderr, "skipped: no /proc, or orphans can't be adopted\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, tree_set_up, tree_tear_down);
}
