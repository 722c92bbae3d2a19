/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A hash table of what was seen while a configuration is checked, open and
 * growing; it only lives as long as the check.
 *
 * Pure.  Runs in the master, its trial child and hatchctl; called by
 * conf_check.c, conf_admit.c and conf_address.c.
 */
#include "config.h"

#include "conf_seen.h"

#include <stdlib.h>

#define FIRST_SIZE 256

struct conf_seen_table {
	struct conf_seen *list;	/* service is NULL where a place is free */
	size_t n, size;		/* size is a power of two */
};

struct conf_seen_table *
conf_seen_new(void)
{
	struct conf_seen_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->size = FIRST_SIZE;
	t->list = calloc(t->size, sizeof(*t->list));
	if (!t->list) {
		free(t);
		return NULL;
	}
	return t;
}

void
conf_seen_free(struct conf_seen_table *t)
{
	if (!t)
		return;
	free(t->list);
	free(t);
}

/* Where s is, or the free place where it belongs. */
static struct conf_seen *
place(struct conf_seen *list, size_t size, const struct conf_seen *s)
{
	uint64_t h = ((uint64_t)(uintptr_t)s->text + s->kind * UINT64_C(0x9fb21c651e98df25)) *
		UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(h >> 32) & (size - 1);

	while (list[i].service && (list[i].kind != s->kind || list[i].text != s->text))
		i = (i + 1) & (size - 1);
	return &list[i];
}

/* Without memory it goes on, slower, as long as there is room. */
static void
grow(struct conf_seen_table *t)
{
	struct conf_seen *bigger = calloc(2 * t->size, sizeof(*bigger));
	size_t i;

	if (!bigger)
		return;
	for (i = 0; i < t->size; i++)
		if (t->list[i].service)
			*place(bigger, 2 * t->size, &t->list[i]) = t->list[i];
	free(t->list);
	t->list = bigger;
	t->size *= 2;
}

const struct conf_seen *
conf_seen_find(const struct conf_seen_table *t, const struct conf_seen *s)
{
	const struct conf_seen *e = place(t->list, t->size, s);

	return e->service ? e : NULL;
}

const struct conf_seen *
conf_seen_before(struct conf_seen_table *t, const struct conf_seen *s)
{
	struct conf_seen *e;

	if (t->n >= t->size / 2)
		grow(t);
	e = place(t->list, t->size, s);
	if (e->service)
		return e;
	if (t->n + 1 < t->size) {	/* one place is always free */
		t->n++;
		*e = *s;
	}
	return NULL;
}
