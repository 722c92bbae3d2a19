/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * PROXY protocol headers; talker, pure.  Called by prefix.c for as much as has
 * come so far; each time it begins anew, since a header is short.
 *
 * Version 1 is taken by the letter: what other readers might understand in
 * another way would let a client choose what we believe.  Of version 2 the
 * extensions (TLVs) are not looked at.
 */
#include "config.h"

#include "proxyhdr.h"

#include <netinet/in.h>
#include <string.h>

enum {
	V1_MAX = 107,		/* bytes of a line with CR LF */
	V2_FIXED = 16,		/* bytes before the addresses */
	V2_INET = 12,
	V2_INET6 = 36,
	V2_UNIX = 216,
	V2_LOCAL = 0x20,	/* version and command */
	V2_PROXY = 0x21,
};

_Static_assert(V1_MAX <= PROXYHDR_LOOK && V2_FIXED + V2_INET6 <= PROXYHDR_LOOK, "look");

static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Version 1 */

struct cursor {
	const unsigned char *at, *end;
};

static enum proxyhdr_state
literal(struct cursor *c, const char *text)
{
	for (; *text != '\0'; text++, c->at++) {
		if (c->at == c->end)
			return PROXYHDR_MORE;
		if (*c->at != (unsigned char)*text)
			return PROXYHDR_BAD;
	}
	return PROXYHDR_DONE;
}

/* A word of characters of the set, and what ends it. */
static enum proxyhdr_state
word(struct cursor *c, const char *set, char end, char *buf, size_t size)
{
	size_t n = 0;

	for (; c->at < c->end; c->at++) {
		char ch = (char)*c->at;

		if (ch == end && n > 0) {
			c->at++;
			buf[n] = '\0';
			return PROXYHDR_DONE;
		}
		if (n == size - 1 || ch == '\0' || strchr(set, ch) == NULL)
			return PROXYHDR_BAD;
		buf[n++] = ch;
	}
	return PROXYHDR_MORE;
}

static enum proxyhdr_state
address(struct cursor *c, bool v6, struct addr *ret)
{
	char text[46];		/* INET6_ADDRSTRLEN */
	enum proxyhdr_state s = word(c, v6 ? "0123456789abcdefABCDEF:." : "0123456789.", ' ',
				     text, v6 ? sizeof text : 16);

	if (s != PROXYHDR_DONE)
		return s;
	/* that a version 6 address has a colon is what distinguishes it here */
	if (v6 != (strchr(text, ':') != NULL) || addr_parse(text, ret) < 0)
		return PROXYHDR_BAD;
	return PROXYHDR_DONE;
}

static enum proxyhdr_state
port(struct cursor *c, char end, uint16_t *ret)
{
	char text[6];
	enum proxyhdr_state s = word(c, "0123456789", end, text, sizeof text);
	unsigned n = 0;

	if (s != PROXYHDR_DONE)
		return s;
	for (const char *p = text; *p != '\0'; p++)
		n = n * 10 + (unsigned)(*p - '0');
	if ((text[0] == '0' && text[1] != '\0') || n > UINT16_MAX)
		return PROXYHDR_BAD;
	*ret = (uint16_t)n;
	return PROXYHDR_DONE;
}

static enum proxyhdr_state
tcp(struct cursor *c, bool v6, struct proxyhdr *ret)
{
	enum proxyhdr_state s;

	if ((s = address(c, v6, &ret->peer)) != PROXYHDR_DONE ||
	    (s = address(c, v6, &ret->local)) != PROXYHDR_DONE ||
	    (s = port(c, ' ', &ret->peer.port)) != PROXYHDR_DONE ||
	    (s = port(c, '\r', &ret->local.port)) != PROXYHDR_DONE)
		return s;
	return literal(c, "\n");
}

/* What stands behind UNKNOWN is ignored, but it is a word of its own and has no
 * other end than CR LF. */
static enum proxyhdr_state
unknown(struct cursor *c, struct proxyhdr *ret)
{
	ret->own = true;
	if (c->at < c->end && *c->at != ' ' && *c->at != '\r')
		return PROXYHDR_BAD;
	for (; c->at < c->end && *c->at != '\r'; c->at++)
		if (*c->at == '\n')
			return PROXYHDR_BAD;
	return literal(c, "\r\n");
}

static enum proxyhdr_state
line(struct cursor *c, struct proxyhdr *ret)
{
	static const char *const kinds[] = { "TCP4 ", "TCP6 ", "UNKNOWN" };
	enum proxyhdr_state s = literal(c, "PROXY ");

	if (s != PROXYHDR_DONE)
		return s;
	for (int i = 0; i < 3; i++) {
		struct cursor kind = *c;

		s = literal(&kind, kinds[i]);
		if (s == PROXYHDR_BAD)
			continue;
		*c = kind;
		if (s == PROXYHDR_MORE)
			return s;
		return i < 2 ? tcp(c, i == 1, ret) : unknown(c, ret);
	}
	return PROXYHDR_BAD;
}

static enum proxyhdr_state
v1(const unsigned char *bytes, size_t len, struct proxyhdr *ret)
{
	size_t most = len < V1_MAX ? len : V1_MAX;
	struct cursor c = { bytes, bytes + most };
	enum proxyhdr_state s = line(&c, ret);

	ret->len = (size_t)(c.at - bytes);
	return s == PROXYHDR_MORE && most == V1_MAX ? PROXYHDR_BAD : s;
}

/* Version 2 */

static void
v2_inet(const unsigned char *ip, const unsigned char *port_bytes, struct addr *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	memcpy(&in.sin_addr, ip, 4);
	memcpy(&in.sin_port, port_bytes, 2);
	(void)addr_from_sockaddr((struct sockaddr *)&in, sizeof in, ret);	/* can't fail */
}

static void
v2_inet6(const unsigned char *ip, const unsigned char *port_bytes, struct addr *ret)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memcpy(&in6.sin6_addr, ip, 16);
	memcpy(&in6.sin6_port, port_bytes, 2);
	(void)addr_from_sockaddr((struct sockaddr *)&in6, sizeof in6, ret);	/* can't fail */
}

/* Family and transport: the bytes of its addresses; -1 if it may not be. */
static int
v2_room(unsigned char family)
{
	switch (family) {
	case 0x00:		/* unspecified */
	case 0x01:
		return 0;
	case 0x11:
		return V2_INET;
	case 0x21:
		return V2_INET6;
	case 0x31:
		return V2_UNIX;
	default:		/* datagrams, too: they have no connection */
		return -1;
	}
}

static enum proxyhdr_state
v2(const unsigned char *b, size_t len, struct proxyhdr *ret)
{
	size_t begin = len < sizeof signature ? len : sizeof signature, room;
	int family = 0;

	if (memcmp(b, signature, begin) != 0)
		return PROXYHDR_BAD;
	if (len > 12 && b[12] != V2_LOCAL && b[12] != V2_PROXY)
		return PROXYHDR_BAD;
	if (len > 13 && b[12] == V2_PROXY)	/* of LOCAL it is ignored */
		family = v2_room(b[13]);
	if (family < 0)
		return PROXYHDR_BAD;
	if (len < V2_FIXED)
		return PROXYHDR_MORE;
	room = (size_t)b[14] << 8 | b[15];
	if (room < (size_t)family)
		return PROXYHDR_BAD;
	ret->len = V2_FIXED + room;
	ret->own = family != V2_INET && family != V2_INET6;
	if (ret->own)
		return PROXYHDR_DONE;
	if (len < V2_FIXED + (size_t)family)
		return PROXYHDR_MORE;
	if (family == V2_INET) {
		v2_inet(b + 16, b + 24, &ret->peer);
		v2_inet(b + 20, b + 26, &ret->local);
	} else {
		v2_inet6(b + 16, b + 48, &ret->peer);
		v2_inet6(b + 32, b + 50, &ret->local);
	}
	return PROXYHDR_DONE;
}

enum proxyhdr_state
proxyhdr_parse(const void *bytes, size_t len, struct proxyhdr *ret)
{
	const unsigned char *b = bytes;
	struct proxyhdr h = { 0 };
	enum proxyhdr_state s = b[0] == signature[0] ? v2(b, len, &h) : v1(b, len, &h);

	if (s == PROXYHDR_DONE)
		*ret = h;
	return s;
}
