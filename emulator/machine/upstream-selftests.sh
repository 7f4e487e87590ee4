#!/bin/bash
# Run the kernel's own KVM selftests in the emulated machine and write what came of
# them to upstream-selftests.md.
#
#	upstream-selftests.sh [--out FILE] [--missing] [--limit SECONDS] [NAME...]
#
# Each runs in a machine of its own, just booted.  Why a test does not pass is told
# by selftests.tsv, by what the test itself says last where that is silent.  A row is
# written as soon as its test has ended: of some tests (NAME...), or of those that have
# none yet (--missing), the others' rows are kept.

set -euo pipefail

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

limit=45	# seconds for a test: kselftest's, but of the machine's time

# prepare: build everything, start a machine in $tmp/machine.
prepare() {
	local bochs tools kernel tree initramfs

	part tree "$root/scripts/linux.sh"
	part bochs "$root/emulator/bochs/build.sh"
	part tools "$here/tools.sh"
	part kernel "$here/kernel.sh"
	part initramfs "$here/initramfs.sh" --agent "$tools/agent" --selftests "$tree"
	machine=$tools/machine
	origin=$kernel/origin
	mapfile -t not_built < <(logs_of "$initramfs")
	"$machine" start --dir "$tmp/machine" --bochs "$bochs/bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs" --cpus 2 --memory 2048 --owner $$ ||
		die 3 "the emulated machine does not start"
}

# logs_of INITRAMFS: the tests that could not be built, one a line.
logs_of() {
	cpio --quiet -t <"$1" | sed -n 's,^selftests/\(.*\)\.log$,\1,p'
}

# result STATUS OUTPUT: PASS, SKIP, FAIL, TIMEOUT, or who died.
result() {
	case $1 in
	0)	echo PASS ;;
	4)	echo SKIP ;;
	124)	grep -q 'ran into its limit' "$2" && echo TIMEOUT || echo KERNEL DIED ;;
	125)	echo "EMULATOR DIED" ;;
	*)	echo FAIL ;;
	esac
}

# last_words OUTPUT: the line that says most, as a table can have it; of an assertion,
# where it is and what it says at the end.
last_words() {
	{
		if grep -q -a 'Test Assertion Failure' "$1"; then
			echo "$(grep -m 1 -a -A 1 'Test Assertion Failure' "$1" | sed -n 2p);" \
				"$(grep -a '[^[:space:]]' "$1" | tail -n 1)"
		else
			grep -m 1 -aE 'SKIP|requires|not supported|failed|FAIL|not ok' "$1" || tail -n 1 "$1"
		fi
	} | tr -d '\r|' | sed 's/^[[:space:]#]*//; s,[^ ]*/selftests/kvm/,,g; s/[[:space:]][[:space:]]*/ /g' |
		cut -c 1-160
}

# known NAME: the explanation that selftests.tsv has.
known() {
	awk -F '\t' -v name="$1" '$1 == name { print $2 }' "$here/selftests.tsv"
}

run_one() {
	local name=$1 rc=0 why verdict

	"$machine" exec --dir "$tmp/machine" --timeout "$limit" -- "/selftests/$name" \
		>"$tmp/output" 2>&1 || rc=$?
	why=
	if (( rc )); then
		why=$(known "$name")
		why=${why:-$(last_words "$tmp/output")}
	fi
	verdict=$(result "$rc" "$tmp/output")
	[[ $verdict != TIMEOUT ]] || why="not done in $limit s${why:+; $why}"
	rows[$name]="| $name | $verdict | $why |"
	say "$name: $verdict"
}

# Sets rows to those that the table has.
read_rows() {
	local line

	while read -r line; do
		[[ $line =~ ^'| '([a-z0-9_.]+)' | '([A-Z]|not) ]] || continue
		rows[${BASH_REMATCH[1]}]=$line
	done <"$out"
}

table() {
	local name

	cat <<-END
		# The kernel's own KVM selftests in the emulated machine

		Made by upstream-selftests.sh, not by hand.  $(sed -n 's/^source = //p' "$origin"), 2 CPUs,
		2 GiB, each test in a machine of its own; seconds are the machine's.
		SKIP is the test's own verdict.

		| test | result | why |
		|---|---|---|
	END
	printf '%s\n' "${rows[@]}" | LC_ALL=C sort
}

# summary TABLE
summary() {
	printf '\n%d pass, %d skip, %d do not pass, %d were not built.\n' \
		"$(grep -c '| PASS |' "$1")" "$(grep -c '| SKIP |' "$1")" \
		"$(grep -cE '\| (FAIL|TIMEOUT|KERNEL DIED|EMULATOR DIED) \|' "$1")" "$(grep -c '| not built |' "$1")"
}

write_table() {
	table >"$tmp/table"
	if ! { cat "$tmp/table" && summary "$tmp/table"; } >"$out.new" || ! mv -- "$out.new" "$out"; then
		die 3 "cannot write $out"
	fi
}

main() {
	local out=$here/upstream-selftests.md tmp machine origin name missing=
	local -a names=() not_built
	local -A rows=()

	while (( $# )); do
		case $1 in
		--out)	out=${2:?}
			shift ;;
		--missing)	missing=1 ;;
		--limit)	limit=${2:?}
			shift ;;
		-*)	die 2 "unknown argument '$1' (known: --out FILE, --missing, --limit SECONDS)" ;;
		*)	names+=("$1") ;;
		esac
		shift
	done
	cache_find
	step_init
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/selftests.XXXXXX")
	step_tmp+=("$tmp")
	prepare
	[[ -z $missing && ${#names[@]} == 0 ]] || [[ ! -e $out ]] || read_rows
	# shellcheck disable=SC2016 # for the shell in the machine
	if (( ! ${#names[@]} )); then
		"$machine" exec --dir "$tmp/machine" -- /bin/sh -c \
			'cd /selftests && for f in *; do [ ! -x $f ] || echo ${f}; done' >"$tmp/names" ||
			die 3 "the machine does not tell which selftests it has"
		mapfile -t names < <(tr -d '\r' <"$tmp/names" | grep -v '\.log$')
	fi
	(( ${#names[@]} )) || die 3 "there are no selftests in the machine"
	for name in "${not_built[@]}"; do
		rows[$name]="| $name | not built | $(known "$name") |"
	done
	for name in "${names[@]}"; do
		[[ -z $missing || ! -v rows[$name] ]] || continue
		run_one "$name"
		write_table
	done
	"$machine" stop --dir "$tmp/machine" || :
}

main "$@"
