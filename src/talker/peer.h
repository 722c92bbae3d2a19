/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The peers of datagram sockets: a bounded table of who sent something, what
 * the master said about it, and the datagrams that wait for that.
 */
#ifndef HATCHD_PEER_H
#define HATCHD_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "list.h"
#include "log.h"

#define PEERS_MAX 16384		/* peers that are known at the same time */
#define PEER_QUEUE 8		/* datagrams of one that wait for the verdict */
#define PEER_QUEUE_BYTES 65536
#define PEERS_QUEUE_BYTES (4 << 20)	/* of all of them */

struct dsession;
struct port;

enum peer_state {
	PEER_ASKING,		/* the master was asked, and has until until_ms */
	PEER_SERVED,		/* it said yes, or no, */
	PEER_DENIED,		/* which holds until until_ms */
	PEER_SESSION,
};

struct peer_datagram {
	struct peer_datagram *next;
	size_t len, name_len;
	unsigned char data[];	/* and its sender's name, behind it */
};

struct peer {
	/* the key */
	struct port *port;
	struct addr addr, local;

	bool own;		/* local can be an answer's source */
	uint8_t state;
	uint8_t reason;		/* PEER_DENIED */
	uint32_t generation;
	struct peer *chain;
	struct list order;	/* with a verdict: idlest first; asked about: its port's;
				 * or free */
	int64_t until_ms;
	uint32_t left;		/* PEER_SERVED: datagrams it is good for; UINT32_MAX: any number */
	struct log_rate rate;	/* of what it may make us send */
	struct dsession *session;
	struct peer_datagram *queue, **queue_end;
	uint32_t queued, queued_bytes;
};

struct peers;

struct peers *peers_new(void);		/* NULL: no memory, no random numbers */
void peers_free(struct peers *all);

struct peer *peers_find(const struct peers *all, const struct port *port,
			const struct addr *addr, const struct addr *local);

/* A new one, PEER_ASKING.  Takes the place of the idlest one with a verdict if
 * there is no other; NULL if there is none of these either. */
struct peer *peers_add(struct peers *all, struct port *port, const struct addr *addr,
		       const struct addr *local);

/* Forgets it and what waits. */
void peers_remove(struct peers *all, struct peer *p);
/* Forgets those of a port that only have a verdict. */
void peers_remove_verdicts(struct peers *all, const struct port *port);

/* Asked (again): a new generation, so that earlier answers mean nothing. */
void peers_ask(struct peers *all, struct peer *p);
/* Has a verdict; from now on it may have to make room. */
void peers_judge(struct peers *all, struct peer *p, enum peer_state state, int64_t until_ms);
/* Its verdict was used: it is not idle. */
void peers_touch(struct peers *all, struct peer *p);

/* The number of a peer in messages, and back: NULL if it is another
 * generation's or not asking. */
uint32_t peers_handle(const struct peers *all, const struct peer *p);
struct peer *peers_asking(struct peers *all, uint32_t handle, uint32_t generation);

/* Keeps a copy of a datagram; false if that is too much.  name: what the kernel
 * says who sent it, for a socket that needs more than the peer's address. */
bool peers_push(struct peers *all, struct peer *p, const void *data, size_t len,
		const void *name, size_t name_len);
/* The oldest that is kept, for the caller to free; NULL at the end. */
struct peer_datagram *peers_pop(struct peers *all, struct peer *p);

#endif
