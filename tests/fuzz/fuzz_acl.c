/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Lists of who may connect, one entry a line, "-" in front of those that deny.
 * What is accepted can be written down again and means the same; the table of
 * all of it answers as a search of all rules does, for the first and the last
 * address of each and for those beside them.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) do { if (!(x)) failed(#x, __LINE__); } while (0)

enum { RULES = 200, LINE = 256 };

struct rule {
	struct acl_entry e;
	bool allow;
};

static void
failed(const char *what, int line)
{
	(void)fprintf(stderr, "fuzz_acl.c:%d: not so: %s\n", line, what);
	abort();
}

static bool
lookup(enum acl_kind kind, const char *name, uint32_t *ret, void *arg)
{
	(void)arg;
	*ret = (uint32_t)strlen(name);
	return kind == ACL_UID ? name[0] == 'u' : name[0] == 'g';
}

/* A net in its own words is the same net. */
static void
check_net(const struct acl_entry *e)
{
	char text[ADDR_STRLEN + 8], why[ACL_WHY_LEN];
	struct acl_entry again;
	struct addr masked = e->net;
	size_t len;

	CHECK(e->bits <= (e->net.family == AF_INET ? 32 : 128));
	addr_mask(&masked, e->bits);
	CHECK(addr_equal(&masked, &e->net));
	len = addr_format_ip(&e->net, text, sizeof(text));
	(void)snprintf(text + len, sizeof(text) - len, "/%u", e->bits);
	CHECK(acl_parse(text, NULL, NULL, &again, why) == 0);
	CHECK(again.kind == ACL_NET && again.bits == e->bits);
	CHECK(addr_equal(&again.net, &e->net));
}

static bool
parse(const char *line, struct acl_entry *e)
{
	char why[ACL_WHY_LEN] = "";

	if (acl_parse(line, lookup, NULL, e, why) < 0) {
		CHECK(why[0]);
		return false;
	}
	CHECK(line[0]);
	if (e->kind == ACL_NET)
		check_net(e);
	CHECK((e->kind == ACL_FILE || e->kind == ACL_HOST) == (e->text != NULL));
	CHECK(e->kind != ACL_FILE || e->text[0] == '/');
	CHECK(e->kind != ACL_HOST || !strpbrk(line, ":/%[] \t"));
	return e->kind == ACL_NET || e->kind == ACL_UID || e->kind == ACL_GID;
}

static bool
matches(const struct acl_entry *e, const struct addr *a)
{
	struct addr masked = *a;

	if (e->kind != ACL_NET)
		return a->family == AF_UNIX &&
			e->id == (e->kind == ACL_UID ? a->cred.uid : a->cred.gid);
	if (a->family != e->net.family)
		return false;
	addr_mask(&masked, e->bits);
	return memcmp(masked.ip, e->net.ip, sizeof(masked.ip)) == 0;
}

static void
check_judged(const struct acl *acl, const struct rule *rules, uint32_t n, const struct addr *a)
{
	const struct rule *best = NULL;
	bool may = true;
	uint32_t told;

	for (uint32_t i = 0; i < n; i++) {
		const struct rule *r = &rules[i];

		may = may && !r->allow;
		if (matches(&r->e, a) && (!best || r->e.bits > best->e.bits ||
					  (r->e.bits == best->e.bits && !r->allow)))
			best = r;
	}
	if (best)
		may = best->allow;
	CHECK(acl_judge(acl, a, &told) == may);
	CHECK((told == ACL_NO_RULE) == !best);
	CHECK(!best || (told < n && rules[told].allow == may &&
			rules[told].e.bits == best->e.bits && matches(&rules[told].e, a)));
}

/* The next or the previous address. */
static struct addr
beside(struct addr a, int by)
{
	for (int i = a.family == AF_INET ? 3 : 15; i >= 0; i--) {
		a.ip[i] = (uint8_t)(a.ip[i] + by);
		if (a.ip[i] != (by > 0 ? 0 : 0xff))
			break;
	}
	return a;
}

static void
check_around(const struct acl *acl, const struct rule *rules, uint32_t n, const struct rule *r)
{
	struct addr first = r->e.net, last = r->e.net, x;

	if (r->e.kind != ACL_NET) {
		x = (struct addr){ .family = AF_UNIX, .cred = { 1, r->e.id, rules[0].e.id } };
		check_judged(acl, rules, n, &x);
		x.cred.gid = r->e.id;
		check_judged(acl, rules, n, &x);
		return;
	}
	for (unsigned i = r->e.bits; i < (last.family == AF_INET ? 32u : 128u); i++)
		last.ip[i / 8] |= (uint8_t)(0x80 >> i % 8);
	check_judged(acl, rules, n, &first);
	check_judged(acl, rules, n, &last);
	x = beside(first, -1);
	check_judged(acl, rules, n, &x);
	x = beside(last, 1);
	check_judged(acl, rules, n, &x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rule rules[RULES];
	struct acl_builder *b = acl_builder_new();
	struct acl *acl;
	uint32_t n = 0;

	CHECK(b);
	while (size > 0 && n < RULES) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;
		bool deny = len > 0 && data[0] == '-';
		char line[LINE];

		if (len < sizeof(line)) {
			memcpy(line, data, len);
			line[len] = '\0';
			rules[n].allow = !deny;
			if (parse(line + deny, &rules[n].e)) {
				CHECK(acl_add(b, !deny, &rules[n].e, n) == 0);
				n++;
			}
		}
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
	acl = acl_build(b);
	CHECK(acl);
	acl_builder_free(b);
	for (uint32_t i = 0; i < n; i++)
		check_around(acl, rules, n, &rules[i]);
	acl_free(acl);
	return 0;
}
