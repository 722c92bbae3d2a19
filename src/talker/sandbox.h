/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Gives up everything the talker does not need.
 */
#ifndef HATCHD_SANDBOX_H
#define HATCHD_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

struct sandbox {
	bool change;		/* to uid and gid, in the folder root_fd; else stay */
	uid_t uid;
	gid_t gid;
	int root_fd;		/* an empty folder; closed */
};

/* At start, before anything is read, and when everything that needs files is
 * there.  What fails ends the process. */
void sandbox_enter(const struct sandbox *s);

#endif
