/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What a text may look like: paths, sinks of the log, variables, multicast
 * addresses, and no control characters anywhere.
 *
 * Pure.  Runs in the master, its trial child and hatchctl; called by
 * conf_load.c and conf_value.c.
 */
#include "config.h"

#include <net/if.h>
#include <string.h>
#include <sys/un.h>

#include "addr.h"
#include "conf_form.h"

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

const char *
conf_form_error(enum schema_form form, const char *text)
{
	const char *end;

	switch (form) {
	case SCHEMA_ANY:
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
	}
	return NULL;
}
