/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * How long the look-ups of admission take on this machine, and what memory
 * their tables need: lists of 100 000 networks, a million sources, hours of
 * opening.  Run by hand ("make bench-policy"); it judges nothing.
 */
#include "config.h"

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "acl.h"
#include "hours.h"
#include "srctab.h"
#include "zone.h"

enum { NETS = 100000, ASKED = 1 << 20, SOURCES = 1000000 };

static struct addr asked[ASKED];
static volatile uint64_t sink;

static uint64_t
next_random(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x * 2685821657736338717u;
}

static double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Kilobytes of memory that this process has touched. */
static long
rss_kb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		(void)fclose(f);
	}
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static struct addr
any_addr(int family)
{
	uint64_t r[2] = { next_random(), next_random() };
	struct addr a = { .family = (uint16_t)family };

	memcpy(a.ip, r, family == AF_INET ? 4 : 16);
	if (family == AF_INET6) {	/* as addresses are given out: below 2400::/6 */
		a.ip[0] = 0x24;
		a.ip[1] &= 3;
	}
	return a;
}

static void
acl_text(const char *what, int family, unsigned shortest, unsigned longest)
{
	struct acl_builder *b = acl_builder_new();
	struct acl_entry *nets = calloc(NETS, sizeof(*nets));
	double t0, t1, t2;
	struct acl *acl;
	char text[ADDR_STRLEN + 8], why[ACL_WHY_LEN];
	size_t len;
	uint64_t sum = 0;

	if (!b || !nets)
		err(1, NULL);
	for (int i = 0; i < NETS; i++) {
		nets[i].net = any_addr(family);
		nets[i].bits = (uint8_t)(shortest + next_random() % (longest - shortest + 1));
		addr_mask(&nets[i].net, nets[i].bits);
	}
	for (int i = 0; i < ASKED; i++) {	/* half of them within a net of the list */
		asked[i] = any_addr(family);
		if (i % 2)
			memcpy(asked[i].ip, nets[next_random() % NETS].net.ip, longest / 8);
	}
	t0 = now();
	for (int i = 0; i < NETS; i++) {
		struct acl_entry e;

		len = addr_format_ip(&nets[i].net, text, sizeof(text));
		(void)snprintf(text + len, sizeof(text) - len, "/%u", nets[i].bits);
		if (acl_parse(text, NULL, NULL, &e, why) < 0)
			errx(1, "%s: %s", text, why);
		if (acl_add(b, i % 3, &e, (uint32_t)i) < 0)
			err(1, NULL);
	}
	t1 = now();
	acl = acl_build(b);
	t2 = now();
	if (!acl)
		err(1, NULL);
	printf("acl %-22s read %5.1f ms  build %5.1f ms  %5zu KiB", what, (t1 - t0) * 1e3,
	       (t2 - t1) * 1e3, acl_bytes(acl) / 1024);
	t0 = now();
	for (int i = 0; i < ASKED; i++) {
		uint32_t rule;

		sum += acl_judge(acl, &asked[i], &rule);
		sum += rule;
	}
	t1 = now();
	for (uint32_t i = 0, k = 0; i < ASKED; i++) {	/* one after the other's answer */
		uint32_t rule;

		(void)acl_judge(acl, &asked[(i * 7919 + (k & 1)) % ASKED], &rule);
		k = rule;
	}
	t2 = now();
	sink = sum;
	printf("  look-up %3.0f ns, %3.0f ns one by one\n", (t1 - t0) / ASKED * 1e9,
	       (t2 - t1) / ASKED * 1e9);
	acl_free(acl);
	acl_builder_free(b);
	free(nets);
}

static void
sources(void)
{
	static const struct limit_rate rate = { 3, 3600000 };
	static const uint8_t secret[16] = "bench of sources";
	struct srctab *t = srctab_new(65536, secret);
	long before = rss_kb(), full;
	struct addr key;
	double t0, t1;
	uint64_t sum = 0;

	if (!t)
		err(1, NULL);
	t0 = now();
	for (uint32_t i = 0; i < SOURCES; i++) {
		if (i == 65536) {
			full = rss_kb();
			printf("sources 65 536: +%ld KiB\n", full - before);
		}
		key = srctab_key(&asked[i], 32, 64);
		sum += srctab_take_token(t, 1, &key, &rate, i);
		srctab_drop(t, srctab_take(t, 1, &key));
	}
	t1 = now();
	printf("sources %d: +%ld KiB  token, session and its end %3.0f ns each, %llu forgotten\n",
	       SOURCES, rss_kb() - before, (t1 - t0) / SOURCES * 1e9,
	       (unsigned long long)srctab_evicted(t));
	t0 = now();
	for (uint32_t i = 0; i < SOURCES; i++) {
		key = srctab_key(&asked[i], 32, 64);
		sum += srctab_count(t, 1, &key);
		sum += srctab_wait_ms(t, 1, &key, &rate, SOURCES);
	}
	t1 = now();
	sink = sum;
	printf("sources full: sessions and tokens looked up in %3.0f ns\n",
	       (t1 - t0) / SOURCES * 1e9);
	srctab_free(t);
}

static struct zone *
zone_of(const char *path)
{
	static char bytes[ZONE_FILE_MAX];
	FILE *f = fopen(path, "rb");
	const char *why;
	struct zone *z;
	size_t len;

	if (!f)
		return NULL;
	len = fread(bytes, 1, sizeof(bytes), f);
	(void)fclose(f);
	z = zone_load(bytes, len, &why);
	if (!z)
		errx(1, "%s: %s", path, why);
	return z;
}

static void
hours(const char *what, int64_t from)
{
	struct zone *z = zone_of("/usr/share/zoneinfo/Europe/Berlin");
	struct hours *h = hours_new();
	struct hours_entry e;
	const char *why;
	uint64_t sum = 0;
	double t0, t1;

	if (!h || hours_parse("Mon-Fri 22:00-06:00", &e, &why) < 0)
		errx(1, "hours");
	if (hours_add(h, &e, z ? z : zone_utc()) < 0)
		err(1, NULL);
	t0 = now();
	for (int i = 0; i < ASKED; i++)
		sum += hours_open(h, from + i * 61);
	t1 = now();
	sink = sum;
	printf("hours %s: %3.0f ns\n", what, (t1 - t0) / ASKED * 1e9);
	hours_free(h);
	zone_free(z);
}

int
main(void)
{
	acl_text("IPv4 /8 to /32", AF_INET, 8, 32);
	acl_text("IPv4 /24 to /32", AF_INET, 24, 32);
	acl_text("IPv6 /32 to /64", AF_INET6, 32, 64);
	acl_text("IPv6 /48 to /128", AF_INET6, 48, 128);
	sources();
	hours("by the zone's table", 1735689600);
	hours("by the zone's rule", 4102444800);
	return 0;
}
