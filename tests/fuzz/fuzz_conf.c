/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Any text as a configuration: through the guard, libConfuse and the checks,
 * without asking the system for anything.
 *
 * What loads has to be something that can run, and printing it has to be a
 * fixed point: the text loads, says the same and prints the same.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_diff.h"
#include "conf_load.h"
#include "conf_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(bool warning, const char *text, void *arg)
{
	const unsigned char *p;

	(void)warning;
	for (p = (const unsigned char *)text; *p; p++)
		assert(*p >= 0x20 && *p != 0x7f);
	/* conf_scan reports these itself: has libConfuse seen another name? */
	p = (const unsigned char *)strstr(text, ": ");
	assert(!p || strncmp((const char *)p, ": no such option '", 18) != 0);
	if (arg) {
		(void)fprintf(stderr, "%s\n", text);
		abort();
	}
}

/* must_load: it is our own text. */
static struct conf *
load(const char *text, size_t len, bool must_load)
{
	const struct conf_load_env env = { .uid = 1000, .lookup = false };
	struct problems *p = problems_new();
	struct sources *s = sources_from_text("fuzz.conf", text, len);
	struct conf *c;

	assert(p && s);
	c = conf_load(s, &env, p);
	assert(!c == (problems_count(p) > 0));
	problems_each(p, look, must_load && !c ? p : NULL);
	sources_free(s);
	problems_free(p);
	return c;
}

static char *
print(const struct conf *c, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	assert(out);
	conf_print(c, out);
	assert(fclose(out) == 0);
	return text;
}

static void
check_service(const struct conf_service *s)
{
	int i;

	assert(s->name[0] && strlen(s->name) <= 47 && s->line > 0);
	assert(!s->exec == (s->internal != INTERNAL_NONE));
	assert(!s->exec || s->exec[0][0] == '/');
	assert((s->n_listen > 0 || s->common->tcpmux) && s->n_listen <= CONF_LISTENERS);
	assert(s->common->directory[0] == '/');
	assert(s->common->limits && s->common->timeouts);
	assert(s->common->socket && s->common->session);
	assert(s->common->access && s->common->banner && s->common->proxy);
	assert(!s->common->banner->open_bytes || s->common->banner->open_bytes->len <= PROTO_TEXT);
	/* whoever has an allow list has a gate */
	assert(!s->enabled || !s->common->access->allow || s->common->gate);
	assert(!s->enabled || !s->common->proxy->from || s->common->proxy_gate);
	for (i = 0; i < s->n_listen; i++) {
		assert(s->listen[i].line >= s->line);
		assert(s->listen[i].port <= s->listen[i].port_last);
	}
}

static void
changed(enum conf_change what, const struct conf_service *a, const struct conf_service *b,
	void *arg)
{
	(void)what;
	(void)a;
	(void)b;
	(void)arg;
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *first, *second, buf[256];
	size_t first_len, second_len;
	struct conf *c, *again;
	int i;

	c = load((const char *)data, size, false);
	if (!c)
		return 0;
	for (i = 0; i < c->n_services; i++)
		check_service(&c->services[i]);
	first = print(c, &first_len);
	again = load(first, first_len, true);
	second = print(again, &second_len);
	assert(first_len == second_len && memcmp(first, second, first_len) == 0);
	conf_diff(c, again, changed, NULL);
	assert(conf_diff_global(c, again, buf, sizeof(buf)) == 0);
	assert(c->n_services == again->n_services);
	conf_free(c);
	conf_free(again);
	free(first);
	free(second);
	return 0;
}
