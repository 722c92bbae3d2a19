/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Addresses of services: each may be had once, and multicast groups need a
 * listener of their family.
 *
 * What names of hosts stand for isn't known before they are bound, so of those only
 * equal texts are told.
 *
 * Pure.  Runs in the master, its trial child and hatchctl; called by conf_check.c.
 */
#include "config.h"

#include "conf_address.h"

#include <string.h>

#include "addr.h"
#include "listen.h"

enum {				/* added to a kind of SEEN_PORT: the first service that has */
	ALL_ADDRESSES = 1 << 20,
	ONE_ADDRESS = 2 << 20,
};

/* Which of IPv4 (1) and IPv6 (2) a listen opens, as far as its text tells. */
static unsigned
families(const struct conf_listen *l)
{
	switch (l->proto) {
	case CONF_TCP4:
	case CONF_UDP4:
		return 1;
	case CONF_TCP6:
	case CONF_UDP6:
		return 2;
	default:
		if (l->host && strchr(l->host, ':'))
			return 2;
		if (l->host && l->host[strspn(l->host, "0123456789.")] == '\0')
			return 1;
		return 3;
	}
}

/* False: another service (or this one) has that address. */
static bool
take(struct conf_seen_table *seen, struct problems *p, const struct conf_service *s,
     const struct conf_listen *l, uint32_t kind, const char *text)
{
	const struct conf_seen mine = { kind, text, s->name, s->file, l->line };
	const struct conf_seen *first = conf_seen_before(seen, &mine);

	if (!first)
		return true;
	problems_add(p, s->file, l->line, "service %s: listen: '%s' is taken by service "
		     "%s, at %s:%d", s->name, l->text, first->service, first->file, first->line);
	return false;
}

/* Whether the kernel refuses one address of a port beside all of them.  It doesn't
 * always if they are of one device, or may share it for a multicast group. */
static bool
stands_alone(const struct conf_service *s, const struct conf_listen *l)
{
	const struct conf_socket *c = s->common->socket;

	return !c->device && (listen_is_stream(l->proto) || !c->multicast);
}

/* All addresses of a port and one of them can't be bound both.  That is no error:
 * perhaps this machine doesn't have the family.  False: it was told. */
static bool
is_alone(struct conf_seen_table *seen, struct problems *p, const struct conf_service *s,
	 const struct conf_listen *l, uint32_t kind, bool all)
{
	const struct conf_seen mine = {
		kind + (all ? ALL_ADDRESSES : ONE_ADDRESS), NULL, s->name, s->file, l->line,
	};
	const struct conf_seen other = { .kind = kind + (all ? ONE_ADDRESS : ALL_ADDRESSES) };
	const struct conf_seen *first = conf_seen_find(seen, &other);

	(void)conf_seen_before(seen, &mine);
	if (!first)
		return true;
	problems_warn(p, s->file, l->line, "service %s: listen: '%s' can't be bound together with "
		      "%s of that port, of service %s, at %s:%d", s->name, l->text,
		      all ? "one address" : "all addresses", first->service, first->file,
		      first->line);
	return false;
}

void
conf_address_take(struct conf_seen_table *seen, struct problems *p,
		  const struct conf_service *s, const struct conf_listen *l)
{
	static const uint8_t any[16];
	struct addr a = { 0 };
	bool literal, told, all;
	unsigned port, family, opens = families(l);
	uint32_t kind;

	if (listen_is_unix(l->proto)) {
		(void)take(seen, p, s, l, SEEN_PATH, l->path);
		return;
	}
	literal = l->host && addr_parse(l->host, &a) == 0;
	all = !l->host || (literal && memcmp(a.ip, any, sizeof(any)) == 0);
	told = !stands_alone(s, l) || (!all && !literal);
	for (port = l->port; port <= l->port_last; port++) {
		for (family = 1; family <= 2; family++) {
			if (port == 0 || !(opens & family))
				continue;
			kind = SEEN_PORT + (family << 17 | port << 1 |
					    listen_is_stream(l->proto)) + 1;
			if (!take(seen, p, s, l, kind, all ? NULL : l->host))
				return;
			told = told || !is_alone(seen, p, s, l, kind, all);
		}
	}
}

void
conf_address_groups(struct problems *p, const struct conf_draft *d,
		    const struct conf_given *given)
{
	const char *const *group = d->socket.multicast;
	unsigned opens = 0;
	struct addr a;

	if (given->faulty || !schema_set_has(&given->set, SET_MULTICAST))
		return;
	for (int i = 0; i < d->s.n_listen; i++)
		if (!listen_is_unix(d->s.listen[i].proto) &&
		    !listen_is_stream(d->s.listen[i].proto))
			opens |= families(&d->s.listen[i]);
	for (; group && *group; group++)
		if (addr_parse(*group, &a) == 0 && !(opens & (a.family == AF_INET ? 1 : 2)))
			conf_check_problem(p, d, given, SET_MULTICAST, "socket.multicast: '%s': "
					   "there is no udp listener for IPv%d", *group,
					   a.family == AF_INET ? 4 : 6);
}
