/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Datagrams in and out: who sent one, to which of our addresses, and answers
 * that come from that address.
 */
#ifndef HATCHD_PACKET_H
#define HATCHD_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "addr.h"

#define PACKET_MAX 65535	/* bytes of one datagram */
#define PACKET_BATCH 32		/* datagrams read at once */

struct packet {
	struct addr peer;	/* UNIX: credentials; none if the kernel doesn't tell */
	struct addr local;	/* where it was sent to */
	bool own;		/* an address of ours: the answer's source */
	bool cut;		/* longer than PACKET_MAX */
	unsigned char *data;
	size_t len;
	const void *name;	/* UNIX: the sender's, as the kernel gave it */
	size_t name_len;
};

struct packets;			/* the room for a batch, reused */

struct packets *packets_new(void);
void packets_free(struct packets *p);

/* Reads what waits, at most a batch; fills packets_at(p, 0) on.  The number
 * read, or -1 and errno.  port is the socket's own (not of a UNIX one). */
int packets_recv(struct packets *p, int fd, bool is_unix, uint16_t port);
const struct packet *packets_at(const struct packets *p, int i);

/* A datagram to peer, from `from` unless that is NULL; both AF_INET or
 * AF_INET6.  0, or -1 and errno. */
int packet_send(int fd, const struct addr *peer, const struct addr *from,
		const void *data, size_t len);

/* To the sender of that name: UNIX sockets.  EDESTADDRREQ if it has none. */
int packet_reply(int fd, const void *name, size_t name_len, const void *data, size_t len);

/* Whether there can be somebody behind that address and port: not port 0, no
 * multicast, broadcast or unspecified address. */
bool packet_from_host(const struct addr *peer);

#endif
