/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Signals to processes that are not our children, whose pid another process may
 * have got meanwhile.
 */
#ifndef HATCHD_PIDFD_H
#define HATCHD_PIDFD_H

#include <stdbool.h>
#include <sys/types.h>

/* Sends sig (0: only looks) to process pid if still says that it is the one
 * that is meant; it is asked when the process can't be replaced any more.
 * Never to ourselves, nor to pid 1.  0, or -1 and errno (ESRCH: it isn't). */
int pidfd_kill(pid_t pid, int sig, bool (*still)(pid_t pid, const void *arg), const void *arg);

#endif
