/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The talker as a process: started, watched, started again after 0.1 s
 * doubling to 30 s.  What is said to it is link.c's business.
 */
#ifndef HATCHD_TALKPROC_H
#define HATCHD_TALKPROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "msg.h"

struct master;
struct talkproc;

/* 0, or -1 (logged).  path: of the talker's program; if NULL it is looked for
 * beside our own and then where it is installed. */
int talkproc_init(struct master *m);
void talkproc_fini(struct master *m);

/* The link if there is a talker (ready or not), else NULL. */
struct msg_link *talkproc_link(const struct master *m);
bool talkproc_ready(const struct master *m);
pid_t talkproc_pid(const struct master *m);

/* MSG_READY came. */
void talkproc_is_ready(struct master *m);
/* It broke the rules or its end of the link is closed: ended and started
 * again later. */
void talkproc_broken(struct master *m, const char *why);
/* A child ended: true if it was the talker. */
bool talkproc_reaped(struct master *m, pid_t pid, int status);
/* No more of it: tells it to stop, and ends it if it takes too long. */
void talkproc_stop(struct master *m);

#endif
