# The whole suite, through the front door, on this host: green as it is, and red
# wherever it asserts references once the readings are faked.

load faked

setup_file() {
	root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	export root
	# Beside a run of somebody's on this host; cases know no other state.
	export SEPT_STATE=$BATS_FILE_TMPDIR/state
}

setup() {
	cd "$root" || return
}

@test "suite: the host's kernel is found in order, and the results are valid" {
	results=$BATS_FILE_TMPDIR/green
	run ./run.sh --platform host --results "$results" --junit "$results.xml"
	printf '%s\n' "$output" | grep -vE ' (PASS|SKIP) '
	[ "$status" -eq 0 ]
	[ "$(verdicts "$results" PASS | wc -l)" -ge 60 ]
	python3 scripts/report.py validate "$results/latest"
	python3 -c 'import sys, xml.etree.ElementTree as e; e.parse(sys.argv[1])' "$results.xml"
}

@test "suite: a name that no test has is told" {
	cp build/bin/tests/td_life "$BATS_TEST_TMPDIR/td_lief"
	run "$BATS_TEST_TMPDIR/td_lief" --list
	[[ $status -eq 2 && $output == "'td_lief' is no test of this program's;"* ]]
}

@test "suite: with every reading off by one, no reference assertion stays green" {
	results=$BATS_FILE_TMPDIR/faked
	export SEPT_FAKE_REFS=1
	run ./run.sh --platform host --settle-ms 30 --results "$results" --vm-type default
	# An ERROR is not green either; that there is none is the other test's claim.
	printf '%s\n' "$output" | grep -A 2 ' ERROR ' || :
	[ "$status" -eq 1 ]
	python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["faked"]' \
		"$results/latest/run.json"

	# A freed frame that somebody else took at once is freed, however faked the
	# reading: so what passed gets a few more chances to turn red.
	verdicts "$results" PASS >"$BATS_TEST_TMPDIR/passed"
	mapfile -t passed < <(unexpected <"$BATS_TEST_TMPDIR/passed")
	for address in "${passed[@]}"; do
		run ./run.sh --platform host --settle-ms 30 --results "$results" --repeat 10 "$address"
		printf '%s\n' "$output"
		[ "$status" -eq 1 ]
	done
}
