/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of datagram peers; talker, one for all sockets; called by udp.c.
 * Its size is fixed.  Who has a session or is being asked about stays, of all
 * others the idlest makes room.  Peers choose their addresses, so chains are
 * found by a keyed hash that they can't predict.
 */
#include "config.h"

#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS 16384		/* a power of two */

struct peers {
	uint64_t key[2];
	size_t queued_bytes;
	uint32_t used;		/* entries that were ever in use */
	struct list order;	/* those with a verdict, idlest first */
	struct list unused;
	struct peer *bucket[BUCKETS];
	struct peer at[PEERS_MAX];	/* memory only up to `used` */
};

struct peers *
peers_new(void)
{
	struct peers *all = calloc(1, sizeof *all);

	if (all == NULL)
		return NULL;
	if (getrandom(all->key, sizeof all->key, 0) != sizeof all->key) {
		free(all);
		return NULL;
	}
	list_init(&all->order);
	list_init(&all->unused);
	return all;
}

static void
drop_queue(struct peers *all, struct peer *p)
{
	struct peer_datagram *d;

	while ((d = peers_pop(all, p)) != NULL)
		free(d);
}

void
peers_free(struct peers *all)
{
	if (all == NULL)
		return;
	for (uint32_t i = 0; i < all->used; i++)
		drop_queue(all, &all->at[i]);
	free(all);
}

/* SipHash-1-3, of whole words. */

static uint64_t
rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static uint64_t
sip(const uint64_t key[2], const uint64_t *word, size_t words)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
			  key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };

	for (size_t i = 0; i <= words; i++) {
		uint64_t w = i < words ? word[i] : (uint64_t)(words * 8) << 56;

		v[3] ^= w;
		sip_round(v);
		v[0] ^= w;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint32_t
bucket_of(const struct peers *all, const struct port *port, const struct addr *addr,
	  const struct addr *local)
{
	uint64_t word[7];

	_Static_assert(sizeof(struct addr) == 24, "three words each");
	word[0] = (uint64_t)(uintptr_t)port;
	memcpy(&word[1], addr, 24);
	memcpy(&word[4], local, 24);
	return (uint32_t)(sip(all->key, word, 7) & (BUCKETS - 1));
}

struct peer *
peers_find(const struct peers *all, const struct port *port, const struct addr *addr,
	   const struct addr *local)
{
	struct peer *p = all->bucket[bucket_of(all, port, addr, local)];

	while (p != NULL && (p->port != port || !addr_equal(&p->addr, addr) ||
			     !addr_equal(&p->local, local)))
		p = p->chain;
	return p;
}

void
peers_remove(struct peers *all, struct peer *p)
{
	struct peer **link = &all->bucket[bucket_of(all, p->port, &p->addr, &p->local)];

	while (*link != p)
		link = &(*link)->chain;
	*link = p->chain;
	drop_queue(all, p);
	p->port = NULL;
	p->session = NULL;
	p->generation++;
	list_append(&all->unused, &p->order);
}

void
peers_remove_verdicts(struct peers *all, const struct port *port)
{
	struct list *next;

	for (struct list *i = all->order.next; i != &all->order; i = next) {
		struct peer *p = LIST_OBJECT(i, struct peer, order);

		next = i->next;
		if (p->port == port)
			peers_remove(all, p);
	}
}

/* An entry that is in no list: the last one given back, a new one, or the
 * idlest. */
static struct peer *
take_entry(struct peers *all)
{
	struct peer *p;

	if (list_empty(&all->unused)) {
		if (all->used < PEERS_MAX) {
			p = &all->at[all->used++];
			list_init(&p->order);
			return p;
		}
		if (list_empty(&all->order))
			return NULL;
		peers_remove(all, LIST_OBJECT(all->order.next, struct peer, order));
	}
	p = LIST_OBJECT(all->unused.prev, struct peer, order);
	list_remove(&p->order);
	return p;
}

struct peer *
peers_add(struct peers *all, struct port *port, const struct addr *addr,
	  const struct addr *local)
{
	struct peer *p = take_entry(all);
	struct peer **bucket = &all->bucket[bucket_of(all, port, addr, local)];

	if (p == NULL)
		return NULL;
	p->port = port;
	p->addr = *addr;
	p->local = *local;
	p->state = PEER_ASKING;
	p->rate = (struct log_rate){ 0 };
	p->session = NULL;
	p->left = 0;
	p->queue = NULL;
	p->queue_end = &p->queue;
	p->queued = p->queued_bytes = 0;
	p->generation++;
	p->chain = *bucket;
	*bucket = p;
	return p;
}

void
peers_ask(struct peers *all, struct peer *p)
{
	(void)all;
	list_remove(&p->order);
	p->state = PEER_ASKING;
	p->generation++;
}

void
peers_judge(struct peers *all, struct peer *p, enum peer_state state, int64_t until_ms)
{
	p->state = (uint8_t)state;
	p->until_ms = until_ms;
	list_append(&all->order, &p->order);
}

void
peers_touch(struct peers *all, struct peer *p)
{
	list_append(&all->order, &p->order);
}

uint32_t
peers_handle(const struct peers *all, const struct peer *p)
{
	return (uint32_t)(p - all->at);
}

struct peer *
peers_asking(struct peers *all, uint32_t handle, uint32_t generation)
{
	struct peer *p = handle < all->used ? &all->at[handle] : NULL;

	if (p == NULL || p->port == NULL || p->generation != generation ||
	    p->state != PEER_ASKING)
		return NULL;
	return p;
}

bool
peers_push(struct peers *all, struct peer *p, const void *data, size_t len, const void *name,
	   size_t name_len)
{
	struct peer_datagram *d;
	size_t size = sizeof *d + len + name_len;

	if (p->queued >= PEER_QUEUE || p->queued_bytes + len > PEER_QUEUE_BYTES ||
	    all->queued_bytes + size > PEERS_QUEUE_BYTES)
		return false;
	d = malloc(size);
	if (d == NULL)
		return false;
	d->next = NULL;
	d->len = len;
	d->name_len = name_len;
	memcpy(d->data, data, len);
	if (name_len > 0)
		memcpy(d->data + len, name, name_len);
	*p->queue_end = d;
	p->queue_end = &d->next;
	p->queued++;
	p->queued_bytes += (uint32_t)len;
	all->queued_bytes += size;
	return true;
}

struct peer_datagram *
peers_pop(struct peers *all, struct peer *p)
{
	struct peer_datagram *d = p->queue;

	if (d == NULL)
		return NULL;
	p->queue = d->next;
	if (p->queue == NULL)
		p->queue_end = &p->queue;
	p->queued--;
	p->queued_bytes -= (uint32_t)d->len;
	all->queued_bytes -= sizeof *d + d->len + d->name_len;
	return d;
}
