/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The file with our process id; locked, so that there is one daemon for it. */
#ifndef HATCHD_PIDFILE_H
#define HATCHD_PIDFILE_H

/* The open, locked file with our pid in it; -1 after a message in the log. */
int pidfile_create(const char *path);
/* Removes it, if it is still ours, and closes fd (-1 is allowed). */
void pidfile_remove(const char *path, int fd);

#endif
