# Files of tests/interop.
EXTRA_DIST += tests/interop/run.py tests/interop/strophe_client.c tests/interop/terminal.py \
	tests/interop/test_federation_peers.py \
	tests/interop/test_libstrophe.py tests/interop/test_mcabber.py \
	tests/interop/test_profanity.py tests/interop/test_slixmpp.py \
	tests/interop/federation/__init__.py tests/interop/federation/authority.py \
	tests/interop/federation/bed.py tests/interop/federation/jabberd2.py \
	tests/interop/federation/names.py tests/interop/federation/network.py \
	tests/interop/federation/peers.py tests/interop/federation/people.py \
	tests/interop/federation/slixmpp_user.py tests/interop/federation/story.py
