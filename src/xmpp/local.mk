# Files of src/xmpp.
libcomity_a_SOURCES += src/xmpp/ns.h src/xmpp/scram.c src/xmpp/scram.h src/xmpp/stanza.c src/xmpp/stanza.h \
	src/xmpp/stanza_derive.c src/xmpp/stanza_error.c
libcomity_a_SOURCES += src/xmpp/jid.c src/xmpp/jid.h src/xmpp/precis.c src/xmpp/precis.h
