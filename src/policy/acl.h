/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Who may connect: rules gathered while a configuration loads, then one flat
 * table that never changes and answers without allocating or waiting.  The
 * longest prefix wins over both lists, a tie denies.  IPv4 and IPv6 are apart,
 * and AF_UNIX peers are judged by uid and gid.
 */
#ifndef HATCHD_ACL_H
#define HATCHD_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acl_entry.h"
#include "addr.h"

#define ACL_NO_RULE 0x7fffffffu		/* no rule spoke of it: the default did */

struct acl;
struct acl_builder;

/* NULL and errno. */
struct acl_builder *acl_builder_new(void);
void acl_builder_free(struct acl_builder *b);

/* One more rule; e is ACL_NET, ACL_UID or ACL_GID.  tag, below ACL_NO_RULE, is
 * the caller's, to tell the rule by.  The same rule may come often: the first
 * one counts.  0, or -1 and errno. */
int acl_add(struct acl_builder *b, bool allow, const struct acl_entry *e, uint32_t tag);

/* There is an allow list: whoever no rule speaks of is denied.  Each acl_add
 * with allow says so by itself; this is for lists that turn out to be empty. */
void acl_deny_others(struct acl_builder *b);

/* The table, which does not need the builder any more; NULL and errno. */
struct acl *acl_build(struct acl_builder *b);
void acl_free(struct acl *acl);

/* Whether the peer may; *rule, if wanted, is the tag of the rule that decided,
 * or ACL_NO_RULE.  A uid and a gid are equally specific, so one that denies
 * wins; the gid is the one that the peer connected with.  A peer of any other
 * family (or none) can't be told from one that is denied: it is allowed only
 * by a table without any rule. */
bool acl_judge(const struct acl *acl, const struct addr *peer, uint32_t *rule);

/* The memory that a table takes. */
size_t acl_bytes(const struct acl *acl);

#endif
