/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The talker as a process: started as the master starts it (as root into an
 * empty folder and another account), under its system call filter, with each
 * kind of work once.  HATCHD_TALKER names the program if it isn't
 * ./hatchd-talker.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "board.h"
#include "proto.h"

#define ACCOUNT "65534"
#define FILES 300			/* its limit of descriptors */

struct test {
	pid_t pid;
	int link;
	struct board *board;
};

static const char *
program(void)
{
	const char *path = getenv("HATCHD_TALKER");

	return path != NULL ? path : "./hatchd-talker";
}

static int
empty_folder(void)
{
	char path[] = "/tmp/hatchd-test-XXXXXX";
	int fd;

	assert_non_null(mkdtemp(path));
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(rmdir(path), 0);
	return fd;
}

/* In the child; high first, so that neither number is overwritten. */
static void
start_program(int link, int root, const char *uid, const char *backend)
{
	int high_link = fcntl(link, F_DUPFD, 10);
	int high_root = root < 0 ? -1 : fcntl(root, F_DUPFD, 10);
	const struct rlimit few = { FILES, FILES };

	if (dup2(high_link, PROTO_LINK_FD) < 0 ||
	    (root >= 0 && dup2(high_root, PROTO_ROOT_FD) < 0))
		_exit(99);
	if (setrlimit(RLIMIT_NOFILE, &few) < 0)
		_exit(97);
	execl(program(), "hatchd-talker", uid, uid, backend, "1000", (char *)NULL);
	_exit(98);
}

static struct test
start(const char *uid, const char *backend)
{
	struct test t = { 0 };
	int sv[2], root = -1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	t.board = board_new();
	assert_non_null(t.board);
	if (uid == NULL)
		uid = geteuid() == 0 ? ACCOUNT : "-";
	if (strcmp(uid, "-") != 0)
		root = empty_folder();
	t.pid = fork();
	assert_true(t.pid >= 0);
	if (t.pid == 0)
		start_program(sv[1], root, uid, backend);
	close(sv[1]);
	if (root >= 0)
		close(root);
	t.link = sv[0];
	return t;
}

/* Its exit code, when the link is closed or it went by itself. */
static int
finish(struct test *t, bool close_link)
{
	int status;

	if (close_link)
		close(t->link);
	assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
	if (!close_link)
		close(t->link);
	board_free(t->board);
	assert_true(WIFEXITED(status));		/* the filter would kill it */
	return WEXITSTATUS(status);
}

static void
put(const struct test *t, union msg *m, enum msg_type type, int fd)
{
	union {
		struct cmsghdr c;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { m, proto_size(type) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	m->head.type = (uint16_t)type;
	m->head.size = (uint16_t)proto_size(type);
	if (fd >= 0) {
		memset(&control, 0, sizeof control);
		control.c.cmsg_level = SOL_SOCKET;
		control.c.cmsg_type = SCM_RIGHTS;
		control.c.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&control.c), &fd, sizeof fd);
		h.msg_control = &control;
		h.msg_controllen = sizeof control;
	}
	assert_int_equal(sendmsg(t->link, &h, MSG_NOSIGNAL), iov.iov_len);
	if (fd >= 0)
		close(fd);
}

static void
wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static union msg
get(const struct test *t, enum msg_type type)
{
	union msg m;
	ssize_t n;

	do {
		wait_for(t->link);
		n = recv(t->link, &m, sizeof m, 0);
		assert_true(n > 0);
	} while (m.head.type != type);
	assert_int_equal(n, proto_size(type));
	return m;
}

static void
begin(const struct test *t)
{
	union msg m = { .start = { .version = PROTO_VERSION } };

	put(t, &m, MSG_START, fcntl(board_fd(t->board), F_DUPFD, 0));
	(void)get(t, MSG_READY);
}

static size_t
take(int fd, void *buf, size_t size)
{
	ssize_t n;

	wait_for(fd);
	n = recv(fd, buf, size, 0);
	assert_true(n >= 0);
	return (size_t)n;
}

static int
connection(const struct test *t, enum internal internal, uint32_t slot)
{
	union msg m = { .conn = { .slot = slot, .generation = 1, .internal = internal } };
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	put(t, &m, MSG_CONN, sv[1]);
	return sv[0];
}

static void
try_streams(const struct test *t)
{
	static char buf[1 << 20];
	size_t sent = 0, got = 0;
	int fd;

	for (enum internal i = INTERNAL_NONE + 1; i < INTERNAL_TCPMUX; i++) {
		fd = connection(t, i, 10);
		assert_int_equal(send(fd, "hello", 5, 0), 5);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		got = take(fd, buf, sizeof buf);
		assert_int_equal(got > 0, i != INTERNAL_DISCARD);
		close(fd);
		assert_int_equal(get(t, MSG_ENDED).ended.slot, 10);
	}
	fd = connection(t, INTERNAL_ECHO, 11);
	got = 0;
	while (sent < sizeof buf) {
		ssize_t n = send(fd, buf, sizeof buf - sent, MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		else
			got += take(fd, buf, sizeof buf);
	}
	while (got < sent)
		got += take(fd, buf, sizeof buf);
	close(fd);
	assert_int_equal(get(t, MSG_ENDED).ended.bytes_out, sent);
}

/* A connection of slot 40 for what type and m say; the master's copy is *ret_own. */
static int
visit(const struct test *t, enum msg_type type, union msg *m, int *ret_own)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	*ret_own = fcntl(sv[1], F_DUPFD_CLOEXEC, 0);
	put(t, m, type, sv[1]);
	return sv[0];
}

static void
expect_passed(const struct test *t, enum passed result)
{
	struct msg_passed m = get(t, MSG_PASSED).passed;

	assert_int_equal(m.slot, 40);
	assert_int_equal(m.generation, 2);
	assert_int_equal(m.result, result);
}

static void
try_prefix(const struct test *t, uint32_t what, const char *text, const char *payload,
	   enum passed result)
{
	union msg m = { .prefix = { .slot = 40, .generation = 2, .what = what,
				    .timeout_ms = 5000 } };
	char buf[64];
	int own, fd = visit(t, MSG_PREFIX, &m, &own);

	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	if (what == PREFIX_PROXY || result == PASSED_OK) {
		expect_passed(t, result);
		assert_int_equal(take(own, buf, sizeof buf), strlen(payload));
		assert_memory_equal(buf, payload, strlen(payload));
	} else {
		assert_int_equal(take(fd, buf, sizeof buf), strlen(payload));
		assert_memory_equal(buf, payload, strlen(payload));
		assert_int_equal(take(fd, buf, sizeof buf), 0);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		expect_passed(t, result);
	}
	close(own);
	close(fd);
}

/* What comes before a service's own bytes, and after its last. */
static void
try_visits(const struct test *t)
{
	union msg m = { .mux = { .service = 3, .plus = 1, .len = 4, .name = "name" } };
	char buf[64];
	int own, fd;

	put(t, &m, MSG_MUX, -1);
	try_prefix(t, PREFIX_PROXY, "PROXY UNKNOWN\r\nhello", "hello", PASSED_OWN);
	try_prefix(t, PREFIX_PROXY, "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nhello", "hello",
		   PASSED_OK);
	try_prefix(t, PREFIX_TCPMUX, "Name\r\nhello", "hello", PASSED_OK);
	try_prefix(t, PREFIX_TCPMUX, "help\r\n", "name\r\n", PASSED_DONE);
	try_prefix(t, PREFIX_TCPMUX, "x\r\n", "-Service not available\r\n", PASSED_UNKNOWN);

	m.greet = (struct msg_greet){ .slot = 40, .generation = 2, .timeout_ms = 5000, .len = 3,
				      .text = "+\r\n" };
	fd = visit(t, MSG_GREET, &m, &own);
	expect_passed(t, PASSED_OK);
	assert_int_equal(take(fd, buf, sizeof buf), 3);
	close(own);
	close(fd);

	m.refuse = (struct msg_refuse){ .len = 4, .text = "busy" };
	fd = visit(t, MSG_REFUSE, &m, &own);
	close(own);
	assert_int_equal(take(fd, buf, sizeof buf), 4);
	assert_int_equal(take(fd, buf, sizeof buf), 0);
	close(fd);

	m.linger = (struct msg_linger){ .slot = 40, .generation = 2, .timeout_ms = 5000 };
	fd = visit(t, MSG_LINGER, &m, &own);
	close(own);
	assert_int_equal(send(fd, "unread", 6, 0), 6);
	assert_int_equal(take(fd, buf, sizeof buf), 0);
	close(fd);
	assert_int_equal(get(t, MSG_ENDED).ended.slot, 40);
}

static int
datagram_socket(const struct test *t, uint32_t listener, enum internal internal,
		struct sockaddr_in *at)
{
	union msg m = { .dgram = { .listener = listener, .internal = internal,
				   .family = AF_INET, .idle_ms = 60000, .max = 4 } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), client, one = 1;
	socklen_t len = sizeof *at;

	client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	*at = (struct sockaddr_in){ .sin_family = AF_INET };
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one), 0);
	assert_int_equal(connect(client, (struct sockaddr *)at, sizeof *at), 0);
	put(t, &m, MSG_DGRAM, fd);
	return client;
}

static void
try_datagrams(const struct test *t)
{
	struct sockaddr_in at;
	int fd = datagram_socket(t, 1, INTERNAL_ECHO, &at), sv[2];
	union msg ask, m;
	char buf[64];

	assert_int_equal(send(fd, "udp", 3, 0), 3);
	ask = get(t, MSG_ASK);
	m.verdict = (struct msg_verdict){ .handle = ask.ask.handle, .keep_ms = 1000,
					  .handle_generation = ask.ask.handle_generation };
	put(t, &m, MSG_VERDICT, -1);
	assert_int_equal(take(fd, buf, sizeof buf), 3);
	assert_int_equal(get(t, MSG_COUNT).count.datagrams_out, 1);
	close(fd);

	fd = datagram_socket(t, 2, INTERNAL_NONE, &at);
	assert_int_equal(send(fd, "session", 7, 0), 7);
	ask = get(t, MSG_ASK);
	m.session = (struct msg_session){ .handle = ask.ask.handle, .slot = 20,
					  .handle_generation = ask.ask.handle_generation };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	put(t, &m, MSG_SESSION, sv[1]);
	assert_int_equal(take(sv[0], buf, sizeof buf), 7);
	assert_int_equal(send(sv[0], "", 0, 0), 0);
	assert_int_equal(send(sv[0], "answer", 6, 0), 6);
	assert_int_equal(take(fd, buf, sizeof buf), 0);
	assert_int_equal(take(fd, buf, sizeof buf), 6);
	m.dgram_drop = (struct msg_dgram_drop){ .listener = 2 };
	put(t, &m, MSG_DGRAM_DROP, -1);
	close(sv[0]);
	assert_int_equal(get(t, MSG_ENDED).ended.slot, 20);
	close(fd);
}

static void
try_errlog(const struct test *t)
{
	struct board_session *row = board_slot(t->board, 30);
	int sv[2], one = 1;
	union msg m;

	row->kind = BOARD_EXEC;
	row->pid = getpid();
	row->generation = 7;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one), 0);
	put(t, &m, MSG_ERRLOG, sv[0]);
	assert_int_equal(write(sv[1], "oops\n", 5), 5);
	m = get(t, MSG_ERRLINE);
	assert_int_equal(m.errline.len, 4);
	assert_int_equal(m.errline.slot, 30);
	assert_int_equal(m.errline.generation, 7);
	close(sv[1]);
}

static void
try_control(const struct test *t)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len = sizeof at;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char buf[4096];
	union msg m;

	board_service_set(t->board, 0, "some");
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at.sun_family), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(fd, 5), 0);
	put(t, &m, MSG_CONTROL, fd);
	assert_int_equal(connect(client, (struct sockaddr *)&at, len), 0);
	assert_int_equal(send(client, "connections\n", 12, 0), 12);
	assert_true(take(client, buf, sizeof buf) > 50);
	close(client);
}

/* A line of /proc/PID/status, "" if there is none. */
static void
proc_status(pid_t pid, const char *key, char value[64])
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	value[0] = '\0';
	f = fopen(path, "r");
	if (f == NULL)
		return;
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			(void)sscanf(line + strlen(key) + 1, "%63s", value);
	fclose(f);
}

static void
test_all_kinds_of_work(void **state)
{
	struct test t = start(NULL, "auto");

	(void)state;
	begin(&t);
	try_streams(&t);
	try_visits(&t);
	try_datagrams(&t);
	try_errlog(&t);
	try_control(&t);
	assert_int_equal(finish(&t, true), 0);
}

static void
test_other_backends(void **state)
{
	static const char *const backend[] = { "epoll", "poll", "select" };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct test t = start(NULL, backend[i]);

		begin(&t);
		try_streams(&t);
		try_visits(&t);
		assert_int_equal(finish(&t, true), 0);
	}
}

static void
test_it_is_confined(void **state)
{
	struct test t = start(NULL, "auto");
	char value[64];

	(void)state;
	begin(&t);
	proc_status(t.pid, "NoNewPrivs", value);
	assert_string_equal(value, "1");
	proc_status(t.pid, "Threads", value);
	assert_string_equal(value, "1");
	if (geteuid() == 0) {
		proc_status(t.pid, "Uid", value);
		assert_string_equal(value, ACCOUNT);
		proc_status(t.pid, "Groups", value);
		assert_string_equal(value, "");
		proc_status(t.pid, "CapEff", value);
		assert_string_equal(value, "0000000000000000");
		proc_status(t.pid, "CapPrm", value);
		assert_string_equal(value, "0000000000000000");
	}
	assert_int_equal(finish(&t, true), 0);
}

static void
test_stop(void **state)
{
	struct test t = start(NULL, "auto");
	union msg m;

	(void)state;
	begin(&t);
	(void)connection(&t, INTERNAL_ECHO, 1);
	put(&t, &m, MSG_STOP, -1);
	assert_int_equal(finish(&t, false), 0);
}

/* What handlers wrote is told before it ends, however late it came. */
static void
test_stop_after_the_last_words(void **state)
{
	struct test t = start(NULL, "auto");
	union msg m = { 0 };
	struct msg_errline line;
	int sv[2], one = 1;

	(void)state;
	begin(&t);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one), 0);
	put(&t, &m, MSG_ERRLOG, sv[0]);
	assert_int_equal(kill(t.pid, SIGSTOP), 0);
	assert_int_equal(write(sv[1], "last\nwords", 10), 10);
	put(&t, &m, MSG_STOP, -1);
	assert_int_equal(kill(t.pid, SIGCONT), 0);
	line = get(&t, MSG_ERRLINE).errline;
	assert_int_equal(line.len, 4);
	assert_memory_equal(line.text, "last", 4);
	line = get(&t, MSG_ERRLINE).errline;
	assert_int_equal(line.len, 5);
	assert_memory_equal(line.text, "words", 5);
	close(sv[1]);
	assert_int_equal(finish(&t, false), 0);
}

static void
test_bad_messages_end_it(void **state)
{
	struct test t = start(NULL, "auto");
	union msg m = { .start = { .version = PROTO_VERSION + 1 } };

	(void)state;
	put(&t, &m, MSG_START, fcntl(board_fd(t.board), F_DUPFD, 0));
	assert_int_equal(finish(&t, false), 1);

	t = start(NULL, "auto");
	m.start.version = PROTO_VERSION;
	put(&t, &m, MSG_START, open("/dev/null", O_RDWR));	/* no board */
	assert_int_equal(finish(&t, false), 1);

	t = start(NULL, "auto");
	begin(&t);
	assert_int_equal(send(t.link, "garbage", 7, MSG_NOSIGNAL), 7);
	assert_int_equal(finish(&t, false), 1);

	t = start(NULL, "auto");
	begin(&t);
	(void)connection(&t, INTERNAL_MAX, 1);
	assert_int_equal(finish(&t, false), 1);

	t = start(NULL, "auto");
	begin(&t);
	(void)connection(&t, INTERNAL_TCPMUX, 1);
	assert_int_equal(finish(&t, false), 1);

	t = start(NULL, "auto");
	begin(&t);
	m.mux = (struct msg_mux){ .plus = 2, .len = 1, .name = "x" };
	put(&t, &m, MSG_MUX, -1);
	assert_int_equal(finish(&t, false), 1);

	t = start(NULL, "auto");
	begin(&t);
	m.linger = (struct msg_linger){ .timeout_ms = 0 };
	put(&t, &m, MSG_LINGER, open("/dev/null", O_RDWR));
	assert_int_equal(finish(&t, false), 1);
}

static void
test_never_root(void **state)
{
	struct test t;

	(void)state;
	if (geteuid() != 0)
		skip();
	t = start("0", "auto");
	assert_int_equal(finish(&t, false), 1);
	t = start("-", "auto");
	assert_int_equal(finish(&t, false), 1);
}

/* More connections than descriptors: the rest is refused, the others go on. */
static void
test_S9_no_descriptor_left(void **state)
{
	struct test t = start(NULL, "auto");
	static int fd[FILES + 2];
	unsigned served = 0, refused = 0;
	char c;

	(void)state;
	begin(&t);
	for (unsigned i = 0; i < FILES + 50; i++) {
		struct pollfd p[2];
		int client = connection(&t, INTERNAL_ECHO, i);

		(void)send(client, "x", 1, MSG_NOSIGNAL);	/* it may be closed already */
		p[0] = (struct pollfd){ .fd = client, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = t.link, .events = POLLIN };
		assert_true(poll(p, 2, 5000) > 0);
		if (recv(client, &c, 1, 0) == 1) {
			assert_true(served <= FILES);
			fd[served++] = client;
			continue;
		}
		assert_int_equal(get(&t, MSG_ENDED).ended.error, EMFILE);
		close(client);
		refused++;
	}
	assert_true(served > FILES - 50 && refused > 0);
	close(fd[--served]);
	(void)get(&t, MSG_ENDED);
	fd[served] = connection(&t, INTERNAL_ECHO, FILES + 50);
	assert_int_equal(send(fd[served], "x", 1, 0), 1);
	assert_int_equal(take(fd[served], &c, 1), 1);
	for (unsigned i = 0; i <= served; i++)
		close(fd[i]);
	assert_int_equal(finish(&t, true), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_kinds_of_work),
		cmocka_unit_test(test_other_backends),
		cmocka_unit_test(test_it_is_confined),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_after_the_last_words),
		cmocka_unit_test(test_bad_messages_end_it),
		cmocka_unit_test(test_never_root),
		cmocka_unit_test(test_S9_no_descriptor_left),
	};

	if (access(program(), X_OK) < 0) {
		fprintf(stderr, "%s: %s\n", program(), strerror(errno));
		return 77;
	}
	(void)alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
