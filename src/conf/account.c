/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Accounts and their groups, looked up while a configuration is loaded, so
 * that nothing has to ask the user database when a handler starts.
 *
 * Each different (user, group, groups) is asked for once per load, whether it
 * is found or not: ten thousand services of one user cost one look-up.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_check and
 * conf_load.
 */
#include "config.h"

#include "account.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

#define ID_MAX (UINT32_MAX - 1)	/* (uid_t)-1 means "none" to the kernel */

static const char no_memory[] = "out of memory";

struct account_cache {
	struct arena *arena;
	void *root;		/* tsearch(3) of struct asked */
};

struct asked {
	const char *user, *group;	/* group NULL: the user's own */
	bool groups;
	const struct conf_account *account;	/* NULL: why tells */
	const char *why;
};

struct account_cache *
account_cache_new(struct arena *a)
{
	struct account_cache *c = calloc(1, sizeof(*c));

	if (c)
		c->arena = a;
	return c;
}

void
account_cache_free(struct account_cache *c)
{
	if (!c)
		return;
	tdestroy(c->root, free);
	free(c);
}

static int
compare(const void *va, const void *vb)
{
	const struct asked *a = va, *b = vb;
	int d = strcmp(a->user, b->user);

	if (d)
		return d;
	if (!a->group != !b->group)
		return a->group ? 1 : -1;
	d = a->group ? strcmp(a->group, b->group) : 0;
	return d ? d : (int)a->groups - (int)b->groups;
}

/* getpwnam(3): which errors mean no more than "not found" depends on the
 * source of the database. */
static bool
is_not_found(int error)
{
	return error == 0 || error == ENOENT || error == ESRCH || error == EBADF ||
	       error == EPERM;
}

/* A number, with or without an account, or the name of one. */
static const char *
fill_user(struct arena *a, const char *user, struct conf_account *acc, bool *ret_known)
{
	const struct passwd *pw;
	uint64_t id;
	bool number = units_number(user, 0, ID_MAX, &id) == 0;

	errno = 0;
	pw = number ? getpwuid((uid_t)id) : getpwnam(user);
	if (!pw && !is_not_found(errno))
		return "the user database can't be read";
	if (!pw && !number)
		return "unknown user";
	if (!pw) {
		acc->uid = (uid_t)id;
		acc->name = arena_string(a, user);
		acc->home = arena_string(a, "/");
		acc->shell = arena_string(a, "/bin/sh");
	} else {
		acc->uid = pw->pw_uid;
		acc->gid = pw->pw_gid;
		acc->name = arena_string(a, pw->pw_name);
		acc->home = arena_string(a, pw->pw_dir && *pw->pw_dir ? pw->pw_dir : "/");
		acc->shell = arena_string(a, pw->pw_shell && *pw->pw_shell ? pw->pw_shell :
							"/bin/sh");
	}
	*ret_known = pw != NULL;
	return acc->name && acc->home && acc->shell ? NULL : no_memory;
}

static const char *
fill_group(const char *group, struct conf_account *acc)
{
	const struct group *gr;
	uint64_t id;

	if (units_number(group, 0, ID_MAX, &id) == 0) {
		acc->gid = (gid_t)id;
		return NULL;
	}
	errno = 0;
	gr = getgrnam(group);
	if (!gr)
		return is_not_found(errno) ? "unknown group" : "the group database can't be read";
	acc->gid = gr->gr_gid;
	return NULL;
}

static const char *
fill_groups(struct arena *a, bool all, struct conf_account *acc)
{
	int n = 1, size = 32;
	gid_t *list = NULL, *bigger;

	do {
		size = n > size ? n : size;
		bigger = reallocarray(list, (size_t)size, sizeof(*list));
		if (!bigger) {
			free(list);
			return no_memory;
		}
		list = bigger;
		list[0] = acc->gid;
		n = all ? size : 1;
		if (!all || getgrouplist(acc->name, acc->gid, list, &n) >= 0)
			break;
		if (n <= size)
			n = 2 * size;
	} while (n <= NGROUPS_MAX);
	if (n <= NGROUPS_MAX) {
		acc->groups = arena_intern(a, list, (size_t)n * sizeof(*list));
		acc->n_groups = n;
	}
	free(list);
	if (n > NGROUPS_MAX)
		return "too many groups";
	return acc->groups ? NULL : no_memory;
}

static const char *
look_up(struct arena *a, const struct asked *k, const struct conf_account **ret)
{
	struct conf_account acc;
	const char *why;
	bool known;

	memset(&acc, 0, sizeof(acc));
	why = fill_user(a, k->user, &acc, &known);
	if (why)
		return why;
	if (k->group)
		why = fill_group(k->group, &acc);
	else if (!known)
		why = "a user without an account needs a group";
	if (!why)
		why = fill_groups(a, k->groups && known, &acc);
	if (why)
		return why;
	*ret = arena_intern(a, &acc, sizeof(acc));
	return *ret ? NULL : no_memory;
}

const struct conf_account *
account_find(struct account_cache *c, const char *user, const char *group, bool groups,
	     const char **ret_why)
{
	struct asked key = { .user = user, .group = group, .groups = groups }, *k;
	void *node = tfind(&key, &c->root, compare);

	if (node) {
		k = *(struct asked **)node;
	} else {
		k = calloc(1, sizeof(*k));
		if (k) {
			k->user = arena_string(c->arena, user);
			k->group = group ? arena_string(c->arena, group) : NULL;
			k->groups = groups;
		}
		if (!k || !k->user || (group && !k->group) || !tsearch(k, &c->root, compare)) {
			free(k);
			*ret_why = no_memory;
			return NULL;
		}
		k->why = look_up(c->arena, k, &k->account);
	}
	if (!k->account)
		*ret_why = k->why;
	return k->account;
}
