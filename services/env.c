/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * env: shows what a handler received, as lines NAME=value or, with --json, as
 * an object of strings: what a section of the configuration comes to, and the
 * probe of the tests.  Serves in every form, and by hand.
 */
#include "svc_wait.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static FILE *out;		/* gathers "NAME=value", each with a '\0' */
static char *answer;		/* what comes of it */
static size_t answer_len;

/* Lines, or an object of strings, where a byte that isn't ASCII is \u00xx. */
static void
format(const char *p, const char *end, bool json)
{
	FILE *f = svc_text(&answer, &answer_len);
	bool in_value;

	for (fputs(json ? "{" : "", f); p < end; p++) {
		fputs(json ? "\n\"" : "", f);
		for (in_value = false; *p != '\0'; p++) {
			if (*p == '=' && !in_value)
				fputs(json ? "\": \"" : "=", f);
			else if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
				fprintf(f, json ? "\\u%04x" : "\\x%02x", (unsigned char)*p);
			else
				fprintf(f, json && (*p == '"' || *p == '\\') ? "\\%c" : "%c", *p);
			in_value |= *p == '=';
		}
		fputs(!json ? "\n" : !in_value ? "\": \"\"" : "\"", f);
		fputs(json && p + 1 < end ? "," : "", f);
	}
	fputs(json ? "\n}\n" : "", f);
	svc_text_end(f);
}

static void
show_fds(void)
{
	char path[64], link[256];
	int fd, flags;
	ssize_t n;

	for (fd = 0; fd < 65536; fd++) {
		if ((flags = fcntl(fd, F_GETFL)) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, link, sizeof(link));
		fprintf(out, "fd.%d=%.*s, %s%s%c", fd, n > 0 ? (int)n : 1, n > 0 ? link : "?",
			svc_kind_text(svc_kind_of(fd)), flags & O_NONBLOCK ? ", nonblock" : "", 0);
	}
}

static void
show_process(void)
{
	char cwd[4096], text[8192] = "";
	gid_t r, e, s, groups[512];
	int i, n = getgroups(512, groups);
	mode_t mask = umask(077);

	(void)umask(mask);
	for (i = 0; i < n; i++)
		snprintf(strchr(text, '\0'), 12, "%s%u", i ? " " : "", groups[i]);
	fprintf(out, "process.groups=%s%c", text, 0);
	if (getresuid(&r, &e, &s) == 0)
		fprintf(out, "process.uid=%u %u %u%c", r, e, s, 0);
	if (getresgid(&r, &e, &s) == 0)
		fprintf(out, "process.gid=%u %u %u%c", r, e, s, 0);
	fprintf(out, "process.directory=%s%c", getcwd(cwd, sizeof(cwd)) != NULL ? cwd : "?", 0);
	fprintf(out, "process.umask=%03o%c", mask, 0);
	fprintf(out, "process.nice=%d%c", getpriority(PRIO_PROCESS, 0), 0);
	fprintf(out, "process.pid=%d%cprocess.ppid=%d%c", getpid(), 0, getppid(), 0);
	fprintf(out, "process.pgid=%d%cprocess.sid=%d%c", getpgrp(), 0, getsid(0), 0);
	fprintf(out, "process.no_new_privs=%d%c", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}

/* Limits as "soft hard", -1 for none; signals that are not as they should be. */
static void
show_limits_signals(void)
{
	static const char *const names[] = {	/* by number, as Linux has them */
		"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as",
	};
	struct sigaction sa;
	struct rlimit l;
	sigset_t blocked;
	int i;

	for (i = 0; i < 10; i++)
		if (getrlimit(i, &l) == 0)
			fprintf(out, "limit.%s=%lld %lld%c", names[i], (long long)l.rlim_cur,
				(long long)l.rlim_max, 0);
	(void)sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (i = 1; i <= SIGRTMAX; i++)
		if (sigismember(&blocked, i) == 1)
			fprintf(out, "signal.%d=blocked%c", i, 0);
		else if (sigaction(i, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			fprintf(out, "signal.%d=ignored%c", i, 0);
}

static ssize_t
answer_datagram(char *buf, size_t len)
{
	len = answer_len < 65507 ? answer_len : 65507;	/* no longer over IPv4 */
	memcpy(buf, answer, len);
	return (ssize_t)len;
}

static int
serve(int in, int to)
{
	if (svc_write(to, answer, answer_len) < 0)
		return svc_code();
	svc_finish(in, to);
	return EX_OK;
}

int
main(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	char **e, *text;
	size_t len;

	svc.name = "env";
	if (argc > 2 || (argc == 2 && !json))
		svc_die(EX_USAGE, "usage: env [--json]");
	out = svc_text(&text, &len);
	for (e = environ; *e != NULL; e++)
		fprintf(out, "env.%s%c", *e, 0);
	show_fds();
	show_process();
	show_limits_signals();
	svc_text_end(out);
	format(text, text + len, json);
	free(text);
	if (svc_kind_of(STDIN_FILENO) == SVC_NONE && getenv("LISTEN_FDS") == NULL)
		return fputs(answer, stdout) < 0 || fclose(stdout) != 0 ? EX_IOERR : EX_OK;
	return svc_serve(serve, answer_datagram);
}
