/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A bound socket that the master waits on.
 */
#ifndef HATCHD_LISTENER_H
#define HATCHD_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "bind.h"

struct master;
struct service;

#define LISTENER_NONE UINT32_MAX
#define LISTENER_BATCH 32	/* connections accepted in one turn */

enum listener_kind {		/* what is done when something comes */
	LISTENER_ACCEPT,	/* accept: a handler each */
	LISTENER_INTERNAL,	/* accept: to the talker */
	LISTENER_WAIT,		/* the handler gets the socket itself */
	LISTENER_TALKER,	/* datagrams that the talker reads */
};

enum {				/* why a listener is not polled */
	PAUSE_SERVICE = 1,	/* limits.instances, back-off */
	PAUSE_GLOBAL = 2,	/* max_processes, sessions, descriptors, memory */
	PAUSE_TALKER = 4,	/* the talker isn't there or is behind */
	PAUSE_HANDLER = 8,	/* wait: its handler has it */
	PAUSE_RATE = 16,	/* limits.rate */
};

struct listener {
	struct service *service;
	struct listener *next;		/* of the same service */
	struct listener *waiting;	/* of those paused for the same global reason */
	struct listener *ready;		/* of those that are served at the end of the turn */
	struct bind_target target;	/* its identity */
	uint32_t number;		/* for the talker; its place in the table */
	int fd;				/* -1: not bound yet */
	uint32_t holder;		/* slot + 1 of the session whose handler has it */
	uint32_t sessions;		/* datagram sessions of its peers; */
	uint32_t let_go;		/* those of them that the talker has let go of */
	uint16_t port;			/* as bound: port 0 replaced */
	uint8_t kind;
	uint8_t paused;
	uint8_t vain;			/* so often it was readable for nothing */
	bool watched : 1;		/* polled now */
	bool held : 1;			/* not polled until a handler has ended */
	bool queued : 1;		/* is in a list of waiting ones */
	bool at_once : 1;		/* is in the list of ready ones */
	bool lent : 1;			/* a handler has had it, and its children may still */
	bool sent : 1;			/* the talker has it */
	bool fresh : 1;			/* made by a reload that is not through yet */
	bool gave_way : 1;		/* to a new one with the same address */
	bool going : 1;			/* to be closed by a reload */
	bool talked : 1;		/* what it accepts goes by the talker */
	bool steps : 1;			/* and through the anteroom */
};

/* A bounded table of all listeners by number. */
struct listeners;

struct listeners *listeners_new(struct master *m);	/* after m->ev */
void listeners_free(struct listeners *all);
struct listener *listeners_at(const struct listeners *all, uint32_t number);
uint32_t listeners_count(const struct listeners *all);
uint32_t listeners_rows(const struct listeners *all);

/* A listener for an open socket (takes fd; -1: to be bound later) bound to
 * port, not polled yet, not part of any service.  NULL and errno, fd is then
 * closed. */
struct listener *listener_new(struct listeners *all, const struct bind_target *t, int fd,
			      uint16_t port);
/* Its address as it is bound. */
struct addr listener_address(const struct listener *l);
/* The local address of a connection: the listener's, or asked for if that is
 * "any". */
struct addr listener_local(const struct listener *l, int fd);
/* Gives it to a service; what is done with connections follows from that. */
void listener_attach(struct listener *l, struct service *s);
void listener_detach(struct listener *l);
/* Closes the socket; a UNIX path is removed if unlink_path. */
void listener_free(struct listeners *all, struct listener *l, bool unlink_path);
/* A socket was bound after all; takes fd. */
void listener_open(struct listener *l, int fd, uint16_t port);
/* Closes a socket that is of no use, for another one to be bound. */
void listener_close(struct listener *l);
/* Lets another socket be bound to the same address beside it, until it is
 * closed or has its address to itself again.  bind_open has to share, too.
 * False if it can't. */
bool listener_give_way(struct listener *l);
void listener_take_back(struct listener *l);

/* Lends it to the handler of a session (PAUSE_HANDLER); it comes back with the
 * end of the handler. */
void listener_lend(struct listener *l, uint32_t slot);
void listener_return(struct listener *l);
/* The same where something is known to wait at it: served by listeners_serve_ready,
 * at the end of the turn, without being polled first. */
void listener_return_ready(struct listener *l);
void listeners_serve_ready(struct listeners *all);
/* The same as listener_return for all those that the handler of a session has. */
void listeners_return(struct listeners *all, uint32_t slot);

/* Whether there is a socket and no reason not to poll it. */
bool listener_polled(const struct listener *l);

/* Sets or clears reasons not to poll; polling follows. */
void listener_pause(struct listener *l, uint8_t reason);
void listener_resume(struct listener *l, uint8_t reason);
void listeners_pause_service(struct service *s, uint8_t reason);
void listeners_resume_service(struct service *s, uint8_t reason);

/* Pauses it until there is room again (PAUSE_GLOBAL): listeners_admit goes on
 * with those that wait, first come first served, at most n of those that need a
 * process. */
void listener_enqueue(struct listeners *all, struct listener *l);
void listeners_admit(struct listeners *all, uint32_t n);
bool listeners_waiting(const struct listeners *all);

/* Whether any is not polled until a handler has ended. */
bool listeners_held(const struct listeners *all);

/* Whether one of them is a UDP socket on this port. */
bool listeners_serve_udp(struct listeners *all, uint16_t port);

#endif
