/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * hello: greets the peer by its address and closes; answers each datagram of
 * a session so.  The smallest handler: what it knows of the peer comes from
 * the environment, and only if that says nothing from the socket.
 */
#include "svc.h"

static size_t
greeting(char *buf, size_t size)
{
	const char *host = getenv("REMOTE_ADDR"), *port = getenv("REMOTE_PORT");
	const char *uid = getenv("REMOTE_UID"), *pid = getenv("REMOTE_PID");
	struct sockaddr_storage a = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(a);
	char peer[128];
	int n;

	if (host != NULL && *host != '\0' && port != NULL)
		snprintf(peer, sizeof(peer), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	else if (uid != NULL)
		snprintf(peer, sizeof(peer), "uid %s (pid %s)", uid, pid != NULL ? pid : "?");
	else if (getpeername(STDIN_FILENO, (struct sockaddr *)&a, &len) == 0)
		svc_address(&a, len, peer, sizeof(peer));
	else
		snprintf(peer, sizeof(peer), "whoever you are");
	svc_clean(peer, strlen(peer));
	n = snprintf(buf, size, "hello, %s\r\n", peer);
	return (size_t)n;
}

int
main(int argc, char **argv)
{
	char buf[256], question[1];
	enum svc_kind kind;
	size_t len;
	ssize_t n;

	(void)svc_options("hello", argc, argv, 0, 0, "");
	kind = svc_start(SVC_STREAM | SVC_SESSION);
	len = greeting(buf, sizeof(buf));
	if (kind == SVC_STREAM) {
		if (svc_write(STDOUT_FILENO, buf, len) < 0)
			return svc_code();
		svc_finish(STDIN_FILENO, STDOUT_FILENO);
		return EX_OK;
	}
	while ((n = svc_read(STDIN_FILENO, question, sizeof(question))) > 0)
		if (svc_write(STDOUT_FILENO, buf, len) < 0)
			return svc_code();
	return n == 0 || errno == ETIMEDOUT ? EX_OK : EX_IOERR;
}
