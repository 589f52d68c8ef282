# Files of tools.
TESTS += tools/lint
.PHONY: analyze
analyze:
	$(top_srcdir)/tools/analyze
EXTRA_DIST += .clang-tidy tools/analyze tools/analyze.allow tools/analyze.cfg tools/autogen tools/certs tools/deps tools/install-deps tools/lint tools/run tools/test
