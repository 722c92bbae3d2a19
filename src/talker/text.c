/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Shared text; talker.  Used by muxtab.c, which makes it, and visit.c, which
 * writes it.
 */
#include "config.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

struct text *
text_new(const char *bytes, size_t len)
{
	struct text *t = malloc(sizeof *t + len);

	if (t == NULL)
		return NULL;
	t->holders = 1;
	t->len = len;
	if (bytes != NULL)
		memcpy(t->bytes, bytes, len);
	return t;
}

struct text *
text_hold(struct text *t)
{
	t->holders++;
	return t;
}

void
text_release(struct text *t)
{
	if (t != NULL && --t->holders == 0)
		free(t);
}
