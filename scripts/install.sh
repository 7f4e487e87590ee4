#!/bin/bash
# Make a folder that the kernel's run_kselftest.sh can run.
#
#   install.sh TREE TESTS DIR
#
# TREE is a kernel tree, TESTS the folder of the built tests.  A DIR that the
# kernel's own "make install" has filled keeps what it has; ours comes on top.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
# shellcheck source=scripts/step.sh
. "$root/scripts/step.sh"

name=tdx_sept_tests	# of our collection

# The limit is for all the cases of a file together, and the largest counts.
longest_seconds() {
	local test

	for test in "$@"; do
		"$test" --list | awk -F '\t' '{ sum += $2 } END { print sum + 0 }'
	done | sort -n | tail -n 1
}

main() {
	local selftests=${1-}/tools/testing/selftests from=${2-} dir=${3-} list=${3-}/kselftest-list.txt
	local -a tests

	[[ $# -eq 3 && -n $dir ]] || die 2 "say where to: make install DIR=/some/folder"
	[[ ! -e $dir || -d $dir ]] || die 2 "DIR=$dir is no folder"
	mapfile -t tests < <(find "$from" -maxdepth 1 -type f -perm -u+x | LC_ALL=C sort)
	(( ${#tests[@]} )) || die 3 "$from has no tests"

	mkdir -p -- "$dir/kselftest" "$dir/$name" ||
		die 3 "cannot write to $dir"
	cp -- "$selftests"/kselftest/* "$dir/kselftest/"
	cp -- "$selftests/run_kselftest.sh" "$dir/"
	chmod +x -- "$dir/run_kselftest.sh" "$dir"/kselftest/*
	rm -rf -- "${dir:?}/$name"/*
	cp --preserve=links -- "${tests[@]}" "$dir/$name/"
	printf 'timeout=%d\n' "$(longest_seconds "${tests[@]}")" >"$dir/$name/settings"
	{
		[[ ! -e $list ]] || sed "/^$name:/d" "$list"
		printf "$name:%s\n" "${tests[@]##*/}"
	} >"$list.new"
	mv -- "$list.new" "$list"
	say "installed ${#tests[@]} tests; run them by $dir/run_kselftest.sh -c $name"
}

main "$@"
