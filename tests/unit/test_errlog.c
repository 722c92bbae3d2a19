/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Handlers' stderr: whose it is, lines, rates.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "talker_rig.h"

#include "errlog.h"

struct test {
	struct rig *rig;
	struct errlog *errlog;
	int fd;				/* what handlers get */
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);
	int sv[2], one = 1;

	assert_non_null(t);
	t->rig = rig_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one), 0);
	t->errlog = errlog_new(t->rig->ev, t->rig->link, t->rig->board);
	assert_non_null(t->errlog);
	assert_int_equal(errlog_add(t->errlog, sv[0]), 0);
	t->fd = sv[1];
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	errlog_free(t->errlog);
	close(t->fd);
	rig_free(t->rig);
	free(t);
	return 0;
}

/* Says that the process is the handler of the slot. */
static void
enter(struct test *t, uint32_t slot, pid_t pid)
{
	struct board_session *row = board_slot(t->rig->board, slot);

	row->kind = BOARD_EXEC;
	row->pid = pid;
	row->generation = RIG_GENERATION(slot);
}

static void
put(struct test *t, const char *text)
{
	assert_int_equal(write(t->fd, text, strlen(text)), strlen(text));
	rig_run(t->rig, 1);
}

static struct msg_errline
line(struct test *t, uint32_t slot, const char *text)
{
	struct msg_errline m = rig_message(t->rig, MSG_ERRLINE).errline;

	assert_int_equal(m.slot, slot);
	assert_int_equal(m.generation, slot == UINT32_MAX ? 0 : RIG_GENERATION(slot));
	assert_int_equal(m.len, strlen(text));
	assert_memory_equal(m.text, text, m.len);
	return m;
}

static void
test_lines(void **state)
{
	struct test *t = *state;

	enter(t, 3, 1 << 30);		/* beyond all numbers of processes */
	enter(t, 7, getpid());
	put(t, "one\ntwo\r\n\n\nthree\n");
	line(t, 7, "one");
	line(t, 7, "two");
	line(t, 7, "three");
	put(t, "in par");
	put(t, "ts\nand ");
	line(t, 7, "in parts");
	assert_false(rig_has(t->rig, MSG_ERRLINE));
	line(t, 7, "and ");		/* after a while */
	put(t, "\n");
	assert_false(rig_has(t->rig, MSG_ERRLINE));
}

static void
test_S20_bytes_are_passed_for_the_master_to_escape(void **state)
{
	struct test *t = *state;
	static const char raw[] = "\033]0;x\007\0\xff\x80z\n";
	struct msg_errline m;

	enter(t, 0, getpid());
	assert_int_equal(write(t->fd, raw, sizeof raw - 1), sizeof raw - 1);
	m = rig_message(t->rig, MSG_ERRLINE).errline;
	assert_int_equal(m.len, sizeof raw - 2);
	assert_memory_equal(m.text, raw, m.len);
}

static void
test_unknown_sender(void **state)
{
	struct test *t = *state;

	put(t, "who");
	line(t, UINT32_MAX, "who");
}

/* A process that leads its session starts another one, which writes: its line
 * is that of the slot, whose handler the leader is if it is to be known.  (Our
 * own session's leader may be out of sight, in another process namespace.) */
static void
in_grandchild(struct test *t, bool known, uint32_t slot, const char *text)
{
	int start[2];
	pid_t leader;
	int status;

	assert_int_equal(pipe(start), 0);
	leader = fork();
	assert_true(leader >= 0);
	if (leader == 0) {
		char c;

		if (setsid() < 0 || read(start[0], &c, 1) != 1 || fork() != 0) {
			(void)pause();	/* until killed: looked up while it lives */
			_exit(1);
		}
		_exit(write(t->fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 1);
	}
	if (known)
		enter(t, slot, leader);
	assert_int_equal(write(start[1], "", 1), 1);
	line(t, slot, text);
	assert_int_equal(kill(leader, SIGKILL), 0);
	assert_int_equal(waitpid(leader, &status, 0), leader);
	close(start[0]);
	close(start[1]);
}

static void
test_child_of_a_handler(void **state)
{
	struct test *t = *state;

	in_grandchild(t, true, 2, "child");
	in_grandchild(t, false, UINT32_MAX, "stranger");
}

/* A child that wrote a part of its line before it was over with its session writes
 * the rest of that line, whoever else it may be taken for. */
static void
test_line_of_a_session_that_ends(void **state)
{
	struct test *t = *state;

	enter(t, 1, getpid());
	put(t, "ls: ");
	board_slot(t->rig->board, 1)->kind = BOARD_FREE;
	board_slot(t->rig->board, 1)->pid = 0;
	board_slot(t->rig->board, 1)->generation++;
	put(t, "no such file\n");
	line(t, 1, "ls: no such file");
	put(t, "stranger\n");
	line(t, UINT32_MAX, "stranger");
}

/* The number of a process is used again: what is remembered ends with the
 * session. */
static void
test_next_session_of_the_same_process(void **state)
{
	struct test *t = *state;

	enter(t, 1, getpid());
	put(t, "first\n");
	line(t, 1, "first");
	board_slot(t->rig->board, 1)->kind = BOARD_FREE;
	board_slot(t->rig->board, 1)->generation++;
	enter(t, 4, getpid());
	put(t, "second\n");
	line(t, 4, "second");
}

static void
test_long_line(void **state)
{
	struct test *t = *state;
	char text[1200], want[PROTO_ERRLINE + 1];

	enter(t, 0, getpid());
	memset(text, 'a', sizeof text);
	text[sizeof text - 2] = '\n';
	text[sizeof text - 1] = '\0';
	put(t, text);
	put(t, "next\n");
	memset(want, 'a', sizeof want);
	memcpy(want + PROTO_ERRLINE - 3, "...", 4);
	line(t, 0, want);
	line(t, 0, "next");
	text[PROTO_ERRLINE] = '\n';	/* just fits */
	text[PROTO_ERRLINE + 1] = '\0';
	put(t, text);
	want[PROTO_ERRLINE - 3] = want[PROTO_ERRLINE - 2] = want[PROTO_ERRLINE - 1] = 'a';
	line(t, 0, want);
}

static void
test_rate_and_suppressed(void **state)
{
	struct test *t = *state;
	unsigned lines = 0, suppressed = 0;

	enter(t, 0, getpid());
	for (int i = 0; i < 50; i++)
		put(t, "noise\nnoise\nnoise\nnoise\n");
	for (int round = 0; round < 100 && lines + suppressed < 200; round++) {
		struct msg_errline m = rig_message(t->rig, MSG_ERRLINE).errline;

		lines += m.len > 0;
		suppressed += m.suppressed;
	}
	assert_int_equal(lines + suppressed, 200);
	assert_in_range(lines, 20, 40);
}

/* At the end nothing is left to wait for: neither a line's end nor its turn. */
static void
test_last_words(void **state)
{
	struct test *t = *state;
	unsigned lines = 0, suppressed = 0;
	struct msg_errline m;

	enter(t, 0, getpid());
	assert_int_equal(write(t->fd, "begun", 5), 5);
	rig_run(t->rig, 1);
	for (int i = 0; i < 9; i++)
		assert_int_equal(write(t->fd, "\nend\nend\nend\nlast", 17), 17);
	assert_true(errlog_finish(t->errlog));
	line(t, 0, "begun");
	while (lines + suppressed < 36) {
		m = rig_message(t->rig, MSG_ERRLINE).errline;
		lines += m.len > 0;
		suppressed += m.suppressed;
	}
	assert_int_equal(lines + suppressed, 36);
	rig_fill_link(t->rig);
	put(t, "one\ntwo");
	assert_false(errlog_finish(t->errlog));
	msg_link_pause(t->rig->master, false);
	while (!errlog_finish(t->errlog))
		rig_run(t->rig, 1);
	assert_int_equal(rig_message(t->rig, MSG_ERRLINE).errline.suppressed, 2);
}

static void
test_huge_write(void **state)
{
	struct test *t = *state;
	size_t size = 100000;
	char *text = malloc(size);
	struct msg_errline m;

	assert_non_null(text);
	enter(t, 0, getpid());
	memset(text, 'x', size);
	assert_int_equal(write(t->fd, text, size), size);
	m = rig_message(t->rig, MSG_ERRLINE).errline;
	assert_int_equal(m.len, PROTO_ERRLINE);
	put(t, "after\n");
	m = rig_message(t->rig, MSG_ERRLINE).errline;
	assert_int_equal(m.len, 5);
	assert_int_equal(m.suppressed, 1);
	free(text);
}

/* More sessions than places: nothing is lost but what the rate forbids. */
static void
test_many_sessions_with_partial_lines(void **state)
{
	struct test *t = *state;
	unsigned got = 0;

	for (uint32_t i = 0; i < 200; i++) {
		char text[32];

		board_slot(t->rig->board, i > 0 ? i - 1 : 0)->kind = BOARD_FREE;
		enter(t, i, getpid());
		board_slot(t->rig->board, i > 0 ? i - 1 : 0)->generation += i > 0;
		snprintf(text, sizeof text, "partial %u", i);
		put(t, text);
	}
	while (got < 200) {
		(void)rig_message(t->rig, MSG_ERRLINE);
		got++;
	}
}

static void
test_link_is_behind(void **state)
{
	struct test *t = *state;
	unsigned suppressed = 0;

	enter(t, 0, getpid());
	rig_fill_link(t->rig);
	for (int i = 0; i < 30; i++)
		put(t, "never\nblocks\n");
	msg_link_pause(t->rig->master, false);
	while (suppressed < 60)
		suppressed += rig_message(t->rig, MSG_ERRLINE).errline.suppressed;
	assert_int_equal(suppressed, 60);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_lines),
		TEST(test_S20_bytes_are_passed_for_the_master_to_escape),
		TEST(test_unknown_sender),
		TEST(test_child_of_a_handler),
		TEST(test_line_of_a_session_that_ends),
		TEST(test_next_session_of_the_same_process),
		TEST(test_long_line),
		TEST(test_rate_and_suppressed),
		TEST(test_last_words),
		TEST(test_huge_write),
		TEST(test_many_sessions_with_partial_lines),
		TEST(test_link_is_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
