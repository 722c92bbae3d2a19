/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * PROXY headers of version 2: the input as it is, and behind the signature.
 * What is taken for one is held against its bytes.
 */
#include "config.h"

#include <stdint.h>

#include "proxy_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char signature[] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a
};

static void
check_addr2(const struct addr *a, const unsigned char *ip, size_t ip_len, const unsigned char *port)
{
	CHECK(a->port == port[0] * 256 + port[1]);
	if (ip_len == 16 && a->family == AF_INET) {
		CHECK(!memcmp(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12));
		ip += 12;
		ip_len = 4;
	}
	CHECK(a->family == (ip_len == 4 ? AF_INET : AF_INET6));
	CHECK(!memcmp(a->ip, ip, ip_len));
}

/* The bytes of two addresses with ports; 0: none that are looked at. */
static size_t
addresses(const unsigned char *bytes)
{
	if (bytes[12] == 0x20)
		return 0;
	return bytes[13] == 0x11 ? 12 : bytes[13] == 0x21 ? 36 : 0;
}

static void
check(const unsigned char *bytes, size_t len)
{
	enum proxyhdr_state s;
	struct proxyhdr h;
	size_t n;

	if (len == 0 || bytes[0] != '\r')
		return;
	s = feed(bytes, len, &h);
	if (s == PROXYHDR_MORE) {
		n = len < 12 ? len : 12;
		CHECK(!memcmp(bytes, signature, n));
		CHECK(len < 16 || len < 16 + addresses(bytes));
		return;
	}
	if (s == PROXYHDR_BAD)
		return;
	CHECK(len >= 16 && !memcmp(bytes, signature, 12));
	CHECK(bytes[12] == 0x20 || bytes[12] == 0x21);
	CHECK(h.len == 16 + bytes[14] * 256u + bytes[15]);
	n = addresses(bytes);
	CHECK(h.own == (n == 0));
	CHECK(h.len >= 16 + n && len >= 16 + n);
	if (bytes[12] == 0x21)
		CHECK((bytes[13] & 15) <= 1 && bytes[13] >> 4 <= 3);
	if (bytes[12] == 0x21 && bytes[13] == 0x31)
		CHECK(h.len >= 16 + 216);
	if (n > 0) {
		size_t ip_len = (n - 4) / 2;

		check_addr2(&h.peer, bytes + 16, ip_len, bytes + 16 + 2 * ip_len);
		check_addr2(&h.local, bytes + 16 + ip_len, ip_len, bytes + 18 + 2 * ip_len);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char bytes[512];

	if (size > sizeof(bytes) - sizeof(signature))
		size = sizeof(bytes) - sizeof(signature);
	check(data, size);
	memcpy(bytes, signature, sizeof(signature));
	if (size > 0)
		memcpy(bytes + sizeof(signature), data, size);
	check(bytes, size + sizeof(signature));
	return 0;
}
