/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * How busy the machine is, for access.max_load and access.max_pressure: what
 * /proc/loadavg and /proc/pressure say, read at most once a second.
 */
#ifndef HATCHD_LOAD_H
#define HATCHD_LOAD_H

#include <stdint.h>

#include "gate.h"

struct load;

/* NULL: no memory.  Opens nothing yet. */
struct load *load_new(void);
void load_free(struct load *l);

/* now_ms: monotonic.  Never fails: what can't be read is GATE_UNKNOWN.  Valid
 * until the next call.  To be called only if gate_wants_load says so: the first
 * call opens up to four files, which stay open. */
const struct gate_load *load_get(struct load *l, int64_t now_ms);

/* The texts of the two kinds of files in hundredths, of a process and of a
 * percent; GATE_UNKNOWN if they are not what was expected. */
uint32_t load_parse_average(const char *text);
uint32_t load_parse_pressure(const char *text);

#endif
