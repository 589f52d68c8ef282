# Files of src/router.
libcomity_a_SOURCES += \
	src/router/account.c src/router/account.h src/router/ask.c src/router/ask.h src/router/copies.c \
	src/router/copies.h src/router/credentials.c src/router/credentials.h src/router/crowd.c \
	src/router/crowd.h src/router/deliver.c src/router/directory_route.c src/router/fed.c \
	src/router/fed.h src/router/fed_bound.c src/router/fed_check.c src/router/fed_directory.c \
	src/router/fed_end.c src/router/fed_link.c src/router/fed_policy.c src/router/fed_presence.c \
	src/router/fed_queue.c src/router/fed_register.c src/router/fed_stream.c src/router/host.c src/router/host.h \
	src/router/image.c src/router/image.h src/router/image_read.c src/router/image_read.h \
	src/router/image_write.c src/router/loader.c src/router/loader.h src/router/modapi.c \
	src/router/route.c src/router/router.c src/router/router.h src/router/rq.c src/router/rq.h \
	src/router/safe.c src/router/safe.h src/router/session.c src/router/session_in.c \
	src/router/session_journal.c src/router/session_modules.c src/router/session_restore.c src/router/session_restore.h \
	src/router/session_resume.c src/router/session_sm.c src/router/session_sm.h \
	src/router/session_sm_end.c src/router/session_written.c src/router/session_written.h \
	src/router/settings.c src/router/shed.c src/router/storeapi.c src/router/storeapi_archive.c \
	src/router/token.c src/router/token.h
