/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the settings of a configuration have to do with each other and with the
 * system.
 *
 * Every problem is told with the line of the setting that causes it, or of the
 * service if that was not given there.  A disabled service is checked as far as
 * that doesn't depend on the system: accounts that don't exist and addresses
 * that are taken are no errors there, and its account stays NULL.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_build.c.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "conf_address.h"
#include "conf_admit.h"
#include "conf_check.h"
#include "conf_field.h"
#include "conf_seen.h"
#include "listen.h"

struct conf_check {
	struct arena *arena;
	const struct conf_load_env *env;
	struct problems *problems;
	const struct conf_draft *builtin;
	struct account_cache *accounts;
	struct conf_seen_table *seen;
	struct conf_admit admit;
	/* of the last service: */
	const char *user, *group;
	bool groups;
	const struct conf_account *account;
	const char *exec, *chroot;
};

struct conf_check *
conf_check_new(struct arena *a, struct conf_gates *gates, const struct conf_load_env *env,
	       struct problems *p, const struct conf_draft *builtin)
{
	struct conf_check *ck = calloc(1, sizeof(*ck));

	if (!ck)
		return NULL;
	ck->arena = a;
	ck->env = env;
	ck->problems = p;
	ck->builtin = builtin;
	ck->seen = conf_seen_new();
	ck->accounts = account_cache_new(a);
	ck->admit = (struct conf_admit){
		.arena = a, .gates = gates, .env = env, .problems = p, .builtin = builtin,
		.seen = ck->seen,
	};
	if (!ck->seen || !ck->accounts) {
		conf_check_free(ck);
		return NULL;
	}
	return ck;
}

void
conf_check_free(struct conf_check *ck)
{
	if (!ck)
		return;
	account_cache_free(ck->accounts);
	conf_seen_free(ck->seen);
	free(ck);
}

void
conf_check_problem(struct problems *p, const struct conf_draft *d, const struct conf_given *given,
		   enum schema_id id, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int line = schema_set_has(&given->set, id) ? given->line[id] : d->s.line;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problems_add(p, d->s.file, line, "service %s: %s", d->s.name, text);
}

static bool
is_name(const char *name)
{
	static const unsigned char letters[256] = {	/* 2: not as the first */
		['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['0' ... '9'] = 1,
		['.'] = 2, ['_'] = 2, ['+'] = 2, ['@'] = 2, [':'] = 2, ['-'] = 2,
	};
	size_t len = 0;

	while (letters[(unsigned char)name[len]])
		len++;
	return len > 0 && len <= 47 && name[len] == '\0' && letters[(unsigned char)*name] == 1;
}

bool
conf_check_name(struct conf_check *ck, const char *name, const char *file, int line)
{
	const struct conf_seen *first, seen = { SEEN_NAME, name, name, file, line };

	if (!is_name(name)) {
		problems_add(ck->problems, file, line, "'%s' can't be a service's name: expected "
			     "1 to 47 letters, digits and ._+@:-, a letter or digit first", name);
		return false;
	}
	first = conf_seen_before(ck->seen, &seen);
	if (first)
		problems_add(ck->problems, file, line,
			     "there is a service %s already, at %s:%d", name, first->file,
			     first->line);
	return !first;
}

static bool
has_sessions(const struct conf_service *s)
{
	int i;

	if (s->internal != INTERNAL_NONE || s->common->wait)
		return false;
	for (i = 0; i < s->n_listen; i++)
		if (!listen_is_stream(s->listen[i].proto))
			return true;
	return false;
}

bool
conf_check_applies(const struct conf_service *s, enum schema_id id)
{
	if (s->internal != INTERNAL_NONE && (schema[id].flags & SCHEMA_HANDLER))
		return false;
	if (id == SET_SESSION || schema[id].in == SCHEMA_SESSION)
		return has_sessions(s);
	if (id == SET_REQUIRED || id == SET_PROXY_TIMEOUT)
		return s->common->proxy->from;
	return true;
}

/* What is started, and that it is one thing. */
static void
check_exec(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	struct conf_service *s = &d->s;

	if (s->exec && s->internal != INTERNAL_NONE)
		conf_check_problem(ck->problems, d, given, SET_INTERNAL,
				   "exec and internal are both given");
	else if (!s->exec && s->internal == INTERNAL_NONE && !given->faulty)
		conf_check_problem(ck->problems, d, given, SET_SERVICE,
				   "one of exec and internal is missing");
	if (s->exec && s->exec[0][0] != '/')
		conf_check_problem(ck->problems, d, given, SET_EXEC,
				   "exec: '%s' is not an absolute path", s->exec[0]);
}

static void
reset(struct conf_draft *d, const struct conf_draft *from, enum schema_id id)
{
	const struct schema_item *it = &schema[id];
	bool common = it->flags & SCHEMA_COMMON;
	char *to = common ? (char *)&d->common : (char *)&d->s;

	memcpy(to + it->offset, (const char *)schema_base(&from->s, id) + it->offset, it->size);
}

/* Settings of handlers in an internal service.  Those of `defaults` are
 * silently left out; one that says no more than the built-in default is fine,
 * and so is the account, which every line of an inetd.conf names. */
static bool
is_account(unsigned id)
{
	return id == SET_SERVICE_USER || id == SET_GROUP || id == SET_GROUPS;
}

static void
check_internal(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	const struct schema_item *it;
	unsigned id;

	for (id = schema_first(SCHEMA_SERVICE); id < schema_first(SCHEMA_SERVICE + 1); id++) {
		it = &schema[id];
		if (!(it->flags & SCHEMA_HANDLER) || it->type == SCHEMA_SUB)
			continue;
		if (schema_set_has(&given->set, id) && !is_account(id) &&
		    !conf_field_equal(it, schema_base(&d->s, id), schema_base(&ck->builtin->s, id)))
			conf_check_problem(ck->problems, d, given, id,
					   "%s can't be used with internal", it->name);
		reset(d, ck->builtin, id);
	}
	for (id = schema_first(SCHEMA_RLIMITS); id < schema_first(SCHEMA_RLIMITS + 1); id++)
		if (schema_set_has(&given->set, id))
			conf_check_problem(ck->problems, d, given, id,
					   "rlimits.%s can't be used with internal",
					   schema[id].name);
	d->n_rlimits = 0;
}

static void
check_session(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	unsigned id;

	if (has_sessions(&d->s))
		return;
	for (id = schema_first(SCHEMA_SESSION); id < schema_first(SCHEMA_SESSION + 1); id++)
		if (schema_set_has(&given->set, id))
			conf_check_problem(ck->problems, d, given, id,
					   "session.%s is for udp with exec and wait = no",
					   schema[id].name);
	memcpy(&d->session, &ck->builtin->session, sizeof(d->session));
}

static void
check_wait(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	const struct conf_service *s = &d->s;
	bool wait = d->common.wait;
	int i;

	if (d->common.pass == CONF_PASS_LISTEN_FDS && !wait)
		conf_check_problem(ck->problems, d, given, SET_PASS,
				   "pass = listen_fds needs wait = yes");
	if (wait && schema_set_has(&given->set, SET_INSTANCES) && d->limits.instances != 1 &&
	    d->limits.instances != ck->builtin->limits.instances)
		problems_warn(ck->problems, s->file, given->line[SET_INSTANCES],
			      "service %s: limits.instances: with wait = yes there is one handler "
			      "for each address", s->name);
	for (i = 0; i < s->n_listen; i++)
		if (s->listen[i].proto == CONF_UNIX_DGRAM && !wait && s->exec)
			problems_add(ck->problems, s->file, s->listen[i].line,
				     "service %s: listen: unix-dgram needs wait = yes or internal: "
				     "a client without a name of its own can't be answered",
				     s->name);
}

/* A handler's program that isn't there may be so later. */
static void
check_program(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	const struct conf_service *s = &d->s;
	const char *chroot = d->common.chroot;
	char path[8192];
	int line = schema_set_has(&given->set, SET_EXEC) ? given->line[SET_EXEC] : s->line;

	if (s->exec[0] == ck->exec && chroot == ck->chroot)
		return;
	ck->exec = s->exec[0];
	ck->chroot = chroot;
	(void)snprintf(path, sizeof(path), "%s%s", chroot ? chroot : "", s->exec[0]);
	if (access(path, F_OK) < 0)
		problems_warn(ck->problems, s->file, line, "service %s: exec: %s: %m", s->name,
			      path);
}

/* The account of a daemon that can't change it. */
static const struct conf_account *
own_account(struct conf_check *ck, const struct conf_common *s, const char **ret_why)
{
	const struct conf_account *a, *named;
	char uid[16], gid[16];

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)ck->env->uid);
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned)getegid());
	a = account_find(ck->accounts, uid, NULL, s->groups, ret_why);
	if (!a)
		a = account_find(ck->accounts, uid, gid, s->groups, ret_why);
	if (!a || (!s->user && !s->group))
		return a;
	named = account_find(ck->accounts, s->user ? s->user : uid, s->group ? s->group : gid,
			     false, ret_why);
	if (!named)
		return NULL;
	if (named->uid != a->uid) {
		*ret_why = "only root can start handlers as another user";
		return NULL;
	}
	if (s->group && named->gid != a->gid) {
		*ret_why = "only root can start handlers in another group";
		return NULL;
	}
	return a;
}

static void
check_account(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	struct conf_common *s = &d->common;
	const char *why = "";
	bool group;

	if (ck->env->uid == 0 && !s->user) {
		if (!given->faulty)
			conf_check_problem(ck->problems, d, given, SET_SERVICE_USER,
					   "user is missing: run by root, a service with exec must "
					   "name it");
		return;
	}
	if (!ck->env->lookup || !d->s.enabled)
		return;
	if (!ck->account || s->user != ck->user || s->group != ck->group ||
	    s->groups != ck->groups) {
		ck->user = s->user;
		ck->group = s->group;
		ck->groups = s->groups;
		ck->account = ck->env->uid == 0 ?
			account_find(ck->accounts, s->user, s->group, s->groups, &why) :
			own_account(ck, s, &why);
	}
	s->account = ck->account;
	if (s->account)
		return;
	group = strstr(why, "group") && s->group;
	conf_check_problem(ck->problems, d, given, group ? SET_GROUP : SET_SERVICE_USER,
			   "%s: %s: '%s'", group ? "group" : "user", why,
			   group ? s->group : s->user ? s->user : "");
}

/* The owner of a UNIX socket's path. */
static void
check_owner(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	const struct conf_account *a;
	const char *why;

	if (!ck->env->lookup || !d->s.enabled)
		return;
	if (d->socket.owner) {
		a = account_find(ck->accounts, d->socket.owner, "0", false, &why);
		if (a)
			d->socket.owner_uid = a->uid;
		else
			conf_check_problem(ck->problems, d, given, SET_OWNER,
					   "socket.owner: %s: '%s'", why, d->socket.owner);
	}
	if (d->socket.group) {
		a = account_find(ck->accounts, "0", d->socket.group, false, &why);
		if (a)
			d->socket.owner_gid = a->gid;
		else
			conf_check_problem(ck->problems, d, given, SET_SOCKET_GROUP,
					   "socket.group: %s: '%s'", why, d->socket.group);
	}
}

static void
check_listen(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	int i;

	if (d->s.n_listen == 0 && !d->common.tcpmux && !given->faulty)
		conf_check_problem(ck->problems, d, given, SET_LISTEN, "listen is missing");
	if (d->s.enabled)
		for (i = 0; i < d->s.n_listen; i++)
			conf_address_take(ck->seen, ck->problems, &d->s, &d->s.listen[i]);
	conf_address_groups(ck->problems, d, given);
}

void
conf_check_service(struct conf_check *ck, struct conf_draft *d, const struct conf_given *given)
{
	check_exec(ck, d, given);
	check_listen(ck, d, given);
	if (d->s.internal != INTERNAL_NONE)
		check_internal(ck, d, given);
	check_wait(ck, d, given);
	check_session(ck, d, given);
	if (d->s.exec && d->s.internal == INTERNAL_NONE)
		check_account(ck, d, given);
	if (d->s.exec && d->s.enabled && ck->env->lookup && d->s.exec[0][0] == '/')
		check_program(ck, d, given);
	check_owner(ck, d, given);
	conf_admit_check(&ck->admit, d, given);
}

/* The talker's account.  Without an account of its own, as in a build tree or
 * a container, the default is what such accounts are replaced by elsewhere. */
static void
check_talker(struct conf_check *ck, struct conf *c, const char *file,
	     const struct conf_given *given)
{
	bool user = schema_set_has(&given->set, SET_USER);
	int line = user ? given->line[SET_USER] : 0;
	const char *why = NULL;
	const struct conf_account *a = account_find(ck->accounts, c->user, NULL, false, &why);

	if (!a && !user) {
		problems_warn(ck->problems, file, line,
			      "user: there is no account '%s': the talker runs as 65534 (nobody)",
			      c->user);
		a = account_find(ck->accounts, "65534", NULL, false, &why);
	}
	if (a && a->uid == 0)
		why = "the part that talks to peers may not run as root";
	else if (a)
		why = NULL;
	if (why)
		problems_add(ck->problems, file, line, "user: %s: '%s'", why, c->user);
	else
		c->talker = a;
}

void
conf_check_global(struct conf_check *ck, struct conf *c, const char *const *files,
		  const struct conf_given *given)
{
	const struct conf_account *a;
	const char *why = NULL;

	conf_admit_end(&ck->admit);
	if (!ck->env->lookup)
		return;
	if (ck->env->uid == 0)
		check_talker(ck, c, files[SET_USER] ? files[SET_USER] : c->file, given);
	if (c->control_group) {
		a = account_find(ck->accounts, "0", c->control_group, false, &why);
		if (a)
			c->control_gid = a->gid;
		else
			problems_add(ck->problems, files[SET_CONTROL_GROUP],
				     given->line[SET_CONTROL_GROUP], "control_group: %s: '%s'", why,
				     c->control_group);
	}
}
