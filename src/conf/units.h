/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Numbers with units, and the other small values of the language.  Pure.  Each
 * returns 0 and writes *ret, or -1 (what is not wholly understood, negative or
 * too large is refused, never cut).
 */
#ifndef HATCHD_UNITS_H
#define HATCHD_UNITS_H

#include <stdbool.h>
#include <stdint.h>

int units_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret);	/* decimal only */
int units_duration_ms(const char *s, uint32_t *ret);	/* 0, 500ms, 30s, 5min, 1h, 2d; a bare number other than 0 is refused */
bool units_duration_is_long(const char *s);		/* it is one, but of more than UINT32_MAX ms */
int units_size(const char *s, uint64_t *ret);		/* 0, 4096, 64KiB, 10MiB, 1GiB, 64k/64K = KiB */
int units_decimal(const char *s, uint32_t max, uint32_t *ret);	/* hundredths: 8, 0.5, 12.25 */
int units_octal(const char *s, unsigned max, unsigned *ret);	/* 022, 0666, 0o22 */
int units_bool(const char *s, bool *ret);		/* yes no true false on off */

/* Canonical forms, as conf_print writes them; buf of at least 32 bytes. */
const char *units_print_duration(uint32_t ms, char *buf);
const char *units_print_size(uint64_t bytes, char *buf);
const char *units_print_decimal(uint32_t hundredths, char *buf);

#endif
