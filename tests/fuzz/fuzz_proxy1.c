/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * PROXY headers of version 1: the input as it is, and behind "PROXY ".  What is
 * taken for one says in its own bytes what was understood.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdint.h>

#include "proxy_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* IPv4 has one way only to be written. */
static void
check_tcp4(const char *line, const struct proxyhdr *h)
{
	char want[256], peer[ADDR_STRLEN], local[ADDR_STRLEN];

	CHECK(h->peer.family == AF_INET && h->local.family == AF_INET);
	(void)addr_format_ip(&h->peer, peer, sizeof(peer));
	(void)addr_format_ip(&h->local, local, sizeof(local));
	(void)snprintf(want, sizeof(want), "PROXY TCP4 %s %s %u %u\r\n", peer, local,
		       h->peer.port, h->local.port);
	CHECK(!strcmp(line, want));
}

static void
check_ip6(const char *text, const struct addr *a)
{
	unsigned char ip[16];

	CHECK(inet_pton(AF_INET6, text, ip) == 1);
	if (a->family == AF_INET)
		CHECK(!memcmp(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) && !memcmp(ip + 12, a->ip, 4));
	else
		CHECK(!memcmp(ip, a->ip, 16));
}

static void
check_tcp6(const char *line, const struct proxyhdr *h)
{
	char want[32], peer[64], local[64];
	int n = 0;

	CHECK(sscanf(line, "PROXY TCP6 %63[0-9a-fA-F:.] %63[0-9a-fA-F:.]%n", peer, local, &n) == 2);
	check_ip6(peer, &h->peer);
	check_ip6(local, &h->local);
	(void)snprintf(want, sizeof(want), " %u %u\r\n", h->peer.port, h->local.port);
	CHECK(!strcmp(line + n, want));
	CHECK(strlen("PROXY TCP6  ") + strlen(peer) + strlen(local) == (size_t)n);
}

static void
check(const unsigned char *bytes, size_t len)
{
	struct proxyhdr h;
	char line[128];

	if (len == 0 || feed(bytes, len, &h) != PROXYHDR_DONE || bytes[0] != 'P')
		return;
	CHECK(h.len >= 15 && h.len <= 107 && h.len <= len);
	memcpy(line, bytes, h.len);
	line[h.len] = '\0';
	CHECK(!memcmp(line + h.len - 2, "\r\n", 2));
	CHECK(memchr(line, '\n', h.len) == line + h.len - 1);
	CHECK(memchr(line, '\r', h.len) == line + h.len - 2);
	if (h.own)
		CHECK(!memcmp(line, "PROXY UNKNOWN", 13) && (line[13] == ' ' || line[13] == '\r'));
	else if (line[9] == '4')
		check_tcp4(line, &h);
	else
		check_tcp6(line, &h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char bytes[512] = "PROXY ";

	if (size > sizeof(bytes) - 6)
		size = sizeof(bytes) - 6;
	check(data, size);
	if (size > 0)
		memcpy(bytes + 6, data, size);
	check(bytes, size + 6);
	return 0;
}
