/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* What "--explain SERVICE ADDRESS --at TIME" asks. */
#ifndef HATCHD_QUESTION_H
#define HATCHD_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"

#define QUESTION_TIME 32

/* "192.0.2.7", "192.0.2.7:4242", "2001:db8::1", "[2001:db8::1]:4242",
 * "unix:uid=1000,gid=100", "uid:1000".  A gid that is not given is that of the
 * account.  NULL, or what is wrong. */
const char *question_address(const char *text, struct addr *ret);

/* "2026-11-20T14:30", "2026-11-20 14:30:05": local time; the same with a Z: UTC;
 * "@1795185000".  Seconds since 1970.  NULL, or what is wrong. */
const char *question_time(const char *text, int64_t *ret);

/* In local time, without seconds if there are none. */
const char *question_print_time(int64_t t, char buf[QUESTION_TIME]);

#endif
