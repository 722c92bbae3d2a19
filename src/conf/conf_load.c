/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From the bytes of the files to struct conf, through libConfuse.
 *
 * The text is guarded (source_guard), cut into top-level entries, and each
 * entry's settings are listed (conf_scan) before libConfuse sees it, a few
 * entries at a time, each time with a fresh cfg_t:
 * - titled sections cost libConfuse quadratic time, and it copies the table of
 *   options for every section: so slices are small, and the table has the
 *   options that occur in the slice and no others;
 * - where it stops at the first error, only one entry is lost.
 * All values come as texts with their lines; conf_build makes settings of them.
 *
 * libConfuse's state is global and its callbacks get no pointer of ours: one
 * load at a time.  Runs in the master, its trial child and hatchctl.
 */
#include "config.h"

#include <confuse.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "conf_build.h"
#include "conf_form.h"
#include "conf_load.h"
#include "conf_scan.h"

#define TABLES 16		/* tables of options that are kept */
#define JOIN_ENTRIES 32
#define JOIN_BYTES 16384
#define CHUNK 512		/* values */

struct table {
	struct schema_set key;
	int at[SCHEMA_SECTIONS];	/* where a section's options begin */
	uint8_t id[SCHEMA_ITEMS + SCHEMA_SECTIONS];	/* of the options */
	cfg_opt_t opts[SCHEMA_ITEMS + SCHEMA_SECTIONS];
};

struct chunk {
	struct chunk *next;
	struct conf_text list[CHUNK];
};

struct loader {
	struct sources *sources;
	struct problems *problems;
	struct conf_build *build;
	struct arena *arena;
	struct conf_entry *entries;
	int n_entries, max_entries;
	bool incomplete;
	/* while a slice is parsed: */
	const char *file;
	int first_line;
	bool quiet;		/* it will be parsed once more if it fails */
	bool told;		/* a problem was added */
	struct chunk *chunks, *chunk;	/* all of them, the one in use */
	int n_chunk;		/* values in it */
	/* */
	struct conf_text *texts;	/* the values of one setting */
	size_t max_texts;
	struct table *tables[TABLES];
	int n_tables, next_table;
};

static struct loader *loading;

static void
slice_problem(struct loader *l, int line, const char *text)
{
	l->told = true;
	if (!l->quiet)
		problems_add(l->problems, l->file, line, "%s", text);
}

static void __attribute__((format(printf, 2, 0)))
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[512];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	slice_problem(loading, loading->first_line + cfg->line - 1, text);
}

static struct conf_text *
new_value(struct loader *l)
{
	struct chunk *next = l->chunk ? l->chunk->next : l->chunks;

	if (!l->chunk || l->n_chunk == CHUNK) {
		if (!next) {
			next = malloc(sizeof(*next));
			if (!next)
				return NULL;
			next->next = NULL;
			if (l->chunk)
				l->chunk->next = next;
			else
				l->chunks = next;
		}
		l->chunk = next;
		l->n_chunk = 0;
	}
	return &l->chunk->list[l->n_chunk++];
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct loader *l = loading;
	struct conf_text *v;
	int line = l->first_line + cfg->line - 1;

	if (!conf_form_is_clean(value)) {
		char text[128];

		(void)snprintf(text, sizeof(text), "%s: control characters can't be used",
			       opt->name);
		slice_problem(l, line, text);
		return -1;
	}
	v = new_value(l);
	if (v)
		v->text = arena_string(l->arena, value);
	if (!v || !v->text) {
		slice_problem(l, line, "out of memory");
		return -1;
	}
	v->line = line;
	*(void **)result = v;
	return 0;
}

/* Options for the settings in key, of all sections. */
static void
table_fill(struct table *t, const struct schema_set *key)
{
	static const cfg_opt_t one = CFG_PTR_CB("", NULL, CFGF_NODEFAULT, on_value, NULL);
	static const cfg_opt_t list = CFG_PTR_LIST_CB("", NULL, CFGF_NODEFAULT, on_value, NULL);
	static const cfg_opt_t section = CFG_SEC("", NULL, CFGF_MULTI);
	static const cfg_opt_t service =
		CFG_SEC("", NULL, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	static const cfg_opt_t end = CFG_END();
	unsigned s, id;
	int n = 0;

	t->key = *key;
	for (s = 0; s < SCHEMA_SECTIONS; s++) {
		t->at[s] = n;
		for (id = schema_first(s); id < schema_first(s + 1); id++) {
			if (!schema_set_has(key, id))
				continue;
			t->opts[n] = id == SET_SERVICE ? service :
				schema[id].type == SCHEMA_SUB ? section :
				schema_is_list(&schema[id]) ? list : one;
			t->opts[n].name = schema[id].name;
			t->id[n++] = (uint8_t)id;
		}
		t->opts[n++] = end;
	}
	while (n-- > 0)
		if (t->opts[n].type == CFGT_SEC)
			t->opts[n].subopts = &t->opts[t->at[schema[t->id[n]].sub]];
}

static struct table *
table_for(struct loader *l, const struct schema_set *key)
{
	int i;

	for (i = 0; i < l->n_tables; i++)
		if (memcmp(&l->tables[i]->key, key, sizeof(*key)) == 0)
			return l->tables[i];
	if (l->n_tables < TABLES) {
		l->tables[i] = calloc(1, sizeof(struct table));
		if (!l->tables[i])
			return NULL;
		l->n_tables++;
	} else {
		i = l->next_table;
		l->next_table = (l->next_table + 1) % TABLES;
	}
	table_fill(l->tables[i], key);
	return l->tables[i];
}

/* Parses len bytes of text; NULL: problems were added, unless quiet. */
static cfg_t *
parse(struct loader *l, struct table *t, char *text, size_t len)
{
	FILE *fp = fmemopen(text, len, "r");
	cfg_t *cfg = fp ? cfg_init(t->opts, CFGF_NONE) : NULL;
	int rc = CFG_PARSE_ERROR;

	l->told = false;
	l->chunk = NULL;
	if (cfg) {
		(void)cfg_set_error_function(cfg, on_error);
		rc = cfg_parse_fp(cfg, fp);
		if (rc != CFG_SUCCESS) {
			(void)cfg_free(cfg);	/* at once: the lexer's state hangs on it */
			cfg = NULL;
		}
	} else {
		slice_problem(l, l->first_line, "out of memory");
	}
	if (fp)
		(void)fclose(fp);
	if (rc != CFG_SUCCESS && !l->told)
		slice_problem(l, l->first_line, "syntax error");
	return cfg;
}

static int
put(struct loader *l, enum schema_id id, const cfg_opt_t *o)
{
	struct conf_text *bigger;
	unsigned i;

	if (o->nvalues > l->max_texts) {
		bigger = reallocarray(l->texts, o->nvalues, sizeof(*bigger));
		if (!bigger)
			return -1;
		l->texts = bigger;
		l->max_texts = o->nvalues;
	}
	for (i = 0; i < o->nvalues; i++)
		l->texts[i] = *(struct conf_text *)o->values[i]->ptr;
	conf_build_put(l->build, id, l->texts, (int)o->nvalues);
	return 0;
}

/* Tells conf_build the settings in one parsed section. */
static int
take_section(struct loader *l, const struct table *t, unsigned section, const cfg_t *cfg,
	     const struct conf_entry *e)
{
	const cfg_opt_t *o = cfg->opts;
	const uint8_t *id = &t->id[t->at[section]];
	unsigned i;

	for (; o->name; o++, id++) {
		if (!schema_set_has(&e->set, *id))
			continue;
		if (schema[*id].type != SCHEMA_SUB) {
			if (o->nvalues == 0 && (e->odd || !schema_is_list(&schema[*id])))
				continue;
			if (put(l, *id, o) < 0)
				return -1;
			continue;
		}
		for (i = 0; i < o->nvalues; i++)
			if (take_section(l, t, schema[*id].sub, o->values[i]->section, e) < 0)
				return -1;
	}
	return 0;
}

/* The sections of entries e to e + n - 1, in their order; -1: what was parsed
 * is not what conf_scan saw. */
static int
take_sections(struct loader *l, const struct table *t, const cfg_t *cfg,
	      const struct conf_entry *e, int n)
{
	const cfg_opt_t *o = cfg->opts;
	int i;

	while (o->name && strcmp(o->name, schema[e->id].name) != 0)
		o++;
	if (!o->name || o->nvalues != (unsigned)n)
		return -1;
	for (i = 0; i < n; i++) {
		conf_build_begin(l->build, &e[i], l->file, o->values[i]->section->title);
		if (take_section(l, t, SCHEMA_SERVICE, o->values[i]->section, &e[i]) < 0)
			return -1;
		conf_build_end(l->build);
	}
	return 0;
}

/* Parses n entries that stand beside each other, sections or one setting. */
static int
load_joined(struct loader *l, const struct conf_entry *e, int n, bool quiet)
{
	struct source *s = &l->sources->list[e->file];
	struct schema_set key = e->set;
	struct table *t;
	cfg_t *cfg;
	int i, rc = 0;

	for (i = 1; i < n; i++) {
		key.bits[0] |= e[i].set.bits[0];
		key.bits[1] |= e[i].set.bits[1];
	}
	l->file = s->name;
	l->first_line = e->first_line;
	l->quiet = quiet;
	t = table_for(l, &key);
	if (!t) {
		slice_problem(l, l->first_line, "out of memory");
		return -1;
	}
	cfg = parse(l, t, s->text + e->at, e[n - 1].at + e[n - 1].len - e->at);
	if (!cfg)
		return -1;
	if (schema[e->id].type == SCHEMA_SUB) {
		rc = take_sections(l, t, cfg, e, n);
	} else {
		conf_build_begin(l->build, e, l->file, NULL);
		rc = take_section(l, t, SCHEMA_GLOBAL, cfg, e);
		conf_build_end(l->build);
	}
	(void)cfg_free(cfg);
	if (rc < 0)
		slice_problem(l, l->first_line, "syntax error");
	return rc;
}

/* How many entries from e on can be parsed together. */
static int
neighbours(const struct loader *l, const struct conf_entry *e)
{
	const struct conf_entry *end = l->entries + l->n_entries;
	int n = 1;

	while (e + n < end && n < JOIN_ENTRIES && e[n].id == SET_SERVICE &&
	       e[n].file == e->file && e[n].at + e[n].len - e->at <= JOIN_BYTES)
		n++;
	return n;
}

static void
load_services(struct loader *l)
{
	struct conf_entry *e;
	int i, k, n;

	for (i = 0; i < l->n_entries; i += n) {
		e = &l->entries[i];
		n = 1;
		if (e->id != SET_SERVICE)
			continue;
		n = neighbours(l, e);
		if (n > 1 && load_joined(l, e, n, true) == 0)
			continue;
		for (k = 0; k < n; k++)
			(void)load_joined(l, &e[k], 1, false);
	}
}

/* Everything but services, so that the defaults are known for all of them. */
static void
load_globals(struct loader *l)
{
	struct conf_entry *e;
	int i;

	for (i = 0; i < l->n_entries; i++) {
		e = &l->entries[i];
		if (e->id >= 0 && e->id != SET_SERVICE && load_joined(l, e, 1, false) < 0)
			l->incomplete = true;
	}
	if (l->incomplete)
		conf_build_incomplete(l->build);
}

static int
find_entries(struct loader *l, int file)
{
	struct source *s = &l->sources->list[file];
	struct source_slice slice;
	struct conf_entry *bigger;
	size_t pos = 0;

	while (source_next(s, &pos, &slice)) {
		if (l->n_entries == l->max_entries) {
			l->max_entries = l->max_entries ? 2 * l->max_entries : 64;
			bigger = reallocarray(l->entries, (size_t)l->max_entries, sizeof(*bigger));
			if (!bigger)
				return -1;
			l->entries = bigger;
		}
		conf_scan(s, file, &slice, &l->entries[l->n_entries++], l->problems);
	}
	return 0;
}

/* A file that the guard refuses is lost as a whole. */
static int
read_entries(struct loader *l)
{
	int i;

	for (i = 0; i < l->sources->n; i++) {
		if (source_guard(&l->sources->list[i], l->problems) < 0)
			l->incomplete = true;
		else if (find_entries(l, i) < 0)
			return -1;
	}
	return 0;
}

static void
loader_fini(struct loader *l)
{
	struct chunk *c, *next;
	int i;

	for (c = l->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	for (i = 0; i < l->n_tables; i++)
		free(l->tables[i]);
	free(l->texts);
	free(l->entries);
}

struct conf *
conf_load(struct sources *s, const struct conf_load_env *env, struct problems *p)
{
	struct loader l = { .sources = s, .problems = p };
	int before = problems_count(p);
	struct conf *c = NULL;

	loading = &l;
	if (read_entries(&l) == 0)
		l.build = conf_build_new(s->list[0].name, l.n_entries, env, p);
	if (!l.build) {
		problems_add(p, s->list[0].name, 0, "out of memory");
	} else {
		l.arena = conf_build_arena(l.build);
		load_globals(&l);
		load_services(&l);
		conf_build_check(l.build);
		if (problems_count(p) == before)
			c = conf_build_finish(l.build);
		else
			conf_build_free(l.build);
	}
	loader_fini(&l);
	loading = NULL;
	return c;
}
