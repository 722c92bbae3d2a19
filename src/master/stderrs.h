/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The sockets that handlers get as stderr: one pair for each account.  All
 * handlers of an account share one end, and could shut it down or disconnect
 * it; they can't reach that of another account.  Of more accounts than
 * PROTO_ERRLOGS the stderr is not read.
 */
#ifndef HATCHD_STDERRS_H
#define HATCHD_STDERRS_H

#include <stdint.h>
#include <sys/types.h>

struct master;
struct stderrs;

struct stderrs *stderrs_new(struct master *m);
void stderrs_free(struct stderrs *all);

/* The handlers' end for this account, at a low number (see spawn.c); borrowed;
 * its number for the board in *ret_account.  -1 if there can't be one (told in
 * the log). */
int stderrs_fd(struct stderrs *all, uid_t uid, uint16_t *ret_account);

/* How many there are, and the other end of each, for the talker; borrowed. */
uint32_t stderrs_count(const struct stderrs *all);
int stderrs_read_fd(const struct stderrs *all, uint32_t i);

#endif
