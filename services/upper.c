/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * upper: answers lines and datagrams in upper case.  Only the letters of
 * ASCII change, so UTF-8 stays what it was.  A line is answered as it comes,
 * piece by piece, and so may be as long as it likes.
 *
 * With wait = yes it is the iterative server of the textbooks: one client
 * after the other, and it ends when none has come for a while.
 */
#include "svc_wait.h"

static ssize_t
to_upper(char *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (buf[i] >= 'a' && buf[i] <= 'z')
			buf[i] = (char)(buf[i] - 'a' + 'A');
	return (ssize_t)len;
}

static int
serve(int in, int out)
{
	static char buf[32768];
	ssize_t n;

	while ((n = svc_read(in, buf, sizeof(buf))) > 0) {
		to_upper(buf, (size_t)n);
		if (svc_write(out, buf, (size_t)n) < 0)
			return svc_code();
	}
	return n == 0 ? EX_OK : svc_code();
}

int
main(int argc, char **argv)
{
	(void)svc_options("upper", argc, argv, 0, 0, "");
	return svc_serve(serve, to_upper);
}
