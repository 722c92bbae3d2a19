/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The messages between master and talker: ids, slots, generations, numbers and
 * binary addresses; never a path, a name, an argument or an account.  Each
 * type has one size.  Type, size, direction, whether it carries a descriptor
 * and in which states it may come stand in one table (proto.c).
 *
 * The link is a SOCK_SEQPACKET pair between two processes of one machine, so
 * structs travel as they are.
 */
#ifndef HATCHD_PROTO_H
#define HATCHD_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

#define PROTO_VERSION 2
#define PROTO_LINK_FD 3		/* the talker's end of the link */
#define PROTO_ROOT_FD 4		/* the empty directory it is to live in */
#define PROTO_ERRLOGS 64	/* MSG_ERRLOG at most: one for each account of handlers */
#define PROTO_ERRLINE 480	/* bytes of text in one MSG_ERRLINE */
#define PROTO_TEXT 1024		/* bytes of a banner at most */
#define PROTO_MUX_NAME 64	/* bytes of a tcpmux name at most */

enum msg_type {
	/* down: master to talker */
	MSG_START = 1,	/* + board; the first message */
	MSG_ERRLOG,	/* + reading end of the stderr of one account's handlers; numbered as
			 * they come, from 1 */
	MSG_CONTROL,	/* + listening control socket; replaces the one before */
	MSG_CONN,	/* + a stream connection for an internal service */
	MSG_DGRAM,	/* + a datagram socket: serve it */
	MSG_DGRAM_DROP,	/* stop serving it; its sessions go on, unless it says so */
	MSG_SESSION,	/* + the talker's end of a session that was asked for */
	MSG_VERDICT,	/* the answer to MSG_ASK when there is no session */
	MSG_CLOSE,	/* end this connection or session now */
	MSG_PREFIX,	/* + a copy of a connection: read what comes before the service's own */
	MSG_GREET,	/* + a copy of a connection: write this text */
	MSG_REFUSE,	/* + a refused connection, for good: write this text and close */
	MSG_LINGER,	/* + a connection whose handler is gone, for good: drain and close */
	MSG_MUX,	/* a name that tcpmux knows */
	MSG_STOP,	/* end everything and exit */
	/* up: talker to master */
	MSG_READY,	/* the answer to MSG_START */
	MSG_ASK,	/* a datagram came from a new peer: serve it? */
	MSG_ENDED,	/* a connection or session is over on the talker's side */
	MSG_PASSED,	/* the answer to MSG_PREFIX or MSG_GREET: it is the master's again */
	MSG_ERRLINE,	/* a line of a handler's stderr */
	MSG_COUNT,	/* what happened on a datagram socket since the last one */
	MSG_MAX
};

enum proto_direction { PROTO_DOWN, PROTO_UP };

/* A link begins in PROTO_NEW.  MSG_START leads to PROTO_STARTED, MSG_READY
 * to PROTO_RUNNING; both sides follow it on their own. */
enum proto_state { PROTO_NEW, PROTO_STARTED, PROTO_RUNNING };

/* What an internal service does; part of MSG_CONN and MSG_DGRAM. */
enum internal {
	INTERNAL_NONE,		/* MSG_DGRAM: sessions with a handler each */
	INTERNAL_ECHO,		/* RFC 862 */
	INTERNAL_DISCARD,	/* RFC 863 */
	INTERNAL_CHARGEN,	/* RFC 864 */
	INTERNAL_DAYTIME,	/* RFC 867 */
	INTERNAL_TIME,		/* RFC 868 */
	INTERNAL_TCPMUX,	/* RFC 1078; MSG_PREFIX, never part of MSG_CONN or MSG_DGRAM */
	INTERNAL_MAX
};

struct msg_head {
	uint16_t type;		/* enum msg_type */
	uint16_t size;		/* of the whole message */
};

struct msg_start {
	struct msg_head head;
	uint32_t version;	/* PROTO_VERSION */
	uint32_t debug;		/* 1: log at debug level */
};

struct msg_empty {		/* ERRLOG, CONTROL, STOP, READY */
	struct msg_head head;
};

struct msg_conn {
	struct msg_head head;
	uint32_t slot, generation;
	uint32_t internal;	/* enum internal, not NONE */
	uint32_t seqpacket;	/* 1: the socket keeps message boundaries */
};

struct msg_dgram {
	struct msg_head head;
	uint32_t listener;	/* the master's number for the socket */
	uint32_t internal;	/* enum internal; NONE: sessions */
	uint32_t family;	/* AF_INET, AF_INET6, AF_UNIX */
	uint32_t once;		/* sessions: end of file after the first datagram */
	uint32_t idle_ms;	/* sessions: 0 = no limit */
	uint32_t max;		/* sessions at the same time on this socket */
};

struct msg_dgram_drop {
	struct msg_head head;
	uint32_t listener;
	uint32_t leave;		/* 1: end its sessions, and read no more of it: what has
				 * come is for others who have it */
};

/* The talker's number for a peer that it asked for, and its generation. */
struct msg_ask {
	struct msg_head head;
	uint32_t handle, handle_generation;
	uint32_t listener;
	struct addr peer, local;	/* local: where the datagram was sent to */
};

struct msg_session {
	struct msg_head head;
	uint32_t handle, handle_generation;
	uint32_t slot, generation;
};

struct msg_verdict {
	struct msg_head head;
	uint32_t handle, handle_generation;
	uint32_t reason;	/* enum reason; REASON_NONE: serve (internal) */
	uint32_t keep_ms;	/* how long it may be remembered */
	uint32_t budget;	/* how many datagrams it is for; 0: any number */
};

struct msg_close {
	struct msg_head head;
	uint32_t slot, generation;
};

enum { PREFIX_PROXY, PREFIX_TCPMUX };

/* The talker reads exactly the PROXY header, or the line that names a service,
 * and nothing behind it; answers MSG_PASSED and closes its copy. */
struct msg_prefix {
	struct msg_head head;
	uint32_t slot, generation;
	uint32_t what;		/* PREFIX_... */
	uint32_t timeout_ms;	/* not 0 */
};

/* Writes the text; answers MSG_PASSED when the kernel has all of it, or when it
 * failed, and closes its copy. */
struct msg_greet {
	struct msg_head head;
	uint32_t slot, generation;
	uint32_t timeout_ms;	/* not 0 */
	uint32_t len;		/* bytes of text in use, not 0 */
	char text[PROTO_TEXT];
};

/* No answer: the session, if there was one, is over. */
struct msg_refuse {
	struct msg_head head;
	uint32_t len;		/* bytes of text in use; 0: none, it is drained */
	char text[PROTO_TEXT];
};

/* Shuts down writing, reads and drops what still comes until end of file or
 * the time is over, closes; answers MSG_ENDED. */
struct msg_linger {
	struct msg_head head;
	uint32_t slot, generation;
	uint32_t timeout_ms;	/* not 0 */
};

/* name: in lower case.  len 0: forget all names. */
struct msg_mux {
	struct msg_head head;
	uint32_t service;	/* row on the board */
	uint32_t plus;		/* 1: it is answered "+" before it starts */
	uint32_t len;		/* bytes of name in use */
	char name[PROTO_MUX_NAME];
};

enum passed {
	PASSED_OK,		/* PROXY: peer and local are what it says; tcpmux: service;
				 * greet: written */
	PASSED_OWN,		/* PROXY: the proxy's own connection (LOCAL, UNKNOWN) */
	PASSED_EOF,		/* the peer closed or reset before all was there */
	PASSED_BAD,		/* PROXY: no valid header; tcpmux: no valid line */
	PASSED_TIMEOUT,
	PASSED_DONE,		/* tcpmux: "help" was answered, nothing is left to do */
	PASSED_UNKNOWN,		/* tcpmux: no such service, the peer has been told */
	PASSED_ERROR,		/* no descriptor, memory or an error of the socket */
	PASSED_MAX
};

struct msg_passed {
	struct msg_head head;
	uint32_t slot, generation;
	uint32_t result;	/* enum passed */
	uint32_t service;	/* tcpmux: row on the board, else UINT32_MAX */
	uint32_t plus;		/* tcpmux: as MSG_MUX said */
	struct addr peer, local;	/* PROXY and PASSED_OK, else zeros */
};

/* in: read from the peer, out: written to the peer */
struct msg_ended {
	struct msg_head head;
	uint32_t reserved;	/* 0; keeps the counters aligned */
	uint32_t slot, generation;
	uint32_t error;		/* errno that ended it, 0: end of file */
	uint32_t datagrams_in, datagrams_out;
	uint32_t dropped;	/* datagrams that found the queue full */
	uint64_t bytes_in, bytes_out;
};

struct msg_errline {
	struct msg_head head;
	uint32_t slot, generation;	/* slot UINT32_MAX: session unknown */
	uint32_t service;	/* row on the board; UINT32_MAX: unknown, too */
	uint32_t suppressed;	/* lines of this session left out before it */
	uint32_t len;		/* bytes of text in use; no NUL */
	char text[PROTO_ERRLINE];	/* raw bytes of the handler: to be escaped */
};

/* Added to the counters of the listener's service. */
struct msg_count {
	struct msg_head head;
	uint32_t listener;
	uint32_t datagrams_in, datagrams_out;
	uint32_t loop;		/* REASON_LOOP: not answered */
	uint32_t denied;	/* for which a remembered verdict said no */
	uint32_t reason;	/* enum reason of that verdict */
	uint32_t queue;		/* REASON_QUEUE: no room to ask or to wait */
	uint64_t bytes_in, bytes_out;
};

union msg {
	struct msg_head head;
	struct msg_start start;
	struct msg_empty empty;
	struct msg_conn conn;
	struct msg_dgram dgram;
	struct msg_dgram_drop dgram_drop;
	struct msg_ask ask;
	struct msg_session session;
	struct msg_verdict verdict;
	struct msg_close close;
	struct msg_prefix prefix;
	struct msg_greet greet;
	struct msg_refuse refuse;
	struct msg_linger linger;
	struct msg_mux mux;
	struct msg_ended ended;
	struct msg_passed passed;
	struct msg_errline errline;
	struct msg_count count;
};

/* The name of a type for the log, "?" if there is none. */
const char *proto_name(unsigned type);

/* The size of a type's message; 0 if there is none. */
size_t proto_size(unsigned type);

/* Whether it carries a descriptor. */
bool proto_has_fd(unsigned type);

/* NULL if a received message of len bytes, with or without a descriptor, may
 * come in this direction and state, and moves *state; else what is wrong with
 * it.  Checks the header only: fields are their users' business. */
const char *proto_check(const union msg *m, size_t len, bool has_fd,
			enum proto_direction dir, enum proto_state *state);

/* "echo" ... and back; INTERNAL_NONE and "?" for what is none. */
enum internal internal_parse(const char *name);
const char *internal_name(enum internal i);

#endif
