/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the service manager is told.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "notify.h"

static char dir[32], path[64];

/* A manager that listens at path, "@name" being an abstract one. */
static int
listen_at(const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	memcpy(un.sun_path, name, strlen(name));
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&un, len), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void
check_heard(int fd, const char *want)
{
	char buf[256];
	ssize_t n = recv(fd, buf, sizeof buf - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, want);
}

static void
check_environment_is_clean(void)
{
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return 0;
}

static void
test_nobody_listens(void **state)
{
	(void)state;
	assert_null(notify_init());
	notify_send(NULL, "READY=1");
	notify_reloading(NULL);
	assert_int_equal(notify_watchdog_ms(NULL), 0);
	assert_int_equal(notify_to_environment(NULL), 0);
	notify_free(NULL);
}

static void
test_path(void **state)
{
	int fd = listen_at(path);
	struct notify *n = notify_init();

	(void)state;
	assert_non_null(n);
	check_environment_is_clean();
	notify_send(n, "READY=1\nSTATUS=serving");
	check_heard(fd, "READY=1\nSTATUS=serving");
	assert_int_equal(notify_watchdog_ms(n), 0);

	/* The manager may come back at the same place. */
	(void)close(fd);
	(void)unlink(path);
	notify_send(n, "WATCHDOG=1");
	fd = listen_at(path);
	notify_send(n, "STOPPING=1");
	check_heard(fd, "STOPPING=1");
	(void)close(fd);
	notify_free(n);
}

static void
test_abstract(void **state)
{
	char name[64];
	struct notify *n;
	int fd;

	(void)state;
	(void)snprintf(name, sizeof name, "@hatchd-test-%ld", (long)getpid());
	fd = listen_at(name);
	n = notify_init();
	assert_non_null(n);
	notify_send(n, "READY=1");
	check_heard(fd, "READY=1");
	(void)close(fd);
	notify_free(n);
}

static void
test_reloading_has_the_time(void **state)
{
	int fd = listen_at(path);
	struct notify *n = notify_init();
	struct timespec ts;
	char buf[128];
	int64_t told, now;
	ssize_t len;

	(void)state;
	notify_reloading(n);
	len = recv(fd, buf, sizeof buf - 1, 0);
	assert_true(len > 0);
	buf[len] = '\0';
	assert_int_equal(sscanf(buf, "RELOADING=1\nMONOTONIC_USEC=%" SCNd64, &told), 1);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	now = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	assert_true(told <= now && told > now - 10000000);
	(void)close(fd);
	notify_free(n);
}

/* A manager that does not read is no reason to wait. */
static void
test_full_queue(void **state)
{
	int fd = listen_at(path), i;
	struct notify *n = notify_init();

	(void)state;
	for (i = 0; i < 10000; i++)
		notify_send(n, "WATCHDOG=1");
	check_heard(fd, "WATCHDOG=1");
	(void)close(fd);
	notify_send(n, "WATCHDOG=1");
	notify_free(n);
}

static int64_t
watchdog(const char *usec, const char *pid)
{
	struct notify *n;
	int64_t ms;

	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", usec, 1), 0);
	if (pid != NULL)
		assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
	n = notify_init();
	assert_non_null(n);
	check_environment_is_clean();
	ms = notify_watchdog_ms(n);
	notify_free(n);
	return ms;
}

static void
test_watchdog(void **state)
{
	char pid[24];

	(void)state;
	(void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
	assert_int_equal(watchdog("30000000", NULL), 15000);
	assert_int_equal(watchdog("30000000", pid), 15000);
	assert_int_equal(watchdog("30000000", "1"), getpid() == 1 ? 15000 : 0);
	assert_int_equal(watchdog("30000000", "x"), 0);
	assert_int_equal(watchdog("1", NULL), 1);
	assert_int_equal(watchdog("0", NULL), 0);
	assert_int_equal(watchdog("-5", NULL), 0);
	assert_int_equal(watchdog("", NULL), 0);
	assert_int_equal(watchdog("5s", NULL), 0);
	assert_int_equal(watchdog("99999999999999999999999", NULL), 0);
}

static void
test_bad_addresses(void **state)
{
	char longest[200];

	(void)state;
	memset(longest, 'x', sizeof longest);
	longest[0] = '/';
	longest[sizeof longest - 1] = '\0';
	(void)setenv("NOTIFY_SOCKET", longest, 1);
	assert_null(notify_init());
	check_environment_is_clean();
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	assert_null(notify_init());
	(void)setenv("NOTIFY_SOCKET", "@", 1);
	assert_null(notify_init());
	(void)setenv("NOTIFY_SOCKET", "", 1);
	assert_null(notify_init());
	check_environment_is_clean();
}

static void
test_upgrade_finds_it_again(void **state)
{
	struct notify *n;
	char name[64], pid[24];
	int fd;

	(void)state;
	(void)snprintf(name, sizeof name, "@hatchd-test-up-%ld", (long)getpid());
	(void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
	(void)setenv("WATCHDOG_USEC", "4000000", 1);
	fd = listen_at(name);
	n = notify_init();
	check_environment_is_clean();
	assert_int_equal(notify_to_environment(n), 0);
	assert_string_equal(getenv("NOTIFY_SOCKET"), name);
	assert_string_equal(getenv("WATCHDOG_USEC"), "4000000");
	assert_string_equal(getenv("WATCHDOG_PID"), pid);
	notify_free(n);

	n = notify_init();
	assert_int_equal(notify_watchdog_ms(n), 2000);
	notify_send(n, "READY=1");
	check_heard(fd, "READY=1");
	notify_free(n);
	(void)close(fd);
}

static int
make_dir(void **state)
{
	(void)state;
	(void)strcpy(dir, "/tmp/hatchd-notify-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof path, "%s/notify", dir);
	return tear_down(state);
}

static int
remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_nobody_listens, tear_down),
		cmocka_unit_test_teardown(test_path, tear_down),
		cmocka_unit_test_teardown(test_abstract, tear_down),
		cmocka_unit_test_teardown(test_reloading_has_the_time, tear_down),
		cmocka_unit_test_teardown(test_full_queue, tear_down),
		cmocka_unit_test_teardown(test_watchdog, tear_down),
		cmocka_unit_test_teardown(test_bad_addresses, tear_down),
		cmocka_unit_test_teardown(test_upgrade_finds_it_again, tear_down),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
