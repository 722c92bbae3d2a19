/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Peer and local addresses in one small, fixed-size, binary form.
 *
 * It crosses the link between master and talker and lies on the board, so it
 * holds no pointers and is the same on both sides.  IPv4-mapped IPv6 addresses
 * are stored as IPv4.  Pure: no logging, no system calls (but one for the name
 * of an interface in addr_parse).
 */
#ifndef HATCHD_ADDR_H
#define HATCHD_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* "[ffff:...:ffff%4294967295]:65535" and "unix:uid=4294967295" with NUL */
#define ADDR_STRLEN 72

struct ucred;

struct addr {
	uint16_t family;	/* AF_INET, AF_INET6, AF_UNIX; 0: none */
	uint16_t port;		/* host byte order */
	uint32_t scope;		/* IPv6 scope id, else 0 */
	union {
		uint8_t ip[16];	/* network order; IPv4 in the first four */
		struct {	/* AF_UNIX: the peer's credentials, SO_PEERCRED */
			uint32_t pid, uid, gid;
		} cred;
	};
};

/* Fill *ret from an address of the kernel; 0, or -1 for a family that is
 * neither AF_INET nor AF_INET6 nor AF_UNIX (*ret is then zeroed). */
int addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *ret);

/* The peer of a UNIX socket, as the kernel vouches for it (unix(7)). */
void addr_from_ucred(const struct ucred *uc, struct addr *ret);

/* The opposite of addr_from_sockaddr, for AF_INET and AF_INET6; returns the length, 0 otherwise. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret);

/* A literal IPv4 or IPv6 address, without brackets and without a port, IPv6
 * with an optional %scope (a number or an interface); 0 or -1. */
int addr_parse(const char *text, struct addr *ret);

/* "192.0.2.7" or "2001:db8::1" (scope appended as %N for link-local ones), ""
 * for AF_UNIX; returns the length without NUL.  size >= ADDR_STRLEN. */
size_t addr_format_ip(const struct addr *a, char *buf, size_t size);

/* "192.0.2.7:4242", "[2001:db8::1]:4242", "unix:uid=1000", "-" for none. */
size_t addr_format(const struct addr *a, char *buf, size_t size);

/* Same family, address, scope and port (credentials for AF_UNIX). */
bool addr_equal(const struct addr *a, const struct addr *b);

/* Keep the first `bits` bits of the address and clear the rest, port and
 * scope too: the key of a source.  AF_UNIX: only the uid is kept. */
void addr_mask(struct addr *a, unsigned bits);

#endif
