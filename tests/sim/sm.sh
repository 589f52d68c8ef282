#!/bin/sh
# SPDX-License-Identifier: MIT
# The simulation for some seeds; a longer run is "make check-sim".
# Those of long runs that found something: two sessions of one resource after a crash, whose stored messages were read
# for ever; a transaction that could not be rolled back for want of memory, behind which nothing was written any more (154).
for seed in 59993 77407 92624 154; do
	tests/sim/sm --seeds 1 --seed $seed || exit 1
done
exec tests/sim/sm --seeds 1500
