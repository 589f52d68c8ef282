# Files of include.
pkginclude_HEADERS = include/comity/elem.h include/comity/jid.h include/comity/module.h
