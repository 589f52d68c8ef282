#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs and modules of the build in this folder are hardened as configure meant them to be (COMITY_HARDENING).
set -u

failed=0
fail()
{
	echo "$1: $2"
	failed=1
}

# check FILE WORD...: asks readelf for each of these properties that the build is to have.
check()
{
	local file=$1 word said
	shift
	[ -e "$file" ] || { fail "$file" "is not there"; return; }
	for word in "$@"; do
		[[ " $COMITY_HARDENING " == *" $word "* ]] || continue
		case $word in
		pie)
			said=$(readelf -hdW "$file")
			[[ $said =~ Type:\ +DYN && $said =~ FLAGS_1.*PIE ]] || fail "$file" "does not move in memory (PIE)"
			;;
		relro)
			said=$(readelf -ldW "$file")
			[[ $said == *GNU_RELRO* && $said =~ (FLAGS_1.*NOW|BIND_NOW) ]] ||
				fail "$file" "leaves its table of functions writable (full RELRO)"
			;;
		noexecstack)
			said=$(readelf -lW "$file" | grep GNU_STACK)
			[[ $said == *" RW "* ]] || fail "$file" "has a stack that can be executed: $said"
			;;
		canaries)
			readelf -sW "$file" | grep -q __stack_chk_fail || fail "$file" "has no canaries on its stack"
			;;
		fortify)
			readelf -sW "$file" | grep -qE '__(mem|str|.*printf|read|recv).*_chk' ||
				fail "$file" "calls no function of glibc that checks sizes (FORTIFY)"
			;;
		jumps)
			# The files that the C library adds to a program have two.
			[ "$(uname -m)" != x86_64 ] || [ "$(objdump -d "$file" | grep -c endbr64)" -gt 20 ] ||
				fail "$file" "does not mark what may be jumped to (CET)"
			;;
		esac
	done
}

if [ -z "${COMITY_HARDENING// /}" ] || ! command -v readelf >/dev/null; then
	echo "configured without hardening, or no readelf (Debian package binutils)"
	exit 77
fi
check src/comityd/comityd pie relro noexecstack canaries fortify jumps
check src/comityctl/comityctl pie relro noexecstack canaries fortify jumps
check modules/.libs/mod_roster.so canaries jumps
for module in modules/.libs/mod_*.so; do
	check "$module" relro noexecstack
done
[ $failed -eq 0 ] && echo "as meant: $COMITY_HARDENING"
exit $failed
