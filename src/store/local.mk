# Files of src/store.
libcomity_a_SOURCES += src/store/calls.c src/store/driver.h src/store/request.c src/store/request.h \
	src/store/sqlite.c src/store/sqlite_file.c src/store/sqlite_file.h src/store/sqlite_schema.c \
	src/store/sqlite_schema.h src/store/store.c src/store/store.h
libcomity_a_SOURCES += src/store/journal.c src/store/journal.h src/store/journal_file.h src/store/journal_read.c
libcomity_a_SOURCES += src/store/ahead.c src/store/ahead.h src/store/ahead_file.c src/store/ahead_file.h \
	src/store/order.c src/store/order.h src/store/reads.c src/store/reads.h \
	src/store/writer.c src/store/writer.h src/store/writes.c src/store/writes.h
