/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Texts that are sent to peers: with escapes for what can't be typed, or in a
 * file of their own. */
#ifndef HATCHD_CONF_BYTES_H
#define HATCHD_CONF_BYTES_H

#include <stddef.h>

#include "arena.h"
#include "conf.h"

#define CONF_BYTES_TEXT (4 * PROTO_TEXT + 1)	/* room for each as \NNN, and NUL */

/* The bytes that a text with escapes stands for: \r \n \t \e \\ \" \xHH \NNN.
 * NULL, or what is wrong with it, as a static string. */
const char *conf_bytes_parse(const char *text, char bytes[PROTO_TEXT], size_t *ret_len);

/* The opposite: the same text for the same bytes, without control characters,
 * valid UTF-8 and not longer than whatever else stands for them. */
void conf_bytes_print(const char *bytes, size_t len, char text[CONF_BYTES_TEXT]);

/* The path of "file:/PATH"; NULL if text is something else. */
const char *conf_bytes_path(const char *text);

/* A regular file of 1 to PROTO_TEXT bytes.  NULL, or what is wrong with it. */
const char *conf_bytes_read(const char *path, char bytes[PROTO_TEXT], size_t *ret_len);

/* As an interned block; NULL: out of memory. */
const struct conf_bytes *conf_bytes_intern(struct arena *a, const char *bytes, size_t len);

#endif
