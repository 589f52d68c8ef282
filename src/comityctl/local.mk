# Files of src/comityctl.
libcomity_a_SOURCES += src/comityctl/commands.c src/comityctl/commands.h
bin_PROGRAMS += src/comityctl/comityctl
src_comityctl_comityctl_SOURCES = src/comityctl/client.c src/comityctl/client.h src/comityctl/completion.c \
	src/comityctl/completion.h src/comityctl/main.c src/comityctl/password.c src/comityctl/password.h \
	src/comityctl/table.c src/comityctl/table.h
src_comityctl_comityctl_CPPFLAGS = $(AM_CPPFLAGS) -DPACKAGE_VERSION=\"$(PACKAGE_VERSION)\" \
	-DCOMITY_STATE_DIR=\"$(localstatedir)/lib/comity\"
src_comityctl_comityctl_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed
src_comityctl_comityctl_LDADD = libcomity.a $(COMITY_LIBS)
