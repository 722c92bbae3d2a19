/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Anything at all on the link between master and talker: each packet goes
 * through proto_check in every direction and state, and over a real socket
 * pair through msg_link, with any number of descriptors.
 *
 * The first byte of an input says which side is attacked (bit 0: the master)
 * and how far the link has come (bits 1-2).  Steps follow, each of four bytes
 * and, for some, a payload:
 *	0 len_lo len_hi nfds, then the bytes of a packet (zeros if they run out)
 *	1 type flags 0		a packet of that type; flags: 1 descriptor wrong,
 *				2 longer, 4 shorter, 8 head.size wrong, 16 dirty
 *	2 type flags 0		our side sends; flags: 1 descriptor wrong
 *	3 turns 0 0		the loop runs
 *	4 pause 0 0
 *	5 0 0 0			the other side closes
 *	6 0 0 0			the other side reads all there is
 *	7 flags 0 0		callbacks: 1 take the descriptor, 2 free in receive,
 *				4 free in broken, 8 free in room, 16 answer, 32 pause
 */
#include "config.h"

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ev.h"
#include "log.h"
#include "msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PACKET = sizeof(union msg) + 200, MAX_FDS = 24, MAX_STEPS = 64, MAX_BURST = 600 };
enum { TAKE = 1, FREE_RECEIVE = 2, FREE_BROKEN = 4, FREE_ROOM = 8, ANSWER = 16, PAUSE = 32 };

struct side {
	struct msg_link *link;
	enum proto_direction receives;
	enum proto_state state;		/* as we follow it */
	int raw;			/* the other end, or -1 */
	unsigned flags;
	unsigned broken;
};

static struct ev *ev;
static struct ev_timer tick;
static int null_fd;

static void
discard(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
stop(void *arg)
{
	ev_stop(arg);
}

static void
nothing(void *arg)
{
	(void)arg;
}

static void
turn(void)
{
	assert(ev_timer_start(&tick, 0) == 0);
	assert(ev_run(ev) == 0);
}

static void
send_ours(struct side *s, unsigned type, bool wrong_fd)
{
	union msg m;
	bool fd = proto_has_fd(type) != wrong_fd;
	enum proto_state before = msg_link_state(s->link), after = before;

	memset(&m, 0, sizeof(m));
	m.head.type = (uint16_t)type;
	m.head.size = (uint16_t)proto_size(type);
	if (msg_send(s->link, &m, (enum msg_type)type, fd ? null_fd : -1) == 0)
		assert(proto_check(&m, proto_size(type), fd, !s->receives, &after) == NULL);
	assert(msg_link_state(s->link) == after);
	s->state = after;
}

static void
on_receive(const union msg *m, int *fd, void *arg)
{
	struct side *s = arg;

	assert(s->broken == 0);
	assert((*fd >= 0) == proto_has_fd(m->head.type));
	assert(proto_check(m, m->head.size, *fd >= 0, s->receives, &s->state) == NULL);
	assert(s->state == msg_link_state(s->link));
	if ((s->flags & TAKE) != 0 && *fd >= 0) {
		assert((fcntl(*fd, F_GETFD) & FD_CLOEXEC) != 0);
		close(*fd);
		*fd = -1;
	}
	if ((s->flags & ANSWER) != 0)
		send_ours(s, s->receives == PROTO_UP ? MSG_CLOSE : MSG_READY, false);
	if ((s->flags & PAUSE) != 0)
		msg_link_pause(s->link, true);
	if ((s->flags & FREE_RECEIVE) != 0) {
		msg_link_free(s->link);
		s->link = NULL;
	}
}

static void
on_broken(const char *why, void *arg)
{
	struct side *s = arg;

	assert(s->broken++ == 0);
	assert(*why != '\0');
	if ((s->flags & FREE_BROKEN) != 0) {
		msg_link_free(s->link);
		s->link = NULL;
	}
}

static void
on_room(void *arg)
{
	struct side *s = arg;

	assert(!msg_link_busy(s->link));
	if ((s->flags & FREE_ROOM) != 0) {
		msg_link_free(s->link);
		s->link = NULL;
	}
}

/* What it accepts has the size, the direction and the descriptor that the
 * functions beside it tell. */
static void
check_alone(const void *bytes, size_t len)
{
	union msg m;

	memset(&m, 0, sizeof(m));
	memcpy(&m, bytes, len < sizeof(m) ? len : sizeof(m));
	for (int i = 0; i < 12; i++) {
		enum proto_state before = (enum proto_state)(i / 4), after = before;
		enum proto_direction dir = i & 1 ? PROTO_UP : PROTO_DOWN;
		bool fd = (i & 2) != 0;
		const char *wrong = proto_check(&m, len, fd, dir, &after);

		if (wrong == NULL) {
			assert(len == proto_size(m.head.type) && len == m.head.size);
			assert(fd == proto_has_fd(m.head.type));
			assert(dir == (m.head.type >= MSG_READY ? PROTO_UP : PROTO_DOWN));
			assert(*proto_name(m.head.type) != '?');
			assert(after >= before);
		} else {
			assert(after == before && *wrong != '\0');
		}
	}
}

static void
send_raw(const struct side *s, const void *bytes, size_t len, unsigned nfds)
{
	union {
		struct cmsghdr c;
		char room[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	} control;
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	check_alone(bytes, len);
	if (s->raw == -1)
		return;
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		control.c.cmsg_level = SOL_SOCKET;
		control.c.cmsg_type = SCM_RIGHTS;
		control.c.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		for (unsigned i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(&control.c) + i * sizeof(int), &null_fd, sizeof(int));
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
	}
	(void)sendmsg(s->raw, &h, MSG_NOSIGNAL | MSG_DONTWAIT);	/* full: left out */
}

static void
send_typed(const struct side *s, unsigned type, unsigned flags)
{
	uint8_t bytes[MAX_PACKET];
	struct msg_head head = { .type = (uint16_t)type };
	size_t len = proto_size(type);

	if ((flags & 2) != 0)
		len++;
	if ((flags & 4) != 0 && len > 0)
		len--;
	head.size = (uint16_t)(len + ((flags & 8) != 0));
	memset(bytes, (flags & 16) != 0 ? 0xff : 0, sizeof(bytes));
	memcpy(bytes, &head, sizeof(head));
	send_raw(s, bytes, len, proto_has_fd(type) != ((flags & 1) != 0));
}

static void
drain(const struct side *s)
{
	char buf[MAX_PACKET];

	while (recv(s->raw, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;		/* descriptors are dropped by the kernel */
}

/* One step; false: the link is gone. */
static bool
step(struct side *s, const uint8_t op[4], const uint8_t **data, size_t *size)
{
	uint8_t bytes[MAX_PACKET] = { 0 };
	size_t len, have;

	switch (op[0] & 7) {
	case 0:
		len = (op[1] | (size_t)op[2] << 8) % sizeof(bytes);
		have = len < *size ? len : *size;
		memcpy(bytes, *data, have);
		*data += have;
		*size -= have;
		send_raw(s, bytes, len, op[3] % MAX_FDS);
		break;
	case 1:
		send_typed(s, op[1], op[2]);
		break;
	case 2:
		for (int n = (op[2] & 2) != 0 ? MAX_BURST : 1; n > 0; n--)
			send_ours(s, op[1], (op[2] & 1) != 0);
		break;
	case 3:
		for (int n = 0; n <= op[1] % 4 && s->link != NULL; n++)
			turn();
		break;
	case 4:
		msg_link_pause(s->link, (op[1] & 1) != 0);
		break;
	case 5:
		if (s->raw != -1)
			close(s->raw);
		s->raw = -1;
		break;
	case 6:
		if (s->raw != -1)
			drain(s);
		break;
	case 7:
		s->flags = op[1];
		break;
	}
	return s->link != NULL;
}

static void
init(void)
{
	log_divert(discard, NULL);
	ev = ev_new("auto");
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert(ev != NULL && null_fd >= 0);
	ev_timer_init(ev, &tick, nothing, NULL);
	ev_on_turn(ev, stop, ev);
}

static void
open_side(struct side *s, unsigned how)
{
	static const unsigned firsts[] = { MSG_START, MSG_READY };
	int p[2];

	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p) == 0);
	memset(s, 0, sizeof(*s));
	s->receives = (how & 1) != 0 ? PROTO_UP : PROTO_DOWN;
	s->raw = p[1];
	s->link = msg_link_new(ev, p[0], s->receives, on_receive, on_broken, on_room, s);
	assert(s->link != NULL);
	for (unsigned i = 0; i < (how >> 1 & 3) && i < 2; i++) {
		if ((firsts[i] == MSG_START) == (s->receives == PROTO_DOWN))
			send_typed(s, firsts[i], 0);
		else
			send_ours(s, firsts[i], false);
		turn();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct side s;
	int before, after;

	if (size < 1)
		return 0;
	if (ev == NULL)
		init();
	before = dup(null_fd);
	close(before);
	open_side(&s, data[0]);
	data++;
	size--;
	for (int i = 0; i < MAX_STEPS && size >= 4; i++) {
		const uint8_t *op = data;

		data += 4;
		size -= 4;
		if (!step(&s, op, &data, &size))
			break;
	}
	if (s.link != NULL)
		turn();
	msg_link_free(s.link);
	if (s.raw != -1)
		close(s.raw);
	after = dup(null_fd);
	close(after);
	assert(before == after);	/* no descriptor lost or left over */
	return 0;
}
