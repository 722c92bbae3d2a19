/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The addresses of `listen`: PROTO:[ADDRESS:]PORT[-PORT] and unix:PATH.
 *
 * Strict, so that one socket has one spelling and a slip is told instead of
 * bound: addresses that look like numbers have to be addresses, IPv6 stands in
 * brackets, paths have no "." or "//" in them.  Names of hosts are checked for
 * their characters only; they are resolved when they are bound.
 *
 * Pure but for getservbyname(); called by whatever reads a configuration.
 */
#include "config.h"

#include "listen.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "addr.h"
#include "units.h"

#define PATH_BYTES (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
#define NAME_BYTES 253		/* RFC 1035, section 2.3.4 */
#define LABEL_BYTES 63
#define TEXT_BYTES 512

static const char *const protos[] = {
	[CONF_TCP] = "tcp", [CONF_TCP4] = "tcp4", [CONF_TCP6] = "tcp6",
	[CONF_UDP] = "udp", [CONF_UDP4] = "udp4", [CONF_UDP6] = "udp6",
	[CONF_UNIX] = "unix", [CONF_UNIX_DGRAM] = "unix-dgram",
	[CONF_UNIX_SEQPACKET] = "unix-seqpacket",
};

#define N_PROTOS (sizeof(protos) / sizeof(protos[0]))

const char *
listen_proto_name(enum conf_proto p)
{
	return (size_t)p < N_PROTOS ? protos[p] : "?";
}

bool
listen_is_unix(enum conf_proto p)
{
	return p == CONF_UNIX || p == CONF_UNIX_DGRAM || p == CONF_UNIX_SEQPACKET;
}

bool
listen_is_stream(enum conf_proto p)
{
	return p == CONF_TCP || p == CONF_TCP4 || p == CONF_TCP6 || p == CONF_UNIX ||
	       p == CONF_UNIX_SEQPACKET;
}

static bool
is_udp(enum conf_proto p)
{
	return p == CONF_UDP || p == CONF_UDP4 || p == CONF_UDP6;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* AF_INET, AF_INET6, or AF_UNSPEC for both */
static int
family_of(enum conf_proto p)
{
	if (p == CONF_TCP4 || p == CONF_UDP4)
		return AF_INET;
	if (p == CONF_TCP6 || p == CONF_UDP6)
		return AF_INET6;
	return AF_UNSPEC;
}

static const char *
check_path(const char *path)
{
	const char *at, *end;
	size_t n;

	if (strlen(path) > PATH_BYTES)
		return "the path is longer than 107 bytes, the limit of UNIX sockets";
	if (*path == '@')
		return path[1] ? NULL : "the abstract name is empty";
	if (*path != '/')
		return "the path has to begin with '/' (or '@' for an abstract name)";
	for (at = path; *at; at = end) {
		at++;
		end = strchrnul(at, '/');
		n = (size_t)(end - at);
		if (n == 0)
			return "the path has an empty part: no \"//\", no '/' at its end";
		if ((n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
			return "the path must not have \".\" or \"..\" in it";
	}
	return NULL;
}

/* Letters, digits, '-' and '_' in labels, none of which is empty or begins or
 * ends with '-'; the last one with a letter, so that it can't be a number. */
static const char *
check_name(const char *host)
{
	const char *at, *end;
	bool letter = false;

	if (strlen(host) > NAME_BYTES)
		return "the name of the host is too long";
	for (at = host;; at = end + 1) {
		end = strchrnul(at, '.');
		if (end == at || end - at > LABEL_BYTES || *at == '-' || end[-1] == '-')
			return "not a valid address or name of a host";
		letter = false;
		for (const char *c = at; c < end; c++) {
			if (!is_letter(*c) && !is_digit(*c) && *c != '-' && *c != '_')
				return "not a valid address or name of a host";
			letter = letter || is_letter(*c);
		}
		if (!*end)
			return letter ? NULL : "not a valid IPv4 address";
	}
}

static const char *
check_host(const char *host, bool brackets, int family)
{
	struct addr a;

	if (brackets) {
		if (addr_parse(host, &a) < 0)
			return "not a valid IPv6 address in the brackets";
		if (a.family != AF_INET6)
			return "brackets are for IPv6 addresses only";
		return family == AF_INET ? "an IPv6 address with an IPv4 protocol" : NULL;
	}
	if (!*host)
		return "the address is empty: leave it and its ':' out for all addresses";
	if (!strcmp(host, "*"))
		return "'*' is no address: leave it and its ':' out for all addresses";
	if (strchr(host, ':'))
		return "an IPv6 address has to be in brackets: \"tcp:[::1]:80\"";
	if (addr_parse(host, &a) == 0)
		return family == AF_INET6 ? "an IPv4 address with an IPv6 protocol" : NULL;
	return check_name(host);
}

/* The one spelling of an address, so that equal ones are equal texts; NULL: it is
 * a name.  A scope that addr_format_ip leaves out matters to bind(2). */
static const char *
canonical(const char *host, char *buf, size_t size)
{
	struct addr a;
	size_t n;

	if (addr_parse(host, &a) < 0)
		return NULL;
	n = addr_format_ip(&a, buf, size);
	if (a.scope && !strchr(buf, '%'))
		(void)snprintf(buf + n, size - n, "%%%u", (unsigned)a.scope);
	return buf;
}

static const char *
parse_range(char *text, char *dash, struct conf_listen *l)
{
	uint64_t lo, hi;

	*dash = '\0';
	if (units_number(text, 0, UINT16_MAX, &lo) < 0 ||
	    units_number(dash + 1, 0, UINT16_MAX, &hi) < 0)
		return "not a valid range of ports, such as 7000-7010";
	if (lo == 0)
		return "port 0 can't be part of a range";
	if (lo > hi)
		return "the range of ports ends before it begins";
	if (hi - lo + 1 > CONF_LISTENERS)
		return "the range has more than 64 ports";
	l->port = (uint16_t)lo;
	l->port_last = (uint16_t)hi;
	return NULL;
}

static const char *
parse_service(const char *text, bool lookup, struct conf_listen *l)
{
	const struct servent *s;
	bool letter = false;

	for (const char *c = text; *c; c++) {
		if (!is_letter(*c) && !is_digit(*c) && !strchr("-_.+/", *c))
			return "not a valid port";
		letter = letter || is_letter(*c);
	}
	if (!letter)
		return "not a valid port: 0 to 65535";
	if (!lookup)
		return "names of ports are not looked up here";
	s = getservbyname(text, is_udp(l->proto) ? "udp" : "tcp");
	if (!s)
		return "no port of this name in /etc/services";
	l->port = l->port_last = ntohs((uint16_t)s->s_port);
	return NULL;
}

static const char *
parse_port(char *text, bool lookup, struct conf_listen *l)
{
	size_t n = strspn(text, "0123456789");
	uint64_t port;

	if (!*text)
		return "the port is missing";
	if (n && !text[n]) {
		if (units_number(text, 0, UINT16_MAX, &port) < 0)
			return "not a valid port: 0 to 65535";
		l->port = l->port_last = (uint16_t)port;
		return NULL;
	}
	if (n && text[n] == '-' && !text[n + 1 + strspn(text + n + 1, "0123456789")])
		return parse_range(text, text + n, l);
	return parse_service(text, lookup, l);
}

/* text is cut into its parts */
static const char *
parse_inet(char *text, bool lookup, struct conf_listen *l)
{
	bool brackets = *text == '[';
	char *host = NULL, *port = text, *colon;
	const char *why;

	if (brackets) {
		colon = strchr(text, ']');
		if (!colon)
			return "the ']' of the address is missing";
		if (colon[1] != ':')
			return "a ':' and a port have to follow the ']'";
		*colon = '\0';
		host = text + 1;
		port = colon + 2;
	} else {
		colon = strrchr(text, ':');
		if (colon) {
			*colon = '\0';
			host = text;
			port = colon + 1;
		}
	}
	why = host ? check_host(host, brackets, family_of(l->proto)) : NULL;
	if (!why)
		why = parse_port(port, lookup, l);
	l->host = host;
	return why;
}

static const char *
parse_proto(const char *text, size_t len, enum conf_proto *ret)
{
	for (size_t i = 0; i < N_PROTOS; i++)
		if (strlen(protos[i]) == len && !memcmp(protos[i], text, len)) {
			*ret = (enum conf_proto)i;
			return NULL;
		}
	return "it has to begin with tcp:, tcp4:, tcp6:, udp:, udp4:, udp6:, unix:, "
	       "unix-dgram: or unix-seqpacket:";
}

const char *
listen_parse(struct arena *a, const char *text, bool lookup, struct conf_listen *ret)
{
	struct conf_listen l;
	char buf[TEXT_BYTES], host[ADDR_STRLEN];
	size_t len = strlen(text), n = strcspn(text, ":");
	enum conf_proto proto;
	const char *why;

	memset(&l, 0, sizeof(l));
	if (!text[n])
		return "expected PROTO:[ADDRESS:]PORT or unix:PATH, such as \"tcp:80\"";
	why = parse_proto(text, n, &proto);
	if (why)
		return why;
	l.proto = (uint8_t)proto;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return "control characters don't belong here";
	if (len >= sizeof(buf))
		return "too long";
	memcpy(buf, text + n + 1, len - n);
	if (listen_is_unix(l.proto)) {
		l.path = buf;
		why = check_path(buf);
	} else {
		why = parse_inet(buf, lookup, &l);
	}
	if (why)
		return why;
	l.text = arena_string(a, text);
	if (l.host && canonical(l.host, host, sizeof(host)))
		l.host = host;
	l.host = l.host ? arena_string(a, l.host) : NULL;
	l.path = l.path ? arena_string(a, l.path) : NULL;
	if (!l.text || (listen_is_unix(l.proto) && !l.path))
		return "out of memory";
	*ret = l;
	return NULL;
}
