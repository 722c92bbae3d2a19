/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The board: tables in a memfd that the master writes and the talker reads.
 * Pure memory after the board is made or mapped; does not log.
 *
 * Each kind of data has an area of its own, so that a service which has never
 * been used costs its name and nothing else.  Reading a page of a memfd brings
 * it into being, too: readers stay below the marks, and look at the counters
 * only of services that count.
 */
#include "config.h"

#include "board.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define MAGIC 0x44484348u	/* "HCHD" */
#define READ_TRIES 8

struct recent {
	_Atomic uint32_t version;	/* odd: being written */
	struct board_recent r;
};

struct layout {
	uint32_t magic, version, size;
	pid_t master_pid;
	int64_t start_ms;
	_Atomic uint32_t services, sessions;	/* marks: rows ever used */
	_Alignas(4096) char name[BOARD_SERVICES][BOARD_NAME];
	_Alignas(4096) uint32_t running[BOARD_SERVICES];
	_Alignas(4096) uint8_t counting[BOARD_SERVICES];	/* its counters may be != 0 */
	_Alignas(4096) struct board_counters counters[BOARD_SERVICES];
	_Alignas(4096) struct board_session session[BOARD_SESSIONS];
	_Atomic uint32_t remembered;	/* how many ever; the last ones are there */
	struct recent recent[BOARD_RECENT];
};

/* Both sides and, across an upgrade, two versions look at the same bytes. */
_Static_assert(sizeof(struct board_counters) == 8 * (8 + REASON_MAX), "counters");
_Static_assert(sizeof(struct layout) <= UINT32_MAX, "size");

struct board {
	struct layout *p;
	int fd;			/* -1: mapped read-only */
};

static struct board *
attach(int fd, int prot)
{
	struct board *b = calloc(1, sizeof(*b));
	void *p;

	if (b == NULL)
		return NULL;
	p = mmap(NULL, sizeof(struct layout), prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		free(b);
		return NULL;
	}
	b->p = p;
	b->fd = -1;
	return b;
}

/* The size is fixed, and nobody but who has mapped it already writes (the last
 * from Linux 5.1 on). */
static int
seal(int fd)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (fcntl(fd, F_ADD_SEALS, seals | F_SEAL_FUTURE_WRITE) == 0)
		return 0;
	return errno == EINVAL ? fcntl(fd, F_ADD_SEALS, seals) : -1;
}

struct board *
board_new(void)
{
	struct board *b = NULL;
	struct timespec ts;
	int fd, error;

	fd = memfd_create("hatchd-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return NULL;
	if (ftruncate(fd, sizeof(struct layout)) < 0)
		goto fail;
	b = attach(fd, PROT_READ | PROT_WRITE);
	if (b == NULL || seal(fd) < 0)
		goto fail;
	(void)clock_gettime(CLOCK_REALTIME, &ts);	/* always there */
	b->p->magic = MAGIC;
	b->p->version = BOARD_VERSION;
	b->p->size = sizeof(struct layout);
	b->p->master_pid = getpid();
	b->p->start_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	b->fd = fd_raise(fd);
	return b;
fail:
	error = errno;
	close(fd);
	board_free(b);
	errno = error;
	return NULL;
}

/* Whether fd is a board of this version that can't shrink under our feet. */
static bool
is_board(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	uint32_t head[3];
	struct stat st;

	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 &&
	       fstat(fd, &st) == 0 && (uint64_t)st.st_size == sizeof(struct layout) &&
	       pread(fd, head, sizeof(head), 0) == sizeof(head) &&
	       head[0] == MAGIC && head[1] == BOARD_VERSION &&
	       head[2] == sizeof(struct layout);
}

struct board *
board_map(int fd)
{
	struct board *b = NULL;
	int error = EPROTO;

	if (is_board(fd)) {
		b = attach(fd, PROT_READ);
		error = errno;
	}
	fd_close(&fd);
	if (b == NULL)
		errno = error;
	return b;
}

struct board *
board_adopt(int fd)
{
	struct board *old = board_map(fd);
	struct board *b;
	uint32_t services, sessions;

	if (old == NULL)
		return NULL;
	b = board_new();
	if (b != NULL) {
		services = board_services(old);
		sessions = board_sessions(old);
		b->p->start_ms = old->p->start_ms;
		b->p->services = services;
		b->p->sessions = sessions;
		memcpy(b->p->name, old->p->name, services * sizeof(b->p->name[0]));
		memcpy(b->p->running, old->p->running, services * sizeof(b->p->running[0]));
		memcpy(b->p->counting, old->p->counting, services);
		for (uint32_t i = 0; i < services; i++)
			if (b->p->counting[i])
				b->p->counters[i] = old->p->counters[i];
		memcpy(b->p->session, old->p->session, sessions * sizeof(b->p->session[0]));
	}
	board_free(old);
	return b;
}

void
board_free(struct board *b)
{
	if (b == NULL)
		return;
	(void)munmap(b->p, sizeof(*b->p));	/* fails only for what isn't mapped */
	fd_close(&b->fd);
	free(b);
}

int
board_fd(const struct board *b)
{
	return b->fd;
}

/* Readers */

uint32_t
board_services(const struct board *b)
{
	uint32_t n = atomic_load_explicit(&b->p->services, memory_order_acquire);

	return n < BOARD_SERVICES ? n : BOARD_SERVICES;
}

uint32_t
board_sessions(const struct board *b)
{
	uint32_t n = atomic_load_explicit(&b->p->sessions, memory_order_acquire);

	return n < BOARD_SESSIONS ? n : BOARD_SESSIONS;
}

int64_t
board_start_ms(const struct board *b)
{
	return b->p->start_ms;
}

pid_t
board_master_pid(const struct board *b)
{
	return b->p->master_pid;
}

bool
board_service(const struct board *b, uint32_t i, struct board_service *ret)
{
	struct board_service copy;

	if (i >= board_services(b))
		return false;
	memcpy(copy.name, b->p->name[i], sizeof(copy.name));
	copy.name[BOARD_NAME - 1] = '\0';
	if (copy.name[0] == '\0')
		return false;
	copy.running = b->p->running[i];
	if (b->p->counting[i])
		copy.counters = b->p->counters[i];
	else
		memset(&copy.counters, 0, sizeof(copy.counters));
	*ret = copy;
	return true;
}

bool
board_session(const struct board *b, uint32_t slot, struct board_session *ret)
{
	const struct board_session *row = board_peek(b, slot);
	struct board_session copy;

	if (row == NULL)
		return false;
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load_explicit(&row->generation, memory_order_acquire);
		uint32_t after;

		memcpy(&copy, row, sizeof(copy));
		atomic_thread_fence(memory_order_acquire);
		after = atomic_load_explicit(&row->generation, memory_order_relaxed);
		if (before != after)
			continue;
		if (copy.kind == BOARD_FREE)
			return false;
		memcpy(ret, &copy, sizeof(*ret));
		return true;
	}
	return false;
}

const struct board_session *
board_peek(const struct board *b, uint32_t slot)
{
	return slot < board_sessions(b) ? &b->p->session[slot] : NULL;
}

static int64_t
monotonic_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);	/* always there */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The i-th newest; false if there is none, or it is being written. */
static bool
read_recent(const struct board *b, uint32_t i, struct board_recent *ret)
{
	uint32_t end = atomic_load_explicit(&b->p->remembered, memory_order_acquire);
	const struct recent *x = &b->p->recent[(end - 1 - i) % BOARD_RECENT];
	uint32_t before;

	if (i >= BOARD_RECENT || i >= end)
		return false;
	before = atomic_load_explicit(&x->version, memory_order_acquire);
	*ret = x->r;
	atomic_thread_fence(memory_order_acquire);
	return before % 2 == 0 &&
	       before == atomic_load_explicit(&x->version, memory_order_relaxed);
}

bool
board_recent(const struct board *b, pid_t pid, uint32_t slot, uint32_t generation,
	     struct board_recent *ret)
{
	struct board_recent r;

	for (uint32_t i = 0; i < BOARD_RECENT; i++) {
		if (!read_recent(b, i, &r))
			continue;
		if ((pid != 0 && r.pid != pid) ||
		    (slot != UINT32_MAX && (r.slot != slot || r.generation != generation)))
			continue;
		*ret = r;
		return true;
	}
	return false;
}

bool
board_recent_at(const struct board *b, uint32_t i, int64_t ms, struct board_recent *ret)
{
	struct board_recent r;

	if (!read_recent(b, i, &r) || monotonic_ms() - r.end_ms > ms)
		return false;
	*ret = r;
	return true;
}

/* Writers */

void
board_remember(struct board *b, uint32_t slot)
{
	const struct board_session *row = board_slot(b, slot);
	uint32_t n = atomic_load_explicit(&b->p->remembered, memory_order_relaxed);
	struct recent *x = &b->p->recent[n % BOARD_RECENT];
	uint32_t version = atomic_load_explicit(&x->version, memory_order_relaxed);

	atomic_store_explicit(&x->version, version + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	x->r = (struct board_recent){
		.pid = row->pid, .slot = slot, .service = row->service, .conn = row->conn,
		.account = row->account, .end_ms = monotonic_ms(),
		.generation = atomic_load_explicit(&row->generation, memory_order_relaxed),
		.peer = row->peer,
	};
	atomic_store_explicit(&x->version, version + 2, memory_order_release);
	atomic_store_explicit(&b->p->remembered, n + 1, memory_order_release);
}

static void
raise_mark(_Atomic uint32_t *mark, uint32_t i)
{
	if (i >= atomic_load_explicit(mark, memory_order_relaxed))
		atomic_store_explicit(mark, i + 1, memory_order_release);
}

const char *
board_name(const struct board *b, uint32_t i)
{
	return i < BOARD_SERVICES ? b->p->name[i] : "";
}

void
board_service_set(struct board *b, uint32_t i, const char *name)
{
	size_t len = strnlen(name, BOARD_NAME - 1);

	assert(b->fd != -1 && i < BOARD_SERVICES);
	memset(b->p->name[i], 0, BOARD_NAME);
	memcpy(b->p->name[i], name, len);
	raise_mark(&b->p->services, i);
}

void
board_service_clear(struct board *b, uint32_t i)
{
	assert(b->fd != -1 && i < BOARD_SERVICES);
	memset(b->p->name[i], 0, BOARD_NAME);
	b->p->running[i] = 0;
	if (b->p->counting[i])
		memset(&b->p->counters[i], 0, sizeof(b->p->counters[i]));
}

uint32_t *
board_running(struct board *b, uint32_t i)
{
	assert(b->fd != -1 && i < BOARD_SERVICES);
	return &b->p->running[i];
}

struct board_counters *
board_counters(struct board *b, uint32_t i)
{
	assert(b->fd != -1 && i < BOARD_SERVICES);
	b->p->counting[i] = 1;
	return &b->p->counters[i];
}

struct board_session *
board_slot(struct board *b, uint32_t slot)
{
	assert(b->fd != -1 && slot < BOARD_SESSIONS);
	raise_mark(&b->p->sessions, slot);
	return &b->p->session[slot];
}
