/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The master of the tests.  In the place of talkproc.c stands what is here: no
 * process, and a link only if the test wants to have its other end.
 */
#include "config.h"

#include "master_rig.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "link.h"
#include "log.h"
#include "reload.h"
#include "talkproc.h"

#define DEADLINE_MS 20000

char rig_dir[64];
static struct master *master;
static struct options options;
static struct msg_link *the_link;
static int talker_fd = -1, descriptors;
static bool ready;
static char *log_text;
static size_t log_len;
static FILE *log_file;

/* In the place of talkproc.c */

int
talkproc_init(struct master *m)
{
	(void)m;
	return 0;
}

void
talkproc_fini(struct master *m)
{
	(void)m;
	msg_link_free(the_link);
	the_link = NULL;
	ready = false;
}

struct msg_link *
talkproc_link(const struct master *m)
{
	(void)m;
	return the_link;
}

bool
talkproc_ready(const struct master *m)
{
	(void)m;
	return ready;
}

pid_t
talkproc_pid(const struct master *m)
{
	(void)m;
	return 0;
}

void
talkproc_is_ready(struct master *m)
{
	(void)m;
	ready = true;
}

void
talkproc_broken(struct master *m, const char *why)
{
	(void)m;
	fail_msg("link: %s", why);
}

bool
talkproc_reaped(struct master *m, pid_t pid, int status)
{
	(void)m;
	(void)pid;
	(void)status;
	return false;
}

void
talkproc_stop(struct master *m)
{
	(void)m;
}

static int
count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void
note(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	(void)fprintf(log_file, "%s\n", line);
}

int
rig_set_up(void **state)
{
	(void)state;
	descriptors = count_descriptors();
	strcpy(rig_dir, "/tmp/hatchd-test-master.XXXXXX");
	if (!mkdtemp(rig_dir))
		return -1;
	log_file = open_memstream(&log_text, &log_len);
	if (!log_file)
		return -1;
	log_divert(note, NULL);
	log_set_level(LOGL_INFO);
	return 0;
}

int
rig_tear_down(void **state)
{
	sigset_t none;

	(void)state;
	if (master) {
		struct conf *conf;

		master_fini(master);
		conf = master->conf;	/* a reload has put it there */
		free(master);
		conf_free(conf);
		master = NULL;
	}
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	fd_close(&talker_fd);
	log_divert(NULL, NULL);
	(void)fclose(log_file);
	free(log_text);
	log_text = NULL;
	if (rmdir(rig_dir) == -1) {
		print_error("%s: %s\n", rig_dir, strerror(errno));
		return -1;
	}
	if (count_descriptors() != descriptors) {
		print_error("%d descriptors instead of %d\n", count_descriptors(), descriptors);
		return -1;
	}
	return 0;
}

static void
put(FILE *out, const char *text)
{
	unsigned uid = (unsigned)geteuid(), gid = (unsigned)getegid();

	for (; *text; text++) {
		if (strncmp(text, "%DIR%", 5) == 0) {
			(void)fputs(rig_dir, out);
			text += 4;
		} else if (strncmp(text, "%USER%", 6) == 0) {
			(void)fprintf(out, RIG_USER, uid, gid);
			text += 5;
		} else {
			(void)fputc(*text, out);
		}
	}
}

struct conf *
rig_conf(const char *text)
{
	char *whole;
	size_t len;
	FILE *out = open_memstream(&whole, &len);
	struct conf *c;

	assert_non_null(out);
	/* or the control socket and the talker's account would be the installed ones */
	put(out, "control = \"\"\n");
	put(out, text);
	assert_int_equal(fclose(out), 0);
	c = conf_from(whole, NULL, geteuid(), true);
	if (!c)
		print_error("%s", found.errors);
	assert_non_null(c);
	free(whole);
	return c;
}

struct master *
rig_start(const char *text)
{
	struct conf *conf = rig_conf(text);
	struct master *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	options.text = (char *)"";	/* strict: all that can't be bound is an error */
	m->options = &options;
	m->conf = conf;
	m->environ = environ;
	m->fd_limit = m->fd_soft = 1024;
	master = m;
	if (master_init(m) == -1)
		fail_msg("%s", rig_log());
	return m;
}

struct master *
rig_master(void)
{
	assert_non_null(master);
	return master;
}

struct service *
rig_service(const char *name)
{
	for (uint32_t i = 0; i < services_rows(master->services); i++) {
		struct service *s = services_at(master->services, i);

		if (s && s->conf && strcmp(service_name(s), name) == 0)
			return s;
	}
	return NULL;
}

struct listener *
rig_listener(const char *name)
{
	struct service *s = rig_service(name);

	assert_non_null(s);
	return s->listeners;
}

int
rig_listeners(const char *name)
{
	int n = 0;

	for (const struct listener *l = rig_listener(name); l; l = l->next)
		n++;
	return n;
}

struct wait {
	bool (*done)(void *arg);
	void *arg;
	int64_t until;
	struct ev_timer timer;
};

static void
on_tick(void *arg)
{
	struct wait *w = arg;

	if (w->done(w->arg) || ev_now_ms(master->ev) > w->until)
		ev_stop(master->ev);
	else
		(void)ev_timer_start(&w->timer, 2);
}

void
rig_run_until(bool (*done)(void *arg), void *arg)
{
	struct wait w = { .done = done, .arg = arg };

	memset(&w.timer, 0, sizeof(w.timer));
	w.until = ev_now_ms(master->ev) + DEADLINE_MS;
	ev_timer_init(master->ev, &w.timer, on_tick, &w);
	assert_int_equal(ev_timer_start(&w.timer, 0), 0);
	assert_int_equal(ev_run(master->ev), 0);
	ev_timer_stop(&w.timer);
	if (!done(arg))
		fail_msg("this takes too long; the log: %s", rig_log());
}

static bool
is_later(void *arg)
{
	return ev_now_ms(master->ev) >= *(int64_t *)arg;
}

void
rig_run_for(int64_t ms)
{
	int64_t until = ev_now_ms(master->ev) + ms;

	rig_run_until(is_later, &until);
}

static bool
is_ready(void *arg)
{
	(void)arg;
	return ready;
}

static bool
peek(union msg *ret)
{
	return recv(talker_fd, ret, sizeof(*ret), MSG_DONTWAIT | MSG_PEEK) > 0;
}

void
rig_be_talker_only(void)
{
	union msg msg;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
				    pair), 0);
	talker_fd = pair[1];
	the_link = link_new(master, pair[0]);
	assert_non_null(the_link);
	assert_int_equal(link_send_start(master), 0);
	assert_true(rig_receive(&msg));
	assert_int_equal(msg.head.type, MSG_START);
	memset(&msg, 0, sizeof(msg));
	rig_send(&msg, MSG_READY);
	rig_run_until(is_ready, NULL);
}

void
rig_be_talker(void)
{
	union msg msg;

	rig_be_talker_only();
	while (peek(&msg) && (msg.head.type == MSG_ERRLOG || msg.head.type == MSG_CONTROL ||
			      msg.head.type == MSG_DGRAM || msg.head.type == MSG_MUX))
		assert_true(rig_receive(&msg));
}

void
rig_lose_talker(void)
{
	msg_link_free(the_link);
	the_link = NULL;
	ready = false;
	fd_close(&talker_fd);
	link_lost(master);
}

bool
rig_receive(union msg *ret)
{
	ssize_t n = recv(talker_fd, ret, sizeof(*ret), MSG_DONTWAIT);

	if (n == -1)
		assert_int_equal(errno, EAGAIN);
	return n > 0;
}

static bool
has_message(void *arg)
{
	return peek(arg);
}

void
rig_run_until_message(union msg *ret)
{
	rig_run_until(has_message, ret);
	assert_true(rig_receive(ret));
}

void
rig_expect(union msg *ret, enum msg_type type)
{
	rig_run_until_message(ret);
	assert_string_equal(proto_name(ret->head.type), proto_name(type));
}

void
rig_send(union msg *msg, enum msg_type type)
{
	msg->head.type = (uint16_t)type;
	msg->head.size = (uint16_t)proto_size(type);
	assert_int_equal(send(talker_fd, msg, msg->head.size, 0), msg->head.size);
}

const char *
rig_log(void)
{
	static char *last;

	log_flush();
	assert_int_equal(fclose(log_file), 0);
	free(last);
	last = log_text;
	log_file = open_memstream(&log_text, &log_len);
	assert_non_null(log_file);
	return last;
}

void
rig_check_log(const char *first, const char *second)
{
	const char *text = rig_log(), *at = strstr(text, first);

	if (!at || !strstr(at, second))
		fail_msg("expected %s...%s found %s", first, second, text);
}
