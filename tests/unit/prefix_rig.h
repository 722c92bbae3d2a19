/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the tests of prefix.c share: a connection as it is between its client, the
 * master and the talker, and what the master hears of it.  It is slot 1 where no
 * other is named.  What does not go as it is said here fails the test.
 */
#ifndef HATCHD_TESTS_PREFIX_RIG_H
#define HATCHD_TESTS_PREFIX_RIG_H

#include "talker_rig.h"

#include "muxtab.h"
#include "prefix.h"

/* A whole header, of a client 192.0.2.7:4242 that came to 198.51.100.1:443. */
#define LINE "PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n"

struct test {
	struct rig *rig;
	struct muxtab *mux;
	struct prefixes prefixes;
	int master;			/* the master's own of the last connection, or -1 */
};

/* For cmocka: *state is a struct test.  What is still held then is ended. */
int setup(void **state);
int teardown(void **state);

/* A connection: the client's end is returned and the caller's, t->master is the
 * master's until the next one, *ret_copy a copy of it for the talker.  None of
 * them blocks. */
int make_pair(struct test *t, int *ret_copy);

/* MSG_PREFIX for a slot: what is one of PREFIX_..., fd is taken.  The second: of a
 * new connection, whose client's end is returned. */
void begin(struct test *t, uint32_t what, uint32_t slot, uint32_t timeout_ms, int fd);
int open_prefix(struct test *t, uint32_t what, uint32_t timeout_ms);

/* Sends all of it, at once. */
void put(int fd, const void *bytes, size_t len);

/* Waits for MSG_PASSED with this result; then the talker holds nothing. */
struct msg_passed passed(struct test *t, enum passed result);

/* As addr_format writes it; "-": none. */
void assert_addr(const struct addr *a, const char *want);

/* The master's end still has just this to read, the connection is open both ways,
 * and there is no other copy of it left.  The master's end is closed by it. */
void assert_untouched(struct test *t, int client, const char *payload);

#endif
