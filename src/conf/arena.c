/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The memory of one configuration.
 *
 * Bytes are handed out from the end of growing blocks; nothing is freed by
 * itself.  While a configuration is loaded, an open hash table finds equal
 * blocks again; arena_seal() drops it, so that a loaded configuration costs
 * its bytes and little more.
 *
 * Runs in the master, its trial child and hatchctl; called by whatever loads a
 * configuration.
 */
#include "config.h"

#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_FIRST 4096
#define BLOCK_MAX (256 << 10)
#define TABLE_FIRST 256

struct block {
	struct block *next;
	size_t size, used;	/* of data */
	alignas(max_align_t) unsigned char data[];
};

struct entry {
	uint32_t hash;
	uint32_t size;		/* of the interned block */
	const void *data;	/* NULL: free */
};

struct arena {
	struct block *blocks;	/* the first is the one in use */
	size_t block_size;	/* of the next block, header included */
	struct entry *table;	/* NULL: sealed or not yet used */
	size_t n_table, n_used;	/* n_table is a power of two */
};

struct arena *
arena_new(void)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a)
		a->block_size = BLOCK_FIRST;
	return a;
}

void
arena_free(struct arena *a)
{
	struct block *b, *next;

	if (!a)
		return;
	for (b = a->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(a->table);
	free(a);
}

/* A block with room for size bytes, as the first or, if it is full at once,
 * behind the first, so that the room left there is not lost. */
static struct block *
block_new(struct arena *a, size_t size)
{
	struct block *b;
	size_t total;

	if (size > SIZE_MAX - sizeof(*b))
		return NULL;
	total = sizeof(*b) + size;
	if (total < a->block_size)
		total = a->block_size;
	b = calloc(1, total);
	if (!b)
		return NULL;
	b->size = total - sizeof(*b);
	if (b->size == size && a->blocks) {
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = a->blocks;
		a->blocks = b;
		if (a->block_size < BLOCK_MAX)
			a->block_size *= 2;
	}
	return b;
}

/* align is a power of two, at most that of max_align_t */
static void *
take(struct arena *a, size_t size, size_t align)
{
	struct block *b = a->blocks;
	size_t at = 0;

	if (b) {
		at = (b->used + align - 1) & ~(align - 1);
		if (at > b->size || size > b->size - at)
			b = NULL;
	}
	if (!b) {
		b = block_new(a, size);
		at = 0;
	}
	if (!b)
		return NULL;
	b->used = at + size;
	return b->data + at;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	return take(a, size ? size : 1, alignof(max_align_t));
}

/* Eight bytes at a time: most blocks are structs and short strings. */
static uint32_t
hash(const unsigned char *p, size_t size)
{
	uint64_t h = size * UINT64_C(0x9e3779b97f4a7c15), w;

	for (; size >= sizeof(w); size -= sizeof(w), p += sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		h = (h ^ w) * UINT64_C(0x9fb21c651e98df25);
		h ^= h >> 32;
	}
	for (w = 0; size; size--)
		w = w << 8 | *p++;
	h = (h ^ w) * UINT64_C(0x9fb21c651e98df25);
	return (uint32_t)(h >> 32);
}

/* The entry of an equal block, or the free one where it belongs. */
static struct entry *
find(const struct arena *a, uint32_t h, const void *data, size_t size)
{
	size_t i = h & (a->n_table - 1);
	struct entry *e;

	for (;; i = (i + 1) & (a->n_table - 1)) {
		e = &a->table[i];
		if (!e->data)
			return e;
		if (e->hash == h && e->size == size && !memcmp(e->data, data, size))
			return e;
	}
}

static int
table_grow(struct arena *a)
{
	size_t i, n = a->n_table ? a->n_table * 2 : TABLE_FIRST;
	struct entry *old = a->table, *new = calloc(n, sizeof(*new));
	size_t n_old = a->n_table;

	if (!new)
		return -1;
	a->table = new;
	a->n_table = n;
	for (i = 0; i < n_old; i++)
		if (old[i].data)
			*find(a, old[i].hash, old[i].data, old[i].size) = old[i];
	free(old);
	return 0;
}

/* What a type of this size can need: its alignment divides its size. */
static size_t
align_of_size(size_t size)
{
	size_t align = size & -size;

	return align < alignof(max_align_t) ? align : alignof(max_align_t);
}

const void *
arena_copy(struct arena *a, const void *data, size_t size)
{
	void *copy = take(a, size, align_of_size(size));

	return copy ? memcpy(copy, data, size) : NULL;
}

const void *
arena_intern(struct arena *a, const void *data, size_t size)
{
	struct entry *e;
	uint32_t h;
	const void *copy;

	if (size == 0)
		return arena_intern(a, "", 1);
	if (size > UINT32_MAX)
		return NULL;
	if (a->n_used >= a->n_table / 4 * 3 && table_grow(a) < 0)
		return NULL;
	h = hash(data, size);
	e = find(a, h, data, size);
	if (e->data)
		return e->data;
	copy = arena_copy(a, data, size);
	if (!copy)
		return NULL;
	e->hash = h;
	e->size = (uint32_t)size;
	e->data = copy;
	a->n_used++;
	return copy;
}

const char *
arena_string(struct arena *a, const char *s)
{
	return arena_intern(a, s, strlen(s) + 1);
}

void
arena_seal(struct arena *a)
{
	free(a->table);
	a->table = NULL;
	a->n_table = 0;
	a->n_used = 0;
}
