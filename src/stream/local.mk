# Files of src/stream.
libcomity_a_SOURCES += \
	src/stream/bind.c src/stream/c2s.c src/stream/c2s.h src/stream/dialback.c src/stream/input.c \
	src/stream/input.h src/stream/open.c src/stream/s2s.c src/stream/s2s.h src/stream/s2s_cause.c \
	src/stream/s2s_end.c src/stream/s2s_in.c src/stream/s2s_out.c src/stream/s2s_pair.c \
	src/stream/s2s_sm.c src/stream/s2s_sm.h src/stream/sasl.c src/stream/sasl_engine.c \
	src/stream/sasl_engine.h src/stream/sasl_message.c src/stream/sasl_message.h src/stream/starttls.c \
	src/stream/stream_error.c src/stream/stream_error.h
