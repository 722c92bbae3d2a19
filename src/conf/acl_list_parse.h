/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What stands in a list file: from its bytes to entries, and from the number of
 * a line to its text.
 */
#ifndef HATCHD_ACL_LIST_PARSE_H
#define HATCHD_ACL_LIST_PARSE_H

#include "acl_list.h"

#define ACL_LIST_BAD 10		/* bad lines that are told of one file */

struct acl_list_order {
	const char *path, *what;	/* for messages: "PATH:LINE: WHAT: ..." */
	struct resolve *resolve;
	struct problems *problems;
};

/* text: len bytes, a NUL behind them and none in them, as textfile_load gives
 * them; it is cut into pieces.  0, or -1: problems were added. */
int acl_list_parse(const struct acl_list_order *o, char *text, size_t len,
		   struct acl_list *ret);
void acl_list_fini(struct acl_list *l);

/* A line of such a text, without comment and the blanks around it, cut off; NULL:
 * there is no such line. */
const char *acl_list_find(char *text, size_t len, uint32_t line);

#endif
