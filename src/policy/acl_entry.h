/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * One entry of an allow or deny list, as it is written.  Pure: host names and
 * files are recognised and left to the caller, names of users and groups are
 * asked of it.  What is not wholly understood is an error, never "everybody".
 */
#ifndef HATCHD_ACL_ENTRY_H
#define HATCHD_ACL_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"

#define ACL_WHY_LEN 160

enum acl_kind {
	ACL_NET,	/* net and bits: "192.0.2.7", "10.0.0.0/8", "2001:db8::/32" */
	ACL_UID,	/* id: "uid:1000", "uid:git" */
	ACL_GID,	/* id: "gid:100", "gid:docker" */
	ACL_FILE,	/* text: the path of "file:/PATH", a list of entries */
	ACL_HOST,	/* text: a host name, to be resolved; each address is a net */
};

struct acl_entry {
	enum acl_kind kind;
	uint8_t bits;
	uint32_t id;
	struct addr net;
	const char *text;	/* within what was parsed, NULL for other kinds */
};

/* The id of a user (ACL_UID) or group (ACL_GID); false: there is none. */
typedef bool acl_lookup_fn(enum acl_kind kind, const char *name, uint32_t *ret, void *arg);

/* 0, or -1: why holds a message without the text itself, *ret is untouched.
 * An IPv4-mapped address or network is the IPv4 one; a network has no bits set
 * below its prefix. */
int acl_parse(const char *text, acl_lookup_fn *lookup, void *arg, struct acl_entry *ret,
	      char why[ACL_WHY_LEN]);

/* The entry of just this address, for what a host name resolved to; a must be
 * AF_INET or AF_INET6. */
struct acl_entry acl_entry_of(const struct addr *a);

#endif
