/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The files that access lists name with "file:/PATH": one entry a line, blanks
 * around it, "#" begins a comment.  Each is read once for a configuration.
 */
#ifndef HATCHD_ACL_LIST_H
#define HATCHD_ACL_LIST_H

#include <sys/types.h>

#include "conf.h"
#include "resolve.h"

#define ACL_LISTS 64		/* files */
#define ACL_LIST_ENTRIES 100000	/* of one file */
#define ACL_LIST_LINES 1000000

struct acl_lists;

struct acl_list_entry {
	struct acl_entry e;	/* ACL_NET, ACL_UID or ACL_GID */
	uint32_t line;
};

struct acl_list {
	const struct acl_list_entry *entries;
	uint32_t n;
};

struct acl_lists *acl_lists_new(void);	/* NULL: no memory */
void acl_lists_free(struct acl_lists *l);

/* Forget all that was read. */
void acl_lists_clear(struct acl_lists *l);

/* rule names the file (ACL_FILE); what: where, for messages.  owner: who may own
 * files beside root.  NULL: problems were added. */
const struct acl_list *acl_lists_get(struct acl_lists *l, const struct conf_rule *rule,
				     const char *what, uid_t owner, struct resolve *r,
				     struct problems *p);

/* A line of such a file, without blanks and comment, into buf; false: it can't be
 * read any more. */
bool acl_list_line(const char *path, uid_t owner, uint32_t line, char *buf, size_t size);

#endif
