/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Load and pressure of the machine.  Owns the descriptors of the files that tell
 * it.  Runs in the master; who judges a connection calls it.  A file that isn't
 * there (kernels without CONFIG_PSI) or can't be read is not asked for again.
 */
#include "config.h"

#include "load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

#define KEEP_MS 1000

enum { AVERAGE = GATE_PRESSURES, FILES };

struct load {
	struct gate_load now;
	int64_t read_ms;
	bool opened;
	int fds[FILES];		/* -1: none */
};

static const char *const paths[FILES] = {
	[GATE_CPU] = "/proc/pressure/cpu",
	[GATE_MEMORY] = "/proc/pressure/memory",
	[GATE_IO] = "/proc/pressure/io",
	[AVERAGE] = "/proc/loadavg",
};

/* "12.34", cut after two decimals, followed by a blank. */
static uint32_t
hundredths(const char *text)
{
	uint32_t n = 0;
	int digits = 0, decimals = 0;

	for (; *text >= '0' && *text <= '9'; text++, digits++)
		if (digits < 7)
			n = n * 10 + (uint32_t)(*text - '0');
	if (digits == 0 || digits > 7)
		return GATE_UNKNOWN;
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++)
			if (decimals < 2) {
				n = n * 10 + (uint32_t)(*text - '0');
				decimals++;
			}
	for (; decimals < 2; decimals++)
		n *= 10;
	return *text == ' ' ? n : GATE_UNKNOWN;
}

uint32_t
load_parse_average(const char *text)
{
	return hundredths(text);
}

uint32_t
load_parse_pressure(const char *text)
{
	static const char some[] = "some avg10=";

	for (;;) {
		if (strncmp(text, some, sizeof(some) - 1) == 0)
			return hundredths(text + sizeof(some) - 1);
		text = strchr(text, '\n');
		if (!text)
			return GATE_UNKNOWN;
		text++;
	}
}

struct load *
load_new(void)
{
	struct load *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	for (int i = 0; i < FILES; i++)
		l->fds[i] = -1;
	return l;
}

void
load_free(struct load *l)
{
	if (!l)
		return;
	for (int i = 0; i < FILES; i++)
		fd_close(&l->fds[i]);
	free(l);
}

static uint32_t
read_file(int *fd, uint32_t (*parse)(const char *text))
{
	char text[256];
	ssize_t n;

	if (*fd == -1)
		return GATE_UNKNOWN;
	n = pread(*fd, text, sizeof(text) - 1, 0);
	if (n <= 0) {
		fd_close(fd);	/* EOPNOTSUPP: pressure is switched off */
		return GATE_UNKNOWN;
	}
	text[n] = '\0';
	return parse(text);
}

const struct gate_load *
load_get(struct load *l, int64_t now_ms)
{
	if (l->opened && now_ms >= l->read_ms && now_ms - l->read_ms < KEEP_MS)
		return &l->now;
	if (!l->opened)
		for (int i = 0; i < FILES; i++)
			l->fds[i] = fd_raise(open(paths[i], O_RDONLY | O_CLOEXEC));
	l->opened = true;
	l->read_ms = now_ms;
	l->now.load = read_file(&l->fds[AVERAGE], load_parse_average);
	for (int i = 0; i < GATE_PRESSURES; i++)
		l->now.pressure[i] = read_file(&l->fds[i], load_parse_pressure);
	return &l->now;
}
