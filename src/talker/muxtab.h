/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The names that tcpmux knows.
 */
#ifndef HATCHD_MUXTAB_H
#define HATCHD_MUXTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

#define MUXTAB_MAX 32768	/* names: as many as services */

struct muxtab;
struct text;

struct muxtab *muxtab_new(void);
void muxtab_free(struct muxtab *t);

/* MSG_MUX: enters a name (again: for another service) or forgets all.  0, or -1
 * if the message makes no sense, there are too many names, or memory is out:
 * without it names would silently be missing. */
int muxtab_set(struct muxtab *t, const struct msg_mux *m);

/* A name in lower case; false: there is none such. */
bool muxtab_find(const struct muxtab *t, const char *name, size_t len, uint32_t *ret_service,
		 uint32_t *ret_plus);

/* All names in the order in which they came, one a line.  Borrowed until the
 * next muxtab_set: who needs it longer holds it.  NULL: no memory. */
struct text *muxtab_help(struct muxtab *t);

#endif
