# Files of tests/fuzz; how to fuzz: doc/fuzzing.md.
#
# A target NAME is a file fuzz_NAME.c with LLVMFuzzerTestOneInput and a folder corpus/NAME with inputs.
# To add one, copy the four lines of fuzz_conf. "make check" replays all inputs of the corpus. An input that found a
# mistake is added to it as finding-WHAT.
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
.PHONY: fuzz-targets fuzz fuzz-corpus
fuzz-targets: $(fuzz_targets)

# FUZZ_JOBS targets at once, or as many as there are processors. In a build folder without libFuzzer, one with it is made
# below.
FUZZ_SECONDS = 60
FUZZ_JOBS =
FUZZ_FILES = 36
FUZZ_TARGETS = $(fuzz_targets)
if FUZZERS
fuzz:
	+$(MAKE) all
	+$(MAKE) fuzz-targets
	srcdir=$(srcdir) FUZZ_JOBS=$(FUZZ_JOBS) $(srcdir)/tests/fuzz/fuzz.sh fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)
fuzz-corpus:
	+$(MAKE) all
	+$(MAKE) fuzz-targets
	srcdir=$(srcdir) $(srcdir)/tests/fuzz/fuzz.sh corpus $(FUZZ_FILES) $(FUZZ_TARGETS)
else
FUZZ_CC = clang
fuzz fuzz-corpus:
	@command -v $(FUZZ_CC) >/dev/null || { echo "make $@: there is no $(FUZZ_CC); fuzzing needs clang and its libFuzzer" \
		"(tools/install-deps fuzz), or say FUZZ_CC=COMPILER" >&2; exit 1; }
	@$(MKDIR_P) with-fuzzers
	@test -f with-fuzzers/Makefile || \
		(cd with-fuzzers && $(abs_top_srcdir)/configure -q --enable-fuzzers CC='$(FUZZ_CC)' CFLAGS='-O1 -g')
	+@$(MAKE) -C with-fuzzers $@
endif
TESTS += tests/fuzz/replay.sh
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.sh tests/fuzz/replay.c tests/fuzz/replay.sh

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

fuzz_targets += tests/fuzz/fuzz_dns
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c $(fuzz_main)
tests_fuzz_fuzz_dns_LDADD = $(fuzz_needs)
tests_fuzz_fuzz_dns_LDFLAGS = $(fuzz_linking)

fuzz_targets += tests/fuzz/fuzz_ahead
tests_fuzz_fuzz_ahead_SOURCES = tests/fuzz/fuzz_ahead.c tests/fuzz/choices.c tests/fuzz/choices.h $(fuzz_main)
tests_fuzz_fuzz_ahead_LDADD = $(fuzz_needs)
tests_fuzz_fuzz_ahead_LDFLAGS = $(fuzz_linking)

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

# The targets below play a whole server with all who talk to it, from a grammar; it starts and ends with each input.
fuzz_grammar = tests/fuzz/choices.c tests/fuzz/choices.h tests/fuzz/grammar.c tests/fuzz/grammar.h tests/fuzz/grammar_parts.c tests/fuzz/grammar_parts.h
fuzz_stage = tests/fuzz/stage.c tests/fuzz/stage.h tests/fuzz/stage_line.c tests/fuzz/stage_client.c \
	tests/fuzz/stage_names.c tests/fuzz/stage_peer.c tests/fuzz/ear.c tests/fuzz/ear.h $(fuzz_grammar) \
	tests/sim/life.c tests/sim/life.h tests/sim/disk.c tests/sim/disk.h tests/sim/place.c tests/sim/place.h \
	tests/sim/faults.c tests/sim/faults.h tests/sim/memory.c tests/sim/memory.h tests/sim/random.h $(fuzz_sim)
fuzz_stage_cppflags = $(fuzz_sim_cppflags) -I$(top_srcdir)/tests/fuzz -I$(top_srcdir)/tests/sim
fuzz_stage_ldflags = $(fuzz_linking) -export-dynamic \
	-Wl,--wrap=fdatasync,--wrap=fsync,--wrap=unlink,--wrap=write,--wrap=pwrite,--wrap=store_archive_append,--wrap=conn_new,--wrap=dns_new

fuzz_targets += tests/fuzz/fuzz_client
tests_fuzz_fuzz_client_SOURCES = tests/fuzz/fuzz_client.c $(fuzz_stage) $(fuzz_main)
tests_fuzz_fuzz_client_CPPFLAGS = $(fuzz_stage_cppflags)
tests_fuzz_fuzz_client_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_client_LDFLAGS = $(fuzz_stage_ldflags)

fuzz_targets += tests/fuzz/fuzz_server
tests_fuzz_fuzz_server_SOURCES = tests/fuzz/fuzz_server.c $(fuzz_stage) $(fuzz_main)
tests_fuzz_fuzz_server_CPPFLAGS = $(fuzz_stage_cppflags)
tests_fuzz_fuzz_server_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_server_LDFLAGS = $(fuzz_stage_ldflags)

fuzz_targets += tests/fuzz/fuzz_life
tests_fuzz_fuzz_life_SOURCES = tests/fuzz/fuzz_life.c $(fuzz_stage) $(fuzz_main)
tests_fuzz_fuzz_life_CPPFLAGS = $(fuzz_stage_cppflags)
tests_fuzz_fuzz_life_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_life_LDFLAGS = $(fuzz_stage_ldflags)

# With the commands of the daemon.
fuzz_targets += tests/fuzz/fuzz_control
tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz_control.c tests/fuzz/control.c tests/fuzz/control.h $(fuzz_stage) \
	src/comityd/commands.c src/comityd/commands_answer.c src/comityd/commands_fed.c src/comityd/commands_memory.c \
	src/comityd/commands_stats.c src/comityd/crew_call.c src/comityd/task.c src/comityctl/table.c $(fuzz_main)
tests_fuzz_fuzz_control_CPPFLAGS = $(fuzz_stage_cppflags)
tests_fuzz_fuzz_control_LDADD = $(fuzz_sim_needs)
tests_fuzz_fuzz_control_LDFLAGS = $(fuzz_stage_ldflags),--wrap=store_backup

# Compares the reader of XML with libxml2, where that is installed.
EXTRA_DIST += tests/fuzz/fuzz_xml.c
if HAVE_XML2
fuzz_targets += tests/fuzz/fuzz_xml
tests_fuzz_fuzz_xml_SOURCES = tests/fuzz/fuzz_xml.c tests/fuzz/ear.c tests/fuzz/ear.h $(fuzz_grammar) $(fuzz_main)
tests_fuzz_fuzz_xml_CPPFLAGS = $(AM_CPPFLAGS) $(XML2_CFLAGS)
tests_fuzz_fuzz_xml_LDADD = $(fuzz_needs) $(XML2_LIBS)
tests_fuzz_fuzz_xml_LDFLAGS = $(fuzz_linking)
endif
