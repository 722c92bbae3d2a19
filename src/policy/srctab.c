/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of sources: a hash with chains through a fixed array.  Used by the
 * judge, in the master.
 */
#include "config.h"

#include "srctab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct source {
	struct addr key;
	uint32_t service;
	uint32_t count;		/* 0: free */
	uint32_t next;		/* in its chain, or in the list of free ones */
};

struct srctab {
	uint8_t secret[16];
	uint32_t size, used;
	uint32_t fresh;		/* entries from here on were never used */
	uint32_t free;		/* list of entries that were given back */
	uint32_t mask;
	uint32_t *buckets;	/* entry + 1, so that untouched memory means empty */
	struct source *entries;
};

static void *
map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct srctab *
srctab_new(uint32_t entries, const uint8_t key[16])
{
	struct srctab *t = calloc(1, sizeof(*t));
	uint32_t buckets = 1;

	assert(entries > 0 && entries < UINT32_MAX / 2);
	if (!t)
		return NULL;
	while (buckets < entries)
		buckets *= 2;
	t->size = entries;
	t->mask = buckets - 1;
	t->free = SRCTAB_NONE;
	memcpy(t->secret, key, sizeof(t->secret));
	t->buckets = map(buckets * sizeof(*t->buckets));
	t->entries = map(entries * sizeof(*t->entries));
	if (!t->buckets || !t->entries) {
		srctab_free(t);
		return NULL;
	}
	return t;
}

void
srctab_free(struct srctab *t)
{
	if (!t)
		return;
	if (t->buckets)
		(void)munmap(t->buckets, (t->mask + 1) * sizeof(*t->buckets));
	if (t->entries)
		(void)munmap(t->entries, t->size * sizeof(*t->entries));
	free(t);
}

struct addr
srctab_key(const struct addr *peer, unsigned prefix4, unsigned prefix6)
{
	struct addr key = *peer;

	addr_mask(&key, key.family == AF_INET ? prefix4 : prefix6);
	return key;
}

static uint64_t
rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

/* SipHash-1-3 (Aumasson and Bernstein) over the three words of an address and
 * the number of the service. */
static uint32_t
hash(const struct srctab *t, uint32_t service, const struct addr *key)
{
	uint64_t k[2], w[4] = { 0, 0, 0, service }, v[4];

	_Static_assert(sizeof(*key) == 24, "an address is three words");
	memcpy(k, t->secret, sizeof(k));
	memcpy(w, key, sizeof(*key));
	v[0] = k[0] ^ 0x736f6d6570736575;
	v[1] = k[1] ^ 0x646f72616e646f6d;
	v[2] = k[0] ^ 0x6c7967656e657261;
	v[3] = k[1] ^ 0x7465646279746573;
	for (int i = 0; i < 7; i++) {
		if (i < 4)
			v[3] ^= w[i];
		else if (i == 4)
			v[2] ^= 0xff;
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
		if (i < 4)
			v[0] ^= w[i];
	}
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

static uint32_t
find(const struct srctab *t, uint32_t bucket, uint32_t service, const struct addr *key)
{
	uint32_t i = t->buckets[bucket];

	while (i > 0 && (t->entries[i - 1].service != service ||
			 memcmp(&t->entries[i - 1].key, key, sizeof(*key)) != 0))
		i = t->entries[i - 1].next;
	return i;
}

uint32_t
srctab_count(const struct srctab *t, uint32_t service, const struct addr *key)
{
	uint32_t i = find(t, hash(t, service, key) & t->mask, service, key);

	return i == 0 ? 0 : t->entries[i - 1].count;
}

uint32_t
srctab_take(struct srctab *t, uint32_t service, const struct addr *key)
{
	uint32_t bucket = hash(t, service, key) & t->mask;
	uint32_t i = find(t, bucket, service, key);

	if (i > 0) {
		t->entries[i - 1].count++;
		return i - 1;
	}
	if (t->free != SRCTAB_NONE) {
		i = t->free;
		t->free = t->entries[i].next;
	} else if (t->fresh < t->size) {
		i = t->fresh++;
	} else {
		return SRCTAB_NONE;
	}
	t->entries[i] = (struct source){
		.key = *key, .service = service, .count = 1, .next = t->buckets[bucket],
	};
	t->buckets[bucket] = i + 1;
	t->used++;
	return i;
}

void
srctab_drop(struct srctab *t, uint32_t entry)
{
	struct source *s;
	uint32_t *link;

	if (entry == SRCTAB_NONE)
		return;
	assert(entry < t->fresh);
	s = &t->entries[entry];
	assert(s->count > 0);
	if (--s->count > 0)
		return;
	link = &t->buckets[hash(t, s->service, &s->key) & t->mask];
	while (*link != entry + 1)
		link = &t->entries[*link - 1].next;
	*link = s->next;
	s->next = t->free;
	t->free = entry;
	t->used--;
}

uint32_t
srctab_entries(const struct srctab *t)
{
	return t->used;
}
