/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* What differs between two configurations, service by service (by name). */
#ifndef HATCHD_CONF_DIFF_H
#define HATCHD_CONF_DIFF_H

#include "conf.h"

enum conf_change { CONF_SAME, CONF_ADDED, CONF_REMOVED, CONF_CHANGED };

/* The names of the settings and sections in which two services differ, comma
 * separated ("exec,limits"), "" if in none; disabled counts as "enabled".
 * Returns the length; cut at size - 1. */
size_t conf_diff_service(const struct conf_service *a, const struct conf_service *b,
			 char *buf, size_t size);

/* Calls fn for each enabled service that was added, removed or changed; a
 * service that is disabled in a configuration is not in it.  O(n log n). */
void conf_diff(const struct conf *old, const struct conf *new,
	       void (*fn)(enum conf_change what, const struct conf_service *a,
			  const struct conf_service *b, void *arg), void *arg);

/* The names of changed global settings, as conf_diff_service. */
size_t conf_diff_global(const struct conf *a, const struct conf *b, char *buf, size_t size);

#endif
