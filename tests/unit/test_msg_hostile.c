/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The link with a hostile other side: whatever it sends, the link breaks once
 * and says why; nothing else happens to the process, and no descriptor stays.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "link_end.h"

enum { MANY = 200 };

/* A packet as it is, with nfds descriptors. */
static int
send_raw(int s, const void *bytes, size_t len, unsigned nfds)
{
	int fds[MANY] = { 0 };
	union {
		struct cmsghdr c;
		char room[CMSG_SPACE(sizeof(fds))];
	} control;
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_true(nfds <= MANY);
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		control.c.cmsg_level = SOL_SOCKET;
		control.c.cmsg_type = SCM_RIGHTS;
		control.c.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(&control.c), fds, sizeof(int) * nfds);
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
	}
	return (int)sendmsg(s, &h, MSG_NOSIGNAL);
}

/* A raw end s and a link that has come to `state`. */
static int
hostile_to(struct end *e, enum proto_direction receives, enum proto_state state)
{
	union msg m;
	int s[2];

	end_pair(s);
	end_open(e, s[0], receives);
	for (int i = 0; i < (int)state; i++) {
		unsigned type = i == 0 ? MSG_START : MSG_READY;
		enum proto_direction dir = i == 0 ? PROTO_DOWN : PROTO_UP;

		memset(&m, 0, sizeof(m));
		m.head.type = (uint16_t)type;
		m.head.size = (uint16_t)proto_size(type);
		if (dir == receives)
			assert_int_equal(send_raw(s[1], &m, m.head.size, type == MSG_START),
					 m.head.size);
		else
			assert_int_equal(msg_send(e->link, &m, (enum msg_type)type,
						  type == MSG_START ? 0 : -1), 0);
		end_turn();
	}
	assert_int_equal(msg_link_state(e->link), state);
	e->received = 0;
	return s[1];
}

static void
expect_break(enum proto_direction receives, enum proto_state state, unsigned type,
	     unsigned head_size, size_t len, unsigned nfds, const char *why)
{
	unsigned char bytes[4096];
	struct msg_head head = { .type = (uint16_t)type, .size = (uint16_t)head_size };
	struct end e;
	int s = hostile_to(&e, receives, state);

	memset(bytes, 0xff, sizeof(bytes));
	memcpy(bytes, &head, sizeof(head));
	assert_int_equal(send_raw(s, bytes, len, nfds), (int)len);
	(void)send_raw(s, bytes, len, nfds);		/* what follows isn't looked at */
	end_turn();
	end_turn();
	assert_int_equal(e.broken, 1);
	assert_int_equal(e.received, 0);
	assert_non_null(strstr(e.why, why));
	msg_link_free(e.link);
	close(s);
}

static void
test_S12_bad_messages_only_break_the_link(void **data)
{
	const size_t conn = sizeof(struct msg_conn), ask = sizeof(struct msg_ask);

	(void)data;
	/* to the master */
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, ask - 1, 0, "wrong size");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, ask + 1, 0, "wrong size");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask - 1, ask, 0, "wrong size");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, 0, ask, 0, "wrong size");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, ask, 1, "unexpected descriptor");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, ask, 2, "several descriptors");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, ask, MANY, "several descriptors");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, 1, 0, "too short");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, 3, 0, "too short");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, 4096, 0, "too long");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_ASK, ask, sizeof(union msg) + 1, 1, "too long");
	expect_break(PROTO_UP, PROTO_RUNNING, 0, 4, 4, 0, "unknown type");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_MAX, 4, 4, 0, "unknown type");
	expect_break(PROTO_UP, PROTO_RUNNING, 0xffff, 0xffff, 4, 0, "unknown type");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_STOP, 4, 4, 0, "wrong direction");
	expect_break(PROTO_UP, PROTO_RUNNING, MSG_READY, 4, 4, 0, "wrong state");
	expect_break(PROTO_UP, PROTO_NEW, MSG_READY, 4, 4, 0, "wrong state");
	expect_break(PROTO_UP, PROTO_STARTED, MSG_ASK, ask, ask, 0, "wrong state");
	/* to the talker */
	expect_break(PROTO_DOWN, PROTO_RUNNING, MSG_CONN, conn, conn, 0, "descriptor missing");
	expect_break(PROTO_DOWN, PROTO_RUNNING, MSG_CONN, conn, conn, 2, "several descriptors");
	expect_break(PROTO_DOWN, PROTO_RUNNING, MSG_CONN, conn, conn, MANY, "several descriptors");
	expect_break(PROTO_DOWN, PROTO_RUNNING, MSG_STOP, 4, 4, 1, "unexpected descriptor");
	expect_break(PROTO_DOWN, PROTO_NEW, MSG_CONN, conn, conn, 1, "wrong state");
	expect_break(PROTO_DOWN, PROTO_STARTED, MSG_CONN, conn, conn, 1, "wrong state");
	expect_break(PROTO_DOWN, PROTO_RUNNING, MSG_ASK, ask, ask, 0, "wrong direction");
	/* an empty packet is the end of the link, with descriptors or without */
	expect_break(PROTO_UP, PROTO_RUNNING, 0, 0, 0, 0, "closed");
	expect_break(PROTO_DOWN, PROTO_RUNNING, 0, 0, 0, 1, "closed");
	expect_break(PROTO_DOWN, PROTO_NEW, 0, 0, 0, MANY, "closed");
}

static uint32_t seed = 1;

static uint32_t
rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void
test_S12_random_messages_only_break_the_link(void **data)
{
	(void)data;
	for (int round = 0; round < 2000; round++) {
		struct end e;
		int s = hostile_to(&e, rnd(2) ? PROTO_UP : PROTO_DOWN, (enum proto_state)rnd(3));

		for (int i = 0; i < 6; i++) {
			unsigned char bytes[sizeof(union msg) + 50];
			unsigned type = rnd(MSG_MAX + 2);
			struct msg_head head = { .type = (uint16_t)type };
			size_t len = proto_size(type);

			for (size_t b = 0; b < sizeof(bytes); b++)
				bytes[b] = (unsigned char)rnd(256);
			if (rnd(8) == 0)
				len = rnd(sizeof(bytes));
			head.size = (uint16_t)(rnd(8) == 0 ? rnd(65536) : len);
			memcpy(bytes, &head, sizeof(head));
			e.next = type == MSG_CONN ? ((union msg *)(void *)bytes)->conn.slot : 0;
			(void)send_raw(s, bytes, len, rnd(6) == 0 ? rnd(20) : proto_has_fd(type));
			end_turn();
		}
		assert_in_range(e.broken, 0, 1);
		msg_link_free(e.link);
		close(s);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, end_setup, end_teardown)
	const struct CMUnitTest tests[] = {
		T(test_S12_bad_messages_only_break_the_link),
		T(test_S12_random_messages_only_break_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
