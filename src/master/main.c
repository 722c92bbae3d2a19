/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * hatchd's start: options, configuration, background, master, end.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf.h"
#include "conf_load.h"
#include "explain.h"
#include "fd.h"
#include "log.h"
#include "master.h"
#include "notify.h"
#include "options.h"
#include "pidfile.h"

#define FD_LIMIT (1 << 20)	/* descriptors are never worth more than that */

/* As we want them, whoever started us: 0, 1, 2 open, nothing else, all
 * signals at their default and none blocked, so that handlers get them so. */
static void
clean_up_inheritance(void)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		(void)close(fd);
	if (syscall(SYS_close_range, 3U, ~0U, 0U) == -1)
		for (fd = 3; fd < 1024; fd++)
			(void)close(fd);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			(void)sigaction(sig, &act, NULL);
	act.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &act, NULL);	/* of the log, as the next one */
	(void)sigaction(SIGXFSZ, &act, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)umask(022);
}

static void
print_problem(bool warning, const char *text, void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "%s%s\n", text, warning ? " (warning)" : "");
}

static struct conf *
load(const struct options *o)
{
	struct conf_load_env env = { .uid = geteuid(), .lookup = true };
	struct problems *p = problems_new();
	struct sources *s;
	struct conf *c = NULL;

	if (!p)
		return NULL;
	s = options_sources(o, p);
	if (s)
		c = conf_load(s, &env, p);
	problems_each(p, print_problem, NULL);
	sources_free(s);
	problems_free(p);
	return c;
}

static int
check(const struct options *o)
{
	struct conf *c = load(o);
	int code = c ? 0 : 1;

	conf_free(c);
	return code;
}

static int
explain(const struct options *o)
{
	struct conf *c;
	int code;

	if (explain_check(o) != 0)
		return EXPLAIN_ERROR;
	c = load(o);
	code = c ? explain_run(o, c) : EXPLAIN_ERROR;
	conf_free(c);
	return code;
}

/* The parent waits until the daemon is ready and exits as it tells. */
static int
wait_for_child(int fd, pid_t pid)
{
	char code = 1;
	int status;

	if (read(fd, &code, 1) == 1)
		return code;
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	return 1;
}

/* Into the background; *ret_fd is where to tell that we are ready. */
static void
daemonize(int *ret_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		fatal("pipe");
	pid = fork();
	if (pid == -1)
		fatal("fork");
	if (pid > 0) {
		(void)close(fds[1]);
		_exit(wait_for_child(fds[0], pid));
	}
	(void)close(fds[0]);
	(void)setsid();
	*ret_fd = fds[1];
}

/* Errors went to the starter's terminal until now. */
static void
leave_terminal(int ready_fd)
{
	char ok = 0;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (chdir("/") == -1)
		log_warn("chdir /");
	if (fd != -1) {
		for (int i = 0; i < 3; i++)
			(void)dup2(fd, i);
		(void)close(fd);
	}
	if (write(ready_fd, &ok, 1) == -1)
		log_debug("nobody waits for the daemon to be ready");
	(void)close(ready_fd);
}

static int
open_log(const struct options *o, const struct conf *c)
{
	const char *target = o->debug ? "stderr" : c->log;
	enum log_format format = c->log_format == CONF_LOG_JSON ? LOGF_JSON : LOGF_TEXT;

	log_set_level(o->debug ? LOGL_DEBUG : LOGL_INFO);
	if (log_open(target, format, "hatchd") == 0)
		return 0;
	/* a container has no syslogd, others start it later: better told here than not
	 * served */
	if (strcmp(target, "syslog") == 0) {
		log_warn("log %s: the log goes to stderr until there is one", target);
		if (log_open("stderr", format, "hatchd") == 0)
			log_await_syslog(format, "hatchd");
		return 0;
	}
	(void)fprintf(stderr, "hatchd: log %s: %s\n", target, strerror(errno));
	return -1;
}

static const char *
pid_file(const struct options *o, const struct conf *c)
{
	if (o->pid_file || c->pid_file)
		return o->pid_file ? o->pid_file : c->pid_file;
	return o->foreground || geteuid() != 0 ? NULL : DEFAULT_PID_FILE;
}

static int
serve(struct master *m)
{
	const struct options *o = m->options;
	int ready_fd = -1, pid_fd = -1, code = 1;
	char *pid_path = NULL;

	if (!o->foreground)
		daemonize(&ready_fd);
	/* before the log, so that it is whoever starts a second one that is told */
	if (pid_file(o, m->conf)) {
		pid_path = strdup(pid_file(o, m->conf));	/* a reload may free it */
		if (!pid_path || (pid_fd = pidfile_create(pid_path)) == -1)
			goto out;
	}
	if (open_log(o, m->conf) == -1)
		goto out;
	if (master_init(m) == -1)
		goto out;
	if (ready_fd != -1)
		leave_terminal(ready_fd);
	code = master_run(m);
out:
	master_fini(m);
	pidfile_remove(pid_path, pid_fd);
	free(pid_path);
	log_close();
	return code;
}

int
main(int argc, char **argv)
{
	struct options o;
	struct master m = { .options = &o };
	int code;

	clean_up_inheritance();
	if (options_parse(argc, argv, &o) == -1)
		return 2;
	if (o.version) {
		(void)printf("hatchd %s\n", PACKAGE_VERSION);
		return 0;
	}
	m.fd_limit = fd_raise_limit(FD_LIMIT, &m.fd_soft);
	if (o.check || o.explain) {
		code = o.explain ? explain(&o) : check(&o);
		options_fini(&o);
		return code;
	}
	m.conf = load(&o);	/* its messages have the name as it was typed */
	if (m.conf && !o.foreground && options_settle(&o) == -1) {
		conf_free(m.conf);
		m.conf = NULL;
	}
	if (!m.conf) {
		options_fini(&o);
		return 1;
	}
	m.notify = notify_init();
	m.environ = environ;
	code = serve(&m);
	conf_free(m.conf);
	notify_free(m.notify);
	options_fini(&o);
	return code;
}
