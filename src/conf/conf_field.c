/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The fields of the structs of a configuration, by their schema: read, written
 * and compared whatever their size.
 *
 * Pure.  Runs in the master, its trial child and hatchctl; called by
 * conf_value.c (write), conf_print.c (read), conf_diff.c and conf_check.c
 * (compare).
 */
#include "config.h"

#include <string.h>

#include "conf_field.h"

void
conf_field_set_integer(const struct schema_item *it, void *base, int64_t value)
{
	void *at = (char *)base + it->offset;
	uint8_t b = (uint8_t)value;
	uint16_t h = (uint16_t)value;
	uint32_t w = (uint32_t)value;

	switch (it->size) {
	case 1:
		memcpy(at, &b, 1);
		break;
	case 2:
		memcpy(at, &h, 2);
		break;
	default:
		memcpy(at, &w, 4);
		break;
	}
}

int64_t
conf_field_integer(const struct schema_item *it, const void *base)
{
	const void *at = (const char *)base + it->offset;
	uint8_t b;
	uint16_t h;
	uint32_t w;

	switch (it->size) {
	case 1:
		memcpy(&b, at, 1);
		return b;
	case 2:
		memcpy(&h, at, 2);
		return h;
	default:
		memcpy(&w, at, 4);
		return it->min < 0 ? (int32_t)w : (int64_t)w;
	}
}

const void *
conf_field_pointer(const struct schema_item *it, const void *base)
{
	const void *p;

	memcpy(&p, (const char *)base + it->offset, sizeof(p));
	return p;
}

struct limit_rate
conf_field_rate(const struct schema_item *it, const void *base)
{
	struct limit_rate rate;

	memcpy(&rate, (const char *)base + it->offset, sizeof(rate));
	return rate;
}

void
conf_field_set_rate(const struct schema_item *it, void *base, const struct limit_rate *rate)
{
	memcpy((char *)base + it->offset, rate, sizeof(*rate));
}

static bool
texts_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
lists_equal(const char *const *a, const char *const *b)
{
	if (a == b)
		return true;
	if (!a || !b)
		return false;
	for (; *a && *b; a++, b++)
		if (strcmp(*a, *b) != 0)
			return false;
	return *a == *b;
}

static bool
rules_equal(const struct conf_rule *a, const struct conf_rule *b)
{
	if (!a || !b)
		return a == b;
	for (; a->text && b->text; a++, b++)
		if (strcmp(a->text, b->text) != 0)
			return false;
	return !a->text && !b->text;
}

static bool
rates_equal(struct limit_rate a, struct limit_rate b)
{
	return a.n == b.n && (a.n == 0 || a.per_ms == b.per_ms);
}

static bool
listens_equal(const struct conf_service *a, const struct conf_service *b)
{
	const struct conf_listen *x = a->listen, *y = b->listen;
	int i;

	if (a->n_listen != b->n_listen)
		return false;
	for (i = 0; i < a->n_listen; i++, x++, y++)
		if (x->proto != y->proto || x->port != y->port || x->port_last != y->port_last ||
		    !texts_equal(x->host, y->host) || !texts_equal(x->path, y->path) ||
		    strcmp(x->text, y->text) != 0)
			return false;
	return true;
}

bool
conf_field_equal(const struct schema_item *it, const void *a, const void *b)
{
	switch (it->type) {
	case SCHEMA_TEXT:
		return texts_equal(conf_field_pointer(it, a), conf_field_pointer(it, b));
	case SCHEMA_LIST:
		return lists_equal(conf_field_pointer(it, a), conf_field_pointer(it, b));
	case SCHEMA_RULES:
		return rules_equal(conf_field_pointer(it, a), conf_field_pointer(it, b));
	case SCHEMA_RATE:
		return rates_equal(conf_field_rate(it, a), conf_field_rate(it, b));
	case SCHEMA_LISTEN:
		return listens_equal(a, b);
	default:
		return conf_field_integer(it, a) == conf_field_integer(it, b);
	}
}

void
conf_field_set_pointer(const struct schema_item *it, void *base, const void *p)
{
	memcpy((char *)base + it->offset, &p, sizeof(p));
}
