# Files of tests/crash. ROUNDS and SEED may be given to make.
ROUNDS = 1000
SEED = 1

# Preloaded into the server to move its clock, so it is built without sanitizers.
noinst_LTLIBRARIES += tests/crash/clock.la
tests_crash_clock_la_SOURCES = tests/crash/clock.c
tests_crash_clock_la_CFLAGS = -fvisibility=default
tests_crash_clock_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_crash_clock_la_LIBADD = -ldl

# And this one makes its calls fail.
noinst_LTLIBRARIES += tests/crash/faults.la
tests_crash_faults_la_SOURCES = tests/crash/faults.c
tests_crash_faults_la_CFLAGS = -fvisibility=default -fno-builtin
tests_crash_faults_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_crash_faults_la_LIBADD = -ldl

EXTRA_DIST += tests/crash/crash.py tests/crash/client.py tests/crash/checker.py tests/crash/faults.py

check-crash: all
	COMITY_BUILD=$(abs_builddir) $(srcdir)/tests/crash/crash.py --verbose --rounds $(ROUNDS) --seed $(SEED)

.PHONY: check-crash
