/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What a text may look like: paths, sinks of the log, variables, addresses,
 * hours, and where control characters can't be.
 *
 * Pure.  Runs in the master, its trial child and hatchctl; called by
 * conf_load.c and conf_value.c.
 */
#include "config.h"

#include <net/if.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "acl_entry.h"
#include "addr.h"
#include "conf_form.h"
#include "hours.h"
#include "units.h"

_Static_assert(CONF_FORM_WHY >= ACL_WHY_LEN, "why is too small");

bool
conf_form_is_clean(const char *text)
{
	static const bool plain[256] = {
		[0x20 ... 0x7e] = true, [0x80 ... 0xc1] = true, [0xc3 ... 0xff] = true,
	};
	const unsigned char *p = (const unsigned char *)text;

	for (;; p++) {
		while (plain[*p])
			p++;
		if (*p != 0xc2)
			return *p == '\0';
		if (p[1] >= 0x80 && p[1] < 0xa0)
			return false;
	}
}

/* [A-Za-z_][A-Za-z0-9_]*; what is left of it begins at the returned place. */
static const char *
skip_variable(const char *s)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	if (*s >= '0' && *s <= '9')
		return s;
	return s + strspn(s, letters);
}

static bool
is_multicast(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a) < 0)
		return false;
	return a.family == AF_INET ? a.ip[0] >> 4 == 14 : a.ip[0] == 0xff;
}

/* Could be one; whether there is such a user or group is asked when the list is
 * made. */
static bool
any_name(enum acl_kind kind, const char *name, uint32_t *ret, void *arg)
{
	(void)kind;
	(void)arg;
	*ret = 0;
	return *name != '-' && !strpbrk(name, ":,");
}

static const char *
acl_error(const char *text, bool ids, char why[CONF_FORM_WHY])
{
	struct acl_entry e;

	if (acl_parse(text, any_name, NULL, &e, why) < 0)
		return why;
	return ids || (e.kind != ACL_UID && e.kind != ACL_GID) ? NULL :
		"uid: and gid: are no addresses of proxies";
}

static const char *
hours_error(const char *text)
{
	struct hours_entry e;
	const char *why;

	return hours_parse(text, &e, &why) < 0 ? why : NULL;
}

static bool
is_pressure(const char *text)
{
	static const char *const kinds[] = { "cpu:", "memory:", "io:" };
	uint32_t n;
	size_t i, len;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		len = strlen(kinds[i]);
		if (strncmp(text, kinds[i], len) == 0)
			return units_decimal(text + len, 10000, &n) == 0 && n > 0;
	}
	return false;
}

static const char *
mux_error(const char *text)
{
	const char *name = text + (*text == '+'), *p;

	for (p = name; *p > ' ' && *p < 0x7f; p++)
		;
	if (p == name || *p || p - name >= PROTO_MUX_NAME)
		return "expected NAME or +NAME, 1 to 63 ASCII characters without blanks";
	if (strcasecmp(name, "help") == 0)
		return "tcpmux itself answers to the name help";
	return NULL;
}

_Static_assert(PROTO_MUX_NAME == 64, "a message");

const char *
conf_form_error(enum schema_form form, const char *text, char why[CONF_FORM_WHY])
{
	const char *end;

	switch (form) {
	case SCHEMA_ANY:
	case SCHEMA_TEXT_OR_FILE:
		return NULL;
	case SCHEMA_ABSOLUTE:
		return text[0] == '/' ? NULL : "expected an absolute path";
	case SCHEMA_SOCKET_PATH:
		if (text[0] != '/')
			return "expected an absolute path";
		if (strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
			return "too long for the path of a socket (at most 107 bytes)";
		return NULL;
	case SCHEMA_LOG:
		if (text[0] == '/' || strcmp(text, "stderr") == 0 || strcmp(text, "syslog") == 0)
			return NULL;
		return "expected syslog, stderr or an absolute path";
	case SCHEMA_BACKEND:
		if (strcmp(text, "auto") == 0 || strcmp(text, "epoll") == 0 ||
		    strcmp(text, "poll") == 0 || strcmp(text, "select") == 0)
			return NULL;
		return "expected auto, epoll, poll or select";
	case SCHEMA_DEVICE:
		return strlen(text) < IFNAMSIZ && !strpbrk(text, "/ ") ? NULL :
			"expected the name of a network interface (at most 15 bytes)";
	case SCHEMA_ASSIGNMENT:
		end = skip_variable(text);
		return end > text && *end == '=' ? NULL :
			"expected NAME=value, with letters, digits and _ in NAME";
	case SCHEMA_VARIABLE:
		end = skip_variable(text);
		return end > text && *end == '\0' ? NULL :
			"expected the name of a variable: letters, digits and _";
	case SCHEMA_MULTICAST:
		return is_multicast(text) ? NULL : "expected a multicast address";
	case SCHEMA_ACL:
	case SCHEMA_PEER:
		return acl_error(text, form == SCHEMA_ACL, why);
	case SCHEMA_HOURS:
		return hours_error(text);
	case SCHEMA_PRESSURE:
		return is_pressure(text) ? NULL : "expected cpu:N, memory:N or io:N with N percent "
			"from 0.01 to 100";
	case SCHEMA_MUX_NAME:
		return mux_error(text);
	}
	return NULL;
}
