/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of sources: a hash with chains through a fixed array, and a list
 * of those without a session from the newest to the oldest.  Used by the
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
	struct limit_bucket bucket;
	uint32_t service;
	uint32_t count;		/* live sessions; 0: in the list of idle or free ones */
	uint32_t next;		/* in its chain, or in the list of free ones */
	uint32_t newer, older;	/* in the list of idle ones */
	uint32_t full_s;	/* when its bucket is full again */
};

struct srctab {
	uint8_t secret[16];
	uint32_t size, used, idle;
	uint32_t fresh;		/* entries from here on were never used */
	uint32_t free;		/* list of entries that were given back */
	uint32_t newest, oldest;	/* list of idle ones */
	uint64_t evicted;
	uint32_t mask;
	uint32_t *buckets;	/* entry + 1, so that untouched memory means empty */
	struct source *entries;
};

_Static_assert(sizeof(struct source) == 64, "a source is one line of the cache");

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
	t->free = t->newest = t->oldest = SRCTAB_NONE;
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

/* Into the list of idle ones, as the newest. */
static void
idle_push(struct srctab *t, uint32_t entry)
{
	struct source *s = &t->entries[entry];

	s->newer = SRCTAB_NONE;
	s->older = t->newest;
	if (t->newest != SRCTAB_NONE)
		t->entries[t->newest].newer = entry;
	else
		t->oldest = entry;
	t->newest = entry;
	t->idle++;
}

static void
idle_remove(struct srctab *t, uint32_t entry)
{
	struct source *s = &t->entries[entry];

	if (s->newer != SRCTAB_NONE)
		t->entries[s->newer].older = s->older;
	else
		t->newest = s->older;
	if (s->older != SRCTAB_NONE)
		t->entries[s->older].newer = s->newer;
	else
		t->oldest = s->newer;
	t->idle--;
}

/* Takes it out of its chain; it is in no other list. */
static void
discard(struct srctab *t, uint32_t entry)
{
	struct source *s = &t->entries[entry];
	uint32_t *link = &t->buckets[hash(t, s->service, &s->key) & t->mask];

	while (*link != entry + 1)
		link = &t->entries[*link - 1].next;
	*link = s->next;
	s->next = t->free;
	t->free = entry;
}

/* A source whose bucket is full again is like one that was never seen.  A few
 * at a time, so that the table grows only with the sources of that time. */
static void
discard_full(struct srctab *t, uint64_t now_ms)
{
	for (int i = 0; i < 4 && t->oldest != SRCTAB_NONE; i++) {
		uint32_t entry = t->oldest;

		if (now_ms / 1000 < t->entries[entry].full_s)
			return;
		idle_remove(t, entry);
		discard(t, entry);
	}
}

/* A place for a source that the table has not, at the head of its chain and
 * without sessions; SRCTAB_NONE if there is none. */
static uint32_t
add(struct srctab *t, uint32_t bucket, uint32_t service, const struct addr *key)
{
	uint32_t i;

	if (t->free == SRCTAB_NONE && t->fresh == t->size && t->oldest != SRCTAB_NONE) {
		i = t->oldest;
		idle_remove(t, i);
		discard(t, i);
		t->evicted++;
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
		.key = *key, .service = service, .next = t->buckets[bucket],
	};
	t->buckets[bucket] = i + 1;
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
		i--;
		if (t->entries[i].count == 0)
			idle_remove(t, i);
	} else {
		i = add(t, bucket, service, key);
		if (i == SRCTAB_NONE)
			return SRCTAB_NONE;
	}
	if (t->entries[i].count++ == 0)
		t->used++;
	return i;
}

void
srctab_drop(struct srctab *t, uint32_t entry)
{
	struct source *s;

	if (entry == SRCTAB_NONE)
		return;
	assert(entry < t->fresh);
	s = &t->entries[entry];
	assert(s->count > 0);
	if (--s->count > 0)
		return;
	t->used--;
	if (s->full_s > 0)
		idle_push(t, entry);
	else
		discard(t, entry);
}

uint64_t
srctab_wait_ms(const struct srctab *t, uint32_t service, const struct addr *key,
	       const struct limit_rate *rate, uint64_t now_ms)
{
	uint32_t i = find(t, hash(t, service, key) & t->mask, service, key);

	return i == 0 ? 0 : limit_wait_ms(&t->entries[i - 1].bucket, rate, now_ms);
}

bool
srctab_take_token(struct srctab *t, uint32_t service, const struct addr *key,
		  const struct limit_rate *rate, uint64_t now_ms)
{
	uint32_t bucket = hash(t, service, key) & t->mask;
	uint32_t i = find(t, bucket, service, key);
	struct source *s;
	uint64_t full_s;
	bool may;

	if (rate->n == 0)
		return true;
	if (i > 0) {
		i--;
		if (t->entries[i].count == 0)
			idle_remove(t, i);
	} else {
		discard_full(t, now_ms);
		i = add(t, bucket, service, key);
		if (i == SRCTAB_NONE)
			return true;
	}
	s = &t->entries[i];
	may = limit_take(&s->bucket, rate, now_ms);
	full_s = (now_ms + limit_full_ms(&s->bucket, rate, now_ms)) / 1000 + 1;
	s->full_s = full_s < UINT32_MAX ? (uint32_t)full_s : UINT32_MAX;
	if (s->count == 0)
		idle_push(t, i);
	return may;
}

void
srctab_forget(struct srctab *t, bool (*gone)(uint32_t service, void *arg), void *arg)
{
	uint32_t next;

	for (uint32_t i = t->oldest; i != SRCTAB_NONE; i = next) {
		next = t->entries[i].newer;
		if (gone(t->entries[i].service, arg)) {
			idle_remove(t, i);
			discard(t, i);
		}
	}
}

uint32_t
srctab_entries(const struct srctab *t)
{
	return t->used;
}

uint32_t
srctab_idle(const struct srctab *t)
{
	return t->idle;
}

uint64_t
srctab_evicted(const struct srctab *t)
{
	return t->evicted;
}
