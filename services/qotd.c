/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * qotd: the quote of the day of RFC 865, over connections only: the answer to
 * a datagram would go to whomever the sender claims to be, and be longer than
 * the question.  With a file it sends one of its quotes, which lines of a
 * single '%' divide (the format of fortune(6)); at most 512 bytes are sent.
 */
#include "svc.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#define QUOTE_MAX 512		/* RFC 865 */
#define FILE_MAX (4 << 20)

static const char *const quotes[] = {
	"The best way to predict a port's traffic is to listen on it.\n",
	"Be conservative in what you send, be liberal in what you accept.  (RFC 761)\n",
	"A connection refused is also an answer.\n",
	"It is easier to move a problem around than it is to solve it.  (RFC 1925)\n",
	"An egg is a daemon's way of starting another one.\n",
};

static uint32_t
below(uint32_t n)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint32_t)svc_now() ^ ((uint32_t)getpid() << 10);
	return r % n;
}

static char *
load(const char *path)
{
	struct stat st;
	size_t len = 0;
	ssize_t n;
	char *text;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0)
		svc_die(EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		svc_die(EX_UNAVAILABLE, "%s: not a regular file of at most 4 MiB", path);
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		svc_die(EX_OSERR, "out of memory");
	while (len < (size_t)st.st_size && (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
	return text;
}

/* Sets each quote's start and cuts it off at its end; returns their number. */
static uint32_t
divide(char *text, const char **start, uint32_t max)
{
	char *p = text, *line = text, *end;
	uint32_t n = 0;

	for (; *line != '\0'; line = end) {
		end = strchr(line, '\n');
		end = end == NULL ? line + strlen(line) : end + 1;
		if (strncmp(line, "%\n", 2) != 0 && strcmp(line, "%") != 0)
			continue;
		*line = '\0';
		if (*p != '\0' && n < max)
			start[n++] = p;
		p = end;
	}
	if (*p != '\0' && n < max)
		start[n++] = p;
	return n;
}

int
main(int argc, char **argv)
{
	static const char *start[65536];
	const char *file, *quote;
	char *text = NULL;
	uint32_t n;

	file = svc_options("qotd", argc, argv, 0, 1, " [file]")[0];
	(void)svc_start(SVC_STREAM);
	if (file == NULL) {
		quote = quotes[below(sizeof(quotes) / sizeof(quotes[0]))];
	} else {
		text = load(file);
		n = divide(text, start, 65536);
		if (n == 0)
			svc_die(EX_DATAERR, "%s: no quotes in it", file);
		quote = start[below(n)];
	}
	if (svc_write(STDOUT_FILENO, quote, strnlen(quote, QUOTE_MAX)) < 0)
		return svc_code();
	svc_finish(STDIN_FILENO, STDOUT_FILENO);
	free(text);
	return EX_OK;
}
