# Files of tests/interop.
EXTRA_DIST += tests/interop/run.py tests/interop/strophe_client.c tests/interop/terminal.py \
	tests/interop/test_federation.py tests/interop/test_federation_failures.py \
	tests/interop/test_federation_partition.py tests/interop/test_federation_peers.py \
	tests/interop/test_federation_dane.py tests/interop/test_federation_directory.py \
	tests/interop/test_federation_check.py tests/interop/test_federation_routes.py \
	tests/interop/test_libstrophe.py tests/interop/test_mcabber.py \
	tests/interop/test_profanity.py tests/interop/test_slixmpp.py tests/interop/test_xmppjs.py \
	tests/interop/xmppjs/client.js tests/interop/xmppjs/package.json tests/interop/xmppjs/package-lock.json \
	tests/interop/federation/__init__.py tests/interop/federation/authority.py \
	tests/interop/federation/bed.py tests/interop/federation/comity.py \
	tests/interop/federation/fake_names.py tests/interop/federation/fakes.py \
	tests/interop/federation/jabberd2.py \
	tests/interop/federation/names.py tests/interop/federation/network.py \
	tests/interop/federation/peers.py tests/interop/federation/people.py \
	tests/interop/federation/remote.py tests/interop/federation/slixmpp_user.py \
	tests/interop/federation/story.py tests/interop/federation/troubles.py \
	tests/interop/federation/wire.py
