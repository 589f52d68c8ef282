#!/bin/sh
# SPDX-License-Identifier: MIT
# Fuzzes every target for a time, or takes what was found into the corpus; run by "make fuzz" and "make fuzz-corpus".
# FUZZ_JOBS targets are fuzzed at once, by default as many as there are processors.
set -u
usage="usage: fuzz.sh fuzz SECONDS TARGET... | fuzz.sh corpus FILES TARGET..."
srcdir=${srcdir:-.}
jobs=${FUZZ_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}
[ $# -gt 2 ] || { echo "$usage" >&2; exit 64; }
what=$1
number=$2
shift 2
# What libFuzzer names its inputs, in the corpus no longer than that.
hash='[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
hash=$hash$hash
most_bytes=1000

# New inputs are kept for the next run in fuzz/NAME, findings in fuzz/findings.
fuzz()
{
	mkdir -p "fuzz/$name" fuzz/findings
	echo "fuzz_$name: $number seconds"
	"$target" -max_total_time="$number" -max_len=2048 -len_control=0 -timeout=30 -print_final_stats=1 \
		-artifact_prefix="fuzz/findings/$name-" "fuzz/$name" "$corpus" >"fuzz/$name.log" 2>&1
	result=$?
	awk -v name="$name" '/executed_units/ { n = $2 } END { printf "fuzz_%s: %d executions\n", name, n }' "fuzz/$name.log"
	[ $result -eq 0 ] && return 0
	grep -aE '^finding|^SUMMARY|runtime error|Test unit written' "fuzz/$name.log" | sed "s|^|fuzz_$name: |"
	echo "fuzz_$name: ended with $result; see fuzz/$name.log"
	return 1
}

# Few inputs that together reach the code that any reaches which the inputs with names do not: of these the longest, as
# they do the most. What has a name stays: findings, and what was written by hand.
corpus()
{
	kept=fuzz/$name.kept
	rm -rf "$kept" "fuzz/$name.new"
	mkdir -p "fuzz/$name" "$kept" "fuzz/$name.new"
	find "$corpus" -type f ! -name "$hash" -exec cp {} "$kept" \;
	find "fuzz/$name" "$corpus" -type f -name "$hash*" -size "-$((most_bytes + 1))c" -exec cp {} "fuzz/$name.new" \;
	"$target" -set_cover_merge=1 -use_counters=0 -timeout=30 "$kept" "fuzz/$name.new" >"fuzz/$name.log" 2>&1 || return 1
	find "$corpus" -type f -name "$hash" -exec rm {} +
	find "$kept" -type f -name "$hash*" -exec ls -S {} + | sed -n "1,${number}p" | while read -r input; do
		base=$(basename "$input")
		cp "$input" "$corpus/$(printf %.16s "$base")"
	done
	rm -r "$kept" "fuzz/$name.new"
	echo "fuzz_$name: $(find "$corpus" -type f | wc -l) inputs, $(cat "$corpus"/* | wc -c) bytes"
}

# "fuzz-one" is how this script calls itself for each target.
each()
{
	name=${1##*/fuzz_}
	target=$1
	corpus=$srcdir/tests/fuzz/corpus/$name
	"${what%-one}"
}

case $what in
fuzz-one)
	each "$1"
	exit
	;;
fuzz)
	grep -q '^#define HAVE_XML2' config.h || echo "fuzz: warning: fuzz_xml, which compares the reader of XML with" \
		"libxml2, is missing, as configure found no libxml2 (tools/install-deps fuzz, then configure anew)" >&2
	echo "fuzz: targets: $#, $jobs at once; logs in $(pwd)/fuzz, findings in $(pwd)/fuzz/findings"
	mkdir -p fuzz/findings
	touch fuzz/began
	printf '%s\n' "$@" | srcdir=$srcdir xargs -n 1 -P "$jobs" "$0" fuzz-one "$number"
	result=$?
	found=$(find fuzz/findings -type f -newer fuzz/began | wc -l)
	echo "fuzz: $found new findings in $(pwd)/fuzz/findings"
	;;
corpus)
	result=0
	for target; do
		each "$target" || result=1
	done
	;;
*)
	echo "$usage" >&2
	exit 64
	;;
esac
[ $result -eq 0 ] || echo "fuzz: targets failed; see the logs and findings in $(pwd)/fuzz" >&2
[ $result -eq 0 ]
