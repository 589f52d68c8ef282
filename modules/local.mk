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

pkglib_LTLIBRARIES += modules/mod_blocking.la
modules_mod_blocking_la_SOURCES = modules/blocking/blocking.h modules/blocking/list.c modules/blocking/mod_blocking.c \
	modules/blocking/seen.c
modules_mod_blocking_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_caps.la
modules_mod_caps_la_SOURCES = modules/mod_caps.c
modules_mod_caps_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_mod_caps_la_LIBADD = $(GNUTLS_LIBS)

pkglib_LTLIBRARIES += modules/mod_carbons.la
modules_mod_carbons_la_SOURCES = modules/mod_carbons.c
modules_mod_carbons_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_csi.la
modules_mod_csi_la_SOURCES = modules/mod_csi.c
modules_mod_csi_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_disco.la
modules_mod_disco_la_SOURCES = modules/mod_disco.c
modules_mod_disco_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_last.la
modules_mod_last_la_SOURCES = modules/mod_last.c
modules_mod_last_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_offline.la
modules_mod_offline_la_SOURCES = modules/mod_offline.c
modules_mod_offline_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_ping.la
modules_mod_ping_la_SOURCES = modules/mod_ping.c
modules_mod_ping_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_private.la
modules_mod_private_la_SOURCES = modules/mod_private.c
modules_mod_private_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_register.la
modules_mod_register_la_SOURCES = modules/mod_register.c
modules_mod_register_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_stanza_id.la
modules_mod_stanza_id_la_SOURCES = modules/mod_stanza_id.c
modules_mod_stanza_id_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_time.la
modules_mod_time_la_SOURCES = modules/mod_time.c
modules_mod_time_la_LDFLAGS = $(MODULE_LDFLAGS)

pkglib_LTLIBRARIES += modules/mod_vcard.la
modules_mod_vcard_la_SOURCES = modules/mod_vcard.c
modules_mod_vcard_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_mod_vcard_la_LIBADD = $(GNUTLS_LIBS)

pkglib_LTLIBRARIES += modules/mod_version.la
modules_mod_version_la_SOURCES = modules/mod_version.c
modules_mod_version_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_mod_version_la_CPPFLAGS = $(AM_CPPFLAGS) -DPACKAGE_VERSION=\"$(PACKAGE_VERSION)\"

pkglib_LTLIBRARIES += modules/mod_directory.la
modules_mod_directory_la_SOURCES = modules/directory/directory.h modules/directory/fixed.c modules/directory/lookup.c \
	modules/directory/mod_directory.c modules/directory/policy.c
modules_mod_directory_la_LDFLAGS = $(MODULE_LDFLAGS)
