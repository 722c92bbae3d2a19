/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Tells the service manager how the daemon is: the sd_notify(3) protocol,
 * spoken without a library.  NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are
 * read once, at notify_init, and removed from the environment.
 */
#ifndef HATCHD_NOTIFY_H
#define HATCHD_NOTIFY_H

#include <stdint.h>

struct notify;			/* NULL: nobody wants to be told; all calls take it */

struct notify *notify_init(void);
void notify_free(struct notify *n);

/* Sends "READY=1", "RELOADING=1\nMONOTONIC_USEC=...", ...; never blocks and
 * never fails for the caller. */
void notify_send(const struct notify *n, const char *state);
void notify_reloading(const struct notify *n);	/* with MONOTONIC_USEC */

/* How often WATCHDOG=1 is due, in ms (half of WATCHDOG_USEC); 0: not at all.
 * Honours WATCHDOG_PID. */
int64_t notify_watchdog_ms(const struct notify *n);

/* Puts back into the environment what notify_init took out of it, for an
 * upgrade that executes the new binary in this process; 0, -1 and errno. */
int notify_to_environment(const struct notify *n);

#endif
