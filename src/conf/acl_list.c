/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The list files of a configuration, each read once, and again when the text of
 * one of its lines is asked for.
 *
 * Runs in the master, its trial child and hatchctl; called by gate_build.c and
 * conf_gate.c.
 */
#include "config.h"

#include "acl_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acl_list_parse.h"
#include "textfile.h"

struct file {
	char *path;
	bool good;
	struct acl_list list;
};

struct acl_lists {
	struct file files[ACL_LISTS];
	int n;
};

struct acl_lists *
acl_lists_new(void)
{
	return calloc(1, sizeof(struct acl_lists));
}

void
acl_lists_clear(struct acl_lists *l)
{
	for (int i = 0; i < l->n; i++) {
		free(l->files[i].path);
		acl_list_fini(&l->files[i].list);
	}
	memset(l, 0, sizeof(*l));
}

void
acl_lists_free(struct acl_lists *l)
{
	if (!l)
		return;
	acl_lists_clear(l);
	free(l);
}

static void
load(struct file *f, const struct conf_rule *rule, const char *what, uid_t owner,
     struct resolve *resolve, struct problems *p)
{
	const struct acl_list_order order = {
		.path = f->path, .what = what, .resolve = resolve, .problems = p,
	};
	char *text;
	size_t len;

	text = textfile_load(f->path, owner, p, &len);
	if (!text) {
		if (errno)
			problems_add(p, rule->file, rule->line, "%s: '%s' cannot be opened: %s",
				     what, rule->text, strerror(errno));
		else
			problems_add(p, rule->file, rule->line, "%s: '%s' has errors", what,
				     rule->text);
		return;
	}
	f->good = acl_list_parse(&order, text, len, &f->list) == 0;
	free(text);
}

const struct acl_list *
acl_lists_get(struct acl_lists *l, const struct conf_rule *rule, const char *what, uid_t owner,
	      struct resolve *r, struct problems *p)
{
	const char *path = rule->text + strlen("file:");
	struct file *f;

	for (int i = 0; i < l->n; i++) {
		f = &l->files[i];
		if (strcmp(f->path, path) != 0)
			continue;
		if (!f->good)
			problems_add(p, rule->file, rule->line, "%s: '%s' has errors", what,
				     rule->text);
		return f->good ? &f->list : NULL;
	}
	if (l->n == ACL_LISTS) {
		problems_add(p, rule->file, rule->line, "%s: '%s': more than %d list files", what,
			     rule->text, ACL_LISTS);
		return NULL;
	}
	f = &l->files[l->n];
	f->path = strdup(path);
	if (!f->path) {
		problems_add(p, rule->file, rule->line, "%s: out of memory", what);
		return NULL;
	}
	l->n++;
	load(f, rule, what, owner, r, p);
	return f->good ? &f->list : NULL;
}

bool
acl_list_line(const char *path, uid_t owner, uint32_t line, char *buf, size_t size)
{
	struct problems *p = problems_new();
	size_t len;
	char *text = p ? textfile_load(path, owner, p, &len) : NULL;
	const char *found = text ? acl_list_find(text, len, line) : NULL;
	bool ok = found && *found;

	if (ok)
		(void)snprintf(buf, size, "%s", found);
	free(text);
	problems_free(p);
	return ok;
}
