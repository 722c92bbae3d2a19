/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * hatchd-talker: started by the master as "hatchd-talker UID GID BACKEND
 * LIMIT", with the link on PROTO_LINK_FD and, if it is to change to UID and
 * GID, an empty folder on PROTO_ROOT_FD ("-" "-": stay who you are).  Not for
 * anybody else to run.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "ev.h"
#include "fd.h"
#include "log.h"
#include "proto.h"
#include "sandbox.h"
#include "talker.h"

static unsigned long
number(const char *text, unsigned long max, const char *what)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n > max)
		fatalx("talker: bad %s", what);
	return n;
}

static struct sandbox
read_account(const char *uid, const char *gid)
{
	struct sandbox s = { .root_fd = PROTO_ROOT_FD };

	if (strcmp(uid, "-") == 0 && strcmp(gid, "-") == 0)
		return s;
	s.change = true;
	s.uid = (uid_t)number(uid, UINT_MAX - 1, "uid");
	s.gid = (gid_t)number(gid, UINT_MAX - 1, "gid");
	if (s.uid == 0)
		fatalx("talker: will not run as root");
	if (fcntl(PROTO_ROOT_FD, F_GETFD) < 0)
		fatal("talker: its empty root");
	return s;
}

/* Descriptors 0 to 2 are open, so that nothing else ever gets their numbers;
 * of others there are only those that the master meant. */
static void
tidy_descriptors(const struct sandbox *s)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
	if (fcntl(PROTO_LINK_FD, F_GETFD) < 0)
		fatal("talker: the link");
#ifdef HAVE_CLOSE_RANGE
	(void)close_range(s->change ? PROTO_ROOT_FD + 1 : PROTO_ROOT_FD, ~0U, 0);
#else
	(void)s;
#endif
	if (fd_set_nonblock(PROTO_LINK_FD, true) < 0)
		fatal("talker: the link");
}

/* What would otherwise read a file or the environment later. */
static void
load_early(void)
{
	if (clearenv() != 0 || setenv("TZ", "UTC0", 1) < 0)
		fatal("talker: environment");
	tzset();
	json_object_seed(0);
	(void)signal(SIGPIPE, SIG_IGN);		/* these can't fail */
	(void)signal(SIGXFSZ, SIG_IGN);
}

int
main(int argc, char **argv)
{
	struct sandbox sandbox;
	struct talker *talker;
	struct ev *ev;
	int rc;

	if (argc != 5)
		fatalx("usage: hatchd-talker UID GID BACKEND LIMIT (hatchd runs it)");
	/* 1. who it is to be, and what it was given */
	sandbox = read_account(argv[1], argv[2]);
	tidy_descriptors(&sandbox);
	(void)log_open("stderr", LOGF_TEXT, "hatchd-talker");	/* it stays as it is */
	(void)fd_raise_limit(number(argv[4], ULONG_MAX, "limit"), NULL);
	/* 2. what needs files */
	load_early();
	ev = ev_new(argv[3]);
	if (ev == NULL)
		fatal("talker: event backend %s", argv[3]);
	/* 3. give up everything else */
	sandbox_enter(&sandbox);
	/* 4. serve */
	talker = talker_new(ev, PROTO_LINK_FD);
	if (talker == NULL)
		fatal("talker: start");
	rc = talker_run(talker);
	talker_free(talker);
	ev_free(ev);
	log_close();
	return rc;
}
