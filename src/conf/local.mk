# Files of src/conf.
libcomity_a_SOURCES += src/conf/conf.c src/conf/conf.h src/conf/conf_internal.h \
	src/conf/nearest.c src/conf/repair.c src/conf/source.c src/conf/value.c
