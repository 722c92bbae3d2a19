/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The owner of a busy address, for a message that helps.  Runs in the master,
 * when a bind has failed; looks no longer than it is allowed to.
 */
#include "config.h"

#include "owner.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A socket that is bound to the port, to the same address or to any (or we
 * wanted any). */
static bool
matches(const struct bind_target *t, const struct inet_diag_msg *d)
{
	static const uint8_t any[16];
	size_t len = d->idiag_family == AF_INET ? 4 : 16;

	if (ntohs(d->id.idiag_sport) != t->addr.port || d->idiag_inode == 0)
		return false;
	return memcmp(d->id.idiag_src, any, len) == 0 || memcmp(t->addr.ip, any, 16) == 0 ||
		memcmp(d->id.idiag_src, t->addr.ip, len) == 0;
}

/* Reads one answer to a dump; the inode, 0 to go on, -1 at the end. */
static int64_t
read_dump(int fd, const struct bind_target *t)
{
	_Alignas(struct nlmsghdr) char buf[16384];
	ssize_t len = recv(fd, buf, sizeof(buf), 0);
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;

	if (len <= 0)
		return -1;
	for (size_t left = (size_t)len; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
			return -1;	/* NLMSG_DONE, NLMSG_ERROR */
		if (matches(t, NLMSG_DATA(h)))
			return ((const struct inet_diag_msg *)NLMSG_DATA(h))->idiag_inode;
	}
	return 0;
}

static uint64_t
inode_of_inet(const struct bind_target *t, int family)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = (uint8_t)family,
		       .sdiag_protocol = t->type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP,
		       .idiag_states = t->type == SOCK_DGRAM ? ~0U : 1U << TCP_LISTEN },
	};
	struct timeval second = { .tv_sec = 1 };
	int64_t inode = 0;
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd == -1)
		return 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	if (send(fd, &q, sizeof(q), 0) == sizeof(q))
		while ((inode = read_dump(fd, t)) == 0)
			;
	(void)close(fd);
	return inode > 0 ? (uint64_t)inode : 0;
}

/* A number in /proc/net/unix, by path: its last two columns. */
static uint64_t
inode_of_path(const char *path)
{
	FILE *f = fopen("/proc/net/unix", "re");
	unsigned long found = 0, inode;
	char line[512], name[256];

	if (!f)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %255[^\n]", &inode, name) == 2 &&
		    strcmp(name, path) == 0)
			found = inode;
	}
	(void)fclose(f);
	return found;
}

static bool
has_inode(int proc, const char *pid, const char *wanted, int64_t until)
{
	char path[64], target[64];
	bool found = false;
	DIR *d;
	int fd;

	(void)snprintf(path, sizeof(path), "%.16s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return false;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return false;
	}
	for (struct dirent *e; !found && (e = readdir(d)) && now_ms() < until;) {
		ssize_t n = readlinkat(fd, e->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	(void)closedir(d);
	return found;
}

static void
describe(int proc, const char *pid, char *buf, size_t size)
{
	char path[64], name[32] = "?";
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "%.16s/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		n = read(fd, name, sizeof(name) - 1);
		(void)close(fd);
	}
	if (n > 0)
		name[n - 1] = '\0';
	(void)snprintf(buf, size, "%s (pid %s)", name, pid);
}

bool
owner_find(const struct bind_target *t, char *buf, size_t size, int budget_ms)
{
	int64_t until = now_ms() + budget_ms;
	uint64_t inode = t->path ? inode_of_path(t->path) : inode_of_inet(t, t->addr.family);
	char wanted[48];
	bool found = false;
	DIR *d;

	if (inode == 0 && t->addr.family == AF_INET)	/* a mapped socket has it */
		inode = inode_of_inet(t, AF_INET6);
	if (inode == 0)
		return false;
	(void)snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long)inode);
	d = opendir("/proc");
	if (!d)
		return false;
	for (struct dirent *e; !found && (e = readdir(d)) && now_ms() < until;) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !has_inode(dirfd(d), e->d_name, wanted, until))
			continue;
		describe(dirfd(d), e->d_name, buf, size);
		found = true;
	}
	(void)closedir(d);
	return found;
}
