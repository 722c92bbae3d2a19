/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * TCP on 127.0.0.1, at ports that the kernel chooses, for tests of either part.
 * All of it fails the test where it does not say otherwise; each descriptor is
 * the caller's, closed on exec, and blocks unless it was wanted otherwise.
 */
#ifndef HATCHD_TESTS_LOOPBACK_H
#define HATCHD_TESTS_LOOPBACK_H

#include <stdint.h>

/* A socket that is bound and does not listen; *ret_port: where. */
int loopback_bind(uint16_t *ret_port);

/* A client of that port; -1 and errno if it is not let in. */
int loopback_connect(uint16_t port);

/* A connection: fd[0] is the client's end, fd[1] the server's, with the flags of
 * accept4 besides.  Unlike a socketpair it is reset when an end is closed with
 * input unread, and the kernel counts what goes over it. */
void loopback_pair(int fd[2], int flags);

#endif
