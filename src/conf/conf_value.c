/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From the text of a setting to the field that holds its value: one function
 * for each type of the schema.
 *
 * Says what is wrong with a value on its own, at the value's line; what several
 * settings have to do with each other is conf_check.c's.  Runs in the master,
 * its trial child and hatchctl; called by conf_build.c.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf_bytes.h"
#include "conf_field.h"
#include "conf_form.h"
#include "conf_value.h"
#include "listen.h"
#include "units.h"

void
conf_value_problem(const struct conf_value_to *to, enum schema_id id, int line,
		   const char *fmt, ...)
{
	char text[512], name[64];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problems_add(to->problems, to->file, line, "%s%s%s%s: %s",
		     !to->service ? "" : *to->service ? "service " : "defaults",
		     to->service ? to->service : "", to->service ? ": " : "",
		     schema_name(id, false, name), text);
}

/* Which of words, or -1. */
static int
word_index(const char *const *words, const char *text)
{
	int i;

	for (i = 0; words[i]; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	return -1;
}

/* "keep or terminate", for a message */
static const char *
word_list(const char *const *words, char *buf, size_t size)
{
	size_t n = 0;
	int i;

	buf[0] = '\0';
	for (i = 0; words[i] && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s",
				      i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	return buf;
}

/* A decimal number with an optional minus where negative ones are allowed. */
static int
parse_number(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	uint64_t n;

	if (text[0] == '-' && min < 0) {
		if (units_number(text + 1, 0, (uint64_t)-min, &n) < 0)
			return -1;
		*ret = -(int64_t)n;
		return 0;
	}
	if (units_number(text, min < 0 ? 0 : (uint64_t)min, (uint64_t)max, &n) < 0)
		return -1;
	*ret = (int64_t)n;
	return 0;
}

static bool
set_number(const struct conf_value_to *to, enum schema_id id, void *base,
	   const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	int64_t n;

	if (parse_number(v->text, it->min, it->max, &n) < 0) {
		conf_value_problem(to, id, v->line, "expected a number from %" PRId64 " to %"
				   PRId64 ", not '%s'", it->min, it->max, v->text);
		return false;
	}
	conf_field_set_integer(it, base, n);
	return true;
}

static bool
set_bool(const struct conf_value_to *to, enum schema_id id, void *base,
	 const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	bool yes;

	if (it->max == CONF_AUTO && strcmp(v->text, "auto") == 0) {
		conf_field_set_integer(it, base, CONF_AUTO);
		return true;
	}
	if (units_bool(v->text, &yes) < 0) {
		conf_value_problem(to, id, v->line, "expected yes%s no, not '%s'",
				   it->max == CONF_AUTO ? ", auto or" : " or", v->text);
		return false;
	}
	conf_field_set_integer(it, base, yes);
	return true;
}

static bool
set_size(const struct conf_value_to *to, enum schema_id id, void *base,
	 const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	uint64_t n;

	if (units_size(v->text, &n) < 0 || n > (uint64_t)it->max) {
		conf_value_problem(to, id, v->line,
				   "expected a size such as 4096, 64KiB, 10MiB, not '%s'", v->text);
		return false;
	}
	conf_field_set_integer(it, base, (int64_t)n);
	return true;
}

static bool
set_duration(const struct conf_value_to *to, enum schema_id id, void *base,
	     const struct conf_text *v)
{
	uint32_t ms;

	if (units_duration_is_long(v->text)) {
		conf_value_problem(to, id, v->line, "expected a duration of at most 1193h, not "
				   "'%s'", v->text);
		return false;
	}
	if (units_duration_ms(v->text, &ms) < 0 || ms < schema[id].min) {
		conf_value_problem(to, id, v->line,
				   "expected a duration such as 500ms, 30s, 5min, 1h, not '%s'",
				   v->text);
		return false;
	}
	conf_field_set_integer(&schema[id], base, ms);
	return true;
}

static bool
set_decimal(const struct conf_value_to *to, enum schema_id id, void *base,
	    const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	uint32_t n;

	if (units_decimal(v->text, (uint32_t)it->max, &n) < 0) {
		conf_value_problem(to, id, v->line, "expected a number such as 8 or 0.25, at most "
				   "%u, not '%s'", (unsigned)it->max / 100, v->text);
		return false;
	}
	conf_field_set_integer(it, base, n);
	return true;
}

static bool
set_rate(const struct conf_value_to *to, enum schema_id id, void *base,
	 const struct conf_text *v)
{
	struct limit_rate rate;

	if (limit_parse_rate(v->text, &rate) < 0) {
		conf_value_problem(to, id, v->line,
				   "expected a rate such as 100/10s, 5/1min, not '%s'", v->text);
		return false;
	}
	conf_field_set_rate(&schema[id], base, &rate);
	return true;
}

static bool
set_octal(const struct conf_value_to *to, enum schema_id id, void *base,
	  const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	unsigned n;

	if (units_octal(v->text, (unsigned)it->max, &n) < 0) {
		conf_value_problem(to, id, v->line, "expected an octal number up to 0%o, not '%s'",
				   (unsigned)it->max, v->text);
		return false;
	}
	conf_field_set_integer(it, base, n);
	return true;
}

static bool
set_choice(const struct conf_value_to *to, enum schema_id id, void *base,
	   const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	int i = word_index(it->words, v->text);
	char buf[128];

	if (i < 0) {
		conf_value_problem(to, id, v->line, "expected %s, not '%s'",
				   word_list(it->words, buf, sizeof(buf)), v->text);
		return false;
	}
	conf_field_set_integer(it, base, i);
	return true;
}

static bool
set_flags(const struct conf_value_to *to, enum schema_id id, void *base,
	  const struct conf_text *v, int n)
{
	const struct schema_item *it = &schema[id];
	bool ok = true;
	int64_t bits = 0;
	char buf[128];
	int i, bit;

	for (i = 0; i < n; i++) {
		bit = word_index(it->words, v[i].text);
		if (bit < 0) {
			conf_value_problem(to, id, v[i].line, "expected %s, not '%s'",
					   word_list(it->words, buf, sizeof(buf)), v[i].text);
			ok = false;
		} else {
			bits |= (int64_t)1 << bit;
		}
	}
	if (ok)
		conf_field_set_integer(it, base, bits);
	return ok;
}

/* NULL, or what is wrong.  *text becomes the one text of those that mean the
 * same: with all escapes that it needs. */
static const char *
take_escapes(const struct conf_value_to *to, const char **text)
{
	const char *path = conf_bytes_path(*text), *why;
	char bytes[PROTO_TEXT], escaped[CONF_BYTES_TEXT];
	size_t len;

	if (path && *path != '/')
		return "the path after file: has to be absolute";
	if (path)
		return conf_form_is_clean(path) ? NULL : "control characters in a path";
	why = conf_bytes_parse(*text, bytes, &len);
	if (why)
		return why;
	conf_bytes_print(bytes, len, escaped);
	*text = arena_string(to->arena, escaped);
	return *text ? NULL : "out of memory";
}

/* The same in lower case. */
static const char *
take_lower(const struct conf_value_to *to, const char **text)
{
	char lower[PROTO_MUX_NAME + 1];	/* and the + */
	size_t i;

	for (i = 0; (*text)[i]; i++)
		lower[i] = (*text)[i] >= 'A' && (*text)[i] <= 'Z' ? (char)((*text)[i] | 0x20) :
			(*text)[i];
	lower[i] = '\0';
	*text = arena_string(to->arena, lower);
	return *text ? NULL : "out of memory";
}

static bool
set_text(const struct conf_value_to *to, enum schema_id id, void *base,
	 const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	const char *why = NULL, *text = v->text;
	char buf[CONF_FORM_WHY];

	if (v->text[0] == '\0') {
		if (it->fallback[0] == '\0') {
			conf_field_set_pointer(it, base, NULL);
			return true;
		}
		why = "may not be empty";
	} else {
		why = conf_form_error(it->form, v->text, buf);
		if (!why && it->form == SCHEMA_TEXT_OR_FILE)
			why = take_escapes(to, &text);
		else if (!why && it->form == SCHEMA_MUX_NAME)
			why = take_lower(to, &text);
	}
	if (why) {
		conf_value_problem(to, id, v->line, v->text[0] ? "%s, not '%s'" : "%s", why,
				   v->text);
		return false;
	}
	conf_field_set_pointer(it, base, text);
	return true;
}

/* What is wrong with element i, or NULL. */
static const char *
element_error(enum schema_id id, const struct conf_text *v, int i, char buf[CONF_FORM_WHY])
{
	const struct schema_item *it = &schema[id];
	const char *why;
	size_t kind;
	int k;

	if (v[i].text[0] == '\0')
		return id == SET_EXEC ? NULL : "an element may not be empty";
	why = conf_form_error(it->form, v[i].text, buf);
	if (why || it->form != SCHEMA_PRESSURE)
		return why;
	kind = strcspn(v[i].text, ":") + 1;
	for (k = 0; k < i; k++)
		if (strncmp(v[k].text, v[i].text, kind) == 0)
			return "expected each kind of pressure once";
	return NULL;
}

/* Whether list[i] is the first of its kind: cpu:, memory:, io:. */
static bool
is_new_pressure(const char *const *list, int i)
{
	for (int k = 0; k < i; k++)
		if (strncmp(list[k], list[i], strcspn(list[i], ":") + 1) == 0)
			return false;
	return true;
}

static bool
set_list(const struct conf_value_to *to, enum schema_id id, void *base,
	 const struct conf_text *v, int n)
{
	const struct schema_item *it = &schema[id];
	const char *list[1025], *why;
	char buf[CONF_FORM_WHY];
	const void *p = NULL;
	bool ok = true;
	int i;

	if (n > it->max) {
		conf_value_problem(to, id, v[it->max].line, "more than %d elements", (int)it->max);
		return false;
	}
	for (i = 0; i < n; i++) {
		why = element_error(id, v, i, buf);
		if (why) {
			conf_value_problem(to, id, v[i].line, v[i].text[0] ? "%s, not '%s'" : "%s",
					   why, v[i].text);
			ok = false;
		}
		list[i] = v[i].text;
		if (!why && it->form == SCHEMA_PRESSURE && !is_new_pressure(list, i)) {
			conf_value_problem(to, id, v[i].line, "'%s': there is one of this kind "
					   "already", v[i].text);
			ok = false;
		}
	}
	list[n] = NULL;
	if (ok && n > 0) {
		p = arena_intern(to->arena, list, (size_t)(n + 1) * sizeof(list[0]));
		if (!p) {
			conf_value_problem(to, id, v[0].line, "out of memory");
			return false;
		}
	}
	if (ok)
		conf_field_set_pointer(it, base, p);
	return ok;
}

static bool
set_rules(const struct conf_value_to *to, enum schema_id id, void *base,
	  const struct conf_text *v, int n)
{
	static const struct conf_rule none;
	const struct schema_item *it = &schema[id];
	struct conf_rule list[1025];
	char buf[CONF_FORM_WHY];
	const char *why;
	const void *p;
	bool ok = true;
	int i;

	if (n == 0) {		/* nobody may, or there is nothing to tell */
		conf_field_set_pointer(it, base, id == SET_ALLOW ? &none : NULL);
		return true;
	}
	if (n > it->max) {
		conf_value_problem(to, id, v[it->max].line, "more than %d elements", (int)it->max);
		return false;
	}
	memset(list, 0, (size_t)(n + 1) * sizeof(list[0]));	/* with its padding */
	for (i = 0; i < n; i++) {
		why = element_error(id, v, i, buf);
		if (why) {
			conf_value_problem(to, id, v[i].line, "'%s': %s", v[i].text, why);
			ok = false;
		}
		list[i].text = v[i].text;
		list[i].file = to->file;
		list[i].line = v[i].line;
	}
	if (!ok)
		return false;
	p = arena_copy(to->arena, list, (size_t)(n + 1) * sizeof(list[0]));
	if (!p) {
		conf_value_problem(to, id, v[0].line, "out of memory");
		return false;
	}
	conf_field_set_pointer(it, base, p);
	return true;
}

static bool
set_listen(const struct conf_value_to *to, enum schema_id id, struct conf_service *s,
	   const struct conf_text *v, int n)
{
	struct conf_listen list[CONF_LISTENERS];
	const struct conf_listen *copy;
	const char *why;
	int i, ports = 0;
	bool ok = true;

	if (n == 0) {
		s->n_listen = 0;
		return true;
	}
	if (n > CONF_LISTENERS) {
		conf_value_problem(to, id, v[CONF_LISTENERS].line, "more than %d addresses",
				   CONF_LISTENERS);
		return false;
	}
	for (i = 0; i < n; i++) {
		why = listen_parse(to->arena, v[i].text, to->lookup, &list[i]);
		if (why) {
			conf_value_problem(to, id, v[i].line, "'%s': %s", v[i].text, why);
			ok = false;
			continue;
		}
		list[i].text = v[i].text;
		list[i].line = v[i].line;
		ports += list[i].port_last - list[i].port + 1;
		if (ok && ports > CONF_LISTENERS) {
			conf_value_problem(to, id, v[i].line, "more than %d addresses",
					   CONF_LISTENERS);
			ok = false;
		}
	}
	if (!ok)
		return false;
	copy = arena_copy(to->arena, list, (size_t)n * sizeof(*list));
	if (!copy) {
		conf_value_problem(to, id, v->line, "out of memory");
		return false;
	}
	s->listen = copy;
	s->n_listen = (uint8_t)n;
	return true;
}

static bool
set_internal(const struct conf_value_to *to, enum schema_id id, void *base,
	     const struct conf_text *v)
{
	enum internal i = v->text[0] ? internal_parse(v->text) : INTERNAL_NONE;

	if (v->text[0] && i == INTERNAL_NONE) {
		conf_value_problem(to, id, v->line, "there is no internal service '%s'", v->text);
		return false;
	}
	conf_field_set_integer(&schema[id], base, i);
	return true;
}

bool
conf_value_set(const struct conf_value_to *to, enum schema_id id, void *base,
	       const struct conf_text *v, int n)
{
	switch (schema[id].type) {
	case SCHEMA_TEXT:
		return set_text(to, id, base, v);
	case SCHEMA_BOOL:
		return set_bool(to, id, base, v);
	case SCHEMA_NUMBER:
		return set_number(to, id, base, v);
	case SCHEMA_SIZE:
		return set_size(to, id, base, v);
	case SCHEMA_DURATION:
		return set_duration(to, id, base, v);
	case SCHEMA_DECIMAL:
		return set_decimal(to, id, base, v);
	case SCHEMA_RATE:
		return set_rate(to, id, base, v);
	case SCHEMA_OCTAL:
		return set_octal(to, id, base, v);
	case SCHEMA_CHOICE:
		return set_choice(to, id, base, v);
	case SCHEMA_FLAGS:
		return set_flags(to, id, base, v, n);
	case SCHEMA_LIST:
		return set_list(to, id, base, v, n);
	case SCHEMA_RULES:
		return set_rules(to, id, base, v, n);
	case SCHEMA_LISTEN:
		return set_listen(to, id, base, v, n);
	case SCHEMA_INTERNAL:
		return set_internal(to, id, base, v);
	case SCHEMA_RLIMIT:
	case SCHEMA_SUB:
		break;
	}
	return false;
}

static int
parse_rlimit(const struct schema_item *it, const char *text, rlim_t *ret)
{
	uint64_t n;
	uint32_t ms;

	if (strcmp(text, "unlimited") == 0) {
		*ret = RLIM_INFINITY;
		return 0;
	}
	switch (it->unit) {
	case SCHEMA_DURATION:
		if (units_duration_ms(text, &ms) < 0 || ms % 1000)
			return -1;
		n = ms / 1000;
		break;
	case SCHEMA_SIZE:
		if (units_size(text, &n) < 0)
			return -1;
		break;
	default:
		if (units_number(text, 0, (uint64_t)it->max, &n) < 0)
			return -1;
		break;
	}
	if (n > (uint64_t)it->max)
		return -1;
	*ret = (rlim_t)n;
	return 0;
}

bool
conf_value_set_rlimit(const struct conf_value_to *to, enum schema_id id,
		      struct conf_rlimit *ret, const struct conf_text *v)
{
	const struct schema_item *it = &schema[id];
	const char *colon = strchr(v->text, ':');
	size_t len = colon ? (size_t)(colon - v->text) : strlen(v->text);
	rlim_t soft, hard;
	char first[64] = "";

	if (len < sizeof(first))
		memcpy(first, v->text, len);
	if (parse_rlimit(it, first, &soft) < 0 ||
	    parse_rlimit(it, colon ? colon + 1 : first, &hard) < 0) {
		conf_value_problem(to, id, v->line, "expected %s, 'unlimited', or two of them as "
				   "SOFT:HARD, not '%s'",
				   it->unit == SCHEMA_SIZE ? "a size such as 64MiB" :
				   it->unit == SCHEMA_DURATION ? "whole seconds such as 60s" :
				   "a number", v->text);
		return false;
	}
	if (soft > hard) {
		conf_value_problem(to, id, v->line, "the soft limit is above the hard limit: '%s'",
				   v->text);
		return false;
	}
	memset(ret, 0, sizeof(*ret));
	ret->resource = it->resource;
	ret->soft = soft;
	ret->hard = hard;
	return true;
}
