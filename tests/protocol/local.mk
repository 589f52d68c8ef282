# Files of tests/protocol.
EXTRA_DIST += tests/protocol/run.py \
	tests/protocol/harness/__init__.py tests/protocol/harness/checks.py \
	tests/protocol/harness/client.py tests/protocol/harness/elements.py \
	tests/protocol/harness/runner.py tests/protocol/harness/scram.py \
	tests/protocol/harness/server.py tests/protocol/harness/stream.py \
	tests/protocol/test_login.py tests/protocol/test_stream.py
EXTRA_DIST += tests/protocol/test_comityctl.py
EXTRA_DIST += tests/protocol/test_messages.py tests/protocol/test_presence.py \
	tests/protocol/test_roster.py tests/protocol/test_subscriptions.py tests/protocol/test_survival.py
EXTRA_DIST += tests/protocol/test_dialback.py tests/protocol/test_faults.py tests/protocol/test_management.py tests/protocol/test_federation.py tests/protocol/test_modules.py tests/protocol/test_reload.py tests/protocol/test_run.py \
	tests/protocol/test_workers.py
EXTRA_DIST += tests/protocol/test_blocking.py tests/protocol/test_csi.py
EXTRA_DIST += tests/protocol/test_directory.py
EXTRA_DIST += tests/protocol/test_carbons.py tests/protocol/test_crash.py tests/protocol/test_hints.py \
	tests/protocol/test_stanza_ids.py
EXTRA_DIST += tests/protocol/harness/attack.py tests/protocol/test_attacks.py
EXTRA_DIST += tests/protocol/harness/fake.py tests/protocol/test_attacks_links.py tests/protocol/test_attacks_s2s.py \
	tests/protocol/test_attacks_sessions.py tests/protocol/test_attacks_storms.py
EXTRA_DIST += tests/protocol/test_endings.py tests/protocol/test_memory.py
EXTRA_DIST += tests/protocol/test_fault_injection.py
EXTRA_DIST += tests/protocol/test_external.py tests/protocol/test_resolver.py tests/protocol/test_offline.py
