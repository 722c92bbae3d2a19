/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Marks for what the talker has still to be told.  Runs in the master; link.c
 * marks and tells, session.c unmarks what has ended.  Pure: no system calls, no
 * logging.  What is never marked is never touched, and costs no memory.
 */
#include "config.h"

#include "owed.h"

#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "proto.h"

#define BITS 64			/* of a word */
#define LISTENERS 262144	/* numbers of listeners that the talker takes */

struct marks {
	uint32_t n_words, count;
	uint32_t cursor;	/* where to look for the next */
	uint64_t *words;
};

struct owed {
	uint32_t count;
	struct marks marks[OWED_KINDS];
	uint64_t words[];
};

static const uint32_t numbers[OWED_KINDS] = {
	[OWED_ERRLOG] = PROTO_ERRLOGS,
	[OWED_STOP] = 1,
	[OWED_CONTROL] = 1,
	[OWED_CLOSE] = BOARD_SESSIONS,
	[OWED_LEAVE] = LISTENERS,
	[OWED_DROP] = LISTENERS,
	[OWED_DGRAM] = LISTENERS,
	[OWED_NAMES] = BOARD_SERVICES + 1,
	[OWED_OFFER] = BOARD_SESSIONS,
};

static uint32_t
words_for(uint32_t n)
{
	return (n + BITS - 1) / BITS;
}

struct owed *
owed_new(void)
{
	struct owed *o;
	size_t n = 0;

	for (int i = 0; i < OWED_KINDS; i++)
		n += words_for(numbers[i]);
	o = calloc(1, sizeof(*o) + n * sizeof(*o->words));
	if (!o)
		return NULL;
	n = 0;
	for (int i = 0; i < OWED_KINDS; i++) {
		o->marks[i].n_words = words_for(numbers[i]);
		o->marks[i].words = o->words + n;
		n += o->marks[i].n_words;
	}
	return o;
}

void
owed_free(struct owed *o)
{
	free(o);
}

static uint64_t
bit(uint32_t number)
{
	return (uint64_t)1 << number % BITS;
}

bool
owed_marked(const struct owed *o, enum owed_kind kind, uint32_t number)
{
	return number < numbers[kind] && o->marks[kind].words[number / BITS] & bit(number);
}

void
owed_mark(struct owed *o, enum owed_kind kind, uint32_t number)
{
	struct marks *k = &o->marks[kind];

	if (number >= numbers[kind] || owed_marked(o, kind, number))
		return;
	k->words[number / BITS] |= bit(number);
	k->count++;
	o->count++;
}

void
owed_unmark(struct owed *o, enum owed_kind kind, uint32_t number)
{
	struct marks *k = &o->marks[kind];

	if (!owed_marked(o, kind, number))
		return;
	k->words[number / BITS] &= ~bit(number);
	k->count--;
	o->count--;
}

/* There is one. */
static uint32_t
find(struct marks *k)
{
	uint32_t i = k->cursor / BITS;
	uint64_t word = k->words[i] & ~(bit(k->cursor) - 1);

	while (word == 0) {
		i = (i + 1) % k->n_words;
		word = k->words[i];
	}
	k->cursor = i * BITS + (uint32_t)__builtin_ctzll(word);
	return k->cursor;
}

bool
owed_next(struct owed *o, enum owed_kind *ret_kind, uint32_t *ret_number)
{
	int i = 0;

	if (o->count == 0)
		return false;
	while (o->marks[i].count == 0)
		i++;
	*ret_kind = (enum owed_kind)i;
	*ret_number = find(&o->marks[i]);
	return true;
}

bool
owed_any(const struct owed *o)
{
	return o->count > 0;
}

void
owed_forget(struct owed *o, enum owed_kind kind)
{
	struct marks *k = &o->marks[kind];

	if (k->count > 0)
		memset(k->words, 0, k->n_words * sizeof(*k->words));
	o->count -= k->count;
	k->count = 0;
	k->cursor = 0;
}

void
owed_forget_all(struct owed *o)
{
	for (int i = 0; i < OWED_KINDS; i++)
		owed_forget(o, (enum owed_kind)i);
}
