/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The canonical text of a configuration: every setting, in the schema's order,
 * with defaults applied; loading it gives the same configuration again. */
#ifndef HATCHD_CONF_PRINT_H
#define HATCHD_CONF_PRINT_H

#include <stdio.h>

#include "conf.h"

void conf_print(const struct conf *c, FILE *out);
void conf_print_service(const struct conf_service *s, FILE *out);

/* Writes text as a quoted string of the language. */
void conf_print_quoted(FILE *out, const char *text);

#endif
