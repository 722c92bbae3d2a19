/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Makes foreign bytes harmless in a line of text.  Pure.
 */
#ifndef HATCHD_ESCAPE_H
#define HATCHD_ESCAPE_H

#include <stddef.h>

/* Both write at most size - 1 bytes and a NUL, never half an escape, and
 * return the length written; *ret_used (may be NULL) tells how many bytes of
 * src are in it.
 *
 * Text: printable ASCII and valid UTF-8 (without the C1 controls, the bidi
 * controls, line and paragraph separators) stay, \\ and \" are escaped by a
 * backslash, everything else is \xHH.
 * JSON (RFC 8259, section 7): as text, but \n, \r, \t, \u00HH; a byte that is
 * not UTF-8 becomes U+FFFD. */
size_t escape_text(char *dst, size_t size, const void *src, size_t len, size_t *ret_used);
size_t escape_json(char *dst, size_t size, const void *src, size_t len, size_t *ret_used);

#endif
