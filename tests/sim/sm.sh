#!/bin/sh
# SPDX-License-Identifier: MIT
# The short form of the simulation, for "make check".
exec tests/sim/sm --seeds 1500
