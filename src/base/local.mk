# Files of src/base.
libcomity_a_SOURCES += \
	src/base/arena.c src/base/arena.h src/base/buf.c src/base/buf.h src/base/env.c \
	src/base/env.h src/base/err.c src/base/err.h src/base/hash.c src/base/hash.h src/base/lanes.h \
	src/base/list.h src/base/log.c src/base/log.h src/base/log_limit.c src/base/log_limit.h \
	src/base/map.c src/base/map.h src/base/mem.c src/base/mem.h src/base/metrics.c src/base/metrics.h \
	src/base/pool.c src/base/pool.h src/base/pressure.c src/base/pressure.h src/base/quota.c \
	src/base/quota.h src/base/sanitizers.h src/base/tally.c src/base/tally.h src/base/text.c \
	src/base/text.h
