/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The gates of a configuration.  What a section says is its texts, wherever
 * they stand: ten thousand services that name the same list have one table.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_check.c.
 */
#include "config.h"

#include "conf_gate.h"

#include <assert.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate_build.h"

struct compiled {
	struct gate gate;	/* first: it is what is found */
	struct conf_access of;
	bool addresses;		/* has files, without uid: and gid: */
	uint64_t hash;
};

struct conf_gates {
	void *root;		/* tsearch(3) of struct compiled */
	const struct compiled *last;
	struct gate_parts parts;	/* without lists: sealed */
};

struct conf_gates *
conf_gates_new(void)
{
	struct conf_gates *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->parts.lists = acl_lists_new();
	g->parts.resolve = resolve_new();
	g->parts.zones = zones_new();
	g->parts.owner = geteuid();
	if (!g->parts.lists || !g->parts.resolve || !g->parts.zones) {
		conf_gates_free(g);
		return NULL;
	}
	return g;
}

static void
compiled_free(void *arg)
{
	struct compiled *c = arg;

	gate_fini(&c->gate);
	free(c);
}

void
conf_gates_seal(struct conf_gates *g)
{
	acl_lists_free(g->parts.lists);
	resolve_free(g->parts.resolve);
	g->parts.lists = NULL;
	g->parts.resolve = NULL;
}

void
conf_gates_free(struct conf_gates *g)
{
	if (!g)
		return;
	conf_gates_seal(g);
	tdestroy(g->root, compiled_free);
	zones_free(g->parts.zones);
	free(g);
}

void
conf_gates_use(struct conf_gates *g, struct names *names)
{
	resolve_use(g->parts.resolve, names);
}

static uint64_t
hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return (h ^ 0x100) * UINT64_C(0x100000001b3);
}

static uint64_t
hash_rules(uint64_t h, const struct conf_rule *r)
{
	h = hash_text(h, r ? "+" : "-");
	for (; r && r->text; r++)
		h = hash_text(h, r->text);
	return h;
}

static uint64_t
hash_access(const struct conf_access *a)
{
	uint64_t h = hash_rules(UINT64_C(0xcbf29ce484222325) ^ a->max_load, a->allow);

	h = hash_rules(h, a->deny);
	h = hash_rules(h, a->hours);
	for (const char *const *s = a->max_pressure; s && *s; s++)
		h = hash_text(h, *s);
	return h;
}

static int
compare_rules(const struct conf_rule *a, const struct conf_rule *b)
{
	int d;

	if (a == b)
		return 0;
	if (!a || !b)
		return a ? 1 : -1;
	for (; a->text && b->text; a++, b++) {
		d = strcmp(a->text, b->text);
		if (d)
			return d;
	}
	return a->text ? 1 : b->text ? -1 : 0;
}

static int
compare_texts(const char *const *a, const char *const *b)
{
	int d;

	if (a == b)
		return 0;
	if (!a || !b)
		return a ? 1 : -1;
	for (; *a && *b; a++, b++) {
		d = strcmp(*a, *b);
		if (d)
			return d;
	}
	return *a ? 1 : *b ? -1 : 0;
}

static int
compare(const void *va, const void *vb)
{
	const struct compiled *a = va, *b = vb;
	int d;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->addresses != b->addresses)
		return a->addresses ? 1 : -1;
	if (a->of.max_load != b->of.max_load)
		return a->of.max_load < b->of.max_load ? -1 : 1;
	d = compare_rules(a->of.allow, b->of.allow);
	if (!d)
		d = compare_rules(a->of.deny, b->of.deny);
	if (!d)
		d = compare_rules(a->of.hours, b->of.hours);
	return d ? d : compare_texts(a->of.max_pressure, b->of.max_pressure);
}

/* Most services say what the one before said, in the very same words. */
/* Only what is in files can be of one use and not of another: uid: and gid: are seen
 * late there. */
static bool
of_addresses(const struct gate_order *order, const struct conf_rule *r)
{
	for (; order->addresses && r && r->text; r++)
		if (strncmp(r->text, "file:", strlen("file:")) == 0)
			return true;
	return false;
}

static bool
is_last(const struct conf_gates *g, bool addresses, const struct conf_access *a)
{
	const struct compiled *c = g->last;

	return c && c->addresses == addresses && c->of.allow == a->allow &&
		c->of.deny == a->deny && c->of.hours == a->hours &&
		c->of.max_pressure == a->max_pressure && c->of.max_load == a->max_load;
}

static bool
get(struct conf_gates *g, const struct gate_order *order, const struct conf_access *a,
    const struct gate **ret)
{
	bool addresses = of_addresses(order, a->allow);
	struct compiled key, *c;
	void *node;

	assert(g->parts.lists);	/* not sealed */
	if (is_last(g, addresses, a)) {
		*ret = &g->last->gate;
		return true;
	}
	key = (struct compiled){
		.of = *a, .addresses = addresses, .hash = hash_access(a),
	};
	node = tfind(&key, &g->root, compare);
	if (node) {
		g->last = *(struct compiled **)node;
		*ret = &g->last->gate;
		return true;
	}
	c = malloc(sizeof(*c));
	if (!c) {
		problems_add(order->problems, NULL, 0, "out of memory");
		return false;
	}
	*c = key;
	if (!gate_build(&g->parts, order, a, &c->gate)) {
		free(c);
		return false;
	}
	if (!tsearch(c, &g->root, compare)) {
		problems_add(order->problems, NULL, 0, "out of memory");
		compiled_free(c);
		return false;
	}
	g->last = c;
	*ret = &c->gate;
	return true;
}

static bool
says_nothing(const struct conf_access *a)
{
	return !a || (!a->allow && (!a->deny || !a->deny->text) && (!a->hours || !a->hours->text) &&
		      a->max_load == 0 && (!a->max_pressure || !a->max_pressure[0]));
}

bool
conf_gate_access(struct conf_gates *g, const struct conf_access *a, const char *service,
		 bool lookup, struct problems *p, const struct gate **ret)
{
	const struct gate_order order = {
		.service = service, .section = "access", .allow = "allow", .lookup = lookup,
		.problems = p,
	};

	if (!says_nothing(a))
		return get(g, &order, a, ret);
	*ret = NULL;
	return true;
}

bool
conf_gate_list(struct conf_gates *g, const struct conf_rule *from, const char *service,
	       bool lookup, struct problems *p, const struct gate **ret)
{
	const struct gate_order order = {
		.service = service, .section = "proxy", .allow = "from", .lookup = lookup,
		.addresses = true, .problems = p,
	};
	const struct conf_access a = { .allow = from };

	if (from)
		return get(g, &order, &a, ret);
	*ret = NULL;
	return true;
}

/* The element with this number, as gate_tag counts. */
static const struct conf_rule *
element_at(const struct conf_access *a, uint32_t i)
{
	const struct conf_rule *r;

	for (r = a->allow; r && r->text; r++)
		if (i-- == 0)
			return r;
	for (r = a->deny; r && r->text; r++)
		if (i-- == 0)
			return r;
	return NULL;
}

bool
conf_gate_rule(const struct conf_access *a, uint32_t tag, struct conf_rule *ret, char *buf,
	       size_t size)
{
	const struct conf_rule *r = tag == ACL_NO_RULE ? NULL : element_at(a, tag % GATE_RULES);
	uint32_t line = tag / GATE_RULES;

	if (!r)
		return false;
	*ret = *r;
	ret->text = buf;
	(void)snprintf(buf, size, "%s", r->text);
	if (line == 0)
		return true;
	ret->file = r->text + strlen("file:");
	ret->line = (int)line;
	if (!acl_list_line(ret->file, geteuid(), line, buf, size))
		(void)snprintf(buf, size, "?");
	return true;
}
