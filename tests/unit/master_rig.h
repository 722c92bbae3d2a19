/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A whole master for tests, as master_init makes it from a configuration, but
 * without a talker: the test may play it.  There is one at a time, in a test
 * between rig_set_up and rig_tear_down; what it has is its own, and time passes
 * in it only while one of these functions turns its loop.  What does not go as it
 * is said here fails the test.
 */
#ifndef HATCHD_TESTS_MASTER_RIG_H
#define HATCHD_TESTS_MASTER_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "conf_text.h"
#include "listener.h"
#include "master.h"
#include "proto.h"
#include "service.h"
#include "session.h"

/* "user" and "group" of a service: who we are. */
#define RIG_USER "user = \"%u\"  group = \"%u\"  groups = no"

extern char rig_dir[64];	/* a folder of this test's own */

/* For cmocka; afterwards no descriptor may be left. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* The configuration of a text in which %DIR% is the folder and %USER% the
 * settings of RIG_USER; it has to load. */
struct conf *rig_conf(const char *text);

/* Makes the master; it lives until rig_tear_down. */
struct master *rig_start(const char *text);
/* The one that was made. */
struct master *rig_master(void);
/* The running service of this name; NULL: there is none. */
struct service *rig_service(const char *name);
/* The first listener of a service that is there; the number of them. */
struct listener *rig_listener(const char *name);
int rig_listeners(const char *name);

/* From now on there is a talker that is ready: us.  What each talker is told at
 * first is left out of what it receives. */
void rig_be_talker(void);
/* The same, with all of that still to be read. */
void rig_be_talker_only(void);
void rig_lose_talker(void);
/* The next message to it; false: there is none. */
bool rig_receive(union msg *ret);
/* The same after turning the loop until there is one, which has to be of that type. */
void rig_expect(union msg *ret, enum msg_type type);
/* The same, of whatever type. */
void rig_run_until_message(union msg *ret);
/* A message from it; the rest of it is filled in. */
void rig_send(union msg *msg, enum msg_type type);

/* Turns the loop until done(arg); fails after 20 s. */
void rig_run_until(bool (*done)(void *arg), void *arg);
/* Turns it for so long. */
void rig_run_for(int64_t ms);

/* What was logged since the last call; good until the next one. */
const char *rig_log(void);
/* It has this in it and, not before that, this; "": whatever. */
void rig_check_log(const char *first, const char *second);

#endif
