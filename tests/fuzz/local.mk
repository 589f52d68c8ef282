# Files of tests/fuzz.
#
# A target NAME is a file fuzz_NAME.c with LLVMFuzzerTestOneInput and a folder corpus/NAME with inputs.
# To add one, copy the four lines of fuzz_conf at the end.
#
# To fuzz:  ./configure --enable-fuzzers CC=clang && make check_PROGRAMS='$(FUZZ_PROGRAMS)' check-am TESTS=
#           tests/fuzz/fuzz_conf -max_len=4096 FOLDER-FOR-FINDINGS tests/fuzz/corpus/conf
# Otherwise "make check" replays all inputs of the corpus. An input that found a mistake is added to it.
FUZZ_PROGRAMS =
FUZZ_LIBS = libcomity.a $(COMITY_LIBS)
if FUZZERS
FUZZ_MAIN =
FUZZ_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
else
FUZZ_MAIN = tests/fuzz/replay.c
FUZZ_LDFLAGS = $(AM_LDFLAGS)
endif
check_PROGRAMS += $(FUZZ_PROGRAMS)
TESTS += tests/fuzz/replay.sh
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/replay.c tests/fuzz/replay.sh

FUZZ_PROGRAMS += tests/fuzz/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c $(FUZZ_MAIN)
tests_fuzz_fuzz_conf_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_LDFLAGS)

FUZZ_PROGRAMS += tests/fuzz/fuzz_jid
tests_fuzz_fuzz_jid_SOURCES = tests/fuzz/fuzz_jid.c $(FUZZ_MAIN)
tests_fuzz_fuzz_jid_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_jid_LDFLAGS = $(FUZZ_LDFLAGS)
