# Files of src/stream.
libcomity_a_SOURCES += src/stream/bind.c src/stream/c2s.c src/stream/c2s.h src/stream/input.c src/stream/input.h src/stream/open.c src/stream/sasl.c \
	src/stream/sasl_engine.c src/stream/sasl_engine.h src/stream/sasl_message.c src/stream/sasl_message.h \
	src/stream/starttls.c src/stream/stream_error.c src/stream/stream_error.h
