/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time zones of the machine.  Used by tests of src/policy.
 */
#include "config.h"

#include "zone_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "zone.h"

unsigned char *
zone_file_read(const char *name, size_t *len)
{
	unsigned char *bytes = malloc(ZONE_FILE_MAX);
	char path[256];
	FILE *f;

	assert_non_null(bytes);
	(void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	f = fopen(path, "rb");
	if (!f) {
		free(bytes);
		return NULL;
	}
	*len = fread(bytes, 1, ZONE_FILE_MAX, f);
	(void)fclose(f);
	return bytes;
}

struct zone *
zone_file_use(const char *name)
{
	const char *why = NULL;
	unsigned char *bytes;
	struct zone *z;
	size_t len;

	bytes = zone_file_read(name, &len);
	if (!bytes)
		return NULL;
	z = zone_load(bytes, len, &why);
	if (!z)
		fail_msg("%s: %s", name, why);
	free(bytes);
	assert_int_equal(setenv("TZ", name, 1), 0);
	tzset();
	return z;
}
