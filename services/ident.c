/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * ident: answers every question of RFC 1413 with HIDDEN-USER.  For servers
 * (of mail, IRC, FTP) that wait for an ident answer before they serve: they
 * get one at once, and learn nothing.
 */
#include "svc.h"

#define QUESTIONS 64		/* in one connection */

/* A port number with white space around it; moves *p behind it.  0: it is
 * none. */
static unsigned
port(const char **p)
{
	unsigned v = 0;
	int digits;

	*p += strspn(*p, " \t");
	for (digits = 0; **p >= '0' && **p <= '9' && digits < 6; (*p)++, digits++)
		v = v * 10 + (unsigned)(**p - '0');
	*p += strspn(*p, " \t");
	return v > 65535 ? 0 : v;
}

/* Answers one question; false if it was none. */
static bool
answer(const char *question, char *text, size_t size)
{
	const char *p = question;
	unsigned ours, theirs = 0;

	ours = port(&p);
	if (*p == ',') {
		p++;
		theirs = port(&p);
	}
	if (ours != 0 && theirs != 0 && *p == '\0') {
		snprintf(text, size, "%u , %u : ERROR : HIDDEN-USER\r\n", ours, theirs);
		return true;
	}
	snprintf(text, size, "%u , %u : ERROR : INVALID-PORT\r\n", ours, theirs);
	return false;
}

int
main(int argc, char **argv)
{
	char line[256], text[128];
	int n, code = EX_OK;

	(void)svc_options("ident", argc, argv, 0, 0, "");
	(void)svc_start(SVC_STREAM);
	for (n = 0; n < QUESTIONS; n++) {
		svc.until_ms = svc_now() + svc.timeout_ms;	/* for a whole line */
		if (svc_line(STDIN_FILENO, line, sizeof(line)) < 0) {
			if (errno == 0)
				break;
			if (errno != EMSGSIZE && errno != EILSEQ)
				return svc_code();
			line[0] = '\0';		/* no question: told so, and the end */
			code = EX_DATAERR;
		}
		if (!answer(line, text, sizeof(text)))
			code = EX_DATAERR;
		if (svc_write(STDOUT_FILENO, text, strlen(text)) < 0)
			return svc_code();
		if (code != EX_OK)
			break;
	}
	svc_finish(STDIN_FILENO, STDOUT_FILENO);
	return code;
}
