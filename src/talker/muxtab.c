/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of tcpmux names; talker, filled by the master (MSG_MUX), asked by
 * prefix.c.  Small enough in general that its list for "help" is made only when
 * somebody asks.
 */
#include "config.h"

#include "muxtab.h"

#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "muxline.h"
#include "text.h"

_Static_assert(MUXTAB_MAX == BOARD_SERVICES, "a service has one name");

enum {
	BUCKETS = 256,
	NONE = MUXTAB_MAX,	/* end of a bucket's list */
};

struct name {
	uint32_t service;
	uint16_t next;		/* of the same bucket */
	uint8_t plus;
	uint8_t len;
	char bytes[PROTO_MUX_NAME];
};

struct muxtab {
	struct name *names;	/* in the order in which they came */
	uint32_t n, room;
	struct text *help;	/* NULL: not made yet */
	uint16_t bucket[BUCKETS];
};

static unsigned
bucket_of(const char *name, size_t len)
{
	uint32_t h = 2166136261;	/* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619;
	return (h ^ h >> 16) % BUCKETS;
}

static void
forget(struct muxtab *t)
{
	free(t->names);
	t->names = NULL;
	t->n = t->room = 0;
	for (int i = 0; i < BUCKETS; i++)
		t->bucket[i] = NONE;
}

struct muxtab *
muxtab_new(void)
{
	struct muxtab *t = calloc(1, sizeof *t);

	if (t != NULL)
		forget(t);
	return t;
}

void
muxtab_free(struct muxtab *t)
{
	if (t == NULL)
		return;
	text_release(t->help);
	free(t->names);
	free(t);
}

static struct name *
find(const struct muxtab *t, const char *name, size_t len)
{
	for (uint32_t i = t->bucket[bucket_of(name, len)]; i != NONE; i = t->names[i].next)
		if (t->names[i].len == len && memcmp(t->names[i].bytes, name, len) == 0)
			return &t->names[i];
	return NULL;
}

static bool
makes_sense(const struct msg_mux *m)
{
	if (m->service >= BOARD_SERVICES || m->plus > 1 || m->len > PROTO_MUX_NAME)
		return false;
	for (uint32_t i = 0; i < m->len; i++)
		if (!muxline_is_name((unsigned char)m->name[i]) ||
		    (m->name[i] >= 'A' && m->name[i] <= 'Z'))
			return false;
	return true;
}

static struct name *
add(struct muxtab *t, const char *name, size_t len)
{
	uint16_t *bucket = &t->bucket[bucket_of(name, len)];
	struct name *new;

	if (t->n == MUXTAB_MAX)
		return NULL;
	if (t->n == t->room) {
		uint32_t room = t->room == 0 ? 16 : t->room * 2;

		new = realloc(t->names, room * sizeof *new);
		if (new == NULL)
			return NULL;
		t->names = new;
		t->room = room;
	}
	new = &t->names[t->n];
	memcpy(new->bytes, name, len);
	new->len = (uint8_t)len;
	new->next = *bucket;
	*bucket = (uint16_t)t->n++;
	return new;
}

int
muxtab_set(struct muxtab *t, const struct msg_mux *m)
{
	struct name *name;

	text_release(t->help);
	t->help = NULL;
	if (m->len == 0) {
		forget(t);
		return 0;
	}
	if (!makes_sense(m))
		return -1;
	name = find(t, m->name, m->len);
	if (name == NULL)
		name = add(t, m->name, m->len);
	if (name == NULL)
		return -1;
	name->service = m->service;
	name->plus = (uint8_t)m->plus;
	return 0;
}

bool
muxtab_find(const struct muxtab *t, const char *name, size_t len, uint32_t *ret_service,
	    uint32_t *ret_plus)
{
	const struct name *found = find(t, name, len);

	if (found == NULL)
		return false;
	*ret_service = found->service;
	*ret_plus = found->plus;
	return true;
}

struct text *
muxtab_help(struct muxtab *t)
{
	size_t len = 0;
	char *p;

	if (t->help != NULL)
		return t->help;
	for (uint32_t i = 0; i < t->n; i++)
		len += t->names[i].len + 2u;
	t->help = text_new(NULL, len);
	if (t->help == NULL)
		return NULL;
	p = t->help->bytes;
	for (uint32_t i = 0; i < t->n; i++) {
		memcpy(p, t->names[i].bytes, t->names[i].len);
		p += t->names[i].len;
		*p++ = '\r';
		*p++ = '\n';
	}
	return t->help;
}
