/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time zones of the machine for tests: for our functions, and for those of the
 * C library to compare with.
 */
#ifndef HATCHD_ZONE_FILE_H
#define HATCHD_ZONE_FILE_H

#include <stddef.h>

struct zone;

/* The file of a zone; NULL if there is no such zone here. */
unsigned char *zone_file_read(const char *name, size_t *len);

/* The zone, and localtime_r() has it from now on; NULL: skip the test. */
struct zone *zone_file_use(const char *name);

#endif
