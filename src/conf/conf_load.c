/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From the bytes of the files to struct conf, through libConfuse.
 *
 * The text is guarded (source_guard), cut into top-level entries, and each
 * entry's settings are listed (conf_scan) before libConfuse sees it, some
 * entries at a time, each time with a fresh cfg_t:
 * - libConfuse copies the table of options for every section: so it has the
 *   options that occur in these entries and no others;
 * - where it stops at the first error, only one entry is lost.
 * It builds no tree: values are taken from it as they come, as texts with their
 * lines, and sections when they end; conf_build makes settings of them when all
 * of the text has proved right.
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
#define JOIN_SAME 512		/* with the same settings in all of them */
#define JOIN_BYTES 65536
#define TABLE_OPTIONS (SCHEMA_ITEMS + SCHEMA_SECTIONS)

struct table {
	struct schema_set key;
	uint8_t id[TABLE_OPTIONS];	/* of the options */
	cfg_opt_t opts[TABLE_OPTIONS];
	cfg_value_t value[TABLE_OPTIONS];	/* the last one, instead of all in a list */
};

struct value {			/* one that libConfuse has read */
	enum schema_id id;
	struct conf_text v;
};

struct values {
	struct value *list;
	int n, max;
};

struct section {		/* of the top level */
	const char *title;
	int end;		/* of its values */
};

struct loader {
	struct sources *sources;
	struct problems *problems;
	struct conf_build *build;
	struct arena *arena;
	struct conf_entries entries;
	bool incomplete;
	/* while entries are parsed: */
	const char *file;
	int first_line;
	bool quiet;		/* they will be parsed once more if it fails */
	bool told;		/* a problem was added */
	const struct table *table;
	struct values values;
	struct section sections[JOIN_SAME];
	int n_sections, max_sections;
	/* */
	struct conf_text *texts;	/* the values of one setting */
	int max_texts;
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

static struct value *
new_value(struct values *all)
{
	struct value *bigger;
	int max;

	if (all->n == all->max) {
		max = all->max ? 2 * all->max : 256;
		bigger = reallocarray(all->list, (size_t)max, sizeof(*bigger));
		if (!bigger)
			return NULL;
		all->list = bigger;
		all->max = max;
	}
	return &all->list[all->n++];
}

/* libConfuse keeps no values: they stand in our list in their order. */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct loader *l = loading;
	struct value *v;
	cfg_value_t *place = (cfg_value_t *)(void *)opt->simple_value.ptr;
	enum schema_id id = (enum schema_id)l->table->id[place - l->table->value];
	int line = l->first_line + cfg->line - 1;

	if (schema[id].form != SCHEMA_TEXT_OR_FILE && !conf_form_is_clean(value)) {
		char text[128];

		(void)snprintf(text, sizeof(text), "%s: control characters can't be used",
			       opt->name);
		slice_problem(l, line, text);
		return -1;
	}
	v = new_value(&l->values);
	if (v)
		v->v.text = arena_string(l->arena, value);
	if (!v || !v->v.text) {
		slice_problem(l, line, "out of memory");
		return -1;
	}
	v->v.line = line;
	v->id = id;
	*(void **)result = NULL;
	return 0;
}

/* Behind the } of a section of the top level.  It is given up at once: its
 * memory is used for the next one, and the titles before one are gone through
 * for every section. */
static int
on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	struct loader *l = loading;
	const char *title = opt->values[0]->section->title;
	struct section *s = &l->sections[l->n_sections];

	(void)cfg;
	if (l->n_sections == l->max_sections)
		return -1;
	l->n_sections++;
	s->title = title ? arena_string(l->arena, title) : NULL;
	s->end = l->values.n;
	if (title && !s->title) {
		slice_problem(l, l->first_line, "out of memory");
		return -1;
	}
	return cfg_opt_rmnsec(opt, 0) == CFG_SUCCESS ? 0 : -1;
}

/* The option of a setting; its name is the table's. */
static cfg_opt_t
option_for(enum schema_id id)
{
	static const cfg_opt_t one = CFG_PTR_CB("", NULL, CFGF_NODEFAULT, on_value, NULL);
	static const cfg_opt_t list = CFG_PTR_LIST_CB("", NULL, CFGF_NODEFAULT, on_value, NULL);
	static const cfg_opt_t section = CFG_SEC("", NULL, CFGF_MULTI);
	static const cfg_opt_t service = CFG_SEC("", NULL, CFGF_MULTI | CFGF_TITLE);
	cfg_opt_t o;

	if (schema[id].type != SCHEMA_SUB)
		return schema_is_list(&schema[id]) ? list : one;
	o = id == SET_SERVICE ? service : section;
	if (schema[id].in == SCHEMA_GLOBAL)
		o.validcb = on_section;
	return o;
}

/* Options for the settings in key, of all sections. */
static void
table_fill(struct table *t, const struct schema_set *key)
{
	static const cfg_opt_t end = CFG_END();
	int at[SCHEMA_SECTIONS];	/* where a section's options begin */
	unsigned s, id;
	int n = 0;

	t->key = *key;
	for (s = 0; s < SCHEMA_SECTIONS; s++) {
		at[s] = n;
		for (id = schema_first(s); id < schema_first(s + 1); id++) {
			if (!schema_set_has(key, id))
				continue;
			t->opts[n] = option_for(id);
			t->opts[n].name = schema[id].name;
			if (schema[id].type != SCHEMA_SUB)
				t->opts[n].simple_value.ptr = (void **)(void *)&t->value[n];
			t->id[n++] = (uint8_t)id;
		}
		t->opts[n++] = end;
	}
	while (n-- > 0)
		if (t->opts[n].type == CFGT_SEC)
			t->opts[n].subopts = &t->opts[at[schema[t->id[n]].sub]];
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

/* Parses len bytes of text into values and sections; -1: problems were added,
 * unless quiet. */
static int
parse(struct loader *l, struct table *t, char *text, size_t len)
{
	FILE *fp = fmemopen(text, len, "r");
	cfg_t *cfg = fp ? cfg_init(t->opts, CFGF_NONE) : NULL;
	int rc = CFG_PARSE_ERROR;

	l->told = false;
	l->table = t;
	l->values.n = l->n_sections = 0;
	if (cfg) {
		(void)cfg_set_error_function(cfg, on_error);
		rc = cfg_parse_fp(cfg, fp);
		(void)cfg_free(cfg);	/* before fp: the lexer's state hangs on it */
	} else {
		slice_problem(l, l->first_line, "out of memory");
	}
	if (fp)
		(void)fclose(fp);
	if (rc != CFG_SUCCESS && !l->told)
		slice_problem(l, l->first_line, "syntax error");
	return rc == CFG_SUCCESS ? 0 : -1;
}

/* The n values of a setting. */
static int
put(struct loader *l, const struct value *v, int n)
{
	struct conf_text *bigger;
	int i;

	if (!schema_is_list(&schema[v->id])) {
		conf_build_put(l->build, v->id, &v[n - 1].v, 1);
		return 0;
	}
	if (n > l->max_texts) {
		bigger = reallocarray(l->texts, (size_t)n, sizeof(*bigger));
		if (!bigger)
			return -1;
		l->texts = bigger;
		l->max_texts = n;
	}
	for (i = 0; i < n; i++)
		l->texts[i] = v[i].v;
	conf_build_put(l->build, v->id, l->texts, n);
	return 0;
}

/* Where an empty list of an entry stands. */
static struct conf_text
empty_list(const struct loader *l, const struct conf_entry *e, unsigned id)
{
	struct conf_text v = { "", e->line };

	for (int i = 0; i < e->n_empty; i++)
		if (l->entries.empty[e->empty + i].id == (int)id)
			v.line = l->entries.empty[e->empty + i].line;
	return v;
}

/* Tells conf_build the settings of an entry: those with values, which are from
 * up to end, then the empty lists. */
static int
take_entry(struct loader *l, const struct conf_entry *e, const char *title, int from, int end)
{
	struct schema_set left = e->set;
	const struct value *v;
	struct conf_text empty;
	unsigned id;
	int n, word;

	conf_build_begin(l->build, e, l->file, title);
	for (; from < end; from += n) {
		v = &l->values.list[from];
		for (n = 1; from + n < end && v[n].id == v->id; n++)
			;
		left.bits[v->id / 64] &= ~((uint64_t)1 << v->id % 64);
		if (put(l, v, n) < 0)
			return -1;
	}
	for (word = 0; word < 2 && !e->odd; word++) {
		for (; left.bits[word]; left.bits[word] &= left.bits[word] - 1) {
			id = 64U * (unsigned)word + (unsigned)__builtin_ctzll(left.bits[word]);
			if (!schema_is_list(&schema[id]))
				continue;
			empty = empty_list(l, e, id);
			conf_build_put(l->build, id, &empty, 0);
		}
	}
	conf_build_end(l->build);
	return 0;
}

/* Entries e to e + n - 1 as they were parsed; -1: that is not what conf_scan
 * saw. */
static int
take_entries(struct loader *l, const struct conf_entry *e, int n)
{
	const struct section *s;
	int i, from = 0;

	if (schema[e->id].type != SCHEMA_SUB)
		return take_entry(l, e, NULL, 0, l->values.n);
	if (l->n_sections != n)
		return -1;
	for (i = 0; i < n; i++) {
		s = &l->sections[i];
		if (take_entry(l, &e[i], s->title, from, s->end) < 0)
			return -1;
		from = s->end;
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
	int i;

	for (i = 1; i < n; i++) {
		key.bits[0] |= e[i].set.bits[0];
		key.bits[1] |= e[i].set.bits[1];
	}
	l->file = s->name;
	l->first_line = e->first_line;
	l->quiet = quiet;
	l->max_sections = n;
	t = table_for(l, &key);
	if (!t) {
		slice_problem(l, l->first_line, "out of memory");
		return -1;
	}
	if (parse(l, t, s->text + e->at, e[n - 1].at + e[n - 1].len - e->at) < 0)
		return -1;
	if (take_entries(l, e, n) < 0) {
		slice_problem(l, l->first_line, "syntax error");
		return -1;
	}
	return 0;
}

/* How many entries from e on can be parsed together. */
static int
neighbours(const struct loader *l, const struct conf_entry *e)
{
	const struct conf_entry *end = l->entries.list + l->entries.n;
	bool same = true;
	int n = 1;

	for (; e + n < end && n < (same ? JOIN_SAME : JOIN_ENTRIES); n++) {
		if (e[n].id != SET_SERVICE || e[n].file != e->file ||
		    e[n].at + e[n].len - e->at > JOIN_BYTES)
			break;
		if (memcmp(&e[n].set, &e->set, sizeof(e->set)) != 0) {
			if (n >= JOIN_ENTRIES)
				break;
			same = false;
		}
	}
	return n;
}

static void
load_services(struct loader *l)
{
	struct conf_entry *e;
	int i, k, n;

	for (i = 0; i < l->entries.n; i += n) {
		e = &l->entries.list[i];
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

	for (i = 0; i < l->entries.n; i++) {
		e = &l->entries.list[i];
		if (e->id >= 0 && e->id != SET_SERVICE && load_joined(l, e, 1, false) < 0)
			l->incomplete = true;
	}
	if (l->incomplete)
		conf_build_incomplete(l->build);
}

/* A file that the guard refuses is lost as a whole. */
static int
read_entries(struct loader *l)
{
	int i;

	for (i = 0; i < l->sources->n; i++) {
		if (source_guard(&l->sources->list[i], l->problems) < 0)
			l->incomplete = true;
		else if (conf_scan(&l->sources->list[i], i, &l->entries, l->problems) < 0)
			return -1;
	}
	return 0;
}

static void
loader_fini(struct loader *l)
{
	int i;

	for (i = 0; i < l->n_tables; i++)
		free(l->tables[i]);
	free(l->texts);
	free(l->values.list);
	free(l->entries.list);
	free(l->entries.empty);
}

struct conf *
conf_load(struct sources *s, const struct conf_load_env *env, struct problems *p)
{
	struct loader l = { .sources = s, .problems = p };
	int before = problems_count(p);
	struct conf *c = NULL;

	loading = &l;
	if (read_entries(&l) == 0)
		l.build = conf_build_new(s->list[0].name, l.entries.n, env, p);
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
