/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The field of a setting in its section's struct. */
#ifndef HATCHD_CONF_FIELD_H
#define HATCHD_CONF_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "schema.h"

/* Of types that are integers, whatever the size. */
int64_t conf_field_integer(const struct schema_item *it, const void *base);
void conf_field_set_integer(const struct schema_item *it, void *base, int64_t value);

/* Of SCHEMA_TEXT, SCHEMA_LIST and SCHEMA_RULES. */
const void *conf_field_pointer(const struct schema_item *it, const void *base);
void conf_field_set_pointer(const struct schema_item *it, void *base, const void *p);

/* Of SCHEMA_RATE. */
struct limit_rate conf_field_rate(const struct schema_item *it, const void *base);
void conf_field_set_rate(const struct schema_item *it, void *base, const struct limit_rate *rate);

/* Do the fields in a and b say the same?  Not for SCHEMA_RLIMIT and
 * SCHEMA_SUB; what was resolved (accounts, ids) is not looked at. */
bool conf_field_equal(const struct schema_item *it, const void *a, const void *b);

#endif
