/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A service whose settings a test changes, and the sockets it asks for.
 */
#ifndef HATCHD_TESTS_BIND_RIG_H
#define HATCHD_TESTS_BIND_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arena.h"
#include "bind.h"

#define SOCKET { .backlog = 16, .mode = 0666, .freebind = CONF_AUTO, \
		 .owner_uid = (uid_t)-1, .owner_gid = (gid_t)-1 }

extern char dir[];			/* a folder of this test's own */
extern struct arena *arena;
extern struct conf_socket sock;		/* what the service says */
extern struct conf_common common;
extern struct conf_listen listens[CONF_LISTENERS];
extern struct conf_service service;
/* Results of the last call. */
extern struct bind_target *targets;
extern int n_targets;
extern const char *why, *step;
extern const struct conf_listen *where;
extern struct addr local;

/* For cmocka; nothing may be left in the folder. */
int set_up(void **state);
int tear_down(void **state);

/* The targets of a list of addresses; how many. */
int resolve_list(const char *const *list);
#define RESOLVE(...) resolve_list((const char *const []){ __VA_ARGS__, NULL })

/* Opens the first target of text; must: it has to work, or to fail there. */
int open_first(const char *text);
/* As a reload does it after sock, common or service have changed. */
int apply_again(int fd);
int must_open(const char *text);
void must_fail(const char *text, const char *at, int error);

int option(int fd, int level, int name);
bool has_ipv6(void);
/* It is high, CLOEXEC and does not block. */
void check_descriptor(int fd);
/* "unix:" or so and a path in the folder.  Good until the next call. */
const char *in_dir(const char *proto, const char *name);

#endif
