#!/bin/sh
# SPDX-License-Identifier: MIT
# The simulation for some seeds; a longer run is "make check-sim".
# Those of long runs that found something: two sessions of one resource after a crash, whose stored messages were read
# for ever.
for seed in 59993 77407 92624; do
	tests/sim/sm --seeds 1 --seed $seed || exit 1
done
exec tests/sim/sm --seeds 1500
