/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The link, over real socket pairs: whole messages with their descriptors in
 * order, whatever the kernel refuses for a while; callbacks that free it; no
 * descriptor lost or left over.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "link_end.h"

/* The kernel's refusals: the next `fault_n` calls fail with `fault`. */
static int fault, fault_n, fault_calls;
static int recv_fault, recv_fault_n;

ssize_t
sendmsg(int fd, const struct msghdr *h, int flags)
{
	if (fault_n > 0) {
		fault_n--;
		fault_calls++;
		errno = fault;
		return -1;
	}
	return syscall(SYS_sendmsg, fd, h, flags);
}

ssize_t
recvmsg(int fd, struct msghdr *h, int flags)
{
	if (recv_fault_n > 0) {
		recv_fault_n--;
		errno = recv_fault;
		return -1;
	}
	return syscall(SYS_recvmsg, fd, h, flags);
}

static int
setup(void **data)
{
	fault_n = recv_fault_n = fault_calls = 0;
	return end_setup(data);
}

/* Master and talker, started. */
static void
connected(struct end *master, struct end *talker)
{
	union msg m;
	int s[2];

	end_pair(s);
	end_open(master, s[0], PROTO_UP);
	end_open(talker, s[1], PROTO_DOWN);
	memset(&m, 0, sizeof(m));
	m.start.version = PROTO_VERSION;
	assert_int_equal(msg_send(master->link, &m, MSG_START, 0), 0);
	end_turn();
	assert_int_equal(talker->last.start.version, PROTO_VERSION);
	assert_int_equal(msg_send(talker->link, &m, MSG_READY, -1), 0);
	end_turn();
	assert_int_equal(msg_link_state(master->link), PROTO_RUNNING);
	assert_int_equal(msg_link_state(talker->link), PROTO_RUNNING);
	master->received = talker->received = 0;
}

static void
close_both(struct end *a, struct end *b)
{
	msg_link_free(a->link);
	msg_link_free(b->link);
}

static int
send_conn(struct end *e, uint32_t slot, int fd)
{
	union msg m;

	memset(&m, 0, sizeof(m));
	m.conn.slot = slot;
	m.conn.internal = INTERNAL_ECHO;
	return msg_send(e->link, &m, MSG_CONN, fd);
}

static void
test_exchange(void **data)
{
	struct end master, talker;
	struct stat a, b;
	union msg m;

	(void)data;
	connected(&master, &talker);
	talker.take = true;
	assert_int_equal(send_conn(&master, 0, 0), 0);
	end_turn();
	assert_int_equal(talker.received, 1);
	assert_true(talker.last_fd > 2);
	assert_int_equal(fcntl(talker.last_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(0, &a), 0);
	assert_int_equal(fstat(talker.last_fd, &b), 0);
	assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	close(talker.last_fd);

	talker.take = false;			/* not taken: closed */
	assert_int_equal(send_conn(&master, 1, 0), 0);
	memset(&m, 0, sizeof(m));
	m.errline.len = 3;
	memcpy(m.errline.text, "abc", 3);
	assert_int_equal(msg_send(talker.link, &m, MSG_ERRLINE, -1), 0);
	end_turn();
	assert_int_equal(talker.received, 2);
	assert_int_equal(master.last.errline.len, 3);
	assert_memory_equal(master.last.errline.text, "abc", 3);
	close_both(&master, &talker);
	msg_link_free(NULL);
}

static void
test_sender_keeps_to_the_table(void **data)
{
	struct end master;
	union msg m;
	int s[2];

	(void)data;
	end_pair(s);
	end_open(&master, s[0], PROTO_UP);
	memset(&m, 0, sizeof(m));
	assert_int_equal(send_conn(&master, 0, 0), -1);		/* too soon */
	assert_int_equal(errno, EPROTO);
	assert_int_equal(msg_send(master.link, &m, MSG_START, -1), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(msg_send(master.link, &m, MSG_READY, -1), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(msg_send(master.link, &m, (enum msg_type)0, -1), -1);
	assert_int_equal(msg_send(master.link, &m, MSG_MAX, -1), -1);
	assert_int_equal(msg_send(master.link, &m, MSG_START, 9999), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(msg_link_state(master.link), PROTO_NEW);
	assert_int_equal(msg_send(master.link, &m, MSG_START, 0), 0);
	assert_int_equal(msg_link_state(master.link), PROTO_STARTED);
	end_turn();
	assert_int_equal(master.broken, 0);
	msg_link_free(master.link);
	close(s[1]);
}

static void
test_queue(void **data)
{
	struct end master, talker;
	uint32_t sent = 0;
	int fd;

	(void)data;
	connected(&master, &talker);
	msg_link_pause(talker.link, true);
	for (;;) {		/* each with a descriptor of its own, closed at once */
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (send_conn(&master, sent, fd) < 0)
			break;
		close(fd);
		sent++;
	}
	assert_int_equal(errno, ENOBUFS);
	close(fd);
	assert_true(sent > MSG_QUEUE);
	assert_true(msg_link_busy(master.link));
	end_turn();
	assert_int_equal(talker.received, 0);
	assert_int_equal(master.room, 0);

	msg_link_pause(talker.link, false);
	while (talker.received < sent)
		end_turn();
	assert_int_equal(talker.next, sent);
	assert_false(msg_link_busy(master.link));
	assert_int_equal(master.room, 1);
	assert_int_equal(talker.broken + master.broken, 0);

	assert_int_equal(send_conn(&master, sent, 0), 0);	/* as good as new */
	end_turn();
	assert_int_equal(talker.received, sent + 1);
	close_both(&master, &talker);
}

static void
test_queue_is_dropped_with_the_link(void **data)
{
	struct end master, talker;

	(void)data;
	connected(&master, &talker);
	msg_link_pause(talker.link, true);
	while (!msg_link_busy(master.link))
		assert_int_equal(send_conn(&master, 0, 0), 0);
	assert_int_equal(send_conn(&master, 0, 0), 0);
	msg_link_free(talker.link);
	end_turn();
	assert_int_equal(master.broken, 1);
	assert_string_equal(master.why, "closed");
	assert_false(msg_link_busy(master.link));
	assert_int_equal(send_conn(&master, 0, 0), -1);
	assert_int_equal(errno, EPIPE);
	msg_link_pause(master.link, true);
	msg_link_pause(master.link, false);
	end_turn();
	assert_int_equal(master.broken, 1);
	msg_link_free(master.link);
}

static void
test_refusals_of_the_kernel(void **data)
{
	static const int errors[] = { EAGAIN, ETOOMANYREFS, ENOBUFS, ENOMEM, EINTR };

	(void)data;
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct end master, talker;

		connected(&master, &talker);
		fault = errors[i];
		fault_n = 3;
		for (uint32_t n = 0; n < 20; n++)
			assert_int_equal(send_conn(&master, n, 0), 0);
		assert_int_equal(msg_link_busy(master.link), errors[i] != EINTR);
		assert_int_equal(talker.received, 0);
		while (talker.received < 20)
			end_settle(1);
		assert_int_equal(talker.next, 20);
		assert_int_equal(master.room, errors[i] != EINTR);
		close_both(&master, &talker);
	}
}

static void
test_no_spinning(void **data)
{
	struct end master, talker;

	(void)data;
	connected(&master, &talker);
	fault = ETOOMANYREFS;
	fault_n = INT32_MAX;
	assert_int_equal(send_conn(&master, 0, 0), 0);
	assert_int_equal(send_conn(&master, 1, 0), 0);
	end_settle(100);
	assert_true(fault_calls >= 2);
	assert_true(fault_calls <= 12);
	fault_n = 0;
	end_settle(30);
	assert_int_equal(talker.received, 2);
	close_both(&master, &talker);
}

static void
test_errors_of_one_message(void **data)
{
	struct end master, talker;

	(void)data;
	connected(&master, &talker);
	fault = EPERM;
	fault_n = 1;
	assert_int_equal(send_conn(&master, 0, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(send_conn(&master, 0, 0), 0);
	end_turn();
	assert_int_equal(talker.received, 1);
	assert_int_equal(master.broken, 0);

	fault = EAGAIN;			/* the same for one that has waited: the link's end */
	fault_n = 1;
	assert_int_equal(send_conn(&master, 1, 0), 0);
	fault = EPERM;
	fault_n = 1;
	end_turn();
	assert_int_equal(master.broken, 1);
	close_both(&master, &talker);
}

static void
test_peer_gone(void **data)
{
	struct end master;
	union msg m;
	int s[2];

	(void)data;
	end_pair(s);
	end_open(&master, s[0], PROTO_UP);
	close(s[1]);
	memset(&m, 0, sizeof(m));
	assert_int_equal(msg_send(master.link, &m, MSG_START, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(master.broken, 0);	/* told from the loop */
	end_turn();
	assert_int_equal(master.broken, 1);
	assert_string_equal(master.why, "closed");
	end_turn();
	assert_int_equal(master.broken, 1);
	msg_link_free(master.link);

	end_pair(s);			/* the same while it does not read */
	end_open(&master, s[0], PROTO_UP);
	master.free_in_broken = true;
	msg_link_pause(master.link, true);
	close(s[1]);
	end_turn();
	assert_int_equal(master.broken, 0);
	assert_int_equal(msg_send(master.link, &m, MSG_START, 0), -1);
	end_turn();
	assert_int_equal(master.broken, 1);

	end_pair(s);			/* with something left unread: reset */
	end_open(&master, s[0], PROTO_UP);
	assert_int_equal(msg_send(master.link, &m, MSG_START, 0), 0);
	close(s[1]);
	end_turn();
	assert_int_equal(master.broken, 1);
	assert_string_equal(master.why, "closed");
	msg_link_free(master.link);
}

static void
test_receive_errors(void **data)
{
	static const int harmless[] = { EINTR, EAGAIN, ENOMEM, ENOBUFS };
	struct end master, talker;

	(void)data;
	connected(&master, &talker);
	for (unsigned i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		recv_fault = harmless[i];
		recv_fault_n = 1;
		assert_int_equal(send_conn(&master, i, 0), 0);
		end_turn();
		end_turn();
		assert_int_equal(talker.received, i + 1);
	}
	recv_fault = EIO;
	recv_fault_n = 1;
	assert_int_equal(send_conn(&master, 4, 0), 0);
	end_turn();
	assert_int_equal(talker.broken, 1);
	close_both(&master, &talker);
}

static void
test_one_link_does_not_starve_the_loop(void **data)
{
	struct end master, talker;
	union msg m;

	(void)data;
	connected(&master, &talker);
	memset(&m, 0, sizeof(m));
	for (int i = 0; i < 100; i++)
		assert_int_equal(msg_send(master.link, &m, MSG_CLOSE, -1), 0);
	end_turn();
	assert_in_range(talker.received, 1, 32);
	for (int i = 0; i < 4; i++)
		end_turn();
	assert_int_equal(talker.received, 100);
	close_both(&master, &talker);
}

static void
test_pause(void **data)
{
	struct end master, talker;

	(void)data;
	connected(&master, &talker);
	talker.pause_in_receive = true;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(send_conn(&master, i, 0), 0);
	end_turn();
	end_turn();
	assert_int_equal(talker.received, 1);
	msg_link_pause(talker.link, false);
	end_turn();
	assert_int_equal(talker.received, 2);
	talker.pause_in_receive = false;
	msg_link_pause(talker.link, false);
	end_turn();
	assert_int_equal(talker.received, 3);
	close_both(&master, &talker);
}

static void
test_callbacks_may_free(void **data)
{
	struct end master, talker;

	(void)data;
	connected(&master, &talker);		/* receive, with more behind it */
	talker.free_in_receive = true;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(send_conn(&master, i, 0), 0);
	end_turn();
	assert_int_equal(talker.received, 1);
	assert_null(talker.link);
	master.free_in_broken = true;		/* broken */
	end_turn();
	assert_int_equal(master.broken, 1);
	assert_null(master.link);

	for (int error = 0; error < 2; error++) {	/* room, by EV_OUT and by timer */
		connected(&master, &talker);
		master.free_in_room = true;
		fault = error ? ENOMEM : EAGAIN;
		fault_n = 1;
		assert_int_equal(send_conn(&master, 0, 0), 0);
		while (master.link != NULL)
			end_settle(1);
		assert_int_equal(master.room, 1);
		end_turn();
		assert_int_equal(talker.received, 1);
		assert_int_equal(talker.broken, 1);
		msg_link_free(talker.link);
	}
}

static void
test_no_descriptor_left(void **data)
{
	const char *preload = getenv("LD_PRELOAD");
	struct rlimit old, low;
	struct end master, talker;

	(void)data;
	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		skip();		/* valgrind only pretends to set the limit */
	connected(&master, &talker);
	talker.take = true;
	talker.last_fd = 4711;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)end_lowest_free();
	assert_int_equal(send_conn(&master, 0, 0), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	end_turn();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(talker.received, 1);
	assert_int_equal(talker.last_fd, -1);
	assert_int_equal(talker.broken, 0);

	fault = EAGAIN;		/* nor for a message that has to wait */
	fault_n = 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(send_conn(&master, 1, 0), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_false(msg_link_busy(master.link));
	assert_int_equal(send_conn(&master, 1, 0), 0);
	end_turn();
	assert_int_equal(talker.received, 2);
	close(talker.last_fd);
	close_both(&master, &talker);
}

static void
never(const union msg *m, int *fd, void *arg)
{
	(void)m;
	(void)fd;
	(void)arg;
	fail();
}

static void
never_broken(const char *why, void *arg)
{
	(void)why;
	(void)arg;
	fail();
}

static void
test_new_fails(void **data)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)data;
	assert_null(msg_link_new(end_loop(), fd, PROTO_UP, never, never_broken, NULL, NULL));
	assert_int_equal(errno, EPERM);		/* epoll can't watch it */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* The talker has ended: all that it said is there, however much. */
static void
test_last_messages(void **data)
{
	struct end master, talker;
	union msg m = { 0 };

	for (int freed = 0; freed < 2; freed++) {
		connected(&master, &talker);
		for (int i = 0; i < 80; i++)
			assert_int_equal(msg_send(talker.link, &m, MSG_ERRLINE, -1), 0);
		assert_false(msg_link_busy(talker.link));
		msg_link_finish(master.link);		/* as if it were */
		assert_int_equal(master.received, 80);
		assert_int_equal(master.broken, 0);
		assert_int_equal(msg_send(talker.link, &m, MSG_ERRLINE, -1), 0);
		msg_link_free(talker.link);
		master.free_in_broken = freed == 1;
		msg_link_finish(master.link);
		assert_int_equal(master.received, 81);
		assert_int_equal(master.broken, 1);
		assert_string_equal(master.why, "closed");
		if (freed == 0)
			msg_link_free(master.link);
	}
	(void)data;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, end_teardown)
	const struct CMUnitTest tests[] = {
		T(test_exchange),
		T(test_sender_keeps_to_the_table),
		T(test_queue),
		T(test_queue_is_dropped_with_the_link),
		T(test_refusals_of_the_kernel),
		T(test_no_spinning),
		T(test_errors_of_one_message),
		T(test_peer_gone),
		T(test_receive_errors),
		T(test_one_link_does_not_starve_the_loop),
		T(test_pause),
		T(test_callbacks_may_free),
		T(test_last_messages),
		T(test_no_descriptor_left),
		T(test_new_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
