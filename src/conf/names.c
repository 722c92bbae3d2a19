/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Names of hosts.  A name that has no address is remembered, too: ten thousand
 * services that name a host which can't be found ask for it once.
 *
 * When all look-ups together have taken too long, the rest is not asked for:
 * what depends on them fails with its place, instead of everything without.
 *
 * Runs in the master at start, in its trial child, and in hatchctl; called by
 * conf_gate.c and, in the master, by bind.c.
 */
#include "config.h"

#include "names.h"

#include <netdb.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALL_MS 10000		/* after which no look-up begins */
#define HOST_BYTES 254

struct name {
	char *host;
	const char *why;	/* NULL: there are addresses */
	int n;
	struct addr addrs[];
};

struct names {
	void *root;		/* tsearch(3) of struct name, by host */
	int n;
	int64_t spent_ms;	/* by all look-ups */
	bool closed;
	FILE *out;		/* NULL: nobody is told */
};

_Static_assert(NAMES_LINE > HOST_BYTES + NAMES_ADDRS * 60, "a line may be cut");

static void
name_free(void *arg)
{
	struct name *e = arg;

	free(e->host);
	free(e);
}

struct names *
names_new(void)
{
	return calloc(1, sizeof(struct names));
}

void
names_free(struct names *n)
{
	if (!n)
		return;
	tdestroy(n->root, name_free);
	free(n);
}

void
names_tell(struct names *n, FILE *out)
{
	n->out = out;
}

void
names_close(struct names *n)
{
	n->closed = true;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->host, ((const struct name *)b)->host);
}

static struct name *
find(struct names *n, const char *host)
{
	struct name key = { .host = (char *)host };
	void *node = n ? tfind(&key, &n->root, compare) : NULL;

	return node ? *(struct name **)node : NULL;
}

static bool
remember(struct names *n, const char *host, const struct addr *addrs, int count, const char *why)
{
	size_t bytes = (size_t)count * sizeof(*addrs);
	struct name *e = n->n < NAMES_MAX ? malloc(sizeof(*e) + bytes) : NULL;

	if (!e)
		return false;
	e->host = strdup(host);
	e->why = why;
	e->n = count;
	if (count > 0)
		memcpy(e->addrs, addrs, bytes);
	if (!e->host || !tsearch(e, &n->root, compare)) {
		name_free(e);
		return false;
	}
	n->n++;
	return true;
}

/* All of what getaddrinfo found, or too many. */
static const char *
take(const struct addrinfo *list, struct addr *ret, int *count)
{
	struct addr a;
	int i;

	*count = 0;
	for (; list; list = list->ai_next) {
		if (addr_from_sockaddr(list->ai_addr, list->ai_addrlen, &a) < 0 ||
		    (a.family != AF_INET && a.family != AF_INET6))
			continue;
		for (i = 0; i < *count && !addr_equal(&ret[i], &a); i++)
			;
		if (i < *count)
			continue;
		if (i == NAMES_ADDRS)
			return "the host has more than 64 addresses";
		ret[(*count)++] = a;
	}
	return *count > 0 ? NULL : "the host has no address";
}

_Static_assert(NAMES_ADDRS == 64, "a message says so");

static const char *
look_up(const char *host, struct addr *ret, int *count)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list;
	const char *why;
	int r = getaddrinfo(host, NULL, &hints, &list);

	*count = 0;
	if (r != 0)
		return gai_strerror(r);
	why = take(list, ret, count);
	freeaddrinfo(list);
	return why;
}

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
write_line(FILE *out, const char *host, const struct addr *addrs, int count)
{
	char text[ADDR_STRLEN];

	(void)fprintf(out, "N %s", host);
	for (int i = 0; i < count; i++) {
		(void)addr_format_ip(&addrs[i], text, sizeof(text));
		(void)fprintf(out, " %s", text);
	}
	(void)fputc('\n', out);
	(void)fflush(out);
}

static const char *
look_up_timed(struct names *n, const char *host, struct addr *ret, int *count)
{
	int64_t start = now_ms();
	const char *why;

	if (n->spent_ms > ALL_MS)
		return "not looked up: other names took too long";
	if (n->out) {
		(void)fprintf(n->out, "L %s\n", host);
		(void)fflush(n->out);
	}
	why = look_up(host, ret, count);
	n->spent_ms += now_ms() - start;
	if (!why && n->out)
		write_line(n->out, host, ret, *count);
	return why;
}

int
names_find(struct names *n, const char *host, struct addr ret[NAMES_ADDRS], const char **ret_why)
{
	struct name *e = find(n, host);
	const char *why;
	int count = 0;

	if (e) {
		*ret_why = e->why;
		memcpy(ret, e->addrs, (size_t)e->n * sizeof(*ret));
		return e->why ? -1 : e->n;
	}
	if (n && n->closed)
		why = "the address was not known when the configuration was tried";
	else if (n && n->n == NAMES_MAX)
		why = "too many different names of hosts";
	else if (n)
		why = look_up_timed(n, host, ret, &count);
	else
		why = look_up(host, ret, &count);
	if (n && !n->closed && n->n < NAMES_MAX &&
	    !remember(n, host, ret, why ? 0 : count, why))
		why = "out of memory";
	*ret_why = why;
	return why ? -1 : count;
}

bool
names_read(struct names *n, const char *line)
{
	struct addr addrs[NAMES_ADDRS];
	char copy[NAMES_LINE], *save, *host, *word;
	int count = 0;

	if (strlen(line) >= sizeof(copy) || strncmp(line, "N ", 2) != 0)
		return false;
	(void)strcpy(copy, line + 2);
	host = strtok_r(copy, " ", &save);
	if (!host || strlen(host) >= HOST_BYTES || find(n, host))
		return false;
	while ((word = strtok_r(NULL, " ", &save))) {
		if (count == NAMES_ADDRS || addr_parse(word, &addrs[count]) < 0)
			return false;
		count++;
	}
	return count > 0 && remember(n, host, addrs, count, NULL);
}
