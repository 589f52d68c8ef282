# Files of src/xmpp.
