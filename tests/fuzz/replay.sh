#!/bin/sh
# SPDX-License-Identifier: MIT
# Feeds every input of the corpus to its fuzz target; run by "make check" in the build folder.
srcdir=${srcdir:-.}
passed=0
failed=0

# Targets that play a whole server play some that chance makes, too.
play_seeds() {
	case $1 in
	client | server | life | control) "tests/fuzz/fuzz_$1" --seeds 1 150 ;;
	esac
}

for source in "$srcdir"/tests/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	name=${name#fuzz_}
	corpus=$srcdir/tests/fuzz/corpus/$name
	set -- "$corpus"/*
	if [ "$name" = xml ] && ! grep -q '^#define HAVE_XML2' config.h; then
		echo "fuzz_$name: skipped, configure found no libxml2"
	elif ! [ -f "$1" ]; then
		echo "fuzz_$name: $corpus has no inputs"
		failed=$((failed + 1))
	elif "tests/fuzz/fuzz_$name" "$@" && play_seeds "$name"; then
		passed=$((passed + 1))
	else
		echo "fuzz_$name: failed at the last input or seed named above"
		failed=$((failed + 1))
	fi
done
echo "fuzz: $passed targets passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
