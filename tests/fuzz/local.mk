# Files of tests/fuzz.
#
# A target NAME is a file fuzz_NAME.c with LLVMFuzzerTestOneInput and a folder corpus/NAME with inputs.
# To add one, copy the four lines of fuzz_conf at the end.
#
# To fuzz:  ./configure --enable-fuzzers CC=clang && make fuzz-targets
#           tests/fuzz/fuzz_conf -max_len=4096 FOLDER-FOR-FINDINGS tests/fuzz/corpus/conf
# Otherwise "make check" replays all inputs of the corpus. An input that found a mistake is added to it.
fuzz_targets =
fuzz_needs = libcomity.a $(COMITY_LIBS)
if FUZZERS
fuzz_main =
fuzz_linking = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_main = tests/fuzz/replay.c
fuzz_linking = $(AM_LDFLAGS)
endif
check_PROGRAMS += $(fuzz_targets)
.PHONY: fuzz-targets
fuzz-targets: $(fuzz_targets)
TESTS += tests/fuzz/replay.sh
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/replay.c tests/fuzz/replay.sh

fuzz_targets += tests/fuzz/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c $(fuzz_main)
tests_fuzz_fuzz_conf_LDADD = $(fuzz_needs)
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_linking)

fuzz_targets += tests/fuzz/fuzz_jid
tests_fuzz_fuzz_jid_SOURCES = tests/fuzz/fuzz_jid.c $(fuzz_main)
tests_fuzz_fuzz_jid_LDADD = $(fuzz_needs)
tests_fuzz_fuzz_jid_LDFLAGS = $(fuzz_linking)

fuzz_targets += tests/fuzz/fuzz_journal
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/fuzz_journal.c $(fuzz_main)
tests_fuzz_fuzz_journal_LDADD = $(fuzz_needs)
tests_fuzz_fuzz_journal_LDFLAGS = $(fuzz_linking)

# The targets below drive a whole server; modules of this build are loaded into it.
fuzz_sim = tests/fuzz/sim.c tests/fuzz/sim.h tests/fuzz/sim_internal.h
fuzz_sim_cppflags = $(AM_CPPFLAGS) -DFUZZ_MODULE_DIR=\"$(abs_builddir)/modules/.libs\"
fuzz_sim_needs = $(libcomity_a_OBJECTS) $(COMITY_LIBS)

fuzz_targets += tests/fuzz/fuzz_stream
tests_fuzz_fuzz_stream_SOURCES = tests/fuzz/fuzz_stream.c $(fuzz_sim) $(fuzz_main)
tests_fuzz_fuzz_stream_CPPFLAGS = $(fuzz_sim_cppflags)
tests_fuzz_fuzz_stream_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_stream_LDFLAGS = $(fuzz_linking) -export-dynamic

fuzz_targets += tests/fuzz/fuzz_session
tests_fuzz_fuzz_session_SOURCES = tests/fuzz/fuzz_session.c $(fuzz_sim) $(fuzz_main)
tests_fuzz_fuzz_session_CPPFLAGS = $(fuzz_sim_cppflags)
tests_fuzz_fuzz_session_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_session_LDFLAGS = $(fuzz_linking) -export-dynamic

fuzz_targets += tests/fuzz/fuzz_sasl
tests_fuzz_fuzz_sasl_SOURCES = tests/fuzz/fuzz_sasl.c $(fuzz_sim) $(fuzz_main)
tests_fuzz_fuzz_sasl_CPPFLAGS = $(fuzz_sim_cppflags)
tests_fuzz_fuzz_sasl_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_sasl_LDFLAGS = $(fuzz_linking) -export-dynamic

fuzz_targets += tests/fuzz/fuzz_s2s
tests_fuzz_fuzz_s2s_SOURCES = tests/fuzz/fuzz_s2s.c $(fuzz_sim) $(fuzz_main)
tests_fuzz_fuzz_s2s_CPPFLAGS = $(fuzz_sim_cppflags)
tests_fuzz_fuzz_s2s_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_s2s_LDFLAGS = $(fuzz_linking) -export-dynamic
