/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The files of a configuration as bytes: opened, checked and read once, so
 * that what is tried in a child is exactly what is loaded afterwards.
 */
#ifndef HATCHD_SOURCE_H
#define HATCHD_SOURCE_H

#include <stddef.h>
#include <sys/types.h>

#include "conf.h"
#include "textfile.h"

#define SOURCE_BYTES TEXTFILE_BYTES	/* of one file */
#define SOURCE_FILES 4096
#define SOURCE_TOTAL (64 << 20)	/* of all files together */
#define SOURCE_LINE 4096	/* of one line */

struct source {
	char *name;		/* path, for messages */
	char *text;		/* NUL behind the len bytes */
	size_t len;
	_Bool guarded;		/* source_guard was content with it */
};

struct sources {
	struct source *list;	/* the main file first, then by glob, sorted */
	int n;
};

/* Reads path and the files that its `conf` globs name.  owner: who may own
 * them beside root.  A file has to be regular, owned by root or owner, not
 * writable by group (unless it is owner's or root's own) or others, at most
 * SOURCE_BYTES, without NUL bytes; opening it never blocks.  NULL if there was
 * any problem (all of them are in p). */
struct sources *sources_read(const char *path, uid_t owner, struct problems *p);

/* The same from memory, for a configuration made on the command line; name is
 * for messages.  `conf` globs are not followed. */
struct sources *sources_from_text(const char *name, const char *text, size_t len);
void sources_free(struct sources *s);

/* Guards one file's text against what libConfuse 3.3 gets wrong, in place:
 * blanks comments (newlines stay), refuses control bytes, "* ; ( ) | $" and
 * non-ASCII outside of quotes, escapes that make control bytes, "${" in quotes,
 * quoted option names, open quotes, comments and braces, lines over
 * SOURCE_LINE, nesting deeper than the language has.  Returns 0 or -1 (in p). */
int source_guard(struct source *s, struct problems *p);

/* The patterns of the top-level `conf = { ... }` in a guarded text, read by
 * our own tokens: malloced, NULL-terminated list of malloced strings; NULL if
 * there are none. */
char **source_globs(const struct source *s);
void source_globs_free(char **globs);

/* Whole top-level entries (settings and sections) of a guarded text, one after
 * the other: *pos starts at 0; gives offset, length and first line; false at
 * the end.  *ret has to be what the call before gave: lines are counted on. */
struct source_slice {
	size_t at, len;
	int line;
};
_Bool source_next(const struct source *s, size_t *pos, struct source_slice *ret);

#endif
