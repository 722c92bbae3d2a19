/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Files that access lists name.  They are read a second time here, line by line
 * and in another way: both have to find the same entries in the same lines, or
 * the same lines bad, and each line has to be found again by its number.
 *
 * Nothing is asked of the system: resolve_entry() is one of our own.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl_list_parse.h"
#include "source.h"
#include "textfile.h"

#define CHECK(x) do { if (!(x)) failed(#x, __LINE__); } while (0)
#define PLACE "/etc/list"
#define WHAT "service x: access.allow"

enum { FIND = 60 };		/* lines that are asked for again */

struct expected {
	const struct acl_list *list;	/* NULL: it has errors */
	uint32_t n;		/* entries so far */
	uint32_t words;		/* lines with one */
	uint32_t line;
	uint32_t bad[ACL_LIST_BAD];	/* lines */
	int n_bad;
	int told;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
failed(const char *what, int line)
{
	(void)fprintf(stderr, "fuzz_list.c:%d: not so: %s\n", line, what);
	abort();
}

/* acl_lookup_fn */
static bool
look_up(enum acl_kind kind, const char *name, uint32_t *ret, void *arg)
{
	(void)arg;
	*ret = (uint32_t)strlen(name);
	return kind == ACL_UID ? name[0] == 'u' : name[0] == 'g';
}

/* Instead of that of resolve.c: every host but those with an "x" in front has
 * addresses, the longer its name the more. */
int
resolve_entry(struct resolve *r, const char *text, struct acl_entry ret[NAMES_ADDRS],
	      char why[ACL_WHY_LEN])
{
	struct addr a = { .family = AF_INET, .ip = { 192, 0, 2 } };
	int n;

	(void)r;
	if (acl_parse(text, look_up, NULL, ret, why) < 0)
		return -1;
	if (ret->kind != ACL_HOST)
		return 1;
	if (text[0] == 'x') {
		(void)snprintf(why, ACL_WHY_LEN, "the host can't be looked up");
		return -1;
	}
	n = (int)(strlen(text) % NAMES_ADDRS) + 1;
	for (int i = 0; i < n; i++) {
		a.ip[3] = (uint8_t)i;
		ret[i] = acl_entry_of(&a);
	}
	return n;
}

/* As textfile_read gives it. */
static char *
copy(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	CHECK(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* What stands between blanks and before a comment. */
static char *
word_of(const uint8_t *line, size_t len)
{
	size_t from = 0, to = 0;

	while (to < len && line[to] != '#')
		to++;
	while (from < to && is_blank(line[from]))
		from++;
	while (to > from && is_blank(line[to - 1]))
		to--;
	return copy(line + from, to - from);
}

static void
expect_bad(struct expected *x)
{
	CHECK(!x->list && x->n_bad < ACL_LIST_BAD);
	x->bad[x->n_bad++] = x->line;
}

static void
expect_entry(struct expected *x, const struct acl_entry *e)
{
	const struct acl_list_entry *got = &x->list->entries[x->n];

	CHECK(x->n < x->list->n && got->line == x->line);
	CHECK(got->e.kind == e->kind && got->e.text == NULL);
	CHECK(e->kind == ACL_NET || e->kind == ACL_UID || e->kind == ACL_GID);
	if (e->kind == ACL_NET)
		CHECK(got->e.bits == e->bits && addr_equal(&got->e.net, &e->net));
	else
		CHECK(got->e.id == e->id);
	x->n++;
}

/* False: nobody reads on behind this word. */
static bool
expect_word(struct expected *x, const char *word)
{
	struct acl_entry e[NAMES_ADDRS];
	char why[ACL_WHY_LEN];
	int n;

	if (x->words++ == ACL_LIST_ENTRIES) {
		expect_bad(x);
		return false;
	}
	n = resolve_entry(NULL, word, e, why);
	if (n < 0 || e[0].kind == ACL_FILE)
		expect_bad(x);
	for (int i = 0; x->list && i < n; i++)
		expect_entry(x, &e[i]);
	return true;
}

/* A line by its number is this one. */
static void
check_found(const uint8_t *data, size_t size, uint32_t line, const char *word)
{
	char *text = copy(data, size);
	const char *found = acl_list_find(text, size, line);

	CHECK(word ? found && strcmp(found, word) == 0 : !found);
	free(text);
}

static void
expect_all(struct expected *x, const uint8_t *data, size_t size)
{
	const uint8_t *end;
	bool more = true;
	char *word;

	for (size_t at = 0, len; more && x->n_bad < ACL_LIST_BAD; at += len + 1) {
		if (at >= size) {
			check_found(data, size, x->line + 1, NULL);
			break;
		}
		end = memchr(data + at, '\n', size - at);
		len = end ? (size_t)(end - data) - at : size - at;
		word = word_of(data + at, len);
		if (++x->line <= FIND)
			check_found(data, size, x->line, word);
		if (x->line > ACL_LIST_LINES || len > SOURCE_LINE) {
			expect_bad(x);
			more = x->line <= ACL_LIST_LINES;
		} else if (*word) {
			more = expect_word(x, word);
		}
		free(word);
	}
}

/* The next of the problems is told where it is. */
static void
look(bool warning, const char *text, void *arg)
{
	struct expected *x = arg;
	char place[128];

	CHECK(!warning && x->told < x->n_bad);
	(void)snprintf(place, sizeof(place), PLACE ":%u: " WHAT ": ", x->bad[x->told++]);
	CHECK(strncmp(text, place, strlen(place)) == 0 && text[strlen(place)]);
	for (const char *c = text; *c; c++)
		CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void
look_nul(bool warning, const char *text, void *arg)
{
	char want[128];

	(void)snprintf(want, sizeof(want), PLACE ":%u: NUL byte: this is not a text file",
		       *(unsigned *)arg);
	CHECK(!warning && strcmp(text, want) == 0);
}

/* Such a file is no text, and not read any further. */
static void
check_nul(const uint8_t *data, const struct problems *p)
{
	unsigned line = 1;

	for (; *data; data++)
		line += *data == '\n';
	CHECK(problems_count(p) == 1);
	problems_each(p, look_nul, &line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems *p = problems_new();
	const struct acl_list_order order = { .path = PLACE, .what = WHAT, .problems = p };
	struct acl_list list = { NULL, 0 };
	struct expected x = { .list = &list };
	char *text = copy(data, size);

	CHECK(p);
	if (textfile_check_text(PLACE, text, size, p) < 0) {
		check_nul(data, p);
	} else {
		if (acl_list_parse(&order, text, size, &list) < 0)
			x.list = NULL;
		CHECK((x.list == NULL) == (problems_count(p) > 0));
		expect_all(&x, data, size);
		CHECK(x.n == list.n && list.n <= ACL_LIST_ENTRIES * NAMES_ADDRS);
		CHECK(problems_count(p) == x.n_bad);
		problems_each(p, look, &x);
		CHECK(x.told == x.n_bad);
	}
	acl_list_fini(&list);
	free(text);
	problems_free(p);
	return 0;
}
