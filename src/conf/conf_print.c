/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The canonical text of a configuration, written setting by setting from the
 * schema.  What doesn't apply to a service (resource limits of an internal one)
 * and resource limits that are not set are left out.
 *
 * Runs in hatchctl and in the daemon's check; libConfuse's own printing is not
 * readable back.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conf_bytes.h"
#include "conf_check.h"
#include "conf_field.h"
#include "conf_print.h"
#include "schema.h"
#include "source.h"
#include "units.h"

#define WIDTH 96		/* where lists are broken */
#define LONGEST (SOURCE_LINE - 64)	/* strings that get a line of their own */

static char
quote_for(const char *text)
{
	const char *p;
	int doubles = 0, singles = 0;

	for (p = text; *p; p++) {
		doubles += *p == '"' || (*p == '$' && p[1] == '{');
		singles += *p == '\'';
	}
	return doubles > singles ? '\'' : '"';
}

/* A text with escapes of its own (conf_bytes.h), which have to be there when it
 * is read: between single quotes only \\ and \' are special. */
static size_t
quoted_escapes(FILE *out, const char *text)
{
	const char *p;
	size_t len = 2;
	int n;

	if (out)
		(void)putc('\'', out);
	for (p = text; *p; p++) {
		n = *p == '\'' || (*p == '\\' && p[1] == '\\') ? 2 : 1;
		if (out && n == 2)
			(void)putc('\\', out);
		if (out)
			(void)putc(*p, out);
		len += (size_t)n;
		if (*p != '\\')
			continue;
		p++;		/* the escape's letter, or the other backslash of \\ */
		if (out && n == 2)
			(void)putc('\\', out);
		if (out)
			(void)putc(*p, out);
		len += (size_t)n;
	}
	if (out)
		(void)putc('\'', out);
	return len;
}

/* The length of text with quotes; written to out unless that is NULL. */
static size_t
quoted(FILE *out, const char *text)
{
	char quote = quote_for(text);
	const char *p;
	size_t len = 2;
	bool escape;

	if (out)
		(void)putc(quote, out);
	for (p = text; *p; p++) {
		escape = *p == quote || *p == '\\' || (*p == '$' && p[1] == '{' && quote == '"');
		len += 1 + escape;
		if (out && escape)
			(void)putc('\\', out);
		if (out)
			(void)putc(*p, out);
	}
	if (out)
		(void)putc(quote, out);
	return len;
}

void
conf_print_quoted(FILE *out, const char *text)
{
	(void)quoted(out, text);
}

/* The value of "name = ", on the next line if it is too long for this one. */
static void
print_text(FILE *out, enum schema_form form, const char *text)
{
	size_t (*print)(FILE *, const char *) = quoted;

	if (!text)
		text = "";
	if (form == SCHEMA_TEXT_OR_FILE && strchr(text, '\\') && !conf_bytes_path(text))
		print = quoted_escapes;
	if (print(NULL, text) > LONGEST)
		(void)putc('\n', out);
	(void)print(out, text);
}

struct list {			/* a list that is being printed */
	FILE *out;
	const char *indent;
	size_t column;
	int n;
};

static void
list_add(struct list *l, const char *text)
{
	size_t len = quoted(NULL, text);

	if (len > LONGEST) {
		(void)fprintf(l->out, "%s\n", l->n ? "," : "");
		l->column = SOURCE_LINE;
	} else if (l->column + len + 4 > WIDTH) {
		(void)fprintf(l->out, "%s\n%s\t", l->n ? "," : "", l->indent);
		l->column = 8 * (strlen(l->indent) + 1) + len;
	} else {
		(void)fputs(l->n ? ", " : " ", l->out);
		l->column += len + 2;
	}
	(void)quoted(l->out, text);
	l->n++;
}

static void
print_list(FILE *out, const struct schema_item *it, const char *indent, const void *base)
{
	struct list l = {
		.out = out, .indent = indent, .column = 8 * strlen(indent) + strlen(it->name) + 4
	};
	const struct conf_service *s = base;
	const struct conf_rule *r;
	const char *const *p;
	int64_t bits;
	int i;

	(void)putc('{', out);
	switch (it->type) {
	case SCHEMA_LISTEN:
		for (i = 0; i < s->n_listen; i++)
			list_add(&l, s->listen[i].text);
		break;
	case SCHEMA_FLAGS:
		bits = conf_field_integer(it, base);
		for (i = 0; it->words[i]; i++)
			if (bits >> i & 1)
				list_add(&l, it->words[i]);
		break;
	case SCHEMA_RULES:
		for (r = conf_field_pointer(it, base); r && r->text; r++)
			list_add(&l, r->text);
		break;
	default:
		for (p = conf_field_pointer(it, base); p && *p; p++)
			list_add(&l, *p);
		break;
	}
	(void)fputs(l.column >= SOURCE_LINE - 2 ? "\n}" : " }", out);
}

static void
print_rate(FILE *out, struct limit_rate rate)
{
	char text[64] = "", buf[32];

	if (rate.n)
		(void)snprintf(text, sizeof(text), "%" PRIu32 "/%s", rate.n,
			       units_print_duration(rate.per_ms, buf));
	print_text(out, SCHEMA_ANY, text);
}

static void
print_value(FILE *out, const struct schema_item *it, const char *indent, const void *base)
{
	static const char *const yes_no[] = { "no", "yes", "auto" };
	int64_t n;
	char buf[32];

	if (schema_is_list(it)) {
		print_list(out, it, indent, base);
		return;
	}
	if (it->type == SCHEMA_TEXT) {
		print_text(out, it->form, conf_field_pointer(it, base));
		return;
	}
	if (it->type == SCHEMA_RATE) {
		print_rate(out, conf_field_rate(it, base));
		return;
	}
	n = conf_field_integer(it, base);
	switch (it->type) {
	case SCHEMA_BOOL:
		(void)fputs(yes_no[n], out);
		break;
	case SCHEMA_SIZE:
		(void)fputs(units_print_size((uint64_t)n, buf), out);
		break;
	case SCHEMA_DURATION:
		(void)fputs(units_print_duration((uint32_t)n, buf), out);
		break;
	case SCHEMA_DECIMAL:
		(void)fputs(units_print_decimal((uint32_t)n, buf), out);
		break;
	case SCHEMA_OCTAL:
		(void)fprintf(out, "0%02" PRIo64, (uint64_t)n);
		break;
	case SCHEMA_CHOICE:
		print_text(out, SCHEMA_ANY, it->words[n]);
		break;
	case SCHEMA_INTERNAL:
		print_text(out, SCHEMA_ANY,
			   n == INTERNAL_NONE ? "" : internal_name((enum internal)n));
		break;
	default:
		(void)fprintf(out, "%" PRId64, n);
		break;
	}
}

static void
print_limit(FILE *out, const struct schema_item *it, rlim_t value)
{
	char buf[32];

	if (value == RLIM_INFINITY)
		(void)fputs("unlimited", out);
	else if (it->unit == SCHEMA_SIZE)
		(void)fputs(units_print_size(value, buf), out);
	else if (it->unit == SCHEMA_DURATION)
		(void)fputs(units_print_duration((uint32_t)(value * 1000), buf), out);
	else
		(void)fprintf(out, "%" PRIu64, (uint64_t)value);
}

static void
print_rlimits(FILE *out, const struct conf_common *c)
{
	const struct conf_rlimit *r;
	const struct schema_item *it;
	unsigned id;

	for (id = schema_first(SCHEMA_RLIMITS); id < schema_first(SCHEMA_RLIMITS + 1); id++) {
		it = &schema[id];
		for (r = c->rlimits; r < c->rlimits + c->n_rlimits; r++) {
			if (r->resource != it->resource)
				continue;
			(void)fprintf(out, "\t\t%s = ", it->name);
			print_limit(out, it, r->soft);
			if (r->hard != r->soft) {
				(void)putc(':', out);
				print_limit(out, it, r->hard);
			}
			(void)putc('\n', out);
		}
	}
}

static void print_settings(FILE *out, const struct conf *c, const struct conf_service *s,
			   unsigned section, const char *indent);

static void
print_section(FILE *out, const struct conf_service *s, const struct schema_item *it)
{
	if (it->sub == SCHEMA_RLIMITS && s->common->n_rlimits == 0)
		return;
	(void)fprintf(out, "\t%s {\n", it->name);
	if (it->sub == SCHEMA_RLIMITS)
		print_rlimits(out, s->common);
	else
		print_settings(out, NULL, s, it->sub, "\t\t");
	(void)fputs("\t}\n", out);
}

/* c for the global settings, s for those of a service; the other is NULL. */
static void
print_settings(FILE *out, const struct conf *c, const struct conf_service *s, unsigned section,
	       const char *indent)
{
	const struct schema_item *it;
	unsigned id;

	for (id = schema_first(section); id < schema_first(section + 1); id++) {
		it = &schema[id];
		if (s && !conf_check_applies(s, id))
			continue;
		if (id == SET_ALLOW && !s->common->access->allow)
			continue;	/* an empty list says something else */
		if (it->type == SCHEMA_SUB) {
			if (s)
				print_section(out, s, it);
			continue;
		}
		(void)fprintf(out, "%s%s = ", indent, it->name);
		print_value(out, it, indent, s ? schema_base(s, id) : c);
		(void)putc('\n', out);
	}
}

void
conf_print_service(const struct conf_service *s, FILE *out)
{
	(void)fputs("service ", out);
	conf_print_quoted(out, s->name);
	(void)fputs(" {\n", out);
	print_settings(out, NULL, s, SCHEMA_SERVICE, "\t");
	(void)fputs("}\n", out);
}

void
conf_print(const struct conf *c, FILE *out)
{
	int i;

	print_settings(out, c, NULL, SCHEMA_GLOBAL, "");
	for (i = 0; i < c->n_services; i++) {
		(void)putc('\n', out);
		conf_print_service(&c->services[i], out);
	}
}
