# Files of tools.
TESTS += tools/lint
EXTRA_DIST += tools/autogen tools/certs tools/deps tools/install-deps tools/lint tools/run tools/test
