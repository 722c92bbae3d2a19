/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * counter: reads an integer of 32 bits in network byte order and answers it
 * plus one (4294967295 gives 0), as long as the client goes on; or one integer
 * per datagram, where a datagram of any other length is not answered.  A
 * client that ends amid an integer is told of in the exit code, EX_DATAERR.
 */
#include "svc_wait.h"

static void
add_one(char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	v = htonl(ntohl(v) + 1);
	memcpy(p, &v, sizeof(v));
}

static ssize_t
answer(char *buf, size_t len)
{
	if (len != sizeof(uint32_t))
		return -1;
	add_one(buf);
	return (ssize_t)len;
}

static int
serve(int in, int out)
{
	static char buf[4096];
	size_t have = 0, whole, i;
	ssize_t n;

	while ((n = svc_read(in, buf + have, sizeof(buf) - have)) > 0) {
		have += (size_t)n;
		whole = have - have % sizeof(uint32_t);
		for (i = 0; i < whole; i += sizeof(uint32_t))
			add_one(buf + i);
		if (svc_write(out, buf, whole) < 0)
			return svc_code();
		have -= whole;
		memmove(buf, buf + whole, have);
	}
	if (n < 0)
		return svc_code();
	return have == 0 ? EX_OK : EX_DATAERR;
}

int
main(int argc, char **argv)
{
	(void)svc_options("counter", argc, argv, 0, 0, "");
	return svc_serve(serve, answer);
}
