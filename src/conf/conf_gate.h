/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Compiles access sections and proxy.from: reads the files that lists name,
 * looks up names of hosts, users, groups and time zones.  Equal sections are
 * compiled once.  Anything that is not wholly understood is a problem with its
 * place, and then there is no configuration: never a service without its list.
 */
#ifndef HATCHD_CONF_GATE_H
#define HATCHD_CONF_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "gate.h"

struct conf_gates;
struct names;

struct conf_gates *conf_gates_new(void);	/* NULL: no memory */
void conf_gates_free(struct conf_gates *g);	/* and all gates */

/* Addresses of hosts come from names, which outlives the loading; NULL: from the
 * resolver. */
void conf_gates_use(struct conf_gates *g, struct names *names);

/* Loading is over: forget what only it needed.  No gate is made any more. */
void conf_gates_seal(struct conf_gates *g);

/* What an access section says; *ret is NULL if it says nothing.  false: problems
 * were added.  Without lookup (fuzzing) no file is read and no name looked up:
 * those entries are left out.  service: for the messages; "": defaults.  The
 * lists of a must not change before g is sealed. */
bool conf_gate_access(struct conf_gates *g, const struct conf_access *a, const char *service,
		      bool lookup, struct problems *p, const struct gate **ret);

/* A gate that lets in who is in the list, for proxy.from; *ret is NULL if from is. */
bool conf_gate_list(struct conf_gates *g, const struct conf_rule *from, const char *service,
		    bool lookup, struct problems *p, const struct gate **ret);

/* The rule behind a tag that gate_judge told: its text into buf, its place into
 * the file and line of *ret (a line of a list file has that file's name, text
 * read from it again; "?" if it can't be).  false: ACL_NO_RULE. */
bool conf_gate_rule(const struct conf_access *a, uint32_t tag, struct conf_rule *ret,
		    char *buf, size_t size);

#endif
