/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * UNIX sockets: what stands in the way of a path is left alone unless it is a
 * socket that nobody listens at.  And who has an address that is in use.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bind_rig.h"
#include "fd.h"
#include "owner.h"

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode;
}

static ino_t
inode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

static int
foreign_socket(const char *path, int type, int backlog)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (type != SOCK_DGRAM)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void
test_unix_mode(void **state)
{
	static const mode_t modes[] = { 0600, 0660, 0666, 0777, 0 };
	mode_t old = umask(077);
	char path[100];

	(void)state;
	strcpy(path, in_dir("", "s"));
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		int fd;

		sock.mode = modes[i];
		fd = must_open(in_dir("unix:", "s"));
		check_descriptor(fd);
		assert_int_equal(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
		assert_int_equal(local.family, AF_UNIX);
		assert_int_equal(mode_of(path), S_IFSOCK | modes[i]);
		assert_int_equal(umask(077), 077);
		sock.mode = 0640;
		assert_int_equal(apply_again(fd), 0);
		assert_int_equal(mode_of(path), S_IFSOCK | 0640);
		fd_close(&fd);
		assert_int_equal(unlink(path), 0);
	}
	(void)umask(old);
}

static void
test_unix_owner(void **state)
{
	char path[100];
	struct stat st;
	int fd;

	(void)state;
	strcpy(path, in_dir("", "s"));
	if (geteuid() != 0)
		skip();
	sock.owner_uid = 4711;
	sock.owner_gid = 4712;
	fd = must_open(in_dir("unix:", "s"));
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, 4711);
	assert_int_equal(st.st_gid, 4712);
	sock.owner_uid = (uid_t)-1;
	sock.owner_gid = 4713;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 4713);
	sock.owner_gid = (gid_t)-1;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_gid, getegid());

	/* as in a directory that gives its group to what is made in it */
	sock.owner_gid = 4713;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(chown(dir, (uid_t)-1, 4714), 0);
	assert_int_equal(chmod(dir, 02755), 0);
	sock.owner_gid = (gid_t)-1;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_gid, 4714);
	fd_close(&fd);
	assert_int_equal(unlink(path), 0);
}

/* Who owns the directory may have put something else in its place. */
static void
test_unix_path_of_something_else(void **state)
{
	char path[100], other[100];
	struct stat st;
	int fd, file;

	(void)state;
	strcpy(path, in_dir("", "s"));
	strcpy(other, in_dir("", "other"));
	file = open(other, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_int_not_equal(file, -1);
	fd = must_open(in_dir("unix:", "s"));
	sock.mode = 0606;
	if (geteuid() == 0)
		sock.owner_uid = 4711;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(unlink(path), 0);
		if (i == 0)
			assert_int_equal(symlink(other, path), 0);
		else if (i == 1)
			assert_int_equal(link(other, path), 0);
		assert_int_equal(apply_again(fd), 0);
		assert_int_equal(fstat(file, &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0600);
		assert_int_equal(st.st_uid, geteuid());
		if (i == 2)
			break;
		sock.mode ^= 0040;
	}
	fd_close(&fd);
	fd_close(&file);
	assert_int_equal(unlink(other), 0);
}

/* What was bound and then could not be set up leaves no path behind. */
static void
test_unix_failure_leaves_nothing(void **state)
{
	uid_t me = geteuid(), uid = me == 0 ? 65534 : me;

	(void)state;
	assert_int_equal(me == 0 ? chown(dir, uid, (gid_t)-1) : 0, 0);
	assert_int_equal(me == 0 ? seteuid(uid) : 0, 0);
	sock.owner_uid = 0;
	must_fail(in_dir("unix:", "s"), "owner", EPERM);
	assert_int_equal(me == 0 ? seteuid(me) : 0, 0);
	assert_int_equal(access(in_dir("", "s"), F_OK), -1);
}

static void
test_S23_stale_path_is_replaced(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	static const char *const protos[] = { "unix:", "unix-dgram:", "unix-seqpacket:" };
	char path[100];

	(void)state;
	strcpy(path, in_dir("", "s"));
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++) {
			int old = foreign_socket(path, types[i], 1), fd;

			(void)close(old);
			fd = must_open(in_dir(protos[k], "s"));
			assert_int_equal(mode_of(path), S_IFSOCK | 0666);
			fd_close(&fd);
			assert_int_equal(unlink(path), 0);
		}
}

/* ... but one that is in use is not, of whatever type, however busy. */
static void
test_S23_live_path_is_left_alone(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	static const char *const protos[] = { "unix:", "unix-dgram:", "unix-seqpacket:" };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char path[100];

	(void)state;
	strcpy(path, in_dir("", "s"));
	for (int i = 0; i < 3; i++) {
		int live = foreign_socket(path, types[i], 0), clients[8], n = 0;
		ino_t inode = inode_of(path);

		strcpy(un.sun_path, path);
		while (types[i] != SOCK_DGRAM && n < 8) {	/* its backlog is full */
			clients[n] = socket(AF_UNIX, types[i] | SOCK_NONBLOCK, 0);
			if (connect(clients[n++], (struct sockaddr *)&un, sizeof(un)) == -1)
				break;
		}
		for (int k = 0; k < 3; k++) {
			must_fail(in_dir(protos[k], "s"), "bind", EADDRINUSE);
			assert_int_equal(inode_of(path), inode);
		}
		while (n > 0)
			(void)close(clients[--n]);
		(void)close(live);
		assert_int_equal(unlink(path), 0);
	}
}

static void
test_S23_other_files_are_left_alone(void **state)
{
	char path[100], link[100];
	int fd;

	(void)state;
	strcpy(path, in_dir("", "s"));
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_int_equal(write(fd, "precious", 8), 8);
	fd_close(&fd);
	must_fail(in_dir("unix:", "s"), "bind", EADDRINUSE);
	assert_true(S_ISREG(mode_of(path)));
	assert_int_equal(unlink(path), 0);

	assert_int_equal(mkdir(path, 0755), 0);
	must_fail(in_dir("unix:", "s"), "bind", EADDRINUSE);
	assert_int_equal(rmdir(path), 0);

	/* a link, even to a stale socket */
	fd = foreign_socket(path, SOCK_STREAM, 1);
	fd_close(&fd);
	strcpy(link, in_dir("", "link"));
	assert_int_equal(symlink("s", link), 0);
	must_fail(in_dir("unix:", "link"), "bind", EADDRINUSE);
	assert_true(S_ISLNK(mode_of(link)));
	assert_true(S_ISSOCK(mode_of(path)));
	assert_int_equal(unlink(link) | unlink(path), 0);
	must_fail(in_dir("unix:", "no/where"), "bind", ENOENT);
}

static void
test_S23_directory_for_everybody(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(chmod(dir, 0777), 0);
	must_fail(in_dir("unix:", "s"), "directory writable by everybody", EPERM);
	assert_int_equal(access(in_dir("", "s"), F_OK), -1);
	must_fail(in_dir("unix-dgram:", "s"), "directory writable by everybody", EPERM);
	assert_int_equal(chmod(dir, 01777), 0);	/* nobody can remove it there */
	fd = must_open(in_dir("unix:", "s"));
	fd_close(&fd);
	assert_int_equal(chmod(dir, 0775), 0);
	assert_int_equal(unlink(in_dir("", "s")), 0);
	fd = must_open(in_dir("unix:", "s"));
	fd_close(&fd);
	assert_int_equal(unlink(in_dir("", "s")), 0);
}

static void
test_abstract(void **state)
{
	char text[80];
	int fd, other;

	(void)state;
	(void)snprintf(text, sizeof(text), "unix:@hatchd-test-bind-%d", (int)getpid());
	fd = must_open(text);
	check_descriptor(fd);
	must_fail(text, "bind", EADDRINUSE);
	text[strlen(text) - 1] = 'x';
	other = must_open(text);
	fd_close(&other);
	fd_close(&fd);
}

/* Who has the address */

static void
check_owner(const char *text, bool expected)
{
	char found[64] = "", self[64], name[32] = "";
	FILE *f = fopen("/proc/self/comm", "re");

	assert_non_null(f);
	assert_non_null(fgets(name, sizeof(name), f));
	(void)fclose(f);
	name[strcspn(name, "\n")] = '\0';
	(void)snprintf(self, sizeof(self), "%s (pid %d)", name, (int)getpid());
	assert_true(RESOLVE(text) >= 1);
	assert_int_equal(owner_find(&targets[0], found, sizeof(found), 20000), expected);
	assert_string_equal(found, expected ? self : "");
}

static void
test_owner_of_a_port(void **state)
{
	static const char *const protos[] = { "tcp", "udp" };
	char text[64];

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint16_t port;
		int fd;

		(void)snprintf(text, sizeof(text), "%s:127.0.0.1:0", protos[i]);
		fd = must_open(text);
		port = local.port;
		(void)snprintf(text, sizeof(text), "%s:127.0.0.1:%u", protos[i], port);
		check_owner(text, true);
		assert_false(owner_find(&targets[0], text, sizeof(text), 0));	/* no time */
		(void)snprintf(text, sizeof(text), "%s4:%u", protos[i], port);
		check_owner(text, true);
		(void)snprintf(text, sizeof(text), "%s:127.0.0.2:%u", protos[i], port);
		check_owner(text, false);
		fd_close(&fd);
		(void)snprintf(text, sizeof(text), "%s:127.0.0.1:%u", protos[i], port);
		check_owner(text, false);
	}
}

/* An IPv6 socket that takes IPv4 connections, too. */
static void
test_owner_by_a_mapped_address(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(in6);
	int fd, off = 0;
	char text[64];

	(void)state;
	if (!has_ipv6())
		skip();
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in6, sizeof(in6)) | listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &len), 0);
	(void)snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(in6.sin6_port));
	must_fail(text, "bind", EADDRINUSE);
	check_owner(text, true);
	(void)snprintf(text, sizeof(text), "tcp6:%u", ntohs(in6.sin6_port));
	check_owner(text, true);
	fd_close(&fd);
}

static void
test_owner_of_a_path(void **state)
{
	char text[100];
	int fd = must_open(in_dir("unix:", "a socket"));

	(void)state;
	check_owner(in_dir("unix:", "a socket"), true);
	check_owner(in_dir("unix:", "a"), false);
	fd_close(&fd);
	check_owner(in_dir("unix:", "a socket"), false);
	assert_int_equal(unlink(in_dir("", "a socket")), 0);
	(void)snprintf(text, sizeof(text), "unix-dgram:@hatchd-test-bind-%d", (int)getpid());
	fd = must_open(text);
	check_owner(text, true);
	fd_close(&fd);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_unix_mode),
		T(test_unix_owner),
		T(test_unix_path_of_something_else),
		T(test_unix_failure_leaves_nothing),
		T(test_S23_stale_path_is_replaced),
		T(test_S23_live_path_is_left_alone),
		T(test_S23_other_files_are_left_alone),
		T(test_S23_directory_for_everybody),
		T(test_abstract),
		T(test_owner_of_a_port),
		T(test_owner_by_a_mapped_address),
		T(test_owner_of_a_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
