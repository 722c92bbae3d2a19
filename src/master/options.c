/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The command line.  Runs in the master, before anything else; main.c calls
 * it.  "-l ... -- COMMAND" becomes the text of a configuration, so that there
 * is one way to everything.
 */
#include "config.h"

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_print.h"

#define COMMAND "command line"

static const char usage[] =
	"usage: hatchd [-dFnV] [-f FILE] [-p PIDFILE]\n"
	"       hatchd [-f FILE] --explain SERVICE ADDRESS[:PORT] [--at TIME]\n"
	"       hatchd [-d] [-u USER] [--set SETTING=VALUE] -l LISTEN [-l LISTEN] -- COMMAND [ARG]\n";

enum { MAX_LISTEN = 64, MAX_SET = 64 };

struct words {			/* of "-l" */
	const char *listen[MAX_LISTEN], *set[MAX_SET], *user;
	int n_listen, n_set;
};

static int
wrong(const char *text, const char *what)
{
	if (text)
		(void)fprintf(stderr, "hatchd: %s%s%s\n", text, what ? ": " : "", what ? what : "");
	(void)fputs(usage, stderr);
	return -1;
}

static bool
is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The last part stays as it is if it is a link: programs that are many in one
 * go by their name. */
static char *
make_absolute(const char *name)
{
	const char *base = strrchr(name, '/') + 1;
	char *copy, *dir, *path = NULL;

	if (name[0] == '/')
		return strdup(name);
	copy = strndup(name, (size_t)(base - name));
	dir = copy ? realpath(copy, NULL) : NULL;
	if (dir && asprintf(&path, "%s/%s", dir, base) < 0)
		path = NULL;
	free(copy);
	free(dir);
	return path;
}

/* As a shell would find it.  malloced, NULL if it isn't there. */
static char *
find_command(const char *name)
{
	const char *path = getenv("PATH");
	char *copy, *save, *found = NULL;

	if (strchr(name, '/'))
		return is_program(name) ? make_absolute(name) : NULL;
	copy = strdup(path ? path : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
	for (char *dir = copy ? strtok_r(copy, ":", &save) : NULL; dir && !found;
	     dir = strtok_r(NULL, ":", &save)) {
		if (dir[0] != '/' || asprintf(&found, "%s/%s", dir, name) < 0) {
			found = NULL;
		} else if (!is_program(found)) {
			free(found);
			found = NULL;
		}
	}
	free(copy);
	return found;
}

static bool
is_global(const char *set)
{
	static const char *const names[] = {
		"log", "log_format", "control", "control_group", "max_processes",
		"event_backend", "pid_file",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strncmp(set, names[i], strlen(names[i])) == 0 && set[strlen(names[i])] == '=')
			return true;
	return false;
}

static void
print_setting(FILE *out, const char *name, const char *indent)
{
	const char *value = strchr(name, '=');

	(void)fprintf(out, "%s%.*s = ", indent, (int)(value - name), name);
	conf_print_quoted(out, value + 1);
	(void)fputc('\n', out);
}

/* "limits.instances=5": all of a section together */
static void
print_sections(FILE *out, const struct words *w)
{
	for (int i = 0; i < w->n_set; i++) {
		size_t len = strcspn(w->set[i], ".=");
		bool first = true;

		if (is_global(w->set[i]))
			continue;
		if (w->set[i][len] == '=') {
			print_setting(out, w->set[i], "  ");
			continue;
		}
		for (int k = 0; k < i; k++)
			first = first && strncmp(w->set[k], w->set[i], len + 1) != 0;
		if (!first)
			continue;
		(void)fprintf(out, "  %.*s {\n", (int)len, w->set[i]);
		for (int k = i; k < w->n_set; k++)
			if (strncmp(w->set[k], w->set[i], len + 1) == 0)
				print_setting(out, w->set[k] + len + 1, "    ");
		(void)fputs("  }\n", out);
	}
}

/* A line each: there is a limit to their length. */
static void
print_list(FILE *out, const char *name, const char *first, char *const *rest, int n)
{
	(void)fprintf(out, "  %s = {\n    ", name);
	conf_print_quoted(out, first);
	for (int i = 0; i < n; i++) {
		(void)fputs(",\n    ", out);
		conf_print_quoted(out, rest[i]);
	}
	(void)fputs(" }\n", out);
}

static bool
has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

static int
make_text(struct options *o, const struct words *w, int argc, char **argv)
{
	char *command;
	bool log_set = false;
	FILE *out;

	for (int i = 0; i < argc; i++)	/* the language has no way to write them */
		if (has_control(argv[i]))
			return wrong("an argument has a line break, tab or control character; "
				     "put it into a script", NULL);
	command = find_command(argv[0]);
	if (!command)
		return wrong("command not found", argv[0]);
	out = open_memstream(&o->text, &o->text_len);
	if (!out) {
		free(command);
		return wrong(strerror(errno), NULL);
	}
	for (int i = 0; i < w->n_set; i++)
		if (is_global(w->set[i])) {
			log_set = log_set || strncmp(w->set[i], "log=", 4) == 0;
			print_setting(out, w->set[i], "");
		}
	if (!log_set)
		(void)fputs("log = \"stderr\"\n", out);
	(void)fputs("service \"command\" {\n", out);
	print_list(out, "listen", w->listen[0], (char *const *)w->listen + 1, w->n_listen - 1);
	print_list(out, "exec", command, argv + 1, argc - 1);
	if (w->user) {
		(void)fputs("  user = ", out);
		conf_print_quoted(out, w->user);
		(void)fputc('\n', out);
	}
	print_sections(out, w);
	(void)fputs("}\n", out);
	free(command);
	return fclose(out) == EOF ? wrong(strerror(errno), NULL) : 0;
}

static int
take(const char **list, int *n, int max, const char *what, const char *value)
{
	if (*n == max)
		return wrong("too many", what);
	list[(*n)++] = value;
	return 0;
}

/* "limits.instances=5", "wait=yes" */
static bool
is_setting(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	size_t n = strspn(text, letters), m;

	if (text[n] != '.')
		return n > 0 && text[n] == '=';
	m = strspn(text + n + 1, letters);
	return n > 0 && m > 0 && text[n + 1 + m] == '=';
}

/* The service is followed by an address. */
static int
take_question(struct options *o, int argc, char **argv)
{
	if (optind == argc || argv[optind][0] == '-')
		return wrong("--explain needs SERVICE ADDRESS", NULL);
	o->explain = optarg;
	o->explain_address = argv[optind++];
	return 0;
}

static int
parse_letter(int c, struct options *o, struct words *w)
{
	switch (c) {
	case 'f':
		o->file = optarg;
		return 0;
	case 'p':
		o->pid_file = optarg;
		return 0;
	case 'n':
		o->check = true;
		return 0;
	case 'd':
		o->debug = o->foreground = true;
		return 0;
	case 'F':
		o->foreground = true;
		return 0;
	case 'V':
		o->version = true;
		return 0;
	case 'u':
		w->user = optarg;
		return 0;
	case 'a':
		o->explain_time = optarg;
		return 0;
	case 'l':
		return take(w->listen, &w->n_listen, MAX_LISTEN, "-l", optarg);
	case 's':
		if (!is_setting(optarg))
			return wrong("--set needs SETTING=VALUE", optarg);
		return take(w->set, &w->n_set, MAX_SET, "--set", optarg);
	default:
		return wrong(NULL, NULL);
	}
}

int
options_parse(int argc, char **argv, struct options *ret)
{
	static const struct option longs[] = {
		{ "at", required_argument, NULL, 'a' },
		{ "explain", required_argument, NULL, 'e' },
		{ "set", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct words w = { .n_listen = 0 };
	int c;

	*ret = (struct options){ .file = NULL };
	while ((c = getopt_long(argc, argv, "+f:p:ndFVu:l:h", longs, NULL)) != -1)
		if ((c == 'e' ? take_question(ret, argc, argv) : parse_letter(c, ret, &w)) == -1)
			return -1;
	if (ret->explain_time && !ret->explain)
		return wrong("--at goes with --explain", NULL);
	if (w.n_listen > 0) {
		if (ret->file)
			return wrong("-f and -l exclude each other", NULL);
		if (optind == argc)
			return wrong("-l needs a command", NULL);
		ret->foreground = true;
		ret->file = COMMAND;
		return make_text(ret, &w, argc - optind, argv + optind);
	}
	if (optind < argc)
		return wrong("unexpected argument", argv[optind]);
	if (w.user || w.n_set > 0)
		return wrong("-u and --set go with -l", NULL);
	if (!ret->file)
		ret->file = DEFAULT_CONF;
	return 0;
}

void
options_fini(struct options *o)
{
	free(o->text);
	o->text = NULL;
	for (int i = 0; i < 2; i++) {
		free(o->paths[i]);
		o->paths[i] = NULL;
	}
}

/* Not realpath(3): a link that is changed before a reload is to be followed then. */
static int
settle(const char **path, char **ret)
{
	char *cwd;
	int n;

	if (!*path || **path == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	n = cwd ? asprintf(ret, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, *path) : -1;
	if (n < 0) {
		(void)fprintf(stderr, "hatchd: %s: the working directory: %s\n", *path,
			      strerror(errno));
		*ret = NULL;
	} else {
		*path = *ret;
	}
	free(cwd);
	return n < 0 ? -1 : 0;
}

int
options_settle(struct options *o)
{
	if (o->text)
		return 0;
	return settle(&o->file, &o->paths[0]) == -1 ||
		settle(&o->pid_file, &o->paths[1]) == -1 ? -1 : 0;
}

struct sources *
options_sources(const struct options *o, struct problems *p)
{
	struct sources *s;

	if (!o->text)
		return sources_read(o->file, geteuid(), p);
	s = sources_from_text(o->file, o->text, o->text_len);
	if (!s)
		problems_add(p, o->file, 0, "out of memory");
	return s;
}
