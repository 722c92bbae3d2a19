/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Addresses: from and to the kernel's form, from and to text, masking.  Owns
 * nothing; runs in every process.  Formatting is done by hand since each line
 * of the log about a connection needs it.
 */
#include "config.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "addr.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };	/* ::ffff:0:0/96 */

int
addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *ret)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(ret, 0, sizeof *ret);
	if (len < sizeof sa->sa_family)
		return -1;
	if (sa->sa_family == AF_UNIX) {
		ret->family = AF_UNIX;
		return 0;
	}
	if (sa->sa_family == AF_INET && len >= sizeof in) {
		memcpy(&in, sa, sizeof in);
		ret->family = AF_INET;
		ret->port = ntohs(in.sin_port);
		memcpy(ret->ip, &in.sin_addr, 4);
		return 0;
	}
	if (sa->sa_family != AF_INET6 || len < sizeof in6)
		return -1;
	memcpy(&in6, sa, sizeof in6);
	ret->port = ntohs(in6.sin6_port);
	if (memcmp(&in6.sin6_addr, mapped, sizeof mapped) == 0) {
		ret->family = AF_INET;
		memcpy(ret->ip, in6.sin6_addr.s6_addr + sizeof mapped, 4);
		return 0;
	}
	ret->family = AF_INET6;
	ret->scope = in6.sin6_scope_id;
	memcpy(ret->ip, &in6.sin6_addr, 16);
	return 0;
}

void
addr_from_ucred(const struct ucred *uc, struct addr *ret)
{
	*ret = (struct addr){ .family = AF_UNIX };
	ret->cred.pid = (uint32_t)uc->pid;
	ret->cred.uid = uc->uid;
	ret->cred.gid = uc->gid;
}

socklen_t
addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

	if (a->family == AF_INET) {
		memcpy(&in.sin_addr, a->ip, 4);
		memcpy(ret, &in, sizeof in);
		return sizeof in;
	}
	if (a->family != AF_INET6)
		return 0;
	in6.sin6_scope_id = a->scope;
	memcpy(&in6.sin6_addr, a->ip, 16);
	memcpy(ret, &in6, sizeof in6);
	return sizeof in6;
}

/* "12" or "eth0"; 0 or -1 */
static int
scope_parse(const char *text, uint32_t *ret)
{
	uint64_t n = 0;
	const char *p;

	if (*text == '\0')
		return -1;
	for (p = text; *p >= '0' && *p <= '9' && n <= UINT32_MAX; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	if (*p != '\0')		/* interfaces may begin with a digit, too */
		n = if_nametoindex(text);
	if (n > UINT32_MAX || (*p != '\0' && n == 0))
		return -1;
	*ret = (uint32_t)n;
	return 0;
}

int
addr_parse(const char *text, struct addr *ret)
{
	struct addr a = { .family = AF_INET };
	const char *percent = strchr(text, '%');
	size_t len = percent != NULL ? (size_t)(percent - text) : strlen(text);
	char host[INET6_ADDRSTRLEN];

	if (len >= sizeof host)
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (percent == NULL && inet_pton(AF_INET, host, a.ip) == 1) {
		*ret = a;
		return 0;
	}
	a.family = AF_INET6;
	if (inet_pton(AF_INET6, host, a.ip) != 1)
		return -1;
	if (percent != NULL && scope_parse(percent + 1, &a.scope) < 0)
		return -1;
	if (memcmp(a.ip, mapped, sizeof mapped) == 0) {
		if (percent != NULL)
			return -1;
		memmove(a.ip, a.ip + sizeof mapped, 4);
		memset(a.ip + 4, 0, sizeof mapped);
		a.family = AF_INET;
	}
	*ret = a;
	return 0;
}

static char *
put_dec(char *p, uint32_t n)
{
	char tmp[10];
	int i = 0;

	do
		tmp[i++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	while (i > 0)
		*p++ = tmp[--i];
	return p;
}

static char *
put_hex(char *p, unsigned n)
{
	int shift;

	for (shift = 12; shift > 0 && n >> shift == 0; shift -= 4)
		;
	for (; shift >= 0; shift -= 4)
		*p++ = "0123456789abcdef"[n >> shift & 15];
	return p;
}

static char *
put_ip4(char *p, const uint8_t *ip)
{
	int i;

	for (i = 0; i < 4; i++) {
		if (i > 0)
			*p++ = '.';
		p = put_dec(p, ip[i]);
	}
	return p;
}

/* RFC 5952: the longest, first run of two or more zero groups becomes "::". */
static char *
put_ip6(char *p, const uint8_t *ip)
{
	int best = -1, best_len = 1, run = 0, i;
	unsigned group[8];

	for (i = 0; i < 8; i++) {
		group[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
		run = group[i] == 0 ? run + 1 : 0;
		if (run > best_len) {
			best_len = run;
			best = i - run + 1;
		}
	}
	for (i = 0; i < 8; i++) {
		if (i == best) {
			*p++ = ':';
			*p++ = ':';
			i += best_len - 1;
			continue;
		}
		if (i > 0 && i != best + best_len)
			*p++ = ':';
		p = put_hex(p, group[i]);
	}
	return p;
}

/* fe80::/10, and multicast of the interface's and the link's scope */
static bool
is_link_local(const uint8_t *ip)
{
	if (ip[0] == 0xff)
		return (ip[1] & 15) == 1 || (ip[1] & 15) == 2;
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

static char *
put_ip(char *p, const struct addr *a)
{
	if (a->family == AF_INET)
		return put_ip4(p, a->ip);
	if (a->family != AF_INET6)
		return p;
	p = put_ip6(p, a->ip);
	if (a->scope != 0 && is_link_local(a->ip)) {
		*p++ = '%';
		p = put_dec(p, a->scope);
	}
	return p;
}

/* Hands over what stands from tmp to end, cut if there is less room. */
static size_t
deliver(char *buf, size_t size, const char *tmp, const char *end)
{
	size_t len = (size_t)(end - tmp);

	if (size == 0)
		return 0;
	if (len >= size)
		len = size - 1;
	memcpy(buf, tmp, len);
	buf[len] = '\0';
	return len;
}

size_t
addr_format_ip(const struct addr *a, char *buf, size_t size)
{
	char tmp[ADDR_STRLEN];

	return deliver(buf, size, tmp, put_ip(tmp, a));
}

size_t
addr_format(const struct addr *a, char *buf, size_t size)
{
	char tmp[ADDR_STRLEN];
	char *p = tmp;

	switch (a->family) {
	case AF_INET:
		p = put_ip(p, a);
		break;
	case AF_INET6:
		*p++ = '[';
		p = put_ip(p, a);
		*p++ = ']';
		break;
	case AF_UNIX:
		memcpy(p, "unix:uid=", 9);
		p = put_dec(p + 9, a->cred.uid);
		return deliver(buf, size, tmp, p);
	default:
		*p++ = '-';
		return deliver(buf, size, tmp, p);
	}
	*p++ = ':';
	p = put_dec(p, a->port);
	return deliver(buf, size, tmp, p);
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return false;
	switch (a->family) {
	case AF_INET:
		return a->port == b->port && memcmp(a->ip, b->ip, 4) == 0;
	case AF_INET6:
		return a->port == b->port && a->scope == b->scope &&
		    memcmp(a->ip, b->ip, 16) == 0;
	case AF_UNIX:
		return a->cred.pid == b->cred.pid && a->cred.uid == b->cred.uid &&
		    a->cred.gid == b->cred.gid;
	}
	return true;
}

void
addr_mask(struct addr *a, unsigned bits)
{
	struct addr key = { .family = a->family };
	unsigned max = a->family == AF_INET ? 32 : a->family == AF_INET6 ? 128 : 0;

	if (a->family == AF_UNIX)
		key.cred.uid = a->cred.uid;
	if (bits > max)
		bits = max;
	memcpy(key.ip, a->ip, max > 0 ? bits / 8 : 0);
	if (bits % 8 != 0)
		key.ip[bits / 8] = (uint8_t)(a->ip[bits / 8] & (0xff00u >> bits % 8));
	*a = key;
}
