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
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sockdiag.h"

struct search {
	const struct bind_target *target;
	uint64_t inode;		/* 0: not found yet */
};

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

static bool
try(const void *data, size_t len, void *arg)
{
	struct search *search = arg;
	const struct inet_diag_msg *d = data;

	if (len >= sizeof(*d) && matches(search->target, d))
		search->inode = d->idiag_inode;
	return search->inode == 0;
}

static uint64_t
inode_of_inet(const struct bind_target *t, int family, int64_t until_ms)
{
	struct search search = { .target = t };
	struct inet_diag_req_v2 r = {
		.sdiag_family = (uint8_t)family,
		.sdiag_protocol = t->type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP,
		.idiag_states = t->type == SOCK_DGRAM ? ~0U : 1U << TCP_LISTEN,
	};
	int fd = sockdiag_open();

	if (fd == -1)
		return 0;
	(void)sockdiag_ask(fd, &r, sizeof(r), true, until_ms, try, &search);
	(void)close(fd);
	return search.inode;
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
	for (struct dirent *e; !found && (e = readdir(d)) && sockdiag_now_ms() < until;) {
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
	int64_t until = sockdiag_now_ms() + budget_ms;
	uint64_t inode = t->path ? inode_of_path(t->path) :
		inode_of_inet(t, t->addr.family, until);
	char wanted[48];
	bool found = false;
	DIR *d;

	if (inode == 0 && t->addr.family == AF_INET)	/* a mapped socket has it */
		inode = inode_of_inet(t, AF_INET6, until);
	if (inode == 0)
		return false;
	(void)snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long)inode);
	d = opendir("/proc");
	if (!d)
		return false;
	for (struct dirent *e; !found && (e = readdir(d)) && sockdiag_now_ms() < until;) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !has_inode(dirfd(d), e->d_name, wanted, until))
			continue;
		describe(dirfd(d), e->d_name, buf, size);
		found = true;
	}
	(void)closedir(d);
	return found;
}
