/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Intrusive doubly linked lists: a head and its items are the same struct, in
 * a ring.  An item that is in no list points to itself, so removing it twice
 * does no harm.
 */
#ifndef HATCHD_LIST_H
#define HATCHD_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* The object of the given type whose member is *item. */
#define LIST_OBJECT(item, type, member) \
	((type *)(void *)((char *)(item) - offsetof(type, member)))

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* Puts item at the end, wherever it was before. */
static inline void
list_append(struct list *head, struct list *item)
{
	list_remove(item);
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

#endif
