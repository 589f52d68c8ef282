# Files of src/comityd.
sbin_PROGRAMS += src/comityd/comityd
src_comityd_comityd_SOURCES = src/comityd/assemble.c src/comityd/assemble.h src/comityd/assemble_fed.c src/comityd/check_fed.c src/comityd/check_fed.h src/comityd/commands.c \
	src/comityd/commands.h src/comityd/commands_answer.c src/comityd/commands_fed.c src/comityd/commands_stats.c \
	src/comityd/commands_memory.c src/comityd/memory.c src/comityd/memory.h \
	src/comityd/control.c src/comityd/crew.c src/comityd/crew_call.c src/comityd/daemon.h src/comityd/logger.c src/comityd/logger.h \
	src/comityd/main.c src/comityd/options.c src/comityd/options.h src/comityd/privileges.c src/comityd/reload.c \
	src/comityd/restore.c \
	src/comityd/task.c src/comityd/task.h
src_comityd_comityd_CPPFLAGS = $(AM_CPPFLAGS) -DPACKAGE_VERSION=\"$(PACKAGE_VERSION)\" \
	-DCOMITY_STATE_DIR=\"$(localstatedir)/lib/comity\" -DCOMITY_CONF_DIR=\"$(sysconfdir)/comity\" \
	-DCOMITY_MODULE_DIR=\"$(pkglibdir)\"
# Modules call functions of the library that the daemon itself may not: all of it goes in.
src_comityd_comityd_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
src_comityd_comityd_LDADD = $(libcomity_a_OBJECTS) $(COMITY_LIBS)
src_comityd_comityd_DEPENDENCIES = $(libcomity_a_OBJECTS)
