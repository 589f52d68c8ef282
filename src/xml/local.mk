# Files of src/xml.
libcomity_a_SOURCES += src/xml/elem.c src/xml/elem.h src/xml/expat_memory.c \
	src/xml/expat_holds.h src/xml/expat_memory.h src/xml/intern.c src/xml/intern.h src/xml/parse_element.c \
	src/xml/parser.c src/xml/parser.h src/xml/parser_ask.c src/xml/parser_state.h src/xml/writer.c src/xml/writer.h
