/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * health: an HTTP health check.  Reads the head of the request, runs a command
 * and answers 200 if it exits with 0, else 503, with its standard output; its
 * standard error goes to the log.  OPTIONS (HAProxy's default) is as GET.  The
 * command is killed when its time is over or the handler ends.
 */
#include "svc.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define HEAD_MAX 8192		/* bytes of a request */
#define TICK_MS 10		/* until its end is seen, if a child keeps the pipe */

static char output[65536];	/* of the command; what is more is left out */
static size_t output_len;

static _Noreturn void
run(char **argv, int to)
{
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	if (null >= 0 && dup2(null, 0) == 0 && dup2(to, 1) == 1)
		execvp(argv[0], argv);
	svc_die(EX_UNAVAILABLE, "cannot run %s: %s", argv[0], strerror(errno));
}

/* Takes in what the pipe holds; false at its end. */
static bool
gather(int fd)
{
	char more[4096];
	ssize_t n;

	while ((n = read(fd, more, sizeof(more))) > 0) {
		if ((size_t)n > sizeof(output) - output_len)
			n = (ssize_t)(sizeof(output) - output_len);
		memcpy(output + output_len, more, (size_t)n);
		output_len += (size_t)n;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Runs the command to its end or its limit; true if it is well. */
static bool
check(char **argv)
{
	const int64_t end = svc_now() + svc.timeout_ms;
	struct pollfd p = { -1, POLLIN, 0 };
	int fds[2], status = 0;
	bool over = false;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		svc_die(EX_OSERR, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		run(argv, fds[1]);
	if (pid < 0)
		svc_die(EX_OSERR, "cannot start %s: %s", argv[0], strerror(errno));
	close(fds[1]);
	p.fd = fds[0];
	while (!over && svc_now() < end) {
		if (poll(&p, 1, TICK_MS) > 0 && !gather(fds[0]))
			p.fd = -1;
		over = waitpid(pid, &status, WNOHANG) == pid;
	}
	(void)gather(fds[0]);
	if (!over) {
		svc_warn("%s took too long", argv[0]);
		(void)kill(-pid, SIGKILL);
		(void)kill(pid, SIGKILL);	/* if it has not come to setpgid yet */
		(void)waitpid(pid, &status, 0);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int
answer(const char *status, bool body, int code)
{
	char head[512];

	if (output_len == 0)
		output_len = (size_t)snprintf(output, sizeof(output), "%s\n", status);
	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
		 "Content-Length: %zu\r\nAllow: GET, HEAD, OPTIONS\r\nCache-Control: no-store\r\n"
		 "Connection: close\r\n\r\n", status, output_len);
	if (svc_write(STDOUT_FILENO, head, strlen(head)) < 0 ||
	    (body && svc_write(STDOUT_FILENO, output, output_len) < 0))
		return svc_code();
	svc_finish(STDIN_FILENO, STDOUT_FILENO);
	return code;
}

/* The request's head up to its empty line; its first line stays in buf.  -1
 * and errno as svc_line() has it. */
static int
read_head(char *buf, size_t size)
{
	char line[HEAD_MAX];
	ssize_t n = svc_line(STDIN_FILENO, buf, size);
	size_t sum = 0;

	while (n > 0 && (sum += (size_t)n + 2) < HEAD_MAX)
		n = svc_line(STDIN_FILENO, line, sizeof(line));
	if (n > 0)
		errno = EMSGSIZE;
	else if (n < 0 && errno == 0 && sum > 0)
		return 0;		/* the end will do for an empty line */
	return n == 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	char request[HEAD_MAX], method[16], version[16];
	bool body, good;

	argv = svc_options("health", argc, argv, 1, INT_MAX, " command ...");
	(void)svc_start(SVC_STREAM);
	svc.until_ms = svc_now() + svc.timeout_ms;
	good = read_head(request, sizeof(request)) == 0;
	svc.until_ms = 0;
	if (!good) {
		if (errno == ETIMEDOUT)
			return answer("408 Request Timeout", true, EX_TEMPFAIL);
		if (errno == EMSGSIZE)
			return answer("431 Request Header Fields Too Large", true, EX_DATAERR);
		if (errno != EILSEQ)
			return errno == 0 ? EX_OK : EX_IOERR;	/* only looked for the port */
		request[0] = '\0';
	}
	if (sscanf(request, "%15[A-Z] %*[!-~] %15[!-~]", method, version) != 2 ||
	    strncmp(version, "HTTP/1.", 7) != 0)
		return answer("400 Bad Request", true, EX_DATAERR);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 &&
	    strcmp(method, "OPTIONS") != 0)
		return answer("405 Method Not Allowed", true, EX_DATAERR);
	body = strcmp(method, "HEAD") != 0;
	return check(argv) ? answer("200 OK", body, EX_OK) :
		answer("503 Service Unavailable", body, EX_OK);
}
