/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Answers to the control socket's requests.  Pure but for the board it reads.
 */
#ifndef HATCHD_ANSWERS_H
#define HATCHD_ANSWERS_H

#include <stddef.h>

#include "board.h"

/* The answer to one request line (without its newline): a line of JSON, to be
 * freed; NULL if memory is out.
 *
 *   status [NAME]  {"version": "0.1.0", "pid": 1, "start": MS, "services": [...]}
 *   connections    {"connections": [...]}
 *   else           {"error": "unknown request"}
 *
 * Times ("start") are milliseconds since 1970; what is 0 in "refused" is left
 * out. */
char *answers_make(const struct board *board, const char *request, size_t *ret_len);

#endif
