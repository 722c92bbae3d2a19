#!/bin/sh
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 the hatchd authors
#
# Makes ./configure from configure.ac; needed in a clone, not in a release.

set -e
cd "$(dirname "$0")"
exec autoreconf -fi
