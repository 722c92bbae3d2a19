/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * One access section, compiled.
 *
 * Whatever an element has that can't be understood or looked up is a problem at
 * its place, and the whole is no gate: an entry that was left out would let
 * somebody in, or keep everybody out.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_gate.c.
 */
#include "config.h"

#include "gate_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

#define RULES_MAX (ACL_LISTS * ACL_LIST_ENTRIES)	/* of all gates together */
#define WHAT 256

struct work {
	struct gate_parts *parts;
	const struct gate_order *order;
	struct acl_builder *builder;
	uint32_t n;		/* elements so far */
	bool ok;
};

/* "service git: access.allow" */
static const char *
say_where(const struct work *w, const char *setting, char what[WHAT])
{
	const char *service = w->order->service;

	(void)snprintf(what, WHAT, "%s%s: %s.%s", *service ? "service " : "defaults", service,
		       w->order->section, setting);
	return what;
}

static void __attribute__((format(printf, 4, 5)))
problem(struct work *w, const char *setting, const struct conf_rule *at, const char *fmt, ...)
{
	char text[512], what[WHAT];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problems_add(w->order->problems, at ? at->file : NULL, at ? at->line : 0, "%s: %s",
		     say_where(w, setting, what), text);
	w->ok = false;
}

static bool
add(struct work *w, const char *setting, const struct conf_rule *at, bool allow,
    const struct acl_entry *e, uint32_t tag)
{
	if (w->parts->rules == RULES_MAX) {
		problem(w, setting, at, "more than %d entries in all access lists", RULES_MAX);
		return false;
	}
	if (acl_add(w->builder, allow, e, tag) < 0) {
		problem(w, setting, at, "out of memory");
		return false;
	}
	w->parts->rules++;
	return true;
}

static void
add_list(struct work *w, const char *setting, const struct conf_rule *at, bool allow,
	 uint32_t element)
{
	char what[WHAT];
	const struct acl_list *l;

	l = acl_lists_get(w->parts->lists, at, say_where(w, setting, what), w->parts->owner,
			  w->parts->resolve, w->order->problems);
	if (!l) {
		w->ok = false;
		return;
	}
	for (uint32_t i = 0; i < l->n; i++) {
		if (w->order->addresses && l->entries[i].e.kind != ACL_NET) {
			problems_add(w->order->problems, at->text + strlen("file:"),
				     (int)l->entries[i].line, "%s: uid: and gid: are no addresses "
				     "of proxies", say_where(w, setting, what));
			w->ok = false;
			return;
		}
		if (!add(w, setting, at, allow, &l->entries[i].e,
			 gate_tag(element, l->entries[i].line)))
			return;
	}
}

static void
add_rule(struct work *w, const char *setting, const struct conf_rule *at, bool allow)
{
	struct acl_entry e[NAMES_ADDRS];
	char why[ACL_WHY_LEN];
	uint32_t element = w->n++;
	int n;

	if (element >= GATE_RULES) {
		if (element == GATE_RULES)
			problem(w, setting, at, "more than %d elements", GATE_RULES);
		return;
	}
	n = resolve_entry(w->order->lookup ? w->parts->resolve : NULL, at->text, e, why);
	if (n < 0) {
		problem(w, setting, at, "'%.200s': %s", at->text, why);
	} else if (n == 1 && e[0].kind == ACL_FILE) {
		add_list(w, setting, at, allow, element);
	} else {
		for (int i = 0; i < n; i++)
			if (!add(w, setting, at, allow, &e[i], gate_tag(element, 0)))
				return;
	}
}

static bool
is_empty(const struct conf_rule *list)
{
	return !list || !list->text;
}

static struct acl *
compile_acl(struct work *w, const struct conf_access *a)
{
	const char *allow = w->order->allow;
	struct acl *acl;

	if (!a->allow && is_empty(a->deny))
		return NULL;
	w->builder = acl_builder_new();
	if (!w->builder) {
		problem(w, allow, a->allow ? a->allow : a->deny, "out of memory");
		return NULL;
	}
	if (a->allow)
		acl_deny_others(w->builder);
	for (const struct conf_rule *r = a->allow; r && r->text; r++)
		add_rule(w, allow, r, true);
	for (const struct conf_rule *r = a->deny; r && r->text; r++)
		add_rule(w, "deny", r, false);
	acl = w->ok ? acl_build(w->builder) : NULL;
	if (w->ok && !acl)
		problem(w, allow, a->allow ? a->allow : a->deny, "out of memory");
	acl_builder_free(w->builder);
	return acl;
}

static void
add_hours(struct work *w, const struct conf_rule *at, struct hours *h)
{
	const struct zone *zone = zone_utc();
	struct hours_entry e;
	const char *why;

	if (hours_parse(at->text, &e, &why) < 0) {
		problem(w, "hours", at, "'%s': %s", at->text, why);
		return;
	}
	if (w->order->lookup)
		zone = zones_get(w->parts->zones, e.zone, &why);
	if (!zone)
		problem(w, "hours", at, "'%s': %s", at->text, why);
	else if (hours_add(h, &e, zone) < 0)
		problem(w, "hours", at, "out of memory");
}

static struct hours *
compile_hours(struct work *w, const struct conf_access *a)
{
	struct hours *h;

	if (is_empty(a->hours))
		return NULL;
	h = hours_new();
	if (!h) {
		problem(w, "hours", a->hours, "out of memory");
		return NULL;
	}
	for (const struct conf_rule *r = a->hours; r->text; r++)
		add_hours(w, r, h);
	return h;
}

static void
compile_pressure(struct work *w, const struct conf_access *a, uint32_t *max)
{
	static const char *const names[GATE_PRESSURES] = {
		[GATE_CPU] = "cpu:", [GATE_MEMORY] = "memory:", [GATE_IO] = "io:",
	};
	uint32_t percent;
	int i;

	for (const char *const *s = a->max_pressure; s && *s; s++) {
		for (i = 0; i < GATE_PRESSURES; i++)
			if (strncmp(*s, names[i], strlen(names[i])) == 0)
				break;
		if (i == GATE_PRESSURES || max[i] ||
		    units_decimal(*s + strlen(names[i]), 10000, &percent) < 0 || percent == 0)
			problem(w, "max_pressure", NULL, "'%s': expected each of cpu:N, memory:N "
				"and io:N once, N percent from 0.01 to 100", *s);
		else
			max[i] = percent;
	}
}

bool
gate_build(struct gate_parts *parts, const struct gate_order *order, const struct conf_access *a,
	   struct gate *ret)
{
	struct work w = { .parts = parts, .order = order, .ok = true };
	struct gate gate = { .max_load = a->max_load };

	gate.acl = compile_acl(&w, a);
	gate.hours = compile_hours(&w, a);
	compile_pressure(&w, a, gate.max_pressure);
	if (w.ok)
		*ret = gate;
	else
		gate_fini(&gate);
	return w.ok;
}

void
gate_fini(struct gate *gate)
{
	acl_free(gate->acl);
	hours_free(gate->hours);
}
