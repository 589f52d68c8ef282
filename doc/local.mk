# Files of doc, and the documents at the top.
EXTRA_DIST += HACKING.md NEWS doc/architecture.md doc/fuzzing.md doc/limits.md doc/performance.md doc/reliability.md doc/route-directory.md
