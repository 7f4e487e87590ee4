#!/usr/bin/env bats
# The runner and report.py, with stand-ins for the test binaries (fake_test.sh).

bats_require_minimum_version 1.5.0

setup() {
	root=$BATS_TEST_DIRNAME/..
	runner=${SEPT_RUNNER:-$root/build/bin/runner}
	report=$root/scripts/report.py
	dir=$BATS_TEST_TMPDIR
	results=$dir/results
	export SEPT_STATE=$dir/state FAKE_NOTES=$dir/notes FAKE_SETTING=$dir/setting
	export SEPT_BACKSTOP_MS=0
	unset SEPT_SEED SEPT_TIMEOUT SEPT_SETTLE_MS SEPT_FAKE_REFS SEPT_KMSG
	mkdir -p "$dir/bin/tests"
	echo before >"$FAKE_SETTING"
}

teardown() {
	if [[ -n ${pid-} ]]; then
		kill -KILL "$pid" 2>/dev/null || true	# it has ended, if all is well
	fi
	if mountpoint -q "$BATS_TEST_TMPDIR/disk"; then
		umount "$BATS_TEST_TMPDIR/disk"
	fi
}

# fake FILE [CASE[:SECONDS[:serial]]...]: a test file with these cases
fake() {
	local file=$1 name seconds serial

	shift
	cp "$BATS_TEST_DIRNAME/fake_test.sh" "$dir/bin/tests/$file"
	chmod +x "$dir/bin/tests/$file"
	for name in "$@"; do
		IFS=: read -r name seconds serial <<<"$name"
		printf '%s.%s\t%s\t%s\n' "$file" "$name" "${seconds:-20}" "${serial:--}"
	done >"$dir/bin/tests/$file.list"
}

runner() {
	"$runner" --bin-dir "$dir/bin" --results "$results" --platform host "$@"
}

# start ARGUMENTS...: the runner in the background; sets pid, writes $dir/out
start() {
	${launch-} "$runner" --bin-dir "$dir/bin" --results "$results" --platform host "$@" \
		>"$dir/out" 2>&1 3>&- &
	pid=$!
}

# ends N: what was started ends with exit N; $output is what it said
ends() {
	local got=0

	wait "$pid" || got=$?
	output=$(<"$dir/out")
	echo "$output"
	if ((got != $1)); then
		echo "exit $got, wanted $1"
		return 1
	fi
}

# status N COMMAND...: it ends with exit N; $output is what it says
status() {
	local want=$1

	shift
	run "$@"
	echo "$output"
	if ((status != want)); then
		echo "exit $status, wanted $want"
		return 1
	fi
}

says() {
	[[ $output == *"$1"* ]] || { echo "does not say: $1"; return 1; }
}

silent_about() {
	[[ $output != *"$1"* ]] || { echo "says: $1"; return 1; }
}

cases() {
	cat "$results/latest/cases.jsonl"
}

# ended CASE VERDICT [REASON]: exactly one end line, with this
ended() {
	local line

	line=$(cases | grep '"event":"end"' | grep -F "\"case\":\"$1\"")
	echo "$line"
	[[ $(wc -l <<<"$line") == 1 && $line == *"\"verdict\":\"$2\""* ]]
	[[ $line == *"\"reason\":\"${3-}"* ]]
}

valid() {
	status 0 "$report" validate "$results/latest"
}

wait_for() {	# COMMAND...: until it succeeds, for 20 s at most
	local deadline=$((SECONDS + 20))

	while ((SECONDS < deadline)); do
		! "$@" 2>/dev/null || return 0
		sleep 0.01
	done
	echo "waited in vain for: $*"
	return 1
}

has_lines() {	# NR FILE: at least that many
	(($(wc -l <"$2") >= $1))
}

has_file() {	# DIR NAME
	[[ -n $(find "$1" -name "$2" -print -quit) ]]
}

gone() {	# the processes whose pids are in the notes
	local _ pid

	while read -r _ pid; do
		! kill -0 "$pid" 2>/dev/null || return 1
	done < <(grep '^pid ' "$FAKE_NOTES")
}

@test "a run that passes exits 0 and says so" {
	fake a v.pass v.skip
	status 0 runner
	says "1/2] PASS  a.v.pass"
	says "2/2] SKIP  a.v.skip"
	says "on host, Linux $(uname -r): 1 passed, 0 failed, 1 skipped, 0 errors in"
	says "longest settling: 7 ms"
	says "results: $(readlink -f "$results/latest")"
	ended a.v.pass PASS
	ended a.v.skip SKIP "there is no TDX here"
	valid
}

@test "a failure exits 1 and tells why and how to see it again" {
	fake a v.pass v.error v.fail
	status 1 runner
	says "3/3] FAIL  a.v.fail"
	says $'\n      one page is still held\n'
	says "      |   page 3 refs 2, want 0"
	says "again: ./run.sh --seed 0x"
	ended a.v.fail FAIL "one page is still held"
	valid
}

@test "an error without a failure exits 3" {
	fake a v.pass v.error
	status 3 runner
	says "1 passed, 0 failed, 0 skipped, 1 error in"
	ended a.v.error ERROR "could not look"
}

@test "nothing but skips exits 4, and names each reason once" {
	fake a v.skip v.skip_2 v.skip_exit_4
	status 4 runner
	says "  3 cases: there is no TDX here"
	[[ $(grep -c 'no TDX' <<<"$output") == 1 ]]
	grep -qF "a.v.skip_2" "$results/latest/summary.txt"
}

@test "a case that ends without a verdict is an error, by a signal a failure" {
	fake a v.silent v.crash v.crash_late v.exit_late
	status 1 runner
	ended a.v.silent ERROR "ended without a verdict (exit 7)"
	ended a.v.crash FAIL "ended by signal 11 (Segmentation fault)"
	ended a.v.crash_late FAIL "ended by signal 11"
	ended a.v.exit_late ERROR "said PASS, but ended with exit 1"
	valid
}

@test "a verdict record that cannot be right is an error" {
	fake a v.garbage v.garbage_half v.garbage_twice v.garbage_word v.garbage_known v.garbage_reason \
		v.garbage_checks v.garbage_minus v.garbage_other v.garbage_seed v.garbage_field
	status 3 runner
	ended a.v.garbage ERROR "its verdict record is not one JSON object"
	ended a.v.garbage_half ERROR "its verdict record is not one JSON object"
	ended a.v.garbage_twice ERROR "its verdict record is not one JSON object"
	ended a.v.garbage_word ERROR "its verdict record has an unknown verdict"
	ended a.v.garbage_known ERROR "its verdict record has an unknown verdict"
	ended a.v.garbage_reason ERROR "its verdict record has no reason"
	ended a.v.garbage_checks ERROR "its verdict record says PASS without a check"
	ended a.v.garbage_minus ERROR "its verdict record has a negative number"
	ended a.v.garbage_other ERROR "its verdict record is about another case"
	ended a.v.garbage_seed ERROR "its verdict record names another seed"
	ended a.v.garbage_field ERROR "its verdict record lacks a field"
	says "0 passed, 0 failed, 0 skipped, 11 errors"
	valid
}

@test "a case that hangs with its supervisor is killed and fails" {
	fake a v.hang:1 v.pass
	status 1 runner
	ended a.v.hang FAIL "timed out, and its supervisor with it"
	ended a.v.pass PASS
	gone
	grep -q '^# still there: pid' "$results/latest/a/tap"
}

@test "--timeout overrides the test's own limit" {
	fake a v.hang:1000
	status 1 runner --timeout 1
	ended a.v.hang FAIL "timed out"
	says "--timeout 1 a.v.hang"
}

@test "a daemon that a case leaves is gone before the next case" {
	fake a v.daemon
	status 0 runner
	gone
	grep -q '^# ended [12] process' "$results/latest/a/tap"
}

@test "a run that is killed leaves no process behind" {
	fake a v.hang:1000
	start
	wait_for grep -q pid "$FAKE_NOTES"
	kill -KILL "$pid"
	wait_for gone
}

@test "a case whose keeper is killed is an error, and all of it is ended" {
	fake a v.hang:1000 v.pass
	start
	wait_for grep -q pid "$FAKE_NOTES"
	kill -KILL "$(pgrep -P "$pid" -x keeper)"
	ends 3
	gone
	ended a.v.hang ERROR "the keeper of its processes was killed"
	ended a.v.pass PASS
}

# errata ROW...: the table, with a row a line, from the second on
errata() {
	local rows

	printf -v rows '%s,\n' "$@"
	printf '[\n%s\n]\n' "${rows%,?}" >"$dir/errata.json"
}

row() {	# ID CASES REASON KERNELS [MORE]
	printf '{"id": "%s", "title": "pages \\"[{ stay", "cases": "%s", "reason": "%s", "kernels": %s, "reference": "docs/%s.md"%s}' \
		"$1" "$2" "$3" "$4" "$1" "${5-}"
}

@test "a failure that the errata table knows is KNOWN, and nothing else is" {
	fake a v.pass v.fail v.fail_2 v.error
	fake b fail
	errata "$(row B01 a.v.fail '^one page (is|was) still' '{}')" "$(row B02 b 'two pages' '{}')"
	status 1 runner --errata "$dir/errata.json"
	says "1 passed, 2 failed, 1 known to fail, 0 skipped, 1 error in"
	says "KNOWN a.v.fail "
	says "      B01: one page is still held"
	says $'KNOWN\n  B01: pages "[{ stay (docs/B01.md)\n  a.v.fail\n'
	ended a.v.fail KNOWN "one page is still held"
	cases | grep -q '"case":"a.v.fail",.*"known":"B01"'
	ended a.v.fail_2 FAIL
	ended b.fail FAIL
	ended a.v.error ERROR
	grep -qx 'ok 2 a.v.fail # XFAIL B01: pages "\[{ stay' "$results/latest/a/tap"
	grep -q '"known": 1' "$results/latest/end.json"
	valid
	status 0 "$report" summary "$results/latest"
	says "1 passed, 2 failed, 1 known to fail, 0 skipped"
	says "KNOWN a.v.fail: B01: one page"
	status 0 "$report" junit "$results/latest" "$dir/j.xml"
	grep -q 'skipped message="KNOWN B01: one page is still held"' "$dir/j.xml"
}

@test "what a case finds beside what the errata table knows is no less a failure" {
	fake a v.finds_three v.pass
	found() {	# VERDICT [MORE [ROW]]: of a row about one page, with MORE in it
		errata "$(row B01 a.v.finds_three '^x.c:1: one page' '{}' "${2-}")" ${3+"$3"}
		status "$([[ $1 == KNOWN ]] && echo 0 || echo 1)" runner --errata "$dir/errata.json"
		ended a.v.finds_three "$1"
	}
	found FAIL
	ended a.v.finds_three FAIL "WARN in the kernel log: hello (beside what is known as B01)"
	found FAIL ', "also": "^WARN in the kernel log: hello$"'
	ended a.v.finds_three FAIL "leak: TD 1 has a page (beside what is known as B01)"
	found KNOWN ', "also": "log: hello|^leak: TD [0-9]+ has"'
	# Another row of the case may be what it is known by.
	found KNOWN ', "also": "log: hello"' "$(row B02 'a.v.finds_*' '^leak' '{}')"
	found FAIL ', "also": "log: hello"' "$(row B02 'a.v.finds_*' '^leak' '{"before": "3.0"}')"
	found FAIL ', "also": "log: hello"' "$(row B02 a.v.pass '^leak' '{}' ', "sometimes": true')"
	found KNOWN ', "also": "log: hello|^leak"'
	# Nor do those of another case count.
	fake a v.finds_three_b v.finds_three
	status 1 runner --errata "$dir/errata.json"
	ended a.v.finds_three KNOWN
	ended a.v.finds_three_b FAIL "x.c:1: one page is still held"
}

@test "known failures leave the exit status alone, and do not end --repeat until-fail" {
	fake a v.fail
	errata "$(row B01 a.v.fail 'one page' '{}')"
	status 0 runner --errata "$dir/errata.json"
	fake a v.fail v.third_fails
	status 1 runner --errata "$dir/errata.json" --repeat until-fail
	says "2 passed, 1 failed, 3 known to fail"
	says "a.v.fail (3 times)"
	fake a v.fail v.error
	status 3 runner --errata "$dir/errata.json"
}

@test "a case that the errata table knows to fail must fail, but for those that fail sometimes" {
	fake a v.pass v.skip v.error
	errata "$(row B00 a.v.error x '{}')" "$(row B01 'a.v.*' 'one page' '{}')"
	status 1 runner --errata "$dir/errata.json"
	ended a.v.pass FAIL "errata: what is known as B01 passes on Linux $(uname -r), so the row $dir/errata.json:3 is out of date"
	ended a.v.skip SKIP
	ended a.v.error ERROR
	valid
	errata "$(row B01 'a.v.*' 'one page' '{}' ', "sometimes": true')"
	status 0 runner --errata "$dir/errata.json" a.v.pass
	says "1 passed, 0 failed, 0 skipped"
}

@test "a case that a known bug turns against the host is not run on one" {
	fake a v.hang v.pass
	errata "$(row B01 'a.v.*' 'one page' '{}' ', "sometimes": true, "harms": true')" \
		"$(row B02 a.v.pass 'one page' '{}' ', "sometimes": true')"
	status 4 runner --errata "$dir/errata.json"
	ended a.v.hang SKIP "B01 may damage this host (docs/B01.md): run it in the emulated machine, or take 'harms' out of $dir/errata.json:2"
	ended a.v.pass SKIP
	[ ! -s "$dir/notes" ]
	valid
	# Of other kernels it is not known.
	errata "$(row B01 'a.v.*' 'one page' '{"before": "3.0"}' ', "harms": true')"
	status 0 runner --errata "$dir/errata.json" a.v.pass
	ended a.v.pass PASS
}

@test "a row of the errata table may leave out kernels that hold pages mapped in the S-EPT" {
	fake a v.pass v.fail
	errata "$(row B01 a.v.fail 'one page' '{}' ', "unpinned": true')" \
		"$(row B02 a.v.pass 'one page' '{}' ', "unpinned": true')"
	status 1 runner --errata "$dir/errata.json" --expect-pin 0
	ended a.v.fail KNOWN
	ended a.v.pass FAIL
	status 1 runner --errata "$dir/errata.json" --expect-pin 1
	ended a.v.fail FAIL
	ended a.v.pass PASS
}

@test "a row of the errata table is about the kernels it names" {
	local release major minor

	release=$(uname -r)
	IFS=.- read -r major minor _ <<<"$release"
	fake a v.fail
	is() {	# STATUS KERNELS
		errata "$(row B01 a 'one page' "$2")"
		echo "$2"
		status "$1" runner --errata "$dir/errata.json"
	}
	is 0 "{\"from\": \"$major.$minor\"}"
	is 0 "{\"from\": \"$major.$minor-rc1\", \"before\": \"$major.$((minor + 1))-rc1\"}"
	is 1 "{\"before\": \"$major.$minor\"}"
	is 1 "{\"from\": \"$major.$((minor + 1))\"}"
	is 1 "{\"from\": \"$((major + 1)).0.7\"}"
	is 0 "{\"before\": \"$((major + 1)).0\"}"
	is 0 "{\"before\": \"$major.$minor.999\"}"
	is 1 "{\"from\": \"$major.$minor.999\"}"
}

@test "an errata table that cannot be read exits 2" {
	fake a v.pass
	status 2 runner --errata "$dir"
	says "it cannot be read: Is a directory"
}

@test "a malformed errata table exits 2 with file and line" {
	local good

	fake a v.pass
	is() {	# LINE TEXT
		status 2 runner --errata "$dir/errata.json"
		[[ ${#lines[@]} == 1 ]]
		says "runner: $dir/errata.json:$1: $2"
	}
	good=$(row B01 a 'one page' '{}' ', "sometimes": true')
	printf '[\n{,\n' >"$dir/errata.json"
	is 2 "string or '}' expected"
	echo '{}' >"$dir/errata.json"
	is 1 "it must be an array"
	bad() {	# TEXT ROW
		errata "$good" "$2" "$good"
		is 3 "$1"
	}
	bad 'unknown key "cause"' "$(row B02 a x '{}' ', "cause": 1')"
	bad '"cases" must be a text' "$(row B02 '' x '{}')"
	bad '"reason" is no extended regular expression: ' "$(row B02 a '(x' '{}')"
	bad '"also" is no extended regular expression: ' "$(row B02 a x '{}' ', "also": "(x"')"
	bad '"also" must be a text' "$(row B02 a x '{}' ', "also": true')"
	bad '"kernels" must be an object' "$(row B02 a x '"7.3"')"
	bad '"kernels" must be an object' "$(row B02 a x '{"until": "7.3"}')"
	bad '"from" must be a kernel' "$(row B02 a x '{"from": "7"}')"
	bad '"before" must be a kernel' "$(row B02 a x '{"before": "7.3-1"}')"
	bad '"before" must be later' "$(row B02 a x '{"from": "7.3", "before": "7.3-rc5"}')"
	bad '"sometimes" must be' "$(row B02 a x '{}' ', "sometimes": 1')"
	bad '"harms" must be' "$(row B02 a x '{}' ', "harms": "yes"')"
	bad 'no case matches "b.*"' "$(row B02 'b.*' x '{}')"
	bad 'a row must be' '"B02"'
	errata "$good"
	status 0 runner --errata "$dir/errata.json"
	rm "$dir/errata.json"
	is 1 "it cannot be read: No such file"
	[[ $(find "$results" -name end.json | wc -l) == 1 ]]
}

@test "--jobs runs cases beside one another, but serial ones alone" {
	# Those of a pair wait for one another.
	fake a v.meet_a_1 v.meet_a_2 v.slow:20:serial v.meet_b_1 v.meet_b_2
	status 0 runner --jobs 2
	cat "$FAKE_NOTES"
	[[ $(sed -n '5,6p' "$FAKE_NOTES") == $'begin a.v.slow\nend a.v.slow' ]]
	valid
	# The lines of a case stay together.
	[[ $(grep -c '^ok' "$results/latest/a/tap") == 5 ]]
	[[ $(grep -A1 '^# seed' "$results/latest/a/tap" | grep -c '^ok') == 5 ]]
}

@test "one job runs cases one after the other" {
	fake a v.slow_1 v.slow_2
	status 0 runner
	[[ $(cut -d' ' -f1 "$FAKE_NOTES" | tr '\n' ' ') == "begin end begin end " ]]
}

@test "--repeat runs everything that often, each time with another seed" {
	fake a v.pass v.skip
	status 0 runner --repeat 3
	says "3 passed, 0 failed, 3 skipped"
	says "  1 case: there is no TDX here"
	[[ $(cases | grep -c '"event":"end"') == 6 ]]
	[[ $(cases | grep -o '"seed":"0x[0-9a-f]*"' | sort -u | wc -l) == 6 ]]
	[[ $(sed -n 2p "$results/latest/a/tap") == 1..6 ]]
	valid
}

@test "--repeat until-fail ends with the first failure" {
	fake a v.third_fails v.pass
	status 1 runner --repeat until-fail
	says "4 passed, 1 failed"
	[[ $(tail -n 1 "$results/latest/a/tap") == 1..5 ]]
	valid
}

@test "--repeat until-fail ends with an error, too" {
	fake a v.pass v.error
	status 3 runner --repeat until-fail
}

@test "--repeat until-fail does not go on if all is skipped" {
	fake a v.skip v.skip_2
	status 4 runner --repeat until-fail
	status 4 runner --repeat until-fail --jobs 2
}

@test "the seed of a failure replays it" {
	local again

	fake a v.pass v.fail
	status 1 runner --repeat 2
	again=$(grep -m1 -o 'again: .*' <<<"$output")
	[[ $again =~ ^again:\ ./run.sh\ --seed\ (0x[0-9a-f]+)\ --platform\ host\ a\.v\.fail$ ]]
	status 1 runner --seed "${BASH_REMATCH[1]}" a.v.fail
	says "| seed ${BASH_REMATCH[1]}"
	SEPT_SEED=0xffffffffffffffff status 1 runner a.v.fail
	says "| seed 0xffffffffffffffff"
	valid
}

@test "what a run has said is said to replay a failure, and no default" {
	local all=' --platform host --suite full --rounds 9 --expect-pin 0 --timeout 90 --settle-ms 50 a.v.fail'

	fake a v.fail
	status 1 runner --suite full --rounds 9 --expect-pin 0 --timeout 90 --settle-ms 50 \
		--seed 5 --report "$report" --junit "$dir/j.xml"
	says "again: ./run.sh --seed 0x5$all"
	grep -qF "again: ./run.sh --seed 0x5$all" "$dir/j.xml"
	status 1 runner --suite fast --seed 5 --report "$report" --junit "$dir/j.xml"
	says "again: ./run.sh --seed 0x5 --platform host a.v.fail"
	grep -qF "again: ./run.sh --seed 0x5 --platform host a.v.fail" "$dir/j.xml"
}

@test "the same seed gives each case the same seed again" {
	local first

	fake a v.pass v.skip
	status 0 runner --seed 7 --repeat 2
	first=$(cases | grep -o '"seed":"[^"]*"')
	status 0 runner --seed 7 --repeat 2
	[[ $(cases | grep -o '"seed":"[^"]*"') == "$first" ]]
	status 0 runner --seed 8 --repeat 2
	[[ $(cases | grep -o '"seed":"[^"]*"') != "$first" ]]
}

@test "names are globs of addresses, files and variants" {
	fake ab default.pass tdx_one.pass tdx.pass tdxx.pass
	fake b pass
	status 0 runner --list
	[[ $output == $'ab.default.pass\nab.tdx_one.pass\nab.tdx.pass\nab.tdxx.pass\nb.pass' ]]
	status 0 runner --list ab.tdx_one.pass
	[[ $output == ab.tdx_one.pass ]]
	status 0 runner --list b
	[[ $output == b.pass ]]
	status 0 runner --list 'a?'
	[[ ${#lines[@]} == 4 ]]
	status 0 runner --list ab.default b
	[[ $output == $'ab.default.pass\nb.pass' ]]
	status 0 runner --list -- '*.tdx*'
	[[ $output == $'ab.tdx_one.pass\nab.tdx.pass\nab.tdxx.pass' ]]
	status 0 runner --list --vm-type tdx
	[[ $output == $'ab.tdx_one.pass\nab.tdx.pass' ]]
	[[ ! -e $results ]]
}

@test "a suite's names, rounds and limits" {
	fake a v.pass v.pass_2 w.rounds
	fake b v.pass w.pass
	status 0 runner --suite own --run 'a.*' --run b.w --skip '*.pass_2' --list
	[[ $output == $'a.v.pass\na.w.rounds\nb.w.pass' ]]
	status 0 runner --suite own --run 'a.*' --skip a.v --rounds 12
	says "1 passed, 0 failed"
	grep -qx "rounds 12" "$FAKE_NOTES"
	grep -q '"rounds": 12' "$results/latest/run.json"
	grep -q '"suite": "own"' "$results/latest/run.json"
	valid
	# Names of the command line choose in its stead.
	status 0 runner --suite own --run b --skip a --list a.w
	[[ $output == a.w.rounds ]]
	status 0 runner a.w.rounds
	SEPT_ROUNDS=3 status 0 runner a.w.rounds
	status 0 runner --rounds 8 --rounds-of 'a.*=9' --rounds-of a.v=10 a.w.rounds
	grep -q '"event":"start".*"rounds":9' "$results/latest/cases.jsonl"
	valid
	SEPT_ROUNDS=0 status 0 runner a.w.rounds
	[[ $(tr '\n' ' ' <"$FAKE_NOTES") == "rounds 12 rounds own rounds 3 rounds 9 rounds own " ]]
	status 2 runner --suite own --run a --skip 'c.*'
	says 'runner: suite own: no case matches "c.*"; the nearest is '
	status 2 runner --suite own --run d
	says 'runner: suite own: no case matches "d"'
	status 2 runner --suite own --rounds-of d=3
	says 'runner: rounds of suite own: no case matches "d"'
	status 4 runner --run a --skip a
	says "no case is left to run"
	fake a v.hang:1 v.fail
	status 1 runner --rounds 9 a.v.fail
	says " --rounds 9 a.v.fail"
	status 1 runner --limits 2 a.v.hang
	cases | grep -E '"wall_ms":[2-9][0-9]{3},'
}

@test "--expect-pin reaches the cases, the results and what replays a failure" {
	fake a v.pin
	status 0 runner
	valid
	status 0 runner --expect-pin 0
	status 1 runner --expect-pin 1
	says " --expect-pin 1 a.v.pin"
	grep -q '"expect_pin": "1"' "$results/latest/run.json"
	status 2 runner --expect-pin 2
	says "--expect-pin must be auto, 0 or 1"
	SEPT_EXPECT_PIN=yes status 2 runner
	says "SEPT_EXPECT_PIN must be auto, 0 or 1"
	grep -qE 'pin (auto|0|1)' <(sed -n 1p "$FAKE_NOTES")
	[[ $(tail -n 2 "$FAKE_NOTES" | tr '\n' ' ') == "pin 0 pin 1 " ]]
}

@test "a name that nothing has exits 2 and names the nearest" {
	fake punch_hole default.frees tdx.frees
	fake mapping default.counts
	status 2 runner punch_hoel
	says 'no case matches "punch_hoel"; the nearest is "punch_hole"'
	status 2 runner mapping punch_hole.defualt.frees
	says 'the nearest is "punch_hole.default.frees"'
	status 2 runner 'punhc*'
	says 'the nearest is "punch_hole'
	status 4 runner --vm-type sw_protected
	says "none of these cases is for the VM type sw_protected"
}

@test "a bad option gets one sentence and exit 2" {
	local bad

	fake a v.pass
	for bad in --repeat=0 --repeat=x --repeat=-1 --repeat=1x --seed=-1 --seed=0xg --seed= \
		--seed=0x10000000000000000 --timeout=1.5 --timeout=x --settle-ms=-1 --jobs=0 \
		--platform=moon --vm-type=sev; do
		status 2 runner "$bad"
		[[ ${#lines[@]} == 1 && $output == "runner: ${bad%%=*} must be "* ]]
	done
	SEPT_SEED=x status 2 runner
	says "runner: SEPT_SEED must be"
	status 2 runner --nonsense
	[[ ! -e $results ]]
}

@test "a test file that cannot list its cases exits 3" {
	local bad

	fake a v.pass
	printf '#!/bin/bash\nexit 5\n' >"$dir/bin/tests/z"
	chmod +x "$dir/bin/tests/z"
	status 3 runner
	says "z --list failed with exit 5"
	printf '#!/bin/bash\nkill -ABRT $$\n' >"$dir/bin/tests/z"
	status 3 runner
	says "z --list was ended by signal 6"
	printf 'no program' >"$dir/bin/tests/z"
	status 3 runner
	says "cannot run the test file"
	printf '#!/bin/bash\n' >"$dir/bin/tests/z"
	status 3 runner
	says "z --list named no case"
	for bad in 'z.v.case' 'y.v.case\t1\t-' 'z.v.case\t0\t-' 'z.v.case\tx\t-' \
		'z.v.case\t1\tmaybe' 'z\t1\t-' 'z.v.c;reboot\t1\t-'; do
		printf "#!/bin/bash\nprintf '%s\\\\n'" "$bad" >"$dir/bin/tests/z"
		status 3 runner
		says "printed what is no case of its own"
	done
	rm -r "$dir/bin/tests"
	status 3 runner
	says "cannot read the tests in"
	mkdir "$dir/bin/tests"
	status 3 runner
	says "there are no tests in"
}

interrupted() {	# SIGNAL STATUS
	fake a v.pass v.wait v.pass_2
	# This may itself be run by nohup.
	launch='env --default-signal=HUP' start
	wait_for grep -q changed "$FAKE_SETTING"
	kill "-$1" "$pid"
	ends "$2"
	gone
	[[ $(<"$FAKE_SETTING") == before ]]
	says "interrupted by SIG$1"
	says "1 passed, 0 failed, 0 skipped, 1 error"
	says "not run: 1 of 3"
	ended a.v.wait ERROR interrupted
	valid
	grep -q "\"interrupted\": \"SIG$1\"" "$results/latest/end.json"
}

@test "SIGINT ends the cases, restores the host, prints the summary" {
	interrupted INT 130
}

@test "SIGTERM ends the cases, restores the host, prints the summary" {
	interrupted TERM 143
}

@test "SIGHUP ends the cases, restores the host, prints the summary" {
	interrupted HUP 129
}

@test "nohup: SIGHUP ends nothing" {
	fake a v.wait v.pass
	trap '' HUP
	start
	wait_for grep -q changed "$FAKE_SETTING"
	kill -HUP "$pid"
	sleep 0.5	# nothing tells that it will not come
	kill -INT "$pid"
	ends 130
	says "interrupted by SIGINT"
}

@test "a case that prints without end keeps nobody else waiting" {
	fake a v.spout:1000 v.pass
	start --jobs 2
	wait_for ended a.v.pass PASS
	kill -INT "$pid"
	ends 130
	ended a.v.spout ERROR interrupted
	valid
}

@test "a second SIGINT kills at once" {
	fake a v.hang:1000
	SEPT_GRACE_MS=1000000 start
	wait_for grep -q pid "$FAKE_NOTES"
	kill -INT "$pid"
	wait_for grep -q "at once if told again" "$dir/out"
	kill -INT "$pid"
	wait_for gone
	ends 130
}

@test "a case that ignores SIGTERM is killed after a while" {
	fake a v.hang:1000
	SEPT_GRACE_MS=200 start
	wait_for grep -q pid "$FAKE_NOTES"
	kill -TERM "$pid"
	wait_for gone
	ends 143
}

@test "kill -9 at any time leaves valid results, and the next run restores the host" {
	local i
	local -a runs

	fake a v.pass v.change v.skip v.fail v.finding v.pass_2 v.wait v.looks
	for ((i = 0; i < 20; i++)); do
		start --results "$dir/kills/$i"
		case $((i % 4)) in
		0)	wait_for has_file "$dir/kills/$i" '*run.json' ;;
		1)	sleep "0.0$((RANDOM % 10))" ;;
		*)	wait_for has_lines $((RANDOM % 13)) "$dir/kills/$i/latest/cases.jsonl"
			sleep "0.0$((RANDOM % 5))" ;;
		esac
		kill -KILL "$pid"
		wait "$pid" || true
	done
	# Killed before run.json was there: no result, but no torn one either.
	find "$dir/kills" -mindepth 2 -maxdepth 2 -type d -exec test -e '{}/run.json' \; -print >"$dir/runs"
	mapfile -t runs <"$dir/runs"
	((${#runs[@]} >= 10))
	status 0 "$report" validate "${runs[@]}"
	# Once more, surely behind the change.
	echo before >"$FAKE_SETTING"
	start a.v.wait
	wait_for grep -q changed "$FAKE_SETTING"
	kill -KILL "$pid"
	wait "$pid" || true
	valid
	says "1 case in flight when the run ended"
	status 0 runner a.v.looks
	says "set $FAKE_SETTING back to \"before\""
	grep -qx "sees before" "$FAKE_NOTES"
	[[ ! -s $SEPT_STATE/host-journal ]]
	grep -q "set $FAKE_SETTING back" "$results/latest/end.json"
}

@test "what a case changed and left is restored before the next case" {
	fake a v.change v.looks
	status 0 runner
	grep -qx "sees before" "$FAKE_NOTES"
	says "set $FAKE_SETTING back to \"before\""
}

@test "what cannot be restored ends the run before it begins" {
	mkdir -m 700 "$SEPT_STATE"
	printf '{"op":"set","path":"%s","boot":"%s","pid":1,"was":"x","now":"y"}\n' \
		"$dir" "$(</proc/sys/kernel/random/boot_id)" >"$SEPT_STATE/host-journal"
	fake a v.pass
	status 3 runner
	says "cannot set $dir back to \"x\": Is a directory"
	says "cannot undo what an earlier run left"
}

@test "a second run is locked out and told by whom" {
	fake a v.wait v.pass
	start a.v.wait
	wait_for grep -q pid "$FAKE_NOTES"
	status 3 runner a.v.pass
	[[ ${#lines[@]} == 1 ]]
	says "another run is going on here, with pid $pid"
	kill -TERM "$pid"
	ends 143
	status 0 runner a.v.pass
}

@test "a folder for the journal that others can write to is refused" {
	mkdir -m 777 "$SEPT_STATE"
	fake a v.pass
	status 3 runner
	says "cannot lock $SEPT_STATE: Operation not permitted"
}

@test "a full disk ends the run with one sentence and what there is" {
	fake a v.fill v.fail
	mkdir "$dir/disk"
	mount -t tmpfs -o size=8m tmpfs "$dir/disk" || skip "no tmpfs can be mounted here"
	ln -s disk "$results"
	status 3 runner --repeat 100000
	[[ $(grep -c 'cannot be written' <<<"$output") == 1 ]]
	says "No space left on device; ending the run"
	says "on host, Linux"
	says "a.v.fail ("
	valid
	silent_about "cut short"
}

@test "a read-only folder for the results exits 3 with one sentence" {
	fake a v.pass
	mkdir "$dir/disk"
	mount -t tmpfs -o ro tmpfs "$dir/disk" || skip "no tmpfs can be mounted here"
	status 3 runner --results "$dir/disk/results"
	[[ ${#lines[@]} == 1 ]]
	says "cannot make a folder for the results in $dir/disk/results: "
}

@test "no run writes into the folder of another" {
	local i

	fake a v.pass
	for i in 1 2 3; do
		status 0 runner
	done
	[[ $(find "$results" -name end.json | wc -l) == 3 ]]
	[[ $(find "$results" -mindepth 1 -maxdepth 1 -type l) == "$results/latest" ]]
}

@test "--json prints one document and nothing else on stdout" {
	fake a v.pass v.fail v.skip
	runner --json >"$dir/json" 2>"$dir/err" || true
	python3 - "$dir/json" <<-'EOF'
		import json, sys
		run = json.load(open(sys.argv[1]))
		assert [c["verdict"] for c in run["cases"]] == ["PASS", "FAIL", "SKIP"], run
		assert run["end"]["counts"] == {"pass": 1, "fail": 1, "skip": 1, "error": 0, "known": 0, "not_run": 0}
		assert run["end"]["exit"] == 1 and run["platform"] == "host"
	EOF
	grep -q "PASS  a.v.pass" "$dir/err"
}

@test "--json that cannot be written costs a passed run its 0" {
	fake a v.pass
	run -3 bash -c '"$@" >/dev/full' - "$runner" --bin-dir "$dir/bin" --results "$results" \
		--platform host --json
	[[ $output == *"cannot write the report to stdout: No space left on device"* ]]
}

@test "--junit is well formed, and its counts are those of the run" {
	fake a v.pass v.finding v.skip v.error
	fake b pass dirty
	status 1 runner --report "$report" --junit "$dir/j.xml"
	python3 - "$dir/j.xml" <<-'EOF'
		import sys, xml.etree.ElementTree as ET
		root = ET.parse(sys.argv[1]).getroot()
		told = {s.get("name"): [s.get(k) for k in ("tests", "failures", "errors", "skipped")]
		        for s in root}
		assert told == {"a": list("4111"), "b": list("2100")}, told
		for tag, nr in (("testcase", 6), ("failure", 2), ("error", 1), ("skipped", 1)):
		    assert len(list(root.iter(tag))) == nr, tag
		assert "x.c:1: 1 page still? held (invariant: freed)" in next(root.iter("failure")).text
	EOF
}

@test "--junit without python3 costs a passed run its 0, and no other its verdict" {
	fake a v.pass
	fake b fail
	mkdir "$dir/path"
	ln -s "$(command -v bash)" "$(command -v cat)" "$dir/path"
	PATH=$dir/path status 3 runner --junit "$dir/j.xml" a
	says "without python3"
	PATH=$dir/path status 1 runner --junit "$dir/j.xml" b
}

@test "a reader that goes away costs no result" {
	fake a v.pass v.pass_2 v.pass_3
	runner | head -n 1 >/dev/null
	wait_for test -e "$results/latest/end.json"
	ended a.v.pass_3 PASS
	valid
}

@test "what a case prints cannot pass for anything else" {
	fake a v.dirty v.pass
	status 1 runner
	[[ $output != *$'\033'* && $output != *$'\a'* ]]
	[[ $(<"$results/latest/a/tap") != *[$'\001'-$'\010\013'-$'\037']* ]]
	grep -qx '# bell   and  \[2J and no newline' "$results/latest/a/tap"
}

@test "colours and the running line are for terminals" {
	fake a v.slow
	command -v script >/dev/null || skip "there is no script(1)"
	status 0 script -qec "$runner --bin-dir $dir/bin --results $results" /dev/null
	[[ $output == *$'\033[32mPASS'* ]]
	says "running a.v.slow ("
	NO_COLOR=1 status 0 script -qec "$runner --bin-dir $dir/bin --results $results" /dev/null
	[[ $output != *$'\033[32m'* ]]
}

@test "the tap has its plan first, and one line for each case" {
	fake a v.pass v.fail v.skip v.error
	status 1 runner
	run cat "$results/latest/a/tap"
	echo "$output"
	[[ ${lines[0]} == "KTAP version 1" && ${lines[1]} == 1..4 ]]
	[[ $(grep -E '^(not )?ok' <<<"$output") == "ok 1 a.v.pass
not ok 2 a.v.fail
ok 3 a.v.skip # SKIP there is no TDX here
not ok 4 a.v.error # ERROR could not look" ]]
	run -1 grep -vE '^((not )?ok |# |KTAP|1\.\.4)' "$results/latest/a/tap"
	run cat "$results/latest/a/tap"
	silent_about "TAP version 13"
	silent_about "RUN "
	silent_about "Totals"
}

@test "the tap is there up to the case in flight" {
	fake a v.fail v.wait
	start
	wait_for grep -q pid "$FAKE_NOTES"
	kill -KILL "$pid"
	run cat "$results/latest/a/tap"
	[[ ${lines[1]} == 1..2 ]]
	says "not ok 1 a.v.fail"
	says "# a.v.wait: repeat 1, seed"
}

@test "a case cannot fill the disk" {
	fake a v.flood
	status 0 runner
	(($(stat -c %s "$results/latest/a/tap") < 5000000))
	grep -q "of which the rest is not kept" "$results/latest/a/tap"
}

@test "kernel log lines go to the file that was running" {
	fake a v.pass
	fake b kmsg
	: >"$dir/kmsg"
	SEPT_KMSG=$dir/kmsg status 0 runner
	says "proves nothing about this kernel"
	grep -q "the kernel says hello" "$results/latest/b/kmsg"
	[[ ! -s $results/latest/a/kmsg ]]
	grep -q '"faked": true' "$results/latest/run.json"
	SEPT_KMSG=$dir/none status 0 runner a
	says "the kernel log cannot be read (No such file or directory)"
	grep -q '"kmsg_why": "No such file' "$results/latest/run.json"
}

@test "run.json tells what was asked for" {
	fake a v.pass
	echo '{"version": "7.3.4"}' >"$dir/origin"
	status 0 runner --commit abc --command-line './run.sh a' --linux-origin "$dir/origin" a
	python3 - "$results/latest/run.json" <<-'EOF'
		import json, sys
		run = json.load(open(sys.argv[1]))
		assert run["commit"] == "abc" and run["command_line"] == "./run.sh a"
		assert run["linux"] == {"version": "7.3.4"} and run["options"]["globs"] == ["a"]
		assert run["faked"] is False and run["environment"]
	EOF
	echo 'linux 7.3.4' >"$dir/origin"
	status 0 runner --linux-origin "$dir/origin"
	grep -q '"linux": "linux 7.3.4"' "$results/latest/run.json"
}

@test "report.py reads a run that was cut short" {
	fake a v.pass v.fail
	status 1 runner
	cp -r "$(readlink -f "$results/latest")" "$dir/cut"
	rm "$dir/cut/end.json"
	truncate -s -10 "$dir/cut/cases.jsonl"
	status 0 "$report" validate "$dir/cut"
	says "passed over the last line, which was cut short"
	says "the run did not end by itself"
	status 0 "$report" summary "$dir/cut"
	says "1 passed, 0 failed"
	says "LOST  a.v.fail"
	status 0 "$report" junit "$dir/cut" "$dir/j.xml"
	grep -q 'error message="was in flight' "$dir/j.xml"
	# An end without its beginning.
	sed -i '1s/^{/[/' "$dir/cut/cases.jsonl"
	status 0 "$report" summary "$dir/cut"
	says "cases.jsonl:2: passed over: no case began as number 1"
}

# spoil FILE SED_SCRIPT: one more copy of the results, with something wrong in it
spoil() {
	((++nr_spoilt))
	cp -r "$(readlink -f "$results/latest")" "$dir/spoilt.$nr_spoilt."
	sed -i "$2" "$dir/spoilt.$nr_spoilt./$1"
	if cmp "$results/latest/$1" "$dir/spoilt.$nr_spoilt./$1"; then
		return 1
	fi
}

@test "report.py validate finds what is wrong" {
	local i nr_spoilt=0

	fake a v.finding v.pass
	status 1 runner
	valid
	spoil cases.jsonl '2s/^{/[/'
	spoil cases.jsonl '2s/"FAIL"/"RED"/'
	spoil cases.jsonl '2s/"repeat":1,//'
	spoil cases.jsonl '2s/"reason":"[^"]*"/"reason":""/'
	spoil cases.jsonl '4s/"checks":1/"checks":0/'
	spoil cases.jsonl '2p'
	spoil cases.jsonl '3d'
	spoil cases.jsonl 's/a\.v\.pass/a.v.other/'
	spoil run.json 's/"host"/"moon"/'
	spoil run.json 's/"format": 1/"format": 2/'
	spoil end.json 's/"fail": 1/"fail": 2/'
	spoil a/findings.jsonl 's/"invariant":"freed",//'
	status 1 "$report" validate "$dir"/spoilt.*
	for ((i = 1; i <= nr_spoilt; i++)); do
		grep "^$dir/spoilt\.$i\./" <<<"$output"
	done
	echo '{"op":"undo","path":"/x"}' >"$dir/journal"
	status 1 "$report" validate "$dir/journal"
	says "$dir/journal:1: "
}

@test "report.py tells in one sentence what it cannot read" {
	status 3 "$report" validate "$dir/none"
	status 3 "$report" summary "$dir/none"
	[[ ${#lines[@]} == 1 ]]
	says "cannot read $dir/none/run.json"
}
