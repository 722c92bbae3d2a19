/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Two hash tables, filled once, for swap.c.  Runs in the master.  (The tables of
 * hsearch(3) look at the first eight characters of a key, which are the same
 * for all of ten thousand addresses.)
 */
#include "config.h"

#include "claim.h"

#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "listener.h"
#include "master.h"
#include "service.h"

struct table {
	uint32_t mask;
	struct { uint32_t hash; void *data; } *slots;	/* data NULL: free */
};

struct claims {
	uint32_t rows;
	bool *taken;		/* by number */
	struct table services, listeners;
};

static uint32_t
hash(uint32_t h, const void *data, size_t len)
{
	for (const uint8_t *p = data; len-- > 0; p++)
		h = (h ^ *p) * 16777619;
	return h;
}

static uint32_t
hash_text(uint32_t h, const char *text)
{
	return text ? hash(h, text, strlen(text) + 1) : h;
}

/* Those of port 0 have an identity only within their service. */
static bool
is_private(const struct bind_target *t)
{
	return !t->path && t->addr.port == 0;
}

static uint32_t
hash_target(const struct bind_target *t, const char *service)
{
	uint32_t h = hash(2166136261, &t->type, sizeof(t->type));

	h = hash_text(hash_text(h, t->path), t->device);
	if (t->path)
		return h;
	h = hash(h, t->addr.ip, sizeof(t->addr.ip));
	h = hash(h, &t->addr.port, sizeof(t->addr.port));
	return is_private(t) ? hash_text(hash(h, &t->nth, sizeof(t->nth)), service) : h;
}

static bool
table_init(struct table *t, uint32_t n)
{
	uint32_t size = 16;

	while (size < n * 2)
		size *= 2;
	t->mask = size - 1;
	t->slots = calloc(size, sizeof(*t->slots));
	return t->slots != NULL;
}

static void
table_add(struct table *t, uint32_t h, void *data)
{
	uint32_t i = h & t->mask;

	while (t->slots[i].data)
		i = (i + 1) & t->mask;
	t->slots[i].hash = h;
	t->slots[i].data = data;
}

struct claims *
claims_new(struct master *m)
{
	struct claims *c = calloc(1, sizeof(*c));
	uint32_t n = services_rows(m->services);

	if (!c)
		return NULL;
	c->rows = listeners_rows(m->listeners);
	c->taken = calloc(c->rows + 1, sizeof(*c->taken));
	if (!c->taken || !table_init(&c->services, n) || !table_init(&c->listeners, c->rows)) {
		claims_free(c);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct service *s = services_at(m->services, i);

		if (s && s->conf)
			table_add(&c->services, hash_text(0, service_name(s)), s);
	}
	for (uint32_t i = 0; i < c->rows; i++) {
		struct listener *l = listeners_at(m->listeners, i);

		if (l && l->service)
			table_add(&c->listeners, hash_target(&l->target, service_name(l->service)), l);
	}
	return c;
}

void
claims_free(struct claims *c)
{
	if (!c)
		return;
	free(c->services.slots);
	free(c->listeners.slots);
	free(c->taken);
	free(c);
}

uint32_t
claims_rows(const struct claims *c)
{
	return c->rows;
}

struct service *
claim_service(const struct claims *c, const char *name)
{
	const struct table *t = &c->services;
	uint32_t h = hash_text(0, name);

	for (uint32_t i = h & t->mask; t->slots[i].data; i = (i + 1) & t->mask)
		if (t->slots[i].hash == h && strcmp(service_name(t->slots[i].data), name) == 0)
			return t->slots[i].data;
	return NULL;
}

struct listener *
claim_listener(struct claims *c, const struct bind_target *target, const char *service)
{
	const struct table *t = &c->listeners;
	uint32_t h = hash_target(target, service);

	for (uint32_t i = h & t->mask; t->slots[i].data; i = (i + 1) & t->mask) {
		struct listener *l = t->slots[i].data;

		if (t->slots[i].hash != h || c->taken[l->number] ||
		    !bind_target_equal(&l->target, target) ||
		    (is_private(target) && strcmp(service_name(l->service), service) != 0))
			continue;
		c->taken[l->number] = true;
		return l;
	}
	return NULL;
}

bool
claim_is_taken(const struct claims *c, uint32_t number)
{
	return c->taken[number];
}
