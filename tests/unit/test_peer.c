/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The bounded table of datagram peers.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

static struct port *const port1 = (struct port *)(uintptr_t)0x1000;
static struct port *const port2 = (struct port *)(uintptr_t)0x2000;

static int
setup(void **state)
{
	*state = peers_new();
	return *state == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	peers_free(*state);
	return 0;
}

static struct addr
address(unsigned n)
{
	struct addr a = { .family = AF_INET, .port = (uint16_t)(n % 60000 + 1024) };

	a.ip[0] = 10;
	a.ip[1] = (uint8_t)(n / 60000);
	return a;
}

static const struct addr local = { .family = AF_INET, .port = 7, .ip = { 127, 0, 0, 1 } };

static struct peer *
add(struct peers *all, struct port *port, unsigned n)
{
	struct addr a = address(n);

	return peers_add(all, port, &a, &local);
}

static struct peer *
find(struct peers *all, struct port *port, unsigned n)
{
	struct addr a = address(n);

	return peers_find(all, port, &a, &local);
}

static void
test_key_is_port_and_both_addresses(void **state)
{
	struct peers *all = *state;
	struct addr a = address(1), other = local;
	struct peer *p = add(all, port1, 1);

	other.ip[3] = 2;
	assert_ptr_equal(find(all, port1, 1), p);
	assert_null(find(all, port2, 1));
	assert_null(find(all, port1, 2));
	assert_null(peers_find(all, port1, &a, &other));
	peers_remove(all, p);
	assert_null(find(all, port1, 1));
}

static void
test_stale_answers_find_nobody(void **state)
{
	struct peers *all = *state;
	struct peer *p = add(all, port1, 1);
	uint32_t handle = peers_handle(all, p), generation = p->generation;

	assert_ptr_equal(peers_asking(all, handle, generation), p);
	assert_null(peers_asking(all, handle, generation + 1));
	assert_null(peers_asking(all, handle + 1, generation));
	assert_null(peers_asking(all, UINT32_MAX, generation));
	peers_judge(all, p, PEER_SERVED, 100);
	assert_null(peers_asking(all, handle, generation));
	peers_ask(all, p);
	assert_null(peers_asking(all, handle, generation));
	assert_ptr_equal(peers_asking(all, handle, p->generation), p);
	peers_remove(all, p);
	assert_null(peers_asking(all, handle, generation + 1));
	p = add(all, port1, 2);		/* the same place */
	assert_int_equal(peers_handle(all, p), handle);
	assert_null(peers_asking(all, handle, generation));
}

static void
test_idlest_verdict_makes_room(void **state)
{
	struct peers *all = *state;

	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct peer *p = add(all, port1, i);

		assert_non_null(p);
		if (i >= 10)		/* the first are asked about or have sessions */
			peers_judge(all, p, PEER_DENIED, 1000);
		else if (i >= 5)
			p->state = PEER_SESSION;
	}
	peers_touch(all, find(all, port1, 10));
	assert_non_null(add(all, port1, PEERS_MAX));
	assert_null(find(all, port1, 11));
	assert_non_null(find(all, port1, 10));
	for (unsigned i = 1; i < PEERS_MAX - 10; i++)
		assert_non_null(add(all, port1, PEERS_MAX + i));
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(find(all, port1, i));
	assert_null(find(all, port1, 10));
	assert_null(add(all, port2, 1));	/* nobody may go */
}

static void
test_flood_of_new_peers(void **state)
{
	struct peers *all = *state;

	for (unsigned i = 0; i < 300000; i++) {
		struct peer *p = add(all, port1, i);

		assert_non_null(p);
		peers_judge(all, p, PEER_DENIED, 1000);
	}
	assert_null(find(all, port1, 300000 - PEERS_MAX - 1));
	assert_non_null(find(all, port1, 300000 - PEERS_MAX));
}

static void
test_verdicts_of_a_port(void **state)
{
	struct peers *all = *state;

	for (unsigned i = 0; i < 100; i++) {
		peers_judge(all, add(all, port1, i), PEER_SERVED, 1000);
		peers_judge(all, add(all, port2, i), PEER_SERVED, 1000);
	}
	(void)add(all, port1, 100);
	peers_remove_verdicts(all, port1);
	for (unsigned i = 0; i < 100; i++) {
		assert_null(find(all, port1, i));
		assert_non_null(find(all, port2, i));
	}
	assert_non_null(find(all, port1, 100));
}

static void
test_queue_is_bounded(void **state)
{
	struct peers *all = *state;
	static const char data[65536];
	struct peer *p = add(all, port1, 1);
	struct peer_datagram *d;
	unsigned n = 0;

	for (unsigned i = 0; i < PEER_QUEUE; i++)
		assert_true(peers_push(all, p, data, i, NULL, 0));
	assert_false(peers_push(all, p, data, 1, NULL, 0));
	while ((d = peers_pop(all, p)) != NULL) {
		assert_int_equal(d->len, n++);
		free(d);
	}
	assert_int_equal(n, PEER_QUEUE);
	assert_int_equal(p->queued_bytes, 0);
	/* bytes of one peer, and of all */
	assert_true(peers_push(all, p, data, 65535, NULL, 0));
	assert_false(peers_push(all, p, data, 2, NULL, 0));
	for (n = 1; peers_push(all, add(all, port1, 1 + n), data, 65535, NULL, 0); n++)
		assert_true(n < 100);
	assert_in_range(n, 60, 64);
	peers_remove(all, p);
	assert_true(peers_push(all, add(all, port1, 200), data, 65000, NULL, 0));
}

/* A sender's name goes with its datagram, and counts. */
static void
test_names_are_kept(void **state)
{
	struct peers *all = *state;
	static const char name[110] = "somebody";
	struct peer *p = add(all, port1, 1);
	struct peer_datagram *d;
	unsigned n = 0;

	assert_true(peers_push(all, p, "one", 3, name, sizeof(name)));
	assert_true(peers_push(all, p, "", 0, name, 8));
	d = peers_pop(all, p);
	assert_int_equal(d->len, 3);
	assert_memory_equal(d->data, "one", 3);
	assert_int_equal(d->name_len, sizeof(name));
	assert_memory_equal(d->data + d->len, name, sizeof(name));
	free(d);
	d = peers_pop(all, p);
	assert_int_equal(d->name_len, 8);
	assert_memory_equal(d->data, "somebody", 8);
	free(d);
	while (n < PEERS_MAX - 1 && peers_push(all, add(all, port1, 2 + n), name, 100, name,
					       sizeof(name)))
		n++;
	assert_in_range(n, 8192, PEERS_QUEUE_BYTES / 210);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_key_is_port_and_both_addresses),
		TEST(test_stale_answers_find_nobody),
		TEST(test_idlest_verdict_makes_room),
		TEST(test_flood_of_new_peers),
		TEST(test_verdicts_of_a_port),
		TEST(test_queue_is_bounded),
		TEST(test_names_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
