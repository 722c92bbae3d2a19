/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The control socket and its answers.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "talker_rig.h"

#include "answers.h"
#include "control.h"

struct test {
	struct rig *rig;
	struct control *control;
	struct sockaddr_un at;
	socklen_t at_len;
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);
	struct board_session *s;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_non_null(t);
	t->rig = rig_new();
	t->at.sun_family = AF_UNIX;
	t->at_len = sizeof t->at;
	assert_int_equal(bind(fd, (struct sockaddr *)&t->at, sizeof t->at.sun_family), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&t->at, &t->at_len), 0);
	assert_int_equal(listen(fd, 128), 0);
	t->control = control_new(t->rig->ev, t->rig->board);
	assert_non_null(t->control);
	assert_int_equal(control_listen(t->control, fd), 0);

	board_service_set(t->rig->board, 0, "git");
	board_service_set(t->rig->board, 1, "echo");
	board_service_set(t->rig->board, 2, "gone");
	board_service_clear(t->rig->board, 2);
	board_counters(t->rig->board, 1)->accepted = 42;
	board_counters(t->rig->board, 1)->refused[REASON_ACCESS] = 3;
	*board_running(t->rig->board, 1) = 1;
	s = board_slot(t->rig->board, 5);
	s->kind = BOARD_INTERNAL;
	s->state = BOARD_RUNNING;
	s->service = 1;
	s->conn = 77;
	s->start_ms = 1795195800123;
	s->peer = (struct addr){ .family = AF_INET, .port = 4242, .ip = { 192, 0, 2, 7 } };
	s->local = (struct addr){ .family = AF_INET, .port = 7, .ip = { 192, 0, 2, 1 } };
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	control_free(t->control);
	rig_free(t->rig);
	free(t);
	return 0;
}

static int
client(struct test *t)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&t->at, t->at_len), 0);
	return fd;
}

/* Everything until the end of file. */
static json_t *
read_answer(struct test *t, int fd)
{
	static char buf[1 << 20];
	size_t len = 0, n;
	json_t *o;

	while ((n = rig_read(t->rig, fd, buf + len, sizeof buf - len)) > 0)
		len += n;
	close(fd);
	assert_true(len > 0 && buf[len - 1] == '\n');
	o = json_loadb(buf, len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(o);
	return o;
}

static json_t *
request(struct test *t, const char *line)
{
	int fd = client(t);

	assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
	return read_answer(t, fd);
}

static void
check_error(json_t *o, const char *text)
{
	assert_string_equal(json_string_value(json_object_get(o, "error")), text);
	json_decref(o);
}

static json_int_t
integer(const json_t *o, const char *key)
{
	assert_true(json_is_integer(json_object_get(o, key)));
	return json_integer_value(json_object_get(o, key));
}

static void
check_text(const json_t *o, const char *key, const char *want)
{
	assert_string_equal(json_string_value(json_object_get(o, key)), want);
}

static void
test_status(void **state)
{
	struct test *t = *state;
	json_t *o = request(t, "status\n"), *list = json_object_get(o, "services"), *s;

	check_text(o, "version", PACKAGE_VERSION);
	assert_int_equal(integer(o, "pid"), getpid());
	assert_true(integer(o, "start") > INT64_C(1600000000000));
	assert_int_equal(json_array_size(list), 2);
	s = json_array_get(list, 0);
	check_text(s, "name", "git");
	assert_int_equal(json_object_size(json_object_get(s, "refused")), 0);
	s = json_array_get(list, 1);
	check_text(s, "name", "echo");
	assert_int_equal(integer(s, "running"), 1);
	assert_int_equal(integer(s, "accepted"), 42);
	assert_int_equal(integer(s, "failed"), 0);
	assert_int_equal(integer(json_object_get(s, "refused"), "access"), 3);
	json_decref(o);
}

static void
test_status_of_one(void **state)
{
	struct test *t = *state;
	json_t *o = request(t, "status git\r\n"), *list = json_object_get(o, "services");

	assert_int_equal(json_array_size(list), 1);
	check_text(json_array_get(list, 0), "name", "git");
	json_decref(o);
	check_error(request(t, "status gone\n"), "unknown service");
	check_error(request(t, "status \n"), "unknown service");
	check_error(request(t, "status git \n"), "unknown service");
}

static void
test_connections(void **state)
{
	struct test *t = *state;
	json_t *o = request(t, "connections\n"), *list = json_object_get(o, "connections"), *s;

	assert_int_equal(json_array_size(list), 1);
	s = json_array_get(list, 0);
	assert_int_equal(integer(s, "slot"), 5);
	assert_int_equal(integer(s, "conn"), 77);
	check_text(s, "service", "echo");
	check_text(s, "kind", "internal");
	check_text(s, "state", "running");
	assert_int_equal(integer(s, "pid"), 0);
	check_text(s, "peer", "192.0.2.7:4242");
	check_text(s, "local", "192.0.2.1:7");
	assert_true(integer(s, "start") == INT64_C(1795195800123));
	json_decref(o);
}

static void
test_unknown_requests(void **state)
{
	struct test *t = *state;

	check_error(request(t, "\n"), "unknown request");
	check_error(request(t, "stop\n"), "unknown request");
	check_error(request(t, "statusx\n"), "unknown request");
	check_error(request(t, "connections all\n"), "unknown request");
}

static void
test_request_in_pieces(void **state)
{
	struct test *t = *state;
	int fd = client(t);
	json_t *o;

	for (const char *p = "connections\n"; *p != '\0'; p++) {
		assert_int_equal(send(fd, p, 1, 0), 1);
		rig_run(t->rig, 1);
	}
	o = read_answer(t, fd);
	assert_true(json_is_array(json_object_get(o, "connections")));
	json_decref(o);
}

static void
test_too_long_a_request(void **state)
{
	struct test *t = *state;
	static char line[4096];
	int fd = client(t);

	memset(line, 'x', sizeof line);
	assert_true(send(fd, line, sizeof line, 0) > 0);
	rig_readable(t->rig, fd);
	assert_true(recv(fd, line, sizeof line, 0) <= 0 && errno != EAGAIN);
	close(fd);
}

/* Silent clients take all places, for a while; who waits is served then. */
static void
test_silent_clients(void **state)
{
	struct test *t = *state;
	int fd[32], late;
	int64_t begin_ms = ev_now_ms(t->rig->ev);
	json_t *o;

	for (int i = 0; i < 32; i++)
		fd[i] = client(t);
	rig_run(t->rig, 5);
	late = client(t);
	assert_int_equal(send(late, "status\n", 7, 0), 7);
	rig_run(t->rig, 50);
	assert_int_equal(recv(late, &(char){ 0 }, 1, MSG_PEEK), -1);
	rig_readable(t->rig, fd[0]);
	assert_in_range(ev_now_ms(t->rig->ev) - begin_ms, 4900, 6000);
	o = read_answer(t, late);
	json_decref(o);
	for (int i = 0; i < 32; i++)
		close(fd[i]);
}

static void
test_many_services_and_a_slow_reader(void **state)
{
	struct test *t = *state;
	int slow = client(t);
	json_t *o;

	for (uint32_t i = 3; i < 3003; i++)
		board_service_set(t->rig->board, i, "one-of-many");
	assert_int_equal(send(slow, "status\n", 7, 0), 7);
	rig_run(t->rig, 5);
	o = request(t, "status\n");		/* nobody waits for the slow one */
	assert_int_equal(json_array_size(json_object_get(o, "services")), 3002);
	json_decref(o);
	o = read_answer(t, slow);
	assert_int_equal(json_array_size(json_object_get(o, "services")), 3002);
	json_decref(o);
}

static void
test_clients_that_leave(void **state)
{
	struct test *t = *state;
	json_t *o;

	for (int i = 0; i < 200; i++) {
		int fd = client(t);

		if (i % 2 == 0)
			assert_int_equal(send(fd, "status\n", 7, 0), 7);
		close(fd);
		rig_run(t->rig, 1);
	}
	o = request(t, "status\n");
	json_decref(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_status),
		TEST(test_status_of_one),
		TEST(test_connections),
		TEST(test_unknown_requests),
		TEST(test_request_in_pieces),
		TEST(test_too_long_a_request),
		TEST(test_silent_clients),
		TEST(test_many_services_and_a_slow_reader),
		TEST(test_clients_that_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
