/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * One end of a link under test, with what happened at it, and a loop that the
 * test turns by hand.  Shared by the tests of msg.c.
 */
#ifndef HATCHD_TESTS_LINK_END_H
#define HATCHD_TESTS_LINK_END_H

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"

struct end {
	struct msg_link *link;
	unsigned received, broken, room;
	char why[128];
	union msg last;
	int last_fd;		/* taken, or -1 */
	bool take, free_in_receive, free_in_broken, free_in_room, pause_in_receive;
	uint32_t next;		/* slot that the next MSG_CONN must have */
};

/* For cmocka: a loop for each test; afterwards no descriptor may be left. */
int end_setup(void **data);
int end_teardown(void **data);

/* The running test's loop. */
struct ev *end_loop(void);

/* A socket pair as the link has it. */
void end_pair(int s[2]);

/* Takes fd.  The callbacks check and note what comes, and do what its flags
 * say. */
void end_open(struct end *e, int fd, enum proto_direction receives);

/* One turn of the loop, even if nothing happens; turns for some time. */
void end_turn(void);
void end_settle(int64_t ms);

/* The descriptor that the next open will get. */
int end_lowest_free(void);

#endif
