/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * How busy the machine is: the texts of the kernel, and that they aren't read
 * more than once a second.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "load.h"

static void
test_average(void **state)
{
	static const struct {
		const char *text;
		uint32_t value;
	} list[] = {
		{ "0.00 0.01 0.05 1/87 22999\n", 0 }, { "0.07 0.01 0.05 1/87 22999\n", 7 },
		{ "12.34 0.01 0.05 1/87 22999\n", 1234 }, { "3 2 1", 300 }, { "3.1 2 1", 310 },
		{ "3.129 2 1", 312 }, { "3. 2 1", 300 }, { "9999999.99 ", 999999999 },
		{ "10000000.00 ", GATE_UNKNOWN }, { "42949672960000000000000.00 ", GATE_UNKNOWN },
		{ "", GATE_UNKNOWN }, { "\n", GATE_UNKNOWN }, { "0.12", GATE_UNKNOWN },
		{ ".12 ", GATE_UNKNOWN }, { "-1.00 ", GATE_UNKNOWN }, { "nan ", GATE_UNKNOWN },
		{ "1,00 ", GATE_UNKNOWN }, { " 1.00 ", GATE_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
		if (load_parse_average(list[i].text) != list[i].value)
			fail_msg("\"%s\": %u", list[i].text, load_parse_average(list[i].text));
}

static void
test_pressure(void **state)
{
	(void)state;
	assert_int_equal(load_parse_pressure("some avg10=0.27 avg60=0.51 avg300=1.50 total=26\n"
					     "full avg10=9.00 avg60=0.00 avg300=0.00 total=0\n"),
			 27);
	assert_int_equal(load_parse_pressure("full avg10=9.00 avg60=0.00 avg300=0.00 total=0\n"
					     "some avg10=100.00 avg60=0.51 avg300=1.50 total=26\n"),
			 10000);
	assert_int_equal(load_parse_pressure("full avg10=9.00 avg60=0.00\n"), GATE_UNKNOWN);
	assert_int_equal(load_parse_pressure("some avg60=9.00 avg10=0.00\n"), GATE_UNKNOWN);
	assert_int_equal(load_parse_pressure("some avg10="), GATE_UNKNOWN);
	assert_int_equal(load_parse_pressure(""), GATE_UNKNOWN);
}

static int
count_open(int from)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		int fd = -1;

		n += sscanf(e->d_name, "%d", &fd) == 1 && fd >= from && fd != dirfd(d);
	}
	(void)closedir(d);
	return n;
}

static uint32_t
from_kernel(void)
{
	char text[256];
	FILE *f = fopen("/proc/loadavg", "re");

	if (!f)
		return GATE_UNKNOWN;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	(void)fclose(f);
	return load_parse_average(text);
}

static void
test_reading(void **state)
{
	int low = count_open(0), high = count_open(FD_HIGH);
	struct load *l = load_new();
	const struct gate_load *now;
	uint32_t before, after;

	(void)state;
	assert_non_null(l);
	assert_int_equal(count_open(0), low);
	do {			/* the kernel changes it every 5 s */
		before = from_kernel();
		load_free(l);
		l = load_new();
		assert_non_null(l);
		now = load_get(l, 5000);
		after = from_kernel();
	} while (before != after);
	assert_int_equal(now->load, before);
	for (int i = 0; i < GATE_PRESSURES; i++)
		assert_true(now->pressure[i] <= 10000 || now->pressure[i] == GATE_UNKNOWN);
	assert_int_equal(count_open(0) - low, count_open(FD_HIGH) - high);
	assert_true(count_open(0) - low <= 4);
	load_free(l);
	assert_int_equal(count_open(0), low);
	load_free(NULL);
}

/* What is kept is told by what is there: the file has been taken away. */
static void
test_once_a_second(void **state)
{
	struct load *l = load_new();
	struct gate_load first;

	(void)state;
	assert_non_null(l);
	first = *load_get(l, 5000);
	if (first.load == GATE_UNKNOWN) {
		load_free(l);
		skip();
	}
	for (int fd = FD_HIGH; fd < FD_HIGH + 64; fd++)
		(void)close(fd);
	assert_memory_equal(load_get(l, 5000), &first, sizeof(first));
	assert_memory_equal(load_get(l, 5999), &first, sizeof(first));
	assert_int_equal(load_get(l, 6000)->load, GATE_UNKNOWN);
	for (int i = 0; i < GATE_PRESSURES; i++)
		assert_int_equal(load_get(l, 7000)->pressure[i], GATE_UNKNOWN);
	load_free(l);
}

static void
test_no_descriptor_left(void **state)
{
	struct rlimit old, none;
	struct load *l = load_new();
	uint32_t load;

	(void)state;
	assert_non_null(l);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	load = load_get(l, 0)->load;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(load, GATE_UNKNOWN);
	load_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_average),
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_once_a_second),
		cmocka_unit_test(test_no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
