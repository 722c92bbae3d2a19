/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A wait handler has the listening socket itself, and can leave it so that it is
 * of no use any more: shut down, or connected to one peer.
 */
#ifndef HATCHD_MEND_H
#define HATCHD_MEND_H

struct listener;

/* Looks whether l, which nobody has now, is still what it was bound as.  If not, that
 * is undone or another socket is bound in its place, which is told in the log;
 * l->fd may be another one afterwards, or -1 while it is tried again. */
void mend_listener(struct listener *l);

/* It was readable, but there is nothing to be seen: looks as above, and if that
 * happens again and again lets its service wait for a moment. */
void mend_vain(struct listener *l);

#endif
