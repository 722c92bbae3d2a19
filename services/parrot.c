/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * parrot: says what it hears, over streams and datagrams.  The twin of the
 * internal echo as an ordinary program: to compare the two, and as an example
 * of a handler that serves in every form: connection, session, wait = yes.
 */
#include "svc_wait.h"

static ssize_t
same(char *buf, size_t len)
{
	(void)buf;
	return (ssize_t)len;
}

static int
serve(int in, int out)
{
	static char buf[65536];
	ssize_t n;

	while ((n = svc_read(in, buf, sizeof(buf))) > 0)
		if (svc_write(out, buf, (size_t)n) < 0)
			return svc_code();
	return n == 0 ? EX_OK : svc_code();
}

int
main(int argc, char **argv)
{
	(void)svc_options("parrot", argc, argv, 0, 0, "");
	return svc_serve(serve, same);
}
