/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A program that is started and tells what it finds: it is the test itself,
 * whose main calls probe if it is asked to.
 */
#ifndef HATCHD_TESTS_SPAWN_RIG_H
#define HATCHD_TESTS_SPAWN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "spawn.h"

struct result {			/* shared, as rows of the board are */
	pid_t pid;
	int16_t step, error;
};

extern char dir[], program[128];	/* a folder; in it the program, for everybody */
extern char script[128];		/* in it a file that a test may make */
extern struct result *result;
extern struct spawn sp;			/* what run() starts: program, unless changed */
extern int status;			/* how it ended */
extern char told[65536];		/* by the program */

/* For cmocka, of the group and of each test. */
int set_up_all(void **state);
int tear_down_all(void **state);
int set_up(void **state);
int tear_down(void **state);

int probe(int argc, char **argv);

/* Starts it and waits until it has ended; spawn_start's result. */
int run(void);
/* It runs, and has told what it found. */
void run_well(void);
/* There is a process, which ends at that step with that errno; the other one
 * doesn't assert. */
void run_badly(enum spawn_step step, int error);
bool fails_at(enum spawn_step step, int error);

/* The first value that was told by this name, or NULL; how many lines begin so. */
const char *value_of(const char *name);
void check_value(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int count_lines(const char *prefix);

/* A file of its own, so that it is known by its inode. */
int new_file(void);
unsigned long long inode_of(int fd);

/* fn in a process of its own, which may spoil itself; its result. */
int in_child(int (*fn)(void));
/* From now on close_range(2) fails; false if it can't be made to. */
bool refuse_close_range(void);
/* It knows no clone with a shared descriptor table and gives up on it. */
bool under_valgrind(void);

#endif
