/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The board: what the writer puts on it, a reader finds; it is sealed, sparse,
 * and nothing but a board is taken for one.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "board.h"

static int
setup(void **data)
{
	*data = board_new();
	return *data == NULL ? -1 : 0;
}

static int
teardown(void **data)
{
	board_free(*data);
	return 0;
}

static struct board *
reader(const struct board *b)
{
	struct board *r = board_map(dup(board_fd(b)));

	assert_non_null(r);
	assert_int_equal(board_fd(r), -1);
	return r;
}

static void
test_empty(void **data)
{
	struct board *r = reader(*data);
	struct board_service service;
	struct board_session session;

	assert_int_equal(board_services(r), 0);
	assert_int_equal(board_sessions(r), 0);
	assert_int_equal(board_master_pid(r), getpid());
	assert_true(board_start_ms(r) / 1000 <= time(NULL));
	assert_true(board_start_ms(r) / 1000 >= time(NULL) - 60);
	assert_false(board_service(r, 0, &service));
	assert_false(board_session(r, 0, &session));
	assert_null(board_peek(r, 0));
	board_free(r);
}

static void
test_services(void **data)
{
	struct board *b = *data, *r = reader(b);
	struct board_service s;

	board_service_set(b, 3, "git");
	assert_int_equal(board_services(r), 4);
	assert_false(board_service(r, 2, &s));
	assert_true(board_service(r, 3, &s));
	assert_string_equal(s.name, "git");
	assert_int_equal(s.running, 0);
	assert_int_equal(s.counters.accepted, 0);

	*board_running(b, 3) += 2;
	board_counters(b, 3)->accepted = 7;
	board_counters(b, 3)->refused[REASON_MAX - 1] = 9;
	assert_true(board_service(r, 3, &s));
	assert_int_equal(s.running, 2);
	assert_int_equal(s.counters.accepted, 7);
	assert_int_equal(s.counters.refused[REASON_MAX - 1], 9);

	board_service_set(b, 3, "a-name-that-is-longer-than-there-is-room-for-on-the-board");
	assert_true(board_service(r, 3, &s));
	assert_int_equal(strlen(s.name), BOARD_NAME - 1);
	assert_int_equal(s.counters.accepted, 7);

	board_service_clear(b, 3);
	assert_false(board_service(r, 3, &s));
	board_service_set(b, 3, "new");
	assert_true(board_service(r, 3, &s));
	assert_int_equal(s.running, 0);
	assert_int_equal(s.counters.accepted, 0);
	assert_int_equal(s.counters.refused[REASON_MAX - 1], 0);

	board_service_set(b, BOARD_SERVICES - 1, "last");
	assert_int_equal(board_services(r), BOARD_SERVICES);
	assert_true(board_service(r, BOARD_SERVICES - 1, &s));
	assert_false(board_service(r, BOARD_SERVICES, &s));
	assert_false(board_service(r, UINT32_MAX, &s));
	board_free(r);
}

static void
test_sessions(void **data)
{
	struct board *b = *data, *r = reader(b);
	struct board_session *w = board_slot(b, 5), s;

	assert_int_equal(board_sessions(r), 6);
	assert_false(board_session(r, 5, &s));
	assert_non_null(board_peek(r, 5));
	assert_null(board_peek(r, 6));

	w->generation = 42;
	w->kind = BOARD_EXEC;
	w->state = BOARD_RUNNING;
	w->pid = 1234;
	w->conn = 99;
	w->peer = (struct addr){ .family = AF_INET, .port = 4242 };
	assert_true(board_session(r, 5, &s));
	assert_int_equal(s.generation, 42);
	assert_int_equal(s.pid, 1234);
	assert_int_equal(s.conn, 99);
	assert_int_equal(s.peer.port, 4242);
	assert_int_equal(board_peek(r, 5)->pid, 1234);

	(void)board_slot(b, 1);
	assert_int_equal(board_sessions(r), 6);
	(void)board_slot(b, BOARD_SESSIONS - 1);
	assert_int_equal(board_sessions(r), BOARD_SESSIONS);
	assert_null(board_peek(r, BOARD_SESSIONS));
	assert_false(board_session(r, UINT32_MAX, &s));
	board_free(r);
}

static void
test_idle_services_cost_only_their_names(void **data)
{
	struct board *b = *data, *r = reader(b);
	struct board_service s;
	struct stat before, after;
	char name[BOARD_NAME];

	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "service-%u", i);
		board_service_set(b, i, name);
	}
	assert_int_equal(fstat(board_fd(b), &before), 0);
	assert_true(before.st_blocks * 512 <= 10000 * BOARD_NAME + 64 * 1024);
	for (unsigned i = 0; i < 10000; i++)
		assert_true(board_service(r, i, &s));
	for (unsigned i = 0; i < 10000; i++)
		board_service_clear(b, i);
	assert_int_equal(fstat(board_fd(b), &after), 0);
	assert_true((after.st_blocks - before.st_blocks) * 512 <= 128 * 1024);
	board_free(r);
}

static void
test_sealed(void **data)
{
	int fd = board_fd(*data);
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, st.st_size + 4096), -1);
#ifdef F_SEAL_FUTURE_WRITE
	if ((seals & F_SEAL_FUTURE_WRITE) == 0)
		skip();
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
#endif
}

static int
memfd(off_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
refuse(int fd)
{
	errno = 0;
	assert_null(board_map(fd));
	assert_int_equal(errno, EPROTO);
	assert_int_equal(fcntl(fd, F_GETFD), -1);	/* taken in any case */
	assert_int_equal(errno, EBADF);
}

static void
test_map_refuses_what_is_no_board(void **data)
{
	int fd = board_fd(*data), bad;
	struct stat st;
	char page[4096];

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, page, sizeof(page), 0), sizeof(page));
	refuse(-1);
	refuse(open("/dev/null", O_RDWR | O_CLOEXEC));
	refuse(memfd(0, F_SEAL_SHRINK));
	refuse(memfd(st.st_size, F_SEAL_SHRINK));	/* all zero */

	bad = memfd(st.st_size, 0);			/* could shrink */
	assert_int_equal(pwrite(bad, page, sizeof(page), 0), sizeof(page));
	refuse(bad);
	bad = memfd(st.st_size - 1, F_SEAL_SHRINK);	/* another size */
	assert_int_equal(pwrite(bad, page, sizeof(page), 0), sizeof(page));
	refuse(bad);
	page[4]++;					/* another version */
	bad = memfd(st.st_size, F_SEAL_SHRINK);
	assert_int_equal(pwrite(bad, page, sizeof(page), 0), sizeof(page));
	refuse(bad);
}

static void
test_adopt(void **data)
{
	struct board *b = *data, *n;
	struct board_service s;
	struct board_session *w = board_slot(b, 17), copy;

	board_service_set(b, 1, "echo");
	board_service_set(b, 2, "time");
	board_counters(b, 2)->started = 11;
	*board_running(b, 2) = 3;
	w->generation = 8;
	w->kind = BOARD_WAIT;
	w->pid = 77;
	n = board_adopt(dup(board_fd(b)));
	assert_non_null(n);
	assert_int_equal(board_start_ms(n), board_start_ms(b));
	assert_int_equal(board_services(n), 3);
	assert_int_equal(board_sessions(n), 18);
	assert_true(board_service(n, 1, &s));
	assert_int_equal(s.counters.started, 0);
	assert_true(board_service(n, 2, &s));
	assert_int_equal(s.counters.started, 11);
	assert_int_equal(s.running, 3);
	assert_true(board_session(n, 17, &copy));
	assert_int_equal(copy.generation, 8);
	board_counters(n, 2)->started++;		/* it can be written */
	assert_int_equal(board_counters(b, 2)->started, 11);
	board_free(n);

	errno = 0;
	assert_null(board_adopt(open("/dev/null", O_RDWR | O_CLOEXEC)));
	assert_int_equal(errno, EPROTO);
}

static void
end_session(struct board *b, uint32_t slot, pid_t pid, uint64_t conn)
{
	struct board_session *w = board_slot(b, slot);

	w->generation++;		/* taken */
	w->service = slot + 100;
	w->kind = BOARD_EXEC;
	w->pid = pid;
	w->conn = conn;
	w->peer = (struct addr){ .family = AF_INET, .port = (uint16_t)conn };
	board_remember(b, slot);
	w->kind = BOARD_FREE;
	w->pid = 0;
	w->generation++;
}

/* What has ended is found by its process or by its slot, with all that a line
 * in the log says of it. */
static void
test_recent(void **data)
{
	struct board *b = *data, *r = reader(b);
	struct board_recent x;

	assert_false(board_recent(r, 0, UINT32_MAX, 0, &x));
	assert_false(board_recent(r, 300, UINT32_MAX, 0, &x));
	end_session(b, 7, 300, 41);
	end_session(b, 8, 301, 42);
	end_session(b, 7, 302, 43);

	assert_true(board_recent(r, 300, UINT32_MAX, 0, &x));
	assert_int_equal(x.pid, 300);
	assert_int_equal(x.slot, 7);
	assert_int_equal(x.generation, 1);
	assert_int_equal(x.service, 107);
	assert_int_equal(x.conn, 41);
	assert_int_equal(x.peer.family, AF_INET);
	assert_int_equal(x.peer.port, 41);

	assert_true(board_recent(r, 0, 7, 3, &x));
	assert_int_equal(x.pid, 302);
	assert_true(board_recent(r, 0, 7, 1, &x));
	assert_int_equal(x.pid, 300);
	assert_true(board_recent(b, 0, UINT32_MAX, 0, &x));	/* the newest of all */
	assert_int_equal(x.conn, 43);
	assert_true(board_recent(r, 301, 8, 1, &x));		/* both have to match */
	assert_false(board_recent(r, 300, 8, 1, &x));
	assert_false(board_recent(r, 0, 7, 2, &x));
	assert_false(board_recent(r, 0, 9, 1, &x));
	assert_false(board_recent(r, 303, UINT32_MAX, 0, &x));
	x.conn = 4711;
	assert_false(board_recent(r, 303, UINT32_MAX, 0, &x));
	assert_int_equal(x.conn, 4711);
	board_free(r);
}

/* A pid that comes again is the newer session's. */
static void
test_recent_takes_the_newest(void **data)
{
	struct board *b = *data;
	struct board_recent x;

	end_session(b, 1, 500, 1);
	end_session(b, 2, 500, 2);
	assert_true(board_recent(b, 500, UINT32_MAX, 0, &x));
	assert_int_equal(x.conn, 2);
	assert_true(board_recent(b, 500, 1, 1, &x));
	assert_int_equal(x.conn, 1);
}

static void
test_recent_forgets_the_oldest(void **data)
{
	struct board *b = *data, *r = reader(b);
	struct board_recent x;

	for (int round = 0; round < 3; round++) {
		int first = round * BOARD_RECENT;

		for (int i = first; i < first + BOARD_RECENT; i++)
			end_session(b, 0, 1000 + i, (uint64_t)i);
		for (int i = first; i < first + BOARD_RECENT; i++) {
			assert_true(board_recent(r, 1000 + i, UINT32_MAX, 0, &x));
			assert_int_equal(x.conn, i);
		}
		assert_false(board_recent(r, 1000 + first - 1, UINT32_MAX, 0, &x));
	}
	end_session(b, 0, 7, 9999);
	assert_true(board_recent(r, 7, UINT32_MAX, 0, &x));
	assert_false(board_recent(r, 1000 + 2 * BOARD_RECENT, UINT32_MAX, 0, &x));
	assert_true(board_recent(r, 1001 + 2 * BOARD_RECENT, UINT32_MAX, 0, &x));
	board_free(r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_empty),
		T(test_services),
		T(test_sessions),
		T(test_idle_services_cost_only_their_names),
		T(test_sealed),
		T(test_map_refuses_what_is_no_board),
		T(test_adopt),
		T(test_recent),
		T(test_recent_takes_the_newest),
		T(test_recent_forgets_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
