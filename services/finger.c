/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * finger: a whois-like answer in the protocol of RFC 1288, from a directory
 * that was made for it: a question NAME is answered with the file of that
 * name, an empty one with the list of names.  It knows nothing of accounts and
 * reads nothing else: names consist of letters, digits, '.', '_' and '-', do
 * not begin with a '.', and are opened in the directory itself as regular
 * files, never through links.
 */
#include "svc.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define NAME_LEN 64
#define ANSWER_MAX 65536	/* bytes of a file or a list that are sent */

static bool
good_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NAME_LEN && name[0] != '.' &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		       "0123456789._-") == len;
}

/* Opens a file that may be shown; -1 if there is none. */
static int
open_name(int dir, const char *name)
{
	struct stat st;
	int fd;

	if (!good_name(name))
		return -1;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
		return fd;
	close(fd);
	return -1;
}

/* Lines end with CR LF, and no control character passes. */
static void
put_text(FILE *out, char *text, size_t len)
{
	char *end = text + len, *line = text, *nl;

	for (; line < end; line = nl + 1) {
		nl = memchr(line, '\n', (size_t)(end - line));
		if (nl == NULL)
			nl = end;
		len = (size_t)(nl - line);
		if (len > 0 && line[len - 1] == '\r')
			len--;
		svc_clean(line, len);
		fprintf(out, "%.*s\r\n", (int)len, line);
	}
}

static void
show(FILE *out, int dir, const char *name)
{
	static char text[ANSWER_MAX];
	int fd = open_name(dir, name);
	size_t len = 0;
	ssize_t n;

	if (fd < 0) {
		fprintf(out, "%s: nothing known\r\n", good_name(name) ? name : "that name");
		return;
	}
	while (len < sizeof(text) && (n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	close(fd);
	put_text(out, text, len);
}

static void
list(FILE *out, int dir)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;
	int fd;

	while (d != NULL && ftell(out) < ANSWER_MAX && (e = readdir(d)) != NULL) {
		fd = open_name(dir, e->d_name);
		if (fd < 0)
			continue;
		close(fd);
		fprintf(out, "%s\r\n", e->d_name);
	}
	if (d != NULL)
		closedir(d);
}

int
main(int argc, char **argv)
{
	char line[512], *answer, *name = line;
	size_t len;
	int dir, code = EX_OK;
	FILE *out;

	argv = svc_options("finger", argc, argv, 1, 1, " directory");
	(void)svc_start(SVC_STREAM);
	dir = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		svc_die(EX_UNAVAILABLE, "%s: %s", argv[0], strerror(errno));
	svc.until_ms = svc_now() + svc.timeout_ms;
	if (svc_line(STDIN_FILENO, line, sizeof(line)) < 0) {
		if (errno != EMSGSIZE && errno != EILSEQ)
			return errno == 0 ? EX_OK : svc_code();
		code = EX_DATAERR;
		(void)snprintf(line, sizeof(line), "@");	/* a name that is none */
	}
	if (strncasecmp(name, "/W", 2) == 0 && (name[2] == ' ' || name[2] == '\0'))
		name += 2;		/* "verbose": there is one form only */
	name += strspn(name, " ");
	name[strcspn(name, " ")] = '\0';
	out = svc_text(&answer, &len);
	if (*name == '\0')
		list(out, dir);
	else
		show(out, dir, name);
	svc_text_end(out);
	svc.until_ms = 0;
	if (svc_write(STDOUT_FILENO, answer, len) < 0)
		return svc_code();
	svc_finish(STDIN_FILENO, STDOUT_FILENO);
	free(answer);
	return code;
}
