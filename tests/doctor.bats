#!/usr/bin/env bats
# doctor: a table, or JSON, whatever the host lacks; and decode: what comes in is told at
# once, and what goes wrong is told.

bats_require_minimum_version 1.5.0

setup() {
	doctor=${SEPT_BUILD:-$BATS_TEST_DIRNAME/../build}/bin/doctor
	decode=${doctor%/*}/decode
}

# of EXPRESSION: its value for d, doctor's JSON in $output
of() {
	python3 -c 'import json, sys
d = json.loads(sys.argv[1])
row = {r["ability"]: r for r in d["rows"]}
print(eval(sys.argv[2]))' "$output" "$1"
}

# lacking COMMAND...: doctor's output on a host without what COMMAND hides
lacking() {
	unshare -m --propagation private sh -c "$1; exec \"\$@\"" sh "${@:2}"
}

@test "tells every ability, and what to change for those it lacks" {
	run -0 "$doctor" --json
	[ "$(of 'len(row)')" -ge 35 ]
	[ "$(of '[r for r in d["rows"] if not r["detail"] or r["state"] not in ("yes", "no", "partly")]')" = "[]" ]
	[ "$(of 'd["env"]["kernel"]["release"]')" = "$(uname -r)" ]
	[ "$(of 'row["root"]["state"]')" = yes ]
	[ "$(of 'type(d["summary"]["vm_types"]).__name__')" = list ]
}

@test "the table says the same, in lines of at most 120 columns" {
	run -0 "$doctor"
	[[ ${lines[0]} == ability*here*detail ]]
	[[ ${lines[-1]} == "this host can run: "* ]]
	[ "$(awk 'length > 120' <<<"$output" | wc -l)" -eq 0 ]
	local listed
	listed=$(grep -c '^[^ ].* \(yes\|no\|partly\) ' <<<"$output")
	run -0 "$doctor" --json
	[ "$(of 'len(row)')" = "$listed" ]
}

@test "without root it says so, and goes on" {
	# the build folder may be closed to others
	cp "$doctor" "$BATS_TEST_TMPDIR/doctor"
	chmod -R a+rX "$BATS_TEST_TMPDIR"
	run -0 lacking "mount --bind $BATS_TEST_TMPDIR /mnt" \
		setpriv --reuid=65534 --regid=65534 --clear-groups /mnt/doctor
	[[ $output == *"root                    no"*"run as root"* ]]
	[[ $output == *"references by BPF       no"* ]]
	[[ ${lines[-1]} == *"references by none"* || ${lines[-1]} == *"no VM at all"* ]]
}

@test "without /dev/kvm it says so, and goes on" {
	run -0 lacking "mount -t tmpfs none /dev" "$doctor" --json
	[ "$(of 'row["/dev/kvm"]["state"]')" = no ]
	[[ $(of 'row["/dev/kvm"]["detail"]') == *"/dev/kvm"* ]]
	[ "$(of 'd["summary"]["vm_types"]')" = "[]" ]

	run -0 lacking "mount -t tmpfs none /dev" "$doctor"
	[[ ${lines[-1]} == "this host can run: no VM at all"* ]]
}

@test "without BTF it says so, and goes on" {
	run -0 lacking "mount -t tmpfs none /sys/kernel/btf" "$doctor" --json
	[ "$(of 'row["BTF"]["state"]')" = no ]
	[ "$(of 'row["references by BPF"]["state"]')" = no ]
	[ "$(of 'd["summary"]["probe"]')" = none ]
}

@test "without /proc and /sys it still says something" {
	run -0 lacking "mount -t tmpfs none /sys; mount -t tmpfs none /proc" "$doctor"
	[[ ${lines[-1]} == "this host can run: "* ]]
}

@test "says where results do not fit" {
	run -0 env SEPT_RESULTS=/nonexistent "$doctor"
	[[ $output == *"cannot look at /nonexistent"* ]]
	run -0 lacking "mount -t tmpfs -o size=64k none /mnt" env SEPT_RESULTS=/mnt "$doctor"
	[[ $output == *"free disk               partly  0 MB in /mnt"* ]]
}

@test "wrong options give 2 and a hint" {
	run -2 "$doctor" --nope
	[[ $output == *"doctor --help"* ]]
	run -2 "$doctor" extra
	[[ $output == *'"extra"'* ]]
	run -0 "$doctor" --help
	[[ ${lines[0]} == "Usage: doctor"* ]]
}

@test "decode: a log that grows is seen as it grows" {
	mkfifo "$BATS_TEST_TMPDIR/log"
	coproc "$decode" <"$BATS_TEST_TMPDIR/log" 3>&-
	exec {log}>"$BATS_TEST_TMPDIR/log"
	echo "SEAMCALL TDH_MEM_TRACK failed: 0x80000201000000a9" >&"$log"
	# It has not come to an end.
	read -r -t 10 line <&"${COPROC[0]}"
	[[ $line == SEAMCALL* ]]
	read -r -t 10 line <&"${COPROC[0]}"
	[[ $line == "=> TDH.MEM.TRACK: "* ]]
	exec {log}>&-
}

@test "decode: a full disk, and what cannot be read" {
	echo "a line" >"$BATS_TEST_TMPDIR/log"
	# shellcheck disable=SC2016 # for the inner shell to expand
	run -3 sh -c '"$0" "$1" >/dev/full' "$decode" "$BATS_TEST_TMPDIR/log"
	[ "$output" = "decode: cannot write all of it" ]
	run -3 "$decode" /nonexistent "$BATS_TEST_TMPDIR/log"
	[[ ${lines[0]} == "decode: cannot read /nonexistent: No such file"* && ${lines[1]} == "a line" ]]
	run -3 "$decode" <"$BATS_TEST_TMPDIR"
	[ "$output" = "decode: cannot read standard input: Is a directory" ]
}
