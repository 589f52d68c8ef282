# Files of modules.
# To add one: a pkglib_LTLIBRARIES line, its _SOURCES and its _LDFLAGS, as below.
MODULE_LDFLAGS = -module -avoid-version -shared $(module_ldflags)

pkglib_LTLIBRARIES += modules/mod_presence.la
modules_mod_presence_la_SOURCES = modules/mod_presence.c
modules_mod_presence_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_roster.la
modules_mod_roster_la_SOURCES = modules/roster/item.c modules/roster/mod_roster.c modules/roster/roster.h \
	modules/roster/subscription.c
modules_mod_roster_la_LDFLAGS = $(MODULE_LDFLAGS)
