# Files of src/store.
libcomity_a_SOURCES += src/store/driver.h src/store/sqlite.c src/store/sqlite_schema.c src/store/sqlite_schema.h \
	src/store/store.c src/store/store.h
