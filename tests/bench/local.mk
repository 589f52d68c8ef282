# Files of tests/bench.
EXTRA_DIST += tests/bench/compare.py tests/bench/federation.py
