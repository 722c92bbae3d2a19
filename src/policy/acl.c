/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Looks up who may connect.  Asked by the judge, in the master, for each peer:
 * one binary search over the starts of a family's intervals.
 */
#include "config.h"

#include "acl.h"

#include <stdlib.h>

#include "acl_table.h"

struct acl_key
acl_key_of(const struct addr *a)
{
	struct acl_key k = { 0, 0 };
	int len = a->family == AF_INET ? 4 : 16;

	for (int i = 0; i < len; i++)
		if (i < 8)
			k.hi |= (uint64_t)a->ip[i] << (56 - 8 * i);
		else
			k.lo |= (uint64_t)a->ip[i] << (120 - 8 * i);
	return k;
}

void
acl_free(struct acl *acl)
{
	free(acl);
}

size_t
acl_bytes(const struct acl *acl)
{
	return acl->bytes;
}

/* The last interval that begins at or before the key; no branch to guess. */
static uint32_t
find4(const struct acl *acl, uint32_t key)
{
	const uint32_t *at = acl->start4;
	uint32_t n = acl->n4, half;

	for (; n > 1; n -= half) {
		half = n / 2;
		at += at[half] <= key ? half : 0;
	}
	return (uint32_t)(at - acl->start4);
}

static uint32_t
find6(const struct acl *acl, struct acl_key key)
{
	const uint64_t *hi = acl->hi6, *lo = acl->lo6;
	uint32_t at = 0, n = acl->n6, half, mid;

	for (; n > 1; n -= half) {
		half = n / 2;
		mid = at + half;
		if (hi[mid] < key.hi || (hi[mid] == key.hi && (!lo || lo[mid] <= key.lo)))
			at = mid;
	}
	return at;
}

/* The value for one uid or gid. */
static uint32_t
find_id(const struct acl *acl, int kind, uint32_t id)
{
	const struct acl_id *v = acl->ids[kind];
	uint32_t from = 0, to = acl->nids[kind], mid;

	while (from < to) {
		mid = from + (to - from) / 2;
		if (v[mid].id < id)
			from = mid + 1;
		else
			to = mid;
	}
	return from < acl->nids[kind] && v[from].id == id ? v[from].value : acl->other;
}

static bool
is_rule(uint32_t value)
{
	return (value & ACL_NO_RULE) != ACL_NO_RULE;
}

static uint32_t
judge_unix(const struct acl *acl, const struct addr *peer)
{
	uint32_t uid = find_id(acl, 0, peer->cred.uid), gid = find_id(acl, 1, peer->cred.gid);

	if (!is_rule(uid))
		return gid;
	if (!is_rule(gid))
		return uid;
	return gid >> ACL_ALLOW_SHIFT < uid >> ACL_ALLOW_SHIFT ? gid : uid;
}

bool
acl_judge(const struct acl *acl, const struct addr *peer, uint32_t *rule)
{
	struct acl_key key;
	uint32_t value;

	switch (peer->family) {
	case AF_INET:
		key = acl_key_of(peer);
		value = acl->value4[find4(acl, (uint32_t)(key.hi >> 32))];
		break;
	case AF_INET6:
		value = acl->value6[find6(acl, acl_key_of(peer))];
		break;
	case AF_UNIX:
		value = judge_unix(acl, peer);
		break;
	default:
		value = acl->empty ? acl->other : ACL_NO_RULE;
		break;
	}
	if (rule)
		*rule = value & ACL_NO_RULE;
	return value >> ACL_ALLOW_SHIFT;
}
