/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * chat: one process for all clients.  What one says goes to all others; who is too
 * slow is dropped.  Operators command it on a UNIX socket or, by hand, on stdin.
 */
#include "svc_conn.h"
#include "svc_wait.h"

#define CLIENTS 1024

static struct client {
	struct svc_conn conn;
	bool used, operator;
	char name[20];
} clients[CLIENTS], *const top = clients + CLIENTS;
static int present;		/* clients but for operators */
static bool full;		/* no descriptor for another one */

static void
say(const struct client *from, const char *name, const char *verb, const char *text)
{
	char line[SVC_LINE_LEN + 64];
	struct client *c;

	snprintf(line, sizeof(line), "%s%s%s\n", name, verb, text);
	for (c = clients; c < top; c++)
		if (c->used && c != from)
			svc_conn_put(&c->conn, line);
}

static void
join(int in, int out, bool operator)
{
	static unsigned number;
	struct client *c = clients;

	while (c < top && c->used)
		c++;
	if (c == top) {
		close(in);
		return;
	}
	c->used = true;
	c->operator = operator;
	svc_conn_init(&c->conn, in, out);
	number += !operator;
	present += !operator;
	snprintf(c->name, sizeof(c->name), operator ? "operator" : "guest%u", number);
	if (!operator)
		say(c, c->name, " joined", "");
}

static void
leave(struct client *c)
{
	close(c->conn.in);
	c->used = full = false;
	present -= !c->operator;
	if (!c->operator)
		say(c, c->name, " left: ", c->conn.gone);
}

static void
obey(struct client *op, const char *line)
{
	struct client *c;

	if (strcmp(line, "quit") == 0)
		exit(EX_OK);
	if (strncmp(line, "say ", 4) == 0)
		say(op, op->name, ": ", line + 4);
	for (c = clients; c < top; c++) {
		if (!c->used || c->operator)
			continue;
		if (strcmp(line, "who") == 0) {
			svc_conn_put(&op->conn, c->name);
			svc_conn_put(&op->conn, "\n");
		}
		if (strncmp(line, "kick ", 5) == 0 && strcmp(line + 5, c->name) == 0)
			c->conn.gone = "kicked";
	}
}

static void
hear(struct client *c)
{
	const char *line;

	svc_conn_fill(&c->conn);
	while ((line = svc_conn_line(&c->conn)) != NULL)
		if (c->operator)
			obey(c, line);
		else if (*line != '\0')
			say(c, c->name, ": ", line);
}

/* One turn; false when nobody has been there for the idle time. */
static bool
turn(int operators)
{
	static struct pollfd p[SVC_SOCKETS + 1 + CLIENTS];
	int sockets = svc_pollfds(p, full ? 0 : POLLIN), n = 0, i, fd;
	struct client *c, *who[CLIENTS];

	if (operators >= 0)
		p[sockets++] = (struct pollfd){ operators, full ? 0 : POLLIN, 0 };
	for (c = clients; c < top; c++)
		if (c->used) {
			p[sockets + n] = (struct pollfd){ c->conn.in, POLLIN, 0 };
			p[sockets + n].events |= c->conn.queued > 0 ? POLLOUT : 0;
			who[n++] = c;
		}
	if (poll(p, (nfds_t)(sockets + n), present > 0 ? -1 : svc.idle_ms) == 0)
		return false;
	for (i = 0; i < n; i++)
		if ((p[sockets + i].revents & ~POLLOUT) != 0)
			hear(who[i]);
	for (i = 0; i < sockets; i++) {
		if (p[i].revents == 0)
			continue;
		fd = accept4(p[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		full = fd < 0 && (errno == EMFILE || errno == ENFILE);
		if (fd >= 0)
			join(fd, fd, p[i].fd == operators);
	}
	for (c = clients; c < top; c++) {
		if (c->used && c->conn.queued > 0)
			svc_conn_flush(&c->conn);
		if (c->used && c->conn.gone != NULL)
			leave(c);
	}
	return true;
}

int
main(int argc, char **argv)
{
	const char *path = svc_options("chat", argc, argv, 0, 1, " [operators-socket]")[0];
	int operators;

	(void)svc_start(SVC_LISTENER);
	operators = path != NULL ? svc_operator_socket(path) : -1;
	if (svc.first != STDIN_FILENO)
		join(STDIN_FILENO, STDOUT_FILENO, true);
	while (turn(operators))
		;
	return EX_OK;
}
