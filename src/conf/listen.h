/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* PROTO:[ADDRESS:]PORT[-PORT] and unix:PATH.  Pure but for /etc/services. */
#ifndef HATCHD_LISTEN_H
#define HATCHD_LISTEN_H

#include <stdbool.h>

#include "arena.h"
#include "conf.h"

/* Parses text into *ret (strings interned in a).  NULL, or what is wrong with
 * it, as a static string.  lookup: ask /etc/services for names of ports.
 * "tcp:80" "tcp:[::1]:80" "tcp4:127.0.0.1:7000-7010" "udp:tftp"
 * "tcp:localhost:0" "unix:/run/x.sock" "unix-dgram:@name". */
const char *listen_parse(struct arena *a, const char *text, bool lookup, struct conf_listen *ret);

const char *listen_proto_name(enum conf_proto p);	/* "tcp6" */
bool listen_is_stream(enum conf_proto p);		/* accepts connections: tcp*, unix, unix-seqpacket */
bool listen_is_unix(enum conf_proto p);

#endif
