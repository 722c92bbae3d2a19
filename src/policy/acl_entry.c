/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reads one entry of an allow or deny list.  Called while a configuration is
 * loaded, for the lists in it and for the lines of the files they name.
 *
 * An entry is an address if it could be one: a host name never ends in a
 * number, so that "10.0.0", "10.0.0.256" or "0x7f.1" are errors and are not
 * asked of a resolver, which might make something else of them.
 */
#include "config.h"

#include "acl_entry.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 253, LABEL_MAX = 63 };

__attribute__((format(printf, 2, 3))) static int
bad(char *why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, ACL_WHY_LEN, format, ap);
	va_end(ap);
	return -1;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* All of it decimal, without zeros in front, at most max. */
static bool
number(const char *s, uint32_t max, uint32_t *ret)
{
	uint64_t n = 0;

	if (!*s || (*s == '0' && s[1]))
		return false;
	for (; is_digit(*s); s++) {
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > max)
			return false;
	}
	*ret = (uint32_t)n;
	return !*s;
}

struct acl_entry
acl_entry_of(const struct addr *a)
{
	struct acl_entry e = { .kind = ACL_NET, .net = *a };

	assert(a->family == AF_INET || a->family == AF_INET6);
	e.bits = a->family == AF_INET ? 32 : 128;
	addr_mask(&e.net, e.bits);
	return e;
}

/* len bytes of s as an address. */
static int
parse_address(const char *s, size_t len, struct addr *ret, char *why)
{
	char buf[ADDR_STRLEN];

	if (*s == '[')
		return bad(why, "an IPv6 address is written without brackets here");
	if (len < sizeof(buf)) {
		memcpy(buf, s, len);
		buf[len] = '\0';
		if (strchr(buf, '%'))
			return bad(why, "an address with an interface (%%) can't be a rule");
		if (addr_parse(buf, ret) == 0)
			return 0;
	}
	if (memchr(s, ':', len))
		return bad(why, "not an IPv6 address, and not one of uid: gid: file:");
	return bad(why, "not an IPv4 address (four numbers from 0 to 255 with dots between)");
}

static int
parse_net(const char *text, const char *slash, struct acl_entry *ret, char *why)
{
	/* a mapped address has become an IPv4 one: 96 bits are gone */
	bool mapped = memchr(text, ':', (size_t)(slash - text));
	char buf[ADDR_STRLEN];
	struct addr net, masked;
	uint32_t bits, max, gone;

	if (parse_address(text, (size_t)(slash - text), &net, why) < 0)
		return -1;
	mapped = mapped && net.family == AF_INET;
	max = net.family == AF_INET6 || mapped ? 128 : 32;
	gone = mapped ? 96 : 0;
	if (!number(slash + 1, max, &bits))
		return bad(why, "the prefix length after \"/\" is a number from 0 to %u", max);
	if (bits < gone)
		return bad(why, "a network of IPv4-mapped addresses has at least /96");
	masked = net;
	addr_mask(&masked, bits - gone);
	if (!addr_equal(&net, &masked)) {
		(void)addr_format_ip(&masked, buf, sizeof(buf));
		return bad(why, "the address has bits set below its prefix: the network is %s/%u, "
			   "or leave \"/%u\" away", buf, bits - gone, bits);
	}
	*ret = (struct acl_entry){ .kind = ACL_NET, .net = net, .bits = (uint8_t)(bits - gone) };
	return 0;
}

static int
parse_id(enum acl_kind kind, const char *s, acl_lookup_fn *lookup, void *arg,
	 struct acl_entry *ret, char *why)
{
	const char *what = kind == ACL_UID ? "user" : "group";
	struct acl_entry e = { .kind = kind };

	if (!*s)
		return bad(why, "the %s is missing", what);
	if (!s[strspn(s, "0123456789")]) {
		/* the last number means "none" to the kernel */
		if (!number(s, UINT32_MAX - 1, &e.id))
			return bad(why, "not the number of a %s", what);
	} else if (!lookup || !lookup(kind, s, &e.id, arg)) {
		return bad(why, "there is no such %s", what);
	}
	*ret = e;
	return 0;
}

/* Whether the label is a number to inet_aton(). */
static bool
is_number_label(const char *s, size_t len)
{
	size_t n = strspn(s, "0123456789");

	if (n == len)
		return true;
	return len >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') &&
		strspn(s + 2, "0123456789abcdefABCDEF") == len - 2;
}

static bool
is_label(const char *s, size_t len)
{
	if (len == 0 || len > LABEL_MAX || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_letter(s[i]) && !is_digit(s[i]) && s[i] != '-' && s[i] != '_')
			return false;
	return true;
}

static int
parse_host(const char *text, struct acl_entry *ret, char *why)
{
	static const char *const everybody[] = {
		"*", "all", "any", "anyone", "everybody", "everyone",
	};
	struct addr ignored;
	bool numeric = false;
	const char *s = text;

	for (size_t i = 0; i < sizeof(everybody) / sizeof(everybody[0]); i++)
		if (!strcasecmp(text, everybody[i]))
			return bad(why, "everybody is written \"0.0.0.0/0\", \"::/0\"");
	while (*s) {
		size_t len = strcspn(s, ".");

		if (!is_label(s, len))
			return bad(why, "not an address, a network or a host name");
		numeric = is_number_label(s, len);
		s += len;
		if (*s == '.')
			s++;
	}
	if (numeric)		/* addr_parse has refused it: say so */
		return parse_address(text, strlen(text), &ignored, why);
	if (s - text > HOST_MAX)
		return bad(why, "a host name has at most %d characters", HOST_MAX);
	*ret = (struct acl_entry){ .kind = ACL_HOST, .text = text };
	return 0;
}

int
acl_parse(const char *text, acl_lookup_fn *lookup, void *arg, struct acl_entry *ret,
	  char why[ACL_WHY_LEN])
{
	const char *slash;
	struct addr a;

	if (!*text)
		return bad(why, "an entry can't be empty");
	if (!strncmp(text, "file:", 5)) {
		if (text[5] != '/')
			return bad(why, "the path after \"file:\" begins with \"/\"");
		*ret = (struct acl_entry){ .kind = ACL_FILE, .text = text + 5 };
		return 0;
	}
	if (!strncmp(text, "uid:", 4))
		return parse_id(ACL_UID, text + 4, lookup, arg, ret, why);
	if (!strncmp(text, "gid:", 4))
		return parse_id(ACL_GID, text + 4, lookup, arg, ret, why);
	if (text[strcspn(text, " \t\r\n,;")])
		return bad(why, "one entry holds one address, network or name");
	slash = strchr(text, '/');
	if (slash)
		return parse_net(text, slash, ret, why);
	if (*text == '[' || strpbrk(text, ":%") || addr_parse(text, &a) == 0) {
		if (parse_address(text, strlen(text), &a, why) < 0)
			return -1;
		*ret = acl_entry_of(&a);
		return 0;
	}
	return parse_host(text, ret, why);
}
