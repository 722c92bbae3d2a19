/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Many descriptors that are only watched for input, at little cost: ten
 * thousand listeners.  With the epoll backend they have an epoll descriptor of
 * their own, which the loop watches, and need no watcher each (an ev_io takes
 * 170 bytes, here it is none); with others each has one.
 */
#ifndef HATCHD_EV_SET_H
#define HATCHD_EV_SET_H

#include "ev.h"

struct ev_set;

/* fn(item) is called for each that is ready, some 64 in a turn; it may remove
 * any, itself too.  Level-triggered.  NULL and errno. */
struct ev_set *ev_set_new(struct ev *ev, void (*fn)(void *item));
void ev_set_free(struct ev_set *s);

/* 0, or -1 and errno; adding one that is there or removing one that is not is
 * a bug.  item stays the owner's and has to live until it is removed; remove
 * before the descriptor is closed. */
int ev_set_add(struct ev_set *s, int fd, void *item);
void ev_set_remove(struct ev_set *s, int fd, void *item);

#endif
