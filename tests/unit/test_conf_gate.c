/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of conf_gate.c and its parts: from access sections to gates. */
#include "config.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "acl_list.h"
#include "conf_gate.h"
#include "names.h"

#define MAX_RULES 3000
#define NOON (INT64_C(1700000000) / 86400 * 86400 + 12 * 3600)

static struct rig {
	char dir[64], path[80], list[96];	/* path: of the list; "file:" and that */
	struct conf_gates *gates;
	struct problems *problems;
	struct names *names;
	char told[65536];
	struct conf_rule allow[MAX_RULES], deny[MAX_RULES], hours[16];
	const char *pressure[8];
	struct conf_access a;
	const struct gate *gate;
} rig;

static void
tell(bool warning, const char *text, void *arg)
{
	size_t len = strlen(rig.told);

	(void)arg;
	assert_false(warning);
	(void)snprintf(rig.told + len, sizeof(rig.told) - len, "%s\n", text);
}

/* Lists that were compiled may be changed then. */
static void
begin_again(void)
{
	conf_gates_free(rig.gates);
	rig.gates = conf_gates_new();
	assert_non_null(rig.gates);
	conf_gates_use(rig.gates, rig.names);
}

static int
set_up(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	(void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/hatchd-gate-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	(void)snprintf(rig.path, sizeof(rig.path), "%s/list", rig.dir);
	(void)snprintf(rig.list, sizeof(rig.list), "file:%s", rig.path);
	rig.problems = problems_new();
	rig.names = names_new();
	assert_true(rig.problems && rig.names);
	assert_true(names_read(rig.names, "N both.example 192.0.2.1 2001:db8::1"));
	assert_true(names_read(rig.names, "N one.example 192.0.2.2"));
	names_close(rig.names);
	begin_again();
	return 0;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	conf_gates_free(rig.gates);
	problems_free(rig.problems);
	names_free(rig.names);
	(void)snprintf(command, sizeof(command), "rm -rf %s", rig.dir);
	return system(command);
}

static void
write_list(const char *text)
{
	FILE *f = fopen(rig.path, "w");

	assert_non_null(f);
	assert_int_not_equal(fputs(text, f), EOF);
	assert_int_equal(fchmod(fileno(f), 0644), 0);
	assert_int_equal(fclose(f), 0);
}

/* One rule more, in the line that its number is. */
static void
put(struct conf_rule *list, const char *text)
{
	int n = 0;

	while (list[n].text)
		n++;
	list[n].text = text;
	list[n].file = list == rig.deny ? "deny.conf" : "a.conf";
	list[n].line = n + 1;
	if (list == rig.allow)
		rig.a.allow = list;
	else if (list == rig.deny)
		rig.a.deny = list;
	else
		rig.a.hours = list;
}

static bool
make(void)
{
	problems_free(rig.problems);
	rig.problems = problems_new();
	rig.told[0] = '\0';
	rig.gate = NULL;
	return conf_gate_access(rig.gates, &rig.a, "x", true, rig.problems, &rig.gate);
}

static void
assert_good(void)
{
	bool ok = make();

	problems_each(rig.problems, tell, NULL);
	assert_string_equal(rig.told, "");
	assert_true(ok);
}

/* It is no gate, and this is all that is said. */
static void
assert_bad(const char *lines)
{
	bool ok = make();

	problems_each(rig.problems, tell, NULL);
	assert_string_equal(rig.told, lines);
	assert_false(ok);
	assert_null(rig.gate);
}

static bool
lets_in(const char *peer, uint32_t *tag)
{
	struct addr a = { .family = AF_UNIX };
	unsigned uid, gid;

	if (sscanf(peer, "%u/%u", &uid, &gid) == 2) {
		a.cred.uid = uid;
		a.cred.gid = gid;
	} else {
		assert_int_equal(addr_parse(peer, &a), 0);
	}
	return gate_judge(rig.gate, &a, NOON, NULL, tag) == REASON_NONE;
}

/* The verdict, and which rule is behind it: "TEXT at FILE:LINE". */
static void
assert_verdict(const char *peer, bool want, const char *rule)
{
	char text[256], whole[512] = "none";
	struct conf_rule r;
	uint32_t tag;

	assert_int_equal(lets_in(peer, &tag), want);
	if (conf_gate_rule(&rig.a, tag, &r, text, sizeof(text)))
		(void)snprintf(whole, sizeof(whole), "%s at %s:%d", r.text,
			       strncmp(r.file, rig.dir, strlen(rig.dir)) ? r.file :
			       r.file + strlen(rig.dir) + 1, r.line);
	assert_string_equal(whole, rule);
}

static void
test_nothing_said_is_no_gate(void **state)
{
	const struct gate *g = (const struct gate *)&rig;

	(void)state;
	assert_good();
	assert_null(rig.gate);
	rig.a.deny = rig.deny;		/* given, and empty */
	rig.a.hours = rig.hours;
	rig.a.max_pressure = rig.pressure;
	assert_good();
	assert_null(rig.gate);
	assert_true(conf_gate_access(rig.gates, NULL, "x", true, rig.problems, &g));
	assert_null(g);
	g = (const struct gate *)&rig;
	assert_true(conf_gate_list(rig.gates, NULL, "x", true, rig.problems, &g));
	assert_null(g);
	conf_gates_free(NULL);
}

static void
test_empty_allow_lets_nobody_in(void **state)
{
	(void)state;
	rig.a.allow = rig.allow;
	assert_good();
	assert_verdict("127.0.0.1", false, "none");
	assert_verdict("0/0", false, "none");
	assert_true(conf_gate_list(rig.gates, rig.allow, "x", true, rig.problems, &rig.gate));
	assert_non_null(rig.gate);
	assert_verdict("::1", false, "none");
}

static void
test_every_kind(void **state)
{
	(void)state;
	put(rig.allow, "192.0.2.7");
	put(rig.allow, "10.0.0.0/8");
	put(rig.allow, "2001:db8:1::/48");
	put(rig.allow, "uid:1234");
	put(rig.allow, "gid:77");
	put(rig.allow, "both.example");
	put(rig.deny, "10.66.0.0/16");
	put(rig.deny, "one.example");
	put(rig.deny, "uid:9999");
	assert_good();
	assert_verdict("192.0.2.7", true, "192.0.2.7 at a.conf:1");
	assert_verdict("10.1.0.1", true, "10.0.0.0/8 at a.conf:2");
	assert_verdict("2001:db8:1::9", true, "2001:db8:1::/48 at a.conf:3");
	assert_verdict("1234/1", true, "uid:1234 at a.conf:4");
	assert_verdict("1/77", true, "gid:77 at a.conf:5");
	assert_verdict("192.0.2.1", true, "both.example at a.conf:6");
	assert_verdict("2001:db8::1", true, "both.example at a.conf:6");
	assert_verdict("10.66.1.1", false, "10.66.0.0/16 at deny.conf:1");
	assert_verdict("192.0.2.2", false, "one.example at deny.conf:2");
	assert_verdict("9999/77", false, "uid:9999 at deny.conf:3");
	assert_verdict("192.0.2.3", false, "none");
	assert_verdict("5/5", false, "none");
}

static void
test_deny_alone(void **state)
{
	(void)state;
	put(rig.deny, "10.66.0.0/16");
	assert_good();
	assert_verdict("10.66.1.1", false, "10.66.0.0/16 at deny.conf:1");
	assert_verdict("10.67.1.1", true, "none");
	assert_verdict("::1", true, "none");
}

static void
test_names_of_users_and_groups(void **state)
{
	const struct passwd *pw = getpwuid(0);
	const struct group *gr;
	char user[64], group[64];

	(void)state;
	if (!pw)
		skip();
	(void)snprintf(user, sizeof(user), "uid:%s", pw->pw_name);
	gr = getgrgid(0);
	if (!gr)
		skip();
	(void)snprintf(group, sizeof(group), "gid:%s", gr->gr_name);
	put(rig.allow, user);
	put(rig.deny, group);
	assert_good();
	assert_true(lets_in("0/5", NULL));
	assert_false(lets_in("5/0", NULL));
	begin_again();
	put(rig.allow, "uid:no-such-user-here");
	put(rig.deny, "gid:no-such-group-here");
	assert_bad("a.conf:2: service x: access.allow: 'uid:no-such-user-here': there is no such "
		   "user\n"
		   "deny.conf:2: service x: access.deny: 'gid:no-such-group-here': there is no "
		   "such group\n");
}

/* xinetd left out what it could not parse: "no_access = 127.0.0.1.oops/8" then
 * served everybody. */
static void
test_L25_unparsable_entry_is_refused(void **state)
{
	static const char *const entries[] = {
		"127.0.0.1.oops/8", "192.0.2.300", "10.0.0.0/33", "10.0.0.1/8", "::1/129", "*",
		"ALL",
		"10.0.0.1 10.0.0.2", "10.0.0.1,10.0.0.2", "uid:-1", "uid:", "gid:4294967295",
		"file:relative", "10.0.0", "0x7f.1", "", "host..example", "[::1]", "fe80::1%lo",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		for (int deny = 0; deny < 2; deny++) {
			memset(rig.allow, 0, sizeof(rig.allow[0]) * 8);
			memset(rig.deny, 0, sizeof(rig.deny[0]) * 8);
			memset(&rig.a, 0, sizeof(rig.a));
			put(rig.allow, "10.0.0.0/8");
			put(deny ? rig.deny : rig.allow, entries[i]);
			put(rig.deny, "10.1.0.0/16");
			assert_false(make());
			assert_null(rig.gate);
			problems_each(rig.problems, tell, NULL);
			assert_int_equal(problems_count(rig.problems), 1);
			assert_int_equal(strncmp(rig.told, deny ?
				"deny.conf:1: service x: access.deny: '" :
				"a.conf:2: service x: access.allow: '", deny ? 38 : 36), 0);
		}
	}
}

/* And a comma error switched a service off, until something else switched it on
 * again, without its list: there is no gate here, and the problem stays. */
static void
test_L26_no_gate_after_an_error(void **state)
{
	const struct gate *g = NULL;

	(void)state;
	put(rig.deny, "10.0.0.1,10.0.0.2");
	assert_false(make());
	assert_false(conf_gate_access(rig.gates, &rig.a, "y", true, rig.problems, &g));
	assert_null(g);
	problems_each(rig.problems, tell, NULL);
	assert_string_equal(rig.told,
		"deny.conf:1: service x: access.deny: '10.0.0.1,10.0.0.2': one entry holds one "
		"address, network or name\n"
		"deny.conf:1: service y: access.deny: '10.0.0.1,10.0.0.2': one entry holds one "
		"address, network or name\n");
}

static void
test_S16_all_errors_of_a_section_are_told(void **state)
{
	(void)state;
	put(rig.allow, "10.0.0.0/8");
	put(rig.allow, "nowhere.example");
	put(rig.deny, "file:/no/such/list");
	put(rig.hours, "Mon-Fri 08:00-20:00");
	put(rig.hours, "Mon-Fry 08:00-20:00");
	put(rig.hours, "daily 08:00-20:00 Europe/No_Such_Place");
	rig.pressure[0] = "cpu:40";
	rig.pressure[1] = "cpu:50";
	rig.a.max_pressure = rig.pressure;
	assert_false(make());
	problems_each(rig.problems, tell, NULL);
	assert_int_equal(problems_count(rig.problems), 5);
	assert_non_null(strstr(rig.told, "a.conf:2: service x: access.allow: 'nowhere.example': "
		"the host can't be looked up: the address was not known when the configuration was "
		"tried\n"));
	assert_non_null(strstr(rig.told, "deny.conf:1: service x: access.deny: "
		"'file:/no/such/list' cannot be opened: No such file or directory\n"));
	assert_non_null(strstr(rig.told, "a.conf:2: service x: access.hours: "
		"'Mon-Fry 08:00-20:00': "));
	assert_non_null(strstr(rig.told, "a.conf:3: service x: access.hours: 'daily 08:00-20:00 "
		"Europe/No_Such_Place': there is no such time zone\n"));
	assert_non_null(strstr(rig.told, "service x: access.max_pressure: 'cpu:50': "));
	problems_free(rig.problems);
	rig.problems = problems_new();
	rig.told[0] = '\0';
	assert_false(conf_gate_list(rig.gates, rig.allow, "x", true, rig.problems, &rig.gate));
	problems_each(rig.problems, tell, NULL);
	assert_non_null(strstr(rig.told, "a.conf:2: service x: proxy.from: 'nowhere.example': "));
}

static void
test_list_file(void **state)
{
	(void)state;
	write_list("# the office\n"
		   "\n"
		   "  10.0.0.0/8\t# all of it\n"
		   "\t\r\n"
		   "2001:db8::/32\r\n"
		   "uid:1234#\n"
		   "   # nothing\n"
		   "both.example\n"
		   "gid:77");
	put(rig.allow, "192.168.0.0/16");
	put(rig.allow, rig.list);
	put(rig.deny, "10.66.0.0/16");
	assert_good();
	assert_verdict("192.168.7.7", true, "192.168.0.0/16 at a.conf:1");
	assert_verdict("10.1.1.1", true, "10.0.0.0/8 at list:3");
	assert_verdict("2001:db8:1::", true, "2001:db8::/32 at list:5");
	assert_verdict("1234/5", true, "uid:1234 at list:6");
	assert_verdict("192.0.2.1", true, "both.example at list:8");
	assert_verdict("5/77", true, "gid:77 at list:9");
	assert_verdict("10.66.1.1", false, "10.66.0.0/16 at deny.conf:1");
	assert_verdict("10.6.1.1", true, "10.0.0.0/8 at list:3");
	/* it isn't what it was any more */
	write_list("\n\n\n");
	assert_verdict("10.1.1.1", true, "? at list:3");
	assert_verdict("5/77", true, "? at list:9");
	assert_int_equal(unlink(rig.path), 0);
	assert_verdict("10.1.1.1", true, "? at list:3");
}

static void
test_L25_bad_list_line_is_told_with_its_place(void **state)
{
	char want[512];

	(void)state;
	write_list("10.0.0.0/8\n10.0.0.1/8 x\n# fine\nnowhere.example\nfile:/etc/passwd\n");
	put(rig.deny, rig.list);
	put(rig.deny, "::1");
	assert_false(make());
	problems_each(rig.problems, tell, NULL);
	assert_int_equal(problems_count(rig.problems), 3);
	(void)snprintf(want, sizeof(want), "%s:2: service x: access.deny: '10.0.0.1/8 x': one "
		       "entry holds one address, network or name\n%s:4: service x: access.deny: "
		       "'nowhere.example': the host can't", rig.path, rig.path);
	assert_int_equal(strncmp(rig.told, want, strlen(want)), 0);
	(void)snprintf(want, sizeof(want), "%s:5: service x: access.deny: 'file:/etc/passwd': a "
		       "list file can't name another one\n", rig.path);
	assert_non_null(strstr(rig.told, want));
	/* told once, but refused wherever it is named */
	put(rig.deny, "::2");
	(void)snprintf(want, sizeof(want), "deny.conf:1: service x: access.deny: '%s' has errors\n",
		       rig.list);
	assert_bad(want);
}

static void
test_bad_lines_are_bounded(void **state)
{
	(void)state;
	write_list("x y\nx y\nx y\nx y\nx y\nx y\nx y\nx y\nx y\nx y\nx y\nx y\nx y\nx y\n");
	put(rig.allow, rig.list);
	assert_false(make());
	assert_int_equal(problems_count(rig.problems), 10);
}

static void
test_list_with_long_line(void **state)
{
	char text[6000], want[256];

	(void)state;
	memset(text, '#', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	write_list(text);
	put(rig.allow, rig.list);
	(void)snprintf(want, sizeof(want), "%s:1: service x: access.allow: the line is longer than "
		       "4096 bytes\n", rig.path);
	assert_bad(want);
}

/* Whoever may write the list could let himself in. */
static void
test_S16_list_others_may_write(void **state)
{
	char want[512];

	(void)state;
	write_list("10.0.0.1\n");
	assert_int_equal(chmod(rig.path, 0666), 0);
	put(rig.allow, rig.list);
	(void)snprintf(want, sizeof(want), "%s: everybody may write it (mode 0666): chmod go-w\n"
		       "a.conf:1: service x: access.allow: '%s' has errors\n", rig.path, rig.list);
	assert_bad(want);
}

static void
test_S16_list_that_is_no_file(void **state)
{
	char want[512], fifo[128];

	(void)state;
	(void)snprintf(fifo, sizeof(fifo), "file:%s/fifo", rig.dir);
	assert_int_equal(mkfifo(fifo + 5, 0600), 0);
	put(rig.allow, fifo);
	(void)snprintf(want, sizeof(want), "%s: is a FIFO, not a file\n"
		       "a.conf:1: service x: access.allow: '%s' has errors\n", fifo + 5, fifo);
	assert_bad(want);
	put(rig.deny, "file:/");
	(void)snprintf(want, sizeof(want), "/: is a directory, not a file\n"
		       "a.conf:1: service x: access.allow: '%s' has errors\n"
		       "deny.conf:1: service x: access.deny: 'file:/' has errors\n", fifo);
	assert_bad(want);
}

static void
test_S16_list_with_nul(void **state)
{
	char want[512];
	FILE *f;

	(void)state;
	write_list("");
	f = fopen(rig.path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite("10.0.0.1\n10.0.0.2\0/8\n", 1, 21, f), 21);
	assert_int_equal(fclose(f), 0);
	put(rig.deny, rig.list);
	(void)snprintf(want, sizeof(want), "%s:2: NUL byte: this is not a text file\n"
		       "deny.conf:1: service x: access.deny: '%s' has errors\n", rig.path, rig.list);
	assert_bad(want);
}

static void
test_too_many_list_files(void **state)
{
	static char names[ACL_LISTS + 1][128];
	char want[512];

	(void)state;
	for (int i = 0; i <= ACL_LISTS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%s%d", rig.list, i);
		write_list("10.0.0.1\n");
		assert_int_equal(rename(rig.path, names[i] + 5), 0);
		put(rig.allow, names[i]);
	}
	(void)snprintf(want, sizeof(want), "a.conf:%d: service x: access.allow: '%s': more than 64 "
		       "list files\n", ACL_LISTS + 1, names[ACL_LISTS]);
	assert_bad(want);
}

static void
test_too_many_elements(void **state)
{
	(void)state;
	for (int i = 0; i < GATE_RULES; i++) {
		rig.allow[i] = (struct conf_rule){ "10.0.0.1", "a.conf", i + 1 };
		rig.a.allow = rig.allow;
	}
	put(rig.deny, "10.0.0.2");
	put(rig.deny, "10.0.0.3");
	assert_bad("deny.conf:1: service x: access.deny: more than 2048 elements\n");
	rig.a.deny = NULL;
	assert_good();
}

static void
test_hours_and_zones(void **state)
{
	(void)state;
	put(rig.hours, "11:30-12:30 UTC");
	if (!make()) {
		problems_each(rig.problems, tell, NULL);
		assert_non_null(strstr(rig.told, "there is no such time zone"));
		print_message("no time zones here\n");
		skip();
	}
	assert_true(hours_open(rig.gate->hours, NOON));
	assert_false(hours_open(rig.gate->hours, NOON + 3600));
	assert_null(rig.gate->acl);
	begin_again();
	put(rig.hours, "22:00-06:00");		/* of the machine */
	put(rig.hours, "Sat-Sun 00:00-24:00 UTC");
	assert_good();
	assert_int_not_equal(hours_next_change(rig.gate->hours, NOON), INT64_MAX);
}

static void
test_load_and_pressure(void **state)
{
	(void)state;
	rig.a.max_load = 850;
	rig.pressure[0] = "io:12.5";
	rig.pressure[1] = "cpu:100";
	rig.a.max_pressure = rig.pressure;
	assert_good();
	assert_int_equal(rig.gate->max_load, 850);
	assert_int_equal(rig.gate->max_pressure[GATE_CPU], 10000);
	assert_int_equal(rig.gate->max_pressure[GATE_MEMORY], 0);
	assert_int_equal(rig.gate->max_pressure[GATE_IO], 1250);
	begin_again();
	rig.pressure[1] = "disk:3";
	assert_bad("service x: access.max_pressure: 'disk:3': expected each of cpu:N, memory:N and "
		   "io:N once, N percent from 0.01 to 100\n");
}

/* Without looking anything up, as the fuzzers do. */
static void
test_without_lookup(void **state)
{
	(void)state;
	put(rig.allow, "file:/no/such/list");
	put(rig.allow, "nowhere.example");
	put(rig.allow, "uid:nobody-knows");
	put(rig.allow, "10.0.0.1");
	put(rig.hours, "08:00-20:00 Europe/No_Such_Place");
	assert_true(conf_gate_access(rig.gates, &rig.a, "x", false, rig.problems, &rig.gate));
	assert_true(lets_in("10.0.0.1", NULL));
	assert_false(lets_in("10.0.0.2", NULL));
	begin_again();
	put(rig.allow, "10.0.0.300");
	assert_false(conf_gate_access(rig.gates, &rig.a, "x", false, rig.problems, &rig.gate));
}

static void
test_equal_sections_share(void **state)
{
	struct conf_rule other[3] = {
		{ "10.0.0.0/8", "other.conf", 99 }, { "uid:3", "other.conf", 100 },
	};
	struct conf_access b = { .allow = other }, c = { .deny = other };
	const struct gate *first, *g;

	(void)state;
	put(rig.allow, "10.0.0.0/8");
	put(rig.allow, "uid:3");
	assert_good();
	first = rig.gate;
	assert_good();			/* the very same */
	assert_ptr_equal(rig.gate, first);
	assert_true(conf_gate_access(rig.gates, &c, "c", true, rig.problems, &g));
	assert_ptr_not_equal(g, first);
	assert_true(conf_gate_access(rig.gates, &b, "b", true, rig.problems, &g));
	assert_ptr_equal(g, first);
	/* who may be a proxy is the same kind of list */
	assert_true(conf_gate_list(rig.gates, other, "b", true, rig.problems, &g));
	assert_ptr_equal(g, first);
	b.max_load = 1;
	assert_true(conf_gate_access(rig.gates, &b, "b", true, rig.problems, &g));
	assert_ptr_not_equal(g, first);
}

/* An account in a file of proxies is refused, whoever may have that file besides. */
static void
test_list_of_proxies_has_addresses(void **state)
{
	const struct gate *g = NULL, *again = NULL;

	(void)state;
	write_list("10.0.0.1\n\nuid:0\n");
	put(rig.allow, rig.list);
	assert_good();
	assert_false(conf_gate_list(rig.gates, rig.allow, "x", true, rig.problems, &g));
	assert_null(g);
	problems_each(rig.problems, tell, NULL);
	assert_non_null(strstr(rig.told, "list:3: service x: proxy.from: uid: and gid: are no "
			       "addresses of proxies\n"));
	begin_again();
	write_list("10.0.0.1\n");
	assert_good();
	assert_true(conf_gate_list(rig.gates, rig.allow, "x", true, rig.problems, &g));
	assert_true(conf_gate_list(rig.gates, rig.allow, "y", true, rig.problems, &again));
	assert_ptr_equal(g, again);
}

static double
seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
test_ten_thousand_services(void **state)
{
	const struct gate *first = NULL, *g = NULL;
	struct conf_rule *lists = calloc(20000, sizeof(*lists));
	struct conf_access b = { .max_load = 0 };
	double start;

	(void)state;
	assert_non_null(lists);
	write_list("10.0.0.0/8\n");
	for (int i = 0; i < 2000; i++)
		rig.deny[i] = (struct conf_rule){ "10.0.0.1", "a.conf", i };
	rig.a.deny = rig.deny;
	start = seconds();
	for (int i = 0; i < 10000; i++) {
		assert_true(conf_gate_access(rig.gates, &rig.a, "x", true, rig.problems, &g));
		first = first ? first : g;
		assert_ptr_equal(g, first);
	}
	print_message("10 000 services with the same 2000 rules: %.1f ms\n",
		      (seconds() - start) * 1e3);
	start = seconds();
	for (int i = 0; i < 10000; i++) {
		lists[2 * i] = (struct conf_rule){ rig.list, "a.conf", i };
		b.allow = &lists[2 * i];
		b.max_load = (uint32_t)i;	/* so that each is another one */
		assert_true(conf_gate_access(rig.gates, &b, "x", true, rig.problems, &g));
	}
	print_message("10 000 different sections with a list of one: %.1f ms\n",
		      (seconds() - start) * 1e3);
	conf_gates_seal(rig.gates);
	free(lists);
}

static void
test_hundred_thousand_prefixes(void **state)
{
	FILE *f = fopen(rig.path, "w");
	char want[256];
	uint32_t tag;
	double start;

	(void)state;
	assert_non_null(f);
	for (uint32_t i = 0; i < ACL_LIST_ENTRIES; i++)
		(void)fprintf(f, "%u.%u.%u.%u/32\n", 1 + i / 20000, i % 251, i / 251 % 256,
			      i % 256);
	assert_int_equal(fclose(f), 0);
	put(rig.deny, rig.list);
	start = seconds();
	assert_good();
	print_message("%d prefixes of a file: %.0f ms, %zu bytes\n", ACL_LIST_ENTRIES,
		      (seconds() - start) * 1e3, acl_bytes(rig.gate->acl));
	assert_false(lets_in("1.0.0.0", &tag));
	assert_int_equal(tag, gate_tag(0, 1));
	assert_true(lets_in("0.0.0.0", &tag));
	conf_gates_seal(rig.gates);
	assert_false(lets_in("1.1.0.1", &tag));
	begin_again();
	f = fopen(rig.path, "a");
	assert_non_null(f);
	(void)fputs("# no entry\n7.7.7.7\n", f);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(want, sizeof(want), "%s:%d: service x: access.deny: more than 100000 "
		       "entries\n", rig.path, ACL_LIST_ENTRIES + 2);
	assert_bad(want);
}

/* Lists that are compiled again and again can't fill the memory. */
static void
test_all_rules_are_bounded(void **state)
{
	FILE *f = fopen(rig.path, "w");
	int made = 0;

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < ACL_LIST_ENTRIES; i++)
		(void)fputs("10.0.0.1\n", f);
	assert_int_equal(fclose(f), 0);
	put(rig.allow, rig.list);
	while (made < 1000) {
		rig.a.max_load++;
		if (!make())
			break;
		made++;
	}
	assert_int_equal(made, ACL_LISTS);
	problems_each(rig.problems, tell, NULL);
	assert_string_equal(rig.told, "a.conf:1: service x: access.allow: more than 6400000 "
			    "entries in all access lists\n");
}

static void
test_defaults_are_named(void **state)
{
	(void)state;
	put(rig.allow, "x y");
	assert_false(conf_gate_access(rig.gates, &rig.a, "", true, rig.problems, &rig.gate));
	problems_each(rig.problems, tell, NULL);
	assert_string_equal(rig.told, "a.conf:1: defaults: access.allow: 'x y': one entry holds "
			    "one address, network or name\n");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_said_is_no_gate),
		TEST(test_empty_allow_lets_nobody_in),
		TEST(test_every_kind),
		TEST(test_deny_alone),
		TEST(test_names_of_users_and_groups),
		TEST(test_L25_unparsable_entry_is_refused),
		TEST(test_L26_no_gate_after_an_error),
		TEST(test_S16_all_errors_of_a_section_are_told),
		TEST(test_list_file),
		TEST(test_L25_bad_list_line_is_told_with_its_place),
		TEST(test_bad_lines_are_bounded),
		TEST(test_list_with_long_line),
		TEST(test_S16_list_others_may_write),
		TEST(test_S16_list_that_is_no_file),
		TEST(test_S16_list_with_nul),
		TEST(test_too_many_list_files),
		TEST(test_too_many_elements),
		TEST(test_hours_and_zones),
		TEST(test_load_and_pressure),
		TEST(test_without_lookup),
		TEST(test_equal_sections_share),
		TEST(test_list_of_proxies_has_addresses),
		TEST(test_ten_thousand_services),
		TEST(test_hundred_thousand_prefixes),
		TEST(test_all_rules_are_bounded),
		TEST(test_defaults_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
