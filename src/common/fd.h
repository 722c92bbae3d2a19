/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Small helpers for descriptors.  Long-lived descriptors sit at high numbers
 * (see FD_HIGH) so that accepted sockets get low ones: a new handler's
 * descriptor table is then copied only up to a small number.
 */
#ifndef HATCHD_FD_H
#define HATCHD_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Where long-lived descriptors begin, where RLIMIT_NOFILE allows. */
#define FD_HIGH 256

/* Moves fd to FD_HIGH or above (half of RLIMIT_NOFILE if that is less),
 * CLOEXEC.  Returns the new number and closes the old; if there is no room the
 * old one, unchanged. */
int fd_raise(int fd);

/* A CLOEXEC duplicate at `low` or above; -1 and errno. */
int fd_dup(int fd, int low);

/* Closes *fd unless it is -1 and sets it to -1. */
void fd_close(int *fd);

/* The same for a socket on which somebody else may have set SO_LINGER (socket(7)):
 * never waits for what has been written to it. */
void fd_close_now(int *fd);

/* Closes those that an SCM_RIGHTS has brought (cmsg(3)), in the same way: they are
 * their sender's, too. */
void fd_close_received(const struct cmsghdr *c);

/* Whether others can send descriptors to this UNIX socket: those that nobody reads
 * are closed together with it, and that can take as long as their sender likes.
 * SO_PASSRIGHTS, Linux 6.16 or later; without it nothing changes. */
void fd_pass_rights(int fd, bool on);

int fd_set_nonblock(int fd, bool on);		/* 0, -1 and errno */

/* Raises RLIMIT_NOFILE to its hard limit, at most `max`; returns the limit in
 * force and, in *ret_old, the soft limit that was found (handlers get it). */
rlim_t fd_raise_limit(rlim_t max, rlim_t *ret_old);

#endif
