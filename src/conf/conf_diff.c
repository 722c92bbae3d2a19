/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What differs between two configurations.  The two lie in different arenas, so
 * values are compared, not pointers; where a service stands in its file makes
 * no difference, but what its account's name means does.
 *
 * Runs in the master (reload) and in hatchctl.  Pure.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf_diff.h"
#include "conf_field.h"
#include "schema.h"

struct names {			/* a list of names in a caller's buffer */
	char *buf;
	size_t size, len;
};

static void
names_add(struct names *n, const char *name)
{
	const char *comma = n->len ? "," : "";
	size_t i;

	for (i = 0; i < 2; i++) {
		const char *p = i == 0 ? comma : name;

		for (; *p && n->len + 1 < n->size; p++)
			n->buf[n->len++] = *p;
	}
	if (n->size)
		n->buf[n->len] = '\0';
}

static bool
accounts_equal(const struct conf_account *a, const struct conf_account *b)
{
	if (!a || !b)
		return a == b;
	return a->uid == b->uid && a->gid == b->gid && strcmp(a->name, b->name) == 0 &&
		strcmp(a->home, b->home) == 0 && strcmp(a->shell, b->shell) == 0 &&
		a->n_groups == b->n_groups &&
		(a->n_groups == 0 || memcmp(a->groups, b->groups,
					    (size_t)a->n_groups * sizeof(a->groups[0])) == 0);
}

static bool
rlimits_equal(const struct conf_common *a, const struct conf_common *b)
{
	int i;

	if (a->n_rlimits != b->n_rlimits)
		return false;
	for (i = 0; i < a->n_rlimits; i++)
		if (a->rlimits[i].resource != b->rlimits[i].resource ||
		    a->rlimits[i].soft != b->rlimits[i].soft ||
		    a->rlimits[i].hard != b->rlimits[i].hard)
			return false;
	return true;
}

static bool
bytes_equal(const struct conf_bytes *a, const struct conf_bytes *b)
{
	if (!a || !b)
		return a == b;
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* What is in the files that banners name. */
static bool
banners_equal(const struct conf_banner *a, const struct conf_banner *b)
{
	return bytes_equal(a->open_bytes, b->open_bytes) &&
		bytes_equal(a->refuse_bytes, b->refuse_bytes);
}

static bool
sections_equal(const struct conf_service *a, const struct conf_service *b, unsigned section)
{
	const struct conf_socket *x = a->common->socket, *y = b->common->socket;
	unsigned id;

	if (section == SCHEMA_RLIMITS)
		return rlimits_equal(a->common, b->common);
	for (id = schema_first(section); id < schema_first(section + 1); id++)
		if (!conf_field_equal(&schema[id], schema_base(a, id), schema_base(b, id)))
			return false;
	if (section == SCHEMA_BANNER)
		return a->enabled != b->enabled ||
			banners_equal(a->common->banner, b->common->banner);
	return section != SCHEMA_SOCKET ||
		(x->owner_uid == y->owner_uid && x->owner_gid == y->owner_gid);
}

size_t
conf_diff_service(const struct conf_service *a, const struct conf_service *b, char *buf,
		  size_t size)
{
	struct names n = { .buf = buf, .size = size };
	const struct schema_item *it;
	unsigned id;
	bool equal;

	if (size)
		buf[0] = '\0';
	for (id = schema_first(SCHEMA_SERVICE); id < schema_first(SCHEMA_SERVICE + 1); id++) {
		it = &schema[id];
		equal = it->type == SCHEMA_SUB ? sections_equal(a, b, it->sub) :
			conf_field_equal(it, schema_base(a, id), schema_base(b, id));
		if (id == SET_SERVICE_USER && a->enabled == b->enabled)
			equal = equal && accounts_equal(a->common->account, b->common->account);
		if (!equal)
			names_add(&n, it->name);
	}
	return n.len;
}

size_t
conf_diff_global(const struct conf *a, const struct conf *b, char *buf, size_t size)
{
	struct names n = { .buf = buf, .size = size };
	unsigned id;
	bool equal;

	if (size)
		buf[0] = '\0';
	for (id = schema_first(SCHEMA_GLOBAL); id < schema_first(SCHEMA_GLOBAL + 1); id++) {
		if (schema[id].type == SCHEMA_SUB)
			continue;
		equal = conf_field_equal(&schema[id], a, b);
		if (id == SET_USER)
			equal = equal && accounts_equal(a->talker, b->talker);
		if (id == SET_CONTROL_GROUP)
			equal = equal && a->control_gid == b->control_gid;
		if (!equal)
			names_add(&n, schema[id].name);
	}
	return n.len;
}

static int
by_name(const void *va, const void *vb)
{
	const struct conf_service *a = *(const struct conf_service *const *)va;
	const struct conf_service *b = *(const struct conf_service *const *)vb;

	return strcmp(a->name, b->name);
}

/* The enabled services by name, malloced; NULL if there are none.  To take
 * lack of memory for that would end every service. */
static const struct conf_service **
enabled(const struct conf *c, int *ret_n)
{
	const struct conf_service **list;
	int i, n = 0;

	*ret_n = 0;
	list = c->n_services ? calloc((size_t)c->n_services, sizeof(*list)) : NULL;
	assert(list || c->n_services == 0);
	if (!list)
		return NULL;
	for (i = 0; i < c->n_services; i++)
		if (c->services[i].enabled)
			list[n++] = &c->services[i];
	qsort(list, (size_t)n, sizeof(*list), by_name);
	*ret_n = n;
	return list;
}

void
conf_diff(const struct conf *old, const struct conf *new,
	  void (*fn)(enum conf_change what, const struct conf_service *a,
		     const struct conf_service *b, void *arg), void *arg)
{
	int n_old, n_new, i = 0, k = 0, order;
	const struct conf_service **a = enabled(old, &n_old);
	const struct conf_service **b = enabled(new, &n_new);
	char buf[4];

	while (i < n_old || k < n_new) {
		order = i == n_old ? 1 : k == n_new ? -1 : strcmp(a[i]->name, b[k]->name);
		if (order < 0) {
			fn(CONF_REMOVED, a[i++], NULL, arg);
		} else if (order > 0) {
			fn(CONF_ADDED, NULL, b[k++], arg);
		} else {
			if (conf_diff_service(a[i], b[k], buf, sizeof(buf)) > 0)
				fn(CONF_CHANGED, a[i], b[k], arg);
			i++;
			k++;
		}
	}
	free(a);
	free(b);
}
