/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Makes the table of who may connect from rules.  Called when a configuration
 * loads.
 */
#include "config.h"

#include "acl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "acl_table.h"

enum { DEPTH = 129 };	/* prefixes within one another: 0 to 128 bits */

struct prefix {
	struct acl_key start;
	uint32_t value;		/* the tag, and the verdict above it */
	uint32_t order;
	uint8_t bits;
};

struct id_rule {
	uint32_t id, value, order;
};

struct list {
	void *items;
	uint32_t n, room;
};

struct acl_builder {
	struct list nets[2];	/* struct prefix: IPv4, IPv6 */
	struct list ids[2];	/* struct id_rule: uid, gid */
	uint32_t rules;
	bool deny_others;
};

struct interval {
	struct acl_key start;
	uint32_t value;
};

struct acl_builder *
acl_builder_new(void)
{
	return calloc(1, sizeof(struct acl_builder));
}

void
acl_builder_free(struct acl_builder *b)
{
	if (!b)
		return;
	for (int i = 0; i < 2; i++) {
		free(b->nets[i].items);
		free(b->ids[i].items);
	}
	free(b);
}

void
acl_deny_others(struct acl_builder *b)
{
	b->deny_others = true;
}

/* Room for one more item, NULL and errno. */
static void *
append(struct list *l, size_t size)
{
	if (l->n == l->room) {
		uint32_t room = l->room ? l->room * 2 : 8;
		void *items = room > l->room ? reallocarray(l->items, room, size) : NULL;

		if (!items) {
			errno = ENOMEM;
			return NULL;
		}
		l->items = items;
		l->room = room;
	}
	return (char *)l->items + size * l->n++;
}

static int
add_net(struct acl_builder *b, const struct acl_entry *e, uint32_t value)
{
	bool six = e->net.family == AF_INET6;
	struct addr net = e->net;
	struct prefix *p;

	assert((six && e->bits <= 128) || (net.family == AF_INET && e->bits <= 32));
	p = append(&b->nets[six], sizeof(*p));
	if (!p)
		return -1;
	addr_mask(&net, e->bits);
	*p = (struct prefix){
		.start = acl_key_of(&net), .value = value, .order = b->rules, .bits = e->bits,
	};
	return 0;
}

int
acl_add(struct acl_builder *b, bool allow, const struct acl_entry *e, uint32_t tag)
{
	uint32_t value = tag | (uint32_t)allow << ACL_ALLOW_SHIFT;
	struct id_rule *r;

	assert(tag < ACL_NO_RULE);
	if (e->kind == ACL_NET) {
		if (add_net(b, e, value) < 0)
			return -1;
	} else {
		assert(e->kind == ACL_UID || e->kind == ACL_GID);
		r = append(&b->ids[e->kind == ACL_GID], sizeof(*r));
		if (!r)
			return -1;
		*r = (struct id_rule){ .id = e->id, .value = value, .order = b->rules };
	}
	b->rules++;
	if (allow)
		b->deny_others = true;
	return 0;
}

static int
compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Of equal ones that which counts comes first: what denies, then what came
 * first. */
static int
compare_value(uint32_t a, uint32_t b, uint32_t a_order, uint32_t b_order)
{
	int c = compare(a >> ACL_ALLOW_SHIFT, b >> ACL_ALLOW_SHIFT);

	return c ? c : compare(a_order, b_order);
}

/* A prefix comes before those within it. */
static int
compare_prefix(const void *x, const void *y)
{
	const struct prefix *a = x, *b = y;
	int c = compare(a->start.hi, b->start.hi);

	if (!c)
		c = compare(a->start.lo, b->start.lo);
	if (!c)
		c = compare(a->bits, b->bits);
	return c ? c : compare_value(a->value, b->value, a->order, b->order);
}

static int
compare_id(const void *x, const void *y)
{
	const struct id_rule *a = x, *b = y;
	int c = compare(a->id, b->id);

	return c ? c : compare_value(a->value, b->value, a->order, b->order);
}

static bool
less(struct acl_key a, struct acl_key b)
{
	return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static bool
same(struct acl_key a, struct acl_key b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

static struct acl_key
last_of(const struct prefix *p)
{
	struct acl_key k = p->start;

	if (p->bits < 64)
		k.hi |= UINT64_MAX >> p->bits;
	if (p->bits <= 64)
		k.lo = UINT64_MAX;
	else if (p->bits < 128)
		k.lo |= UINT64_MAX >> (p->bits - 64);
	return k;
}

/* From start on it is value. */
static void
put(struct interval *out, uint32_t *n, struct acl_key start, uint32_t value)
{
	if (*n > 0 && same(out[*n - 1].start, start))
		(*n)--;
	if (*n > 0 && out[*n - 1].value == value)
		return;
	out[(*n)++] = (struct interval){ start, value };
}

struct open_prefix {
	struct acl_key last;
	uint32_t value;
};

/* Closes the innermost open prefix: behind it the one around it goes on. */
static void
close_prefix(struct interval *out, uint32_t *n, const struct open_prefix *open, uint32_t *depth)
{
	struct acl_key next = open[--*depth].last;

	if (next.hi == UINT64_MAX && next.lo == UINT64_MAX)
		return;
	if (++next.lo == 0)
		next.hi++;
	put(out, n, next, open[*depth - 1].value);
}

/* Sorts the rules and writes at most 2 * rules + 1 intervals, the first of
 * which begins at 0; returns how many. */
static uint32_t
flatten(struct list *l, uint32_t other, struct interval *out)
{
	struct prefix *p = l->items;
	struct open_prefix open[DEPTH + 1];
	uint32_t depth = 1, n = 0;

	open[0] = (struct open_prefix){ { UINT64_MAX, UINT64_MAX }, other };
	put(out, &n, (struct acl_key){ 0, 0 }, other);
	if (l->n > 0)
		qsort(p, l->n, sizeof(*p), compare_prefix);
	for (uint32_t i = 0; i < l->n; i++) {
		if (i > 0 && same(p[i].start, p[i - 1].start) && p[i].bits == p[i - 1].bits)
			continue;
		while (depth > 1 && less(open[depth - 1].last, p[i].start))
			close_prefix(out, &n, open, &depth);
		assert(depth <= DEPTH);
		open[depth++] = (struct open_prefix){ last_of(&p[i]), p[i].value };
		put(out, &n, p[i].start, p[i].value);
	}
	while (depth > 1)
		close_prefix(out, &n, open, &depth);
	return n;
}

static uint32_t
unique_ids(struct list *l)
{
	struct id_rule *r = l->items;
	uint32_t n = 0;

	if (l->n == 0)
		return 0;
	qsort(r, l->n, sizeof(*r), compare_id);
	for (uint32_t i = 0; i < l->n; i++)
		if (n == 0 || r[n - 1].id != r[i].id)
			r[n++] = r[i];
	l->n = n;
	return n;
}

static bool
any_lo(const struct interval *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i].start.lo != 0)
			return true;
	return false;
}

/* The next n items of a size, within the table's own memory. */
static void *
carve(char **at, size_t n, size_t size)
{
	void *p = *at;

	*at += n * size;
	return p;
}

static struct acl *
pack(const struct acl_builder *b, const struct interval *v4, uint32_t n4,
     const struct interval *v6, uint32_t n6, uint32_t other)
{
	bool lo = any_lo(v6, n6);
	size_t bytes = sizeof(struct acl) + (size_t)n6 * (lo ? 20 : 12) + (size_t)n4 * 8 +
		((size_t)b->ids[0].n + b->ids[1].n) * sizeof(struct acl_id);
	struct acl *acl = malloc(bytes);
	uint64_t *hi6, *lo6;
	uint32_t *start4, *value4, *value6;
	char *at;

	if (!acl)
		return NULL;
	*acl = (struct acl){ .bytes = bytes, .other = other, .empty = b->rules == 0,
			     .n4 = n4, .n6 = n6 };
	at = (char *)acl->memory;
	acl->hi6 = hi6 = carve(&at, n6, sizeof(*hi6));
	acl->lo6 = lo6 = lo ? carve(&at, n6, sizeof(*lo6)) : NULL;
	acl->value6 = value6 = carve(&at, n6, sizeof(*value6));
	acl->start4 = start4 = carve(&at, n4, sizeof(*start4));
	acl->value4 = value4 = carve(&at, n4, sizeof(*value4));
	for (uint32_t i = 0; i < n6; i++) {
		hi6[i] = v6[i].start.hi;
		if (lo)
			lo6[i] = v6[i].start.lo;
		value6[i] = v6[i].value;
	}
	for (uint32_t i = 0; i < n4; i++) {
		start4[i] = (uint32_t)(v4[i].start.hi >> 32);
		value4[i] = v4[i].value;
	}
	for (int k = 0; k < 2; k++) {
		const struct id_rule *r = b->ids[k].items;
		struct acl_id *ids = carve(&at, b->ids[k].n, sizeof(*ids));

		for (uint32_t i = 0; i < b->ids[k].n; i++)
			ids[i] = (struct acl_id){ r[i].id, r[i].value };
		acl->ids[k] = ids;
		acl->nids[k] = b->ids[k].n;
	}
	return acl;
}

struct acl *
acl_build(struct acl_builder *b)
{
	uint32_t other = ACL_NO_RULE | (uint32_t)!b->deny_others << ACL_ALLOW_SHIFT;
	struct interval *v[2];
	struct acl *acl = NULL;
	uint32_t n[2];

	for (int i = 0; i < 2; i++)
		v[i] = calloc(2 * (size_t)b->nets[i].n + 1, sizeof(*v[i]));
	if (v[0] && v[1]) {
		for (int i = 0; i < 2; i++) {
			n[i] = flatten(&b->nets[i], other, v[i]);
			(void)unique_ids(&b->ids[i]);
		}
		acl = pack(b, v[0], n[0], v[1], n[1], other);
	}
	free(v[0]);
	free(v[1]);
	return acl;
}
