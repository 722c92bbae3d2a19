/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From the text of listen = { } to bound sockets.
 */
#ifndef HATCHD_BIND_H
#define HATCHD_BIND_H

#include <stdbool.h>

#include "addr.h"
#include "conf.h"

struct names;

/* One socket to be: its identity, by which a reload finds it again. */
struct bind_target {
	struct addr addr;	/* family and, for inet, address and port */
	char *path;		/* UNIX: malloced; "@name" if abstract; else NULL */
	char *device;		/* malloced or NULL */
	int line;		/* in the service's file */
	uint16_t nth;		/* tells apart those of a service with port 0 */
	uint8_t type;		/* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
	bool optional : 1;	/* IPv6 half of "tcp:80": no IPv6, no error */
	bool literal : 1;	/* the address was written as a number */
	bool share : 1;		/* with a socket of ours that is going to be closed */
};

#define BIND_TARGETS 256	/* of one service at most */

/* All sockets that a service's listen asks for.  Names of hosts are found in
 * names; NULL: looked up (may wait for a name server).  Returns how many, in a
 * malloced array, or -1 and *ret_why (static) with the listen it is about, or
 * NULL. */
int bind_targets(const struct conf_service *s, struct names *names, struct bind_target **ret,
		 const char **ret_why, const struct conf_listen **ret_at);
void bind_target_fini(struct bind_target *t);
void bind_targets_free(struct bind_target *t, int n);
bool bind_target_equal(const struct bind_target *a, const struct bind_target *b);
bool bind_target_copy(struct bind_target *to, const struct bind_target *from);
/* "tcp:127.0.0.1:80", "unix:/run/x.sock"; buf of BIND_TEXT bytes. */
#define BIND_TEXT 160
const char *bind_target_text(const struct bind_target *t, char *buf);

/* Makes, sets up and binds the socket; non-blocking, CLOEXEC, high.  *local is
 * the address it got.  -1 and errno, *ret_step names the call that failed.
 * EAFNOSUPPORT: this host doesn't have the family. */
int bind_open(const struct bind_target *t, const struct conf_service *s,
	      struct addr *ret_local, const char **ret_step);

/* Changes a socket that is kept by a reload from what old asks for to what s asks
 * for, as if it were new.  -1: it may be something between the two. */
int bind_apply(int fd, const struct bind_target *t, const struct conf_service *s,
	       const struct conf_service *old, const char **ret_step);

#endif
