/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Who holds an address that we can't have. */
#ifndef HATCHD_OWNER_H
#define HATCHD_OWNER_H

#include <stdbool.h>
#include <stddef.h>

#include "bind.h"

/* "nginx (pid 42)" into buf; false if it can't be found within budget_ms.
 * Reads the kernel's list of sockets (sock_diag(7)) and /proc/PID/fd. */
bool owner_find(const struct bind_target *t, char *buf, size_t size, int budget_ms);

#endif
