/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Puts a struct conf together, entry by entry and setting by setting. */
#ifndef HATCHD_CONF_BUILD_H
#define HATCHD_CONF_BUILD_H

#include "conf.h"
#include "conf_load.h"
#include "conf_scan.h"
#include "conf_value.h"

struct conf_build;

/* For at most n_services services.  NULL: out of memory. */
struct conf_build *conf_build_new(const char *file, int n_services,
				  const struct conf_load_env *env, struct problems *p);

/* Texts of settings are to be interned here. */
struct arena *conf_build_arena(struct conf_build *b);

/* Something could not be read at all: what depends on everything being known
 * is not checked any more. */
void conf_build_incomplete(struct conf_build *b);

/* An entry, defaults before the first service; title: of a service, interned;
 * file lives as long as b.  Then each of its settings once, then its end.  Of an
 * empty list n is 0, and v[0] has its line. */
void conf_build_begin(struct conf_build *b, const struct conf_entry *e, const char *file,
		      const char *title);
void conf_build_put(struct conf_build *b, enum schema_id id, const struct conf_text *v, int n);
void conf_build_end(struct conf_build *b);

/* Behind the last entry: checks the global settings. */
void conf_build_check(struct conf_build *b);

/* Frees b and gives what it built; conf_build_free: throws it away. */
struct conf *conf_build_finish(struct conf_build *b);
void conf_build_free(struct conf_build *b);

#endif
