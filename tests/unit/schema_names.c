/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Prints the names of all settings, one in a line, in their order; with -v
 * "name = default" of those that have a default.  For settings.test.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "schema.h"

static void
print_default(const struct schema_item *it)
{
	char text[64], *save = NULL, *word;
	const char *comma = " ";

	(void)snprintf(text, sizeof(text), "%s", it->fallback);
	if (schema_is_list(it)) {
		(void)fputs("{", stdout);
		for (word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
			(void)printf("%s\"%s\"", comma, word);
			comma = ", ";
		}
		(void)fputs(" }", stdout);
	} else if (it->type == SCHEMA_TEXT || it->type == SCHEMA_CHOICE ||
		   it->type == SCHEMA_RATE) {
		(void)printf("\"%s\"", text);
	} else {
		(void)fputs(text, stdout);
	}
}

int
main(int argc, char **argv)
{
	int values = argc > 1 && strcmp(argv[1], "-v") == 0;
	unsigned id;
	char name[64];

	for (id = 0; id < SCHEMA_ITEMS; id++) {
		if (schema[id].type == SCHEMA_SUB || (values && !schema[id].fallback))
			continue;
		(void)fputs(schema_name(id, true, name), stdout);
		if (values) {
			(void)fputs(" = ", stdout);
			print_default(&schema[id]);
		}
		(void)putchar('\n');
	}
	return 0;
}
