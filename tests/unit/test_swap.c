/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * One configuration in the place of another: what stays keeps its socket, what
 * can't be bound leaves all as it was, what is gone is closed.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "expire.h"
#include "loopback.h"
#include "session_rig.h"
#include "setup.h"
#include "swap.h"

static struct master *m;
static struct swap_result result;
static char problems[4096];

static void
note_problem(bool warning, const char *text, void *arg)
{
	size_t len = strlen(problems);

	(void)warning;
	(void)arg;
	(void)snprintf(problems + len, sizeof(problems) - len, "%s\n", text);
}

static int
swap(const char *text)
{
	struct conf *c = rig_conf(text);
	struct problems *p = problems_new();
	int r;

	assert_non_null(p);
	r = swap_conf(m, c, NULL, p, &result);
	/* as reload.c does it */
	for (int i = 0; i < result.n_busy; i++)
		setup_explain(p, result.busy[i].service, &result.busy[i].target,
			      result.busy[i].step, EADDRINUSE, 0);
	swap_result_fini(&result);
	problems[0] = '\0';
	problems_each(p, note_problem, NULL);
	assert_int_equal(problems_count(p) > 0, r == -1);
	problems_free(p);
	if (r == -1)
		conf_free(c);
	else
		assert_ptr_equal(m->conf, c);
	return r;
}

/* It works, and tells these changes. */
static void
swap_well(const char *text, const char *names)
{
	if (swap(text) == -1)
		fail_msg("%s", problems);
	assert_string_equal(result.names, names);
}

/* It fails for this reason, and every service and socket is what it was. */
static void
swap_badly(const char *text, const char *reason)
{
	struct conf *conf = m->conf;
	struct { struct listener *l; struct service *s; int fd; uint16_t port; char path[128]; }
		before[64];
	uint32_t n = listeners_rows(m->listeners), rows = services_rows(m->services);

	assert_true(n <= 64);
	for (uint32_t i = 0; i < n; i++) {
		struct listener *l = listeners_at(m->listeners, i);

		before[i].l = l;
		if (!l)
			continue;
		before[i].s = l->service;
		before[i].fd = l->fd;
		before[i].port = l->port;
		(void)snprintf(before[i].path, sizeof(before[i].path), "%s",
			       l->target.path ? l->target.path : "");
	}
	assert_int_equal(swap(text), -1);
	if (!strstr(problems, reason))
		fail_msg("expected %s found %s", reason, problems);
	assert_ptr_equal(m->conf, conf);
	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++) {
		struct listener *l = listeners_at(m->listeners, i);

		assert_ptr_equal(l, i < n ? before[i].l : NULL);
		if (!l)
			continue;
		assert_ptr_equal(l->service, before[i].s);
		assert_int_equal(l->fd, before[i].fd);
		assert_int_equal(l->port, before[i].port);
		assert_string_equal(l->target.path ? l->target.path : "", before[i].path);
		assert_false(l->gave_way || l->fresh);
	}
	for (uint32_t i = rows; i < services_rows(m->services); i++)
		assert_null(services_at(m->services, i));
}

static bool
answers_port(uint16_t port)
{
	int fd = loopback_connect(port);
	bool yes = fd != -1;

	if (yes)
		(void)close(fd);
	return yes;
}

static const char *
in_dir(const char *name)
{
	static char buf[100];

	(void)snprintf(buf, sizeof(buf), "%s/%s", rig_dir, name);
	return buf;
}

static bool
answers_path(const char *name, int type)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	strcpy(un.sun_path, in_dir(name));
	yes = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0;
	(void)close(fd);
	return yes;
}

static bool
is_there(const char *name)
{
	return access(in_dir(name), F_OK) == 0;
}

/* A port that nobody has just now. */
static uint16_t
free_port(void)
{
	uint16_t port;

	(void)close(loopback_bind(&port));
	return port;
}

static int
option(const struct listener *l, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(l->fd, level, name, &value, &len), 0);
	return value;
}

#define ONE "service a { listen = { \"tcp:127.0.0.1:0\", \"unix:%DIR%/a\" }  " \
	"exec = /bin/true  %USER% }\n"

static void
test_the_same(void **state)
{
	struct service *a;
	struct listener *l;
	int fds[2];
	uint16_t port;

	(void)state;
	m = rig_start(ONE);
	a = rig_service("a");
	l = rig_listener("a");
	fds[0] = l->fd;
	fds[1] = l->next->fd;
	port = l->next->port;
	service_counters(a)->accepted = 7;
	for (int i = 0; i < 5; i++) {
		swap_well(ONE, "");
		assert_int_equal(result.added + result.removed + result.changed, 0);
	}
	assert_ptr_equal(rig_service("a"), a);
	assert_int_equal(listeners_count(m->listeners), 2);
	l = a->listeners;
	assert_int_equal(l->fd + l->next->fd, fds[0] + fds[1]);
	assert_true(answers_port(port) && answers_path("a", SOCK_STREAM));
	assert_int_equal(service_counters(a)->accepted, 7);
	assert_ptr_equal(a->conf, &m->conf->services[0]);
	assert_ptr_equal(a->plan->conf, a->conf);
}

static void
test_added_and_removed(void **state)
{
	uint32_t row;

	(void)state;
	m = rig_start(ONE);
	swap_well(ONE "service b { listen = { \"unix:%DIR%/b\", \"unix-dgram:%DIR%/c\" } "
		  "wait = yes  exec = /bin/true  %USER% }", " +b");
	assert_int_equal(result.added, 1);
	assert_int_equal(rig_listeners("b"), 2);
	assert_true(answers_path("b", SOCK_STREAM) && answers_path("c", SOCK_DGRAM));
	assert_int_equal(listeners_count(m->listeners), 4);
	row = rig_service("b")->row;
	swap_well(ONE, " -b");
	assert_int_equal(result.removed, 1);
	assert_null(rig_service("b"));
	assert_null(services_at(m->services, row));
	assert_string_equal(board_name(m->board, row), "");
	assert_false(is_there("b") || is_there("c"));
	assert_int_equal(listeners_count(m->listeners), 2);
	assert_true(answers_path("a", SOCK_STREAM));
	/* what is turned off is not there */
	swap_well("service a { enabled = no  listen = unix:%DIR%/a  exec = /bin/true  %USER% }",
		  " -a");
	assert_int_equal(listeners_count(m->listeners), 0);
	assert_false(is_there("a"));
	swap_well(ONE, " +a");
	assert_true(answers_path("a", SOCK_STREAM));
}

static void
test_changed_settings(void **state)
{
	struct listener *l;
	struct stat st;
	int fd;

	(void)state;
	m = rig_start("service a { listen = tcp:127.0.0.1:0  exec = /bin/true  %USER% }\n"
		      "service u { listen = unix:%DIR%/u  exec = /bin/true  %USER% }");
	fd = rig_listener("a")->fd;
	swap_well("service a { listen = tcp:127.0.0.1:0  exec = /bin/false  %USER%\n"
		  "  socket { nodelay = yes } }\n"
		  "service u { listen = unix:%DIR%/u  exec = /bin/true  %USER%\n"
		  "  socket { mode = 0600 } }", " ~a(exec,socket) ~u(socket)");
	assert_int_equal(result.changed, 2);
	l = rig_listener("a");
	assert_int_equal(l->fd, fd);
	assert_int_equal(option(l, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_string_equal(rig_service("a")->plan->argv[0], "/bin/false");
	assert_int_equal(stat(in_dir("u"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* the way of serving changes with the service */
	assert_int_equal(l->kind, LISTENER_ACCEPT);
	swap_well("service a { listen = tcp:127.0.0.1:0  exec = /bin/false  wait = yes  %USER% }\n"
		  "service u { listen = unix:%DIR%/u  internal = echo }",
		  " ~a(wait,socket) ~u(exec,internal,user,group,groups,socket)");
	assert_int_equal(l->kind, LISTENER_WAIT);
	assert_int_equal(l->fd, fd);
	assert_int_equal(rig_listener("u")->kind, LISTENER_INTERNAL);
}

/* A port taken by another process: file and line, and who has it. */
static void
test_busy_port(void **state)
{
	uint16_t port;
	int fd = loopback_bind(&port);
	char text[1024], reason[128];

	(void)state;
	assert_int_equal(listen(fd, 1), 0);
	m = rig_start(ONE);
	(void)snprintf(text, sizeof(text),
		       "service b { listen = unix:%%DIR%%/b  exec = /bin/true  %%USER%% }\n"
		       "service a { listen = { \"unix:%%DIR%%/a\", \"tcp:127.0.0.1:0\",\n"
		       "  \"tcp:127.0.0.1:%u\" }  exec = /bin/true  %%USER%% }\n", port);
	(void)snprintf(reason, sizeof(reason), "test.conf:4: service a: tcp:127.0.0.1:%u: bind: "
		       "Address already in use", port);
	for (int i = 0; i < 3; i++)
		swap_badly(text, reason);
	assert_false(is_there("b"));
	assert_true(answers_path("a", SOCK_STREAM));
	(void)close(fd);
	swap_well(text, " ~a(listen) +b");
	assert_true(answers_port(port));
}

/* From one address to all of them and back: the old socket serves until the
 * new one is there, and for good if anything else fails. */
static void
test_address_to_all(void **state)
{
	uint16_t port = free_port();
	char one[256], all[256], failing[512];

	(void)state;
	(void)snprintf(one, sizeof(one), "service a { listen = tcp:127.0.0.1:%u  "
		       "exec = /bin/true  %%USER%% }\n", port);
	(void)snprintf(all, sizeof(all), "service a { listen = tcp4:%u  "
		       "exec = /bin/true  %%USER%% }\n", port);
	m = rig_start(one);
	(void)snprintf(failing, sizeof(failing), "%sservice z { listen = unix:%%DIR%%/no/where  "
		       "exec = /bin/true  %%USER%% }", all);
	swap_badly(failing, "service z: unix:");
	assert_true(answers_port(port));
	assert_int_equal(option(rig_listener("a"), SOL_SOCKET, SO_REUSEPORT), 0);
	for (int i = 0; i < 3; i++) {
		swap_well(all, " ~a(listen)");
		assert_int_equal(rig_listeners("a"), 1);
		assert_true(answers_port(port));
		assert_int_equal(option(rig_listener("a"), SOL_SOCKET, SO_REUSEPORT), 0);
		swap_well(one, " ~a(listen)");
		assert_true(answers_port(port));
		assert_int_equal(listeners_count(m->listeners), 1);
	}
}

/* A path with a socket of another type: the same. */
static void
test_type_of_a_path(void **state)
{
	(void)state;
	m = rig_start("service a { listen = unix:%DIR%/a  exec = /bin/true  %USER% }");
	swap_badly("service a { listen = unix-seqpacket:%DIR%/a  exec = /bin/true  %USER% }\n"
		   "service z { listen = unix:%DIR%/no/where  exec = /bin/true  %USER% }",
		   "service z: unix:");
	assert_true(answers_path("a", SOCK_STREAM));
	swap_well("service a { listen = unix-seqpacket:%DIR%/a  exec = /bin/true  %USER% }",
		  " ~a(listen)");
	assert_true(answers_path("a", SOCK_SEQPACKET));
	swap_well("service a { listen = unix:%DIR%/a  exec = /bin/true  %USER% }", " ~a(listen)");
	assert_true(answers_path("a", SOCK_STREAM));
	assert_int_equal(listeners_count(m->listeners), 1);
	assert_false(is_there("a.old"));
}

/* Sockets go to whoever has their address now. */
static void
test_exchange(void **state)
{
	struct listener *x, *y;
	int fd_x, fd_y;

	(void)state;
	m = rig_start("service a { listen = unix:%DIR%/x  exec = /bin/true  %USER% }\n"
		      "service b { listen = unix:%DIR%/y  exec = /bin/true  %USER% }");
	x = rig_listener("a");
	y = rig_listener("b");
	fd_x = x->fd;
	fd_y = y->fd;
	swap_well("service a { listen = unix:%DIR%/y  exec = /bin/true  %USER% }\n"
		  "service b { listen = unix:%DIR%/x  exec = /bin/true  %USER% }",
		  " ~a(listen) ~b(listen)");
	assert_ptr_equal(rig_listener("a"), y);
	assert_ptr_equal(rig_listener("b"), x);
	assert_int_equal(x->fd, fd_x);
	assert_int_equal(y->fd, fd_y);
	/* by another name it is another service, the socket is the same */
	swap_well("service c { listen = { \"unix:%DIR%/y\", \"unix:%DIR%/x\" }  "
		  "exec = /bin/true  %USER% }", " -a -b +c");
	assert_int_equal(rig_listeners("c"), 2);
	assert_int_equal(x->fd, fd_x);
	assert_ptr_equal(x->service, rig_service("c"));
	assert_true(answers_path("x", SOCK_STREAM) && answers_path("y", SOCK_STREAM));
}

/* The kernel's choice is kept by the service that asked for it. */
static void
test_port_0(void **state)
{
	uint16_t port;

	(void)state;
	m = rig_start("service a { listen = { \"tcp:127.0.0.1:0\", \"tcp:127.0.0.1:0\" }  "
		      "exec = /bin/true  %USER% }");
	port = rig_listener("a")->next->port;
	assert_int_not_equal(port, rig_listener("a")->port);
	swap_well("service b { listen = tcp:127.0.0.1:0  exec = /bin/true  %USER% }\n"
		  "service a { listen = tcp:127.0.0.1:0  exec = /bin/true  %USER% }",
		  " ~a(listen) +b");
	assert_int_equal(rig_listener("a")->port, port);
	assert_int_not_equal(rig_listener("b")->port, port);
	assert_int_equal(listeners_count(m->listeners), 2);
}

static uint32_t
begin(const char *service)
{
	struct session *x = rig_begin(rig_service(service), BOARD_EXEC, NULL, NULL);

	rig_process(x, rig_child(false));
	return session_slot(m->sessions, x);
}

#define KEPT "service k { listen = unix:%DIR%/k  exec = /bin/true  %USER%  on_reload = keep }\n"

/* Handlers of what is gone go on or are ended, as their service said. */
static void
test_running_handlers(void **state)
{
	uint32_t kept;
	struct service *old;

	(void)state;
	m = rig_start(KEPT "service t { listen = unix:%DIR%/t  exec = /bin/true  %USER%\n"
		      "  on_reload = terminate }");
	kept = begin("k");
	(void)begin("t");
	(void)begin("t");
	old = rig_service("k");
	swap_well("", " -k -t");
	assert_int_equal(sessions_count(m->sessions), 3);
	rig_run_until_sessions(1);
	assert_non_null(session_at(m->sessions, kept));
	assert_int_equal(listeners_count(m->listeners), 0);
	/* the same name again: a service of its own */
	swap_well(KEPT, " +k");
	assert_ptr_not_equal(rig_service("k"), old);
	assert_int_equal(rig_service("k")->running, 0);
	assert_int_equal(old->running, 1);
	expire_kill(m->sessions, session_at(m->sessions, kept));
	rig_run_until_sessions(0);
}

#define MANY(n) "service t { listen = unix:%DIR%/t  exec = /bin/true  %USER%\n" \
	"  on_reload = terminate  limits { instances = " n " } }"

static void
test_fewer_instances(void **state)
{
	uint32_t first, second;

	(void)state;
	m = rig_start(MANY("4"));
	first = begin("t");
	second = begin("t");
	(void)begin("t");
	(void)begin("t");
	swap_well(MANY("2"), " ~t(limits)");
	rig_run_until_sessions(2);
	assert_non_null(session_at(m->sessions, first));
	assert_non_null(session_at(m->sessions, second));
	swap_well("", " -t");
	rig_run_until_sessions(0);
}

static void
test_same_address_twice(void **state)
{
	(void)state;
	m = rig_start("service a { listen = unix:%DIR%/a  exec = /bin/true  %USER% }");
	swap_badly("service a { listen = unix:%DIR%/a  exec = /bin/true  %USER% }\n"
		   "service b { listen = unix:%DIR%/b  exec = /bin/true  %USER% }\n"
		   "service c { listen = unix:%DIR%/none/b  exec = /bin/true  %USER% }\n",
		   "test.conf:4: service c: unix:");
	assert_false(is_there("b"));
}

/* As many names as there is room for, and a sign that there are more. */
static void
test_many_changes(void **state)
{
	char *text = malloc(65536);
	size_t len = 0, n;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < 60; i++)
		len += (size_t)snprintf(text + len, 65536 - len,
			"service a-long-name-of-service-%d { listen = unix:%%DIR%%/%d  "
			"exec = /bin/true  %%USER%% }\n", i, i);
	m = rig_start("");
	assert_int_equal(swap(text), 0);
	assert_int_equal(result.added, 60);
	n = strlen(result.names);
	assert_int_equal(n, sizeof(result.names) - 1);
	assert_string_equal(result.names + n - 3, "...");
	assert_int_equal(listeners_count(m->listeners), 60);
	assert_int_equal(swap(""), 0);
	assert_int_equal(result.removed, 60);
	assert_int_equal(listeners_count(m->listeners), 0);
	free(text);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		T(test_the_same),
		T(test_added_and_removed),
		T(test_changed_settings),
		T(test_busy_port),
		T(test_address_to_all),
		T(test_type_of_a_path),
		T(test_exchange),
		T(test_port_0),
		T(test_running_handlers),
		T(test_fewer_instances),
		T(test_same_address_twice),
		T(test_many_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
