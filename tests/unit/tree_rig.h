/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Real trees of processes for the tests of what ends them.  Each of them ends by
 * itself after some time, whatever happens.
 */
#ifndef HATCHD_TESTS_TREE_RIG_H
#define HATCHD_TESTS_TREE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

/* For cmocka, of the group. */
int tree_set_up(void **state);
int tree_tear_down(void **state);

/* A handler: a child of ours in a session of its own that calls fn and then
 * waits.  subreaper: as with spawn.subreaper.  How many it has told so far is
 * forgotten. */
pid_t handler(bool subreaper, void (*fn)(void));

/* In its processes: says "I am here" */
void tell(void);
/* ... and waits until it is ended; TERM doesn't do it if it is stubborn. */
_Noreturn void hold(bool stubborn);
/* A child that calls fn; an orphan of a process that has gone. */
pid_t child_of_it(void (*fn)(void));
void orphan_of_it(void (*fn)(void));
/* Becomes a program with this environment that tells and holds, or is a bomb; for
 * main, if it has an argument: that program. */
_Noreturn void become(const char *env);
_Noreturn void become_bomb(const char *env);
int held_program(char **argv);

/* In the test: waits until n have told; told_pid(i) is one of them. */
void wait_told(int n);
pid_t told_pid(int i);
int told_count(void);

/* A process lives (zombies don't); it is so within some seconds; likewise that
 * all that have told are dead.  Reaps what has ended, but for keep. */
bool alive(pid_t pid);
bool dies(pid_t pid, pid_t keep);
bool all_die(pid_t keep);
int count_alive(void);

/* Waits for a child of ours; its signal, or 256 + its exit status. */
int reap(pid_t pid);

/* A bomb: processes that start others and end, until there were max of them. */
void bomb_arm(int max);
void bomb(void);
int bomb_count(void);

int64_t now_ms(void);
void pause_ms(int ms);		/* between two looks at something */

#endif
