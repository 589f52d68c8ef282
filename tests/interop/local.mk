# Files of tests/interop.
EXTRA_DIST += tests/interop/run.py tests/interop/strophe_client.c tests/interop/terminal.py \
	tests/interop/test_libstrophe.py tests/interop/test_mcabber.py \
	tests/interop/test_profanity.py tests/interop/test_slixmpp.py
