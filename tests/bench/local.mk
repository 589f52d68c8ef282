# Files of tests/bench. XMPPLOAD is a folder with the load generator, built; --rounds and others go in BENCHFLAGS. Only a
# full run replaces the tables of doc/performance.md.
EXTRA_DIST += tests/bench/acknowledge.py tests/bench/calls.py tests/bench/client.py tests/bench/compare.py tests/bench/federation.py \
	tests/bench/memory.py tests/bench/offline.py tests/bench/servers.py tests/bench/soak.py tests/bench/start.py tests/bench/storm.py \
	tests/bench/waiting.py tests/bench/workers.py

bench: all
	@test -n "$(XMPPLOAD)" || { echo "usage: make bench XMPPLOAD=FOLDER [BENCHFLAGS=...]" >&2; exit 64; }
	$(srcdir)/tests/bench/compare.py --xmppload "$(XMPPLOAD)" --build $(abs_builddir) --keep bench.json \
		--document $(srcdir)/doc/performance.md $(BENCHFLAGS)

.PHONY: bench
