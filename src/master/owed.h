/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the talker has still to be told: a mark for each message that must
 * arrive, which is made when it is sent, from what is true then.  So it costs a
 * bit however long it waits, and what is over meanwhile is unmarked.  What is
 * of one kind goes before what is of the next.
 */
#ifndef HATCHD_OWED_H
#define HATCHD_OWED_H

#include <stdbool.h>
#include <stdint.h>

enum owed_kind {		/* and what its numbers are */
	OWED_ERRLOG,		/* places in stderrs.c; the talker counts them as they come */
	OWED_STOP,		/* 0; what is in those is read before it ends */
	OWED_CONTROL,		/* 0 */
	OWED_CLOSE,		/* slots */
	OWED_LEAVE,		/* listeners: sockets that are a handler's now, */
	OWED_DROP,		/* or not the talker's: before a new one with its number, */
	OWED_DGRAM,		/* which is one of these */
	OWED_NAMES,		/* 0: forget all; rows of services + 1 */
	OWED_OFFER,		/* slots of connections that the talker is to get */
	OWED_KINDS
};

struct owed;

struct owed *owed_new(void);	/* NULL and errno */
void owed_free(struct owed *o);

/* A number that is too large for its kind is ignored: the talker knows none such. */
void owed_mark(struct owed *o, enum owed_kind kind, uint32_t number);
void owed_unmark(struct owed *o, enum owed_kind kind, uint32_t number);
bool owed_marked(const struct owed *o, enum owed_kind kind, uint32_t number);

/* The next to be told of the first kind of which there is one, of the others of this
 * kind the one that follows the last, around; it stays marked.  False: nothing. */
bool owed_next(struct owed *o, enum owed_kind *ret_kind, uint32_t *ret_number);
bool owed_any(const struct owed *o);

/* Nothing of this kind is owed any more; nothing at all.  The next is the one with
 * the lowest number. */
void owed_forget(struct owed *o, enum owed_kind kind);
void owed_forget_all(struct owed *o);

#endif
