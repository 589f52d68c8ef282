# Files of tests/trace: what doc/architecture.md says of the way of a stanza, checked on the way itself.
# The sources that the stanza passes are built once more, so that each of their functions reports its calls.
check_PROGRAMS += tests/trace/trace
TESTS += tests/trace/trace
tests_trace_trace_SOURCES = tests/trace/trace.c tests/fuzz/sim.c tests/fuzz/sim.h tests/fuzz/sim_internal.h src/net/conn.c src/net/worker.c \
	src/router/account.c src/router/deliver.c src/router/route.c src/router/rq.c src/router/session.c \
	src/stream/c2s.c src/stream/input.c src/xml/parser.c src/xmpp/jid.c src/xmpp/stanza.c
tests_trace_trace_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/fuzz -DFUZZ_MODULE_DIR=\"\" \
	-DTRACE_DOCUMENT=\"$(abs_top_srcdir)/doc/architecture.md\"
tests_trace_trace_CFLAGS = $(AM_CFLAGS) -finstrument-functions -fvisibility=default
tests_trace_trace_LDADD = libcomity.a $(COMITY_LIBS)
tests_trace_trace_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
