# Files of tests/unit.
check_PROGRAMS += tests/unit/unit
TESTS += tests/unit/unit
tests_unit_unit_SOURCES = tests/unit/main.c tests/unit/unit.h
tests_unit_unit_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -DTEST_DATA=\"$(abs_top_srcdir)/tests/data\"
tests_unit_unit_LDADD = libcomity.a $(COMITY_LIBS) $(CHECK_LIBS)
tests_unit_unit_SOURCES += tests/unit/store_fixture.c tests/unit/store_fixture.h tests/unit/test_store.c \
	tests/unit/test_store_file.c tests/unit/test_store_memory.c tests/unit/test_reads.c tests/unit/test_writes.c
tests_unit_unit_SOURCES += tests/unit/test_conf.c tests/unit/test_parser.c tests/unit/test_stanza.c \
	tests/unit/test_writer.c
tests_unit_unit_SOURCES += tests/unit/test_dane.c
tests_unit_unit_SOURCES += tests/unit/net_fixture.c tests/unit/net_fixture.h tests/unit/test_dial.c \
	tests/unit/test_dns.c tests/unit/test_srv.c
tests_unit_unit_SOURCES += tests/unit/test_jid.c tests/unit/test_jid_prepare.c
tests_unit_unit_SOURCES += src/comityd/options.c tests/unit/test_manual.c
tests_unit_unit_CPPFLAGS += -DTEST_MAN=\"$(abs_top_srcdir)/man\" -DTEST_MODULES=\"$(abs_top_srcdir)/modules\" \
	-DCOMITY_STATE_DIR=\"/var/lib/comity\" -DCOMITY_CONF_DIR=\"/etc/comity\" -DCOMITY_MODULE_DIR=\"/usr/lib/comity\"
tests_unit_unit_SOURCES += tests/unit/test_directory_route.c
tests_unit_unit_SOURCES += tests/unit/test_image.c tests/unit/test_journal.c tests/unit/test_ahead.c \
	tests/unit/test_pool.c tests/unit/test_conn_lanes.c tests/unit/test_conn_socket.c
tests_unit_unit_SOURCES += tests/unit/test_peers.c tests/unit/test_quota.c
tests_unit_unit_SOURCES += src/comityd/memory.c tests/unit/test_memory.c
tests_unit_unit_SOURCES += tests/unit/test_backlog.c tests/unit/test_seen.c tests/unit/test_fed_presence.c
tests_unit_unit_SOURCES += tests/unit/test_token.c
tests_unit_unit_SOURCES += tests/unit/test_text.c tests/unit/test_log.c tests/unit/test_log_limit.c tests/unit/test_jobs.c
TESTS += tests/unit/hardening.sh
EXTRA_DIST += tests/unit/hardening.sh
tests_unit_unit_SOURCES += src/comityd/privileges.c tests/unit/test_privileges.c
