#!/bin/sh
# SPDX-License-Identifier: MIT
# The short form of the simulation, for "make check".
# A crash in the simulation forgets connections that are in a mailbox, on their way between workers: they are no leaks
# of the server, whose own tests look for those.
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" exec tests/sim/sm --seeds 1500
