# Files of tests/sim: sessions that survive, simulated from seeds. SEEDS and SEED may be given to make.
#
# A seed that fails is run again, with all that happens, by  tests/sim/sm --seed N --trace
SEEDS = 100000

check_PROGRAMS += tests/sim/sm
TESTS += tests/sim/sm.sh
EXTRA_DIST += tests/sim/sm.sh
tests_sim_sm_SOURCES = tests/sim/sm.c tests/sim/checker.c tests/sim/clients.c tests/sim/wire.c tests/sim/world.h \
	tests/sim/life.c tests/sim/life.h tests/sim/disk.c tests/sim/disk.h tests/sim/place.c tests/sim/place.h \
	tests/sim/faults.c tests/sim/faults.h tests/sim/memory.c tests/sim/memory.h tests/sim/random.h $(fuzz_sim)
tests_sim_sm_CPPFLAGS = $(fuzz_sim_cppflags) -I$(top_srcdir)/tests/fuzz
tests_sim_sm_LDADD = $(fuzz_sim_needs)
tests_sim_sm_LDFLAGS = $(AM_LDFLAGS) -export-dynamic -Wl,--wrap=fdatasync,--wrap=fsync,--wrap=unlink,--wrap=write,--wrap=pwrite,--wrap=store_archive_append

check-sim: all tests/sim/sm$(EXEEXT)
	tests/sim/sm --seeds $(SEEDS) --seed $(SEED)

.PHONY: check-sim

# What a message costs in memory.
check_PROGRAMS += tests/sim/allocations
TESTS += tests/sim/allocations
tests_sim_allocations_SOURCES = tests/sim/allocations.c $(fuzz_sim)
tests_sim_allocations_CPPFLAGS = $(fuzz_sim_cppflags) -I$(top_srcdir)/tests/fuzz
tests_sim_allocations_LDADD = $(fuzz_sim_needs)
tests_sim_allocations_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
