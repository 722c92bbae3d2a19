/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Text that several connections write, each at its own pace.  It is freed when
 * nobody holds it any more.
 */
#ifndef HATCHD_TEXT_H
#define HATCHD_TEXT_H

#include <stddef.h>

struct text {
	unsigned holders;
	size_t len;
	char bytes[];		/* no NUL */
};

/* len bytes, a copy of `bytes` unless that is NULL; held once.  NULL: no memory. */
struct text *text_new(const char *bytes, size_t len);

struct text *text_hold(struct text *t);
void text_release(struct text *t);	/* NULL ok */

#endif
