/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * See prefix_rig.h.
 */
#include "config.h"

#include "prefix_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	assert_non_null(t);
	t->rig = rig_new();
	t->mux = muxtab_new();
	assert_non_null(t->mux);
	t->prefixes = (struct prefixes){
		.visits = { t->rig->ev, t->rig->slots, &t->rig->scratch,
			    t->rig->drains },
		.mux = t->mux,
	};
	t->master = -1;
	*state = t;
	return 0;
}

int
teardown(void **state)
{
	struct test *t = *state;

	rig_end_slots(t->rig);
	muxtab_free(t->mux);
	rig_free(t->rig);
	if (t->master >= 0)
		close(t->master);
	free(t);
	return 0;
}

int
make_pair(struct test *t, int *ret_copy)
{
	int sv[2];

	rig_pair(SOCK_STREAM | SOCK_NONBLOCK, sv);
	if (t->master >= 0)
		close(t->master);
	t->master = sv[1];
	*ret_copy = fcntl(sv[1], F_DUPFD_CLOEXEC, 0);
	assert_true(*ret_copy >= 0);
	return sv[0];
}

void
begin(struct test *t, uint32_t what, uint32_t slot, uint32_t timeout_ms, int fd)
{
	struct msg_prefix m = { .slot = slot, .generation = RIG_GENERATION(slot),
				.what = what, .timeout_ms = timeout_ms };

	assert_int_equal(prefix_read(&t->prefixes, &m, fd), 0);
}

int
open_prefix(struct test *t, uint32_t what, uint32_t timeout_ms)
{
	int copy, fd = make_pair(t, &copy);

	begin(t, what, 1, timeout_ms, copy);
	return fd;
}

void
put(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

struct msg_passed
passed(struct test *t, enum passed result)
{
	struct msg_passed m = rig_message(t->rig, MSG_PASSED).passed;

	assert_int_equal(m.slot, 1);
	assert_int_equal(m.generation, RIG_GENERATION(1));
	assert_int_equal(m.result, result);
	assert_int_equal(slots_held(t->rig->slots), 0);
	return m;
}

void
assert_addr(const struct addr *a, const char *want)
{
	char text[ADDR_STRLEN];

	(void)addr_format(a, text, sizeof text);
	assert_string_equal(text, want);
}

void
assert_untouched(struct test *t, int client, const char *payload)
{
	char buf[256];
	ssize_t n = recv(t->master, buf, sizeof buf, MSG_DONTWAIT);

	if (*payload == '\0') {
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
	} else {
		assert_int_equal(n, strlen(payload));
		assert_memory_equal(buf, payload, strlen(payload));
	}
	put(t->master, "down", 4);
	assert_int_equal(recv(client, buf, sizeof buf, MSG_DONTWAIT), 4);
	put(client, "up", 2);
	assert_int_equal(recv(t->master, buf, sizeof buf, MSG_DONTWAIT), 2);
	close(t->master);
	t->master = -1;
	assert_int_equal(recv(client, buf, sizeof buf, MSG_DONTWAIT), 0);
}
