/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* What a text of the configuration may look like. */
#ifndef HATCHD_CONF_FORM_H
#define HATCHD_CONF_FORM_H

#include <stdbool.h>

#include "schema.h"

#define CONF_FORM_WHY 160

/* Without what few settings may hold: control characters. */
bool conf_form_is_clean(const char *text);

/* NULL, or what is wrong with a text that isn't empty, as a static string or in
 * why.  Not for SCHEMA_TEXT_OR_FILE. */
const char *conf_form_error(enum schema_form form, const char *text, char why[CONF_FORM_WHY]);

#endif
