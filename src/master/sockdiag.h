/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the kernel tells about sockets, sock_diag(7): the way to ask.
 */
#ifndef HATCHD_SOCKDIAG_H
#define HATCHD_SOCKDIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The clock of until_ms. */
int64_t sockdiag_now_ms(void);

/* A descriptor to ask by; -1 and errno. */
int sockdiag_open(void);

/* Sends a request (struct inet_diag_req_v2, unix_diag_req): all sockets that
 * fit it if dump, else the one that it names.  each gets what the kernel says
 * about every one (struct inet_diag_msg, unix_diag_msg, with attributes) and
 * returns whether it wants more; if it doesn't, fd is of no further use.  Does
 * not wait longer than until_ms.  0, or -1 and errno: ETIMEDOUT, or what the
 * kernel answered. */
int sockdiag_ask(int fd, const void *request, size_t len, bool dump, int64_t until_ms,
		 bool (*each)(const void *data, size_t len, void *arg), void *arg);

#endif
