# The module API, installed.
pkginclude_HEADERS = include/comity/blocking.h include/comity/directory.h include/comity/disco.h include/comity/elem.h include/comity/jid.h include/comity/module.h include/comity/option.h \
	include/comity/presence.h include/comity/roster.h \
	include/comity/stanza.h include/comity/store.h
